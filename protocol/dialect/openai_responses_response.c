/* openai_responses_response — the events of the Responses API, read and written; and the whole body.
 *
 *     response.created, .in_progress         {"response": {"id","model","created_at",…}}      START
 *     response.output_item.added             {"output_index","item": {"type": "message" |
 *                                             "function_call" | "reasoning", …}}              BEGIN
 *     response.content_part.added            {"item_id","content_index","part"}   of a message
 *     response.output_text.delta, .refusal.delta, .function_call_arguments.delta,
 *       .reasoning_summary_text.delta        {"item_id","output_index","delta"}               DELTA
 *     ….done, response.content_part.done     the same texts in full
 *     response.output_item.done              {"item": …} in full; reasoning: encrypted     SEAL END
 *     response.completed | .incomplete       {"response": {…,"output","usage"}} FINISH USAGE DONE
 *     response.failed | error                {"response": {"error"}} | {"message","code"}     ERROR
 *
 * Each event is numbered from 0 (`sequence_number`). Written: each text or refusal is a message item
 * of one part. What a response repeats of its request (tools, instructions, …) is not repeated.
 *
 *   source  vercel/ai packages/openai/src/responses/__fixtures__: issue-19493-gpt-5.1-tool-call at
 *           81a6ad70, openai-reasoning-encrypted-content.1 at c07b5706; openai-python
 *           src/openai/types/responses at e43b4224 (2026-08-21) */
#include "protocol/dialect/codec.h"

#include <string.h>

#include "protocol/dialect/walk.h"

extern const struct codec_response openai_responses_response;

/* ---- reading ---- */

static void read_start(struct json_span response, struct sequence *out)
{
    static const char *const names[] = {"id", "model", "created_at"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(response, names, COUNT_OF(names), spans);
    sequence_start(
        out, codec_text(spans[0], out), codec_text(spans[1], out), codec_count(spans[2]));
}

static void read_seal(struct json_span encrypted, struct json_span id, struct sequence *out)
{
    struct slice format, seal_id, opaque, item_id = codec_text(id, out);
    neutral_seal_read(
        codec_text(encrypted, out), NEUTRAL_FORMAT_RESPONSES, &format, &seal_id, &opaque);
    if (slice_equal(format, SLICE(NEUTRAL_FORMAT_RESPONSES)))
        seal_id = item_id;
    if (opaque.size == 0)
        return;
    if (out->is_open && out->open == NEUTRAL_REASONING)
        sequence_seal(out, format, seal_id, opaque);
    else
        sequence_redacted(out, format, seal_id, opaque);
}

/* The item as it begins in a stream. A message's parts are announced one by one; reasoning may have
 * no text at all, which its end tells. */
static void read_item_added(struct json_span item, struct sequence *out)
{
    static const char *const names[] = {"type", "call_id", "name"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(item, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("function_call")))
        sequence_tool_call(out, codec_text(spans[1], out), codec_text(spans[2], out));
    else if (slice_equal(type, SLICE("message")) || slice_equal(type, SLICE("reasoning")))
        sequence_close(out);
    else
        sequence_cannot(out, "an output item of type", type);
}

static void read_item_done(struct json_span item, struct sequence *out)
{
    static const char *const names[] = {"type", "arguments", "encrypted_content", "id"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(item, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("function_call")) && !out->has_content)
        sequence_arguments(out, codec_text(spans[1], out));
    else if (slice_equal(type, SLICE("reasoning")))
        read_seal(spans[2], spans[3], out);
    sequence_close(out);
}

static void read_part_added(struct json_span part, struct sequence *out)
{
    static const char *const names[] = {"type"};
    struct json_span spans[1];
    codec_scan(part, names, 1, spans);
    struct slice type = codec_text(spans[0], out);
    if (slice_equal(type, SLICE("output_text")))
        sequence_open(out, NEUTRAL_TEXT);
    else if (slice_equal(type, SLICE("refusal")))
        sequence_open(out, NEUTRAL_REFUSAL);
    else if (!slice_equal(type, SLICE("reasoning_text")))
        sequence_cannot(out, "a content part of type", type);
}

static void read_end(struct json_span response, struct sequence *out)
{
    static const char *const names[] = {"status", "incomplete_details", "usage"};
    static const char *const detail_names[] = {"reason"};
    struct json_span spans[COUNT_OF(names)], details[1];
    codec_scan(response, names, COUNT_OF(names), spans);
    codec_scan(spans[1], detail_names, 1, details);
    struct slice reason = codec_text(details[0], out);
    bool is_filtered = slice_equal(reason, SLICE("content_filter"));
    bool is_cut = slice_equal(codec_text(spans[0], out), SLICE("incomplete"));
    sequence_finish(out,
        is_filtered ? NEUTRAL_CONTENT_FILTER
        : is_cut    ? NEUTRAL_LENGTH
                    : NEUTRAL_STOP,
        SLICE_NONE);
    codec_openai_usage(spans[2], out);
    sequence_done(out);
}

static void read_failed(struct json_span response, struct sequence *out)
{
    static const char *const names[] = {"error"};
    struct json_span spans[1];
    codec_scan(response, names, 1, spans);
    codec_error(spans[0], out);
}

/* The error event holds its members itself, or an object of them. */
static void read_error_event(struct json_span event, struct json_span error, struct sequence *out)
{
    codec_error(error.type == JSON_OBJECT && error.raw.size ? error : event, out);
}

static const struct {
    const char *name;
    enum neutral_part_kind part;
} deltas[] = {
    {"response.output_text.delta", NEUTRAL_TEXT},
    {"response.refusal.delta", NEUTRAL_REFUSAL},
    {"response.reasoning_summary_text.delta", NEUTRAL_REASONING},
    {"response.reasoning_text.delta", NEUTRAL_REASONING},
};

static bool read_delta(struct slice type, struct json_span delta, struct sequence *out)
{
    for (size_t i = 0; i < COUNT_OF(deltas); i++)
        if (slice_equal(type, slice_text(deltas[i].name))) {
            sequence_text(out, deltas[i].part, codec_text(delta, out));
            return true;
        }
    if (!slice_equal(type, SLICE("response.function_call_arguments.delta")))
        return false;
    sequence_arguments(out, codec_text(delta, out));
    return true;
}

/* The text in full: it counts where no piece of it came before. */
static void read_done(enum neutral_part_kind kind, struct json_span text, struct sequence *out)
{
    if (out->is_open && out->open == kind && !out->has_content)
        sequence_text(out, kind, codec_text(text, out));
}

static void responses_read_event(void *state, struct slice frame, struct sequence *out)
{
    static const char *const names[] = {
        "type", "response", "item", "part", "delta", "error", "summary_index", "text", "refusal"};
    struct json_span spans[COUNT_OF(names)];
    struct slice event, data;
    (void)state;
    if (!codec_frame(frame, &event, &data, out))
        return;
    struct json_span whole = {JSON_OBJECT, data};
    codec_scan(whole, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], out);
    if (type.size == 0)
        type = event;
    if (read_delta(type, spans[4], out))
        return;
    if (slice_equal(type, SLICE("response.created")) ||
        slice_equal(type, SLICE("response.in_progress")))
        read_start(spans[1], out);
    else if (slice_equal(type, SLICE("response.output_text.done")))
        read_done(NEUTRAL_TEXT, spans[7], out);
    else if (slice_equal(type, SLICE("response.refusal.done")))
        read_done(NEUTRAL_REFUSAL, spans[8], out);
    else if (slice_equal(type, SLICE("response.output_item.added")))
        read_item_added(spans[2], out);
    else if (slice_equal(type, SLICE("response.output_item.done")))
        read_item_done(spans[2], out);
    else if (slice_equal(type, SLICE("response.content_part.added")))
        read_part_added(spans[3], out);
    else if (slice_equal(type, SLICE("response.content_part.done")) && out->is_open &&
             out->open != NEUTRAL_REASONING)
        sequence_close(out);
    else if (slice_equal(type, SLICE("response.reasoning_summary_part.added")) &&
             codec_count(spans[6]) > 0)
        sequence_text(out, NEUTRAL_REASONING, SLICE("\n\n"));
    else if (slice_equal(type, SLICE("response.output_text.annotation.added")))
        sequence_cannot(out, "the event", type);
    else if (slice_equal(type, SLICE("response.completed")) ||
             slice_equal(type, SLICE("response.incomplete")))
        read_end(spans[1], out);
    else if (slice_equal(type, SLICE("response.failed")))
        read_failed(spans[1], out);
    else if (slice_equal(type, SLICE("error")))
        read_error_event(whole, spans[5], out);
}

/* ---- reading a body ---- */

static void read_body_part(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"type", "text", "refusal"};
    struct sequence *out = into;
    struct json_span spans[COUNT_OF(names)];
    (void)position;
    codec_scan(item, names, COUNT_OF(names), spans);
    read_part_added(item, out);
    bool is_refusal = slice_equal(codec_text(spans[0], out), SLICE("refusal"));
    sequence_text(out, is_refusal ? NEUTRAL_REFUSAL : NEUTRAL_TEXT,
        codec_text(spans[is_refusal ? 2 : 1], out));
    sequence_close(out);
}

static void read_body_summary(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"text"};
    struct sequence *out = into;
    struct json_span spans[1];
    codec_scan(item, names, 1, spans);
    if (position > 0)
        sequence_text(out, NEUTRAL_REASONING, SLICE("\n\n"));
    sequence_text(out, NEUTRAL_REASONING, codec_text(spans[0], out));
}

static void read_body_item(struct json_span item, size_t position, void *into)
{
    static const char *const names[] = {"type", "content", "summary"};
    struct sequence *out = into;
    struct json_span spans[COUNT_OF(names)];
    (void)position;
    codec_scan(item, names, COUNT_OF(names), spans);
    read_item_added(item, out);
    if (slice_equal(codec_text(spans[0], out), SLICE("message"))) {
        codec_each(spans[1], read_body_part, out);
    } else if (slice_equal(codec_text(spans[0], out), SLICE("reasoning"))) {
        codec_each(spans[2], read_body_summary, out);
        codec_each(spans[1], read_body_summary, out);
    }
    read_item_done(item, out);
}

static void responses_read_body(struct slice body, struct sequence *out)
{
    static const char *const names[] = {"output", "status", "error"};
    struct json_span whole = {JSON_OBJECT, body};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(whole, names, COUNT_OF(names), spans);
    if (spans[2].raw.size && spans[2].type != JSON_NULL) {
        codec_error(spans[2], out);
        return;
    }
    if (spans[0].type != JSON_ARRAY || spans[0].raw.size == 0)
        return;
    read_start(whole, out);
    codec_each(spans[0], read_body_item, out);
    read_end(whole, out);
}

/* ---- writing: items ---- */

struct responses_writer {
    int64_t number; /* of the next event */
    int64_t items;  /* begun so far; the open one has the index items - 1 */
    bool has_summary;
};

/* What all the functions below write with. */
struct telling {
    struct json_writer writer;
    struct responses_writer *state;
    const struct sequence_context *context;
    const struct fold *fold;
    struct buf *out;
};

static void open_event(struct telling *telling, const char *name)
{
    codec_open_typed_event(&telling->writer, telling->out, name);
    json_key(&telling->writer, "sequence_number");
    json_integer(&telling->writer, telling->state->number++);
}

static void write_item_id(struct json_writer *writer, enum neutral_part_kind kind,
    const struct sequence_context *context, int64_t index)
{
    const char *prefix = kind == NEUTRAL_TOOL_CALL   ? "fc_"
                         : kind == NEUTRAL_REASONING ? "rs_"
                                                     : "msg_";
    codec_id(writer, prefix, context, index);
}

static void write_text_part(
    struct json_writer *writer, enum neutral_part_kind kind, struct slice text)
{
    json_open(writer, '{');
    if (kind == NEUTRAL_TEXT) {
        codec_member(writer, "type", SLICE("output_text"));
        codec_raw_member(writer, "annotations", SLICE("[]"));
        codec_raw_member(writer, "logprobs", SLICE("[]"));
        codec_member(writer, "text", text);
    } else if (kind == NEUTRAL_REFUSAL) {
        codec_member(writer, "type", SLICE("refusal"));
        codec_member(writer, "refusal", text);
    } else {
        codec_member(writer, "type", SLICE("summary_text"));
        codec_member(writer, "text", text);
    }
    json_close(writer, '}');
}

static void write_reasoning_members(struct json_writer *writer, const struct fold_part *part)
{
    struct buf seal;
    json_key(writer, "summary");
    json_open(writer, '[');
    if (part->text.size)
        write_text_part(writer, NEUTRAL_REASONING, buf_slice(&part->text));
    json_close(writer, ']');
    if (part->opaque.size == 0)
        return;
    buf_init(&seal, FOLD_BYTES_MAX);
    enum err err = neutral_seal_write(&seal, NEUTRAL_FORMAT_RESPONSES, buf_slice(&part->format),
        buf_slice(&part->id), buf_slice(&part->opaque));
    codec_member(writer, "encrypted_content", buf_slice(&seal));
    if (writer->err == ERR_OK)
        writer->err = err;
    buf_deinit(&seal);
}

/* The item of a part; with `is_done` in full, else as it begins. */
static void write_item(struct json_writer *writer, const struct fold_part *part,
    const struct sequence_context *context, int64_t index, bool is_done)
{
    static const struct fold_part empty;
    const struct fold_part *content = is_done ? part : &empty;
    json_open(writer, '{');
    json_key(writer, "id");
    write_item_id(writer, part->kind, context, index);
    if (part->kind == NEUTRAL_REASONING) {
        codec_member(writer, "type", SLICE("reasoning"));
        write_reasoning_members(writer, content);
    } else if (part->kind == NEUTRAL_TOOL_CALL) {
        codec_member(writer, "type", SLICE("function_call"));
        codec_member(writer, "status", is_done ? SLICE("completed") : SLICE("in_progress"));
        codec_member(writer, "arguments", buf_slice(&content->text));
        codec_member(writer, "call_id", buf_slice(&part->id));
        codec_member(writer, "name", buf_slice(&part->name));
    } else {
        codec_member(writer, "type", SLICE("message"));
        codec_member(writer, "status", is_done ? SLICE("completed") : SLICE("in_progress"));
        codec_member(writer, "role", SLICE("assistant"));
        json_key(writer, "content");
        json_open(writer, '[');
        if (is_done)
            write_text_part(writer, part->kind, buf_slice(&part->text));
        json_close(writer, ']');
    }
    json_close(writer, '}');
}

/* ---- writing: the response object ---- */

static void write_usage(struct json_writer *writer, const struct neutral_usage *usage)
{
    json_key(writer, "usage");
    if (usage->counts.input < 0 && usage->counts.output < 0) {
        json_null(writer);
        return;
    }
    json_open(writer, '{');
    codec_count_member(writer, "input_tokens", usage->counts.input);
    json_key(writer, "input_tokens_details");
    json_open(writer, '{');
    codec_count_member(writer, "cache_write_tokens", usage->cache_write);
    codec_count_member(writer, "cached_tokens", usage->counts.cached);
    json_close(writer, '}');
    codec_count_member(writer, "output_tokens", usage->counts.output);
    json_key(writer, "output_tokens_details");
    json_open(writer, '{');
    codec_count_member(writer, "reasoning_tokens", usage->counts.reasoning);
    json_close(writer, '}');
    codec_count_member(writer, "total_tokens", usage->counts.total);
    json_close(writer, '}');
}

static const char *incomplete_reason(const struct fold *fold)
{
    if (!fold->is_finished)
        return NULL;
    switch (fold->finish) {
    case NEUTRAL_STOP:
    case NEUTRAL_STOP_SEQUENCE:
    case NEUTRAL_TOOL_CALLS: return NULL;
    case NEUTRAL_LENGTH: return "max_output_tokens";
    case NEUTRAL_CONTENT_FILTER: return "content_filter";
    }
    return NULL;
}

static void write_response(struct json_writer *writer, const struct sequence_context *context,
    const struct fold *fold, bool is_done)
{
    const char *reason = is_done ? incomplete_reason(fold) : NULL;
    json_key(writer, "id");
    codec_id(writer, "resp_", context, -1);
    codec_member(writer, "object", SLICE("response"));
    json_key(writer, "created_at");
    json_integer(writer, fold->created_s);
    codec_member(writer, "status",
        !is_done ? SLICE("in_progress")
        : reason ? SLICE("incomplete")
                 : SLICE("completed"));
    codec_raw_member(writer, "error", SLICE("null"));
    json_key(writer, "incomplete_details");
    if (reason) {
        json_open(writer, '{');
        codec_member(writer, "reason", slice_text(reason));
        json_close(writer, '}');
    } else {
        json_null(writer);
    }
    codec_raw_member(writer, "instructions", SLICE("null"));
    codec_member(writer, "model", buf_slice(&fold->model));
    json_key(writer, "output");
    json_open(writer, '[');
    for (size_t i = 0; is_done && i < fold->count; i++)
        write_item(writer, &fold->parts[i], context, (int64_t)i, true);
    json_close(writer, ']');
    codec_raw_member(writer, "parallel_tool_calls", SLICE("true"));
    codec_raw_member(writer, "temperature", SLICE("null"));
    codec_member(writer, "tool_choice", SLICE("auto"));
    codec_raw_member(writer, "tools", SLICE("[]"));
    codec_raw_member(writer, "top_p", SLICE("null"));
    write_usage(writer, is_done ? &fold->usage : &NEUTRAL_USAGE_UNKNOWN);
    codec_raw_member(writer, "metadata", SLICE("{}"));
}

/* ---- writing: events ---- */

static enum err close_event(struct telling *telling)
{
    codec_close_event(&telling->writer);
    return telling->writer.err;
}

static enum err tell_response(struct telling *telling, const char *name, bool is_done)
{
    open_event(telling, name);
    json_key(&telling->writer, "response");
    json_open(&telling->writer, '{');
    write_response(&telling->writer, telling->context, telling->fold, is_done);
    json_close(&telling->writer, '}');
    return close_event(telling);
}

/* Which item, and which part of it. */
static void write_place(struct telling *telling, const struct fold_part *part)
{
    struct json_writer *writer = &telling->writer;
    int64_t index = telling->state->items - 1;
    json_key(writer, "item_id");
    write_item_id(writer, part->kind, telling->context, index);
    json_key(writer, "output_index");
    json_integer(writer, index);
    if (part->kind == NEUTRAL_TOOL_CALL)
        return;
    json_key(writer, part->kind == NEUTRAL_REASONING ? "summary_index" : "content_index");
    json_integer(writer, 0);
}

static enum err tell_item(struct telling *telling, const struct fold_part *part, bool is_done)
{
    open_event(telling, is_done ? "response.output_item.done" : "response.output_item.added");
    json_key(&telling->writer, "output_index");
    json_integer(&telling->writer, telling->state->items - 1);
    json_key(&telling->writer, "item");
    write_item(&telling->writer, part, telling->context, telling->state->items - 1, is_done);
    return close_event(telling);
}

static enum err tell_part(struct telling *telling, const struct fold_part *part, bool is_done)
{
    bool is_reasoning = part->kind == NEUTRAL_REASONING;
    open_event(telling,
        is_reasoning ? (is_done ? "response.reasoning_summary_part.done"
                                : "response.reasoning_summary_part.added")
                     : (is_done ? "response.content_part.done" : "response.content_part.added"));
    write_place(telling, part);
    json_key(&telling->writer, "part");
    write_text_part(&telling->writer, part->kind, is_done ? buf_slice(&part->text) : SLICE_NONE);
    return close_event(telling);
}

static const struct {
    const char *delta, *done, *text;
} words[] = {
    [NEUTRAL_TEXT] = {"response.output_text.delta", "response.output_text.done", "text"},
    [NEUTRAL_REASONING] = {"response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done", "text"},
    [NEUTRAL_TOOL_CALL] = {"response.function_call_arguments.delta",
        "response.function_call_arguments.done", "arguments"},
    [NEUTRAL_REFUSAL] = {"response.refusal.delta", "response.refusal.done", "refusal"},
};

static enum err tell_text(
    struct telling *telling, const struct fold_part *part, bool is_done, struct slice text)
{
    open_event(telling, is_done ? words[part->kind].done : words[part->kind].delta);
    write_place(telling, part);
    codec_member(&telling->writer, is_done ? words[part->kind].text : "delta", text);
    if (part->kind == NEUTRAL_TEXT)
        codec_raw_member(&telling->writer, "logprobs", SLICE("[]"));
    return close_event(telling);
}

static enum err tell_begin(struct telling *telling, const struct fold_part *part)
{
    telling->state->items++;
    telling->state->has_summary = false;
    TRY(tell_item(telling, part, false));
    if (part->kind == NEUTRAL_TEXT || part->kind == NEUTRAL_REFUSAL)
        return tell_part(telling, part, false);
    return ERR_OK;
}

/* A summary's part begins with its first text: there may be none. */
static enum err tell_delta(struct telling *telling, const struct fold_part *part, struct slice text)
{
    if (part->kind == NEUTRAL_REASONING && !telling->state->has_summary) {
        telling->state->has_summary = true;
        TRY(tell_part(telling, part, false));
    }
    return tell_text(telling, part, false, text);
}

static enum err tell_end(struct telling *telling, const struct fold_part *part)
{
    bool has_text = part->kind != NEUTRAL_REASONING || telling->state->has_summary;
    if (has_text)
        TRY(tell_text(telling, part, true, buf_slice(&part->text)));
    if (has_text && part->kind != NEUTRAL_TOOL_CALL)
        TRY(tell_part(telling, part, true));
    return tell_item(telling, part, true);
}

static enum err tell_error(struct telling *telling, const struct neutral_error *error)
{
    open_event(telling, "error");
    codec_member(
        &telling->writer, "code", error->code.size ? error->code : SLICE("upstream_error"));
    codec_member(&telling->writer, "message", error->message);
    codec_raw_member(&telling->writer, "param", SLICE("null"));
    return close_event(telling);
}

static enum err responses_write_event(void *state, const struct neutral_event *event,
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct telling telling = {.state = state, .context = context, .fold = fold, .out = out};
    const struct fold_part *part = fold_last(fold);
    switch (event->kind) {
    case NEUTRAL_START:
        TRY(tell_response(&telling, "response.created", false));
        return tell_response(&telling, "response.in_progress", false);
    case NEUTRAL_BEGIN: return tell_begin(&telling, part);
    case NEUTRAL_DELTA: return tell_delta(&telling, part, event->text);
    case NEUTRAL_END: return tell_end(&telling, part);
    case NEUTRAL_SEAL:
    case NEUTRAL_USAGE:
    case NEUTRAL_FINISH: return ERR_OK; /* the fold has them */
    case NEUTRAL_DONE:
        return tell_response(
            &telling, incomplete_reason(fold) ? "response.incomplete" : "response.completed", true);
    case NEUTRAL_ERROR: return tell_error(&telling, &event->error);
    }
    return ERR_OK;
}

static enum err responses_write_body(
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    write_response(&writer, context, fold, true);
    json_close(&writer, '}');
    return writer.err;
}

const struct codec_response openai_responses_response = {
    .framing = TRANSLATE_SSE,
    .content_type = "text/event-stream",
    .reader_bytes = 0,
    .writer_bytes = sizeof(struct responses_writer),
    .read_event = responses_read_event,
    .read_body = responses_read_body,
    .fold = FOLD_EVERYTHING,
    .write_event = responses_write_event,
    .write_body = responses_write_body,
};
