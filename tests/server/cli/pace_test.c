/* pace — factors, and when what is due. */
#include "server/cli/pace.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const int64_t second = 1000000000;

static void test_factors(void **state)
{
    static const struct {
        const char *text;
        uint64_t thousandths;
    } known[] = {{"0", 0}, {"1", 1000}, {"0.5", 500}, {"10", 10000}, {"2.25", 2250}, {"0.001", 1},
        {"1000000", 1000000000}};
    static const char *const wrong[] = {"", ".", "1.", ".5", "-1", "1e3", "0.0001", "1000001", "x"};
    struct pace pace;
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(pace_init(&pace, slice_text(known[i].text)), ERR_OK);
        assert_int_equal(pace.speed_thousandths, known[i].thousandths);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(pace_init(&pace, slice_text(wrong[i])), ERR_INVALID);
}

static void test_due(void **state)
{
    struct pace pace;
    (void)state;
    assert_int_equal(pace_init(&pace, SLICE("2")), ERR_OK);
    assert_int_equal(pace_wait_ms(&pace, 100 * second, 5 * second), 0);
    assert_int_equal(pace_wait_ms(&pace, 104 * second, 5 * second), 2000);
    assert_int_equal(pace_wait_ms(&pace, 104 * second, 6 * second), 1000);
    assert_int_equal(pace_wait_ms(&pace, 104 * second, 9 * second), 0); /* late */
    assert_int_equal(pace_wait_ms(&pace, 99 * second, 5 * second), 0);  /* its clock went back */
    assert_int_equal(pace_init(&pace, SLICE("0")), ERR_OK);
    assert_int_equal(pace_wait_ms(&pace, 100 * second, 5 * second), 0);
    assert_int_equal(pace_wait_ms(&pace, 900 * second, 5 * second), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factors),
        cmocka_unit_test(test_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
