/* timestamp — known points, round trips, and what is refused. */
#include "protocol/data/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const int64_t second = 1000000000;

static void check(const char *text, int64_t wanted)
{
    int64_t ns = -1;
    assert_int_equal(timestamp_parse(slice_text(text), &ns), ERR_OK);
    assert_int_equal(ns, wanted);
}

static void test_known_points(void **state)
{
    (void)state;
    check("1970-01-01T00:00:00Z", 0);
    check("2001-09-09T01:46:40Z", 1000000000 * second);
    check("2000-02-29T00:00:00.000000001Z", 951782400 * second + 1);
    check("1969-12-31T23:59:59.5Z", -second / 2);
    check("2024-12-31t23:59:59.25z", 1735689599 * second + second / 4);
    check("2025-01-01T01:30:00+01:30", 1735689600 * second);
    check("2024-12-31T16:00:00-08:00", 1735689600 * second);
}

static void test_round_trips(void **state)
{
    (void)state;
    for (int64_t ns = -9000000000000000000; ns < 9000000000000000000; ns += 12345678901234567) {
        char text[TIMESTAMP_TEXT_BYTES];
        int64_t back;
        timestamp_format(ns, text);
        assert_int_equal(timestamp_parse(slice_text(text), &back), ERR_OK);
        assert_int_equal(back, ns);
        if (ns > 9000000000000000000 - 12345678901234567)
            break;
    }
}

static void test_refused(void **state)
{
    static const char *const wrong[] = {"", "now", "2025-01-01", "2025-01-01T00:00:00",
        "2025-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "2025-01-01T24:00:00Z",
        "2025-01-01T00:00:00.Z", "2025-01-01T00:00:00Zx", "2025-01-01T00:00:00+0100",
        "2025-00-01T00:00:00Z", "2025-01-00T00:00:00Z", "9999-01-01T00:00:00Z",
        "2025-1-01T00:00:00Z", "-24h", "1700-01-01T00:00:00+99:00"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int64_t ns;
        assert_int_equal(timestamp_parse(slice_text(wrong[i]), &ns), ERR_INVALID);
    }
}

static void test_relative(void **state)
{
    static const struct {
        const char *text;
        int64_t back_s;
    } known[] = {{"-90s", 90}, {"-15m", 900}, {"-24h", 86400}, {"-7d", 604800}, {"-0s", 0}};
    int64_t now_ns = 1735689600 * second, ns;
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(timestamp_parse_relative(slice_text(known[i].text), now_ns, &ns), ERR_OK);
        assert_int_equal(ns, now_ns - known[i].back_s * second);
    }
    assert_int_equal(timestamp_parse_relative(SLICE("1970-01-01T00:00:01Z"), now_ns, &ns), ERR_OK);
    assert_int_equal(ns, second);
    assert_int_equal(timestamp_parse_relative(SLICE("-24"), now_ns, &ns), ERR_INVALID);
    assert_int_equal(timestamp_parse_relative(SLICE("-24w"), now_ns, &ns), ERR_INVALID);
    assert_int_equal(
        timestamp_parse_relative(SLICE("-99999999999999999999d"), now_ns, &ns), ERR_INVALID);
    assert_int_equal(timestamp_parse_relative(SLICE("-999999999999d"), now_ns, &ns), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_points),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_relative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
