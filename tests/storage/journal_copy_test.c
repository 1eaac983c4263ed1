/* journal_copy — a journal on a real file system, copied at rest, damaged, foreign, and while a thread
 * writes and recycles it as fast as it can. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "protocol/base/digest.h"
#include "protocol/base/own.h"
#include "storage/journal_copy.h"
#include "storage/segment.h"

enum {
    PAYLOAD_BYTES = 20000,
    SLOTS = SEGMENT_COUNT_MIN,
    BUSY_COPIES = 12,
    BUSY_TRIES_MAX = 400,
    BUSY_PAUSE_US_MAX = 20000, /* of the writer, where it is too fast for a copy */
    RING_RECORDS = 700,        /* more than the ring holds */
    KEPT_UNABSORBED = 60,      /* records that the busy writer leaves: a fraction of a segment */
};

struct rig {
    char from[64], to[64];
    struct disk *disk;
    struct journal *journal;
    struct journal_config config;
    atomic_uint_fast64_t durable_lsn, absorbed_lsn;
    atomic_bool is_done;
    atomic_uint pause_us;
    uint64_t next_lsn; /* that the replay expects */
};

static uint8_t payload[PAYLOAD_BYTES];

static void on_committed(void *context, uint64_t durable_lsn)
{
    struct rig *rig = context;
    atomic_store(&rig->durable_lsn, durable_lsn);
}

static void on_stuck(void *context, enum err err)
{
    (void)context, (void)err;
    abort();
}

static void on_wake(void *context, int64_t when_ns)
{
    (void)context, (void)when_ns;
}

static int64_t now_ns(void *context)
{
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static enum err nothing(void *context, const struct record *record, uint64_t lsn)
{
    (void)context, (void)record, (void)lsn;
    return ERR_OK;
}

/* Every record tells its LSN: what is replayed is dense, and is what was written. */
static enum err check_record(void *context, const struct record *record, uint64_t lsn)
{
    struct rig *rig = context;
    assert_int_equal(lsn, rig->next_lsn);
    assert_int_equal(record->number, lsn);
    assert_int_equal(record->payload.size, PAYLOAD_BYTES);
    rig->next_lsn++;
    return ERR_OK;
}

static void open_rig(struct rig *rig)
{
    struct journal_recovery found;
    *rig =
        (struct rig){.from = "/tmp/tokenlog-journal-XXXXXX", .to = "/tmp/tokenlog-journal-XXXXXX"};
    assert_non_null(mkdtemp(rig->from));
    assert_non_null(mkdtemp(rig->to));
    rig->disk = disk_plain_new();
    rig->config = (struct journal_config){.disk = rig->disk,
        .path = rig->from,
        .store_uuid = "one store's UUID",
        .segment_bytes = SEGMENT_BYTES_MIN,
        .segment_count = SLOTS,
        .committed = on_committed,
        .stuck = on_stuck,
        .wake_at = on_wake,
        .now_ns = now_ns,
        .context = rig};
    assert_int_equal(journal_open(&rig->config, 0, nothing, &found, &rig->journal), ERR_OK);
}

static void remove_directory(const char *path)
{
    char file[PATH_MAX];
    for (int i = 0; i < SLOTS; i++) {
        (void)snprintf(file, sizeof file, "%s/journal-%02d", path, i);
        (void)unlink(file);
    }
    assert_int_equal(rmdir(path), 0);
}

static void close_rig(struct rig *rig)
{
    journal_close(rig->journal);
    disk_plain_free(rig->disk);
    remove_directory(rig->from);
    remove_directory(rig->to);
}

/* One commit of up to `count` records. */
static void write_records(struct rig *rig, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t lsn;
        struct journal_status status;
        journal_status(rig->journal, &status);
        struct record record = {.type = RECORD_EVENT,
            .flags = RECORD_LAST,
            .number = status.appended_lsn + 1,
            .payload = slice_of(payload, sizeof payload)};
        if (journal_append(rig->journal, &record, &lsn) != ERR_OK)
            break;
        journal_hurry(rig->journal);
    }
    journal_tick(rig->journal);
    disk_plain_run(rig->disk);
}

static void absorb(struct rig *rig, uint64_t lsn)
{
    atomic_store(&rig->absorbed_lsn, lsn); /* the store's commit comes before the slots are free */
    journal_absorbed(rig->journal, lsn);
}

static enum err copy(struct rig *rig, uint64_t absorbed_lsn, struct journal_copied *out)
{
    struct disk *disk = disk_plain_new();
    struct journal_copying copying = {
        .disk = disk, .from = rig->from, .to = rig->to, .absorbed_lsn = absorbed_lsn};
    memcpy(copying.store_uuid, rig->config.store_uuid, sizeof copying.store_uuid);
    enum err err = journal_copy(&copying, out);
    disk_plain_free(disk);
    return err;
}

/* The copy holds all of absorbed + 1 … last, at least. */
static void check_copy(struct rig *rig, uint64_t absorbed_lsn, uint64_t last_lsn)
{
    struct disk *disk = disk_plain_new();
    struct journal *journal;
    struct journal_recovery found;
    struct journal_config config = rig->config;
    config.disk = disk;
    config.path = rig->to;
    config.is_read_only = true;
    rig->next_lsn = absorbed_lsn + 1;
    assert_int_equal(journal_open(&config, absorbed_lsn, check_record, &found, &journal), ERR_OK);
    assert_true(rig->next_lsn > last_lsn);
    assert_int_equal(found.corrupt_batches + found.missing_batches + found.torn_batches, 0);
    journal_close(journal);
    disk_plain_free(disk);
}

static void what_is_needed_is_copied(void **state)
{
    (void)state;
    struct rig rig;
    struct journal_copied copied;
    open_rig(&rig);
    assert_int_equal(copy(&rig, 0, &copied), ERR_OK); /* nothing at all */
    assert_int_equal(copied.segments, 0);
    for (int i = 0; i < 25; i++)
        write_records(&rig, 20); /* ten megabytes: three segments */
    uint64_t last = rig.durable_lsn;
    assert_int_equal(last, 500);
    assert_int_equal(copy(&rig, 0, &copied), ERR_OK);
    assert_int_equal(copied.segments, 3);
    check_copy(&rig, 0, last);
    assert_int_equal(copy(&rig, last - 50, &copied), ERR_OK);
    assert_int_equal(copied.segments, 1);
    assert_true(copied.bytes < SEGMENT_BYTES_MIN);
    check_copy(&rig, last - 50, last);
    assert_int_equal(copy(&rig, last, &copied), ERR_OK); /* the counters are in the newest */
    assert_int_equal(copied.segments, 1);
    assert_int_equal(copied.found.last_lsn, last);
    close_rig(&rig);
}

/* Writes over what lies at `offset` of a slot. */
static void scratch(const struct rig *rig, int slot, off_t offset, const void *bytes, size_t size)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/journal-%02d", rig->from, slot);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, size, offset), (ssize_t)size);
}

static void damage_is_copied_and_told(void **state)
{
    (void)state;
    struct rig rig;
    struct journal_copied copied;
    open_rig(&rig);
    for (int i = 0; i < 5; i++)
        write_records(&rig, 5);
    scratch(&rig, 0, 2 * 4096 + 100 + 25 * 4096, "damage", 6); /* in the second batch */
    assert_int_equal(copy(&rig, 0, &copied), ERR_OK);
    assert_int_equal(copied.found.corrupt_batches, 1);
    assert_int_equal(copied.found.last_lsn, 25);
    uint8_t zeros[64] = {0};
    scratch(&rig, 0, 8, zeros, sizeof zeros); /* and its header: the batches speak for it */
    assert_int_equal(copy(&rig, 0, &copied), ERR_OK);
    assert_int_equal(copied.found.damaged_headers, 1);
    assert_int_equal(copied.found.last_lsn, 25);
    close_rig(&rig);
}

static void what_was_recycled_is_told(void **state)
{
    (void)state;
    struct rig rig;
    struct journal_copied copied;
    open_rig(&rig);
    for (int i = 0; i < 60; i++) { /* twice round the ring */
        write_records(&rig, 20);
        absorb(&rig, rig.durable_lsn);
    }
    assert_int_equal(copy(&rig, rig.absorbed_lsn, &copied), ERR_OK);
    assert_int_equal(copied.found.missing_batches, 0);
    assert_int_equal(copy(&rig, 100, &copied), ERR_OK); /* too old a state of the store */
    assert_true(copied.found.missing_batches > 0);
    close_rig(&rig);
}

static void foreign_and_newer_ones_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct journal_copied copied;
    uint8_t block[SEGMENT_HEADER_BYTES];
    open_rig(&rig);
    write_records(&rig, 5);
    struct segment_header header = {.store_uuid = "another's UUID",
        .generation = 1,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .first_batch = 1,
        .first_lsn = 1};
    segment_header_encode(&header, block);
    scratch(&rig, 0, 0, block, sizeof block);
    assert_int_equal(copy(&rig, 0, &copied), ERR_CORRUPT);
    block[8] = 9; /* the format */
    uint32_t crc = crc32c(0, slice_of(block, 64));
    memcpy(block + 64, &crc, sizeof crc);
    scratch(&rig, 0, 0, block, sizeof block);
    assert_int_equal(copy(&rig, 0, &copied), ERR_UNSUPPORTED);
    assert_non_null(strstr(fault_origin(), "format 9"));
    close_rig(&rig);
}

/* A server and its archiver, in one thread: the archiver follows closely, so that slots are used
 * again all the time. */
static void *write_busily(void *context)
{
    struct rig *rig = context;
    while (!atomic_load(&rig->is_done)) {
        write_records(rig, 8);
        uint64_t durable_lsn = atomic_load(&rig->durable_lsn);
        if (durable_lsn > KEPT_UNABSORBED)
            absorb(rig, durable_lsn - KEPT_UNABSORBED);
        (void)usleep(atomic_load(&rig->pause_us));
    }
    return NULL;
}

static void a_copy_of_a_busy_journal_has_no_gap(void **state)
{
    (void)state;
    struct rig rig;
    pthread_t writer;
    int copies = 0;
    unsigned pause_us = 0;
    open_rig(&rig);
    assert_int_equal(pthread_create(&writer, NULL, write_busily, &rig), 0);
    for (int i = 0; i < BUSY_TRIES_MAX && copies < BUSY_COPIES; i++) {
        struct journal_copied copied;
        uint64_t durable_lsn = atomic_load(&rig.durable_lsn);
        uint64_t absorbed_lsn = atomic_load(&rig.absorbed_lsn);
        bool is_late = i % 4 == 3; /* the ring has gone round since */
        atomic_store(&rig.pause_us, is_late ? 0 : pause_us);
        while (is_late && atomic_load(&rig.durable_lsn) < absorbed_lsn + RING_RECORDS)
            (void)usleep(1000);
        enum err err = copy(&rig, absorbed_lsn, &copied);
        bool is_told = err == ERR_AGAIN || (err == ERR_OK && copied.found.missing_batches > 0) ||
                       (err == ERR_OK && copied.found.corrupt_batches > 0);
        assert_true(is_told || !is_late);
        if (is_told && !is_late && pause_us < BUSY_PAUSE_US_MAX)
            pause_us = pause_us ? 2 * pause_us : 100; /* the writer was faster */
        if (is_told)
            continue;
        assert_int_equal(err, ERR_OK);
        check_copy(&rig, absorbed_lsn, durable_lsn);
        copies++;
    }
    atomic_store(&rig.is_done, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(copies, BUSY_COPIES);
    assert_true(rig.durable_lsn > RING_RECORDS);
    close_rig(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_needed_is_copied),
        cmocka_unit_test(damage_is_copied_and_told),
        cmocka_unit_test(what_was_recycled_is_told),
        cmocka_unit_test(foreign_and_newer_ones_are_refused),
        cmocka_unit_test(a_copy_of_a_busy_journal_has_no_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
