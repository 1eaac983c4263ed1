/* What the records of a journal become again: keys, and the journal's end. */
#include "tests/storage/world.h"

/* ---- two attempts of a key --------------------------------------------------------------------- */

struct attempts {
    struct world *world;
    struct row rows[2];
};

static struct attempts attempts_new(uint64_t seed)
{
    struct attempts attempts = {.world = world_new(seed)};
    attempts.world->config.archive_after_ns = 1000000;
    world_open(attempts.world);
    return attempts;
}

static struct tail *begin_attempt(struct attempts *attempts, uint32_t number)
{
    struct world *world = attempts->world;
    struct tail *tail;
    uint32_t project;
    assert_int_equal(storage_project(world->storage, SLICE("alpha"), &project), ERR_OK);
    struct row row = world_row(world, project, number);
    row.key = SLICE("step-7");
    row.attempt = number;
    assert_int_equal(storage_create(world->storage, &row, SLICE_NONE, &tail), ERR_OK);
    attempts->rows[number - 1] = row;
    return tail;
}

static struct {
    struct id id;
    bool was_recovered, is_outdone;
} first_attempt;

static void on_recovered(void *context, struct tail *tail)
{
    (void)context;
    if (!id_equal(&tail_row(tail)->id, &first_attempt.id))
        return;
    first_attempt.was_recovered = true;
    first_attempt.is_outdone = tail_is_outdone(tail);
}

static void reopen(struct attempts *attempts)
{
    struct world *world = attempts->world;
    int holder;
    first_attempt.id = attempts->rows[0].id;
    first_attempt.was_recovered = first_attempt.is_outdone = false;
    assert_int_equal(
        storage_open(&world->config, on_recovered, NULL, &holder, &world->storage), ERR_OK);
}

/* The newer attempt is deleted, and so not recovered; the older one, long stored, is, since an open
 * stream keeps the journal from being absorbed. */
static void test_a_newer_attempt_that_is_gone(void **state)
{
    (void)state;
    struct attempts attempts = attempts_new(1);
    struct world *world = attempts.world;
    (void)world_create(world, 100, SLICE_NONE);
    struct tail *tail = begin_attempt(&attempts, 1);
    assert_int_equal(world_end(world, tail, 1, STREAM_FAILED), ERR_OK);
    tail = begin_attempt(&attempts, 2);
    assert_int_equal(world_end(world, tail, 2, STREAM_COMPLETED), ERR_OK);
    WORLD_UNTIL(world, world->gone == 2);
    const struct row *row = &attempts.rows[1];
    assert_int_equal(
        storage_delete(world->storage, row->project, &row->id, row->number, SLICE("deleted")),
        ERR_OK);
    struct storage_status status;
    WORLD_UNTIL(world, (storage_status(world->storage, &status), status.archive.deleted == 1));
    world_crash(world, true);
    reopen(&attempts);
    assert_true(first_attempt.was_recovered);
    assert_true(first_attempt.is_outdone);
    world_free(world);
}

static void test_both_attempts_are_recovered(void **state)
{
    (void)state;
    struct attempts attempts = attempts_new(2);
    struct world *world = attempts.world;
    struct tail *tail = begin_attempt(&attempts, 1);
    assert_int_equal(world_end(world, tail, 1, STREAM_FAILED), ERR_OK);
    world_turns(world, 5);
    tail = begin_attempt(&attempts, 2);
    assert_int_equal(world_append(world, tail, 2), ERR_OK);
    world_turns(world, 5);
    world_crash(world, true);
    reopen(&attempts);
    if (first_attempt.was_recovered) /* which of them the store has by now is a matter of threads */
        assert_false(first_attempt.is_outdone);
    world_free(world);
}

/* ---- the journal's last batch ------------------------------------------------------------------ */

/* A live stream with some events, visible, each in a batch of its own; then the end in good order, with
 * the stream unarchived. */
static struct world *closed_with_a_live_stream(uint64_t seed)
{
    struct world *world = world_new(seed);
    world->config.archive_after_ns = INT64_C(3600) * 1000000000;
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(world_append(world, tail, 1), ERR_OK);
        world_turns(world, 100);
        assert_int_equal(tail_watermark(tail), (uint64_t)i + 1);
    }
    world->storage = storage_close(world->storage);
    world_drop_tasks(world);
    return world;
}

/* The offset of the last batch in a slot's file; 0: there is none. */
static uint64_t last_batch(struct world *world, const char *path)
{
    uint64_t size, last = 0;
    const uint8_t *bytes = sim_disk_bytes(world->disk, path, &size);
    for (uint64_t at = DISK_ALIGN; bytes && at < size; at += DISK_ALIGN)
        if (memcmp(bytes + at, (uint8_t[8]){0}, 8) != 0)
            last = at;
    return last;
}

/* Every bit of the batch counts. One segment has been begun, in whichever slot was ready. */
static void damage_the_last_batch(struct world *world)
{
    int damaged = 0;
    for (unsigned slot = 0; slot < world->config.segment_count; slot++) {
        char path[100];
        (void)snprintf(path, sizeof path, "%s/journal-%02u", world->path, slot);
        uint64_t last = last_batch(world, path);
        if (last > 0)
            sim_disk_flip_bit(world->disk, path, (last + 60) * 8);
        damaged += last > 0;
    }
    assert_int_equal(damaged, 1);
}

static void test_rot_at_the_end_is_told_from_a_torn_write(void **state)
{
    (void)state;
    struct world *world = closed_with_a_live_stream(3);
    damage_the_last_batch(world);
    world_open(world);
    assert_int_equal(world->report.journal.corrupt_batches, 1);
    assert_int_equal(world->report.journal.missing_batches, 1);
    assert_int_equal(world->report.journal.torn_batches, 0);
    world->errors = 0;
    world_free(world);
}

static void test_an_end_in_good_order_is_none(void **state)
{
    (void)state;
    struct world *world = closed_with_a_live_stream(4);
    world_open(world);
    assert_int_equal(world->report.journal.corrupt_batches, 0);
    assert_int_equal(world->report.journal.missing_batches, 0);
    assert_int_equal(world->recovered_count, 1);
    assert_int_equal(tail_events(world->recovered[0]), 5);
    assert_int_equal(world_end(world, world->recovered[0], 1, STREAM_INTERRUPTED), ERR_OK);
    world_turns(world, 100);
    world_crash(world, false); /* the mark was taken back: it says nothing of this run */
    world_open(world);
    assert_int_equal(world->report.journal.corrupt_batches, 0);
    assert_int_equal(world->errors, 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_newer_attempt_that_is_gone),
        cmocka_unit_test(test_both_attempts_are_recovered),
        cmocka_unit_test(test_rot_at_the_end_is_told_from_a_torn_write),
        cmocka_unit_test(test_an_end_in_good_order_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
