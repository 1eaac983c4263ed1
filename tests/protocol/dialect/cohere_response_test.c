/* cohere_response — random responses, told as Cohere tells them, streamed and whole: each dialect of
 * callers hears the same, byte for byte, as if the neutral events had been written in it directly.
 *
 * The generator writes Cohere's events and the neutral ones side by side. */
#include "protocol/dialect/translate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"
#include "protocol/http/sse.h"

enum { CASES = 200, OUT_BYTES_MAX = 1 << 20, PARTS_MAX = 6 };

static const char *const callers[] = {"openai_chat", "openai_responses", "anthropic"};

static const struct sequence_context context = {
    .stream_id = {(const uint8_t *)"0198c0de000070008000000000000001", 32},
    .created_s = 1767225600,
    .model = {(const uint8_t *)"our-model", 9},
    .includes_usage = true,
};

static const struct codec *named(const char *name)
{
    const struct codec *codec = NULL;
    assert_int_equal(translate_codec(slice_text(name), &codec), ERR_OK);
    return codec;
}

/* ---- chance ---- */

static uint64_t next(uint64_t *chance)
{
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return *chance;
}

static bool one_in(uint64_t *chance, uint64_t n)
{
    return next(chance) % n == 0;
}

static const char *const texts[] = {"a", "word \"quoted\" \\ ", "\n\n", "é日本😀", "\t\x01\x7f",
    "data: [DONE]\n\n", "{\"x\":", "</s>'"};
static const char *const arguments[] = {"{}", "{\"a\":1.50}",
    "{\"a\": \"\\u00e9\\n\", \"b\":[1,{}]}", "{\"n\":12345678901234567890,\"t\":true}"};

#define PICK(chance, table) ((table)[next(chance) % COUNT_OF(table)])

/* ---- a response, told twice ---- */

/* Both tellings: Cohere's events (or its body), and the neutral ones. */
struct telling {
    struct json_writer writer;
    struct buf chunks;
    struct sequence sequence;
    bool is_streamed;
};

static void open_message(struct telling *telling, const char *event)
{
    codec_open_typed_event(&telling->writer, &telling->chunks, event);
    json_key(&telling->writer, "delta");
    json_open(&telling->writer, '{');
    json_key(&telling->writer, "message");
    json_open(&telling->writer, '{');
}

static void close_message(struct telling *telling)
{
    json_close(&telling->writer, '}');
    json_close(&telling->writer, '}');
    codec_close_event(&telling->writer);
    assert_int_equal(telling->writer.err, ERR_OK);
}

static void tell_end(struct telling *telling, const char *event)
{
    codec_open_typed_event(&telling->writer, &telling->chunks, event);
    codec_close_event(&telling->writer);
    sequence_close(&telling->sequence);
}

static void tell_content(
    struct telling *telling, const char *event, const char *type, struct slice text)
{
    open_message(telling, event);
    json_key(&telling->writer, "content");
    json_open(&telling->writer, '{');
    if (strcmp(event, "content-start") == 0)
        codec_member(&telling->writer, "type", slice_text(type));
    codec_member(&telling->writer, type, text);
    json_close(&telling->writer, '}');
    close_message(telling);
}

static void stream_content(struct telling *telling, uint64_t *chance, bool is_thought)
{
    enum neutral_part_kind kind = is_thought ? NEUTRAL_REASONING : NEUTRAL_TEXT;
    const char *type = is_thought ? "thinking" : "text";
    tell_content(telling, "content-start", type, SLICE_NONE);
    sequence_open(&telling->sequence, kind);
    for (uint64_t i = next(chance) % 4; i > 0; i--) {
        struct slice text = slice_text(PICK(chance, texts));
        tell_content(telling, "content-delta", type, text);
        sequence_text(&telling->sequence, kind, text);
    }
    tell_end(telling, "content-end");
}

static void stream_plan(struct telling *telling, uint64_t *chance)
{
    for (uint64_t i = next(chance) % 3; i > 0; i--) {
        struct slice text = slice_text(PICK(chance, texts));
        open_message(telling, "tool-plan-delta");
        codec_member(&telling->writer, "tool_plan", text);
        close_message(telling);
        sequence_text(&telling->sequence, NEUTRAL_TEXT, text);
    }
}

static void write_call(
    struct json_writer *writer, struct slice id, struct slice name, struct slice input)
{
    json_open(writer, '{');
    if (id.size) {
        codec_member(writer, "id", id);
        codec_member(writer, "type", SLICE("function"));
    }
    json_key(writer, "function");
    json_open(writer, '{');
    if (name.size)
        codec_member(writer, "name", name);
    codec_member(writer, "arguments", input);
    json_close(writer, '}');
    json_close(writer, '}');
}

static void tell_call(struct telling *telling, const char *event, struct slice id,
    struct slice name, struct slice input)
{
    open_message(telling, event);
    json_key(&telling->writer, "tool_calls");
    write_call(&telling->writer, id, name, input);
    close_message(telling);
}

/* The arguments in two pieces; now and then none at all. */
static void stream_call(struct telling *telling, uint64_t *chance)
{
    struct slice input = one_in(chance, 4) ? SLICE_NONE : slice_text(PICK(chance, arguments));
    size_t cut = input.size ? next(chance) % input.size : 0;
    while (cut > 0 && (input.data[cut] & 0xC0) == 0x80)
        cut--;
    tell_call(telling, "tool-call-start", SLICE("weather_e8p4"), SLICE("weather"), SLICE_NONE);
    sequence_tool_call(&telling->sequence, SLICE("weather_e8p4"), SLICE("weather"));
    for (size_t piece = 0; piece < 2; piece++) {
        struct slice text = piece ? slice_sub(input, cut, input.size) : slice_sub(input, 0, cut);
        tell_call(telling, "tool-call-delta", SLICE_NONE, SLICE_NONE, text);
        sequence_arguments(&telling->sequence, text);
    }
    tell_end(telling, "tool-call-end");
}

static void write_end(struct json_writer *writer, const char *finish)
{
    codec_member(writer, "finish_reason", slice_text(finish));
    json_key(writer, "usage");
    json_raw(writer, SLICE("{\"billed_units\":{\"input_tokens\":12,\"output_tokens\":7},"
                           "\"tokens\":{\"input_tokens\":507,\"output_tokens\":10},"
                           "\"cached_tokens\":448}"));
}

static void stream_response(struct telling *telling, uint64_t *chance, const char *finish)
{
    codec_open_typed_event(&telling->writer, &telling->chunks, "message-start");
    codec_member(&telling->writer, "id", SLICE("id"));
    codec_close_event(&telling->writer);
    for (uint64_t i = next(chance) % PARTS_MAX; i > 0; i--)
        stream_content(telling, chance, one_in(chance, 2));
    stream_plan(telling, chance);
    for (uint64_t i = next(chance) % 3; i > 0; i--)
        stream_call(telling, chance);
    codec_open_typed_event(&telling->writer, &telling->chunks, "message-end");
    json_key(&telling->writer, "delta");
    json_open(&telling->writer, '{');
    write_end(&telling->writer, finish);
    json_close(&telling->writer, '}');
    codec_close_event(&telling->writer);
}

static void body_content(struct telling *telling, uint64_t *chance)
{
    struct json_writer *writer = &telling->writer;
    json_key(writer, "content");
    json_open(writer, '[');
    for (uint64_t i = next(chance) % PARTS_MAX; i > 0; i--) {
        struct slice text = slice_text(PICK(chance, texts));
        bool is_thought = one_in(chance, 2);
        enum neutral_part_kind kind = is_thought ? NEUTRAL_REASONING : NEUTRAL_TEXT;
        json_open(writer, '{');
        codec_member(writer, "type", is_thought ? SLICE("thinking") : SLICE("text"));
        codec_member(writer, is_thought ? "thinking" : "text", text);
        json_close(writer, '}');
        sequence_open(&telling->sequence, kind);
        sequence_text(&telling->sequence, kind, text);
    }
    json_close(writer, ']');
}

static void body_calls(struct telling *telling, uint64_t *chance)
{
    struct json_writer *writer = &telling->writer;
    json_key(writer, "tool_calls");
    json_open(writer, '[');
    for (uint64_t i = next(chance) % 3; i > 0; i--) {
        bool is_empty = one_in(chance, 4);
        struct slice input = is_empty ? SLICE("null") : slice_text(PICK(chance, arguments));
        write_call(writer, SLICE("weather_e8p4"), SLICE("weather"), input);
        sequence_tool_call(&telling->sequence, SLICE("weather_e8p4"), SLICE("weather"));
        if (!is_empty)
            sequence_arguments(&telling->sequence, input);
    }
    json_close(writer, ']');
}

static void body_response(struct telling *telling, uint64_t *chance, const char *finish)
{
    struct json_writer *writer = &telling->writer;
    json_writer_init(writer, &telling->chunks);
    json_open(writer, '{');
    codec_member(writer, "id", SLICE("id"));
    json_key(writer, "message");
    json_open(writer, '{');
    body_content(telling, chance);
    if (one_in(chance, 2)) {
        codec_member(writer, "tool_plan", SLICE("I plan."));
        sequence_text(&telling->sequence, NEUTRAL_TEXT, SLICE("I plan."));
    }
    body_calls(telling, chance);
    json_close(writer, '}');
    write_end(writer, finish);
    json_close(writer, '}');
}

static void some_response(struct telling *telling, uint64_t *chance)
{
    static const struct {
        const char *word;
        enum neutral_finish finish;
    } finishes[] = {{"COMPLETE", NEUTRAL_STOP}, {"MAX_TOKENS", NEUTRAL_LENGTH},
        {"STOP_SEQUENCE", NEUTRAL_STOP_SEQUENCE}};
    struct sequence *sequence = &telling->sequence;
    size_t end = next(chance) % COUNT_OF(finishes);
    sequence_start(sequence, SLICE("id"), SLICE_NONE, 0);
    if (telling->is_streamed)
        stream_response(telling, chance, finishes[end].word);
    else
        body_response(telling, chance, finishes[end].word);
    struct neutral_usage usage = {.counts = {507, 10, 448, -1, 517}, .cache_write = -1};
    sequence_usage(sequence, &usage);
    sequence_finish(sequence, finishes[end].finish, SLICE_NONE);
    sequence_done(sequence);
    assert_int_equal(sequence->err, ERR_OK);
    assert_int_equal(telling->writer.err, ERR_OK);
}

static void telling_init(struct telling *telling, bool is_streamed, uint64_t seed)
{
    uint64_t chance = seed * 0x9e3779b97f4a7c15u | 1;
    *telling = (struct telling){.is_streamed = is_streamed};
    buf_init(&telling->chunks, OUT_BYTES_MAX);
    sequence_init(&telling->sequence, &context);
    some_response(telling, &chance);
}

static void telling_deinit(struct telling *telling)
{
    buf_deinit(&telling->chunks);
    sequence_deinit(&telling->sequence);
}

/* ---- both, in a caller's dialect ---- */

static void write_directly(
    const struct codec *caller, const struct telling *telling, struct buf *out)
{
    CLEANUP(fold_deinit) struct fold fold;
    uint8_t state[512] = {0};
    assert_true(caller->response->writer_bytes <= sizeof state);
    fold_init(&fold, telling->is_streamed ? caller->response->fold : FOLD_EVERYTHING);
    for (size_t i = 0; i < telling->sequence.count; i++) {
        assert_int_equal(fold_event(&fold, &telling->sequence.events[i]), ERR_OK);
        if (telling->is_streamed)
            assert_int_equal(caller->response->write_event(
                                 state, &telling->sequence.events[i], &context, &fold, out),
                ERR_OK);
    }
    if (!telling->is_streamed)
        assert_int_equal(caller->response->write_body(&context, &fold, out), ERR_OK);
}

static void write_translated(
    const struct codec *caller, const struct telling *telling, struct buf *out)
{
    struct translation *translation;
    struct sse_splitter splitter = {0};
    struct slice rest = buf_slice(&telling->chunks);
    size_t end;
    int status = 200;
    assert_int_equal(translation_new(named("cohere"), caller, &context, &translation), ERR_OK);
    while (telling->is_streamed && sse_split(&splitter, rest, &end) == ERR_OK) {
        assert_int_equal(translation_event(translation, slice_sub(rest, 0, end), out), ERR_OK);
        rest = slice_sub(rest, end, rest.size);
    }
    if (telling->is_streamed)
        assert_int_equal(translation_end(translation, out), ERR_OK);
    else
        assert_int_equal(translation_body(translation, rest, out, &status), ERR_OK);
    assert_int_equal(status, 200);
    (void)translation_free(translation);
}

static void check(const char *caller, bool is_streamed, uint64_t seed)
{
    CLEANUP(telling_deinit) struct telling telling;
    CLEANUP(buf_deinit) struct buf direct, translated;
    buf_init(&direct, OUT_BYTES_MAX);
    buf_init(&translated, OUT_BYTES_MAX);
    telling_init(&telling, is_streamed, seed);
    write_directly(named(caller), &telling, &direct);
    write_translated(named(caller), &telling, &translated);
    if (!slice_equal(buf_slice(&direct), buf_slice(&translated)))
        fail_msg("%s, seed %llu\n%.*s\n%.*s\n%.*s", caller, (unsigned long long)seed,
            SLICE_PRINT(buf_slice(&telling.chunks)), SLICE_PRINT(buf_slice(&direct)),
            SLICE_PRINT(buf_slice(&translated)));
}

static void test_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        for (uint64_t seed = 1; seed <= CASES; seed++)
            check(callers[i], true, seed);
}

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        for (uint64_t seed = 1; seed <= CASES; seed++)
            check(callers[i], false, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
