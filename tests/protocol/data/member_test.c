/* member — what is there, and what is not. */
#include "protocol/data/member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/row.h"

enum { TEXT_BYTES_MAX = 1024 };

static void test_each_kind(void **state)
{
    CLEANUP(buf_deinit) struct buf text;
    struct json_writer writer;
    const struct usage usage = {1, 2, -1, 0, 3};
    (void)state;
    buf_init(&text, TEXT_BYTES_MAX);
    json_writer_init(&writer, &text);
    json_open(&writer, '{');
    member_text(&writer, "text", SLICE("a\"b"));
    member_text(&writer, "none", SLICE_NONE);
    member_number(&writer, "number", UINT64_MAX);
    member_count(&writer, "count", 0);
    member_count(&writer, "unknown", -1);
    member_flag(&writer, "flag", true);
    member_time(&writer, "time", INT64_C(1700000000123999999));
    member_time(&writer, "never", 0);
    member_time(&writer, "before", -1);
    member_usage(&writer, "usage", &usage);
    json_close(&writer, '}');
    assert_int_equal(writer.err, ERR_OK);
    assert_true(slice_equal(buf_slice(&text),
        SLICE("{\"text\":\"a\\\"b\",\"none\":null,\"number\":18446744073709551615,\"count\":0,"
              "\"unknown\":null,\"flag\":true,\"time\":\"2023-11-14T22:13:20.123Z\","
              "\"never\":null,\"before\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":2,"
              "\"cached_tokens\":null,\"reasoning_tokens\":0,\"total_tokens\":3}}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_kind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
