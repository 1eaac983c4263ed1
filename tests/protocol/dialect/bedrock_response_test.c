/* bedrock_response — retold (retelling.h): a response as Bedrock tells it, in binary messages or as a
 * whole. */
#include "tests/protocol/dialect/retelling.h"

#include "protocol/dialect/bedrock.h"
#include "tests/protocol/dialect/messages.h"

static const struct slice format = {
    (const uint8_t *)NEUTRAL_FORMAT_BEDROCK, sizeof NEUTRAL_FORMAT_BEDROCK - 1};

/* ---- pieces of a stream ---- */

struct message {
    struct json_writer writer;
    struct buf payload;
};

static void message_begin(struct message *message, int64_t block)
{
    buf_init(&message->payload, OUT_BYTES_MAX);
    json_writer_init(&message->writer, &message->payload);
    json_open(&message->writer, '{');
    if (block < 0)
        return;
    json_key(&message->writer, "contentBlockIndex");
    json_integer(&message->writer, block);
}

static void message_end(struct message *message, const char *name, struct telling *telling)
{
    json_close(&message->writer, '}');
    assert_int_equal(message->writer.err, ERR_OK);
    messages_put(&telling->chunks, slice_text(name), buf_slice(&message->payload));
    buf_deinit(&message->payload);
}

/* {"delta": {…}}, in which up to two names lead to the text. */
static void tell_delta(
    struct telling *telling, int64_t block, const char *outer, const char *inner, struct slice text)
{
    struct message message;
    struct json_writer *writer = &message.writer;
    message_begin(&message, block);
    json_key(writer, "delta");
    json_open(writer, '{');
    if (outer) {
        json_key(writer, outer);
        json_open(writer, '{');
    }
    codec_member(writer, inner, text);
    if (outer)
        json_close(writer, '}');
    json_close(writer, '}');
    message_end(&message, "contentBlockDelta", telling);
}

static void stop_block(struct telling *telling, int64_t block)
{
    struct message message;
    message_begin(&message, block);
    message_end(&message, "contentBlockStop", telling);
}

static void start_call(struct telling *telling, int64_t block)
{
    struct message message;
    struct json_writer *writer = &message.writer;
    message_begin(&message, block);
    json_key(writer, "start");
    json_open(writer, '{');
    json_key(writer, "toolUse");
    json_open(writer, '{');
    codec_member(writer, "toolUseId", SLICE("tooluse_kZJM"));
    codec_member(writer, "name", SLICE("weather"));
    json_close(writer, '}');
    json_close(writer, '}');
    message_end(&message, "contentBlockStart", telling);
}

/* ---- blocks, either way ---- */

static void open_block(struct telling *telling, const char *name)
{
    json_open(&telling->writer, '{');
    json_key(&telling->writer, name);
}

static void tell_text(struct telling *telling, int64_t block, struct slice text)
{
    if (telling->is_streamed) {
        tell_delta(telling, block, NULL, "text", text);
        stop_block(telling, block);
    } else {
        open_block(telling, "text");
        json_string(&telling->writer, text);
        json_close(&telling->writer, '}');
    }
    sequence_text(&telling->sequence, NEUTRAL_TEXT, text);
    sequence_close(&telling->sequence);
}

static void tell_thought(struct telling *telling, int64_t block, struct slice text)
{
    if (telling->is_streamed) {
        tell_delta(telling, block, "reasoningContent", "text", text);
        tell_delta(telling, block, "reasoningContent", "signature", SLICE("Ep0CCk=="));
        stop_block(telling, block);
    } else {
        open_block(telling, "reasoningContent");
        json_open(&telling->writer, '{');
        json_key(&telling->writer, "reasoningText");
        json_open(&telling->writer, '{');
        codec_member(&telling->writer, "text", text);
        codec_member(&telling->writer, "signature", SLICE("Ep0CCk=="));
        for (int i = 0; i < 3; i++)
            json_close(&telling->writer, '}');
    }
    sequence_text(&telling->sequence, NEUTRAL_REASONING, text);
    sequence_seal(&telling->sequence, format, SLICE_NONE, SLICE("Ep0CCk=="));
    sequence_close(&telling->sequence);
}

static void tell_call(struct telling *telling, int64_t block, struct slice input)
{
    sequence_tool_call(&telling->sequence, SLICE("tooluse_kZJM"), SLICE("weather"));
    if (telling->is_streamed) {
        start_call(telling, block);
        size_t half = input.size / 2;
        for (int i = 0; i < 2; i++) {
            struct slice piece = i ? slice_sub(input, half, input.size) : slice_sub(input, 0, half);
            tell_delta(telling, block, "toolUse", "input", piece);
            sequence_arguments(&telling->sequence, piece);
        }
        stop_block(telling, block);
    } else {
        open_block(telling, "toolUse");
        json_open(&telling->writer, '{');
        codec_member(&telling->writer, "toolUseId", SLICE("tooluse_kZJM"));
        codec_member(&telling->writer, "name", SLICE("weather"));
        codec_raw_member(&telling->writer, "input", input);
        json_close(&telling->writer, '}');
        json_close(&telling->writer, '}');
        sequence_arguments(&telling->sequence, input);
    }
    sequence_close(&telling->sequence);
}

static void tell_blocks(struct telling *telling, uint64_t *chance)
{
    int64_t blocks = (int64_t)(next(chance) % PARTS_MAX);
    for (int64_t block = 0; block < blocks; block++)
        switch (next(chance) % 3) {
        case 0: tell_text(telling, block, slice_text(PICK(chance, texts))); break;
        case 1: tell_thought(telling, block, slice_text(PICK(chance, texts))); break;
        default: tell_call(telling, block, slice_text(PICK(chance, arguments)));
        }
}

/* ---- a response ---- */

static void tell_usage(struct json_writer *writer)
{
    json_key(writer, "usage");
    json_open(writer, '{');
    static const char *const names[] = {"inputTokens", "outputTokens", "totalTokens",
        "cacheReadInputTokens", "cacheWriteInputTokens"};
    static const int64_t counts[] = {125, 45, 1198, 1024, 4};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        codec_count_member(writer, names[i], counts[i]);
    json_close(writer, '}');
}

static void tell_streamed(struct telling *telling, uint64_t *chance, struct slice reason)
{
    struct message message;
    message_begin(&message, -1);
    codec_member(&message.writer, "role", SLICE("assistant"));
    message_end(&message, "messageStart", telling);
    tell_blocks(telling, chance);
    message_begin(&message, -1);
    codec_member(&message.writer, "stopReason", reason);
    message_end(&message, "messageStop", telling);
    message_begin(&message, -1);
    tell_usage(&message.writer);
    message_end(&message, "metadata", telling);
}

static void tell_whole(struct telling *telling, uint64_t *chance, struct slice reason)
{
    struct json_writer *writer = &telling->writer;
    json_writer_init(writer, &telling->chunks);
    json_open(writer, '{');
    json_key(writer, "output");
    json_open(writer, '{');
    json_key(writer, "message");
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("assistant"));
    json_key(writer, "content");
    json_open(writer, '[');
    tell_blocks(telling, chance);
    json_close(writer, ']');
    json_close(writer, '}');
    json_close(writer, '}');
    codec_member(writer, "stopReason", reason);
    tell_usage(writer);
    json_close(writer, '}');
    assert_int_equal(writer->err, ERR_OK);
}

static void some_response(struct telling *telling, uint64_t *chance)
{
    struct sequence *sequence = &telling->sequence;
    bool is_long = one_in(chance, 2);
    struct slice reason = is_long ? SLICE("max_tokens") : SLICE("end_turn");
    sequence_start(sequence, SLICE_NONE, SLICE_NONE, 0);
    if (telling->is_streamed)
        tell_streamed(telling, chance, reason);
    else
        tell_whole(telling, chance, reason);
    struct neutral_usage usage = {.counts = {125 + 1024 + 4, 45, 1024, -1, 1198}, .cache_write = 4};
    sequence_finish(sequence, is_long ? NEUTRAL_LENGTH : NEUTRAL_STOP, SLICE_NONE);
    sequence_usage(sequence, &usage);
    sequence_done(sequence);
    assert_int_equal(sequence->err, ERR_OK);
}

static const struct provider bedrock = {"bedrock", some_response};

static void test_streams(void **state)
{
    (void)state;
    check_all(&bedrock, true);
}

static void test_bodies(void **state)
{
    (void)state;
    check_all(&bedrock, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
