/* messages — bodies become events, events become arrays; what is no JSON is refused. */
#include "protocol/data/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"

static void test_joined(void **state)
{
    static const struct {
        const char *body, *event;
        size_t count;
    } cases[] = {{"{\"n\":1}", "{\"n\":1}", 1}, {" [1, 2 ,\n3] ", "1,2,3", 3},
        {"[[1,2]]", "[1,2]", 1}, {"[[1],[2]]", "[1],[2]", 2}, {"[[[1, 2]]]", "[[1, 2]]", 1},
        {"null", "null", 1}, {"\"a,]b\"", "\"a,]b\"", 1}, {"[\"],[\", 1e400]", "\"],[\",1e400", 2},
        {"[]", "", 0}, {"[ \n]", "", 0}, {"[[]]", "[]", 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP(buf_deinit) struct buf event;
        const char *why = NULL;
        size_t count = 99;
        buf_init(&event, strlen(cases[i].body));
        assert_int_equal(messages_join(slice_text(cases[i].body), &event, &count, &why), ERR_OK);
        assert_int_equal(count, cases[i].count);
        assert_true(slice_equal(buf_slice(&event), slice_text(cases[i].event)));
    }
}

static void test_refused(void **state)
{
    static const char *const wrong[] = {"", " ", "{", "[1,]", "[1 2]", "[,1]", "{} {}", "[1]]",
        "nul", "\xff", "\"\xc3\"", "'a'", "[1],2", "NaN"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CLEANUP(buf_deinit) struct buf event;
        const char *why = NULL;
        size_t count;
        buf_init(&event, 64);
        assert_int_equal(messages_join(slice_text(wrong[i]), &event, &count, &why), ERR_INVALID);
        assert_non_null(why);
    }
}

static void test_deep(void **state)
{
    static char body[2 * (JSON_DEPTH_MAX + 2) + 1];
    CLEANUP(buf_deinit) struct buf event;
    const char *why = NULL;
    size_t count;
    (void)state;
    memset(body, '[', JSON_DEPTH_MAX + 2);
    memset(body + JSON_DEPTH_MAX + 2, ']', JSON_DEPTH_MAX + 2);
    buf_init(&event, sizeof body);
    assert_int_equal(messages_join(slice_text(body), &event, &count, &why), ERR_INVALID);
    assert_non_null(why);
}

static void test_prefix(void **state)
{
    const struct slice event = SLICE("{\"a\":[1,2]},\"x,y\", 3,[4,5]");
    static const char *const first[] = {"{\"a\":[1,2]}", "{\"a\":[1,2]},\"x,y\"",
        "{\"a\":[1,2]},\"x,y\", 3", "{\"a\":[1,2]},\"x,y\", 3,[4,5]"};
    size_t size;
    (void)state;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        assert_int_equal(messages_prefix(event, i + 1, &size), ERR_OK);
        assert_true(slice_equal(slice_sub(event, 0, size), slice_text(first[i])));
    }
    assert_int_equal(messages_prefix(event, 5, &size), ERR_LIMIT);
    assert_int_equal(messages_prefix(event, UINT64_MAX, &size), ERR_LIMIT);
    assert_int_equal(messages_prefix(SLICE("1;2"), 2, &size), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
