/* bedrock_response — the messages of ConverseStream, read; and the whole body of Converse.
 *
 *     messageStart                                                                    START
 *     contentBlockStart  {"start": {"toolUse": {"toolUseId", "name"}}}                BEGIN
 *     contentBlockDelta  {"delta": {"text"} | {"toolUse": {"input"}} |                DELTA
 *                         {"reasoningContent": {"text"} | {"signature"} |             DELTA SEAL
 *                                              {"redactedContent"}}}
 *     contentBlockStop                                                                END
 *     messageStop        {"stopReason"}                                               FINISH
 *     metadata           {"usage"}                                                    USAGE
 *     an exception       {"message"}                                                  ERROR
 *
 * DONE once both messageStop and metadata came, or the transfer ended after the former.
 *
 *   source  bedrock.h */
#include "protocol/dialect/bedrock.h"
#include "protocol/dialect/walk.h"

extern const struct codec_response bedrock_response;

enum { STATUS_BROKEN = 502 };

struct bedrock_reader {
    bool has_stopped, has_metadata;
};

/* ---- parts ---- */

static void read_tool_use(struct json_span use, struct sequence *out)
{
    static const char *const names[] = {"toolUseId", "name"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(use, names, COUNT_OF(names), spans);
    sequence_tool_call(out, codec_text(spans[0], out), codec_text(spans[1], out));
}

static void read_start(struct json_span payload, struct sequence *out)
{
    static const char *const start_names[] = {"start"}, *const names[] = {"toolUse"};
    struct json_span start, use;
    codec_scan(payload, start_names, 1, &start);
    codec_scan(start, names, 1, &use);
    if (use.raw.size)
        read_tool_use(use, out);
    else if (codec_has_items(start))
        sequence_cannot(out, "a content block that starts as", start.raw);
}

/* Of a stream a piece, of a body the whole: the latter has its text in reasoningText. */
static void read_reasoning(struct json_span reasoning, struct sequence *out)
{
    static const char *const names[] = {"text", "signature", "redactedContent", "reasoningText"};
    const struct slice format = SLICE(NEUTRAL_FORMAT_BEDROCK);
    struct json_span spans[COUNT_OF(names)];
    codec_scan(reasoning, names, COUNT_OF(names), spans);
    if (spans[3].raw.size)
        codec_scan(spans[3], names, COUNT_OF(names), spans);
    struct slice seal = codec_text(spans[1], out), redacted = codec_text(spans[2], out);
    sequence_text(out, NEUTRAL_REASONING, codec_text(spans[0], out));
    if (seal.size)
        sequence_seal(out, format, SLICE_NONE, seal);
    if (redacted.size)
        sequence_redacted(out, format, SLICE_NONE, redacted);
}

static void read_input(struct json_span use, struct sequence *out)
{
    static const char *const names[] = {"input"};
    struct json_span input;
    codec_scan(use, names, 1, &input);
    if (out->is_open && out->open == NEUTRAL_TOOL_CALL)
        sequence_arguments(out, codec_text(input, out));
    else if (codec_text(input, out).size)
        sequence_cannot(out, "pieces of a call", SLICE("that is over"));
}

static void read_delta(struct json_span payload, struct sequence *out)
{
    static const char *const delta_names[] = {"delta"};
    static const char *const names[] = {"text", "toolUse", "reasoningContent"};
    struct json_span delta, spans[COUNT_OF(names)];
    codec_scan(payload, delta_names, 1, &delta);
    codec_scan(delta, names, COUNT_OF(names), spans);
    if (spans[0].raw.size)
        sequence_text(out, NEUTRAL_TEXT, codec_text(spans[0], out));
    else if (spans[1].raw.size)
        read_input(spans[1], out);
    else if (spans[2].raw.size)
        read_reasoning(spans[2], out);
    else if (codec_has_items(delta))
        sequence_cannot(out, "a piece of content such as", delta.raw);
}

/* ---- ends ---- */

static const struct {
    const char *word;
    enum neutral_finish finish;
} finishes[] = {
    {"end_turn", NEUTRAL_STOP},
    {"stop_sequence", NEUTRAL_STOP_SEQUENCE},
    {"max_tokens", NEUTRAL_LENGTH},
    {"model_context_window_exceeded", NEUTRAL_LENGTH},
    {"tool_use", NEUTRAL_TOOL_CALLS},
    {"guardrail_intervened", NEUTRAL_CONTENT_FILTER},
    {"content_filtered", NEUTRAL_CONTENT_FILTER},
};

static void read_stop(struct json_span payload, struct sequence *out)
{
    static const char *const names[] = {"stopReason"};
    struct json_span reason;
    codec_scan(payload, names, 1, &reason);
    struct slice word = codec_text(reason, out);
    for (size_t i = 0; i < COUNT_OF(finishes); i++)
        if (slice_equal(word, slice_text(finishes[i].word))) {
            sequence_finish(out, finishes[i].finish, SLICE_NONE);
            return;
        }
    sequence_cannot(out, "an end for the reason", word);
}

static void read_metadata(struct json_span payload, struct sequence *out)
{
    static const char *const names[] = {"usage"};
    struct json_span span;
    codec_scan(payload, names, 1, &span);
    struct neutral_usage usage = bedrock_usage(span);
    sequence_usage(out, &usage);
}

static void read_exception(const struct event_stream_message *message, struct sequence *out)
{
    static const char *const names[] = {"message"};
    struct json_span said = {0};
    if (codec_is_object(message->payload))
        codec_scan((struct json_span){JSON_OBJECT, message->payload}, names, 1, &said);
    struct slice text = said.raw.size ? codec_text(said, out) : message->text;
    sequence_error(out, bedrock_status(message->name), message->name, text);
}

/* ---- messages ---- */

static void read_event(struct bedrock_reader *reader, struct slice name, struct json_span payload,
    struct sequence *out)
{
    if (slice_equal(name, SLICE("messageStart"))) {
        sequence_start(out, SLICE_NONE, SLICE_NONE, 0);
    } else if (slice_equal(name, SLICE("contentBlockStart"))) {
        read_start(payload, out);
    } else if (slice_equal(name, SLICE("contentBlockDelta"))) {
        read_delta(payload, out);
    } else if (slice_equal(name, SLICE("contentBlockStop"))) {
        sequence_close(out);
    } else if (slice_equal(name, SLICE("messageStop"))) {
        read_stop(payload, out);
        reader->has_stopped = true;
    } else if (slice_equal(name, SLICE("metadata"))) {
        read_metadata(payload, out);
        reader->has_metadata = true;
    } else {
        sequence_cannot(out, "an event of type", name);
    }
}

static void bedrock_read_event(void *state, struct slice frame, struct sequence *out)
{
    struct bedrock_reader *reader = state;
    struct event_stream_message message;
    if (event_stream_read(frame, &message) != ERR_OK)
        sequence_error(out, STATUS_BROKEN, SLICE_NONE, SLICE("a message of the stream is broken"));
    else if (!event_stream_is_event(&message))
        read_exception(&message, out);
    else if (!codec_is_object(message.payload))
        sequence_cannot(out, "an event that is", SLICE("broken JSON"));
    else
        read_event(reader, message.name, (struct json_span){JSON_OBJECT, message.payload}, out);
    if (reader->has_stopped && reader->has_metadata)
        sequence_done(out);
}

static void bedrock_read_end(void *state, struct sequence *out)
{
    const struct bedrock_reader *reader = state;
    if (reader->has_stopped)
        sequence_done(out);
}

/* ---- a whole body ---- */

static void read_body_call(struct json_span use, struct sequence *out)
{
    static const char *const names[] = {"input"};
    struct json_span input;
    read_tool_use(use, out);
    codec_scan(use, names, 1, &input);
    sequence_arguments(out, input.raw);
    sequence_close(out);
}

static void read_block(struct json_span block, size_t position, void *into)
{
    static const char *const names[] = {"text", "toolUse", "reasoningContent"};
    struct json_span spans[COUNT_OF(names)];
    struct sequence *out = into;
    (void)position;
    codec_scan(block, names, COUNT_OF(names), spans);
    sequence_close(out);
    if (spans[0].raw.size)
        sequence_text(out, NEUTRAL_TEXT, codec_text(spans[0], out));
    else if (spans[1].raw.size)
        read_body_call(spans[1], out);
    else if (spans[2].raw.size)
        read_reasoning(spans[2], out);
    else if (codec_has_items(block))
        sequence_cannot(out, "a content block such as", block.raw);
}

static void bedrock_read_body(struct slice body, struct sequence *out)
{
    static const char *const names[] = {"output"}, *const message_names[] = {"message"},
                             *const content_names[] = {"content"};
    const struct json_span whole = {JSON_OBJECT, body};
    struct json_span output, message, content;
    codec_scan(whole, names, 1, &output);
    codec_scan(output, message_names, 1, &message);
    codec_scan(message, content_names, 1, &content);
    if (message.raw.size == 0)
        return;
    sequence_start(out, SLICE_NONE, SLICE_NONE, 0);
    codec_each(content, read_block, out);
    read_metadata(whole, out);
    read_stop(whole, out);
    sequence_done(out);
}

const struct codec_response bedrock_response = {
    .framing = FRAMING_EVENT_STREAM,
    .content_type = "application/vnd.amazon.eventstream",
    .reader_bytes = sizeof(struct bedrock_reader),
    .read_event = bedrock_read_event,
    .read_end = bedrock_read_end,
    .read_body = bedrock_read_body,
};
