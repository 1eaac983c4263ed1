/* query — reader threads: answers, cancelling, the bound, and what a close leaves. */
#include "tests/storage/world.h"

#include "protocol/base/own.h"

static struct row end_stream(struct world *world, uint32_t tag, struct slice key)
{
    uint32_t project;
    struct tail *tail;
    assert_int_equal(storage_project(world->storage, SLICE("alpha"), &project), ERR_OK);
    struct row row = world_row(world, project, tag);
    row.key = key;
    uint64_t gone = world->gone;
    assert_int_equal(storage_create(world->storage, &row, SLICE_NONE, &tail), ERR_OK);
    assert_int_equal(world_end(world, tail, tag, STREAM_COMPLETED), ERR_OK);
    WORLD_UNTIL(world, world->gone > gone);
    return row;
}

static void test_rows_and_keys(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world);
    struct row first = end_stream(world, 1, SLICE("key"));
    world->now_ns += 1000000000;
    struct row second = end_stream(world, 2, SLICE("key"));
    struct row found;

    struct storage_query by_id = {.kind = STORAGE_ROW, .project = 1, .id = first.id};
    assert_int_equal(world_query(world, &by_id), ERR_OK);
    assert_int_equal(row_decode(buf_slice(&by_id.bytes), &found), ERR_OK);
    assert_int_equal(found.number, first.number);
    buf_deinit(&by_id.bytes);

    struct storage_query by_key = {.kind = STORAGE_KEY, .project = 1, .key = SLICE("key")};
    assert_int_equal(world_query(world, &by_key), ERR_OK);
    assert_true(id_equal(&by_key.id, &second.id));
    assert_int_equal(row_decode(buf_slice(&by_key.bytes), &found), ERR_OK);
    assert_int_equal(found.number, second.number);
    buf_deinit(&by_key.bytes);

    struct storage_query none[] = {
        {.kind = STORAGE_KEY, .project = 1, .key = SLICE("other")},
        {.kind = STORAGE_KEY, .project = 2, .key = SLICE("key")},
        {.kind = STORAGE_ROW, .project = 2, .id = first.id},
        {.kind = STORAGE_BLOCK, .project = 1, .number = first.number, .seq = 1},
        {.kind = STORAGE_BLOCK, .project = 1, .number = 12345},
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(world_query(world, &none[i]), ERR_NOTFOUND);
        assert_null(none[i].block);
        buf_deinit(&none[i].bytes);
    }
    world_free(world);
}

struct listed {
    size_t count;
    struct id last;
};

static enum err visit(void *context, const struct row *row)
{
    struct listed *listed = context;
    listed->count++;
    listed->last = row->id;
    return ERR_OK;
}

static void test_list(void **state)
{
    (void)state;
    struct world *world = world_new(2);
    world_open(world);
    for (uint32_t i = 0; i < 5; i++) {
        world->now_ns += 10000000;
        (void)end_stream(world, i, SLICE_NONE);
    }
    struct listed listed = {0};
    struct storage_query query = {
        .kind = STORAGE_LIST, .project = 1, .rows_max = 3, .visit = visit, .context = &listed};
    assert_int_equal(world_query(world, &query), ERR_OK);
    assert_int_equal(listed.count, 3);
    query.has_before = true;
    query.id = listed.last;
    assert_int_equal(world_query(world, &query), ERR_OK);
    assert_int_equal(listed.count, 5);
    world_free(world);
}

/* Each query is answered once: in full, canceled, or by the close. */
enum { QUERIES = 2000 };

struct counted {
    struct storage_query query;
    int done;
};

static void count_done(struct storage_query *query, enum err err)
{
    struct counted *counted = query->owner;
    assert_true(err == ERR_OK || err == ERR_CANCELED);
    counted->done++;
    block_unref(query->block);
}

static void submit(struct world *world, struct counted *all, uint64_t number)
{
    for (size_t i = 0; i < QUERIES; i++) {
        all[i] = (struct counted){.query = {.kind = STORAGE_BLOCK,
                                      .project = 1,
                                      .number = number,
                                      .done = count_done,
                                      .owner = &all[i]}};
        assert_int_equal(storage_query(world->storage, &all[i].query), ERR_OK);
    }
}

static bool are_done(const struct counted *all)
{
    for (size_t i = 0; i < QUERIES; i++) {
        assert_true(all[i].done <= 1);
        if (all[i].done == 0)
            return false;
    }
    return true;
}

static void test_cancel(void **state)
{
    (void)state;
    struct world *world = world_new(3);
    world_open(world);
    struct row row = end_stream(world, 1, SLICE_NONE);
    CLEANUP(cleanup_free) struct counted *all = calloc(QUERIES, sizeof *all);
    assert_non_null(all);
    submit(world, all, row.number);
    for (size_t i = 0; i < QUERIES; i += 2)
        storage_cancel(&all[i].query);
    WORLD_UNTIL(world, are_done(all));
    for (size_t i = 1; i < QUERIES; i += 2)
        assert_int_equal(all[i].query.err, ERR_OK);
    world_free(world);
}

static void test_close_answers_what_waits(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    world_open(world);
    struct row row = end_stream(world, 1, SLICE_NONE);
    CLEANUP(cleanup_free) struct counted *all = calloc(QUERIES, sizeof *all);
    assert_non_null(all);
    world_drain(world);
    submit(world, all, row.number);
    world->storage = storage_close(world->storage);
    for (struct task *task; (task = world_pop(world));)
        task->run(task);
    assert_true(are_done(all));
    world_free(world);
}

static void test_bound(void **state)
{
    (void)state;
    struct world *world = world_new(5);
    world_open(world);
    CLEANUP(cleanup_free) struct storage_query *all = calloc(READ_QUEUE_MAX * 3, sizeof *all);
    assert_non_null(all);
    bool is_done; /* never looked at */
    size_t count = 0;
    enum err err = ERR_OK;
    for (; err == ERR_OK && count < READ_QUEUE_MAX * 3; count++) {
        all[count] = (struct storage_query){.kind = STORAGE_BLOCK,
            .project = 1,
            .number = 5,
            .done = world_query_done,
            .owner = &is_done};
        err = storage_query(world->storage, &all[count]);
    }
    struct storage_status status;
    storage_status(world->storage, &status);
    assert_true(err == ERR_LIMIT || count == READ_QUEUE_MAX * 3); /* or the readers keep up */
    assert_true(status.queries_waiting <= READ_QUEUE_MAX);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_and_keys),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_close_answers_what_waits),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
