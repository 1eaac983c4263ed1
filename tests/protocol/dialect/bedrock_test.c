/* bedrock — what its messages and bodies teach the accounts; the shape of its errors. The shapes are
 * those that golden/translate/bedrock_* name. */
#include "protocol/dialect/dialect.h"

#include "protocol/base/own.h"
#include "tests/protocol/dialect/messages.h"

static const struct dialect *bedrock(void)
{
    const struct dialect *dialect = NULL;
    assert_int_equal(dialect_by_name(SLICE("bedrock"), &dialect), ERR_OK);
    return dialect;
}

/* Of messages, written as lines. */
static struct dialect_reading heard(const char *lines)
{
    CLEANUP(buf_deinit) struct buf messages;
    struct dialect_reading reading;
    struct frame_splitter splitter = {.framing = bedrock()->framing};
    size_t end;
    buf_init(&messages, 1 << 16);
    messages_of_lines(slice_text(lines), &messages);
    dialect_reading_init(&reading);
    struct slice rest = buf_slice(&messages);
    while (frame_split(&splitter, rest, &end) == ERR_OK) {
        assert_int_equal(bedrock()->read_event(&reading, slice_sub(rest, 0, end)), DIALECT_EVENT);
        rest = slice_sub(rest, end, rest.size);
    }
    assert_int_equal(rest.size, 0);
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

#define BEGIN "messageStart {\"role\":\"assistant\"}\n"
#define STOP  "messageStop {\"stopReason\":\"end_turn\"}\n"
#define USAGE "metadata {\"usage\":{\"inputTokens\":2,\"outputTokens\":10,\"totalTokens\":12}}\n"

static void test_the_end_is_both(void **state)
{
    struct dialect_reading reading = heard(BEGIN STOP USAGE);
    (void)state;
    assert_true(reading.is_terminated && !reading.owes_finish && !reading.is_failed);
    assert_string_equal(reading.finish_reason, "end_turn");
    assert_usage(&reading.usage, (struct usage){2, 10, -1, -1, 12});
    assert_true(heard(BEGIN USAGE STOP).is_terminated);
    reading = heard(BEGIN STOP);
    assert_false(reading.is_terminated || reading.owes_finish);
    reading = heard(BEGIN USAGE);
    assert_true(!reading.is_terminated && reading.owes_finish);
    assert_true(heard(BEGIN).owes_finish);
}

static void test_tokens_of_a_cache(void **state)
{
    struct dialect_reading reading =
        heard("metadata {\"usage\":{\"inputTokens\":5,\"outputTokens\":10,\"totalTokens\":1043,"
              "\"cacheReadInputTokens\":1024,\"cacheWriteInputTokens\":4}}\n");
    (void)state;
    assert_usage(&reading.usage, (struct usage){1033, 10, 1024, -1, 1043});
}

static void test_exceptions(void **state)
{
    struct dialect_reading reading = heard(BEGIN "throttlingException {\"message\":\"Wait.\"}\n");
    (void)state;
    assert_true(reading.is_failed && !reading.is_terminated);
    assert_string_equal(reading.error, "Wait.");
    reading = heard("internalServerException {}\n");
    assert_string_equal(reading.error, "internalServerException");
}

static void test_a_broken_message(void **state)
{
    CLEANUP(buf_deinit) struct buf messages;
    struct dialect_reading reading;
    (void)state;
    buf_init(&messages, 1 << 16);
    messages_of_lines(slice_text(STOP), &messages);
    messages.data[messages.size / 2] ^= 1;
    dialect_reading_init(&reading);
    (void)bedrock()->read_event(&reading, buf_slice(&messages));
    assert_true(reading.is_failed && !reading.is_terminated);
    assert_false(bedrock()->is_terminator_residue(buf_slice(&messages)));
}

static void test_bodies(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    bedrock()->read_body(&reading,
        SLICE("{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[]}},\"stopReason\":"
              "\"max_tokens\",\"usage\":{\"inputTokens\":2,\"outputTokens\":10}}"));
    assert_string_equal(reading.finish_reason, "max_tokens");
    assert_usage(&reading.usage, (struct usage){2, 10, -1, -1, 12});
    dialect_reading_init(&reading);
    bedrock()->read_body(&reading, SLICE("{\"message\":\"Access denied.\"}"));
    assert_true(reading.is_failed);
    assert_string_equal(reading.error, "Access denied.");
}

static void test_calls(void **state)
{
    (void)state;
    assert_true(bedrock()->speaks(SLICE("/model/a/converse-stream")));
    assert_true(bedrock()->speaks(SLICE("/model/a/converse")));
    assert_false(bedrock()->speaks(SLICE("/model/a/invoke-with-response-stream")));
    assert_false(bedrock()->speaks(SLICE("/conversed")));
}

static void test_errors_of_ours(void **state)
{
    CLEANUP(buf_deinit) struct buf out;
    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(
        dialect_write_error(bedrock(), &out, 404, "model_not_found", SLICE("no \"m\""), "model"),
        ERR_OK);
    assert_true(slice_equal(
        buf_slice(&out), SLICE("{\"message\":\"no \\\"m\\\"\",\"code\":\"model_not_found\"}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end_is_both),
        cmocka_unit_test(test_tokens_of_a_cache),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_a_broken_message),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_errors_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
