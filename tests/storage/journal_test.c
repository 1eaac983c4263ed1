/* journal — what an owner sees of it: commits, spacing, fullness, failures, slots. What crashes
 * leave is recover_test.c's. */
#include "storage/journal.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/segment.h"
#include "tests/storage/journal_rig.h"

enum { BIG = RIG_BIG };

/* check_and_deinit — fails the test if anything did not agree with the model on the way. */
static void check_and_deinit(struct rig *rig)
{
    const char *problem = rig->problem;
    rig_deinit(rig);
    if (problem)
        fail_msg("%s", problem);
}

static void open_rig(struct rig *rig)
{
    assert_int_equal(rig_open(rig), ERR_OK);
}

static void close_rig(struct rig *rig)
{
    rig->journal = journal_close(rig->journal);
}

static void append(struct rig *rig, size_t payload_bytes)
{
    assert_int_equal(rig_append(rig, payload_bytes), ERR_OK);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.config.batch_bytes = 0; /* as in production */
    rig.config.segment_bytes = SEGMENT_BYTES_MIN;
    open_rig(&rig);
    assert_int_equal(rig.found.segments, 0);
    assert_true(journal_is_idle(rig.journal));
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_file_count(rig.disk), 0); /* nothing to say, nothing written */
    static const size_t sizes[] = {0, 1, 100, 4000, 4096, FRAGMENT_BYTES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        append(&rig, sizes[i]);
        append(&rig, sizes[i]);
        rig_commit(&rig);
    }
    assert_int_equal(rig.acknowledged_lsn, 12);
    assert_int_equal(rig.committed_calls, rig_status(&rig).commits);
    close_rig(&rig);
    open_rig(&rig);
    assert_int_equal(rig.replayed_lsn, 12);
    assert_int_equal(rig.found.records, 12);
    assert_int_equal(rig.found.torn_batches, 0);
    check_and_deinit(&rig);
}

static void test_status(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    append(&rig, 100);
    struct journal_status status = rig_status(&rig);
    assert_int_equal(status.appended_lsn, 1);
    assert_int_equal(status.durable_lsn, 0);
    assert_in_range(status.backlog_bytes, 100, 100 + RECORD_OVERHEAD_BYTES_MAX);
    rig_commit(&rig);
    status = rig_status(&rig);
    assert_int_equal(status.durable_lsn, 1);
    assert_int_equal(status.backlog_bytes, 0);
    assert_int_equal(status.commits, 1);
    assert_int_equal(status.commit_bytes, 2 * DISK_ALIGN); /* the header block came with it */
    rig_absorb(&rig, 1);
    assert_int_equal(rig_status(&rig).absorbed_lsn, 1);
    assert_int_equal(rig_status(&rig).used_percent, 0);
    check_and_deinit(&rig);
}

static void test_held_completion(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    append(&rig, 10);
    assert_int_equal(sim_disk_in_flight(rig.disk), 0); /* an append begins nothing */
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_in_flight(rig.disk), 1);
    for (int i = 0; i < 500; i++) {
        rig.now_ns += 1000000;
        append(&rig, 10);
        journal_tick(rig.journal);
        assert_int_equal(sim_disk_in_flight(rig.disk), 1);
        assert_int_equal(rig.acknowledged_lsn, 0);
    }
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    assert_int_equal(rig.acknowledged_lsn, 1);
    rig_commit(&rig);
    assert_int_equal(rig.acknowledged_lsn, 501);
    assert_int_equal(rig_status(&rig).commits, 2); /* all that had waited, at once */
    check_and_deinit(&rig);
}

/* After a quiet time: so many of `records` each that the next one has to wait. */
static void commit_burst(struct rig *rig, unsigned records)
{
    rig->now_ns += 1000 * rig->config.commit_spacing_ns;
    for (unsigned commits = 0; commits <= COMMIT_BURST; commits++) {
        for (unsigned n = 0; n < (commits < COMMIT_BURST ? 1 : records); n++)
            append(rig, 10);
        journal_tick(rig->journal);
        assert_int_equal(sim_disk_complete(rig->disk, 1), 1);
    }
}

static void test_spacing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    commit_burst(&rig, 1); /* idle: at once */
    int64_t start = rig.now_ns;
    assert_int_equal(rig.wake_calls, 0);

    rig.now_ns += 100000;
    append(&rig, 10);
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_in_flight(rig.disk), 0);
    assert_int_equal(rig.wake_ns, start + rig.config.commit_spacing_ns);
    rig.now_ns += 100000;
    journal_tick(rig.journal);
    assert_int_equal(rig.wake_calls, 1); /* asked for once */
    rig.now_ns = rig.wake_ns - 1;
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_in_flight(rig.disk), 0);
    rig.now_ns++;
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_in_flight(rig.disk), 1);

    /* One that took longer than the spacing is followed at once. */
    append(&rig, 10);
    rig.now_ns += 2 * rig.config.commit_spacing_ns;
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    assert_int_equal(sim_disk_in_flight(rig.disk), 1);
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    assert_true(journal_is_idle(rig.journal));
    check_and_deinit(&rig);
}

/* The fuller the last commit, the longer the next one waits, up to a bound. */
static void test_busy_spacing(void **state)
{
    (void)state;
    static const struct {
        unsigned records, times;
    } cases[] = {{COMMIT_SPACING_RECORDS - 1, 1}, {COMMIT_SPACING_RECORDS, 2},
        {3 * COMMIT_SPACING_RECORDS - 1, 3}, {20 * COMMIT_SPACING_RECORDS, 4}, {1, 1}};
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        commit_burst(&rig, cases[i].records);
        int64_t start = rig.now_ns;
        append(&rig, 10);
        journal_tick(rig.journal);
        assert_int_equal(sim_disk_in_flight(rig.disk), 0);
        assert_int_equal(rig.wake_ns, start + cases[i].times * rig.config.commit_spacing_ns);
        rig.now_ns = rig.wake_ns;
        journal_tick(rig.journal);
        assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    }
    assert_int_equal(COMMIT_SPACING_TIMES_MAX, 4);
    check_and_deinit(&rig);
}

/* What nobody waits for waits for company, until somebody does. */
static void test_patience(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    const int64_t patience_ns = COMMIT_SPACING_TIMES_MAX * rig.config.commit_spacing_ns;
    rig.now_ns += patience_ns;
    rig.is_patient = true;
    int64_t start = rig.now_ns;
    append(&rig, 10);
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_in_flight(rig.disk), 0);
    assert_int_equal(rig.wake_ns, start + patience_ns);
    rig.now_ns++;
    append(&rig, 10);
    journal_hurry(rig.journal);
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    assert_int_equal(rig.acknowledged_lsn, 2);
    journal_hurry(rig.journal); /* for nothing: it is not remembered */

    append(&rig, 10);
    rig.now_ns = rig.wake_ns;
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_in_flight(rig.disk), 0);
    rig.now_ns++;
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    assert_int_equal(rig.acknowledged_lsn, 3);
    assert_int_equal(rig_status(&rig).commits, 2);
    check_and_deinit(&rig);
}

static void test_full_batches(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.config.segment_bytes = 20 * RIG_BATCH_BYTES;
    open_rig(&rig);
    const uint64_t full_count = COMMIT_BURST + 4;
    for (uint64_t i = 0; i < 2 * full_count + 1; i++) /* two to a batch */
        append(&rig, BIG);
    journal_tick(rig.journal);
    for (uint64_t full = 1; full <= full_count;
         full++) { /* no time passes: full ones do not wait */
        assert_int_equal(sim_disk_in_flight(rig.disk), 1);
        assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
        assert_int_equal(rig.acknowledged_lsn, 2 * full);
    }
    assert_int_equal(sim_disk_in_flight(rig.disk), 0); /* the last one is not full… */
    assert_in_range(rig.wake_ns - rig.now_ns, 1, rig.config.commit_spacing_ns); /* …and owes none */
    rig_commit(&rig);
    assert_int_equal(rig.acknowledged_lsn, 2 * full_count + 1);
    rig_power_cut(&rig);
    assert_int_equal(rig.replayed_lsn, 2 * full_count + 1);
    assert_int_equal(rig.found.batches, full_count + 1);
    check_and_deinit(&rig);
}

static void test_reserve(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    assert_int_equal(journal_reserve(rig.journal, RIG_BATCH_BYTES, 1), ERR_LIMIT);
    assert_int_equal(journal_reserve(rig.journal, SIZE_MAX, 1), ERR_LIMIT);
    assert_int_equal(journal_reserve(rig.journal, 1, SIZE_MAX), ERR_LIMIT);
    assert_int_equal(journal_reserve(rig.journal, 100, 2), ERR_OK);
    assert_true(journal_is_idle(rig.journal)); /* room alone is nothing to commit */
    append(&rig, BIG);
    assert_int_equal(journal_reserve(rig.journal, 2 * BIG, 2), ERR_OK);
    append(&rig, BIG);
    append(&rig, BIG);
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    assert_int_equal(rig.acknowledged_lsn, 1);
    rig_commit(&rig);
    assert_int_equal(rig.acknowledged_lsn, 3);
    assert_int_equal(rig_status(&rig).commits, 2);
    check_and_deinit(&rig);
}

static void test_out_of_buffers(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.config.segment_bytes = 40 * RIG_BATCH_BYTES;
    open_rig(&rig);
    uint64_t appended = 0;
    while (rig_append(&rig, BIG) == ERR_OK)
        appended++;
    assert_int_equal(appended, 2 * BATCH_BUFFER_COUNT);
    assert_int_equal(rig_append(&rig, 1), ERR_FULL);
    assert_int_equal(journal_reserve(rig.journal, 1, 1), ERR_FULL);
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    append(&rig, BIG);
    rig_commit(&rig);
    assert_int_equal(rig.acknowledged_lsn, appended + 1);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

/* Many times round the ring: the files stay the same. */
static void test_wrap(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    for (int i = 0; i < 200; i++) {
        rig_batches(&rig, 1, 5000);
        if (i % 3 == 0)
            rig_absorb(&rig, rig.acknowledged_lsn);
        if (i % 25 == 0)
            rig_power_cut(&rig);
    }
    assert_in_range(sim_disk_file_count(rig.disk), 2, SEGMENT_COUNT_MIN);
    check_and_deinit(&rig);
}

static void test_ring_full(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    while (rig_append(&rig, BIG) == ERR_OK)
        rig_commit(&rig);
    struct journal_status status = rig_status(&rig);
    assert_in_range(status.used_percent, JOURNAL_REFUSE_PERCENT, 100);
    assert_int_equal(status.durable_lsn, status.appended_lsn);
    assert_false(status.is_stuck);
    rig_power_cut(&rig); /* a full ring opens, too, and still refuses */
    assert_int_equal(rig_append(&rig, 1), ERR_FULL);
    assert_int_equal(rig_status(&rig).used_percent, 100);
    rig_absorb(&rig, rig.acknowledged_lsn / 2);
    append(&rig, 1);
    rig_commit(&rig);
    assert_in_range(rig_status(&rig).used_percent, 0, 80);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

/* The n-th write fails, for every n: the batch goes to a fresh segment, nothing is lost. */
static void test_failed_writes(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        struct rig rig;
        rig_init(&rig, nth);
        rig.config.segment_count = 5;
        open_rig(&rig);
        sim_disk_fail(rig.disk, SIM_WRITE, nth, 1, nth % 2 ? ERR_IO : ERR_FULL);
        rig_batches(&rig, 12, 100);
        assert_int_equal(rig_status(&rig).write_failures, 1);
        assert_int_equal(rig.stuck_calls, 0);
        assert_int_equal(rig.acknowledged_lsn, 12);
        rig_power_cut(&rig);
        assert_int_equal(rig.found.batches, 12);
        rig_batches(&rig, 3, 100);
        rig_power_cut(&rig);
        check_and_deinit(&rig);
    }
}

static void test_stuck(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 5; nth++) {
        struct rig rig;
        rig_init(&rig, nth);
        rig.config.segment_count = 5;
        open_rig(&rig);
        sim_disk_fail(rig.disk, SIM_WRITE, nth, 2, ERR_IO);
        for (int i = 0; i < 8 && rig_append(&rig, 100) == ERR_OK; i++)
            rig_commit(&rig);
        assert_int_equal(rig.stuck_calls, 1);
        assert_true(rig_status(&rig).is_stuck);
        assert_true(journal_is_idle(rig.journal));
        assert_int_equal(rig.acknowledged_lsn, nth - 1);
        assert_int_equal(rig_append(&rig, 1), ERR_FULL);
        assert_int_equal(journal_reserve(rig.journal, 1, 1), ERR_FULL);
        journal_tick(rig.journal);
        assert_int_equal(rig.stuck_calls, 1);
        close_rig(&rig);
        rig_power_cut(&rig);
        rig_batches(&rig, 3, 100);
        check_and_deinit(&rig);
    }
}

/* No room for a new slot: nothing is lost, appends are refused; room comes back, it goes on. */
static void test_disk_full(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    rig_batches(&rig, 1, BIG);
    sim_disk_fail(rig.disk, SIM_OPEN, 1, UINT64_MAX, ERR_FULL);
    assert_false(journal_prepare(rig.journal));
    assert_in_range(rig_status(&rig).used_percent, 33, 60);
    int appended = 0;
    while (appended < 1000 && rig_append(&rig, BIG) == ERR_OK) {
        appended++;
        journal_tick(rig.journal);
        (void)sim_disk_complete(rig.disk, 1);
        rig.now_ns += rig.config.commit_spacing_ns;
    }
    assert_in_range(appended, 1, 20);
    rig.now_ns += JOURNAL_BLOCKED_RETRY_NS;
    journal_tick(rig.journal);
    assert_int_equal(rig.stuck_calls, 0);
    sim_disk_fail(rig.disk, SIM_OPEN, 0, 0, ERR_OK);
    assert_true(journal_prepare(rig.journal));
    rig_commit(&rig);
    append(&rig, 100);
    rig_commit(&rig);
    assert_int_equal(rig.acknowledged_lsn, rig.appended_lsn);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

static void test_prepare(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    assert_true(journal_prepare(rig.journal));
    assert_int_equal(sim_disk_operations(rig.disk, SIM_PREFILL), 1);
    assert_false(journal_prepare(rig.journal)); /* one ahead is enough */
    rig_batches(&rig, 1, 100);
    assert_int_equal(sim_disk_file_count(rig.disk), 1);
    assert_true(journal_prepare(rig.journal));
    assert_false(journal_prepare(rig.journal));
    assert_int_equal(sim_disk_file_count(rig.disk), 2);
    rig_batches(&rig, 5, BIG); /* into the second one */
    assert_int_equal(sim_disk_operations(rig.disk, SIM_OPEN), 2);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

/* Whatever fails in preparing leaves no half slot, and is tried again. */
static void test_prepare_fails(void **state)
{
    (void)state;
    static const enum sim_operation kinds[] = {SIM_OPEN, SIM_PREFILL, SIM_SYNC_DIRECTORY};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct rig rig;
        rig_init(&rig, i);
        open_rig(&rig);
        sim_disk_fail(rig.disk, kinds[i], 1, 1, ERR_IO);
        assert_false(journal_prepare(rig.journal));
        assert_true(journal_prepare(rig.journal));
        assert_int_equal(sim_disk_file_count(rig.disk), 1);
        rig_batches(&rig, 20, 2000);
        rig_power_cut(&rig);
        check_and_deinit(&rig);
    }
}

/* A configuration with other sizes: the old slots are read, then replaced. */
static void test_resized(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.config.segment_count = 6;
    open_rig(&rig);
    rig_batches(&rig, 16, BIG);
    assert_in_range(sim_disk_file_count(rig.disk), 5, 6);
    close_rig(&rig);
    rig.config.segment_count = 3;
    rig.config.segment_bytes = 4 * RIG_BATCH_BYTES;
    open_rig(&rig);
    assert_int_equal(rig.replayed_lsn, 16);
    rig_absorb(&rig, 16);
    while (journal_prepare(rig.journal))
        ;
    rig_batches(&rig, 16, BIG);
    rig_absorb(&rig, rig.acknowledged_lsn);
    while (journal_prepare(rig.journal))
        ;
    assert_in_range(sim_disk_file_count(rig.disk), 2, 3);
    uint64_t size = 0;
    assert_null(sim_disk_bytes(rig.disk, RIG_PATH "/journal-05", &size));
    assert_non_null(sim_disk_bytes(rig.disk, RIG_PATH "/journal-01", &size));
    assert_int_equal(size, 4 * RIG_BATCH_BYTES);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

static void test_read_only(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    open_rig(&rig);
    rig_batches(&rig, 5, 1000);
    close_rig(&rig);
    uint64_t writes = sim_disk_operations(rig.disk, SIM_WRITE);
    uint64_t creations = sim_disk_operations(rig.disk, SIM_OPEN);
    rig.config.is_read_only = true;
    open_rig(&rig);
    assert_int_equal(rig.replayed_lsn, 5);
    assert_int_equal(rig_append(&rig, 1), ERR_FULL);
    assert_int_equal(journal_reserve(rig.journal, 1, 1), ERR_FULL);
    assert_false(journal_prepare(rig.journal));
    journal_tick(rig.journal);
    rig_absorb(&rig, 5);
    assert_true(journal_is_idle(rig.journal));
    close_rig(&rig);
    assert_int_equal(sim_disk_operations(rig.disk, SIM_WRITE), writes);
    assert_int_equal(sim_disk_operations(rig.disk, SIM_OPEN), creations);
    check_and_deinit(&rig);
}

struct observed {
    int64_t latency_ns;
    uint64_t calls, records, bytes;
};

static void observe(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes)
{
    struct observed *observed = context;
    observed->calls++;
    observed->latency_ns = latency_ns;
    observed->records += records;
    observed->bytes += bytes;
}

static void test_observe(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    struct observed observed = {};
    open_rig(&rig);
    journal_observe(rig.journal, observe, &observed);
    append(&rig, 10);
    rig.now_ns += 300;
    append(&rig, 10);
    journal_tick(rig.journal);
    rig.now_ns += 700;
    assert_int_equal(sim_disk_complete(rig.disk, 1), 1);
    assert_int_equal(observed.latency_ns, 1000); /* from the first append */
    rig_batches(&rig, 3, 5000);
    assert_int_equal(observed.calls, 4);
    assert_int_equal(observed.records, 5);
    assert_int_equal(observed.bytes, rig_status(&rig).commit_bytes);
    check_and_deinit(&rig);
}

/* Buffers are used again: what a long batch leaves in one is not in the padding of a short one. */
static void test_padding(void **state)
{
    (void)state;
    static const size_t sizes[] = {BIG, 10, 9000, 300, 4000, 5000, 1};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    struct rig rig;
    rig_init(&rig, 1);
    rig.config.batch_bytes = 0; /* as in production */
    rig.config.segment_bytes = SEGMENT_BYTES_MIN;
    open_rig(&rig);
    for (size_t i = 0; i < 2 * (size_t)SIZES; i++)
        rig_batches(&rig, 1, sizes[i % SIZES]);
    uint64_t size = 0, batches = 0;
    const uint8_t *frame =
        (const uint8_t *)sim_disk_bytes(rig.disk, RIG_PATH "/journal-00", &size) +
        SEGMENT_HEADER_BYTES;
    struct batch_header header;
    for (; batch_peek(frame, &header); batches++) {
        size_t frame_bytes = batch_frame_bytes(header.payload_bytes);
        assert_true(batch_is_intact(&header, rig.config.store_uuid, frame));
        for (size_t at = BATCH_HEADER_BYTES + header.payload_bytes; at < frame_bytes; at++)
            assert_int_equal(frame[at], 0);
        frame += frame_bytes;
    }
    assert_int_equal(batches, 2 * SIZES);
    check_and_deinit(&rig);
}

struct preparer {
    struct journal *journal;
    atomic_bool is_over;
};

static void *prepare_on_and_on(void *context)
{
    struct preparer *preparer = context;
    while (!atomic_load(&preparer->is_over))
        if (!journal_prepare(preparer->journal))
            (void)sched_yield();
    return NULL;
}

/* The archiver's thread makes slots, the loop takes them: for the thread sanitizer. */
static void test_prepare_thread(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.config.segment_count = 8;
    open_rig(&rig);
    rig_batches(&rig, 12, BIG);
    close_rig(&rig);
    rig.config.segment_bytes += DISK_ALIGN; /* so that there is something to remove as well */
    open_rig(&rig);
    struct preparer preparer = {.journal = rig.journal};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, prepare_on_and_on, &preparer), 0);
    for (int i = 0; i < 300; i++) {
        rig_absorb(&rig, rig.acknowledged_lsn - (uint64_t)i % 5);
        if (rig_append(&rig, BIG) == ERR_OK)
            rig_commit(&rig);
    }
    atomic_store(&preparer.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

/* ---- on real files ---- */

/* on_files — `rig` with a plain disk in a new folder under /tmp; its name goes to `folder`. */
static void on_files(struct rig *rig, char folder[static 32])
{
    rig_init(rig, 1);
    (void)snprintf(folder, 32, "/tmp/tokenlog-journal-XXXXXX");
    assert_non_null(mkdtemp(folder));
    rig->config.disk = disk_plain_new();
    rig->config.path = folder;
    rig->config.batch_bytes = 0;
    rig->config.segment_bytes = SEGMENT_BYTES_MIN;
    assert_non_null(rig->config.disk);
}

static void remove_files(struct rig *rig, const char *folder)
{
    for (int i = 0; i < SEGMENT_COUNT_MIN; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s/journal-%02d", folder, i);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
    disk_plain_free(rig->config.disk);
}

static void test_on_files(void **state)
{
    (void)state;
    struct rig rig;
    char folder[32];
    on_files(&rig, folder);
    for (int round = 0; round < 4; round++) {
        open_rig(&rig);
        assert_int_equal(rig.replayed_lsn, rig.appended_lsn);
        while (journal_prepare(rig.journal))
            ;
        for (int i = 0; i < 40; i++)
            append(&rig, FRAGMENT_BYTES_MAX);
        while (!journal_is_idle(rig.journal)) {
            rig.now_ns += rig.config.commit_spacing_ns;
            journal_tick(rig.journal);
            disk_plain_run(rig.config.disk);
        }
        assert_int_equal(rig.acknowledged_lsn, rig.appended_lsn);
        rig_absorb(&rig, rig.acknowledged_lsn - 20);
        close_rig(&rig);
    }
    remove_files(&rig, folder);
    check_and_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_held_completion),
        cmocka_unit_test(test_spacing),
        cmocka_unit_test(test_busy_spacing),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_full_batches),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_out_of_buffers),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_ring_full),
        cmocka_unit_test(test_failed_writes),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_prepare_fails),
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_observe),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_prepare_thread),
        cmocka_unit_test(test_on_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
