/* cursor — where to go on, and what comes twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/stream/cursor.h"

#define NUMBERED(n) "data: {\"sequence_number\":" n "}\n\n"
#define NAMED(id)   "data: {\"event_id\":\"" id "\"}\n\n"
#define PLAIN(n)    "data: {\"n\":" n "}\n\n"
#define PING        ": ping\n\n"

static void init(struct cursor *cursor, const char *name)
{
    const struct dialect *dialect;
    assert_int_equal(dialect_by_name(slice_text(name), &dialect), ERR_OK);
    cursor_init(cursor, dialect->again);
}

static void expect_query(const struct cursor *cursor, const char *expected)
{
    CLEANUP(buf_deinit) struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(cursor_query(cursor, &out), ERR_OK);
    assert_string_equal((const char *)out.data, expected);
}

static void take(struct cursor *cursor, const char *event)
{
    assert_int_equal(cursor_check(cursor, slice_text(event)), ERR_OK);
    assert_int_equal(cursor_take(cursor, slice_text(event)), event[0] != ':');
}

static void test_numbers(void **state)
{
    struct cursor cursor;
    (void)state;
    init(&cursor, "openai_responses");
    assert_false(cursor_is_known(&cursor));
    take(&cursor, PING);
    assert_false(cursor_is_known(&cursor));
    take(&cursor, NUMBERED("0"));
    take(&cursor, NUMBERED("0")); /* nobody has asked again: it is the provider's */
    take(&cursor, NUMBERED("9"));
    take(&cursor, NUMBERED("10"));
    take(&cursor, PING);
    expect_query(&cursor, "?stream=true&starting_after=10");
    cursor_ask(&cursor);
    assert_int_equal(cursor_check(&cursor, SLICE(NUMBERED("9"))), ERR_CLOSED);
    take(&cursor, PING);
    assert_int_equal(cursor_check(&cursor, SLICE(NUMBERED("10"))), ERR_CLOSED);
    take(&cursor, NUMBERED("11"));
    take(&cursor, NUMBERED("5"));
    cursor_deinit(&cursor);
}

static void test_names(void **state)
{
    struct cursor cursor;
    (void)state;
    init(&cursor, "gemini_interactions");
    assert_true(cursor_is_known(&cursor)); /* from its start */
    take(&cursor, PLAIN("0"));
    expect_query(&cursor, "?stream=true");
    take(&cursor, NAMED("a/b"));
    take(&cursor, PLAIN("1"));
    take(&cursor, PING);
    take(&cursor, PLAIN("1"));
    expect_query(&cursor, "?stream=true&last_event_id=a%2Fb");
    for (int i = 0; i < 2; i++) {
        cursor_ask(&cursor);
        assert_int_equal(cursor_check(&cursor, SLICE(PLAIN("1"))), ERR_CLOSED);
        assert_int_equal(cursor_check(&cursor, SLICE(PING)), ERR_OK);
    }
    assert_int_equal(cursor_check(&cursor, SLICE(PLAIN("1"))), ERR_CLOSED);
    take(&cursor, PLAIN("1"));
    cursor_ask(&cursor);
    assert_int_equal(cursor_check(&cursor, SLICE(PLAIN("2"))), ERR_INVALID);
    cursor_deinit(&cursor);
}

static void test_too_much_behind_the_last(void **state)
{
    struct cursor cursor;
    (void)state;
    init(&cursor, "gemini_interactions");
    for (size_t i = 0; i < CURSOR_SINCE_MAX; i++)
        take(&cursor, PLAIN("1"));
    assert_true(cursor_is_known(&cursor));
    take(&cursor, PLAIN("1"));
    assert_false(cursor_is_known(&cursor));
    take(&cursor, NAMED("a"));
    assert_true(cursor_is_known(&cursor));
    cursor_deinit(&cursor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_too_much_behind_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
