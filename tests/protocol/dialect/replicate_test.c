/* replicate — what the events and objects of predictions teach the accounts; the shape of its errors. The
 * shapes are those that golden/translate/replicate_* and cog_* name. */
#include "protocol/dialect/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

static const struct dialect *replicate(void)
{
    const struct dialect *dialect = NULL;
    assert_int_equal(dialect_by_name(SLICE("cog"), &dialect), ERR_OK);
    assert_int_equal(dialect_by_name(SLICE("replicate"), &dialect), ERR_OK);
    return dialect;
}

static struct dialect_reading heard(const char *events)
{
    struct dialect_reading reading;
    struct sse_splitter splitter = {0};
    struct slice rest = slice_text(events);
    size_t end;
    dialect_reading_init(&reading);
    while (sse_split(&splitter, rest, &end) == ERR_OK) {
        assert_int_equal(replicate()->read_event(&reading, slice_sub(rest, 0, end)), DIALECT_EVENT);
        rest = slice_sub(rest, end, rest.size);
    }
    return reading;
}

static struct dialect_reading heard_body(const char *body)
{
    struct dialect_reading reading;
    dialect_reading_init(&reading);
    replicate()->read_body(&reading, slice_text(body));
    return reading;
}

static void test_the_ends(void **state)
{
    struct dialect_reading reading =
        heard("event: output\ndata: done\n\nevent: done\ndata: {}\n\n");
    (void)state;
    assert_true(reading.is_terminated && !reading.is_failed && replicate()->has_terminator);
    assert_string_equal(reading.finish_reason, "succeeded");
    reading = heard("event: completed\ndata: {\"status\":\"succeeded\",\"metrics\":"
                    "{\"input_token_count\":7,\"output_token_count\":3}}\n\n");
    assert_true(reading.is_terminated && !reading.is_failed);
    assert_true(reading.usage.input == 7 && reading.usage.output == 3 && reading.usage.total == 10);
    assert_false(heard("event: output\ndata: {\"reason\":\"error\"}\n\n").is_terminated);
    assert_false(heard("event: completed\ndata: {\"status\"\n\n").is_terminated);
    assert_true(replicate()->is_terminator_residue(SLICE("event: done\ndata: {}\n")));
    assert_false(replicate()->is_terminator_residue(SLICE("event: output\ndata: {}\n")));
}

static void test_failures(void **state)
{
    struct dialect_reading reading =
        heard("event: error\ndata: Out of memory\n\nevent: done\ndata: {\"reason\":\"error\"}\n\n");
    (void)state;
    assert_true(reading.is_failed && !reading.is_terminated);
    assert_string_equal(reading.error, "Out of memory");
    reading = heard("event: done\ndata: {\"reason\":\"canceled\"}\n\n");
    assert_true(reading.is_failed && !reading.is_terminated);
    assert_string_equal(reading.error, "the prediction was canceled");
    reading = heard("event: completed\ndata: {\"status\":\"failed\",\"error\":\"No.\"}\n\n");
    assert_true(reading.is_failed && !reading.is_terminated);
    assert_string_equal(reading.error, "No.");
    reading = heard("event: error\ndata: \xE4\xB8 \xC3\xA9\xFF\n\n"); /* not all of it is UTF-8 */
    assert_string_equal(reading.error, "?? \xC3\xA9?");
}

static void test_bodies(void **state)
{
    struct dialect_reading reading =
        heard_body("{\"status\":\"succeeded\",\"error\":null,\"output\":[\"a\"]}");
    (void)state;
    assert_false(reading.is_failed);
    assert_string_equal(reading.finish_reason, "succeeded");
    reading = heard_body("{\"status\":\"starting\",\"error\":null}");
    assert_true(!reading.is_failed && reading.finish_reason[0] == '\0');
    assert_string_equal(heard_body("{\"status\":\"failed\",\"error\":\"No.\"}").error, "No.");
    assert_string_equal(
        heard_body("{\"status\":\"aborted\"}").error, "the prediction was canceled");
    assert_string_equal(heard_body("{\"detail\":\"No such model.\"}").error, "No such model.");
    assert_false(heard_body("[]").is_failed);
}

static void test_calls(void **state)
{
    (void)state;
    assert_true(replicate()->speaks(SLICE("/v1/models/a/b/predictions")));
    assert_true(replicate()->speaks(SLICE("/predictions")));
    assert_false(replicate()->speaks(SLICE("/v1/models/a/b")));
}

static void test_errors_of_ours(void **state)
{
    CLEANUP(buf_deinit) struct buf out;
    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(
        dialect_write_error(replicate(), &out, 404, "model_not_found", SLICE("no \"m\""), "model"),
        ERR_OK);
    assert_true(slice_equal(buf_slice(&out),
        SLICE("{\"title\":\"model_not_found\",\"detail\":\"no \\\"m\\\"\",\"status\":404}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ends),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_errors_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
