/* suspect — each is taken once, is remembered for a while, and no more wait than there is room for. */
#include "storage/suspect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static bool add(struct suspects *suspects, uint64_t number)
{
    return suspects_add(suspects, &(struct suspect){1, number});
}

static void test_each_once(void **state)
{
    (void)state;
    struct suspects suspects;
    struct suspect one;
    suspects_init(&suspects);
    assert_false(suspects_take(&suspects, &one));
    assert_true(add(&suspects, 0));
    assert_true(add(&suspects, 5));
    assert_false(add(&suspects, 5));
    assert_true(suspects_take(&suspects, &one));
    assert_int_equal(one.number, 0);
    assert_true(suspects_take(&suspects, &one));
    assert_int_equal(one.number, 5);
    assert_int_equal(one.project, 1);
    assert_false(suspects_take(&suspects, &one));
    assert_false(add(&suspects, 5)); /* was looked at just now */
    assert_true(suspects_add(&suspects, &(struct suspect){2, 5}));
    suspects_deinit(&suspects);
}

static void test_the_bound(void **state)
{
    (void)state;
    struct suspects suspects;
    struct suspect one;
    suspects_init(&suspects);
    for (uint64_t number = 0; number < SUSPECTS_MAX; number++)
        assert_true(add(&suspects, number));
    assert_false(add(&suspects, 1000));
    for (uint64_t number = 0; number < SUSPECTS_MAX; number++) {
        assert_true(suspects_take(&suspects, &one));
        assert_int_equal(one.number, number);
    }
    assert_true(add(&suspects, 1000)); /* in place of the oldest */
    assert_true(add(&suspects, 0));
    assert_false(add(&suspects, 10));
    suspects_deinit(&suspects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
        cmocka_unit_test(test_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
