/* ollama_response — retold (retelling.h): a response as Ollama tells it, in lines or as a whole, which
 * is a last line that holds everything. */
#include "tests/protocol/dialect/retelling.h"

/* ---- a response, told twice ---- */

static void open_message(struct telling *telling)
{
    struct json_writer *writer = &telling->writer;
    json_writer_init(writer, &telling->chunks);
    json_open(writer, '{');
    codec_member(writer, "model", SLICE("llama3.2"));
    codec_member(writer, "created_at", SLICE("2025-07-07T20:22:19.184789Z"));
    json_key(writer, "message");
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("assistant"));
}

static void close_line(struct telling *telling)
{
    json_close(&telling->writer, '}');
    json_key(&telling->writer, "done");
    json_boolean(&telling->writer, false);
    json_close(&telling->writer, '}');
    assert_int_equal(buf_append_byte(&telling->chunks, '\n'), ERR_OK);
    assert_int_equal(telling->writer.err, ERR_OK);
}

/* One thought and one text, either of which may be missing. */
static void tell_words(struct telling *telling, uint64_t *chance)
{
    struct slice thought = one_in(chance, 2) ? SLICE_NONE : slice_text(PICK(chance, texts));
    struct slice text = one_in(chance, 3) ? SLICE_NONE : slice_text(PICK(chance, texts));
    codec_member(&telling->writer, "content", text);
    if (thought.size)
        codec_member(&telling->writer, "thinking", thought);
    sequence_text(&telling->sequence, NEUTRAL_REASONING, thought);
    sequence_text(&telling->sequence, NEUTRAL_TEXT, text);
}

static void tell_call(struct telling *telling, uint64_t *chance)
{
    struct json_writer *writer = &telling->writer;
    struct slice input = slice_text(PICK(chance, arguments));
    struct slice id = one_in(chance, 2) ? SLICE_NONE : SLICE("call_k2x8fa0z");
    json_open(writer, '{');
    if (id.size)
        codec_member(writer, "id", id);
    json_key(writer, "function");
    json_open(writer, '{');
    codec_member(writer, "name", SLICE("weather"));
    codec_raw_member(writer, "arguments", input);
    json_close(writer, '}');
    json_close(writer, '}');
    sequence_tool_call(&telling->sequence, id, SLICE("weather"));
    sequence_arguments(&telling->sequence, input);
    sequence_close(&telling->sequence);
}

static void tell_calls(struct telling *telling, uint64_t *chance)
{
    json_key(&telling->writer, "tool_calls");
    json_open(&telling->writer, '[');
    for (uint64_t i = next(chance) % 3; i > 0; i--)
        tell_call(telling, chance);
    json_close(&telling->writer, ']');
}

static void tell_end(struct telling *telling, const char *reason)
{
    struct json_writer *writer = &telling->writer;
    json_close(writer, '}');
    codec_true_member(writer, "done");
    codec_member(writer, "done_reason", slice_text(reason));
    json_key(writer, "prompt_eval_count");
    json_integer(writer, 169);
    json_key(writer, "eval_count");
    json_integer(writer, 15);
    json_close(writer, '}');
    assert_int_equal(buf_append_byte(&telling->chunks, '\n'), ERR_OK);
}

static void some_response(struct telling *telling, uint64_t *chance)
{
    struct sequence *sequence = &telling->sequence;
    bool is_long = one_in(chance, 2);
    sequence_start(sequence, SLICE_NONE, SLICE("llama3.2"), 0);
    for (uint64_t i = telling->is_streamed ? next(chance) % PARTS_MAX : 0; i > 0; i--) {
        open_message(telling);
        tell_words(telling, chance);
        if (one_in(chance, 4))
            tell_calls(telling, chance);
        close_line(telling);
    }
    open_message(telling);
    tell_words(telling, chance);
    if (!telling->is_streamed)
        tell_calls(telling, chance);
    tell_end(telling, is_long ? "length" : "stop");
    struct neutral_usage usage = {.counts = {169, 15, -1, -1, -1}, .cache_write = -1};
    sequence_usage(sequence, &usage);
    sequence_finish(sequence, is_long ? NEUTRAL_LENGTH : NEUTRAL_STOP, SLICE_NONE);
    sequence_done(sequence);
    assert_int_equal(sequence->err, ERR_OK);
    assert_int_equal(telling->writer.err, ERR_OK);
}

static const struct provider ollama = {"ollama", some_response};

static void test_streams(void **state)
{
    (void)state;
    check_all(&ollama, true);
}

static void test_bodies(void **state)
{
    (void)state;
    check_all(&ollama, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
