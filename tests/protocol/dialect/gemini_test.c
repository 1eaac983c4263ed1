/* gemini — what its chunks teach the accounts, and when a clean end is an end; the shape of its
 * errors. The shapes are those of the recordings and fixtures that golden/translate/gemini_* name. */
#include "protocol/dialect/gemini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/dialect/dialect.h"
#include "protocol/dialect/walk.h"

static const struct dialect *gemini(void)
{
    const struct dialect *dialect = NULL;
    assert_int_equal(dialect_by_name(SLICE("gemini"), &dialect), ERR_OK);
    return dialect;
}

static void hear(struct dialect_reading *reading, const char *data)
{
    CLEANUP(buf_deinit) struct buf block;
    buf_init(&block, 4096);
    assert_int_equal(buf_printf(&block, "data: %s\r\n\r\n", data), ERR_OK);
    assert_int_equal(gemini()->read_event(reading, buf_slice(&block)), DIALECT_EVENT);
}

static void assert_usage(const struct usage *usage, struct usage expected)
{
    assert_int_equal(usage->input, expected.input);
    assert_int_equal(usage->output, expected.output);
    assert_int_equal(usage->cached, expected.cached);
    assert_int_equal(usage->reasoning, expected.reasoning);
    assert_int_equal(usage->total, expected.total);
}

#define TEXT_CHUNK "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"index\":0}]"

static void test_usage_grows_and_thoughts_are_output(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    hear(&reading, TEXT_CHUNK ",\"usageMetadata\":{\"promptTokenCount\":9,\"totalTokenCount\":9}}");
    assert_usage(&reading.usage, (struct usage){9, -1, -1, -1, 9});
    hear(&reading,
        TEXT_CHUNK ",\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":5,"
                   "\"thoughtsTokenCount\":185,\"totalTokenCount\":199}}");
    assert_usage(&reading.usage, (struct usage){9, 190, -1, 185, 199});
    hear(&reading,
        TEXT_CHUNK ",\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":23,"
                   "\"thoughtsTokenCount\":185,\"cachedContentTokenCount\":4,"
                   "\"toolUsePromptTokenCount\":100,\"totalTokenCount\":317}}");
    assert_usage(&reading.usage, (struct usage){109, 208, 4, 185, 317});
}

static void test_counts_that_are_none(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    hear(&reading, "{\"usageMetadata\":{\"promptTokenCount\":-1,\"candidatesTokenCount\":1.5,"
                   "\"thoughtsTokenCount\":\"9\",\"cachedContentTokenCount\":null}}");
    assert_usage(&reading.usage, USAGE_UNKNOWN);
    hear(&reading, "{\"usageMetadata\":{\"candidatesTokenCount\":9223372036854775807,"
                   "\"thoughtsTokenCount\":9223372036854775807}}");
    assert_int_equal(reading.usage.output, -1);
    hear(&reading, "{\"usageMetadata\":[]}");
    assert_int_equal(reading.usage.input, -1);
}

/* A finish reason is owed as long as content was the last that came. */
static void test_what_is_owed(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    assert_false(gemini()->has_terminator);
    assert_false(reading.owes_finish);
    hear(&reading, TEXT_CHUNK "}");
    assert_true(reading.owes_finish);
    hear(&reading, "{\"usageMetadata\":{\"promptTokenCount\":9}}");
    assert_true(reading.owes_finish);
    hear(&reading, "{\"candidates\":[{\"finishReason\":\"STOP\"}]}");
    assert_false(reading.owes_finish || reading.is_terminated);
    hear(&reading, TEXT_CHUNK "}");
    assert_true(reading.owes_finish);
    hear(&reading, "{\"candidates\":[{\"finishReason\":\"MAX_TOKENS\"}]}");
    assert_false(reading.owes_finish || reading.is_terminated || reading.is_failed);
    assert_string_equal(reading.finish_reason, "MAX_TOKENS");
}

static void test_what_owes_nothing(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    hear(&reading, "{\"event_type\":\"content.delta\",\"candidates\":[]}"); /* of another API */
    hear(&reading, "{\"candidates\":[1]}");
    hear(&reading, "{\"candidates\":[{\"index\":0}]}");
    hear(&reading, "{\"candidates\":");
    hear(&reading, "[1]");
    hear(&reading, "[DONE]");
    assert_int_equal(gemini()->read_event(&reading, SLICE(": ping\n\n")), DIALECT_EVENT);
    assert_false(reading.owes_finish || reading.is_failed);
    assert_string_equal(reading.finish_reason, "");
}

static void test_a_refused_prompt(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    hear(&reading, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}");
    assert_string_equal(reading.finish_reason, "SAFETY");
    assert_false(reading.owes_finish || reading.is_failed);
}

static void test_an_error_in_a_stream(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    hear(&reading, TEXT_CHUNK "}");
    hear(&reading,
        "{\"error\":{\"code\":503,\"message\":\"Overloaded.\",\"status\":\"UNAVAILABLE\"}}");
    assert_true(reading.is_failed);
    assert_string_equal(reading.error, "Overloaded.");
}

static void test_bodies(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    gemini()->read_body(&reading, SLICE("{\n \"candidates\": [{\"finishReason\": \"STOP\"}],\n"
                                        " \"usageMetadata\": {\"promptTokenCount\": 2,"
                                        " \"candidatesTokenCount\": 3}}"));
    assert_string_equal(reading.finish_reason, "STOP");
    assert_usage(&reading.usage, (struct usage){2, 3, -1, -1, 5});
    dialect_reading_init(&reading);
    gemini()->read_body(&reading, SLICE("{\"error\":{\"code\":404,\"status\":\"NOT_FOUND\"}}"));
    assert_true(reading.is_failed);
    dialect_reading_init(&reading);
    gemini()->read_body(&reading, SLICE("\x89PNG"));
    gemini()->read_body(&reading, SLICE_NONE);
    assert_false(reading.is_failed);
}

static void test_a_last_chunk_without_its_blank_line(void **state)
{
    (void)state;
    assert_true(gemini()->is_terminator_residue(
        SLICE("data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}")));
    assert_false(gemini()->is_terminator_residue(SLICE("data: " TEXT_CHUNK "}")));
    assert_false(
        gemini()->is_terminator_residue(SLICE("data: {\"candidates\":[{\"finishReason\":\"ST")));
}

static void test_errors_of_ours(void **state)
{
    static const struct {
        int status;
        const char *word;
    } cases[] = {{400, "INVALID_ARGUMENT"}, {401, "UNAUTHENTICATED"}, {403, "PERMISSION_DENIED"},
        {404, "NOT_FOUND"}, {409, "ABORTED"}, {429, "RESOURCE_EXHAUSTED"}, {499, "CANCELLED"},
        {500, "INTERNAL"}, {501, "UNIMPLEMENTED"}, {502, "UNAVAILABLE"}, {503, "UNAVAILABLE"},
        {504, "DEADLINE_EXCEEDED"}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP(buf_deinit) struct buf out, expected;
        buf_init(&out, 4096);
        buf_init(&expected, 4096);
        assert_int_equal(dialect_write_error(gemini(), &out, cases[i].status, "our_code",
                             SLICE("a \"message\""), i ? NULL : "model"),
            ERR_OK);
        assert_int_equal(
            buf_printf(&expected,
                "{\"error\":{\"code\":%d,\"message\":\"a \\\"message\\\"\",\"status\":\"%s\","
                "\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","
                "\"reason\":\"our_code\",\"domain\":\"tokenlog\"%s}]}}",
                cases[i].status, cases[i].word, i ? "" : ",\"metadata\":{\"field\":\"model\"}"),
            ERR_OK);
        assert_true(slice_equal(buf_slice(&out), buf_slice(&expected)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage_grows_and_thoughts_are_output),
        cmocka_unit_test(test_counts_that_are_none),
        cmocka_unit_test(test_what_is_owed),
        cmocka_unit_test(test_what_owes_nothing),
        cmocka_unit_test(test_a_refused_prompt),
        cmocka_unit_test(test_an_error_in_a_stream),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_a_last_chunk_without_its_blank_line),
        cmocka_unit_test(test_errors_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
