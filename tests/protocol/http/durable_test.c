/* durable — offsets, names, numbers, media types, cursors: what is written is read, and nothing else. */
#include "protocol/http/durable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

static void test_offsets(void **state)
{
    static const uint64_t places[] = {0, 1, 15, 16, 4095, UINT64_C(1) << 53, UINT64_MAX};
    char last[DURABLE_OFFSET_BYTES] = "", text[DURABLE_OFFSET_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        uint64_t back = 7;
        bool is_now = true;
        durable_offset_format(places[i], text);
        assert_int_equal(strlen(text), sizeof text - 1);
        assert_true(strcmp(last, text) < 0);
        assert_null(strpbrk(text, ",&=?/"));
        memcpy(last, text, sizeof last);
        assert_int_equal(durable_offset_parse(slice_text(text), &back, &is_now), ERR_OK);
        assert_true(back == places[i] && !is_now);
    }
    uint64_t events = 7;
    bool is_now = true;
    assert_int_equal(durable_offset_parse(SLICE("-1"), &events, &is_now), ERR_OK);
    assert_true(events == 0 && !is_now);
    assert_int_equal(durable_offset_parse(SLICE("now"), &events, &is_now), ERR_OK);
    assert_true(is_now);
}

static void test_offsets_refused(void **state)
{
    static const char *const wrong[] = {"", "0", "-2", "NOW", "1,2", " now", "-1 ",
        "0000000000000000", "0000000000000000_", "0000000000000000_000000000000000",
        "0000000000000000_00000000000000000", "000000000000000A_0000000000000000",
        "0000000000000000-0000000000000000", "0000000000000000_0000000000000001",
        "g000000000000000_0000000000000000", "00000000000000000_000000000000000"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t events;
        bool is_now;
        assert_int_equal(durable_offset_parse(slice_text(wrong[i]), &events, &is_now), ERR_INVALID);
    }
}

static void test_names(void **state)
{
    static const struct {
        const char *raw, *name;
    } cases[] = {{"a/b", "a/b"}, {"%61%2Fb", "a%2Fb"}, {"%7e%2d", "~-"}, {"%c3%a9 ", "%C3%A9 "},
        {"%00", "%00"}, {"%", NULL}, {"a%2", NULL}, {"%zz", NULL}, {"", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP(buf_deinit) struct buf name;
        buf_init(&name, 64);
        enum err err = durable_name(slice_text(cases[i].raw), &name);
        assert_int_equal(err, cases[i].name ? ERR_OK : ERR_INVALID);
        if (cases[i].name)
            assert_true(slice_equal(buf_slice(&name), slice_text(cases[i].name)));
    }
}

static void test_numbers(void **state)
{
    static const char *const wrong[] = {
        "", "-1", "+1", "01", "00", "1.0", "1e3", " 1", "1 ", "0x1", "9007199254740992"};
    uint64_t number;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(durable_number(slice_text(wrong[i]), &number), ERR_INVALID);
    assert_int_equal(durable_number(SLICE("0"), &number), ERR_OK);
    assert_int_equal(number, 0);
    assert_int_equal(durable_number(SLICE("9007199254740991"), &number), ERR_OK);
    assert_true(number == DURABLE_NUMBER_MAX);
}

static void test_types(void **state)
{
    (void)state;
    assert_true(durable_is_same_type(SLICE("Text/Plain; charset=utf-8"), SLICE("text/plain")));
    assert_false(durable_is_same_type(SLICE("text/plain"), SLICE("text/plainer")));
    assert_true(durable_is_json(SLICE("APPLICATION/json ;x=y")));
    assert_false(durable_is_json(SLICE("application/jsonl")));
    assert_true(durable_is_text(SLICE("TEXT/event-stream")));
    assert_false(durable_is_text(SLICE("textual/x")));
    assert_true(durable_is_true(SLICE("TRUE")));
    assert_false(durable_is_true(SLICE("1")) || durable_is_true(SLICE("")));
}

/* Later than now and than the caller's, whatever the caller says. */
static void test_cursors(void **state)
{
    const int64_t epoch_ns = INT64_C(1728432000) * 1000000000, interval_ns = INT64_C(20000000000);
    int64_t now_ns = epoch_ns + 1000 * interval_ns;
    (void)state;
    assert_int_equal(durable_cursor(now_ns, SLICE_NONE, 5), 1000);
    assert_int_equal(durable_cursor(now_ns + interval_ns - 1, SLICE("abc"), 5), 1000);
    assert_int_equal(durable_cursor(now_ns, SLICE("999"), 5), 1000);
    assert_int_equal(durable_cursor(epoch_ns - 1, SLICE_NONE, 5), 0);
    for (uint32_t random = 0; random < 10000; random += 7) {
        uint64_t cursor = durable_cursor(now_ns, SLICE("1000"), random);
        assert_true(cursor > 1000 && cursor <= 1000 + 180);
    }
    assert_true(durable_cursor(now_ns, SLICE("5000"), 0) > 5000);
    assert_int_equal(durable_cursor(now_ns, SLICE("18446744073709551615"), 0), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_offsets_refused),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_cursors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
