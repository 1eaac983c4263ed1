/* gemini_interactions — what is learnt of an interaction, and by what its rest is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/dialect/dialect.h"

#define EVENT(name, data) "event: " name "\ndata: " data "\n\n"

static const struct dialect *dialect(void)
{
    const struct dialect *out;
    assert_int_equal(dialect_by_name(SLICE("gemini_interactions"), &out), ERR_OK);
    return out;
}

static void expect_usage(const struct usage *usage, int64_t input, int64_t output, int64_t total)
{
    assert_int_equal(usage->input, input);
    assert_int_equal(usage->output, output);
    assert_int_equal(usage->total, total);
}

/* As documented, and as it was before steps. */
static void test_events(void **state)
{
    static const char *const begins[] = {"interaction.created", "interaction.start"};
    static const char *const ends[] = {"interaction.completed", "interaction.complete"};
    char block[512];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct dialect_reading reading;
        dialect_reading_init(&reading);
        (void)snprintf(block, sizeof block,
            EVENT("%s", "{\"interaction\":{\"id\":\"v1_a\",\"status\":\"in_progress\"},"
                        "\"event_type\":\"%s\"}"),
            begins[i], begins[i]);
        assert_int_equal(dialect()->read_event(&reading, slice_text(block)), DIALECT_EVENT);
        assert_string_equal(reading.id, "v1_a");
        assert_true(reading.owes_finish);
        (void)dialect()->read_event(&reading,
            SLICE(
                EVENT("step.delta", "{\"index\":0,\"delta\":{\"text\":\"1\",\"type\":\"text\"}}")));
        assert_true(reading.owes_finish);
        (void)snprintf(block, sizeof block,
            EVENT("%s", "{\"interaction\":{\"id\":\"v1_b\",\"status\":\"completed\",\"usage\":{"
                        "\"total_input_tokens\":7,\"total_output_tokens\":20,"
                        "\"total_thought_tokens\":22,\"total_tool_use_tokens\":3,"
                        "\"total_cached_tokens\":2,\"total_tokens\":52}}}"),
            ends[i]);
        (void)dialect()->read_event(&reading, slice_text(block));
        assert_false(reading.owes_finish || reading.is_failed || reading.is_terminated);
        assert_string_equal(reading.id, "v1_a");
        assert_string_equal(reading.finish_reason, "completed");
        expect_usage(&reading.usage, 10, 42, 52);
        assert_int_equal(reading.usage.cached, 2);
        assert_int_equal(reading.usage.reasoning, 22);
        (void)dialect()->read_event(&reading, SLICE(EVENT("done", "[DONE]")));
        assert_false(reading.is_failed);
    }
}

static void test_errors(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    (void)dialect()->read_event(&reading,
        SLICE(EVENT("error", "{\"error\":{\"code\":\"internal\",\"message\":\"it broke\"},"
                             "\"event_type\":\"error\"}")));
    assert_true(reading.is_failed);
    assert_string_equal(reading.error, "it broke");
}

static void test_body(void **state)
{
    struct dialect_reading reading;
    (void)state;
    dialect_reading_init(&reading);
    dialect()->read_body(&reading,
        SLICE("{\"id\":\"v1_a\",\"status\":\"completed\",\"usage\":{\"total_input_tokens\":1,"
              "\"total_output_tokens\":2}}"));
    assert_string_equal(reading.id, "v1_a");
    expect_usage(&reading.usage, 1, 2, 3);
    dialect()->read_body(&reading, SLICE("no JSON"));
    assert_false(reading.is_failed);
}

static void test_residue(void **state)
{
    (void)state;
    assert_true(dialect()->is_terminator_residue(
        SLICE("event: interaction.completed\ndata: {\"interaction\":{\"status\":\"completed\"}}")));
    assert_false(
        dialect()->is_terminator_residue(SLICE("event: interaction.completed\ndata: {\"i")));
}

static void test_cursors(void **state)
{
    static const struct {
        const char *block, *cursor;
    } cases[] = {
        {EVENT("step.delta", "{\"event_id\":\"a+\\u002f=\",\"index\":0}"), "a+/="},
        {EVENT("step.delta", "{\"index\":0,\"delta\":{\"event_id\":\"no\"}}"), NULL},
        {EVENT("step.delta", "{\"event_id\":\"\"}"), NULL},
        {EVENT("step.delta", "{\"event_id\":7}"), NULL},
        {EVENT("done", "[DONE]"), NULL},
        {": ping\n\n", NULL},
        {"event: step.delta\n\n", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(buf_deinit) struct buf cursor;
        buf_init(&cursor, DIALECT_CURSOR_BYTES_MAX);
        enum err err = dialect()->again->cursor(slice_text(cases[i].block), &cursor);
        assert_int_equal(err, cases[i].cursor ? ERR_OK : ERR_NOTFOUND);
        assert_true(slice_equal(buf_slice(&cursor), slice_text(cases[i].cursor)));
    }
}

static void test_paths(void **state)
{
    static const struct {
        const char *provider, *path, *dialect;
    } cases[] = {
        {"gemini", "/v1beta/interactions", "gemini_interactions"},
        {"gemini", "/v1beta/interactions/v1_a", "gemini"},
        {"gemini", "/v1beta/models/m:generateContent", "gemini"},
        {"ollama", "/v1beta/interactions", NULL},
        {"cohere", "/v2/chat", "cohere"},
        {"nobody", "/v1beta/interactions", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct dialect *found;
        enum err err =
            dialect_of_native(slice_text(cases[i].provider), slice_text(cases[i].path), &found);
        assert_int_equal(err, cases[i].dialect ? ERR_OK : ERR_NOTFOUND);
        if (!err)
            assert_string_equal(found->name, cases[i].dialect);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_residue),
        cmocka_unit_test(test_cursors),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
