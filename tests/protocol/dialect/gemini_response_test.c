/* gemini_response — retold (retelling.h): a response as Gemini tells it, in chunks or as a whole, each
 * of them a GenerateContentResponse. */
#include "tests/protocol/dialect/retelling.h"

#include "protocol/dialect/gemini.h"

/* ---- a response, told twice ---- */

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

static const struct provider gemini = {"gemini", some_response};

static void test_streams(void **state)
{
    (void)state;
    check_all(&gemini, true);
}

static void test_bodies(void **state)
{
    (void)state;
    check_all(&gemini, false);
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
