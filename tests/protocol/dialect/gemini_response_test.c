/* gemini_response — random responses, told as Gemini tells them, streamed and whole: each dialect of
 * callers hears the same, byte for byte, as if the neutral events had been written in it directly.
 * (Gemini has no way back to a response: callers do not speak it.)
 *
 * The generator writes the chunk and the events side by side. */
#include "protocol/dialect/translate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/own.h"
#include "protocol/dialect/codec.h"
#include "protocol/dialect/gemini.h"
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

/* Both tellings: Gemini's chunks (or the parts of its body), and the events. */
struct telling {
    struct json_writer writer;
    struct buf chunks;
    struct sequence sequence;
    bool is_streamed;
    int64_t output; /* running */
};

static void open_chunk(struct telling *telling)
{
    struct json_writer *writer = &telling->writer;
    codec_open_event(writer, &telling->chunks, NULL);
    if (!telling->is_streamed) { /* a body is the chunk without its frame */
        buf_clear(&telling->chunks);
        json_writer_init(writer, &telling->chunks);
        json_open(writer, '{');
    }
    codec_member(writer, "responseId", SLICE("id"));
    codec_member(writer, "modelVersion", SLICE("their-model"));
    json_key(writer, "candidates");
    json_open(writer, '[');
    json_open(writer, '{');
    json_key(writer, "content");
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("model"));
    json_key(writer, "parts");
    json_open(writer, '[');
}

static void close_chunk(struct telling *telling, const char *finish)
{
    struct json_writer *writer = &telling->writer;
    json_close(writer, ']');
    json_close(writer, '}');
    if (finish)
        codec_member(writer, "finishReason", slice_text(finish));
    json_close(writer, '}');
    json_close(writer, ']');
    json_key(writer, "usageMetadata");
    json_open(writer, '{');
    codec_count_member(writer, "promptTokenCount", 100);
    codec_count_member(writer, "cachedContentTokenCount", 40);
    codec_count_member(writer, "candidatesTokenCount", telling->output);
    codec_count_member(writer, "thoughtsTokenCount", 7);
    codec_count_member(writer, "totalTokenCount", 107 + telling->output);
    json_close(writer, '}');
    if (telling->is_streamed)
        codec_close_event(writer);
    else
        json_close(writer, '}');
    assert_int_equal(writer->err, ERR_OK);
}

/* A chunk of its own, now and then. */
static void maybe_cut(struct telling *telling, uint64_t *chance)
{
    if (!telling->is_streamed || one_in(chance, 2))
        return;
    telling->output += 3;
    close_chunk(telling, NULL);
    open_chunk(telling);
}

static void close_reasoning(struct sequence *sequence)
{
    if (sequence->is_open && sequence->open == NEUTRAL_REASONING)
        sequence_close(sequence);
}

static void some_text(struct telling *telling, uint64_t *chance, bool is_thought)
{
    struct json_writer *writer = &telling->writer;
    struct slice text = slice_text(PICK(chance, texts));
    json_open(writer, '{');
    codec_member(writer, "text", text);
    if (is_thought) {
        json_key(writer, "thought");
        json_boolean(writer, true);
    }
    sequence_text(&telling->sequence, is_thought ? NEUTRAL_REASONING : NEUTRAL_TEXT, text);
    if (is_thought && one_in(chance, 4)) {
        codec_member(writer, "thoughtSignature", SLICE("EsEC+/=="));
        sequence_seal(
            &telling->sequence, SLICE(NEUTRAL_FORMAT_GEMINI), SLICE_NONE, SLICE("EsEC+/=="));
        close_reasoning(&telling->sequence);
    } else if (!is_thought && one_in(chance, 4)) {
        codec_member(writer, "thoughtSignature", SLICE("EmwK"));
        sequence_redacted(
            &telling->sequence, SLICE(NEUTRAL_FORMAT_GEMINI), SLICE_NONE, SLICE("EmwK"));
    }
    json_close(writer, '}');
}

static void some_call(struct telling *telling, uint64_t *chance)
{
    struct json_writer *writer = &telling->writer;
    struct sequence *sequence = &telling->sequence;
    struct slice id = one_in(chance, 2) ? SLICE("fc_1") : SLICE_NONE;
    struct slice name = slice_text(one_in(chance, 2) ? "weather" : "clock.now");
    struct slice input = one_in(chance, 4) ? SLICE_NONE : slice_text(PICK(chance, arguments));
    json_open(writer, '{');
    json_key(writer, "functionCall");
    json_open(writer, '{');
    if (id.size)
        codec_member(writer, "id", id);
    else
        id = sequence_call_id(sequence);
    codec_member(writer, "name", name);
    codec_raw_member(writer, "args", input);
    json_close(writer, '}');
    if (one_in(chance, 2)) {
        codec_member(writer, "thoughtSignature", SLICE("AY89"));
        if (sequence->is_open && sequence->open == NEUTRAL_REASONING)
            sequence_seal(sequence, SLICE(NEUTRAL_FORMAT_GEMINI), id, SLICE("AY89"));
        else
            sequence_redacted(sequence, SLICE(NEUTRAL_FORMAT_GEMINI), id, SLICE("AY89"));
    }
    json_close(writer, '}');
    sequence_tool_call(sequence, id, name);
    sequence_arguments(sequence, input);
}

static void some_response(struct telling *telling, uint64_t *chance)
{
    static const struct {
        const char *word;
        enum neutral_finish finish;
    } finishes[] = {
        {"STOP", NEUTRAL_STOP}, {"MAX_TOKENS", NEUTRAL_LENGTH}, {"SAFETY", NEUTRAL_CONTENT_FILTER}};
    struct sequence *sequence = &telling->sequence;
    size_t end = next(chance) % COUNT_OF(finishes);
    open_chunk(telling);
    sequence_start(sequence, SLICE("id"), SLICE("their-model"), 0);
    for (uint64_t i = next(chance) % PARTS_MAX; i > 0; i--) {
        if (one_in(chance, 3))
            some_call(telling, chance);
        else
            some_text(telling, chance, one_in(chance, 2));
        maybe_cut(telling, chance);
    }
    telling->output += 5;
    close_chunk(telling, finishes[end].word);
    sequence_finish(sequence, finishes[end].finish, SLICE_NONE);
    struct neutral_usage usage = {
        .counts = {100, telling->output + 7, 40, 7, 107 + telling->output}, .cache_write = -1};
    sequence_usage(sequence, &usage);
    sequence_done(sequence);
    assert_int_equal(sequence->err, ERR_OK);
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
    assert_int_equal(translation_new(named("gemini"), caller, &context, &translation), ERR_OK);
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

/* A transfer that ends before the finish reason gives no terminator, however cleanly it ended. */
static void test_a_clean_end_without_a_finish(void **state)
{
    static const char frame[] =
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n";
    (void)state;
    for (size_t i = 0; i < COUNT_OF(callers); i++) {
        CLEANUP(buf_deinit) struct buf out;
        struct translation *translation;
        buf_init(&out, OUT_BYTES_MAX);
        assert_int_equal(
            translation_new(named("gemini"), named(callers[i]), &context, &translation), ERR_OK);
        assert_int_equal(translation_event(translation, slice_text(frame), &out), ERR_OK);
        size_t size = out.size;
        assert_int_equal(translation_end(translation, &out), ERR_OK);
        assert_int_equal(out.size, size);
        (void)translation_free(translation);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_a_clean_end_without_a_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
