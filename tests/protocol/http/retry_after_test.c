/* retry_after — each form, and what is none. */
#include "protocol/http/retry_after.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WALL_NS (INT64_C(1795435200) * 1000000000) /* Mon, 23 Nov 2026 12:00:00 GMT */

static int64_t told(const char *name, const char *value)
{
    struct headers headers = {.count = 1};
    headers.items[0] = (struct header){slice_text(name), slice_text(value)};
    return retry_after_ms(&headers, WALL_NS);
}

static void each_form_is_read(void **state)
{
    (void)state;
    assert_int_equal(told("retry-after", "30"), 30000);
    assert_int_equal(told("Retry-After", "0"), 0);
    assert_int_equal(told("retry-after-ms", "250"), 250);
    assert_int_equal(told("Retry-After", "Mon, 23 Nov 2026 12:00:30 GMT"), 30000);
    assert_int_equal(told("Retry-After", "Mon, 23 Nov 2026 11:59:30 GMT"), 0);
}

static void what_is_too_long_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(told("Retry-After", "18446744073709551615"), RETRY_AFTER_MS_MAX);
    assert_int_equal(told("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), RETRY_AFTER_MS_MAX);
}

static void what_is_none_says_nothing(void **state)
{
    (void)state;
    static const char *const values[] = {"", "-1", "1.5", "soon", "Mon, 23 Nov 2026 12:00:30 CET",
        "Mon, 23 Foo 2026 12:00:30 GMT", "2026-11-23T12:00:30Z"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_int_equal(told("Retry-After", values[i]), -1);
    assert_int_equal(told("X-Other", "30"), -1);
}

static void milliseconds_say_it_better(void **state)
{
    (void)state;
    struct headers headers = {.count = 2};
    headers.items[0] = (struct header){SLICE("retry-after"), SLICE("1")};
    headers.items[1] = (struct header){SLICE("retry-after-ms"), SLICE("120")};
    assert_int_equal(retry_after_ms(&headers, WALL_NS), 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_is_read),
        cmocka_unit_test(what_is_too_long_is_bounded),
        cmocka_unit_test(what_is_none_says_nothing),
        cmocka_unit_test(milliseconds_say_it_better),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
