/* scrub — every value is read again, at the rate; a turned bit marks its stream and no other. */
#include "storage/scrub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "storage/table.h"
#include "tests/storage/store_rig.h"

static const int64_t SECOND = 1000000000;

static struct store_rig rig;
static struct scrub *scrub;
static struct {
    size_t count, news, nameless;
    struct id id; /* the last one */
    char what[100];
} seen;

static int open_rig(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    store_rig_open(&rig, 0);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    scrub = scrub_free(scrub);
    store_rig_close(&rig);
    return 0;
}

static void on_found(void *context, const struct id *id, const char *what, bool is_news)
{
    (void)context;
    seen.count++;
    seen.news += is_news;
    seen.nameless += !id;
    if (id)
        seen.id = *id;
    (void)snprintf(seen.what, sizeof seen.what, "%s", what);
}

static void start(uint64_t bytes_per_s)
{
    assert_int_equal(scrub_new(rig.store, bytes_per_s, on_found, NULL, &scrub), ERR_OK);
}

static struct scrub_status status(void)
{
    struct scrub_status out;
    scrub_status(scrub, &out);
    return out;
}

/* One bit of a value, in the table as LMDB keeps it. */
static void rot(enum table table, struct schema_key key, size_t at)
{
    struct tables *tables = store_tables(rig.store);
    struct view *view;
    struct slice value;
    struct buf copy;
    assert_int_equal(view_begin(tables, true, &view), ERR_OK);
    assert_int_equal(view_get(view, table, key, &value), ERR_OK);
    buf_init(&copy, value.size);
    assert_int_equal(buf_append(&copy, value), ERR_OK);
    copy.data[at % copy.size] ^= 0x10;
    assert_int_equal(view_put(view, table, key, buf_slice(&copy)), ERR_OK);
    assert_int_equal(view_commit(view), ERR_OK);
    buf_deinit(&copy);
}

static void run(int64_t from_s, int64_t seconds)
{
    for (int64_t s = from_s; s < from_s + seconds; s++)
        assert_int_equal(scrub_step(scrub, s * SECOND), ERR_OK);
}

static struct row row_of(uint64_t number, struct buf *bytes)
{
    struct row row;
    assert_int_equal(store_rig_get_row(&rig, number, bytes, &row), ERR_OK);
    return row;
}

static void test_the_rate_is_kept(void **state)
{
    (void)state;
    enum { RATE = 20000 };
    uint64_t most = 0;
    for (uint64_t number = 1; number <= 4; number++)
        store_rig_write(&rig, number, 400);
    start(RATE);
    for (int64_t s = 1; s < 1000 && status().rounds == 0; s++) {
        uint64_t before = status().bytes;
        assert_int_equal(scrub_step(scrub, s * SECOND), ERR_OK);
        if (status().bytes - before > most)
            most = status().bytes - before;
    }
    assert_int_equal(status().rounds, 1);
    assert_in_range(most, RATE / 2, RATE + BLOCK_STORED_BYTES_MAX);
    assert_int_equal(seen.count, 0);
    uint64_t values = status().values;
    run(1000, 2500);
    assert_int_equal(status().values, values); /* the next round is an hour later */
    run(3700, 1000);
    assert_int_equal(status().rounds, 2);
    assert_int_equal(status().values, 2 * values);
}

static void test_a_damaged_block_marks_its_stream_only(void **state)
{
    (void)state;
    struct buf bytes;
    for (uint64_t number = 1; number <= 3; number++)
        store_rig_write(&rig, number, 400);
    rot(TABLE_BLOCKS, schema_block(RIG_PROJECT, 2, 0, 0), 777);
    start(10000000);
    run(1, 2);
    struct id id = store_rig_id(2);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.news, 1);
    assert_true(id_equal(&seen.id, &id));
    assert_string_equal(seen.what, "blocks from 0.0 on");
    assert_int_equal(status().damaged, 1);
    struct row row = row_of(2, &bytes);
    assert_int_equal(row.state, STREAM_COMPLETED);
    assert_true(slice_equal(row.damage, SLICE("blocks from 0.0 on")));
    buf_deinit(&bytes);
    store_rig_check(&rig, 1, 400);
    store_rig_check(&rig, 3, 400);
    row = row_of(1, &bytes);
    assert_int_equal(row.damage.size, 0);
    buf_deinit(&bytes);
    char text[RIG_TEXT_BYTES];
    assert_true(store_rig_verify(&rig, text) > 0);
    run(4000, 2);
    assert_int_equal(status().rounds, 2);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.news, 1);
    assert_int_equal(status().damaged, 1);
    scrub = scrub_free(scrub); /* a new run knows it from the row */
    start(10000000);
    run(1, 2);
    assert_int_equal(status().damaged, 1);
    assert_int_equal(seen.news, 1);
}

static void test_damaged_rows_and_indexes_are_told(void **state)
{
    (void)state;
    struct id id = store_rig_id(2);
    for (uint64_t number = 1; number <= 3; number++)
        store_rig_write(&rig, number, 10);
    rot(TABLE_ROWS, schema_row(RIG_PROJECT, &id), 40);
    rot(TABLE_NUMBERS, schema_number(RIG_PROJECT, 3), 9);
    rot(TABLE_BLOCKS, schema_block(RIG_PROJECT, 2, 0, 0), 50); /* no row to mark */
    start(10000000);
    run(1, 2);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.news, 3);
    assert_int_equal(seen.nameless, 2);
    assert_int_equal(status().damaged, 3);
    run(4000, 2);
    assert_int_equal(seen.count, 6);
    assert_int_equal(seen.news, 3);
}

static void test_an_empty_store(void **state)
{
    (void)state;
    start(1000);
    run(1, 10);
    assert_int_equal(status().rounds, 1);
    assert_int_equal(seen.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_rate_is_kept),
        TEST(test_a_damaged_block_marks_its_stream_only),
        TEST(test_damaged_rows_and_indexes_are_told),
        TEST(test_an_empty_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
