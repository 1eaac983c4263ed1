/* blank_lines — the place is the same however the bytes are cut, and the client's own count leads to it. */
#include "protocol/http/blank_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t place_of(const char *text, uint64_t seen, size_t piece)
{
    struct blank_lines lines = {.left = seen};
    size_t place = 0;
    struct slice rest = slice_text(text);
    while (rest.size && lines.left) {
        struct slice next = slice_sub(rest, 0, piece);
        place += blank_lines_skip(&lines, next);
        rest = slice_sub(rest, next.size, rest.size);
    }
    return place;
}

static void test_places(void **state)
{
    static const struct {
        const char *text;
        uint64_t seen;
        const char *before;
    } cases[] = {
        {"data: a\n\ndata: b\n\n", 0, ""},
        {"data: a\n\ndata: b\n\n", 1, "data: a\n\n"},
        {"data: a\n\ndata: b\n\n", 2, "data: a\n\ndata: b\n\n"},
        {"data: a\n\ndata: b\n\n", 999999, "data: a\n\ndata: b\n\n"},
        {": note\n\ndata: a\n\n", 1, ": note\n\n"},
        {": note\ndata: a\n\n", 1, ": note\ndata: a\n\n"},
        {"data: a\r\n\r\ndata: b\n\n", 1, "data: a\r\n\r\ndata: b\n\n"},
        {"data: a\n\n\ndata: b\n\n", 1, "data: a\n\n"},
        {"data: a\n\n\ndata: b\n\n", 2, "data: a\n\n\ndata: b\n\n"},
        {"data: a\n\n\n\ndata: b\n\n", 2, "data: a\n\n\n\n"},
        {"data: a\n\n\n\ndata: b\n\n", 3, "data: a\n\n\n\ndata: b\n\n"},
        {"\n\n", 1, "\n\n"},
        {"data: no end", 1, "data: no end"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece <= strlen(cases[i].text); piece++)
            assert_int_equal(
                place_of(cases[i].text, cases[i].seen, piece), strlen(cases[i].before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
