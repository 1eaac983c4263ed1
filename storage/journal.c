/* journal — appending, and committing one batch after another.
 *
 *   a batch     ABSENT ─▶ open ──full──▶ waiting ─▶ in flight ──durable──▶ idle (or freed)
 *                          └──────time to commit──────▶│  │▲
 *                                                      failed: once more, in a fresh segment;
 *                                                      the second time the journal is stuck
 *   its buffer  | header block of a segment | frame header | records … | zeros to 4 KiB |
 *                 written with the first batch of a segment, in one write
 *
 * So a segment begins with its first batch and not before: nothing is written by an open, or by a
 * journal that has nothing to say, and no empty segment uses up a slot.
 *
 * Invariants: records leave in the order of their LSNs; a batch has its number from the moment it
 * is written, and keeps it until it is durable; segment generations rise with each segment begun;
 * a batch is begun only if the ring has room for it and all that waits before it.                */
#include "storage/journal.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/list.h"
#include "protocol/base/own.h"
#include "storage/recover.h"
#include "storage/segment.h"
#include "storage/slab.h"
#include "storage/slot.h"

enum {
    FRAME_AT = SEGMENT_HEADER_BYTES /* in a batch's buffer; the header block's room is before */
};

struct batch {
    struct list node; /* in waiting or idle */
    uint8_t *buffer;  /* batch_bytes, aligned */
    int buffer_index; /* registered with the disk, or -1 */
    bool is_kept;     /* one of the first BATCH_BUFFER_REGISTERED */
    uint32_t payload_bytes, record_count;
    size_t dirty_bytes; /* of its last frame; behind it a kept buffer is zero */
    uint64_t first_lsn;
    int64_t begun_ns; /* append of its first record */
    bool is_hurried;  /* somebody waits for it */
    int failures;
};

struct journal {
    struct journal_config config;
    size_t batch_bytes;
    struct slot_ring ring;

    struct slot *current; /* the segment being written, or NULL: the next batch begins one */
    uint64_t offset;      /* in it, of the next batch; 0: its header is to be written, too */
    uint64_t generation;  /* of the segment begun last */
    uint64_t next_batch;

    struct batch *open;  /* takes appends, or NULL */
    struct list waiting; /* of full batches, oldest first */
    struct batch *in_flight;
    struct disk_write write; /* of in_flight */
    struct list idle;
    struct slabs slabs;              /* their memory */
    size_t batch_count, spare_count; /* all buffers · the idle ones that are not kept */

    uint64_t appended_lsn, durable_lsn, absorbed_lsn;
    uint64_t backlog_bytes;
    uint64_t commits, commit_bytes, write_failures;
    int64_t paced_ns; /* when the next commit would start if all kept their spacing */
    int64_t wake_ns;  /* asked for; 0: none */
    bool is_stuck;

    void (*observe)(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes);
    void *observe_context;
};

static struct batch *batch_new(struct journal *journal);
static struct batch *batch_free(struct journal *journal, struct batch *batch);
static void commit_done(struct disk_write *write, enum err err);

static int64_t now_ns(const struct journal *journal)
{
    return journal->config.now_ns(journal->config.context);
}

/* ---- open and close ---- */

/* pin_buffers — the first buffers, kept for good. */
static enum err pin_buffers(struct journal *journal)
{
    struct batch *batches[BATCH_BUFFER_REGISTERED];
    struct slice buffers[BATCH_BUFFER_REGISTERED];
    for (int i = 0; i < BATCH_BUFFER_REGISTERED; i++) {
        batches[i] = batch_new(journal);
        if (!batches[i])
            return fault(ERR_NOMEM, "batch buffers");
        batches[i]->is_kept = true;
        memset(
            batches[i]->buffer, 0, journal->batch_bytes); /* touched now, not on a token's path */
        buffers[i] = slice_of(batches[i]->buffer, journal->batch_bytes);
        list_append(&journal->idle, &batches[i]->node);
    }
    struct disk *disk = journal->config.disk;
    if (disk->ops->register_buffers(disk, buffers, BATCH_BUFFER_REGISTERED))
        for (int i = 0; i < BATCH_BUFFER_REGISTERED; i++)
            batches[i]->buffer_index = i;
    return ERR_OK;
}

static enum err recover_journal(struct journal *journal, const char *path, uint64_t absorbed_lsn,
    enum err (*replay)(void *context, const struct record *record, uint64_t lsn),
    struct journal_recovery *found)
{
    const struct journal_config *config = &journal->config;
    TRY(slot_ring_open(
        &journal->ring, config->disk, path, config->segment_bytes, config->segment_count));
    struct recover_request request = {
        .ring = &journal->ring,
        .absorbed_lsn = absorbed_lsn,
        .replay = replay,
        .context = config->context,
    };
    memcpy(request.store_uuid, config->store_uuid, STORE_UUID_BYTES);
    TRY(recover_run(&request, found, &journal->generation));
    journal->next_batch = found->last_batch + 1;
    journal->appended_lsn = journal->durable_lsn = found->last_lsn;
    journal->absorbed_lsn = absorbed_lsn;
    return ERR_OK;
}

static enum err make_ready(struct journal *journal)
{
    slot_ring_release(&journal->ring, journal->absorbed_lsn);
    TRY(slot_ring_clean(&journal->ring));
    return pin_buffers(journal);
}

enum err journal_open(const struct journal_config *config, uint64_t absorbed_lsn,
    enum err (*replay)(void *context, const struct record *record, uint64_t lsn),
    struct journal_recovery *found, struct journal **out)
{
    size_t batch_bytes = config->batch_bytes ? config->batch_bytes : BATCH_BYTES;
    ASSERT(batch_bytes >= BATCH_BYTES_MIN && batch_bytes <= BATCH_BYTES);
    ASSERT(batch_bytes % DISK_ALIGN == 0 && config->segment_bytes % DISK_ALIGN == 0);
    ASSERT(config->segment_bytes >= 2 * batch_bytes && config->commit_spacing_ns >= 0);
    struct journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return fault(ERR_NOMEM, "journal");
    journal->config = *config;
    journal->config.path = NULL; /* borrowed; the ring has a copy */
    journal->batch_bytes = batch_bytes;
    slabs_init(&journal->slabs, batch_bytes);
    list_init(&journal->waiting);
    list_init(&journal->idle);
    enum err err = recover_journal(journal, config->path, absorbed_lsn, replay, found);
    if (err == ERR_OK && !config->is_read_only)
        err = make_ready(journal);
    if (err != ERR_OK) {
        journal_close(journal);
        return err;
    }
    *out = journal;
    return ERR_OK;
}

static void free_batches(struct journal *journal, struct list *list)
{
    for (struct list *node; (node = list_pop(list));)
        batch_free(journal, CONTAINER_OF(node, struct batch, node));
}

struct journal *journal_abandon(struct journal *journal)
{
    if (!journal)
        return NULL;
    free_batches(journal, &journal->waiting);
    free_batches(journal, &journal->idle);
    journal->open = batch_free(journal, journal->open);
    journal->in_flight = batch_free(journal, journal->in_flight);
    slot_ring_close(&journal->ring);
    free(journal);
    return NULL;
}

struct journal *journal_close(struct journal *journal)
{
    ASSERT(!journal || !journal->in_flight);
    return journal_abandon(journal);
}

/* ---- batches and their buffers ---- */

static struct batch *batch_new(struct journal *journal)
{
    if (journal->batch_count >= BATCH_BUFFER_COUNT)
        return NULL;
    CLEANUP(cleanup_free) struct batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->buffer = slabs_take(&journal->slabs);
    if (!batch->buffer)
        return NULL;
    list_init(&batch->node);
    batch->buffer_index = -1;
    journal->batch_count++;
    return MOVE(batch);
}

static struct batch *batch_free(struct journal *journal, struct batch *batch)
{
    if (!batch)
        return NULL;
    journal->batch_count--;
    slabs_give(&journal->slabs, batch->buffer);
    free(batch);
    return NULL;
}

/* batch_take — an idle buffer, the kept ones first, or a new one; NULL: out of them. */
static struct batch *batch_take(struct journal *journal)
{
    struct list *node = list_pop(&journal->idle);
    if (!node)
        return batch_new(journal);
    struct batch *batch = CONTAINER_OF(node, struct batch, node);
    journal->spare_count -= !batch->is_kept;
    return batch;
}

static void batch_release(struct journal *journal, struct batch *batch)
{
    if (batch->is_kept) {
        list_insert_before(journal->idle.next, &batch->node);
    } else if (journal->spare_count < BATCH_BUFFER_SPARE) {
        list_append(&journal->idle, &batch->node);
        journal->spare_count++;
    } else {
        batch_free(journal, batch);
    }
}

static struct batch *oldest_waiting(const struct journal *journal)
{
    return list_is_empty(&journal->waiting)
               ? NULL
               : CONTAINER_OF(journal->waiting.next, struct batch, node);
}

/* ---- append ---- */

static size_t payload_capacity(const struct journal *journal)
{
    return journal->batch_bytes - FRAME_AT - BATCH_HEADER_BYTES;
}

static bool has_room(const struct journal *journal, const struct batch *batch, size_t bytes)
{
    return batch && payload_capacity(journal) - batch->payload_bytes >= bytes;
}

/* place — put a frame behind those before it: in the segment, or else in one of the free slots. */
static bool place(
    const struct journal *journal, size_t frame_bytes, uint64_t *room, uint32_t *free_slots)
{
    if (frame_bytes > *room) {
        if (*free_slots == 0)
            return false;
        *free_slots -= 1;
        *room = journal->config.segment_bytes - SEGMENT_HEADER_BYTES;
    }
    *room -= frame_bytes;
    return true;
}

/* ring_has_room — for all that waits, and one more full batch. */
static bool ring_has_room(const struct journal *journal)
{
    uint64_t room = journal->current ? journal->current->bytes - journal->offset : 0;
    uint32_t free_slots = slot_ring_free_count(&journal->ring);
    LIST_FOREACH (node, &journal->waiting) {
        const struct batch *batch = CONTAINER_OF(node, struct batch, node);
        if (!place(journal, batch_frame_bytes(batch->payload_bytes), &room, &free_slots))
            return false;
    }
    return place(journal, journal->batch_bytes - FRAME_AT, &room, &free_slots);
}

/* begin_batch — the open batch, if any, is full as it is; a new one takes its place. */
static enum err begin_batch(struct journal *journal)
{
    if (journal->open)
        list_append(&journal->waiting, &journal->open->node);
    journal->open = NULL;
    struct batch *batch = ring_has_room(journal) ? batch_take(journal) : NULL;
    if (!batch)
        return ERR_FULL;
    batch->payload_bytes = batch->record_count = 0;
    batch->failures = 0;
    batch->is_hurried = false;
    batch->first_lsn = journal->appended_lsn + 1;
    batch->begun_ns = now_ns(journal);
    journal->open = batch;
    return ERR_OK;
}

static enum err make_room(struct journal *journal, size_t bytes)
{
    if (journal->is_stuck || journal->config.is_read_only)
        return ERR_FULL;
    return has_room(journal, journal->open, bytes) ? ERR_OK : begin_batch(journal);
}

enum err journal_reserve(struct journal *journal, size_t bytes, size_t records)
{
    size_t capacity = payload_capacity(journal);
    if (bytes > capacity || records > (capacity - bytes) / RECORD_OVERHEAD_BYTES_MAX)
        return ERR_LIMIT;
    return make_room(journal, bytes + records * RECORD_OVERHEAD_BYTES_MAX);
}

enum err journal_append(struct journal *journal, const struct record *record, uint64_t *lsn)
{
    ASSERT(record->payload.size <= FRAGMENT_BYTES_MAX);
    ASSERT(record->payload.size + RECORD_OVERHEAD_BYTES_MAX <= payload_capacity(journal));
    TRY(make_room(journal, record->payload.size + RECORD_OVERHEAD_BYTES_MAX));
    struct batch *batch = journal->open;
    uint8_t *at = batch->buffer + FRAME_AT + BATCH_HEADER_BYTES + batch->payload_bytes;
    size_t size = 0;
    enum err err =
        record_encode(record, at, payload_capacity(journal) - batch->payload_bytes, &size);
    ASSERT(err == ERR_OK);
    batch->payload_bytes += (uint32_t)size;
    batch->record_count++;
    journal->backlog_bytes += size;
    *lsn = ++journal->appended_lsn;
    return ERR_OK;
}

void journal_hurry(struct journal *journal)
{
    if (journal->open)
        journal->open->is_hurried = true;
}

/* ---- commit ---- */

/* begin_segment — in the oldest free slot; false: there is none now. */
static bool begin_segment(struct journal *journal)
{
    struct slot *slot = NULL;
    if (slot_ring_take(&journal->ring, &slot) != ERR_OK)
        return false;
    slot->generation = ++journal->generation;
    journal->current = slot;
    journal->offset = 0;
    slot_ring_release(&journal->ring, journal->absorbed_lsn); /* the one that was the newest */
    return true;
}

/* find_place — room for a batch in the current segment, or in a fresh one. */
static bool find_place(struct journal *journal, const struct batch *batch)
{
    size_t frame_bytes = batch_frame_bytes(batch->payload_bytes);
    if (journal->current && frame_bytes <= journal->current->bytes - journal->offset)
        return true;
    return begin_segment(journal);
}

/* pad — zeros behind the records. A kept buffer has them from before, but where its last frame was
 * longer: most commits of a few records have nothing to do here. */
static void pad(struct batch *batch)
{
    size_t used = BATCH_HEADER_BYTES + (size_t)batch->payload_bytes;
    size_t end = batch->is_kept ? batch->dirty_bytes : batch_frame_bytes(batch->payload_bytes);
    if (end > used)
        memset(batch->buffer + FRAME_AT + used, 0, end - used);
    batch->dirty_bytes = used;
}

/* dress — the frame around a batch's records and, at the start of a segment, the header before it;
 * what is to be written. */
static struct slice dress(struct journal *journal, struct batch *batch)
{
    struct batch_header header = {
        .generation = journal->current->generation,
        .number = journal->next_batch,
        .first_lsn = batch->first_lsn,
        .record_count = batch->record_count,
        .payload_bytes = batch->payload_bytes,
    };
    batch_encode(&header, journal->config.store_uuid, batch->buffer + FRAME_AT);
    pad(batch);
    size_t frame_bytes = batch_frame_bytes(batch->payload_bytes);
    if (journal->offset > 0)
        return slice_of(batch->buffer + FRAME_AT, frame_bytes);
    struct segment_header segment = {
        .slot = slot_ring_index(&journal->ring, journal->current),
        .generation = journal->current->generation,
        .segment_bytes = journal->current->bytes,
        .first_batch = journal->next_batch,
        .first_lsn = batch->first_lsn,
    };
    memcpy(segment.store_uuid, journal->config.store_uuid, STORE_UUID_BYTES);
    segment_header_encode(&segment, batch->buffer);
    return slice_of(batch->buffer, SEGMENT_HEADER_BYTES + frame_bytes);
}

static uint64_t last_lsn(const struct batch *batch)
{
    return batch->first_lsn + batch->record_count - 1;
}

static void commit_start(struct journal *journal, struct batch *batch)
{
    ASSERT(!journal->in_flight && batch->record_count > 0);
    ASSERT(batch->first_lsn == journal->durable_lsn + 1);
    if (batch == journal->open)
        journal->open = NULL;
    else
        list_unlink(&batch->node);
    journal->in_flight = batch;
    journal->write = (struct disk_write){
        .file = journal->current->file,
        .offset = journal->offset,
        .bytes = dress(journal, batch),
        .buffer_index = batch->buffer_index,
        .done = commit_done,
        .owner = journal,
    };
    journal->offset += journal->write.bytes.size;
    journal->current->last_lsn = last_lsn(batch);
    ASSERT(journal->offset <= journal->current->bytes);
    journal->config.disk->ops->write_durable(journal->config.disk, &journal->write);
}

/* wake_at — unless an earlier wake-up is on its way. */
static void wake_at(struct journal *journal, int64_t now, int64_t when_ns)
{
    if (journal->wake_ns > now && journal->wake_ns <= when_ns)
        return;
    journal->wake_ns = when_ns;
    journal->config.wake_at(journal->config.context, when_ns);
}

/* spacing_ns — that a commit of so many records asks for. It costs the same CPU however little is in
 * it, so the more one held, the longer the next one waits for company: at 1,000 streams the last of
 * a token's latency to gain costs more than all else that is done for it. */
static int64_t spacing_ns(const struct journal *journal, uint32_t records)
{
    uint32_t more = records / COMMIT_SPACING_RECORDS;
    uint32_t more_max = COMMIT_SPACING_TIMES_MAX - 1;
    return journal->config.commit_spacing_ns * (1 + (more < more_max ? more : more_max));
}

/* Commits keep their spacing on average: after a quiet time a few may follow one another at once
 * (a virtual-scheduling leaky bucket; ITU-T I.371, GCRA). Full batches, which do not wait, leave no
 * debt behind: the one after the last of them waits for its own spacing and no more. */
static int64_t due_ns(const struct journal *journal, const struct batch *batch)
{
    int64_t spacing_ns = journal->config.commit_spacing_ns;
    int64_t due_ns = journal->paced_ns - COMMIT_BURST * spacing_ns;
    int64_t full_ns = batch->begun_ns + COMMIT_SPACING_TIMES_MAX * spacing_ns;
    return batch->is_hurried || due_ns > full_ns ? due_ns : full_ns;
}

static void note_start(struct journal *journal, int64_t now, uint32_t records)
{
    int64_t from_ns = journal->paced_ns > now ? journal->paced_ns : now;
    int64_t from_ns_max = now + COMMIT_BURST * journal->config.commit_spacing_ns;
    journal->paced_ns =
        (from_ns < from_ns_max ? from_ns : from_ns_max) + spacing_ns(journal, records);
}

void journal_tick(struct journal *journal)
{
    if (journal->in_flight || journal->is_stuck)
        return;
    struct batch *full = oldest_waiting(journal);
    struct batch *batch = full ? full : journal->open;
    if (!batch || batch->record_count == 0)
        return;
    int64_t now = now_ns(journal);
    if (!full && now < due_ns(journal, batch)) {
        wake_at(journal, now, due_ns(journal, batch));
    } else if (!find_place(journal, batch)) {
        wake_at(journal, now, now + JOURNAL_BLOCKED_RETRY_NS);
    } else {
        note_start(journal, now, batch->record_count);
        commit_start(journal, batch);
    }
}

static void commit_succeeded(struct journal *journal, struct batch *batch)
{
    journal->next_batch++;
    journal->durable_lsn = last_lsn(batch);
    journal->backlog_bytes -= batch->payload_bytes;
    journal->commits++;
    journal->commit_bytes += journal->write.bytes.size;
    if (journal->observe)
        journal->observe(journal->observe_context, now_ns(journal) - batch->begun_ns,
            batch->record_count, journal->write.bytes.size);
    batch_release(journal, batch);
    journal->config.committed(journal->config.context, journal->durable_lsn);
}

/* commit_failed — what the disk holds of it is unknown; the segment gets nothing more, and stays
 * needed until the batch is absorbed from where it will be written. */
static void commit_failed(struct journal *journal, struct batch *batch, enum err err)
{
    journal->write_failures++;
    batch->failures++;
    journal->current = NULL;
    journal->offset = 0;
    list_insert_before(journal->waiting.next, &batch->node);
    if (batch->failures < BATCH_FAILURES_MAX)
        return;
    journal->is_stuck = true;
    journal->config.stuck(journal->config.context, err);
}

static void commit_done(struct disk_write *write, enum err err)
{
    struct journal *journal = write->owner;
    struct batch *batch = MOVE(journal->in_flight);
    ASSERT(batch && !journal->is_stuck);
    if (err == ERR_OK)
        commit_succeeded(journal, batch);
    else
        commit_failed(journal, batch, err);
    journal_tick(journal);
}

bool journal_is_idle(const struct journal *journal)
{
    bool is_open_empty = !journal->open || journal->open->record_count == 0;
    bool has_nothing = is_open_empty && list_is_empty(&journal->waiting);
    return !journal->in_flight && (has_nothing || journal->is_stuck);
}

/* ---- slots ---- */

void journal_absorbed(struct journal *journal, uint64_t absorbed_lsn)
{
    ASSERT(absorbed_lsn <= journal->appended_lsn);
    if (absorbed_lsn <= journal->absorbed_lsn)
        return;
    journal->absorbed_lsn = absorbed_lsn;
    if (!journal->config.is_read_only)
        slot_ring_release(&journal->ring, absorbed_lsn);
}

bool journal_prepare(struct journal *journal)
{
    return !journal->config.is_read_only && slot_ring_prepare(&journal->ring);
}

/* used_bytes — what one slot takes away from the ring. */
static uint64_t used_bytes(const struct journal *journal, const struct slot *slot)
{
    if (slot_is_unavailable(slot))
        return journal->config.segment_bytes;
    if (!slot_is_used(slot) || slot->last_lsn <= journal->absorbed_lsn)
        return 0;
    return slot == journal->current ? journal->offset : journal->config.segment_bytes;
}

/* Slots past the configured count are left from a larger ring: they are emptied, and not written again. */
static uint32_t used_percent(const struct journal *journal)
{
    uint64_t used = 0;
    for (const struct slot *slot = journal->ring.slots;
         slot < journal->ring.slots + journal->config.segment_count; slot++)
        used += used_bytes(journal, slot);
    uint64_t percent = used * 100 / (journal->config.segment_bytes * journal->config.segment_count);
    return percent < 100 ? (uint32_t)percent : 100;
}

/* ---- looking at it ---- */

void journal_status(const struct journal *journal, struct journal_status *out)
{
    *out = (struct journal_status){
        .appended_lsn = journal->appended_lsn,
        .durable_lsn = journal->durable_lsn,
        .absorbed_lsn = journal->absorbed_lsn,
        .backlog_bytes = journal->backlog_bytes,
        .used_percent = used_percent(journal),
        .commits = journal->commits,
        .commit_bytes = journal->commit_bytes,
        .write_failures = journal->write_failures,
        .is_stuck = journal->is_stuck,
    };
}

void journal_observe(struct journal *journal,
    void (*observe)(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes),
    void *context)
{
    journal->observe = observe;
    journal->observe_context = context;
}
