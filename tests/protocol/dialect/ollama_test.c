/* ollama — what its lines and bodies teach the accounts; which calls are of the dialect; the shape of
 * its errors. The shapes are those that golden/translate/ollama_* name. */
#include "protocol/dialect/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"

static const struct dialect *ollama(void)
{
    const struct dialect *dialect = NULL;
    assert_int_equal(dialect_by_name(SLICE("ollama"), &dialect), ERR_OK);
    return dialect;
}

static struct dialect_reading heard(const char *line)
{
    struct dialect_reading reading, body;
    dialect_reading_init(&reading);
    dialect_reading_init(&body);
    assert_int_equal(ollama()->read_event(&reading, slice_text(line)), DIALECT_EVENT);
    ollama()->read_body(&body, slice_text(line)); /* it is read as a line is */
    assert_memory_equal(&reading, &body, sizeof body);
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

static void test_the_end(void **state)
{
    struct dialect_reading reading = heard(
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"
        "\"done_reason\":\"length\",\"prompt_eval_count\":26,\"eval_count\":282}\n");
    (void)state;
    assert_true(ollama()->has_terminator && reading.is_terminated && !reading.is_failed);
    assert_int_equal(ollama()->framing, FRAMING_LINES);
    assert_string_equal(reading.finish_reason, "length");
    assert_usage(&reading.usage, (struct usage){26, 282, -1, -1, 308});
}

static void test_an_end_that_says_little(void **state)
{
    struct dialect_reading reading = heard(" { \"done\" : true } \r\n");
    (void)state;
    assert_true(reading.is_terminated);
    assert_string_equal(reading.finish_reason, "");
    assert_usage(&reading.usage, USAGE_UNKNOWN);
}

static void test_what_is_no_end(void **state)
{
    static const char *const lines[] = {"\n", "", "[]\n", "{\"done\":true\n", "done\n",
        "{\"message\":{\"content\":\"\\\"done\\\":true\",\"done\":true},\"done\":false}\n",
        "{\"status\":\"success\"}\n", "{\"done\":\"true\"}\n", "{\"error\":null}\n"};
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct dialect_reading reading = heard(lines[i]);
        assert_false(reading.is_terminated || reading.is_failed);
        assert_usage(&reading.usage, USAGE_UNKNOWN);
    }
}

static void test_errors(void **state)
{
    struct dialect_reading reading = heard("{\"error\":\"out of memory\"}\n");
    (void)state;
    assert_true(reading.is_failed && !reading.is_terminated);
    assert_string_equal(reading.error, "out of memory");
    reading = heard("{\"error\":\"out of memory\",\"done\":true}\n");
    assert_true(reading.is_failed && !reading.is_terminated);
}

static void test_a_last_line_without_its_end(void **state)
{
    (void)state;
    assert_true(ollama()->is_terminator_residue(SLICE("{\"done\":true}")));
    assert_false(ollama()->is_terminator_residue(SLICE("{\"done\":false}")));
    assert_false(ollama()->is_terminator_residue(SLICE("{\"done\":true")));
}

static void test_calls(void **state)
{
    (void)state;
    assert_true(ollama()->speaks(SLICE("/api/chat")) && ollama()->speaks(SLICE("/api/generate")));
    assert_false(ollama()->speaks(SLICE("/api/pull")) || ollama()->speaks(SLICE("/api/embed")));
}

static void test_errors_of_ours(void **state)
{
    CLEANUP(buf_deinit) struct buf out;
    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(
        dialect_write_error(ollama(), &out, 404, "model_not_found", SLICE("no \"m\""), "model"),
        ERR_OK);
    assert_true(slice_equal(
        buf_slice(&out), SLICE("{\"error\":\"no \\\"m\\\"\",\"code\":\"model_not_found\"}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end),
        cmocka_unit_test(test_an_end_that_says_little),
        cmocka_unit_test(test_what_is_no_end),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_a_last_line_without_its_end),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_errors_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
