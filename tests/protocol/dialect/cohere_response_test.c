/* cohere_response — retold (retelling.h): a response as Cohere tells it, in named events or as a
 * whole. */
#include "tests/protocol/dialect/retelling.h"

#include <string.h>

/* ---- a response, told twice ---- */

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

static const struct provider cohere = {"cohere", some_response};

static void test_streams(void **state)
{
    (void)state;
    check_all(&cohere, true);
}

static void test_bodies(void **state)
{
    (void)state;
    check_all(&cohere, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
