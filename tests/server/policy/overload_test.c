/* overload: what is refused, and when, by the lag that was noted. Time is the count of probes. */
#include "server/policy/overload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MS = 1000000, LAG_MAX_MS = 20, SECOND = 1000 / OVERLOAD_PROBE_MS };

static void note(struct overload *overload, int64_t lag_ms, uint64_t live, int probes)
{
    for (int i = 0; i < probes; i++)
        overload_note(overload, lag_ms * MS, live);
}

static void all_are_admitted_where_nothing_waits(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    assert_true(overload_admits(&overload, 0));
    note(&overload, LAG_MAX_MS, 5000, 10 * SECOND); /* at the bound, not beyond */
    assert_true(overload_admits(&overload, 1000000));
}

static void one_long_turn_is_no_overload(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    note(&overload, 5 * LAG_MAX_MS, 500, 1);
    assert_true(overload_admits(&overload, 500));
}

static void what_goes_on_is_the_limit(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    note(&overload, 3 * LAG_MAX_MS, 500, 10);
    assert_false(overload_admits(&overload, 500));
    assert_true(overload_admits(&overload, 499)); /* one has ended */
}

static void it_shrinks_while_it_is_too_much_and_never_to_nothing(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    note(&overload, 3 * LAG_MAX_MS, 500, SECOND);
    uint64_t limit = overload.limit;
    assert_true(limit < 500);
    note(&overload, 3 * LAG_MAX_MS, 400, SECOND);
    assert_true(overload.limit < limit);
    note(&overload, 100 * LAG_MAX_MS, 400, 1000 * SECOND);
    assert_int_equal(overload.limit, OVERLOAD_LIVE_MIN);
    assert_true(overload_admits(&overload, OVERLOAD_LIVE_MIN - 1));
}

static void it_grows_while_there_is_room_until_it_is_gone(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    note(&overload, 3 * LAG_MAX_MS, 500, 10);
    note(&overload, 0, 500, SECOND);
    assert_true(overload.limit > 500);
    assert_true(overload.limit < 1000);
    note(&overload, 0, 500, 60 * SECOND);
    assert_true(overload_admits(&overload, 1000000));
}

static void between_the_two_it_stays(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    note(&overload, 3 * LAG_MAX_MS, 500, 10);
    note(&overload, LAG_MAX_MS * 3 / 4, 500, 20); /* the average comes down */
    uint64_t limit = overload.limit;
    note(&overload, LAG_MAX_MS * 3 / 4, 500, 60 * SECOND);
    assert_int_equal(overload.limit, limit);
}

static void slow_commits_are_lag_and_a_slow_disk_is_not(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    overload_note_commit(&overload, 5 * LAG_MAX_MS * MS); /* this disk takes so long */
    note(&overload, 0, 500, SECOND);
    assert_true(overload_admits(&overload, 500));
    overload_note_commit(&overload, 7 * LAG_MAX_MS * MS);
    note(&overload, 0, 500, SECOND);
    assert_false(overload_admits(&overload, 500));
    overload_note_commit(&overload, 5 * LAG_MAX_MS * MS);
    note(&overload, 0, 400, 60 * SECOND);
    assert_true(overload_admits(&overload, 500));
}

static void a_disk_that_has_become_slow_is_believed(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, LAG_MAX_MS * MS);
    overload_note_commit(&overload, MS);
    for (int i = 0; i < 100000; i++)
        overload_note_commit(&overload, 2 * LAG_MAX_MS * MS);
    note(&overload, 0, 500, SECOND);
    assert_true(overload_admits(&overload, 500));
}

static void without_a_bound_nothing_is_refused(void **state)
{
    (void)state;
    struct overload overload;
    overload_init(&overload, 0);
    note(&overload, 100000, 1000000, SECOND);
    assert_true(overload_admits(&overload, UINT64_MAX - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_admitted_where_nothing_waits),
        cmocka_unit_test(one_long_turn_is_no_overload),
        cmocka_unit_test(what_goes_on_is_the_limit),
        cmocka_unit_test(it_shrinks_while_it_is_too_much_and_never_to_nothing),
        cmocka_unit_test(it_grows_while_there_is_room_until_it_is_gone),
        cmocka_unit_test(between_the_two_it_stays),
        cmocka_unit_test(slow_commits_are_lag_and_a_slow_disk_is_not),
        cmocka_unit_test(a_disk_that_has_become_slow_is_believed),
        cmocka_unit_test(without_a_bound_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
