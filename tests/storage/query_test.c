/* query — reader threads: answers, cancelling, the bound, and what a close leaves. */
#include "tests/storage/world.h"

#include "protocol/base/own.h"
#include "storage/table.h"

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

static bool is_cached(struct world *world, uint64_t number)
{
    struct block *block =
        storage_cached(world->storage, BLOCK_STORED, number, (struct block_position){.seq = 0});
    if (!block)
        return false;
    assert_int_equal(block->first_seq, 0);
    block_unref(block);
    return true;
}

static void test_what_was_read_is_kept_until_it_is_deleted(void **state)
{
    (void)state;
    struct world *world = world_new(6);
    world->config.cache_bytes_max = 1 << 20;
    world_open(world);
    struct row row = end_stream(world, 1, SLICE_NONE);
    assert_false(is_cached(world, row.number));
    struct storage_query query = {.kind = STORAGE_BLOCK, .project = 1, .number = row.number};
    assert_int_equal(world_query(world, &query), ERR_OK);
    storage_keep(world->storage, BLOCK_STORED, row.number, query.block);
    block_unref(query.block);
    assert_true(is_cached(world, row.number));
    struct storage_status status;
    storage_status(world->storage, &status);
    assert_int_equal(status.cache.blocks, 1);
    assert_int_equal(
        storage_delete(world->storage, 1, &row.id, row.number, SLICE("deleted")), ERR_OK);
    WORLD_UNTIL(world, !is_cached(world, row.number));
    world_free(world);
}

/* A bit of the first block of a stream, while nobody has the store open. */
static void rot(struct world *world, uint64_t number)
{
    char path[100];
    struct tables *tables;
    struct view *view;
    struct slice value;
    uint8_t copy[BLOCK_STORED_BYTES_MAX];
    struct schema_key key = schema_block(1, number, 0, 0);
    (void)snprintf(path, sizeof path, "%s/store.lmdb", world->path);
    struct tables_options options = {.map_bytes = STORE_MAP_BYTES};
    assert_int_equal(tables_open(path, &options, &tables), ERR_OK);
    assert_int_equal(view_begin(tables, true, &view), ERR_OK);
    assert_int_equal(view_get(view, TABLE_BLOCKS, key, &value), ERR_OK);
    memcpy(copy, value.data, value.size);
    copy[value.size / 2] ^= 1;
    assert_int_equal(view_put(view, TABLE_BLOCKS, key, slice_of(copy, value.size)), ERR_OK);
    assert_int_equal(view_commit(view), ERR_OK);
    tables_close(tables);
}

static bool is_marked(struct world *world, const struct row *row)
{
    struct buf bytes;
    struct row stored;
    assert_int_equal(world_stored_row(world, 1, &row->id, &bytes, &stored), ERR_OK);
    bool is_marked = slice_equal(stored.damage, SLICE("blocks from 0.0 on"));
    assert_true(is_marked || stored.damage.size == 0);
    buf_deinit(&bytes);
    return is_marked;
}

static void test_a_reader_that_meets_damage_has_it_marked(void **state)
{
    (void)state;
    struct world *world = world_new(7);
    world->config.cache_bytes_max = 1 << 20;
    world_open(world);
    struct row row = end_stream(world, 1, SLICE_NONE), whole = end_stream(world, 2, SLICE_NONE);
    world_close(world);
    rot(world, row.number);
    world_open(world);
    assert_false(is_marked(world, &row));
    for (int i = 0; i < 3; i++) {
        struct storage_query query = {.kind = STORAGE_BLOCK, .project = 1, .number = row.number};
        assert_int_equal(world_query(world, &query), ERR_CORRUPT);
    }
    WORLD_UNTIL(world, is_marked(world, &row));
    assert_false(is_marked(world, &whole));
    struct storage_status status;
    storage_status(world->storage, &status);
    assert_int_equal(status.archive.damaged, 1);
    assert_int_equal(status.cache.blocks, 0);
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
        cmocka_unit_test(test_what_was_read_is_kept_until_it_is_deleted),
        cmocka_unit_test(test_a_reader_that_meets_damage_has_it_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
