/* nearest — which names are offered, and in what order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "server/route/nearest.h"

static void said(const char *wanted, const char *const *names, const char *sentence)
{
    CLEANUP(buf_deinit) struct buf text;
    struct nearest nearest;
    buf_init(&text, 4096);
    nearest_init(&nearest, slice_text(wanted));
    for (; *names; names++)
        nearest_offer(&nearest, *names);
    assert_int_equal(nearest_print(&nearest, &text), ERR_OK);
    assert_int_equal(buf_append_byte(&text, 0), ERR_OK);
    assert_string_equal((const char *)text.data, sentence);
}

#define NAMES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void near_names_are_offered_the_nearest_first(void **state)
{
    (void)state;
    said("gpt-5-mni", NAMES("gpt-5-nano", "claude", "gpt-5-mini"),
        "did you mean gpt-5-mini or gpt-5-nano?");
    said("gpt-4o", NAMES("gpt-4o"), "did you mean gpt-4o?");
    said("GPT-4O", NAMES("gpt-4", "gpt-4o"), "did you mean gpt-4o or gpt-4?");
    said("abcd", NAMES("abcx", "abxx", "axxx", "abcd"), "did you mean abcd, abcx or abxx?");
}

static void far_names_are_not(void **state)
{
    (void)state;
    said("gpt-5", NAMES("claude-haiku", "o3", "command-r"), "");
    said("ab", NAMES("cd", "abcd"), "");
    said("", NAMES("a", "ab"), "");
}

static void long_names_are_compared_as_far_as_there_is_room(void **state)
{
    (void)state;
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    said(longest, NAMES(longest), "");
    longest[128] = '\0';
    said(longest, NAMES(longest + 1),
        "did you mean "
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_names_are_offered_the_nearest_first),
        cmocka_unit_test(far_names_are_not),
        cmocka_unit_test(long_names_are_compared_as_far_as_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
