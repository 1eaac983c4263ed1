/* The rules one by one. How they fare in whole responses, at every cut: reply_test.c. */
#include "protocol/http/body_length.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define TWO     "Content-Length: 2\r\n"
#define KEEP    "Connection: keep-alive\r\n"

static void what_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        struct response_line line;
        struct body_length expected;
    } cases[] = {
        {TWO, {200, 1, false}, {BODY_SIZED, 2, true}},
        {"Content-Length: 0\r\n", {200, 1, false}, {BODY_SIZED, 0, true}},
        {"A: b\r\nCONTENT-LENGTH: 02 ,2\r\n" TWO, {404, 1, false}, {BODY_SIZED, 2, true}},
        {TWO, {200, 0, false}, {BODY_SIZED, 2, false}},
        {TWO KEEP, {200, 0, false}, {BODY_SIZED, 2, true}},
        {TWO KEEP "Connection: x, CLOSE\r\n", {200, 1, false}, {BODY_SIZED, 2, false}},
        {TWO "Connection: closed\r\n", {200, 1, false}, {BODY_SIZED, 2, true}},
        {"Connection: \r\n" CHUNKED, {200, 1, false}, {BODY_CHUNKED, 0, true}},
        {"transfer-encoding: , Chunked ,\r\n", {200, 1, false}, {BODY_CHUNKED, 0, true}},
        {CHUNKED TWO, {200, 1, false}, {BODY_CHUNKED, 0, false}},
        {CHUNKED KEEP, {200, 0, false}, {BODY_CHUNKED, 0, false}},
        {"", {200, 1, false}, {BODY_UNTIL_CLOSE, 0, false}},
        {KEEP, {200, 1, false}, {BODY_UNTIL_CLOSE, 0, false}},
        {"Transfer-Encoding: identity\r\n", {200, 1, false}, {BODY_UNTIL_CLOSE, 0, false}},
        {"Transfer-Encoding: identity\r\n" TWO, {200, 1, false}, {BODY_SIZED, 2, true}},
        {"Transfer-Encoding: \r\n" TWO, {200, 1, false}, {BODY_SIZED, 2, true}},
        {TWO, {101, 1, false}, {BODY_UNTIL_CLOSE, 0, false}},
        {TWO, {100, 1, false}, {BODY_NONE, 0, true}},
        {TWO, {304, 1, false}, {BODY_NONE, 0, true}},
        {CHUNKED, {204, 1, false}, {BODY_NONE, 0, true}},
        {TWO, {200, 1, true}, {BODY_NONE, 0, true}},
        {"", {200, 0, true}, {BODY_NONE, 0, false}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct body_length length;
        struct slice fields = slice_text(cases[i].fields);
        assert_null(body_length_read(fields, cases[i].line, &length));
        const struct body_length *expected = &cases[i].expected;
        if (length.kind != expected->kind || length.bytes != expected->bytes ||
            length.is_kept != expected->is_kept)
            fail_msg("case %zu: kind %d, %lu bytes, kept %d", i, (int)length.kind, length.bytes,
                length.is_kept);
    }
}

static void what_is_wrong(void **state)
{
    (void)state;
    static const char *const cases[] = {"Content-Length: \r\n", "Content-Length: 2,\r\n",
        "Content-Length: -2\r\n", "Content-Length: 2x\r\n", "Content-Length: 2, 3\r\n",
        TWO "Content-Length: 3\r\n", "Content-Length: 9223372036854775808\r\n",
        CHUNKED "Content-Length: x\r\n", CHUNKED CHUNKED, "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked;q=1\r\n", "Transfer-Encoding: gzip\r\n"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int status = 200; status <= 204; status += 4) {
            struct body_length length;
            struct response_line line = {status, 1, false};
            assert_non_null(body_length_read(slice_text(cases[i]), line, &length));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known),
        cmocka_unit_test(what_is_wrong),
    };
    return cmocka_run_group_tests_name("protocol/http/body_length", tests, NULL, NULL);
}
