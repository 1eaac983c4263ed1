/* openai_chat_response — the chunks of Chat Completions, read and written; and the whole body.
 *
 *     data: {"id","object":"chat.completion.chunk","created","model","choices":[{"index":0,
 *            "delta":{"role":"assistant","content":""},"finish_reason":null}]}          START
 *     … "delta":{"content":"…"} | {"refusal":"…"} | {"reasoning_content":"…"}             DELTA
 *     … "delta":{"reasoning_details":[{…}]}                                              SEAL
 *     … "delta":{"tool_calls":[{"index":0,"id","type","function":{"name","arguments":""}}]}  BEGIN
 *     … "delta":{"tool_calls":[{"index":0,"function":{"arguments":"…"}}]}                 DELTA
 *     … "delta":{},"finish_reason":"stop"                                                FINISH
 *     … "choices":[],"usage":{…}                                                         USAGE
 *     data: [DONE]                                                                       DONE
 *
 * Tool calls come one after another, each piece with the index of its call. A piece for a call that
 * is over already (an interleaving that no known provider sends) cannot be translated.
 *
 *   source  openai-python src/openai/types/chat/chat_completion_chunk.py at e43b4224 (2026-08-21);
 *           vercel/ai packages/openai/src/chat/__fixtures__/openai-text.chunks.txt at 733d0bfa */
#include "protocol/base/map.h"
#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"
#include "protocol/http/sse.h"

extern const struct codec_response openai_chat_response;

/* ---- reading ---- */

struct chat_reader {
    int64_t calls; /* begun so far */
    int64_t index; /* the provider's index of the last one */
    uint64_t id;   /* its ID, hashed */
};

/* Pieces of one chunk, on their way to a callback. */
struct chunk {
    struct chat_reader *reader;
    struct sequence *out;
};

static const struct {
    const char *word;
    enum neutral_finish finish;
} finishes[] = {
    {"stop", NEUTRAL_STOP},
    {"length", NEUTRAL_LENGTH},
    {"tool_calls", NEUTRAL_TOOL_CALLS},
    {"function_call", NEUTRAL_TOOL_CALLS},
    {"content_filter", NEUTRAL_CONTENT_FILTER},
};

static void read_finish(struct json_span span, struct sequence *out)
{
    struct slice word = codec_text(span, out);
    if (word.size == 0)
        return;
    for (size_t i = 0; i < COUNT_OF(finishes); i++)
        if (slice_equal(word, slice_text(finishes[i].word))) {
            sequence_finish(out, finishes[i].finish, SLICE_NONE);
            return;
        }
    sequence_finish(out, NEUTRAL_STOP, SLICE_NONE);
}

/* The open call goes on, or a new one begins. Some providers leave the index out of whole calls, or
 * give them all the same one, or repeat the ID in every piece. */
static void read_call(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"index", "id", "function"};
    static const char *const function_names[] = {"name", "arguments"};
    struct chunk *chunk = into;
    struct chat_reader *reader = chunk->reader;
    struct json_span spans[COUNT_OF(names)], function[COUNT_OF(function_names)];
    codec_scan(item, names, COUNT_OF(names), spans);
    codec_scan(spans[2], function_names, COUNT_OF(function_names), function);
    int64_t index = codec_count(spans[0]);
    struct slice id = codec_text(spans[1], chunk->out);
    struct slice name = codec_text(function[0], chunk->out);
    if (index < 0)
        index = name.size ? reader->index + 1 : reader->index;
    bool is_other = id.size && name.size && map_hash(id) != reader->id;
    bool goes_on = reader->calls > 0 && index == reader->index && !is_other;
    (void)position;
    if (!goes_on && reader->calls > 0 && index < reader->index) {
        sequence_cannot(chunk->out, "interleaved pieces of a tool call", name);
        return;
    }
    if (!goes_on) {
        sequence_tool_call(chunk->out, id, name);
        reader->calls++;
        reader->index = index;
        reader->id = map_hash(id);
    } else if (!chunk->out->is_open || chunk->out->open != NEUTRAL_TOOL_CALL) {
        if (codec_text(function[1], chunk->out).size > 0)
            sequence_cannot(chunk->out, "a tool call that goes on after something else", name);
        return;
    }
    sequence_arguments(chunk->out, codec_text(function[1], chunk->out));
}

static void read_detail(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"type", "signature", "data", "format", "id"};
    struct sequence *out = into;
    struct json_span spans[COUNT_OF(names)];
    (void)position;
    codec_scan(item, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out), format = codec_text(spans[3], out);
    struct slice id = codec_text(spans[4], out);
    struct slice data = codec_text(spans[2], out), signature = codec_text(spans[1], out);
    if (slice_equal(type, SLICE("reasoning.encrypted")) && data.size)
        sequence_redacted(out, format, id, data);
    else
        sequence_seal(out, format, id, signature);
}

/* A delta, or the message of a body: the same members. */
static void read_delta(struct json_span delta, struct chunk *chunk)
{
    static const char *const names[] = {"reasoning_content", "reasoning", "reasoning_details",
        "content", "refusal", "tool_calls", "function_call", "audio"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(delta, names, COUNT_OF(names), spans);
    struct slice reasoning = codec_text(spans[0], chunk->out);
    if (reasoning.size == 0)
        reasoning = codec_text(spans[1], chunk->out);
    sequence_text(chunk->out, NEUTRAL_REASONING, reasoning);
    codec_each(spans[2], read_detail, chunk->out);
    sequence_text(chunk->out, NEUTRAL_TEXT, codec_text(spans[3], chunk->out));
    sequence_text(chunk->out, NEUTRAL_REFUSAL, codec_text(spans[4], chunk->out));
    codec_each(spans[5], read_call, chunk);
    if (spans[6].type == JSON_OBJECT)
        sequence_cannot(chunk->out, "the deprecated", SLICE("function_call"));
    if (spans[7].type == JSON_OBJECT)
        sequence_cannot(chunk->out, "the content", SLICE("audio"));
}

static void read_choice(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"index", "delta", "message", "finish_reason"};
    struct chunk *chunk = into;
    struct json_span spans[COUNT_OF(names)];
    codec_scan(item, names, COUNT_OF(names), spans);
    if (position > 0 || codec_count(spans[0]) > 0) {
        sequence_cannot(chunk->out, "a second choice of", SLICE("choices"));
        return;
    }
    read_delta(spans[spans[1].raw.size ? 1 : 2], chunk);
    read_finish(spans[3], chunk->out);
}

static void read_object(struct chat_reader *reader, struct slice data, struct sequence *out)
{
    static const char *const names[] = {"id", "model", "created", "choices", "usage", "error"};
    struct chunk chunk = {reader, out};
    struct json_span spans[COUNT_OF(names)];
    codec_scan((struct json_span){JSON_OBJECT, data}, names, COUNT_OF(names), spans);
    if (spans[5].raw.size && spans[5].type != JSON_NULL) {
        codec_error(spans[5], out);
        return;
    }
    if (spans[3].type != JSON_ARRAY)
        return;
    if (codec_has_items(spans[3]))
        sequence_start(
            out, codec_text(spans[0], out), codec_text(spans[1], out), codec_count(spans[2]));
    codec_each(spans[3], read_choice, &chunk);
    codec_openai_usage(spans[4], out);
}

static bool is_done(struct slice frame)
{
    struct sse_fields fields;
    struct buf joined;
    buf_init(&joined, frame.size);
    bool is_terminator = sse_fields(sse_without_bom(frame), &joined, &fields) == ERR_OK &&
                         fields.has_data &&
                         slice_equal(slice_trim(sse_data(&fields, &joined)), SLICE("[DONE]"));
    buf_deinit(&joined);
    return is_terminator;
}

static void chat_read_event(void *state, struct slice frame, struct sequence *out)
{
    struct slice event, data;
    if (codec_frame(frame, &event, &data, out))
        read_object(state, data, out);
    else if (is_done(frame))
        sequence_done(out);
}

static void chat_read_body(struct slice body, struct sequence *out)
{
    struct chat_reader reader = {0};
    read_object(&reader, body, out);
    if (out->is_finished)
        sequence_done(out);
}

/* ---- writing ---- */

struct chat_writer {
    int64_t calls;
    struct neutral_usage usage;
    bool has_usage;
};

static void write_head(struct json_writer *writer, const struct sequence_context *context,
    const struct fold *fold, const char *object)
{
    json_key(writer, "id");
    codec_id(writer, "chatcmpl-", context, -1);
    codec_member(writer, "object", slice_text(object));
    json_key(writer, "created");
    json_integer(writer, fold->created_s);
    codec_member(writer, "model", buf_slice(&fold->model));
}

/* Up to the inside of "delta". */
static void open_delta(struct json_writer *writer, const struct sequence_context *context,
    const struct fold *fold, struct buf *out)
{
    codec_open_event(writer, out, NULL);
    write_head(writer, context, fold, "chat.completion.chunk");
    json_key(writer, "choices");
    json_open(writer, '[');
    json_open(writer, '{');
    json_key(writer, "index");
    json_integer(writer, 0);
    json_key(writer, "delta");
    json_open(writer, '{');
}

static enum err close_delta(
    struct json_writer *writer, const struct sequence_context *context, const char *finish_reason)
{
    json_close(writer, '}');
    json_key(writer, "logprobs");
    json_null(writer);
    json_key(writer, "finish_reason");
    if (finish_reason)
        json_string(writer, slice_text(finish_reason));
    else
        json_null(writer);
    json_close(writer, '}');
    json_close(writer, ']');
    if (context->includes_usage) {
        json_key(writer, "usage");
        json_null(writer);
    }
    codec_close_event(writer);
    return writer->err;
}

static void write_call_begin(
    struct json_writer *writer, struct slice id, struct slice name, struct slice arguments)
{
    codec_member(writer, "id", id);
    codec_member(writer, "type", SLICE("function"));
    json_key(writer, "function");
    json_open(writer, '{');
    codec_member(writer, "name", name);
    codec_member(writer, "arguments", arguments);
    json_close(writer, '}');
}

/* One entry of reasoning_details: the part that the fold holds, whole. */
static void write_detail(struct json_writer *writer, const struct fold_part *part)
{
    json_open(writer, '{');
    if (part->is_redacted) {
        codec_member(writer, "type", SLICE("reasoning.encrypted"));
        codec_member(writer, "data", buf_slice(&part->opaque));
    } else {
        codec_member(writer, "type", SLICE("reasoning.text"));
        codec_member(writer, "text", buf_slice(&part->text));
        if (part->opaque.size)
            codec_member(writer, "signature", buf_slice(&part->opaque));
    }
    if (part->format.size)
        codec_member(writer, "format", buf_slice(&part->format));
    if (part->id.size)
        codec_member(writer, "id", buf_slice(&part->id));
    json_close(writer, '}');
}

static void write_details(struct json_writer *writer, const struct fold_part *part)
{
    ASSERT(part && part->kind == NEUTRAL_REASONING);
    json_key(writer, "reasoning_details");
    json_open(writer, '[');
    write_detail(writer, part);
    json_close(writer, ']');
}

static void write_delta(
    struct json_writer *writer, const struct neutral_event *event, int64_t calls)
{
    if (event->part == NEUTRAL_TEXT)
        codec_member(writer, "content", event->text);
    else if (event->part == NEUTRAL_REFUSAL)
        codec_member(writer, "refusal", event->text);
    else if (event->part == NEUTRAL_REASONING)
        codec_member(writer, "reasoning_content", event->text);
    if (event->part != NEUTRAL_TOOL_CALL)
        return;
    json_key(writer, "tool_calls");
    json_open(writer, '[');
    json_open(writer, '{');
    json_key(writer, "index");
    json_integer(writer, calls - 1);
    if (event->kind == NEUTRAL_BEGIN) {
        write_call_begin(writer, event->id, event->name, SLICE_NONE);
    } else {
        json_key(writer, "function");
        json_open(writer, '{');
        codec_member(writer, "arguments", event->text);
        json_close(writer, '}');
    }
    json_close(writer, '}');
    json_close(writer, ']');
}

static const char *finish_word(enum neutral_finish finish)
{
    switch (finish) {
    case NEUTRAL_STOP:
    case NEUTRAL_STOP_SEQUENCE: return "stop";
    case NEUTRAL_LENGTH: return "length";
    case NEUTRAL_TOOL_CALLS: return "tool_calls";
    case NEUTRAL_CONTENT_FILTER: return "content_filter";
    }
    return "stop";
}

static void write_usage(struct json_writer *writer, const struct neutral_usage *usage)
{
    json_key(writer, "usage");
    json_open(writer, '{');
    codec_count_member(writer, "prompt_tokens", usage->counts.input);
    codec_count_member(writer, "completion_tokens", usage->counts.output);
    codec_count_member(writer, "total_tokens", usage->counts.total);
    if (usage->counts.cached >= 0 || usage->cache_write >= 0) {
        json_key(writer, "prompt_tokens_details");
        json_open(writer, '{');
        codec_count_member(writer, "cached_tokens", usage->counts.cached);
        if (usage->cache_write >= 0)
            codec_count_member(writer, "cache_write_tokens", usage->cache_write);
        json_close(writer, '}');
    }
    if (usage->counts.reasoning >= 0) {
        json_key(writer, "completion_tokens_details");
        json_open(writer, '{');
        codec_count_member(writer, "reasoning_tokens", usage->counts.reasoning);
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

static enum err write_done(const struct chat_writer *state, const struct sequence_context *context,
    const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    if (state->has_usage) {
        codec_open_event(&writer, out, NULL);
        write_head(&writer, context, fold, "chat.completion.chunk");
        json_key(&writer, "choices");
        json_open(&writer, '[');
        json_close(&writer, ']');
        write_usage(&writer, &state->usage);
        codec_close_event(&writer);
        TRY(writer.err);
    }
    return buf_append(out, SLICE("data: [DONE]\n\n"));
}

/* Usage that was told is not told again. Indices of calls are the provider's, which need not begin at
 * 0. */
static enum err chat_told(
    void *opaque, const void *read, struct slice frame, struct sequence *seen, struct fold *fold)
{
    struct chat_writer *state = opaque;
    const struct chat_reader *reader = read;
    (void)frame, (void)seen, (void)fold;
    if (reader->calls > 0)
        state->calls = (reader->index < 0 ? 0 : reader->index) + 1;
    return ERR_OK;
}

static enum err write_failure(const struct neutral_error *error, struct buf *out)
{
    TRY(buf_append(out, SLICE("data: ")));
    TRY(codec_write_error("openai_chat", out, error));
    return buf_append(out, SLICE("\n\n"));
}

static enum err chat_write_event(void *opaque, const struct neutral_event *event,
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct chat_writer *state = opaque;
    struct json_writer writer;
    const char *finish = NULL;
    bool is_call = event->part == NEUTRAL_TOOL_CALL;
    switch (event->kind) {
    case NEUTRAL_END: return ERR_OK;
    case NEUTRAL_USAGE:
        state->usage = event->usage;
        state->has_usage = true;
        return ERR_OK;
    case NEUTRAL_DONE: return write_done(state, context, fold, out);
    case NEUTRAL_ERROR: return write_failure(&event->error, out);
    case NEUTRAL_BEGIN:
        if (!is_call && !event->is_redacted)
            return ERR_OK;
        state->calls += is_call;
        break;
    case NEUTRAL_FINISH: finish = finish_word(event->finish); break;
    case NEUTRAL_START:
    case NEUTRAL_DELTA:
    case NEUTRAL_SEAL: break;
    }
    open_delta(&writer, context, fold, out);
    if (event->kind == NEUTRAL_START) {
        codec_member(&writer, "role", SLICE("assistant"));
        codec_member(&writer, "content", SLICE_NONE);
    } else if (event->kind == NEUTRAL_SEAL || (event->kind == NEUTRAL_BEGIN && !is_call)) {
        write_details(&writer, fold_last(fold));
    } else if (event->kind != NEUTRAL_FINISH) {
        write_delta(&writer, event, state->calls);
    }
    return close_delta(&writer, context, finish);
}

/* ---- a whole body ---- */

static void write_message_text(struct json_writer *writer, const char *name,
    const struct fold *fold, enum neutral_part_kind kind)
{
    struct buf text;
    bool is_there = false;
    buf_init(&text, FOLD_BYTES_MAX);
    for (size_t i = 0; i < fold->count; i++)
        if (fold->parts[i].kind == kind && !fold->parts[i].is_redacted) {
            is_there = true;
            if (writer->err == ERR_OK)
                writer->err = buf_append(&text, buf_slice(&fold->parts[i].text));
        }
    if (is_there || kind != NEUTRAL_REASONING) {
        json_key(writer, name);
        if (is_there)
            json_string(writer, buf_slice(&text));
        else
            json_null(writer);
    }
    buf_deinit(&text);
}

static void write_message_details(struct json_writer *writer, const struct fold *fold)
{
    bool is_open = false;
    for (size_t i = 0; i < fold->count; i++) {
        const struct fold_part *part = &fold->parts[i];
        if (part->kind != NEUTRAL_REASONING || part->opaque.size == 0)
            continue;
        if (!is_open) {
            json_key(writer, "reasoning_details");
            json_open(writer, '[');
        }
        is_open = true;
        write_detail(writer, part);
    }
    if (is_open)
        json_close(writer, ']');
}

static void write_message_calls(struct json_writer *writer, const struct fold *fold)
{
    bool is_open = false;
    for (size_t i = 0; i < fold->count; i++) {
        const struct fold_part *part = &fold->parts[i];
        if (part->kind != NEUTRAL_TOOL_CALL)
            continue;
        if (!is_open) {
            json_key(writer, "tool_calls");
            json_open(writer, '[');
        }
        is_open = true;
        json_open(writer, '{');
        write_call_begin(
            writer, buf_slice(&part->id), buf_slice(&part->name), buf_slice(&part->text));
        json_close(writer, '}');
    }
    if (is_open)
        json_close(writer, ']');
}

static enum err chat_write_body(
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    write_head(&writer, context, fold, "chat.completion");
    json_key(&writer, "choices");
    json_open(&writer, '[');
    json_open(&writer, '{');
    json_key(&writer, "index");
    json_integer(&writer, 0);
    json_key(&writer, "message");
    json_open(&writer, '{');
    codec_member(&writer, "role", SLICE("assistant"));
    write_message_text(&writer, "content", fold, NEUTRAL_TEXT);
    write_message_text(&writer, "refusal", fold, NEUTRAL_REFUSAL);
    write_message_text(&writer, "reasoning_content", fold, NEUTRAL_REASONING);
    write_message_details(&writer, fold);
    write_message_calls(&writer, fold);
    json_close(&writer, '}');
    json_key(&writer, "logprobs");
    json_null(&writer);
    codec_member(&writer, "finish_reason", slice_text(finish_word(fold->finish)));
    json_close(&writer, '}');
    json_close(&writer, ']');
    if (fold->usage.counts.input >= 0 || fold->usage.counts.output >= 0)
        write_usage(&writer, &fold->usage);
    json_close(&writer, '}');
    return writer.err;
}

const struct codec_response openai_chat_response = {
    .framing = FRAMING_SSE,
    .content_type = "text/event-stream",
    .reader_bytes = sizeof(struct chat_reader),
    .writer_bytes = sizeof(struct chat_writer),
    .read_event = chat_read_event,
    .read_body = chat_read_body,
    .fold = FOLD_REASONING,
    .write_event = chat_write_event,
    .write_body = chat_write_body,
    .told = chat_told,
};
