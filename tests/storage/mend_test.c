/* mend — bits flip in the journal at rest: the stream that lost events ends as failed, and says so; what
 * was before the loss is readable, and the others go on.                                        */
#include "tests/storage/world.h"

#include "protocol/base/own.h"

enum { VICTIM = 1, OTHER = 2 };

static void write_events(struct world *world, struct tail *tail, uint32_t tag, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(world_append(world, tail, tag), ERR_OK);
    WORLD_UNTIL(world, tail_watermark(tail) == tail_events(tail));
}

/* One bit of the record of an event, wherever it lies. */
static void flip(struct world *world, uint32_t tag, uint64_t seq)
{
    static uint8_t bytes[WORLD_EVENT_BYTES_MAX];
    struct slice event = world_event(tag, seq, bytes);
    if (event.size > 64)
        event.size = 64;
    assert_true(event.size > 8);
    for (int slot = 0; slot < 6; slot++) {
        char path[100];
        uint64_t size;
        (void)snprintf(path, sizeof path, "%s/journal-%02d", world->path, slot);
        const uint8_t *file = sim_disk_bytes(world->disk, path, &size);
        if (!file)
            continue;
        ptrdiff_t at = slice_find(slice_of(file, size), event);
        if (at >= 0) {
            sim_disk_flip_bit(world->disk, path, (uint64_t)at * 8 + 3);
            return;
        }
    }
    fail_msg("the event is nowhere");
}

static void assert_failed(struct world *world, const struct row *row, uint32_t tag, uint64_t events)
{
    struct world_reader reader = {.project = row->project, .tag = tag, .number = row->number};
    struct buf bytes;
    struct row stored;
    buf_init(&reader.event, WORLD_EVENT_BYTES_MAX);
    assert_int_equal(world_stored_row(world, row->project, &row->id, &bytes, &stored), ERR_OK);
    assert_int_equal(stored.state, STREAM_FAILED);
    assert_true(slice_equal(stored.reason, SLICE("corrupt")));
    assert_int_equal(stored.events, events);
    while (reader.at.seq < events)
        assert_int_equal(world_read(world, &reader, NULL), ERR_OK);
    buf_deinit(&bytes);
    buf_deinit(&reader.event);
}

/* After a crash: the victim has failed with `events`, the other goes on as if nothing had been. */
static void assert_mended(
    struct world *world, const struct row *victim, const struct id *other, uint64_t events)
{
    world->gone = 0;
    world_open(world);
    assert_int_equal(world->report.failed_streams, 1);
    assert_int_equal(world->recovered_count, 1);
    struct tail *tail = world->recovered[0];
    assert_true(id_equal(&tail_row(tail)->id, other));
    WORLD_UNTIL(world, world->gone == 1);
    assert_failed(world, victim, VICTIM, events);
    write_events(world, tail, OTHER, 3);
    assert_int_equal(world_end(world, tail, OTHER, STREAM_COMPLETED), ERR_OK);
    WORLD_UNTIL(world, world->gone == 2);
    assert_int_equal(storage_admits(world->storage), ERR_OK);
    assert_int_equal(world->errors, 1);
    world_close(world);
    world_open(world); /* and that was that */
    assert_int_equal(world->report.failed_streams, 0);
    assert_failed(world, victim, VICTIM, events);
    world_free(world);
}

struct setting {
    struct world *world;
    struct tail *victim;
    struct row row; /* of the victim: only its numbers and id */
    struct id other;
};

static struct setting set_up(uint64_t seed, int64_t archive_after_ns)
{
    struct setting setting = {.world = world_new(seed)};
    struct world *world = setting.world;
    world->config.archive_after_ns = archive_after_ns;
    world_open(world);
    struct tail *other = world_create(world, OTHER, SLICE_NONE);
    write_events(world, other, OTHER, 2);
    setting.victim = world_create(world, VICTIM, SLICE("{}"));
    setting.other = tail_row(other)->id;
    setting.row = (struct row){.project = tail_row(setting.victim)->project,
        .number = tail_row(setting.victim)->number,
        .id = tail_row(setting.victim)->id};
    return setting;
}

static const int64_t NEVER_NS = 3600ll * 1000000000;

/* Events in the middle, of a stream that is live, or had completed. */
static void middle(bool has_ended)
{
    struct setting setting = set_up(1, NEVER_NS);
    write_events(setting.world, setting.victim, VICTIM, 5);
    write_events(setting.world, setting.victim, VICTIM, 5);
    write_events(setting.world, setting.victim, VICTIM, 5);
    if (has_ended) {
        setting.world->is_deaf = true; /* of the archiver: it is not all stored yet */
        setting.world->is_disk_held = true;
        assert_int_equal(
            world_end(setting.world, setting.victim, VICTIM, STREAM_COMPLETED), ERR_OK);
        storage_tick(setting.world->storage);
        sim_disk_power_cut_keeping(setting.world->disk, UINT64_MAX);
        setting.world->storage = storage_abandon(setting.world->storage);
        world_drop_tasks(setting.world);
        setting.world->is_deaf = setting.world->is_disk_held = false;
    } else {
        world_crash(setting.world, true);
    }
    flip(setting.world, VICTIM, 5);
    assert_mended(setting.world, &setting.row, &setting.other, 5);
}

static void test_the_middle_of_a_live_stream(void **state)
{
    (void)state;
    middle(false);
}

static void test_the_middle_of_a_completed_stream(void **state)
{
    (void)state;
    middle(true);
}

/* What comes between that which is stored and that which the journal still has. */
static void test_behind_what_is_stored(void **state)
{
    (void)state;
    struct setting setting = set_up(2, 2000000);
    struct world *world = setting.world;
    struct storage_status status;
    write_events(world, setting.victim, VICTIM, 5);
    WORLD_UNTIL(world, (storage_status(world->storage, &status), status.tail_bytes == 0));
    world->is_deaf = true;
    write_events(world, setting.victim, VICTIM, 1);
    write_events(world, setting.victim, VICTIM, 5);
    world_crash(world, true);
    world->is_deaf = false;
    flip(world, VICTIM, 5);
    assert_mended(world, &setting.row, &setting.other, 5);
}

/* All that names it: its stored row still says live, and nobody would ever end it. */
static void test_a_stored_row_that_nobody_names(void **state)
{
    (void)state;
    struct setting setting = set_up(3, 2000000);
    struct world *world = setting.world;
    struct storage_status status;
    write_events(world, setting.victim, VICTIM, 5); /* in one batch with its row */
    WORLD_UNTIL(world, (storage_status(world->storage, &status), status.tail_bytes == 0));
    struct tail *third = world_create(world, 3, SLICE_NONE); /* a batch behind it: it is not torn */
    assert_int_equal(world_end(world, third, 3, STREAM_COMPLETED), ERR_OK);
    WORLD_UNTIL(world, world->gone == 1);
    world_crash(world, true);
    flip(world, VICTIM, 0);
    assert_mended(world, &setting.row, &setting.other, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_middle_of_a_live_stream),
        cmocka_unit_test(test_the_middle_of_a_completed_stream),
        cmocka_unit_test(test_behind_what_is_stored),
        cmocka_unit_test(test_a_stored_row_that_nobody_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
