/* tail — what is visible, and when: completions are held by the simulated disk. */
#include "tests/storage/world.h"

#include "protocol/base/own.h"

static uint8_t bytes[WORLD_EVENT_BYTES_MAX];

static uint64_t readable(struct tail *tail)
{
    struct block *block;
    uint32_t index, end;
    uint64_t seq = 0;
    uint32_t part = 0;
    while (tail_read(tail, seq, part, &block, &index, &end) == ERR_OK) {
        struct block_position at = block_next(block, end - 1);
        seq = at.seq;
        part = at.part;
        block_unref(block);
    }
    assert_int_equal(part, 0);
    return seq;
}

static void test_nothing_is_visible_before_it_is_durable(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world->is_disk_held = true;
    world_open(world);
    struct tail *tail = world_create(world, 7, SLICE_NONE);
    assert_null(tail_durable_row(tail));
    assert_int_equal(tail_append(tail, SLICE("one"), 1), ERR_OK);
    world_turns(world, 10); /* the commit of these two is under way */
    assert_int_equal(tail_append(tail, SLICE("two"), 2), ERR_OK);
    assert_int_equal(tail_append(tail, SLICE("three"), 3), ERR_OK);
    world_turns(world, 10);
    assert_int_equal(tail_events(tail), 3);
    assert_int_equal(tail_watermark(tail), 0);
    assert_int_equal(readable(tail), 0);
    assert_false(tail_is_row_durable(tail));
    assert_int_equal(world->changed, 0);

    assert_int_equal(sim_disk_complete(world->disk, 1), 1);
    assert_int_equal(world->changed, 0); /* told in the tick only */
    assert_int_equal(tail_watermark(tail), 1);
    assert_int_equal(readable(tail), 1);
    world_turn(world);
    assert_int_equal(world->changed, 1);
    assert_true(tail_is_row_durable(tail));
    assert_int_equal(tail_durable_row(tail)->state, STREAM_ACCEPTED);

    assert_int_equal(sim_disk_complete(world->disk, 1), 1);
    world_turn(world);
    assert_int_equal(world->changed, 2); /* once a commit */
    assert_int_equal(readable(tail), 3);
    world->is_disk_held = false;
    world_free(world);
}

static void test_terminator_and_row_are_one(void **state)
{
    (void)state;
    struct world *world = world_new(2);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    world_turns(world, 5);
    world->is_disk_held = true;
    world_turn(world);
    struct row row = *tail_row(tail);
    row.state = STREAM_COMPLETED;
    row.finish_reason = SLICE("stop");
    assert_int_equal(tail_append(tail, SLICE("data"), 10), ERR_OK);
    assert_int_equal(tail_end(tail, SLICE("[DONE]"), 11, &row), ERR_OK);
    world_turns(world, 5);
    struct block *block;
    uint32_t index, end;
    assert_int_equal(tail_read(tail, 0, 0, &block, &index, &end), ERR_AGAIN);
    assert_false(tail_has_ended(tail));
    assert_int_equal(tail_durable_row(tail)->state, STREAM_ACCEPTED);
    assert_int_equal(sim_disk_complete(world->disk, 1), 1);
    assert_true(tail_has_ended(tail));
    assert_int_equal(tail_watermark(tail), 2);
    const struct row *final = tail_durable_row(tail);
    assert_int_equal(final->events, 2);
    assert_int_equal(final->bytes, 10);
    assert_int_equal(final->last_event_ns, 11);
    assert_true(slice_equal(final->finish_reason, SLICE("stop")));
    assert_int_equal(tail_read(tail, 2, 0, &block, &index, &end), ERR_CLOSED);
    world->is_disk_held = false;
    world_free(world);
}

static void test_memory_mode(void **state)
{
    (void)state;
    struct world *world = world_new(3);
    world->config.is_memory = true;
    world->is_disk_held = true;
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    assert_true(tail_is_row_durable(tail));
    assert_int_equal(tail_append(tail, SLICE("one"), 1), ERR_OK);
    assert_int_equal(world->changed, 0); /* never from inside */
    assert_int_equal(readable(tail), 1);
    world_turn(world);
    assert_int_equal(world->changed, 1);
    struct row row = *tail_row(tail);
    row.state = STREAM_COMPLETED;
    assert_int_equal(tail_end(tail, SLICE_NONE, 0, &row), ERR_OK);
    assert_true(tail_has_ended(tail));
    world_turns(world, 1000);
    assert_int_equal(world->gone, 0); /* the store gets nothing that the journal may lose */
    world->is_disk_held = false;
    WORLD_UNTIL(world, world->gone == 1);
    world_free(world);
}

/* Several parts: visible when the last of them is durable, and in order with what comes behind. */
static void test_large_events(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    world->is_disk_held = true;
    world->is_deaf = true; /* of the archiver: the tail keeps what the store has already */
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    struct slice large = world_noise(1, 1500000, bytes); /* three shares of the journal */
    assert_int_equal(tail_append(tail, SLICE("before"), 1), ERR_OK);
    assert_int_equal(tail_append(tail, large, 2), ERR_OK);
    assert_int_equal(tail_append(tail, SLICE("behind"), 3), ERR_OK);
    struct row row = *tail_row(tail);
    row.state = STREAM_STREAMING;
    assert_int_equal(tail_update(tail, &row), ERR_OK);
    row.state = STREAM_COMPLETED;
    assert_int_equal(tail_end(tail, SLICE("end"), 4, &row), ERR_OK);
    assert_int_equal(tail_events(tail), 4);
    uint64_t before = 0;
    for (int i = 0; i < 20 && before < 4; i++) {
        world_turn(world);
        (void)sim_disk_complete(world->disk, 1);
        uint64_t now = readable(tail);
        assert_true(now >= before);
        assert_int_equal(tail_has_ended(tail), now == 4);
        before = now;
    }
    assert_int_equal(before, 4);

    CLEANUP(buf_deinit) struct buf all;
    buf_init(&all, WORLD_EVENT_BYTES_MAX);
    struct block_position at = {0, 0};
    struct block *block;
    uint32_t index, end;
    while (tail_read(tail, at.seq, at.part, &block, &index, &end) == ERR_OK) {
        assert_int_equal(block->first_offset, index == 0 ? all.size : block->first_offset);
        for (; index < end; index++)
            assert_int_equal(buf_append(&all, block_frame(block, index)), ERR_OK);
        at = block_next(block, end - 1);
        block_unref(block);
    }
    assert_int_equal(all.size, 6 + large.size + 6 + 3);
    assert_memory_equal(all.data + 6, large.data, large.size);
    assert_memory_equal(all.data + 6 + large.size, "behindend", 9);
    world->is_disk_held = world->is_deaf = false;
    world_free(world);
}

/* With the disk held, the buffers run out: what is refused has left no trace. */
static void test_full_changes_nothing(void **state)
{
    (void)state;
    struct world *world = world_new(5);
    world->is_disk_held = true;
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    struct slice event = world_noise(1, 10000, bytes);
    enum err err = ERR_OK;
    uint64_t given = 0;
    for (; given < 5000; given++) {
        err = tail_append(tail, event, 1);
        if (err != ERR_OK)
            break;
        if (given % 50 == 0)
            world_turn(world);
    }
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(tail_events(tail), given);
    assert_int_equal(world->paused, 1); /* the warning came first */
    struct row row = *tail_row(tail);
    row.state = STREAM_COMPLETED;
    assert_int_equal(tail_end(tail, event, 1, &row), ERR_FULL);
    assert_int_equal(tail_events(tail), given);
    world->is_disk_held = false;
    WORLD_UNTIL(world, tail_watermark(tail) == given);
    WORLD_UNTIL(world, world->resumed == 1);
    assert_int_equal(tail_end(tail, event, 1, &row), ERR_OK);
    WORLD_UNTIL(world, tail_has_ended(tail));
    assert_int_equal(tail_watermark(tail), given + 1);
    world_free(world);
}

/* A token given after a large body is durable long before that. */
static void test_a_body_delays_no_token(void **state)
{
    (void)state;
    struct world *world = world_new(6);
    world->is_disk_held = true;
    world_open(world);
    struct slice body = world_noise(1, WORLD_EVENT_BYTES_MAX, bytes);
    struct tail *large = world_create(world, 1, body);
    struct tail *small = world_create(world, 2, SLICE_NONE);
    assert_int_equal(tail_append(small, SLICE("token"), 1), ERR_OK);
    world_turn(world);
    assert_int_equal(sim_disk_complete(world->disk, 1), 1);
    assert_int_equal(tail_watermark(small), 1);
    assert_true(tail_is_row_durable(large));
    struct storage_status status;
    storage_status(world->storage, &status);
    assert_true(status.queued_bytes > WORLD_EVENT_BYTES_MAX / 2);
    world->is_disk_held = false;
    WORLD_UNTIL(world, (storage_status(world->storage, &status), status.queued_bytes == 0));
    world_free(world);
}

static void test_limits(void **state)
{
    (void)state;
    struct world *world = world_new(7);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    struct slice aside = world_noise(1, FRAGMENT_BYTES_MAX + 1, bytes);
    assert_int_equal(tail_aside(tail, aside, 1), ERR_LIMIT);
    assert_int_equal(tail_aside(tail, slice_sub(aside, 0, FRAGMENT_BYTES_MAX), 1), ERR_OK);
    struct row row = *tail_row(tail);
    row.detail = slice_sub(aside, 0, ROW_BYTES_MAX);
    assert_int_equal(tail_update(tail, &row), ERR_LIMIT);
    assert_int_equal(tail_row(tail)->detail.size, 0);
    assert_int_equal(tail_append(tail, SLICE_NONE, 1), ERR_OK); /* an empty event is one */
    tail_set_owner(tail, world);
    assert_ptr_equal(tail_owner(tail), world);
    WORLD_UNTIL(world, tail_watermark(tail) == 1);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_visible_before_it_is_durable),
        cmocka_unit_test(test_terminator_and_row_are_one),
        cmocka_unit_test(test_memory_mode),
        cmocka_unit_test(test_large_events),
        cmocka_unit_test(test_full_changes_nothing),
        cmocka_unit_test(test_a_body_delays_no_token),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
