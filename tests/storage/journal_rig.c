/* journal_rig — see journal_rig.h. */
#include "tests/storage/journal_rig.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/digest.h"

static void note(struct rig *rig, bool holds, const char *claim)
{
    if (!holds && !rig->problem)
        rig->problem = claim;
}

static uint32_t fingerprint(const struct record *record)
{
    uint64_t numbers[] = {record->type, record->flags, record->number, record->seq,
        (uint64_t)record->time_ns, record->payload.size};
    return crc32c(crc32c(0, slice_of(numbers, sizeof numbers)), record->payload);
}

static void committed(void *context, uint64_t durable_lsn)
{
    struct rig *rig = context;
    note(rig, !rig->is_inside_append, "a callback came from inside an append");
    note(rig, durable_lsn > rig->acknowledged_lsn, "durable LSNs rise");
    note(rig, durable_lsn <= rig->appended_lsn, "nothing is durable before it is appended");
    rig->acknowledged_lsn = durable_lsn;
    rig->committed_calls++;
}

static void stuck(void *context, enum err err)
{
    struct rig *rig = context;
    note(rig, !rig->is_inside_append, "a callback came from inside an append");
    note(rig, err == ERR_IO || err == ERR_FULL, "what made it stick is a write's fault");
    rig->stuck_calls++;
}

static void wake_at(void *context, int64_t monotonic_ns)
{
    struct rig *rig = context;
    note(rig, monotonic_ns > rig->now_ns, "wake-ups lie ahead");
    rig->wake_ns = monotonic_ns;
    rig->wake_calls++;
}

static int64_t now_ns(void *context)
{
    return ((struct rig *)context)->now_ns;
}

static enum err replay(void *context, const struct record *record, uint64_t lsn)
{
    struct rig *rig = context;
    note(rig, lsn > rig->absorbed_lsn, "what is absorbed is not replayed");
    note(rig, lsn == rig->replayed_lsn + 1, "LSNs are dense and in order");
    note(rig, lsn <= rig->appended_lsn, "nothing is replayed that nobody appended");
    if (lsn <= rig->appended_lsn)
        note(rig, fingerprint(record) == rig->model[lsn], "a record is what was appended");
    rig->replayed_lsn = lsn;
    return ERR_OK;
}

void rig_init(struct rig *rig, uint64_t seed)
{
    *rig = (struct rig){.disk = sim_disk_new(seed), .now_ns = 1000000000};
    rig->model = calloc(RIG_LSN_MAX + 1, sizeof *rig->model);
    ASSERT(rig->model);
    rig->config = (struct journal_config){
        .disk = rig->disk,
        .path = RIG_PATH,
        .store_uuid = "0123456789abcde",
        .segment_bytes = RIG_SEGMENT_BYTES,
        .segment_count = SEGMENT_COUNT_MIN,
        .batch_bytes = RIG_BATCH_BYTES,
        .commit_spacing_ns = 1000000,
        .committed = committed,
        .stuck = stuck,
        .wake_at = wake_at,
        .now_ns = now_ns,
        .context = rig,
    };
}

void rig_deinit(struct rig *rig)
{
    rig_end(rig);
    rig->disk = sim_disk_free(rig->disk);
    free(rig->model);
}

void rig_end(struct rig *rig)
{
    rig->journal = journal_abandon(rig->journal);
}

enum err rig_open(struct rig *rig)
{
    rig->incarnation++;
    rig->replayed_lsn = rig->absorbed_lsn;
    TRY(journal_open(&rig->config, rig->absorbed_lsn, replay, &rig->found, &rig->journal));
    note(rig, rig->replayed_lsn >= rig->acknowledged_lsn, "what was acknowledged is there");
    note(rig, rig->found.last_lsn == rig->replayed_lsn, "recovery knows its last LSN");
    note(rig, rig->found.corrupt_batches == 0, "a crash corrupts nothing");
    note(rig, rig->found.missing_batches == 0, "a crash leaves no gap");
    rig->appended_lsn = rig->acknowledged_lsn = rig->replayed_lsn;
    return ERR_OK;
}

void rig_power_cut(struct rig *rig)
{
    sim_disk_power_cut(rig->disk);
    rig_end(rig);
    note(rig, rig_open(rig) == ERR_OK, "the journal opens after a power cut");
}

enum err rig_append(struct rig *rig, size_t payload_bytes)
{
    static uint8_t payload[FRAGMENT_BYTES_MAX];
    uint64_t lsn = rig->appended_lsn + 1;
    ASSERT(lsn <= RIG_LSN_MAX && payload_bytes <= sizeof payload);
    memset(payload, (int)(lsn * 31 + rig->incarnation), payload_bytes);
    struct record record = {
        .type = RECORD_EVENT,
        .flags = RECORD_LAST,
        .number = rig->incarnation,
        .seq = lsn * 7,
        .time_ns = rig->now_ns,
        .payload = slice_of(payload, payload_bytes),
    };
    uint64_t given = 0;
    rig->is_inside_append = true;
    enum err err = journal_append(rig->journal, &record, &given);
    if (err == ERR_OK && !rig->is_patient)
        journal_hurry(rig->journal);
    rig->is_inside_append = false;
    TRY(err);
    note(rig, given == lsn, "LSNs are given without a gap");
    rig->model[lsn] = fingerprint(&record);
    rig->appended_lsn = lsn;
    return ERR_OK;
}

void rig_commit(struct rig *rig)
{
    for (int turns = 0; !journal_is_idle(rig->journal); turns++) {
        ASSERT(turns < 1000);
        journal_tick(rig->journal);
        if (sim_disk_complete(rig->disk, 1) == 0)
            rig->now_ns += rig->config.commit_spacing_ns;
    }
}

void rig_absorb(struct rig *rig, uint64_t lsn)
{
    ASSERT(lsn <= rig->acknowledged_lsn);
    if (lsn > rig->absorbed_lsn)
        rig->absorbed_lsn = lsn;
    journal_absorbed(rig->journal, lsn);
}

void rig_batches(struct rig *rig, uint64_t count, size_t payload_bytes)
{
    for (uint64_t i = 0; i < count; i++) {
        note(rig, rig_append(rig, payload_bytes) == ERR_OK, "there is room");
        rig_commit(rig);
    }
}

struct journal_status rig_status(const struct rig *rig)
{
    struct journal_status status;
    journal_status(rig->journal, &status);
    return status;
}
