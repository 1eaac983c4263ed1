/* cohere — what its events and bodies teach the accounts; the shape of its errors. The shapes are
 * those of the fixtures that golden/translate/cohere_* name. */
#include "protocol/dialect/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

static const struct dialect *cohere(void)
{
    const struct dialect *dialect = NULL;
    assert_int_equal(dialect_by_name(SLICE("cohere"), &dialect), ERR_OK);
    return dialect;
}

static struct dialect_reading heard(const char *block)
{
    struct dialect_reading reading;
    dialect_reading_init(&reading);
    assert_int_equal(cohere()->read_event(&reading, slice_text(block)), DIALECT_EVENT);
    return reading;
}

static struct dialect_reading heard_body(const char *body)
{
    struct dialect_reading reading;
    dialect_reading_init(&reading);
    cohere()->read_body(&reading, slice_text(body));
    return reading;
}

static void assert_usage(const struct usage *usage, struct usage expected)
{
    assert_int_equal(usage->input, expected.input);
    assert_int_equal(usage->output, expected.output);
    assert_int_equal(usage->cached, expected.cached);
    assert_int_equal(usage->reasoning, expected.reasoning);
    assert_int_equal(usage->total, expected.total);
}

#define END(delta) "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{" delta "}}\n\n"

static void test_the_end(void **state)
{
    struct dialect_reading reading =
        heard(END("\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":12,"
                  "\"output_tokens\":7},\"tokens\":{\"input_tokens\":507,\"output_tokens\":10},"
                  "\"cached_tokens\":448}"));
    (void)state;
    assert_true(cohere()->has_terminator && reading.is_terminated && !reading.is_failed);
    assert_string_equal(reading.finish_reason, "COMPLETE");
    assert_usage(&reading.usage, (struct usage){507, 10, 448, -1, 517});
}

static void test_an_end_without_names_or_usage(void **state)
{
    struct dialect_reading reading = heard(
        "data: {\"delta\":{\"finish_reason\":\"MAX_TOKENS\"},\"type\":\"message-end\"}\r\n\r\n");
    (void)state;
    assert_true(reading.is_terminated);
    assert_string_equal(reading.finish_reason, "MAX_TOKENS");
    assert_usage(&reading.usage, USAGE_UNKNOWN);
    reading = heard(END("\"usage\":{\"billed_units\":{\"input_tokens\":12,\"output_tokens\":7}}"));
    assert_usage(&reading.usage, (struct usage){12, 7, -1, -1, 19});
}

static void test_the_end_of_the_older_api(void **state)
{
    struct dialect_reading reading =
        heard("event: stream-end\ndata: "
              "{\"event_type\":\"stream-end\",\"finish_reason\":\"COMPLETE\"}\n\n");
    (void)state;
    assert_true(reading.is_terminated);
    assert_string_equal(reading.finish_reason, "COMPLETE");
}

static void test_what_fails(void **state)
{
    struct dialect_reading reading =
        heard(END("\"error\":\"no luck\",\"finish_reason\":\"ERROR\""));
    (void)state;
    assert_true(reading.is_failed && !reading.is_terminated);
    assert_string_equal(reading.error, "no luck");
    reading = heard(END("\"finish_reason\":\"TIMEOUT\""));
    assert_true(reading.is_failed && !reading.is_terminated);
    reading = heard(END("\"finish_reason\":\"COMPLETE\",\"error\":null"));
    assert_true(reading.is_terminated && !reading.is_failed);
}

static void test_what_teaches_nothing(void **state)
{
    static const char *const blocks[] = {
        "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"a\"}\n\n",
        "event: content-delta\ndata: "
        "{\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":"
        "{\"text\":\"message-end\"}}}}\n\n",
        "event: message-end\ndata: {\"type\":\n\n", ": ping\n\n", "data: [DONE]\n\n"};
    (void)state;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        struct dialect_reading reading = heard(blocks[i]);
        assert_false(reading.is_terminated || reading.is_failed);
        assert_string_equal(reading.finish_reason, "");
        assert_usage(&reading.usage, USAGE_UNKNOWN);
    }
}

static void test_bodies(void **state)
{
    struct dialect_reading reading = heard_body(
        "{\"id\":\"a\",\"message\":{\"role\":\"assistant\"},\"finish_reason\":\"TOOL_CALL\","
        "\"usage\":{\"tokens\":{\"input_tokens\":2,\"output_tokens\":3}}}");
    (void)state;
    assert_string_equal(reading.finish_reason, "TOOL_CALL");
    assert_usage(&reading.usage, (struct usage){2, 3, -1, -1, 5});
    assert_false(reading.is_failed);
    reading = heard_body("{\"id\":\"a\",\"message\":\"invalid api token\"}");
    assert_true(reading.is_failed);
    assert_string_equal(reading.error, "invalid api token");
    reading = heard_body("\x89PNG");
    assert_false(reading.is_failed);
}

static void test_a_last_event_without_its_blank_line(void **state)
{
    (void)state;
    assert_true(cohere()->is_terminator_residue(
        SLICE("event: message-end\ndata: {\"delta\":{\"finish_reason\":\"COMPLETE\"}}")));
    assert_false(
        cohere()->is_terminator_residue(SLICE("event: message-end\ndata: {\"delta\":{\"fi")));
}

static void test_errors_of_ours(void **state)
{
    CLEANUP(buf_deinit) struct buf out;
    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(
        dialect_write_error(cohere(), &out, 429, "our_code", SLICE("a \"message\""), "model"),
        ERR_OK);
    assert_true(slice_equal(
        buf_slice(&out), SLICE("{\"message\":\"a \\\"message\\\"\",\"code\":\"our_code\"}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end),
        cmocka_unit_test(test_an_end_without_names_or_usage),
        cmocka_unit_test(test_the_end_of_the_older_api),
        cmocka_unit_test(test_what_fails),
        cmocka_unit_test(test_what_teaches_nothing),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_a_last_event_without_its_blank_line),
        cmocka_unit_test(test_errors_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
