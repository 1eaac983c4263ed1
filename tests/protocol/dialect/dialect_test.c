/* dialect — the golden transcripts, event by event; errors; requests and their splices. */
#include "protocol/dialect/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/data/json.h"
#include "protocol/http/sse.h"

enum { GOLDEN_BYTES_MAX = 1 << 20 };

/* The tests run in tests/. */
static struct buf golden(const char *dialect, const char *file)
{
    char path[256];
    struct buf out;
    uint8_t *at;
    (void)snprintf(path, sizeof path, "golden/%s/%s", dialect, file);
    buf_init(&out, GOLDEN_BYTES_MAX);
    FILE *stream = fopen(path, "rb");
    if (!stream)
        fail_msg("%s is missing", path);
    assert_int_equal(buf_reserve(&out, GOLDEN_BYTES_MAX, &at), ERR_OK);
    buf_commit(&out, fread(at, 1, GOLDEN_BYTES_MAX, stream));
    assert_int_equal(fclose(stream), 0);
    assert_true(out.size > 0);
    return out;
}

static const struct dialect *named(const char *name)
{
    const struct dialect *dialect;
    assert_int_equal(dialect_by_name(slice_text(name), &dialect), ERR_OK);
    return dialect;
}

/* ---- transcripts ---- */

struct story {
    const char *dialect, *file;
    struct usage usage;
    const char *finish_reason, *error;
    bool is_terminated, is_failed;
    size_t events, asides; /* with hides_usage set */
    bool has_terminator_residue;
};

static const struct story stories[] = {
    {"openai_chat", "text_usage.sse", {19, 10, 4, 3, 29}, "stop", "", true, false, 12, 1, false},
    {"openai_chat", "text_no_usage.sse", USAGE_UNKNOWN, "stop", "", true, false, 12, 0, false},
    {"openai_chat", "crlf.sse", {19, 10, 4, 3, 29}, "stop", "", true, false, 12, 1, false},
    {"openai_chat", "spaced.sse", {19, 10, 4, 3, 29}, "stop", "", true, false, 12, 1, false},
    {"openai_chat", "fooling_text.sse", {19, 10, 4, 3, 29}, "stop", "", true, false, 8, 1, false},
    {"openai_chat", "tool_calls.sse", USAGE_UNKNOWN, "tool_calls", "", true, false, 5, 0, false},
    {"openai_chat", "two_choices.sse", USAGE_UNKNOWN, "length", "", true, false, 5, 0, false},
    {"openai_chat", "azure_filter_first.sse", USAGE_UNKNOWN, "content_filter", "", true, false, 4,
        0, false},
    {"openai_chat", "error_midway.sse", USAGE_UNKNOWN, "",
        "The server had an error while processing your request. Sorry about that!", false, true, 2,
        0, false},
    {"openai_chat", "error_beside_choices.sse", USAGE_UNKNOWN, "error", "Provider disconnected",
        false, true, 3, 0, false},
    {"openai_chat", "cut_short.sse", USAGE_UNKNOWN, "", "", false, false, 6, 0, false},
    {"openai_chat", "completions.sse", {5, 2, -1, -1, 7}, "length", "", true, false, 3, 1, false},
    {"openai_responses", "completed.sse", {37, 11, 16, 6, 48}, "completed", "", true, false, 12, 0,
        false},
    {"openai_responses", "incomplete.sse", {37, 11, 16, 6, 48}, "max_output_tokens", "", true,
        false, 10, 0, false},
    {"openai_responses", "failed.sse", USAGE_UNKNOWN, "failed",
        "The model failed to generate a response.", false, true, 10, 0, false},
    {"openai_responses", "error.sse", USAGE_UNKNOWN, "", "Too many tokens a minute.", false, true,
        10, 0, false},
    {"openai_responses", "unnamed.sse", {37, 11, 16, 6, 48}, "completed", "", true, false, 10, 0,
        false},
    {"openai_responses", "cut_short.sse", USAGE_UNKNOWN, "", "", false, false, 9, 0, false},
    {"anthropic", "text.sse", {2125, 15, 2000, -1, 2140}, "end_turn", "", true, false, 9, 0, false},
    {"anthropic", "cumulative.sse", {34, 9, 5, 7, 43}, "max_tokens", "", true, false, 8, 0, false},
    {"anthropic", "tool_use.sse", {300, 41, 0, -1, 341}, "tool_use", "", true, false, 7, 0, false},
    {"anthropic", "usage_omitted.sse", {-1, 6, -1, -1, -1}, "end_turn", "", true, false, 6, 0,
        false},
    {"anthropic", "overloaded.sse", {25, 1, -1, -1, 26}, "", "Overloaded", false, true, 5, 0,
        false},
    {"anthropic", "no_last_blank_line.sse", {11, 6, -1, -1, 17}, "end_turn", "", false, false, 5, 0,
        true},
};

struct counts {
    size_t events, asides;
};

/* Reads the events of `text`; what is left over goes to *residue. */
static struct counts read_all(const struct dialect *dialect, struct dialect_reading *reading,
    struct slice text, struct slice *residue)
{
    struct sse_splitter splitter = {0};
    struct counts counts = {0};
    size_t end;
    while (sse_split(&splitter, text, &end) == ERR_OK) {
        if (dialect->read_event(reading, slice_sub(text, 0, end)) == DIALECT_ASIDE)
            counts.asides++;
        else
            counts.events++;
        text = slice_sub(text, end, text.size);
    }
    *residue = text;
    return counts;
}

static void assert_reading(const struct story *story, const struct dialect_reading *reading)
{
    assert_memory_equal(&reading->usage, &story->usage, sizeof story->usage);
    assert_string_equal(reading->finish_reason, story->finish_reason);
    assert_string_equal(reading->error, story->error);
    assert_int_equal(reading->is_terminated, story->is_terminated);
    assert_int_equal(reading->is_failed, story->is_failed);
}

static void tell(const struct story *story, bool hides_usage)
{
    CLEANUP(buf_deinit) struct buf text = golden(story->dialect, story->file);
    const struct dialect *dialect = named(story->dialect);
    struct dialect_reading reading;
    struct slice residue;
    dialect_reading_init(&reading);
    reading.hides_usage = hides_usage;
    struct counts counts = read_all(dialect, &reading, buf_slice(&text), &residue);
    assert_reading(story, &reading);
    assert_int_equal(counts.asides, hides_usage ? story->asides : 0);
    assert_int_equal(counts.events + counts.asides, story->events + story->asides);
    assert_int_equal(dialect->is_terminator_residue(residue), story->has_terminator_residue);
    if (story->has_terminator_residue) {
        assert_int_equal(dialect->read_event(&reading, residue), DIALECT_EVENT);
        assert_true(reading.is_terminated);
    }
}

static void test_transcripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++) {
        print_message("%s/%s\n", stories[i].dialect, stories[i].file);
        tell(&stories[i], false);
        tell(&stories[i], true);
    }
}

/* However the transcript is cut, no part of it is taken for complete unless its terminator is
 * there. */
static void test_every_cut_of_a_transcript(void **state)
{
    static const char *const files[][2] = {{"openai_chat", "text_usage.sse"},
        {"openai_responses", "completed.sse"}, {"anthropic", "text.sse"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        CLEANUP(buf_deinit) struct buf text = golden(files[i][0], files[i][1]);
        const struct dialect *dialect = named(files[i][0]);
        size_t whole = text.size;
        while (text.data[whole - 1] == '\n')
            whole--;
        for (size_t size = whole > 600 ? whole - 600 : 0; size <= text.size; size++) {
            struct dialect_reading reading;
            struct slice residue;
            dialect_reading_init(&reading);
            (void)read_all(dialect, &reading, slice_of(text.data, size), &residue);
            bool is_complete = reading.is_terminated || dialect->is_terminator_residue(residue);
            assert_int_equal(is_complete, size >= whole);
            assert_false(reading.is_failed);
        }
    }
}

static enum dialect_verdict read_one(
    struct dialect_reading *reading, const char *dialect, struct slice block)
{
    dialect_reading_init(reading);
    return named(dialect)->read_event(reading, block);
}

static void test_terminator_variants(void **state)
{
    static const char *const blocks[] = {"data: [DONE]\n\n", "data:[DONE]\n\n",
        "data: [DONE] \r\n\r\n", "data: [DONE]\r\r", "\n\ndata: [DONE]\n\n",
        ": c\ndata: [DONE]\n\n", "event: x\ndata:[DONE]\n\n"};
    static const char *const others[] = {"data: [DONE\n\n", "[DONE]\n\n", "data: \"[DONE]\"\n\n",
        ": [DONE]\n\n", "data: x[DONE]\n\n", "event: [DONE]\n\n", "data: [done]\n\n", "\n\n", ""};
    struct dialect_reading reading;
    (void)state;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        (void)read_one(&reading, "openai_chat", slice_text(blocks[i]));
        assert_true(reading.is_terminated);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        (void)read_one(&reading, "openai_chat", slice_text(others[i]));
        assert_false(reading.is_terminated || reading.is_failed);
    }
}

static void test_chunk_variants(void **state)
{
    struct dialect_reading reading;
    (void)state;
    /* Two data lines make one JSON text. */
    (void)read_one(&reading, "openai_chat",
        SLICE("data: {\"choices\":[{\"finish_reason\"\ndata: :\"stop\"}]}\n\n"));
    assert_string_equal(reading.finish_reason, "stop");
    /* One choice ends while another goes on. */
    (void)read_one(&reading, "openai_chat",
        SLICE("data: {\"choices\":[{\"finish_reason\":null},{\"finish_reason\":\"length\"}]}\n\n"));
    assert_string_equal(reading.finish_reason, "length");
    (void)read_one(&reading, "openai_chat", SLICE("data: {\"error\":\"plain text\"}\n\n"));
    assert_true(reading.is_failed);
    assert_string_equal(reading.error, "plain text");
    (void)read_one(&reading, "openai_chat", SLICE("data: {\"error\":{}}\n\n"));
    assert_true(reading.is_failed && reading.error[0]);
    (void)read_one(
        &reading, "openai_chat", SLICE("data: {\"error\" : null,\"usage\":\t null}\n\n"));
    assert_false(reading.is_failed);
    (void)read_one(&reading, "openai_chat",
        SLICE("data: {\"usage\":{\"prompt_tokens\":-4,"
              "\"completion_tokens\":\"x\"}}\n\n"));
    assert_true(reading.usage.input == -1 && reading.usage.output == -1);
    (void)read_one(&reading, "openai_chat", SLICE("data: {\"usage\":{\"prompt_tokens\":4\n\n"));
    assert_true(reading.usage.input == -1);
}

/* The key that matters, at every distance from the chunk's start: the search goes 16 bytes at a
 * time. */
static void test_keys_at_every_offset(void **state)
{
    (void)state;
    for (int pad = 0; pad < 40; pad++)
        for (int tail = 0; tail < 20; tail++) {
            CLEANUP(buf_deinit) struct buf block;
            struct dialect_reading reading;
            buf_init(&block, 1024);
            assert_int_equal(
                buf_printf(&block,
                    "data: {\"p\":\"%*s\",\"usage\":{\"prompt_tokens\":7},\"t\":\"%*s\"}\n\n", pad,
                    "", tail, ""),
                ERR_OK);
            (void)read_one(&reading, "openai_chat", buf_slice(&block));
            assert_true(reading.usage.input == 7);
        }
}

static void test_aside_needs_an_empty_choices_and_usage(void **state)
{
    static const char *const shown[] = {"data: {\"choices\":[]}\n\n",
        "data: {\"choices\":[],\"usage\":null}\n\n", "data: {\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n"};
    const struct slice hidden =
        SLICE("data: {\"choices\": [ ], \"usage\" : {\"prompt_tokens\":1}}\n\n");
    struct dialect_reading reading;
    (void)state;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        dialect_reading_init(&reading);
        reading.hides_usage = true;
        assert_int_equal(
            named("openai_chat")->read_event(&reading, slice_text(shown[i])), DIALECT_EVENT);
    }
    assert_int_equal(named("openai_chat")->read_event(&reading, hidden), DIALECT_ASIDE);
    reading.hides_usage = false;
    assert_int_equal(named("openai_chat")->read_event(&reading, hidden), DIALECT_EVENT);
}

static void test_long_words_are_cut_between_characters(void **state)
{
    CLEANUP(buf_deinit) struct buf block;
    struct dialect_reading reading;
    (void)state;
    buf_init(&block, 4096);
    assert_int_equal(buf_append_text(&block, "data: {\"error\":\"x"), ERR_OK);
    for (int i = 0; i < 300; i++)
        assert_int_equal(buf_append_text(&block, "€"), ERR_OK);
    assert_int_equal(buf_append_text(&block, "\"}\n\n"), ERR_OK);
    (void)read_one(&reading, "openai_chat", buf_slice(&block));
    struct slice error = slice_text(reading.error);
    assert_true(error.size > DIALECT_ERROR_BYTES - 4 && error.size < DIALECT_ERROR_BYTES);
    assert_true(slice_is_utf8(error));
}

/* ---- bodies ---- */

static void test_bodies(void **state)
{
    static const struct story bodies[] = {
        {"openai_chat", "body.json", {19, 10, 4, 3, 29}, "stop", "", false, false, 0, 0, false},
        {"openai_chat", "body_error.json", USAGE_UNKNOWN, "",
            "Rate limit reached for gpt-4o-mini in organization org-golden on requests per min "
            "(RPM): "
            "Limit 3, Used 3, Requested 1.",
            false, true, 0, 0, false},
        {"openai_responses", "body.json", {37, 11, 16, 6, 48}, "completed", "", false, false, 0, 0,
            false},
        {"openai_responses", "body_incomplete.json", {37, 11, 16, 6, 48}, "content_filter", "",
            false, false, 0, 0, false},
        {"anthropic", "body.json", {30, 4, 5, -1, 34}, "end_turn", "", false, false, 0, 0, false},
        {"anthropic", "body_error.json", USAGE_UNKNOWN, "", "max_tokens: Field required", false,
            true, 0, 0, false},
        {"opaque", "embeddings.json", {8, -1, -1, -1, 8}, "", "", false, false, 0, 0, false},
        {"opaque", "image.json", {13, 272, -1, -1, 285}, "", "", false, false, 0, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        CLEANUP(buf_deinit) struct buf text = golden(bodies[i].dialect, bodies[i].file);
        struct dialect_reading reading;
        dialect_reading_init(&reading);
        named(bodies[i].dialect)->read_body(&reading, buf_slice(&text));
        assert_reading(&bodies[i], &reading);
        /* A part of it teaches nothing. */
        dialect_reading_init(&reading);
        named(bodies[i].dialect)->read_body(&reading, slice_of(text.data, text.size / 2));
        assert_true(reading.usage.total == -1 && !reading.is_failed);
    }
}

static void test_bodies_that_are_no_json(void **state)
{
    static const struct slice bodies[] = {
        {NULL, 0}, {(const uint8_t *)"\xff\xfb\x90", 3}, {(const uint8_t *)"[1]", 3}};
    static const char *const names[] = {"openai_chat", "openai_responses", "anthropic", "opaque"};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 3; k++) {
            struct dialect_reading reading;
            dialect_reading_init(&reading);
            named(names[i])->read_body(&reading, bodies[k]);
            (void)named(names[i])->read_event(&reading, bodies[k]);
            assert_false(named(names[i])->is_terminator_residue(bodies[k]));
            assert_false(reading.is_failed || reading.is_terminated);
        }
}

/* ---- the table, errors ---- */

static void test_paths(void **state)
{
    static const char *const known[][2] = {{"/v1/chat/completions", "openai_chat"},
        {"/v1/completions", "openai_chat"}, {"/v1/responses", "openai_responses"},
        {"/v1/messages", "anthropic"}, {"/v1/embeddings", "opaque"}, {"/v1/moderations", "opaque"},
        {"/v1/images/generations", "opaque"}, {"/v1/audio/speech", "opaque"},
        {"/v1/rerank", "opaque"}};
    static const char *const others[] = {"/v1/files", "/v1/fine_tuning/jobs", "/v1/batches", "",
        "/v1/organization/usage", "/v1/chat/completions/", "/v1/chat/completions/x", "/v1/models",
        "/V1/messages", "v1/messages"};
    const struct dialect *dialect;
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(dialect_for_path(slice_text(known[i][0]), &dialect), ERR_OK);
        assert_string_equal(dialect->name, known[i][1]);
        assert_int_equal(dialect->has_terminator, strcmp(known[i][1], "opaque") != 0);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(dialect_for_path(slice_text(others[i]), &dialect), ERR_NOTFOUND);
    assert_int_equal(dialect_by_name(SLICE("gemma"), &dialect), ERR_NOTFOUND);
}

static void assert_error(
    const struct dialect *dialect, int status, const char *param, const char *expected)
{
    CLEANUP(buf_deinit) struct buf out;
    buf_init(&out, 1024);
    assert_int_equal(
        dialect_write_error(dialect, &out, status, "some_code", SLICE("Say \"why\"."), param),
        ERR_OK);
    assert_int_equal(buf_append_byte(&out, '\0'), ERR_OK);
    assert_string_equal((const char *)out.data, expected);
}

static void test_error_shapes(void **state)
{
    (void)state;
    assert_error(NULL, 400, "model",
        "{\"error\":{\"message\":\"Say \\\"why\\\".\",\"type\":\"invalid_request_error\","
        "\"param\":\"model\",\"code\":\"some_code\"}}");
    assert_error(named("openai_responses"), 503, NULL,
        "{\"error\":{\"message\":\"Say \\\"why\\\".\",\"type\":\"server_error\",\"param\":null,"
        "\"code\":\"some_code\"}}");
    assert_error(named("anthropic"), 413, "x",
        "{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\","
        "\"message\":\"Say \\\"why\\\".\",\"code\":\"some_code\"}}");
}

static void test_anthropic_error_types(void **state)
{
    static const struct {
        int status;
        const char *type;
    } cases[] = {{400, "invalid_request_error"}, {401, "authentication_error"},
        {403, "permission_error"}, {404, "not_found_error"}, {409, "invalid_request_error"},
        {413, "request_too_large"}, {429, "rate_limit_error"}, {500, "api_error"},
        {503, "api_error"}, {529, "overloaded_error"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(buf_deinit) struct buf out;
        CLEANUP(json_cleanup) struct json *root = NULL;
        buf_init(&out, 1024);
        assert_int_equal(
            dialect_write_error(named("anthropic"), &out, cases[i].status, "c", SLICE("m"), NULL),
            ERR_OK);
        assert_int_equal(json_parse(buf_slice(&out), &root), ERR_OK);
        struct slice type = json_text(json_get(json_get(root, "error"), "type"));
        assert_true(slice_equal(type, slice_text(cases[i].type)));
    }
}

/* ---- requests ---- */

static void assert_refused(const char *dialect, const char *body, const char *param_expected)
{
    struct dialect_request request;
    const char *why = NULL, *param = "unset";
    assert_int_equal(dialect_read_request(named(dialect), slice_text(body), &request, &why, &param),
        ERR_INVALID);
    assert_non_null(why);
    if (param_expected)
        assert_string_equal(param, param_expected);
    else
        assert_null(param);
}

static void test_requests_refused(void **state)
{
    (void)state;
    assert_refused("openai_chat", "", NULL);
    assert_refused("openai_chat", "[]", NULL);
    assert_refused("openai_chat", "{\"model\":\"a\",\"model\":\"b\"}", NULL);
    assert_refused("openai_chat", "{\"model\":\"a\",\"mode\\u006c\":\"b\"}", NULL);
    assert_refused("openai_chat", "{\"model\":1}", "model");
    assert_refused("openai_chat", "{\"model\":\"\"}", "model");
    assert_refused("openai_chat", "{\"model\":\"a\\u0000b\"}", "model");
    assert_refused("openai_chat", "{\"model\":null}", "model");
    assert_refused("openai_chat", "{\"stream\":1}", "stream");
    assert_refused("openai_chat", "{\"stream_options\":[]}", "stream_options");
    assert_refused("openai_chat",
        "{\"stream_options\":{\"include_usage\":false,\"include_usage\":true}}", "stream_options");
    char body[400] = "{\"model\":\"";
    memset(body + strlen(body), 'm', DIALECT_MODEL_BYTES);
    memcpy(body + strlen(body), "\"}", 3);
    assert_refused("opaque", body, "model");
}

static struct dialect_request read_request(const char *dialect, struct slice body)
{
    struct dialect_request request;
    const char *why = "", *param;
    if (dialect_read_request(named(dialect), body, &request, &why, &param) != ERR_OK)
        fail_msg("%.*s: %s", SLICE_PRINT(body), why);
    return request;
}

static void test_requests_read(void **state)
{
    (void)state;
    struct dialect_request request =
        read_request("openai_chat", SLICE("{\"model\" : \"gpt\\u002d4o\",\"stream\":true,"
                                          "\"stream_options\":{\"include_usage\":true}}"));
    assert_string_equal(request.model, "gpt-4o");
    assert_true(slice_equal(request.model_raw, SLICE("\"gpt\\u002d4o\"")));
    assert_true(request.is_streamed && request.has_usage_asked);
    request = read_request("openai_chat", SLICE("{}"));
    assert_string_equal(request.model, "");
    assert_int_equal(request.model_raw.size, 0);
    assert_false(request.is_streamed || request.has_usage_asked);
    request = read_request("anthropic", SLICE("{\"stream\":null,\"stream_options\":7}"));
    assert_false(request.is_streamed);
}

struct rewrite {
    const char *dialect, *body, *model;
    bool ask_usage;
    const char *sent;
    bool hides_usage;
};

static const struct rewrite rewrites[] = {
    /* Nothing to do: byte for byte. */
    {"openai_chat", " {\"model\":\"a\" , \"n\":1.0e0,\"x\":\"\\u00e9\"}\n", "", true,
        " {\"model\":\"a\" , \"n\":1.0e0,\"x\":\"\\u00e9\"}\n", false},
    {"openai_chat", "{\"model\":\"a\"}", "a", false, "{\"model\":\"a\"}", false},
    {"openai_chat", "{}", "", true, "{}", false},
    /* The model. */
    {"openai_chat", "{\"x\":\"model\",\"model\" :\"fast\", \"y\":[1.50]}", "gpt-4o", false,
        "{\"x\":\"model\",\"model\" :\"gpt-4o\", \"y\":[1.50]}", false},
    {"anthropic", "{\"model\":\"a\"}", "q\"\\", false, "{\"model\":\"q\\\"\\\\\"}", false},
    {"opaque", " {}", "m", false, " {\"model\":\"m\"}", false},
    {"opaque", "{ }", "m", false, "{\"model\":\"m\" }", false},
    {"opaque", "{ \"x\":1}", "m", false, "{\"model\":\"m\", \"x\":1}", false},
    /* Usage: the five shapes. */
    {"openai_chat", "\t{\"stream\":true}", "", true,
        "\t{\"stream_options\":{\"include_usage\":true},\"stream\":true}", true},
    {"openai_chat", "{\"stream\":true,\"stream_options\":{}}", "", true,
        "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", true},
    {"openai_chat", "{\"stream\":true,\"stream_options\": {\n}}", "", true,
        "{\"stream\":true,\"stream_options\": {\"include_usage\":true\n}}", true},
    {"openai_chat", "{\"stream\":true,\"stream_options\":null}", "", true,
        "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", true},
    {"openai_chat", "{\"stream_options\":{ \"include_obfuscation\":false},\"stream\":true}", "",
        true,
        "{\"stream_options\":{\"include_usage\":true, "
        "\"include_obfuscation\":false},\"stream\":true}",
        true},
    {"openai_chat", "{\"stream\":true,\"stream_options\":{\"include_usage\":false}}", "", true,
        "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", true},
    {"openai_chat", "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", "", true,
        "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", false},
    /* Usage is not asked for: not streamed, not wanted, another dialect. */
    {"openai_chat", "{\"stream\":false}", "", true, "{\"stream\":false}", false},
    {"openai_chat", "{\"stream\":true}", "", false, "{\"stream\":true}", false},
    {"openai_responses", "{\"stream\":true}", "", true, "{\"stream\":true}", false},
    {"anthropic", "{\"stream\":true}", "", true, "{\"stream\":true}", false},
    /* Both, in either order, and both at the front. */
    {"openai_chat", "{\"model\":\"a\",\"stream\":true,\"stream_options\":{}}", "bb", true,
        "{\"model\":\"bb\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", true},
    {"openai_chat", "{\"stream_options\":{},\"stream\":true,\"model\":\"a\"}", "bb", true,
        "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"bb\"}", true},
    {"openai_chat", "{\"stream\":true}", "m", true,
        "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true},\"stream\":true}", true},
    /* In the background: streamed, and gone on with here. */
    {"openai_responses", "{\"background\":true,\"model\":\"a\"}", "bb", true,
        "{\"stream\":true,\"background\":false,\"model\":\"bb\"}", false},
    {"openai_responses", "{\"stream\":false,\"background\": true}", "", true,
        "{\"stream\":true,\"background\": false}", false},
    {"openai_responses", "{\"stream\":null,\"background\":true}", "m", true,
        "{\"model\":\"m\",\"stream\":true,\"background\":false}", false},
    {"openai_responses", "{\"background\":true,\"stream\":true}", "", true,
        "{\"background\":false,\"stream\":true}", false},
    {"openai_responses", "{\"background\":null,\"stream\":false}", "", true,
        "{\"background\":null,\"stream\":false}", false},
    {"openai_chat", "{\"background\":true}", "", true, "{\"background\":true}", false},
};

static void test_openai_keeps_what_is_asked_in_the_background(void **state)
{
    static const struct {
        const char *body, *sent;
    } cases[] = {
        {"{\"background\":true,\"stream\":false,\"store\":null}",
            "{\"background\":true,\"stream\":true,\"store\":null}"},
        /* The caller did not ask. */
        {"{\"stream\":true}", "{\"background\":true,\"stream\":true}"},
        {"{\"background\":false, \"stream\":true}", "{\"background\":true, \"stream\":true}"},
        {"{\"stream\":true,\"background\":null}", "{\"stream\":true,\"background\":true}"},
        /* Nor do we, translating. */
        {"{\"store\":false,\"stream\":true}",
            "{\"background\":true,\"store\":true,\"stream\":true}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct slice body = slice_text(cases[i].body);
        CLEANUP(buf_deinit) struct buf out;
        bool hides_usage;
        buf_init(&out, 4096);
        struct dialect_request request = read_request("openai_responses", body);
        assert_int_equal(request.is_background, i == 0);
        assert_int_equal(request.refuses_store, i == 4);
        request.keeps_background = true;
        assert_int_equal(dialect_write_request(named("openai_responses"), body, &request,
                             SLICE_NONE, true, &out, &hides_usage),
            ERR_OK);
        assert_true(slice_equal(buf_slice(&out), slice_text(cases[i].sent)));
    }
}

/* The first one counts; what does not fit is none. */
static void test_a_response_says_its_id(void **state)
{
    const struct dialect *dialect = named("openai_responses");
    struct dialect_reading reading;
    char longer[DIALECT_ID_BYTES * 2];
    (void)state;
    dialect_reading_init(&reading);
    (void)snprintf(longer, sizeof longer,
        "event: response.created\ndata: {\"response\":{\"id\":\"%0*d\"}}\n\n", DIALECT_ID_BYTES, 1);
    (void)dialect->read_event(&reading, slice_text(longer));
    assert_string_equal(reading.id, "");
    (void)dialect->read_event(
        &reading, SLICE("event: response.queued\ndata: {\"response\":{\"id\":\"resp_1\"}}\n\n"));
    (void)dialect->read_event(
        &reading, SLICE("event: response.created\ndata: {\"response\":{\"id\":\"resp_2\"}}\n\n"));
    assert_string_equal(reading.id, "resp_1");
    dialect_reading_init(&reading);
    dialect->read_body(&reading, SLICE("{\"id\":\"resp_3\",\"status\":\"completed\"}"));
    assert_string_equal(reading.id, "resp_3");
}

static void test_requests_rewritten(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rewrites / sizeof rewrites[0]; i++) {
        const struct rewrite *rewrite = &rewrites[i];
        CLEANUP(buf_deinit) struct buf out;
        struct slice body = slice_text(rewrite->body);
        struct dialect_request request = read_request(rewrite->dialect, body);
        bool hides_usage = !rewrite->hides_usage;
        buf_init(&out, 4096);
        assert_int_equal(dialect_write_request(named(rewrite->dialect), body, &request,
                             slice_text(rewrite->model), rewrite->ask_usage, &out, &hides_usage),
            ERR_OK);
        assert_int_equal(hides_usage, rewrite->hides_usage);
        assert_int_equal(buf_append_byte(&out, '\0'), ERR_OK);
        assert_string_equal((const char *)out.data, rewrite->sent);
        out.size--;
        (void)read_request(rewrite->dialect, buf_slice(&out)); /* it is valid still */
    }
}

/* Numbers, escapes, white space and the order of members survive a splice in the midst of them. */
static void test_bytes_around_splices_are_untouched(void **state)
{
    const struct slice before = SLICE(
        "{ \"temperature\":0.70000000000000001, \"seed\":12345678901234567890,"
        "\"messages\":[{\"content\":\"\\u00e9 \\/ \\\"model\\\":\\\"x\\\"\"}],\r\n\"model\":\t");
    const struct slice after = SLICE(" ,\"tools\" : [ ] ,\"stream\":true,\"z\":-0}  ");
    CLEANUP(buf_deinit) struct buf body, out;
    bool hides_usage;
    (void)state;
    buf_init(&body, 4096);
    buf_init(&out, 4096);
    assert_int_equal(buf_append(&body, before), ERR_OK);
    assert_int_equal(buf_append(&body, SLICE("\"alias\"")), ERR_OK);
    assert_int_equal(buf_append(&body, after), ERR_OK);
    struct dialect_request request = read_request("openai_chat", buf_slice(&body));
    assert_int_equal(dialect_write_request(named("openai_chat"), buf_slice(&body), &request,
                         SLICE("provider/model"), true, &out, &hides_usage),
        ERR_OK);
    const struct slice inserted = SLICE("\"stream_options\":{\"include_usage\":true},");
    const struct slice model = SLICE("\"provider/model\"");
    struct slice sent = buf_slice(&out);
    assert_int_equal(sent.size, before.size + inserted.size + model.size + after.size);
    assert_true(slice_equal(slice_sub(sent, 1, inserted.size), inserted));
    assert_true(slice_equal(
        slice_sub(sent, 1 + inserted.size, before.size - 1), slice_sub(before, 1, before.size)));
    assert_true(slice_equal(slice_sub(sent, before.size + inserted.size, model.size), model));
    assert_true(slice_equal(slice_sub(sent, sent.size - after.size, after.size), after));
}

static void test_a_full_buffer_is_a_limit(void **state)
{
    const struct slice body = SLICE("{\"model\":\"a\",\"stream\":true}");
    struct dialect_request request = read_request("openai_chat", body);
    (void)state;
    for (size_t size_max = 0; size_max < 60; size_max++) {
        CLEANUP(buf_deinit) struct buf out;
        bool hides_usage;
        buf_init(&out, size_max);
        assert_int_equal(dialect_write_request(named("openai_chat"), body, &request, SLICE("bbb"),
                             true, &out, &hides_usage),
            ERR_LIMIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transcripts),
        cmocka_unit_test(test_every_cut_of_a_transcript),
        cmocka_unit_test(test_terminator_variants),
        cmocka_unit_test(test_chunk_variants),
        cmocka_unit_test(test_keys_at_every_offset),
        cmocka_unit_test(test_aside_needs_an_empty_choices_and_usage),
        cmocka_unit_test(test_long_words_are_cut_between_characters),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_bodies_that_are_no_json),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_error_shapes),
        cmocka_unit_test(test_anthropic_error_types),
        cmocka_unit_test(test_requests_refused),
        cmocka_unit_test(test_requests_read),
        cmocka_unit_test(test_requests_rewritten),
        cmocka_unit_test(test_openai_keeps_what_is_asked_in_the_background),
        cmocka_unit_test(test_a_response_says_its_id),
        cmocka_unit_test(test_bytes_around_splices_are_untouched),
        cmocka_unit_test(test_a_full_buffer_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
