/* store — rows, keys, streams and their repeats, deletion, expiry, fullness, verification. */
#include "storage/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "storage/table.h"
#include "tests/storage/store_rig.h"

static struct store_rig rig;

static int open_rig(void **state)
{
    (void)state;
    store_rig_open(&rig, 0);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    store_rig_close(&rig);
    return 0;
}

static void assert_verified(void)
{
    char text[RIG_TEXT_BYTES];
    size_t findings = store_rig_verify(&rig, text);
    if (findings)
        print_message("%zu findings, the last: %s\n", findings, text);
    assert_int_equal(findings, 0);
}

/* The tables themselves, opened beside nothing: for damage. */
static struct tables *open_tables(void)
{
    char path[96];
    struct tables_options options = {.map_bytes = STORE_MAP_BYTES};
    struct tables *tables;
    rig.store = store_close(rig.store);
    (void)snprintf(path, sizeof path, "%s/store.lmdb", rig.path);
    assert_int_equal(tables_open(path, &options, &tables), ERR_OK);
    return tables;
}

static void close_tables(struct tables *tables)
{
    tables_close(tables);
    store_rig_reopen(&rig);
}

/* ---- Opening ---- */

static void test_identity(void **state)
{
    (void)state;
    uint8_t uuid[16], again[16];
    uint32_t epoch;
    char path[96];
    struct stat file;
    store_uuid(rig.store, uuid);
    assert_int_equal(store_next_epoch(rig.store, &epoch), ERR_OK);
    assert_int_equal(epoch, 1);
    assert_int_equal(store_absorbed_lsn(rig.store), 0);
    store_rig_commit(store_rig_begin(&rig), 42);
    store_rig_reopen(&rig);
    store_uuid(rig.store, again);
    assert_memory_equal(uuid, again, 16);
    assert_int_equal(store_absorbed_lsn(rig.store), 42);
    assert_int_equal(store_next_epoch(rig.store, &epoch), ERR_OK);
    assert_int_equal(epoch, 2);
    (void)snprintf(path, sizeof path, "%s/store.lmdb", rig.path);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    assert_verified();
}

static void test_read_only(void **state)
{
    (void)state;
    struct store *store;
    assert_int_equal(store_open("/tmp/tokenlog-is-not-here", true, 3, &store), ERR_NOTFOUND);
    assert_int_equal(store_open("/tmp/tokenlog-is-not-here", false, 3, &store), ERR_NOTFOUND);
    store_rig_write(&rig, 2, 10);
    rig.store = store_close(rig.store);
    assert_int_equal(store_open(rig.path, true, 3, &rig.store), ERR_OK);
    store_rig_check(&rig, 2, 10);
    assert_verified();
}

static void test_newer_format_is_refused(void **state)
{
    (void)state;
    struct tables *tables = open_tables();
    struct view *view;
    struct buf value;
    uint8_t format[4];
    struct slice content = slice_of(format, sizeof format);
    pack_u32(format, SCHEMA_FORMAT + 1);
    buf_init(&value, 100);
    assert_int_equal(value_seal(&content, 1, &value), ERR_OK);
    assert_int_equal(view_begin(tables, true, &view), ERR_OK);
    assert_int_equal(
        view_put(view, TABLE_META, schema_meta(META_FORMAT), buf_slice(&value)), ERR_OK);
    assert_int_equal(view_commit(view), ERR_OK);
    tables_close(tables);
    buf_deinit(&value);
    assert_int_equal(store_open(rig.path, false, 3, &rig.store), ERR_UNSUPPORTED);
    assert_non_null(strstr(fault_origin(), "format 2"));
}

static void test_map_is_halved_until_it_fits(void **state)
{
    (void)state;
    rig.map_bytes = UINT64_C(1) << 62;
    store_rig_reopen(&rig);
    store_rig_write(&rig, 2, 10);
    store_rig_check(&rig, 2, 10);
}

/* ---- Rows and keys ---- */

static void put_row(const struct row *row)
{
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_rig_put_row(txn, row), ERR_OK);
    store_rig_commit(txn, 0);
}

static enum stream_state state_of(uint64_t number, uint64_t *events)
{
    struct buf bytes;
    struct row row;
    assert_int_equal(store_rig_get_row(&rig, number, &bytes, &row), ERR_OK);
    *events = row.events;
    buf_deinit(&bytes);
    return row.state;
}

static void test_rows_only_go_forward(void **state)
{
    (void)state;
    static const struct {
        enum stream_state put;
        uint64_t events;
        enum stream_state state;
        uint64_t stored;
    } steps[] = {
        {STREAM_STREAMING, 5, STREAM_STREAMING, 5},
        {STREAM_ACCEPTED, 0, STREAM_STREAMING, 5},
        {STREAM_STREAMING, 3, STREAM_STREAMING, 5},
        {STREAM_STREAMING, 9, STREAM_STREAMING, 9},
        {STREAM_FAILED, 9, STREAM_FAILED, 9},
        {STREAM_STREAMING, 12, STREAM_FAILED, 9},
        {STREAM_FAILED, 9, STREAM_FAILED, 9},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct row row = store_rig_row(2, steps[i].put, steps[i].events);
        uint64_t events;
        put_row(&row);
        assert_int_equal(state_of(2, &events), steps[i].state);
        assert_int_equal(events, steps[i].stored);
    }
    struct buf bytes;
    struct row row;
    assert_int_equal(store_rig_get_row(&rig, 3, &bytes, &row), ERR_NOTFOUND);
    buf_deinit(&bytes);
}

static void put_attempt(uint64_t number, uint32_t attempt, struct slice key)
{
    struct row row = store_rig_row(number, STREAM_COMPLETED, 0);
    row.attempt = attempt;
    row.key = key;
    put_row(&row);
}

static void assert_key_means(struct slice key, uint64_t number)
{
    struct id found, id = store_rig_id(number);
    assert_int_equal(store_find_key(rig.store, RIG_PROJECT, key, &found), ERR_OK);
    assert_true(id_equal(&found, &id));
}

static void test_newest_attempt_has_the_key(void **state)
{
    (void)state;
    struct id id;
    put_attempt(1, 1, SLICE("order-1"));
    put_attempt(2, 1, SLICE("order-2"));
    assert_key_means(SLICE("order-1"), 1);
    put_attempt(3, 2, SLICE("order-1"));
    put_attempt(1, 1, SLICE("order-1")); /* a repeat */
    assert_key_means(SLICE("order-1"), 3);
    assert_key_means(SLICE("order-2"), 2);
    assert_int_equal(store_find_key(rig.store, RIG_PROJECT, SLICE("order"), &id), ERR_NOTFOUND);
    assert_int_equal(store_find_key(rig.store, 8, SLICE("order-1"), &id), ERR_NOTFOUND);
    assert_verified();
}

static void put_upstream_version(uint64_t number, enum stream_state state, const char *upstream_id)
{
    struct row row = store_rig_row(number, state, 0);
    row.upstream_id = slice_text(upstream_id);
    put_row(&row);
}

static void test_upstream_id_is_a_key(void **state)
{
    (void)state;
    struct id id = store_rig_id(2), found;
    size_t values = 100;
    put_upstream_version(2, STREAM_ACCEPTED, NULL);
    put_upstream_version(2, STREAM_STREAMING, "resp_a");
    assert_key_means(SLICE("\x03resp_a"), 2);
    assert_int_equal(store_find_key(rig.store, RIG_PROJECT, SLICE("resp_a"), &found), ERR_NOTFOUND);
    put_upstream_version(2, STREAM_COMPLETED, "resp_b");
    assert_key_means(SLICE("\x03resp_b"), 2);
    assert_int_equal(
        store_find_key(rig.store, RIG_PROJECT, SLICE("\x03resp_a"), &found), ERR_NOTFOUND);
    put_upstream_version(4, STREAM_COMPLETED, "resp_c");
    assert_key_means(SLICE("\x03resp_c"), 4);
    assert_verified();
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(
        store_delete(txn,
            &(struct store_deletion){
                .project = RIG_PROJECT, .id = id, .reason = SLICE("deleted"), .now_ns = 1},
            &values),
        ERR_OK);
    assert_int_equal(store_drop_row(txn, RIG_PROJECT, &id), ERR_OK);
    store_rig_commit(txn, 0);
    assert_int_equal(
        store_find_key(rig.store, RIG_PROJECT, SLICE("\x03resp_b"), &found), ERR_NOTFOUND);
    assert_key_means(SLICE("\x03resp_c"), 4);
    assert_verified();
}

static enum err note_project(void *context, uint32_t number, struct slice name)
{
    char *text = context;
    size_t used = strlen(text);
    (void)snprintf(text + used, 100 - used, "%u=%.*s ", number, SLICE_PRINT(name));
    return ERR_OK;
}

static void put_in_project(uint64_t number, uint32_t project, struct slice name)
{
    struct row row = store_rig_row(number, STREAM_COMPLETED, 0);
    row.project = project;
    row.project_name = name;
    put_row(&row);
}

static void test_projects(void **state)
{
    (void)state;
    char text[100] = "";
    uint32_t number;
    put_in_project(1, 300, SLICE("beta"));
    put_in_project(2, 2, SLICE("alpha"));
    put_in_project(3, 300, SLICE("beta"));
    assert_int_equal(store_project_number(rig.store, SLICE("beta"), &number), ERR_OK);
    assert_int_equal(number, 300);
    assert_int_equal(store_project_number(rig.store, SLICE("gamma"), &number), ERR_NOTFOUND);
    assert_int_equal(store_project_walk(rig.store, note_project, text), ERR_OK);
    assert_string_equal(text, "2=alpha 300=beta ");
}

struct listed {
    uint64_t numbers[64];
    size_t count, stop_at;
};

static enum err note_row(void *context, const struct row *row)
{
    struct listed *listed = context;
    listed->numbers[listed->count++] = row->number;
    return listed->count == listed->stop_at ? ERR_CLOSED : ERR_OK;
}

static void test_list(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 30; number++)
        put_in_project(number, 1 + (uint32_t)number % 3, slice_of("abc", 1 + number % 3));
    struct listed all = {0}, page = {0}, few = {.stop_at = 2}, one = {0};
    assert_int_equal(store_list(rig.store, 0, NULL, 64, note_row, &all), ERR_OK);
    assert_int_equal(all.count, 30);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(all.numbers[i], 30 - i);
    struct id before = store_rig_id(12), between = store_rig_id(100);
    assert_int_equal(store_list(rig.store, 1, &before, 64, note_row, &page), ERR_OK);
    assert_int_equal(page.count, 3); /* 9, 6, 3 */
    assert_int_equal(page.numbers[0], 9);
    assert_int_equal(store_list(rig.store, 2, NULL, 64, note_row, &few), ERR_OK);
    assert_int_equal(few.count, 2);
    assert_int_equal(few.numbers[1], 25);
    assert_int_equal(store_list(rig.store, 3, &between, 1, note_row, &one), ERR_OK);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.numbers[0], 29);
    assert_int_equal(store_list(rig.store, 9, NULL, 64, note_row, &one), ERR_OK);
    assert_int_equal(one.count, 1);
}

/* ---- Streams ---- */

static void test_repeat_is_cut_elsewhere(void **state)
{
    (void)state;
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_rig_put(txn, 2, 0, 50, 4096), ERR_OK);
    assert_int_equal(store_rig_put(txn, 2, 40, 80, 65536), ERR_OK); /* 40…49 are there */
    assert_int_equal(store_rig_put(txn, 2, 10, 30, 100), ERR_OK);   /* all are */
    assert_int_equal(store_rig_put(txn, 2, 0, 81, 10000), ERR_OK);
    assert_int_equal(store_rig_put(txn, 2, 90, 95, 10000), ERR_CORRUPT); /* a gap */
    store_rig_commit(txn, 0);
    store_rig_check(&rig, 2, 81);
}

/* Streams are absorbed in random cuts, with repeats and crashes; now and then merged. */
static void absorb_at_random(struct sim_random *random, uint64_t number, uint64_t events)
{
    uint64_t stored = 0; /* by a committed transaction */
    while (stored < events) {
        struct store_txn *txn = store_rig_begin(&rig);
        uint64_t reached = stored;
        for (uint64_t puts = 1 + sim_random_below(random, 3); puts; puts--) {
            uint64_t from = reached - sim_random_below(random, reached + 1);
            uint64_t to = from + 1 + sim_random_below(random, 150);
            uint32_t capacity = 1 + (uint32_t)sim_random_below(random, BLOCK_BYTES_MAX);
            to = to < events ? to : events;
            assert_int_equal(store_rig_put(txn, number, from, to, capacity), ERR_OK);
            reached = to > reached ? to : reached;
        }
        struct block_position from = {0, 0};
        if (sim_random_below(random, 5) == 0)
            assert_int_equal(store_merge(txn, RIG_PROJECT, number, &from), ERR_OK);
        if (sim_random_below(random, 4) == 0) {
            store_abort(txn);
            store_rig_reopen(&rig);
        } else {
            store_rig_commit(txn, 0);
            stored = reached;
        }
    }
}

static void test_random_absorption(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 8; number++) {
        struct sim_random random = sim_random_new(number);
        uint64_t events = 1 + sim_random_below(&random, 600);
        struct row row = store_rig_row(number, STREAM_COMPLETED, events);
        absorb_at_random(&random, number, events);
        put_row(&row);
        store_rig_check(&rig, number, events);
    }
    assert_verified();
}

static void test_large_event(void **state)
{
    (void)state;
    enum { EVENT_BYTES = 1 << 20 };
    struct sim_random random = sim_random_new(9);
    struct store_txn *txn = store_rig_begin(&rig);
    struct block *blocks[EVENT_BYTES / FRAME_BYTES_MAX + 1], *back;
    size_t count = 0, offset = 0;
    uint8_t *event = malloc(EVENT_BYTES);
    assert_non_null(event);
    for (size_t i = 0; i < EVENT_BYTES; i++)
        event[i] = (uint8_t)sim_random_next(&random);
    for (; offset < EVENT_BYTES; offset += FRAME_BYTES_MAX, count++) {
        struct slice part = slice_sub(slice_of(event, EVENT_BYTES), offset, FRAME_BYTES_MAX);
        bool is_last = offset + part.size == EVENT_BYTES;
        assert_int_equal(
            block_new(0, (uint32_t)count, offset, FRAME_BYTES_MAX, &blocks[count]), ERR_OK);
        assert_int_equal(block_append(blocks[count], part, 1, is_last ? 0 : FRAME_MORE), ERR_OK);
    }
    for (size_t i = 0; i < count; i++) { /* as it comes, part by part, and again */
        struct block_run run = {.blocks = blocks, .count = i + 1};
        assert_int_equal(store_put_blocks(txn, RIG_PROJECT, 4, &run), ERR_OK);
    }
    store_rig_commit(txn, 0);
    for (uint32_t part = 0; part < count; part++) {
        assert_int_equal(
            store_get_block(rig.store, rig.codec, RIG_PROJECT, 4, 0, part, &back), ERR_OK);
        assert_int_equal(back->part, part);
        assert_true(slice_equal(block_frame(back, 0), block_frame(blocks[part], 0)));
        block_unref(back);
        block_unref(blocks[part]);
    }
    assert_int_equal(
        store_get_block(rig.store, rig.codec, RIG_PROJECT, 4, 0, (uint32_t)count, &back),
        ERR_NOTFOUND);
    free(event);
}

static void test_growing_last_block(void **state)
{
    (void)state;
    struct store_txn *txn = store_rig_begin(&rig);
    struct store_rig_run made;
    store_rig_run(&made, 2, 0, 20, BLOCK_BYTES_MAX);
    struct block_run run = {.blocks = made.blocks, .count = 1, .last_frames = 5};
    assert_int_equal(store_put_blocks(txn, RIG_PROJECT, 2, &run), ERR_OK);
    store_rig_commit(txn, 0);
    store_rig_check(&rig, 2, 5);
    store_rig_run_free(&made);
}

static void test_merge(void **state)
{
    (void)state;
    struct row row = store_rig_row(2, STREAM_COMPLETED, 900);
    for (uint64_t seq = 0; seq < 900; seq++) { /* a slow stream: a block an event */
        struct store_txn *txn = store_rig_begin(&rig);
        assert_int_equal(store_rig_put(txn, 2, seq, seq + 1, 4096), ERR_OK);
        store_rig_commit(txn, 0);
    }
    uint64_t before = store_rig_block_count(&rig, 2);
    assert_true(before >= 900);
    struct block_position from = {0, 0};
    enum err err = ERR_AGAIN;
    size_t steps = 0;
    for (; err == ERR_AGAIN; steps++) {
        struct store_txn *txn = store_rig_begin(&rig);
        err = store_merge(txn, RIG_PROJECT, 2, &from);
        store_rig_commit(txn, 0);
    }
    assert_int_equal(err, ERR_OK);
    assert_true(steps > 1);
    assert_true(store_rig_block_count(&rig, 2) < before / 10);
    put_row(&row);
    store_rig_check(&rig, 2, 900);
    assert_verified();
}

static void put_body(uint64_t offset, struct slice piece, enum err expected)
{
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_put_body(txn, RIG_PROJECT, 2, offset, piece), expected);
    store_rig_commit(txn, 0);
}

static void test_body(void **state)
{
    (void)state;
    enum { BODY_BYTES = 150000 };
    static uint8_t body[BODY_BYTES];
    struct sim_random random = sim_random_new(5);
    struct slice all = slice_of(body, BODY_BYTES);
    struct buf out;
    for (size_t i = 0; i < BODY_BYTES; i++)
        body[i] = (uint8_t)(i < 70000 ? sim_random_next(&random) : 'b');
    buf_init(&out, BODY_BYTES);
    assert_int_equal(store_get_body(rig.store, rig.codec, RIG_PROJECT, 2, 0, &out), ERR_CLOSED);
    put_body(0, slice_sub(all, 0, FRAGMENT_BYTES_MAX), ERR_OK);
    put_body(0, slice_sub(all, 0, FRAGMENT_BYTES_MAX), ERR_OK);
    put_body(60000, slice_sub(all, 60000, FRAGMENT_BYTES_MAX), ERR_OK); /* overlaps */
    put_body(140000, slice_sub(all, 140000, 10000), ERR_CORRUPT);       /* a gap */
    put_body(125536, slice_sub(all, 125536, FRAGMENT_BYTES_MAX), ERR_OK);
    enum err err = ERR_OK;
    while ((err = store_get_body(rig.store, rig.codec, RIG_PROJECT, 2, out.size, &out)) == ERR_OK)
        ;
    assert_int_equal(err, ERR_CLOSED);
    assert_true(slice_equal(buf_slice(&out), all));
    buf_clear(&out);
    assert_int_equal(store_get_body(rig.store, rig.codec, RIG_PROJECT, 2, 66001, &out), ERR_OK);
    assert_true(slice_equal(buf_slice(&out), slice_sub(all, 66001, out.size)));
    buf_deinit(&out);
}

static void test_asides(void **state)
{
    (void)state;
    static uint8_t large[FRAGMENT_BYTES_MAX];
    struct sim_random random = sim_random_new(6);
    struct buf out;
    uint64_t place;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)sim_random_next(&random);
    for (int round = 0; round < 2; round++) {
        struct store_txn *txn = store_rig_begin(&rig);
        assert_int_equal(
            store_put_aside(txn, RIG_PROJECT, 2, 0, 17, SLICE("data: {\"usage\":1}\n\n")), ERR_OK);
        assert_int_equal(
            store_put_aside(txn, RIG_PROJECT, 2, 1, 99, slice_of(large, sizeof large)), ERR_OK);
        store_rig_commit(txn, 0);
    }
    buf_init(&out, SIZE_MAX);
    assert_int_equal(
        store_get_aside(rig.store, rig.codec, RIG_PROJECT, 2, 0, &place, &out), ERR_OK);
    assert_int_equal(place, 17);
    assert_true(slice_equal(buf_slice(&out), SLICE("data: {\"usage\":1}\n\n")));
    buf_clear(&out);
    assert_int_equal(
        store_get_aside(rig.store, rig.codec, RIG_PROJECT, 2, 1, &place, &out), ERR_OK);
    assert_int_equal(place, 99);
    assert_true(slice_equal(buf_slice(&out), slice_of(large, sizeof large)));
    assert_int_equal(
        store_get_aside(rig.store, rig.codec, RIG_PROJECT, 2, 2, &place, &out), ERR_NOTFOUND);
    buf_deinit(&out);
}

/* ---- Deletion and expiry ---- */

static enum err delete_some(uint64_t number, int64_t now_ns, size_t values)
{
    struct store_txn *txn = store_rig_begin(&rig);
    struct store_deletion deletion = {.project = RIG_PROJECT,
        .id = store_rig_id(number),
        .reason = SLICE("deleted"),
        .now_ns = now_ns,
        .tombstone_ttl_s = 60};
    enum err err = store_delete(txn, &deletion, &values);
    store_rig_commit(txn, 0);
    return err;
}

static void put_small_blocks(uint64_t number, uint64_t events)
{
    struct store_txn *txn = store_rig_begin(&rig);
    for (uint64_t seq = 0; seq < events; seq++)
        assert_int_equal(store_rig_put(txn, number, seq, seq + 1, 1000), ERR_OK);
    store_rig_commit(txn, 0);
}

static void test_delete_in_steps(void **state)
{
    (void)state;
    struct row row = store_rig_row(2, STREAM_COMPLETED, 25), stored;
    struct buf bytes;
    struct block *block;
    row.key = SLICE("order");
    row.head = SLICE("x-model: secret\r\n");
    put_small_blocks(2, 25);
    put_body(0, SLICE("the request"), ERR_OK);
    put_row(&row);
    assert_int_equal(delete_some(2, 1000, 10), ERR_AGAIN);
    assert_int_equal(store_rig_get_row(&rig, 2, &bytes, &stored), ERR_OK); /* at once */
    assert_int_equal(stored.state, STREAM_DELETED);
    assert_true(slice_equal(stored.reason, SLICE("deleted")));
    assert_int_equal(stored.metadata.size + stored.head.size, 0);
    assert_int_equal(stored.events, 25); /* the accounts stay */
    buf_deinit(&bytes);
    char text[RIG_TEXT_BYTES];
    assert_int_equal(store_rig_verify(&rig, text), 0); /* half-deleted is sound */
    store_rig_reopen(&rig);
    assert_int_equal(delete_some(2, 1000, 10), ERR_AGAIN);
    assert_int_equal(delete_some(2, 1000, 10), ERR_OK);
    assert_int_equal(delete_some(2, 1000, 10), ERR_OK); /* and again */
    assert_int_equal(delete_some(3, 1000, 10), ERR_NOTFOUND);
    assert_int_equal(
        store_get_block(rig.store, rig.codec, RIG_PROJECT, 2, 0, 0, &block), ERR_NOTFOUND);
    assert_key_means(SLICE("order"), 2); /* a key outlives its stream */
    assert_verified();
}

static void test_nothing_comes_back(void **state)
{
    (void)state;
    struct row row = store_rig_row(2, STREAM_COMPLETED, 40);
    uint64_t events;
    store_rig_write(&rig, 2, 40);
    assert_int_equal(delete_some(2, 1000, 1000), ERR_OK);
    put_small_blocks(2, 40); /* what a replayed journal would do */
    put_body(0, SLICE("the request"), ERR_OK);
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_put_aside(txn, RIG_PROJECT, 2, 0, 1, SLICE("usage")), ERR_OK);
    store_rig_commit(txn, 0);
    put_row(&row);
    assert_int_equal(state_of(2, &events), STREAM_DELETED);
    assert_int_equal(store_rig_block_count(&rig, 2), 0);
    assert_verified();
}

static void put_expiring(uint64_t number, int64_t ended_ns, int64_t ttl_s)
{
    struct row row = store_rig_row(number, STREAM_COMPLETED, 3);
    row.ended_ns = ended_ns;
    row.ttl_s = ttl_s;
    row.key = slice_of(&number, sizeof number);
    put_small_blocks(number, 3);
    put_row(&row);
}

static size_t expired_at(int64_t now_ns, struct store_expired *out)
{
    size_t found;
    assert_int_equal(store_expired(rig.store, now_ns, out, 8, &found), ERR_OK);
    return found;
}

static void test_expiry(void **state)
{
    (void)state;
    const int64_t second = 1000000000;
    struct store_expired due[8];
    struct id first = store_rig_id(4), found;
    put_expiring(2, 100 * second, 50);
    put_expiring(4, 100 * second, 20);
    put_expiring(6, 100 * second, 0);         /* never */
    put_expiring(8, 100 * second, INT64_MAX); /* as good as never */
    assert_int_equal(expired_at(119 * second, due), 0);
    assert_int_equal(expired_at(120 * second, due), 1);
    assert_true(id_equal(&due[0].id, &first));
    assert_false(due[0].is_tombstone);
    assert_int_equal(expired_at(1000 * second, due), 2);
    assert_int_equal(delete_some(4, 200 * second, 1), ERR_AGAIN); /* and a crash */
    store_rig_reopen(&rig);
    assert_int_equal(expired_at(1, due), 1); /* due at once, to be finished */
    assert_false(due[0].is_tombstone);
    assert_int_equal(delete_some(4, 200 * second, 100), ERR_OK);
    assert_int_equal(expired_at(149 * second, due), 0);
    assert_int_equal(expired_at(260 * second, due), 2);
    assert_true(due[1].is_tombstone);
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_drop_row(txn, RIG_PROJECT, &due[1].id), ERR_OK);
    assert_int_equal(store_drop_row(txn, RIG_PROJECT, &due[0].id), ERR_INVALID);
    assert_int_equal(store_drop_row(txn, RIG_PROJECT, &due[1].id), ERR_NOTFOUND);
    store_rig_commit(txn, 0);
    uint64_t number = 4;
    struct slice key = slice_of(&number, sizeof number);
    assert_int_equal(store_find_key(rig.store, RIG_PROJECT, key, &found), ERR_NOTFOUND);
    assert_verified();
}

/* ---- Fullness ---- */

static enum err write_until_full(uint64_t *number)
{
    for (;; *number += 2) { /* odd numbers: noise */
        struct store_txn *txn = store_rig_begin(&rig);
        struct row row = store_rig_row(*number, STREAM_COMPLETED, 200);
        enum err err = store_rig_put(txn, *number, 0, 200, BLOCK_BYTES_MAX);
        if (err == ERR_OK)
            err = store_rig_put_row(txn, &row);
        if (err != ERR_OK) {
            store_abort(txn);
            return err;
        }
        err = store_commit(txn, *number);
        if (err != ERR_OK)
            return err;
    }
}

/* ---- Amendments ---- */

static enum err amend(uint64_t number, const struct store_amendment *amendment)
{
    struct store_txn *txn = store_rig_begin(&rig);
    struct store_amendment full = *amendment;
    full.project = RIG_PROJECT;
    full.id = store_rig_id(number);
    enum err err = store_amend(txn, &full);
    store_rig_commit(txn, 0);
    return err;
}

static enum err amend_kind(uint64_t number, enum store_amendment_kind kind)
{
    return amend(number, &(struct store_amendment){.kind = kind});
}

static void test_a_hold_outlives_everything(void **state)
{
    (void)state;
    struct store_expired expired[4];
    struct row stored;
    struct buf bytes;
    assert_int_equal(amend_kind(2, AMEND_HOLD), ERR_NOTFOUND);
    put_expiring(2, 1000, 60);
    assert_int_equal(amend_kind(2, AMEND_HOLD), ERR_OK);
    assert_int_equal(amend_kind(2, AMEND_HOLD), ERR_OK);
    assert_int_equal(expired_at(INT64_MAX, expired), 0);
    assert_int_equal(delete_some(2, 1000, 100), ERR_DENIED);
    assert_verified();
    assert_int_equal(amend_kind(2, AMEND_RELEASE), ERR_OK);
    assert_int_equal(expired_at(INT64_MAX, expired), 1);
    assert_verified();
    assert_int_equal(delete_some(2, 1000, 100), ERR_OK);
    assert_int_equal(amend_kind(2, AMEND_HOLD), ERR_NOTFOUND);
    assert_int_equal(store_rig_get_row(&rig, 2, &bytes, &stored), ERR_OK);
    assert_false(stored.is_held);
    buf_deinit(&bytes);
}

/* A hold of a live stream is kept when its writer, who knows nothing of it, ends it. */
static void test_amendments_are_kept_by_later_versions(void **state)
{
    (void)state;
    struct store_expired expired[4];
    struct row row = store_rig_row(2, STREAM_STREAMING, 1), stored;
    struct buf bytes;
    static char metadata[ROW_BYTES_MAX - 400];
    memset(metadata, 'm', sizeof metadata);
    put_small_blocks(2, 3);
    put_row(&row);
    assert_int_equal(amend_kind(2, AMEND_HOLD), ERR_OK);
    assert_int_equal(
        amend(2, &(struct store_amendment){.kind = AMEND_DAMAGE, .damage = SLICE("blocks 0.0")}),
        ERR_OK);
    assert_int_equal(
        amend(2, &(struct store_amendment){.kind = AMEND_DAMAGE, .damage = SLICE("another")}),
        ERR_OK);
    row = store_rig_row(2, STREAM_COMPLETED, 3);
    row.ttl_s = 60;
    row.metadata = slice_of(metadata, sizeof metadata); /* with the amendments it is too long */
    put_row(&row);
    assert_int_equal(expired_at(INT64_MAX, expired), 0);
    assert_int_equal(store_rig_get_row(&rig, 2, &bytes, &stored), ERR_OK);
    assert_true(stored.is_held && stored.state == STREAM_COMPLETED);
    assert_true(slice_equal(stored.damage, SLICE("blocks 0.0")));
    buf_deinit(&bytes);
    assert_verified();
}

static void test_reading_extends_a_sliding_life(void **state)
{
    (void)state;
    const int64_t second = 1000000000;
    struct store_expired expired[4];
    struct row row = store_rig_row(2, STREAM_COMPLETED, 3);
    row.ended_ns = 100 * second;
    row.ttl_s = 60;
    row.is_sliding = true;
    put_small_blocks(2, 3);
    put_row(&row);
    assert_int_equal(expired_at(161 * second, expired), 1);
    struct store_amendment touch = {.kind = AMEND_TOUCH, .time_ns = 150 * second};
    assert_int_equal(amend(2, &touch), ERR_OK);
    touch.time_ns = 120 * second; /* late: changes nothing */
    assert_int_equal(amend(2, &touch), ERR_OK);
    assert_int_equal(expired_at(161 * second, expired), 0);
    assert_int_equal(expired_at(211 * second, expired), 1);
    put_row(&row); /* a repeat */
    assert_int_equal(expired_at(161 * second, expired), 0);
    assert_verified();
}

static void test_full_and_room_again(void **state)
{
    (void)state;
    uint64_t number = 1, first = 1;
    store_rig_close(&rig);
    store_rig_open(&rig, 8 << 20);
    for (int round = 0; round < 12; round++) {
        assert_int_equal(write_until_full(&number), ERR_FULL);
        assert_true(number > first + 4);
        for (uint64_t old = first; old < number; old += 2)
            store_rig_check(&rig, old, 200); /* reading goes on */
        assert_int_equal(store_absorbed_lsn(rig.store), number - 2);
        for (int i = 0; i < 4; i++, first += 2) {
            enum err err = ERR_AGAIN;
            while (err == ERR_AGAIN)
                err = delete_some(first, 1000, 8);
            assert_int_equal(err, ERR_OK);
        }
        assert_int_equal(store_touch(rig.store), ERR_OK);
    }
    store_rig_reopen(&rig);
    assert_verified();
}

/* ---- Verification ---- */

static void fill_for_verify(void)
{
    struct row row = store_rig_row(2, STREAM_COMPLETED, 200);
    row.key = SLICE("order");
    row.ttl_s = 1000;
    row.request_bytes = 11;
    struct store_txn *txn = store_rig_begin(&rig);
    assert_int_equal(store_rig_put(txn, 2, 0, 150, BLOCK_BYTES_MAX), ERR_OK);
    assert_int_equal(store_rig_put(txn, 2, 150, 200, BLOCK_BYTES_MAX), ERR_OK);
    assert_int_equal(store_put_body(txn, RIG_PROJECT, 2, 0, SLICE("the request")), ERR_OK);
    assert_int_equal(store_put_aside(txn, RIG_PROJECT, 2, 0, 9, SLICE("usage")), ERR_OK);
    assert_int_equal(store_rig_put_row(txn, &row), ERR_OK);
    store_rig_commit(txn, 99);
}

/* Change the n-th entry of a table: turn a byte of its value, or remove it. False: there is none. */
static bool damage(struct tables *tables, enum table table, size_t n, bool is_removed, size_t byte)
{
    struct view *view;
    struct walk walk = {0};
    struct schema_key key = {.size = 0};
    uint8_t value[BLOCK_STORED_BYTES_MAX];
    assert_int_equal(view_begin(tables, true, &view), ERR_OK);
    assert_int_equal(walk_begin(view, table, key, &walk), ERR_OK);
    enum err err = walk_first(&walk);
    while (err == ERR_OK && n--)
        err = walk_next(&walk);
    if (err != ERR_OK || (!is_removed && walk.value.size == 0)) {
        walk_end(&walk);
        view_abort(view);
        return false;
    }
    key.size = walk.key.size;
    memcpy(key.bytes, walk.key.data, key.size);
    struct slice changed = slice_of(value, walk.value.size);
    memcpy(value, walk.value.data, changed.size);
    walk_end(&walk);
    if (!is_removed)
        value[byte % changed.size] ^= 0x10;
    assert_int_equal(
        is_removed ? view_remove(view, table, key) : view_put_small(view, table, key, changed),
        ERR_OK);
    assert_int_equal(view_commit(view), ERR_OK);
    return true;
}

static void test_verify_finds_a_turned_byte(void **state)
{
    (void)state;
    char text[RIG_TEXT_BYTES];
    size_t entries = 0;
    fill_for_verify();
    assert_verified();
    struct sim_random random = sim_random_new(7);
    for (int table = 0; table < TABLE_COUNT; table++) {
        for (size_t n = 0;; n++) {
            size_t byte = sim_random_next(&random);
            struct tables *tables = open_tables();
            if (!damage(tables, (enum table)table, n, false, byte)) {
                close_tables(tables);
                break;
            }
            /* A store whose identity is damaged does not even open. */
            tables_close(tables);
            enum err err = store_open(rig.path, false, 3, &rig.store);
            assert_true(err == ERR_OK || (err == ERR_CORRUPT && table == TABLE_META));
            if (err == ERR_OK)
                assert_true(store_rig_verify(&rig, text) > 0);
            tables = open_tables();
            assert_true(damage(tables, (enum table)table, n, false, byte)); /* turned back */
            close_tables(tables);
            entries++;
        }
    }
    assert_true(entries >= 10);
    assert_verified();
}

static void test_verify_finds_what_is_missing(void **state)
{
    (void)state;
    char text[RIG_TEXT_BYTES];
    static const enum table tables_of_one[] = {
        TABLE_ROWS, TABLE_NUMBERS, TABLE_BLOCKS, TABLE_EXPIRY};
    for (size_t i = 0; i < sizeof tables_of_one / sizeof *tables_of_one; i++) {
        fill_for_verify();
        struct tables *tables = open_tables();
        assert_true(damage(tables, tables_of_one[i], 0, true, 0));
        close_tables(tables);
        assert_true(store_rig_verify(&rig, text) > 0);
        store_rig_close(&rig);
        store_rig_open(&rig, 0);
    }
}

static void test_verify_checks_the_counts(void **state)
{
    (void)state;
    char text[RIG_TEXT_BYTES];
    struct row row = store_rig_row(2, STREAM_COMPLETED, 12);
    put_small_blocks(2, 11);
    put_row(&row);
    assert_int_equal(store_rig_verify(&rig, text), 1);
    assert_non_null(strstr(text, "11"));
}

static void test_sizes(void **state)
{
    (void)state;
    struct store_size size;
    store_rig_write(&rig, 1, 500);
    store_rig_write(&rig, 2, 500);
    store_size(rig.store, &size);
    assert_int_equal(size.rows, 2);
    assert_true(size.used_bytes > store_rig_bytes(1, 500));
    assert_true(size.file_bytes >= size.used_bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identity),
        TEST(test_read_only),
        TEST(test_newer_format_is_refused),
        TEST(test_map_is_halved_until_it_fits),
        TEST(test_rows_only_go_forward),
        TEST(test_newest_attempt_has_the_key),
        TEST(test_upstream_id_is_a_key),
        TEST(test_projects),
        TEST(test_list),
        TEST(test_repeat_is_cut_elsewhere),
        TEST(test_random_absorption),
        TEST(test_large_event),
        TEST(test_growing_last_block),
        TEST(test_merge),
        TEST(test_body),
        TEST(test_asides),
        TEST(test_delete_in_steps),
        TEST(test_nothing_comes_back),
        TEST(test_expiry),
        TEST(test_a_hold_outlives_everything),
        TEST(test_amendments_are_kept_by_later_versions),
        TEST(test_reading_extends_a_sliding_life),
        TEST(test_full_and_room_again),
        TEST(test_verify_finds_a_turned_byte),
        TEST(test_verify_finds_what_is_missing),
        TEST(test_verify_checks_the_counts),
        TEST(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
