/* openai_responses_tell — the events of the Responses API, written; and the whole body. (Their picture:
 * openai_responses_response.)
 *
 * Each text or refusal is a message item of one part, each reasoning an item with one summary. What a
 * response repeats of its request (tools, instructions, …) is not repeated: those members are there,
 * and empty.
 *
 * Of a response that goes on, the items that the caller was told whole are repeated as they were told
 * (fold->told); the open one keeps its ID, and is ended by what is still missing of its events:
 *
 *     NO_ITEM ─item.added▶ ITEM ─part.added▶ PART ─text.done▶ TEXT_DONE ─part.done▶ PART_DONE ─item.done▶ NO_ITEM */
#include "protocol/dialect/codec.h"

#include <assert.h>

#include "protocol/dialect/walk.h"

codec_write_event openai_responses_write_event;
codec_write_body openai_responses_write_body;
codec_told openai_responses_told;
codec_cannot openai_responses_cannot;
codec_go_on openai_responses_go_on;

/* ---- items ---- */

struct responses_writer {
    int64_t number; /* of the next event */
    int64_t items;  /* begun so far; the open one has the index items - 1 */
    bool has_summary;
    /* Of what was told before, the item that is open: how far it was told, of what type it is, and its
     * parts so far. */
    enum stage { NO_ITEM, ITEM, PART, TEXT_DONE, PART_DONE } stage;
    enum { MESSAGE, CALL, OTHER } type;
    unsigned parts;
};

static_assert(sizeof(struct responses_writer) <= CODEC_WRITER_BYTES, "the codec's state holds it");

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
    const struct sequence_context *context, const struct fold *fold, int64_t index)
{
    if (fold->told.open_id.size && index == fold->told.count) {
        json_string(writer, buf_slice(&fold->told.open_id));
        return;
    }
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
    const struct sequence_context *context, const struct fold *fold, int64_t index, bool is_done)
{
    static const struct fold_part empty;
    const struct fold_part *content = is_done ? part : &empty;
    json_open(writer, '{');
    json_key(writer, "id");
    write_item_id(writer, part->kind, context, fold, index);
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

/* ---- the response object ---- */

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

/* Each item has its index, those that were told before first. */
static void write_output(
    struct json_writer *writer, const struct sequence_context *context, const struct fold *fold)
{
    json_key(writer, "output");
    json_open(writer, '[');
    if (fold->told.count > 0)
        json_raw(writer, buf_slice(&fold->told.items));
    for (size_t i = fold->told.parts; i < fold->count; i++)
        write_item(writer, &fold->parts[i], context, fold,
            fold->told.count + (int64_t)(i - fold->told.parts), true);
    json_close(writer, ']');
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
    if (is_done)
        write_output(writer, context, fold);
    else
        codec_raw_member(writer, "output", SLICE("[]"));
    codec_raw_member(writer, "parallel_tool_calls", SLICE("true"));
    codec_raw_member(writer, "temperature", SLICE("null"));
    codec_member(writer, "tool_choice", SLICE("auto"));
    codec_raw_member(writer, "tools", SLICE("[]"));
    codec_raw_member(writer, "top_p", SLICE("null"));
    write_usage(writer, is_done ? &fold->usage : &NEUTRAL_USAGE_UNKNOWN);
    codec_raw_member(writer, "metadata", SLICE("{}"));
}

/* ---- events ---- */

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
    write_item_id(writer, part->kind, telling->context, telling->fold, index);
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
    write_item(&telling->writer, part, telling->context, telling->fold, telling->state->items - 1,
        is_done);
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

enum err openai_responses_write_event(void *state, const struct neutral_event *event,
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

/* ---- going on ---- */

static enum err told_item_added(struct responses_writer *state, struct json_span item,
    struct json_span index, struct sequence *seen, struct fold *fold)
{
    static const char *const names[] = {"type", "id"};
    struct json_span spans[COUNT_OF(names)];
    codec_scan(item, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], seen);
    state->items = codec_count(index) >= 0 ? codec_count(index) + 1 : state->items + 1;
    state->stage = ITEM;
    state->parts = 0;
    state->type = slice_equal(type, SLICE("message"))         ? MESSAGE
                  : slice_equal(type, SLICE("function_call")) ? CALL
                                                              : OTHER;
    buf_clear(&fold->told.open_id);
    return buf_append(&fold->told.open_id, codec_text(spans[1], seen));
}

static enum err told_item_done(
    struct responses_writer *state, struct json_span item, struct fold *fold)
{
    struct buf *items = &fold->told.items;
    state->stage = NO_ITEM;
    buf_clear(&fold->told.open_id);
    if (items->size)
        TRY(buf_append_byte(items, ','));
    TRY(buf_append(items, item.raw));
    fold->told.count = state->items;
    fold->told.parts = fold->count;
    return ERR_OK;
}

/* Of content: how far its item is told. A call's text is not in a part. */
static const struct {
    const char *name;
    enum stage stage;
} stages[] = {
    {"response.content_part.added", PART},
    {"response.output_text.done", TEXT_DONE},
    {"response.refusal.done", TEXT_DONE},
    {"response.function_call_arguments.done", TEXT_DONE},
    {"response.content_part.done", PART_DONE},
};

enum err openai_responses_told(
    void *opaque, const void *reader, struct slice frame, struct sequence *seen, struct fold *fold)
{
    static const char *const names[] = {"type", "sequence_number", "output_index", "item"};
    struct responses_writer *state = opaque;
    struct json_span spans[COUNT_OF(names)];
    struct slice event, data;
    (void)reader;
    if (!codec_frame(frame, &event, &data, seen))
        return ERR_OK;
    codec_scan((struct json_span){JSON_OBJECT, data}, names, COUNT_OF(names), spans);
    struct slice type = codec_text(spans[0], seen);
    if (type.size == 0)
        type = event;
    state->number = codec_count(spans[1]) >= 0 ? codec_count(spans[1]) + 1 : state->number + 1;
    if (slice_equal(type, SLICE("response.output_item.added")))
        return told_item_added(state, spans[3], spans[2], seen, fold);
    if (slice_equal(type, SLICE("response.output_item.done")) && spans[3].type == JSON_OBJECT)
        return told_item_done(state, spans[3], fold);
    for (size_t i = 0; i < COUNT_OF(stages); i++)
        if (slice_equal(type, slice_text(stages[i].name))) {
            state->stage = stages[i].stage;
            state->parts += state->stage == PART;
        }
    return ERR_OK;
}

/* An item without a part gets one: what follows is most likely text. */
static enum err open_text(struct telling *telling, struct sequence *seen, struct fold *fold)
{
    sequence_clear(seen);
    sequence_open(seen, NEUTRAL_TEXT);
    TRY(seen->err);
    TRY(fold_event(fold, &seen->events[0]));
    return tell_part(telling, fold_last(fold), false);
}

/* Whether what is open in the neutral events is what is open in the items. */
static bool is_in_step(
    const struct responses_writer *state, const struct sequence *seen, const struct fold *fold)
{
    bool has_part = fold->count > fold->told.parts;
    enum neutral_part_kind kind = has_part ? fold_last(fold)->kind : NEUTRAL_IMAGE;
    bool is_open = seen->is_open && has_part && kind == seen->open;
    if (state->type == CALL && state->stage != NO_ITEM)
        return is_open && kind == NEUTRAL_TOOL_CALL && state->stage != PART &&
               state->stage != PART_DONE;
    switch (state->stage) {
    case NO_ITEM: return !seen->is_open && !has_part;
    case ITEM: return seen->is_started && !seen->is_open && !has_part;
    case PART:
    case TEXT_DONE: return is_open && (kind == NEUTRAL_TEXT || kind == NEUTRAL_REFUSAL);
    case PART_DONE: return !seen->is_open && (kind == NEUTRAL_TEXT || kind == NEUTRAL_REFUSAL);
    }
    return false;
}

const char *openai_responses_cannot(
    const void *opaque, const struct sequence *seen, const struct fold *fold)
{
    const struct responses_writer *state = opaque;
    bool is_item_open = state->stage != NO_ITEM;
    return is_item_open && state->type == OTHER
               ? "reasoning was under way, which another model cannot go on with"
           : is_item_open && state->parts > 1 ? "an item of several parts was under way"
           : !is_in_step(state, seen, fold)
               ? "the provider's events were not in the order of the Responses API"
               : NULL;
}

enum err openai_responses_go_on(void *opaque, const struct sequence_context *context,
    struct sequence *seen, struct fold *fold, struct buf *out)
{
    struct responses_writer *state = opaque;
    struct telling telling = {.state = state, .context = context, .fold = fold, .out = out};
    const struct fold_part *part = fold_last(fold);
    ASSERT(!openai_responses_cannot(state, seen, fold));
    if (state->stage == NO_ITEM)
        return ERR_OK;
    if (state->type == MESSAGE && state->stage == ITEM)
        return open_text(&telling, seen, fold);
    if (state->type == MESSAGE && state->stage == PART)
        return ERR_OK;
    if (state->type == CALL && state->stage == ITEM)
        TRY(tell_text(&telling, part, true, buf_slice(&part->text)));
    if (state->type == MESSAGE && state->stage == TEXT_DONE)
        TRY(tell_part(&telling, part, true));
    sequence_close(seen);
    return tell_item(&telling, part, true);
}

enum err openai_responses_write_body(
    const struct sequence_context *context, const struct fold *fold, struct buf *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_open(&writer, '{');
    write_response(&writer, context, fold, true);
    json_close(&writer, '}');
    return writer.err;
}
