/* preamble — which events say nothing yet. */
#include "protocol/dialect/preamble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool is_preamble(const char *block)
{
    return dialect_is_preamble(slice_text(block));
}

static void what_says_nothing_yet(void **state)
{
    (void)state;
    assert_true(is_preamble(": comment\n\n"));
    assert_true(is_preamble("event: ping\ndata: {\"type\":\"ping\"}\n\n"));
    assert_true(is_preamble("data: {\"type\":\"message_start\",\"message\":{}}\n\n"));
    assert_true(is_preamble("\xef\xbb\xbf"
                            "event: response.created\ndata: {}\n\n"));
    assert_true(is_preamble("event: message-start\r\ndata: {}\r\n\r\n"));
}

static void what_says_something(void **state)
{
    (void)state;
    assert_false(is_preamble("data: {\"choices\":[{\"delta\":{\"content\":\"ping\"}}]}\n\n"));
    assert_false(is_preamble("event: content_block_start\ndata: {}\n\n"));
    assert_false(is_preamble("data: [DONE]\n\n"));
    assert_false(is_preamble("data: {\"type\":7}\n\n"));
    assert_false(is_preamble("data: not JSON\n\n"));
    assert_false(is_preamble("event: error\ndata: {\"type\":\"error\"}\n\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_says_nothing_yet),
        cmocka_unit_test(what_says_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
