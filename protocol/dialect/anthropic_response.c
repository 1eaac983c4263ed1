/* anthropic_response — the events of the Messages API, read and written; and the whole body.
 *
 *     message_start        {"message": {"id","model","content":[],"usage":{…}}}       START USAGE
 *     content_block_start  {"index","content_block":{"type":"text" | "thinking" | "tool_use" |
 *                           "redacted_thinking", …}}                                  BEGIN
 *     content_block_delta  {"index","delta":{"type":"text_delta" | "thinking_delta" |
 *                           "input_json_delta" | "signature_delta", …}}               DELTA, SEAL
 *     content_block_stop   {"index"}                                                  END
 *     message_delta        {"delta":{"stop_reason","stop_sequence"},"usage":{…}}      FINISH USAGE
 *     message_stop         {}                                                         DONE
 *     ping · error         {"error":{"type","message"}}                               – · ERROR
 *
 * Input that was read from or written to a cache is counted apart from input_tokens on the wire,
 * and in `input` here. When another provider answers, the counts are known at the end only:
 * message_start says 0, message_delta has them all.
 *
 *   source  anthropic-sdk-python tests/lib/streaming/fixtures and src/anthropic/types at 009b0353
 *           (2026-08-07); vercel/ai packages/anthropic/src/__fixtures__ at 348a5267 */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"

extern const struct codec_response anthropic_response;

/* ---- reading ---- */

static void read_usage(struct json_span usage, struct sequence *out)
{
    static const char *const names[] = {"input_tokens", "cache_read_input_tokens",
        "cache_creation_input_tokens", "output_tokens", "output_tokens_details"};
    static const char *const detail_names[] = {"thinking_tokens"};
    struct json_span spans[COUNT_OF(names)], details[1];
    codec_scan(usage, names, COUNT_OF(names), spans);
    codec_scan(spans[4], detail_names, 1, details);
    int64_t fresh = codec_count(spans[0]), read = codec_count(spans[1]);
    int64_t written = codec_count(spans[2]);
    struct neutral_usage counts = NEUTRAL_USAGE_UNKNOWN;
    if (fresh >= 0)
        counts.counts.input = fresh + (read > 0 ? read : 0) + (written > 0 ? written : 0);
    counts.counts.cached = read;
    counts.cache_write = written;
    counts.counts.output = codec_count(spans[3]);
    counts.counts.reasoning = codec_count(details[0]);
    sequence_usage(out, &counts);
}

static void read_start(struct json_span message, struct sequence *out)
{
    static const char *const names[] = {"id", "model", "usage"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(message, names, COUNT_OF(names), spans);
    sequence_start(out, codec_text(spans[0], out), codec_text(spans[1], out), 0);
    read_usage(spans[2], out);
}

static void read_seal(struct json_span span, bool is_redacted, struct sequence *out)
{
    struct slice format, id, opaque;
    neutral_seal_read(codec_text(span, out), NEUTRAL_FORMAT_ANTHROPIC, &format, &id, &opaque);
    if (is_redacted)
        sequence_redacted(out, format, id, opaque);
    else
        sequence_seal(out, format, id, opaque);
}

/* A block as it begins in a stream, or whole in a body. The input of a call that is streamed is {}
 * at first: its pieces follow. */
static void read_block(struct json_span block, bool is_whole, struct sequence *out)
{
    static const char *const names[] = {
        "type", "text", "thinking", "signature", "data", "id", "name", "input"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(block, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("text"))) {
        sequence_open(out, NEUTRAL_TEXT);
        sequence_text(out, NEUTRAL_TEXT, codec_text(spans[1], out));
    } else if (slice_equal(type, SLICE("thinking"))) {
        sequence_open(out, NEUTRAL_REASONING);
        sequence_text(out, NEUTRAL_REASONING, codec_text(spans[2], out));
        read_seal(spans[3], false, out);
    } else if (slice_equal(type, SLICE("redacted_thinking"))) {
        read_seal(spans[4], true, out);
    } else if (slice_equal(type, SLICE("tool_use"))) {
        sequence_tool_call(out, codec_text(spans[5], out), codec_text(spans[6], out));
        bool is_empty = !codec_has_items(spans[7]);
        if (is_whole || !is_empty)
            sequence_arguments(out, spans[7].raw);
    } else {
        sequence_cannot(out, "a content block of type", type);
    }
}

static void read_delta(struct json_span delta, struct sequence *out)
{
    static const char *const names[] = {"type", "text", "thinking", "partial_json", "signature"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(delta, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("text_delta")))
        sequence_text(out, NEUTRAL_TEXT, codec_text(spans[1], out));
    else if (slice_equal(type, SLICE("thinking_delta")))
        sequence_text(out, NEUTRAL_REASONING, codec_text(spans[2], out));
    else if (slice_equal(type, SLICE("input_json_delta")))
        sequence_arguments(out, codec_text(spans[3], out));
    else if (slice_equal(type, SLICE("signature_delta")))
        read_seal(spans[4], false, out);
    else
        sequence_cannot(out, "a delta of type", type);
}

static void read_stop_reason(struct json_span reason, struct json_span stop, struct sequence *out)
{
    static const struct {
        const char *word;
        enum neutral_finish finish;
    } finishes[] = {
        {"end_turn", NEUTRAL_STOP}, {"stop_sequence", NEUTRAL_STOP_SEQUENCE},
        {"max_tokens", NEUTRAL_LENGTH}, {"model_context_window_exceeded", NEUTRAL_LENGTH},
        {"tool_use", NEUTRAL_TOOL_CALLS}, {"refusal", NEUTRAL_CONTENT_FILTER},
        {"pause_turn", NEUTRAL_STOP}, /* only of tools that the provider runs: none was sent */
    };
    struct slice word = codec_text(reason, out);
    if (word.size == 0)
        return;
    for (size_t i = 0; i < COUNT_OF(finishes); i++)
        if (slice_equal(word, slice_text(finishes[i].word))) {
            sequence_finish(out, finishes[i].finish, codec_text(stop, out));
            return;
        }
    sequence_finish(out, NEUTRAL_STOP, SLICE_NONE);
}

static void read_message_delta(struct json_span delta, struct json_span usage, struct sequence *out)
{
    static const char *const names[] = {"stop_reason", "stop_sequence"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(delta, names, COUNT_OF(names), spans);
    read_stop_reason(spans[0], spans[1], out);
    read_usage(usage, out);
}

static void anthropic_read_event(void *state, struct slice frame, struct sequence *out)
{
    static const char *const names[] = {
        "type", "message", "content_block", "delta", "usage", "error"};
    struct json_span spans[COUNT_OF(names)];
    struct slice event, data;
    (void)state;
    if (!codec_frame(frame, &event, &data, out))
        return;
    codec_scan((struct json_span){JSON_OBJECT, data}, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (type.size == 0)
        type = event;
    if (slice_equal(type, SLICE("message_start")))
        read_start(spans[1], out);
    else if (slice_equal(type, SLICE("content_block_start")))
        read_block(spans[2], false, out);
    else if (slice_equal(type, SLICE("content_block_delta")))
        read_delta(spans[3], out);
    else if (slice_equal(type, SLICE("content_block_stop")))
        sequence_close(out);
    else if (slice_equal(type, SLICE("message_delta")))
        read_message_delta(spans[3], spans[4], out);
    else if (slice_equal(type, SLICE("message_stop")))
        sequence_done(out);
    else if (slice_equal(type, SLICE("error")))
        codec_error(spans[5], out);
}

static void read_body_block(struct json_span item, size_t position, void *into)
{
    (void)position;
    read_block(item, true, into);
}

static void anthropic_read_body(struct slice body, struct sequence *out)
{
    static const char *const names[] = {
        "type", "id", "model", "content", "stop_reason", "stop_sequence", "usage", "error"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan((struct json_span){JSON_OBJECT, body}, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("error"))) {
        codec_error(spans[7], out);
    } else if (slice_equal(type, SLICE("message"))) {
        sequence_start(out, codec_text(spans[1], out), codec_text(spans[2], out), 0);
        codec_each(spans[3], read_body_block, out);
        read_stop_reason(spans[4], spans[5], out);
        read_usage(spans[6], out);
        sequence_done(out);
    }
}

/* ---- writing ---- */

struct anthropic_writer {
    int64_t blocks; /* begun so far; the open one has the index blocks - 1 */
    bool has_told_finish;
};

static const char *stop_reason(enum neutral_finish finish)
{
    switch (finish) {
    case NEUTRAL_STOP: return "end_turn";
    case NEUTRAL_STOP_SEQUENCE: return "stop_sequence";
    case NEUTRAL_LENGTH: return "max_tokens";
    case NEUTRAL_TOOL_CALLS: return "tool_use";
    case NEUTRAL_CONTENT_FILTER: return "refusal";
    }
    return "end_turn";
}

static void write_usage(struct json_writer *writer, const struct neutral_usage *usage)
{
    int64_t cached = usage->counts.cached > 0 ? usage->counts.cached : 0;
    int64_t written = usage->cache_write > 0 ? usage->cache_write : 0;
    int64_t fresh = usage->counts.input - cached - written;
    json_key(writer, "usage");
    json_open(writer, '{');
    codec_count_member(writer, "input_tokens", fresh > 0 ? fresh : 0);
    codec_count_member(writer, "cache_creation_input_tokens", written);
    codec_count_member(writer, "cache_read_input_tokens", cached);
    codec_count_member(writer, "output_tokens", usage->counts.output);
    if (usage->counts.reasoning >= 0) {
        json_key(writer, "output_tokens_details");
        json_open(writer, '{');
        codec_count_member(writer, "thinking_tokens", usage->counts.reasoning);
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

static void write_head(
    struct json_writer *writer, const struct sequence_context *context, const struct fold *fold)
{
    json_key(writer, "id");
    codec_id(writer, "msg_", context, -1);
    codec_member(writer, "type", SLICE("message"));
    codec_member(writer, "role", SLICE("assistant"));
    codec_member(writer, "model", buf_slice(&fold->model));
}

static void write_stop(
    struct json_writer *writer, bool is_known, enum neutral_finish finish, struct slice stop)
{
    json_key(writer, "stop_reason");
    if (is_known)
        json_string(writer, slice_text(stop_reason(finish)));
    else
        json_null(writer);
    json_key(writer, "stop_sequence");
    if (is_known && stop.size)
        json_string(writer, stop);
    else
        json_null(writer);
}

static enum err write_start(
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    struct neutral_usage none = {.counts = {.input = 0, .output = 0, .reasoning = -1}};
    codec_open_typed_event(&writer, out, "message_start");
    json_key(&writer, "message");
    json_open(&writer, '{');
    write_head(&writer, context, fold);
    json_key(&writer, "content");
    json_raw(&writer, SLICE("[]"));
    write_stop(&writer, false, NEUTRAL_STOP, SLICE_NONE);
    write_usage(&writer, &none);
    json_close(&writer, '}');
    codec_close_event(&writer);
    return writer.err;
}

static void write_seal(struct json_writer *writer, const char *name, struct slice format,
    struct slice id, struct slice opaque)
{
    struct buf text;
    buf_init(&text, FOLD_BYTES_MAX);
    enum err err = neutral_seal_write(&text, NEUTRAL_FORMAT_ANTHROPIC, format, id, opaque);
    codec_member(writer, name, buf_slice(&text));
    if (writer->err == ERR_OK)
        writer->err = err;
    buf_deinit(&text);
}

static void write_block_members(struct json_writer *writer, const struct neutral_event *event)
{
    bool is_thinking = event->part == NEUTRAL_REASONING && !event->is_redacted;
    bool is_call = event->part == NEUTRAL_TOOL_CALL;
    const char *type = is_call              ? "tool_use"
                       : is_thinking        ? "thinking"
                       : event->is_redacted ? "redacted_thinking"
                                            : "text";
    codec_member(writer, "type", slice_text(type));
    if (is_call) {
        codec_member(writer, "id", event->id);
        codec_member(writer, "name", event->name);
        json_key(writer, "input");
        json_raw(writer, SLICE("{}"));
    } else if (is_thinking) {
        codec_member(writer, "thinking", SLICE_NONE);
        codec_member(writer, "signature", SLICE_NONE);
    } else if (event->is_redacted) {
        write_seal(writer, "data", event->format, event->id, event->text);
    } else {
        codec_member(writer, "text", SLICE_NONE);
    }
}

static void write_delta_members(struct json_writer *writer, const struct neutral_event *event)
{
    if (event->kind == NEUTRAL_SEAL) {
        codec_member(writer, "type", SLICE("signature_delta"));
        write_seal(writer, "signature", event->format, event->id, event->text);
    } else if (event->part == NEUTRAL_TOOL_CALL) {
        codec_member(writer, "type", SLICE("input_json_delta"));
        codec_member(writer, "partial_json", event->text);
    } else if (event->part == NEUTRAL_REASONING) {
        codec_member(writer, "type", SLICE("thinking_delta"));
        codec_member(writer, "thinking", event->text);
    } else {
        codec_member(writer, "type", SLICE("text_delta"));
        codec_member(writer, "text", event->text);
    }
}

static enum err write_block_event(
    const struct anthropic_writer *state, const struct neutral_event *event, struct buf *out)
{
    struct json_writer writer;
    bool is_begin = event->kind == NEUTRAL_BEGIN, is_end = event->kind == NEUTRAL_END;
    codec_open_typed_event(&writer, out,
        is_begin ? "content_block_start"
        : is_end ? "content_block_stop"
                 : "content_block_delta");
    json_key(&writer, "index");
    json_integer(&writer, state->blocks - 1);
    if (!is_end) {
        json_key(&writer, is_begin ? "content_block" : "delta");
        json_open(&writer, '{');
        if (is_begin)
            write_block_members(&writer, event);
        else
            write_delta_members(&writer, event);
        json_close(&writer, '}');
    }
    codec_close_event(&writer);
    return writer.err;
}

static enum err write_finish(const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    codec_open_typed_event(&writer, out, "message_delta");
    json_key(&writer, "delta");
    json_open(&writer, '{');
    write_stop(&writer, true, fold->finish, buf_slice(&fold->stop));
    json_close(&writer, '}');
    write_usage(&writer, &fold->usage);
    codec_close_event(&writer);
    return writer.err;
}

static enum err write_done(
    const struct anthropic_writer *state, const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    if (!state->has_told_finish)
        TRY(write_finish(fold, out));
    codec_open_typed_event(&writer, out, "message_stop");
    codec_close_event(&writer);
    return writer.err;
}

static enum err write_failure(const struct neutral_error *error, struct buf *out)
{
    TRY(buf_append(out, SLICE("event: error\ndata: ")));
    TRY(codec_write_error("anthropic", out, error));
    return buf_append(out, SLICE("\n\n"));
}

static enum err anthropic_write_event(void *opaque, const struct neutral_event *event,
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct anthropic_writer *state = opaque;
    switch (event->kind) {
    case NEUTRAL_START: return write_start(context, fold, out);
    case NEUTRAL_BEGIN: state->blocks++; return write_block_event(state, event, out);
    case NEUTRAL_DELTA:
    case NEUTRAL_SEAL:
    case NEUTRAL_END: return write_block_event(state, event, out);
    case NEUTRAL_USAGE:
    case NEUTRAL_FINISH: return ERR_OK; /* the fold has them for the end */
    case NEUTRAL_DONE: return write_done(state, fold, out);
    case NEUTRAL_ERROR: return write_failure(&event->error, out);
    }
    return ERR_OK;
}

static enum err anthropic_told(
    void *opaque, const void *reader, struct slice frame, struct sequence *seen, struct fold *fold)
{
    struct anthropic_writer *state = opaque;
    (void)reader, (void)frame, (void)fold;
    for (size_t i = 0; i < seen->count; i++) {
        state->blocks += seen->events[i].kind == NEUTRAL_BEGIN;
        state->has_told_finish |= seen->events[i].kind == NEUTRAL_FINISH;
    }
    return ERR_OK;
}

/* ---- a whole body ---- */

static enum err write_body_block(struct json_writer *writer, const struct fold_part *part)
{
    const char *why;
    size_t at;
    struct slice text = buf_slice(&part->text);
    struct neutral_event begin = {.part = part->kind,
        .is_redacted = part->is_redacted,
        .id = buf_slice(&part->id),
        .name = buf_slice(&part->name),
        .format = buf_slice(&part->format),
        .text = buf_slice(&part->opaque)};
    json_open(writer, '{');
    if (part->kind == NEUTRAL_TOOL_CALL) {
        if (text.size && json_object_check(text, &why, &at) != ERR_OK)
            return ERR_INVALID;
        codec_member(writer, "type", SLICE("tool_use"));
        codec_member(writer, "id", begin.id);
        codec_member(writer, "name", begin.name);
        codec_raw_member(writer, "input", text.size ? text : SLICE("{}"));
    } else if (part->kind == NEUTRAL_REASONING && !part->is_redacted) {
        codec_member(writer, "type", SLICE("thinking"));
        codec_member(writer, "thinking", text);
        if (part->opaque.size)
            write_seal(writer, "signature", begin.format, begin.id, begin.text);
        else
            codec_member(writer, "signature", SLICE_NONE);
    } else if (part->is_redacted) {
        write_block_members(writer, &begin);
    } else {
        codec_member(writer, "type", SLICE("text"));
        codec_member(writer, "text", text);
    }
    json_close(writer, '}');
    return writer->err;
}

static enum err anthropic_write_body(
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    write_head(&writer, context, fold);
    json_key(&writer, "content");
    json_open(&writer, '[');
    for (size_t i = 0; i < fold->count; i++)
        TRY(write_body_block(&writer, &fold->parts[i]));
    json_close(&writer, ']');
    write_stop(&writer, true, fold->finish, buf_slice(&fold->stop));
    write_usage(&writer, &fold->usage);
    json_close(&writer, '}');
    return writer.err;
}

const struct codec_response anthropic_response = {
    .framing = FRAMING_SSE,
    .content_type = "text/event-stream",
    .reader_bytes = 0,
    .writer_bytes = sizeof(struct anthropic_writer),
    .read_event = anthropic_read_event,
    .read_body = anthropic_read_body,
    .fold = FOLD_NOTHING,
    .write_event = anthropic_write_event,
    .write_body = anthropic_write_body,
    .told = anthropic_told,
};
