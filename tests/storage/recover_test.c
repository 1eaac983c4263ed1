/* recover — what is left of the journal after crashes, rot, and disks that lie. */
#include "storage/recover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/digest.h"
#include "tests/sim/random.h"
#include "tests/storage/journal_rig.h"

enum {
    BIG = RIG_BIG,
    FRAME = DISK_ALIGN, /* of a batch of one small record */
    SEED_COUNT = 2500,  /* random histories; chosen to run in a few seconds under ASan */
    HISTORY_STEPS = 50, /* of one of them */
    LYING_SEED_COUNT = 60,
};

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

/* start — a rig whose first segment, in slot 0, holds `batches` of one small record each. */
static void start(struct rig *rig, uint64_t seed, uint64_t batches)
{
    rig_init(rig, seed);
    rig->config.segment_count = 6;
    open_rig(rig);
    rig_batches(rig, batches, 100);
}

static const char *slot_name(uint32_t index)
{
    static char name[32];
    (void)snprintf(name, sizeof name, RIG_PATH "/journal-%02u", index);
    return name;
}

/* byte_of_batch — where the n-th (0…) one-page batch of a segment begins. */
static uint64_t byte_of_batch(uint64_t index)
{
    return SEGMENT_HEADER_BYTES + index * FRAME;
}

/* ---- crashes ---- */

/* crash_with — `before` batches are durable, one more is in flight; of its sectors those in the mask
 * survive. Then new batches, and a second crash. */
static void crash_with(uint64_t before, uint64_t sectors)
{
    struct rig rig;
    start(&rig, 1, before);
    assert_int_equal(rig_append(&rig, 100 + (size_t)before), ERR_OK);
    rig.now_ns += rig.config.commit_spacing_ns;
    journal_tick(rig.journal);
    assert_int_equal(sim_disk_in_flight(rig.disk), 1);
    sim_disk_power_cut_keeping(rig.disk, sectors);
    rig_end(&rig);
    open_rig(&rig);
    assert_in_range(rig.replayed_lsn, before, before + 1);
    rig_batches(&rig, 2, 300);
    rig_power_cut(&rig);
    rig_batches(&rig, 1, 5000);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

/* Every subset of a page in flight: eight sectors, of which the first is what matters most. */
static void test_every_subset(void **state)
{
    (void)state;
    for (uint64_t sectors = 0; sectors < 256; sectors++)
        crash_with(3, sectors);
}

/* The first write of a segment: header block and batch. The header is in sector 0, the batch in
 * sectors 8 to 15. */
static void test_every_subset_of_first(void **state)
{
    (void)state;
    for (uint64_t sectors = 0; sectors < 256; sectors++) {
        crash_with(0, sectors << 8);
        crash_with(0, sectors << 8 | 0xff);
    }
}

/* The same onto a slot that held an older segment. */
static void test_every_subset_of_recycled(void **state)
{
    (void)state;
    for (uint64_t sectors = 0; sectors < 512; sectors++) {
        struct rig rig;
        start(&rig, sectors, 0);
        rig.config.segment_count = 3;
        sim_disk_power_cut(rig.disk);
        rig_end(&rig);
        open_rig(&rig);
        rig_batches(&rig, 9, BIG); /* through slots 0, 1, 2 */
        assert_int_equal(sim_disk_file_count(rig.disk), 3);
        rig_absorb(&rig, 9 - sectors % 4);
        for (int i = 0; i < 3 && sim_disk_in_flight(rig.disk) == 0; i++) {
            assert_int_equal(rig_append(&rig, 100), ERR_OK);
            rig.now_ns += rig.config.commit_spacing_ns;
            journal_tick(rig.journal);
        }
        sim_disk_power_cut_keeping(rig.disk, (sectors & 1) | (sectors >> 1) << 8);
        rig_end(&rig);
        open_rig(&rig);
        rig_batches(&rig, 2, 300);
        rig_power_cut(&rig);
        check_and_deinit(&rig);
    }
}

static void test_torn_is_counted(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 3);
    assert_int_equal(rig_append(&rig, 3000), ERR_OK);
    rig.now_ns += rig.config.commit_spacing_ns;
    journal_tick(rig.journal);
    sim_disk_power_cut_keeping(rig.disk, 1);
    rig_end(&rig);
    open_rig(&rig);
    assert_int_equal(rig.found.torn_batches, 1);
    assert_int_equal(rig.found.last_batch, 3);
    rig_batches(&rig, 3, 3000);
    rig_power_cut(&rig); /* its bytes are still there; its number belongs to another now */
    assert_int_equal(rig.found.torn_batches, 0);
    assert_int_equal(rig.found.corrupt_batches, 0);
    assert_int_equal(rig.found.last_batch, 6);
    check_and_deinit(&rig);
}

/* Crash after crash with nothing absorbed in between: opening alone must not use up the ring. */
static void test_crash_loop(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 3);
    for (int i = 0; i < 50; i++)
        rig_power_cut(&rig);
    rig_batches(&rig, 1, 100);
    assert_int_equal(sim_disk_file_count(rig.disk), 2);
    assert_int_equal(rig.acknowledged_lsn, 4);
    check_and_deinit(&rig);
}

/* A failed write that lands all the same: the batch is on the disk twice. */
static void test_written_twice(void **state)
{
    (void)state;
    bool was_twice = false;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct rig rig;
        start(&rig, seed, 3);
        sim_disk_fail(rig.disk, SIM_WRITE, 1, 1, ERR_IO);
        rig_batches(&rig, 3, 200);
        uint64_t size = 0;
        struct batch_header header;
        const uint8_t *frame = sim_disk_bytes(rig.disk, slot_name(0), &size) + byte_of_batch(3);
        was_twice = was_twice || (batch_peek(frame, &header) &&
                                     batch_is_intact(&header, rig.config.store_uuid, frame));
        rig_power_cut(&rig);
        assert_int_equal(rig.found.batches, 6);
        assert_int_equal(rig.replayed_lsn, 6);
        check_and_deinit(&rig);
    }
    assert_true(was_twice);
}

/* A write of a killed process that arrives after the next process has read the disk and written a
 * batch with that number: the older generation loses. */
static void test_late_write(void **state)
{
    (void)state;
    for (int batches = 1; batches < 4; batches++) {
        struct rig rig;
        start(&rig, 1, 3);
        for (int i = 0; i < 5; i++)
            assert_int_equal(rig_append(&rig, 200), ERR_OK);
        rig.now_ns += rig.config.commit_spacing_ns;
        journal_tick(rig.journal);
        sim_disk_orphan(rig.disk);
        rig_end(&rig);
        open_rig(&rig);
        assert_int_equal(rig.replayed_lsn, 3);
        rig_batches(&rig, (uint64_t)batches, 300);
        sim_disk_land(rig.disk);
        rig_power_cut(&rig);
        assert_int_equal(rig.replayed_lsn, 3 + batches);
        rig_batches(&rig, 2, 300);
        rig_power_cut(&rig);
        check_and_deinit(&rig);
    }
}

/* ---- rot ---- */

/* reopen — after damage: the model's claims about gaps do not hold, so they are set aside. */
static enum err reopen(struct rig *rig)
{
    rig->journal = journal_close(rig->journal);
    enum err err = rig_open(rig);
    rig->problem = NULL;
    return err;
}

static void test_corrupt_middle(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 10);
    sim_disk_flip_bit(rig.disk, slot_name(0), (byte_of_batch(4) + 77) * 8);
    assert_int_equal(reopen(&rig), ERR_OK);
    assert_int_equal(rig.found.corrupt_batches, 1);
    assert_int_equal(rig.found.missing_batches, 1);
    assert_int_equal(rig.found.torn_batches, 0);
    assert_int_equal(rig.found.batches, 9);
    assert_int_equal(rig.found.last_batch, 10);
    assert_int_equal(rig.replayed_lsn, 10);
    /* Once its records are absorbed it is nobody's loss. */
    rig_absorb(&rig, 5);
    assert_int_equal(reopen(&rig), ERR_OK);
    assert_int_equal(rig.found.corrupt_batches, 0);
    assert_int_equal(rig.found.missing_batches, 0);
    check_and_deinit(&rig);
}

/* The end of a segment, when a later one exists, is a middle. */
static void test_corrupt_end_of_segment(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 5);
    rig_power_cut(&rig); /* so that a new segment begins */
    rig_batches(&rig, 2, 100);
    sim_disk_flip_bit(rig.disk, slot_name(0), (byte_of_batch(4) + 77) * 8);
    assert_int_equal(reopen(&rig), ERR_OK);
    assert_int_equal(rig.found.corrupt_batches, 1);
    assert_int_equal(rig.found.missing_batches, 1);
    assert_int_equal(rig.found.batches, 6);
    check_and_deinit(&rig);
}

/* The very last batch cannot be told from a torn one: cut, and said so. */
static void test_corrupt_last(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 5);
    sim_disk_flip_bit(rig.disk, slot_name(0), (byte_of_batch(4) + 77) * 8);
    assert_int_equal(reopen(&rig), ERR_OK);
    assert_int_equal(rig.found.torn_batches, 1);
    assert_int_equal(rig.found.corrupt_batches, 0);
    assert_int_equal(rig.found.last_lsn, 4);
    check_and_deinit(&rig);
}

/* Each bit of a batch's header, and of the segment's: nothing crashes, nothing wrong is replayed,
 * and what the damage hides is reported. */
static void test_every_bit_of_headers(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 6);
    for (uint64_t bit = 0; bit < BATCH_HEADER_BYTES * 8; bit++) {
        uint64_t at = byte_of_batch(2) * 8 + bit;
        sim_disk_flip_bit(rig.disk, slot_name(0), at);
        assert_int_equal(reopen(&rig), ERR_OK);
        assert_int_equal(rig.found.batches, 5);
        assert_int_equal(rig.found.missing_batches, 1);
        assert_int_equal(rig.found.corrupt_batches, 1);
        sim_disk_flip_bit(rig.disk, slot_name(0), at);
    }
    for (uint64_t bit = 0; bit < 68 * 8; bit++) {
        sim_disk_flip_bit(rig.disk, slot_name(0), bit);
        assert_int_equal(reopen(&rig), ERR_OK);
        assert_int_equal(rig.found.damaged_headers, 1);
        assert_int_equal(rig.found.batches, 6);
        assert_int_equal(rig.found.missing_batches, 0);
        sim_disk_flip_bit(rig.disk, slot_name(0), bit);
    }
    check_and_deinit(&rig);
}

/* Without header and first batch the rest is found all the same. */
static void test_no_beginning(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 6);
    sim_disk_flip_bit(rig.disk, slot_name(0), 70);
    sim_disk_flip_bit(rig.disk, slot_name(0), (byte_of_batch(0) + 20) * 8);
    assert_int_equal(reopen(&rig), ERR_OK);
    assert_int_equal(rig.found.damaged_headers, 1);
    assert_int_equal(rig.found.batches, 5);
    assert_int_equal(rig.found.missing_batches, 1);
    check_and_deinit(&rig);
}

static void test_missing_segment(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 0);
    rig_batches(&rig, 9, BIG);
    assert_int_equal(sim_disk_file_count(rig.disk), 3);
    assert_int_equal(rig.disk->ops->remove(rig.disk, slot_name(1)), ERR_OK);
    assert_int_equal(reopen(&rig), ERR_OK);
    assert_in_range(rig.found.missing_batches, 3, 4);
    assert_int_equal(rig.found.corrupt_batches, 0);
    assert_int_equal(rig.found.batches + rig.found.missing_batches, 9);
    assert_int_equal(rig.disk->ops->remove(rig.disk, slot_name(0)), ERR_OK);
    assert_int_equal(reopen(&rig), ERR_OK); /* the beginning, too */
    assert_int_equal(rig.found.batches + rig.found.missing_batches, 9);
    check_and_deinit(&rig);
}

static void test_unreadable(void **state)
{
    (void)state;
    bool was_reported = false, was_refused = false;
    for (uint64_t nth = 1; nth < 400; nth++) {
        struct rig rig;
        start(&rig, 1, 6);
        rig_power_cut(&rig);
        rig_batches(&rig, 2, 100);
        rig.journal = journal_close(rig.journal);
        uint64_t reads = sim_disk_operations(rig.disk, SIM_READ);
        sim_disk_fail(rig.disk, SIM_READ, nth, nth % 5 + 1, ERR_IO);
        enum err err = rig_open(&rig);
        bool was_hit = sim_disk_operations(rig.disk, SIM_READ) - reads >= nth;
        was_refused = was_refused || err == ERR_IO;
        if (err == ERR_OK && rig.found.corrupt_batches > 0)
            was_reported = true;
        if (err == ERR_OK && rig.found.corrupt_batches == 0) /* a second look helped */
            assert_int_equal(rig.replayed_lsn, 8);
        rig_deinit(&rig);
        if (!was_hit)
            break;
    }
    assert_true(was_reported);
    assert_true(was_refused);
}

/* ---- what is not ours ---- */

static void test_other_store(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 2);
    rig.journal = journal_close(rig.journal);
    rig.config.store_uuid[3] ^= 1;
    assert_int_equal(rig_open(&rig), ERR_CORRUPT);
    assert_null(rig.journal);
    check_and_deinit(&rig);
}

static void test_newer_format(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 2);
    rig.journal = journal_close(rig.journal);
    uint64_t size = 0;
    uint8_t *block = sim_disk_bytes(rig.disk, slot_name(0), &size);
    block[8] = 2; /* the version, little-endian */
    uint32_t crc = crc32c(0, slice_of(block, 64));
    for (int i = 0; i < 4; i++)
        block[64 + i] = (uint8_t)(crc >> 8 * i);
    assert_int_equal(rig_open(&rig), ERR_UNSUPPORTED);
    check_and_deinit(&rig);
}

/* A copy of a slot under another name, as an operator's backup might leave it. */
static void test_copied_slot(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 5);
    struct disk_file *copy = NULL;
    uint64_t size = 0;
    assert_int_equal(rig.disk->ops->open(rig.disk, slot_name(4), RIG_SEGMENT_BYTES, &copy), ERR_OK);
    memcpy(sim_disk_bytes(rig.disk, slot_name(4), &size),
        sim_disk_bytes(rig.disk, slot_name(0), &size), RIG_SEGMENT_BYTES);
    rig.disk->ops->close(copy);
    rig.journal = journal_close(rig.journal);
    open_rig(&rig);
    assert_int_equal(rig.found.batches, 5);
    assert_int_equal(rig.replayed_lsn, 5);
    check_and_deinit(&rig);
}

/* A payload that looks like a batch, behind a damaged one, is not taken for one. */
static void test_forged_batch(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 2);
    uint64_t size = 0;
    uint8_t *at = sim_disk_bytes(rig.disk, slot_name(0), &size) + byte_of_batch(3);
    struct batch_header forged = {
        .generation = 1, .number = 9, .first_lsn = 9, .record_count = 1, .payload_bytes = 5};
    batch_encode(&forged, (const uint8_t *)"a guess         ", at);
    rig.journal = journal_close(rig.journal);
    open_rig(&rig);
    assert_int_equal(rig.replayed_lsn, 2);
    check_and_deinit(&rig);
}

/* A batch of an older use of the slot that happens to bear the next number. */
static void test_other_generation(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 2);
    rig_power_cut(&rig);
    rig_batches(&rig, 2, 100); /* generation 2 */
    uint64_t size = 0;
    uint8_t *at = sim_disk_bytes(rig.disk, slot_name(1), &size) + byte_of_batch(2);
    struct batch_header stale = {
        .generation = 1, .number = 5, .first_lsn = 5, .record_count = 1, .payload_bytes = 5};
    batch_encode(&stale, rig.config.store_uuid, at);
    rig.journal = journal_close(rig.journal);
    open_rig(&rig);
    assert_int_equal(rig.replayed_lsn, 4);
    stale.generation = 2; /* the same, were it of this use */
    batch_encode(&stale, rig.config.store_uuid, at);
    assert_int_equal(reopen(&rig), ERR_OK);
    assert_int_equal(rig.found.last_lsn, 5);
    check_and_deinit(&rig);
}

/* The first write of a recycled slot lands without its header: the batch counts for nothing, and
 * its generation is never given to another segment. */
static void test_generation_is_spent(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 0);
    rig_batches(&rig, 9, BIG); /* slots 0, 1, 2 */
    rig_absorb(&rig, 5);       /* slot 0 is free */
    sim_disk_power_cut(rig.disk);
    rig_end(&rig);
    open_rig(&rig);
    assert_int_equal(rig_append(&rig, 100), ERR_OK);
    journal_tick(rig.journal);
    sim_disk_power_cut_keeping(rig.disk, 0xff00); /* generation 4 */
    rig_end(&rig);
    open_rig(&rig);
    assert_int_equal(rig.replayed_lsn, 9);
    rig_batches(&rig, 1, 100);
    uint64_t size = 0;
    struct segment_header header;
    assert_int_equal(
        segment_header_decode(sim_disk_bytes(rig.disk, slot_name(0), &size), &header), ERR_OK);
    assert_int_equal(header.generation, 5);
    assert_int_equal(header.first_batch, 10);
    rig_power_cut(&rig);
    check_and_deinit(&rig);
}

static enum err refuse(void *context, const struct record *record, uint64_t lsn)
{
    (void)context, (void)record;
    return lsn < 3 ? ERR_OK : ERR_CORRUPT;
}

static void test_replay_refuses(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 5);
    rig.journal = journal_close(rig.journal);
    assert_int_equal(journal_open(&rig.config, 0, refuse, &rig.found, &rig.journal), ERR_CORRUPT);
    assert_null(rig.journal);
    check_and_deinit(&rig);
}

/* The store may be ahead of the journal (its records were never synced, or were removed). */
static void test_absorbed_beyond(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1, 5);
    rig.journal = journal_close(rig.journal);
    rig.absorbed_lsn = rig.appended_lsn = rig.acknowledged_lsn = 100;
    open_rig(&rig);
    assert_int_equal(rig.found.last_lsn, 100);
    rig_batches(&rig, 3, 100); /* from 101 on */
    rig_power_cut(&rig);
    assert_int_equal(rig.replayed_lsn, 103);
    check_and_deinit(&rig);
}

/* ---- random histories ---- */

static void append_some(struct rig *rig, struct sim_random *random)
{
    uint64_t count = 1 + sim_random_below(random, 4);
    for (uint64_t i = 0; i < count; i++) {
        size_t bytes = (size_t)sim_random_below(random, 300);
        if (sim_random_below(random, 4) == 0)
            bytes = (size_t)sim_random_below(random, BIG + 1);
        if (rig_append(rig, bytes) != ERR_OK)
            return; /* full, or stuck: both are answers */
    }
}

static void crash(struct rig *rig, struct sim_random *random)
{
    switch (sim_random_below(random, 3)) {
    case 0: sim_disk_kill(rig->disk); break;
    default: sim_disk_power_cut(rig->disk); break;
    }
    rig_end(rig);
    if (rig_open(rig) != ERR_OK && !rig->problem)
        rig->problem = "the journal opens after a crash";
}

static void fail_something(struct rig *rig, struct sim_random *random)
{
    static const enum sim_operation kinds[] = {
        SIM_WRITE, SIM_WRITE, SIM_OPEN, SIM_PREFILL, SIM_SYNC_DIRECTORY};
    enum sim_operation kind = kinds[sim_random_below(random, sizeof kinds / sizeof *kinds)];
    sim_disk_fail(rig->disk, kind, 1 + sim_random_below(random, 4), 1 + sim_random_below(random, 2),
        sim_random_below(random, 2) ? ERR_IO : ERR_FULL);
}

static void step(struct rig *rig, struct sim_random *random)
{
    switch (sim_random_below(random, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: append_some(rig, random); break;
    case 5:
    case 6:
    case 7: (void)sim_disk_complete(rig->disk, 1); break;
    case 8: rig->now_ns += (int64_t)sim_random_below(random, 2000000); break;
    case 9:
        rig_absorb(rig, rig->absorbed_lsn + sim_random_below(random,
                                                rig->acknowledged_lsn - rig->absorbed_lsn + 1));
        break;
    case 10: (void)journal_prepare(rig->journal); break;
    case 11:
        if (sim_random_below(random, 3) == 0)
            fail_something(rig, random);
        break;
    case 12:
        if (sim_random_below(random, 2) == 0)
            crash(rig, random);
        break;
    default: rig->now_ns += rig->config.commit_spacing_ns; break;
    }
    if (!rig->problem)
        journal_tick(rig->journal);
}

/* history — what went wrong in the history of one seed, or NULL. */
static const char *history(uint64_t seed, bool is_sync_ignored)
{
    struct rig rig;
    rig_init(&rig, seed);
    struct sim_random random = sim_random_new(seed ^ 0x5eed);
    rig.config.segment_count = (uint32_t)(3 + sim_random_below(&random, 2));
    rig.config.segment_bytes += sim_random_below(&random, 20) * DISK_ALIGN;
    rig.config.commit_spacing_ns = (int64_t)sim_random_below(&random, 2) * 1000000;
    sim_disk_ignore_sync(rig.disk, is_sync_ignored);
    if (rig_open(&rig) != ERR_OK)
        rig.problem = "an empty journal opens";
    for (int i = 0; i < HISTORY_STEPS && !rig.problem; i++)
        step(&rig, &random);
    if (!rig.problem)
        rig_power_cut(&rig);
    if (!rig.problem)
        rig_power_cut(&rig); /* recovering changes nothing */
    const char *problem = rig.problem;
    rig_deinit(&rig);
    return problem;
}

static void test_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        const char *problem = history(seed, false);
        if (problem)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
    }
}

/* The same on a disk that acknowledges what it has not written: the suite must notice. */
static void test_histories_notice_a_lying_disk(void **state)
{
    (void)state;
    int noticed = 0;
    for (uint64_t seed = 0; seed < LYING_SEED_COUNT; seed++)
        noticed += history(seed, true) != NULL;
    assert_in_range(noticed, LYING_SEED_COUNT / 2, LYING_SEED_COUNT);
}

int main(void)
{

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_subset),
        cmocka_unit_test(test_every_subset_of_first),
        cmocka_unit_test(test_every_subset_of_recycled),
        cmocka_unit_test(test_torn_is_counted),
        cmocka_unit_test(test_crash_loop),
        cmocka_unit_test(test_written_twice),
        cmocka_unit_test(test_late_write),
        cmocka_unit_test(test_corrupt_middle),
        cmocka_unit_test(test_corrupt_end_of_segment),
        cmocka_unit_test(test_corrupt_last),
        cmocka_unit_test(test_every_bit_of_headers),
        cmocka_unit_test(test_no_beginning),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_other_store),
        cmocka_unit_test(test_newer_format),
        cmocka_unit_test(test_copied_slot),
        cmocka_unit_test(test_forged_batch),
        cmocka_unit_test(test_other_generation),
        cmocka_unit_test(test_generation_is_spent),
        cmocka_unit_test(test_replay_refuses),
        cmocka_unit_test(test_absorbed_beyond),
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_histories_notice_a_lying_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
