/* amend — holds and readings of streams that are live, just ended, and long archived; and that what
 * was done outlives a crash. */
#include "tests/storage/world.h"

#include "protocol/base/own.h"

struct answer {
    bool is_done;
    enum err err;
};

static void on_done(void *owner, enum err err)
{
    *(struct answer *)owner = (struct answer){true, err};
}

static enum err amend(struct world *world, const struct row *row, enum store_amendment_kind kind)
{
    struct answer answer = {0};
    struct storage_amendment amendment = {.project = row->project,
        .id = row->id,
        .number = row->number,
        .kind = kind,
        .time_ns = world_wall(world),
        .done = on_done,
        .owner = &answer};
    assert_int_equal(storage_amend(world->storage, &amendment), ERR_OK);
    assert_false(answer.is_done);
    WORLD_UNTIL(world, answer.is_done);
    return answer.err;
}

/* What the store has of it. */
static bool is_stored_held(struct world *world, const struct row *row)
{
    struct storage_query query = {.kind = STORAGE_ROW, .project = row->project, .id = row->id};
    struct row stored;
    assert_int_equal(world_query(world, &query), ERR_OK);
    assert_int_equal(row_decode(buf_slice(&query.bytes), &stored), ERR_OK);
    bool is_held = stored.is_held;
    buf_deinit(&query.bytes);
    return is_held;
}

static enum stream_state stored_state(struct world *world, const struct row *row)
{
    struct storage_query query = {.kind = STORAGE_ROW, .project = row->project, .id = row->id};
    struct row stored;
    assert_int_equal(world_query(world, &query), ERR_OK);
    assert_int_equal(row_decode(buf_slice(&query.bytes), &stored), ERR_OK);
    enum stream_state state = stored.state;
    buf_deinit(&query.bytes);
    return state;
}

static void test_a_live_stream_is_held(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    for (int i = 0; i < 20; i++)
        assert_int_equal(world_append(world, tail, 1), ERR_OK);
    struct row row = *tail_row(tail);
    assert_int_equal(amend(world, &row, AMEND_HOLD), ERR_OK);
    assert_true(tail_row(tail)->is_held);
    row = *tail_row(tail);
    row.state = STREAM_STREAMING;
    row.is_held = false; /* its writer has an old copy */
    assert_int_equal(tail_update(tail, &row), ERR_OK);
    assert_true(tail_row(tail)->is_held);
    assert_int_equal(world_end(world, tail, 1, STREAM_COMPLETED), ERR_OK);
    assert_true(tail_row(tail)->is_held);
    WORLD_UNTIL(world, world->gone == 1);
    assert_true(is_stored_held(world, &row));
    assert_int_equal(amend(world, &row, AMEND_RELEASE), ERR_OK);
    assert_false(is_stored_held(world, &row));
    world_free(world);
}

static void test_a_hold_outlives_a_crash(void **state)
{
    (void)state;
    struct world *world = world_new(2);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    assert_int_equal(world_append(world, tail, 1), ERR_OK);
    struct row row = *tail_row(tail);
    assert_int_equal(amend(world, &row, AMEND_HOLD), ERR_OK);
    world_crash(world, true);
    world_open(world);
    assert_int_equal(world->recovered_count, 1);
    tail = world->recovered[0];
    assert_true(tail_row(tail)->is_held);
    assert_int_equal(world_end(world, tail, 1, STREAM_INTERRUPTED), ERR_OK);
    uint64_t gone = world->gone;
    WORLD_UNTIL(world, world->gone == gone + 1);
    assert_true(is_stored_held(world, &row));
    /* Whoever asks for a delete all the same does not get one. */
    assert_int_equal(
        storage_delete(world->storage, row.project, &row.id, row.number, SLICE("deleted")), ERR_OK);
    world_drain(world);
    assert_int_equal(stored_state(world, &row), STREAM_INTERRUPTED);
    world_free(world);
}

static void test_what_is_deleted_cannot_be_held(void **state)
{
    (void)state;
    struct world *world = world_new(3);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    struct row row = *tail_row(tail);
    assert_int_equal(world_end(world, tail, 1, STREAM_COMPLETED), ERR_OK);
    assert_int_equal(
        storage_delete(world->storage, row.project, &row.id, row.number, SLICE("deleted")), ERR_OK);
    WORLD_UNTIL(world, world->gone == 1);
    WORLD_UNTIL(world, stored_state(world, &row) == STREAM_DELETED);
    assert_int_equal(amend(world, &row, AMEND_HOLD), ERR_NOTFOUND);
    struct row unknown = row;
    unknown.id.bytes[ID_BYTES - 1] ^= 1;
    unknown.number += 7;
    assert_int_equal(amend(world, &unknown, AMEND_HOLD), ERR_NOTFOUND);
    world_free(world);
}

static void test_draining_waits_for_it(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    world_open(world);
    struct answer answers[3] = {0};
    for (uint32_t i = 0; i < 3; i++) {
        struct tail *tail = world_create(world, i + 1, SLICE_NONE);
        const struct row *row = tail_row(tail);
        struct storage_amendment amendment = {.project = row->project,
            .id = row->id,
            .number = row->number,
            .kind = AMEND_HOLD,
            .done = on_done,
            .owner = &answers[i]};
        assert_int_equal(storage_amend(world->storage, &amendment), ERR_OK);
    }
    world_drain(world);
    for (int i = 0; i < 3; i++)
        assert_true(answers[i].is_done && answers[i].err == ERR_OK);
    world_free(world);
}

static void test_closing_forgets_what_is_under_way(void **state)
{
    (void)state;
    struct world *world = world_new(5);
    world_open(world);
    struct tail *tail = world_create(world, 1, SLICE_NONE);
    struct row row = *tail_row(tail);
    struct answer answer = {0};
    struct storage_amendment amendment = {.project = row.project,
        .id = row.id,
        .number = row.number,
        .kind = AMEND_HOLD,
        .done = on_done,
        .owner = &answer};
    assert_int_equal(storage_amend(world->storage, &amendment), ERR_OK);
    world_crash(world, true);
    assert_false(answer.is_done);
    world_open(world);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_live_stream_is_held),
        cmocka_unit_test(test_a_hold_outlives_a_crash),
        cmocka_unit_test(test_what_is_deleted_cannot_be_held),
        cmocka_unit_test(test_draining_waits_for_it),
        cmocka_unit_test(test_closing_forgets_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
