/* evict — the oldest of all projects, in order, past tombstones, live and held streams; and that a
 * step looks at a bounded number of rows. */
#include "storage/evict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

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

static void put(struct store_txn *txn, uint32_t project, uint64_t number, enum stream_state state)
{
    struct row row = store_rig_row(number, state, 0);
    row.project = project;
    row.project_name = project == 1 ? SLICE("one") : SLICE("two");
    assert_int_equal(store_rig_put_row(txn, &row), ERR_OK);
}

static void hold(struct store_txn *txn, uint32_t project, uint64_t number)
{
    struct store_amendment amendment = {
        .kind = AMEND_HOLD, .project = project, .id = store_rig_id(number)};
    assert_int_equal(store_amend(txn, &amendment), ERR_OK);
}

static void bury(struct store_txn *txn, uint32_t project, uint64_t number)
{
    size_t values = 100;
    struct store_deletion deletion = {.project = project, .id = store_rig_id(number), .now_ns = 1};
    assert_int_equal(store_delete(txn, &deletion, &values), ERR_OK);
}

static void assert_is(const struct store_expired *found, uint32_t project, uint64_t number)
{
    struct id id = store_rig_id(number);
    assert_int_equal(found->project, project);
    assert_true(id_equal(&found->id, &id));
    assert_false(found->is_tombstone);
}

static void test_oldest_of_all_projects(void **state)
{
    (void)state;
    struct store_txn *txn = store_rig_begin(&rig);
    for (uint64_t number = 1; number <= 20; number++)
        put(txn, 1 + number % 2, number, number == 3 ? STREAM_STREAMING : STREAM_COMPLETED);
    hold(txn, 1, 4);
    bury(txn, 2, 1);
    store_rig_commit(txn, 0);
    struct store_expired found[4];
    struct id after = {0};
    size_t count;
    bool is_end;
    uint64_t expected[] = {2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    for (size_t i = 0; i < 16; i += 4) {
        assert_int_equal(store_oldest(rig.store, &after, found, 4, &count, &is_end), ERR_OK);
        assert_int_equal(count, 4);
        assert_false(is_end);
        for (size_t k = 0; k < 4; k++)
            assert_is(&found[k], 1 + (uint32_t)(expected[i + k] % 2), expected[i + k]);
    }
    assert_int_equal(store_oldest(rig.store, &after, found, 4, &count, &is_end), ERR_OK);
    assert_int_equal(count, 1);
    assert_true(is_end);
    assert_is(&found[0], 1, 20);
}

/* One project has a long run of live streams: the other's newer ones wait until it was looked
 * through. */
static void test_a_step_is_bounded(void **state)
{
    (void)state;
    struct store_txn *txn = store_rig_begin(&rig);
    for (uint64_t number = 1; number <= EVICT_LOOK_ROWS + 10; number++)
        put(txn, 1, number, STREAM_STREAMING);
    put(txn, 1, 2000, STREAM_COMPLETED);
    put(txn, 2, 1000, STREAM_COMPLETED);
    store_rig_commit(txn, 0);
    struct store_expired found[4];
    struct id after = {0}, reached = store_rig_id(EVICT_LOOK_ROWS);
    size_t count;
    bool is_end;
    assert_int_equal(store_oldest(rig.store, &after, found, 4, &count, &is_end), ERR_OK);
    assert_int_equal(count, 0);
    assert_false(is_end);
    assert_true(id_equal(&after, &reached));
    assert_int_equal(store_oldest(rig.store, &after, found, 4, &count, &is_end), ERR_OK);
    assert_int_equal(count, 2);
    assert_true(is_end);
    assert_is(&found[0], 2, 1000);
    assert_is(&found[1], 1, 2000);
}

static void test_nothing(void **state)
{
    (void)state;
    struct store_expired found[1];
    struct id after = {0};
    size_t count = 7;
    bool is_end = false;
    assert_int_equal(store_oldest(rig.store, &after, found, 1, &count, &is_end), ERR_OK);
    assert_int_equal(count, 0);
    assert_true(is_end);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_oldest_of_all_projects),
        TEST(test_a_step_is_bounded),
        TEST(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
