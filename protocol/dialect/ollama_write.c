/* ollama_write — the body of POST /api/chat, written.
 *
 *     {"model", "messages": [
 *        {"role": "system" | "user", "content": "…", "images": ["base64"…]},
 *        {"role": "assistant", "content": "…", "thinking": "…",
 *         "tool_calls": [{"id", "function": {"name", "arguments": {…}}}]},
 *        {"role": "tool", "content": "…", "tool_name", "tool_call_id", "images"}],
 *      "tools": [{"type": "function", "function": {"name", "description", "parameters"}}],
 *      "format": "json" | {schema}, "think": false | "low" | "medium" | "high" | "max",
 *      "options": {"num_predict", "temperature", …, "stop": […]}, "stream": true | false}
 *
 * A message holds one text and one thought: a second one begins another message of the same role, as
 * in Ollama's own translation of Chat Completions; its templates put them together again. The texts
 * of a tool's result become one, likewise. Streaming is the default, so that it is always said.
 *
 *   source  ollama.h; openai/openai.go FromChatRequest, thinkFromReasoningEffort, and
 *           anthropic/anthropic.go convertMessage, at the same commit */
#include "protocol/base/own.h"
#include "protocol/dialect/call_index.h"
#include "protocol/dialect/chat.h"
#include "protocol/dialect/walk.h"

codec_write_request ollama_write_request;

/* A request being written, with what has to be looked up on the way. */
struct asking {
    struct sending sending;
    struct call_index calls;
};

/* The parts [from, end) of a message: what becomes one message there. */
struct range {
    const struct neutral_part *from, *end;
};

static bool is_text(const struct neutral_part *part)
{
    return part->kind == NEUTRAL_TEXT || part->kind == NEUTRAL_REFUSAL;
}

static bool is_thought(const struct neutral_part *part)
{
    return part->kind == NEUTRAL_REASONING && part->text.size > 0;
}

static size_t count_kind(struct range range, enum neutral_part_kind kind)
{
    size_t count = 0;
    for (const struct neutral_part *part = range.from; part != range.end; part = part->next)
        count += part->kind == kind;
    return count;
}

/* ---- what a message holds ---- */

static enum err write_images(struct sending *sending, struct range range)
{
    struct json_writer *writer = &sending->writer;
    if (count_kind(range, NEUTRAL_IMAGE) == 0)
        return ERR_OK;
    json_key(writer, "images");
    json_open(writer, '[');
    for (const struct neutral_part *part = range.from; part != range.end; part = part->next) {
        if (part->kind != NEUTRAL_IMAGE)
            continue;
        if (part->url.size)
            return neutral_refuse(
                sending->report, part->path, "Ollama takes an image as data, not by its URL");
        json_string(writer, part->data);
        codec_leave_out_cache(sending->report, part->path, part->cache);
        if (part->detail.size && !slice_equal(part->detail, SLICE("auto")))
            codec_leave_out(sending->report, part->path, "detail");
    }
    json_close(writer, ']');
    return writer->err;
}

/* The arguments are an object there, not its text. */
static enum err write_call(struct asking *asking, const struct neutral_part *part)
{
    struct json_writer *writer = &asking->sending.writer;
    const char *why;
    size_t at;
    if (part->text.size && json_object_check(part->text, &why, &at) != ERR_OK)
        return neutral_refuse(asking->sending.report, part->path,
            "the arguments of the call are no JSON object: %s (at byte %zu)", why, at);
    json_open(writer, '{');
    codec_member(writer, "id", part->id);
    json_key(writer, "function");
    json_open(writer, '{');
    codec_member(writer, "name", part->name);
    codec_raw_member(writer, "arguments", part->text.size ? part->text : SLICE("{}"));
    json_close(writer, '}');
    json_close(writer, '}');
    codec_leave_out_cache(asking->sending.report, part->path, part->cache);
    return call_index_note(&asking->calls, part);
}

static enum err write_calls(struct asking *asking, struct range range)
{
    struct json_writer *writer = &asking->sending.writer;
    if (count_kind(range, NEUTRAL_TOOL_CALL) == 0)
        return ERR_OK;
    json_key(writer, "tool_calls");
    json_open(writer, '[');
    for (const struct neutral_part *part = range.from; part != range.end; part = part->next)
        if (part->kind == NEUTRAL_TOOL_CALL)
            TRY(write_call(asking, part));
    json_close(writer, ']');
    return writer->err;
}

/* The text, and the thought, if they are there. A seal means nothing to Ollama. */
static void write_words(struct sending *sending, struct range range)
{
    struct json_writer *writer = &sending->writer;
    struct slice text = SLICE_NONE, thought = SLICE_NONE;
    for (const struct neutral_part *part = range.from; part != range.end; part = part->next) {
        if (is_text(part))
            text = part->text;
        else if (is_thought(part))
            thought = part->text;
        if (is_text(part))
            codec_leave_out_cache(sending->report, part->path, part->cache);
        if (part->kind == NEUTRAL_REASONING && (part->opaque.size || !is_thought(part)))
            neutral_leave_out(sending->report, part->path);
    }
    codec_member(writer, "content", text);
    if (thought.size)
        codec_member(writer, "thinking", thought);
}

/* ---- results ---- */

static enum err write_result_text(struct sending *sending, const struct neutral_part *content)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, NEUTRAL_REQUEST_BYTES_MAX);
    for (; content; content = content->next)
        if (content->kind == NEUTRAL_TEXT)
            TRY(buf_append(&text, content->text));
    codec_member(&sending->writer, "content", buf_slice(&text));
    return ERR_OK;
}

static enum err write_result(struct asking *asking, const struct neutral_part *result)
{
    struct sending *sending = &asking->sending;
    struct json_writer *writer = &sending->writer;
    const struct neutral_part *call = call_index_find(&asking->calls, result->id);
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("tool"));
    TRY(write_result_text(sending, result->content));
    TRY(write_images(sending, (struct range){result->content, NULL}));
    if (call)
        codec_member(writer, "tool_name", call->name);
    codec_member(writer, "tool_call_id", result->id);
    json_close(writer, '}');
    codec_leave_out_cache(sending->report, result->path, result->cache);
    if (result->is_error)
        codec_leave_out(sending->report, result->path, "is_error");
    return writer->err;
}

/* ---- messages ---- */

/* Up to the second text or thought, or a result. */
static const struct neutral_part *end_of(const struct neutral_part *part)
{
    bool has_text = false, has_thought = false;
    for (; part && part->kind != NEUTRAL_TOOL_RESULT; part = part->next) {
        if ((is_text(part) && has_text) || (is_thought(part) && (has_thought || has_text)))
            break;
        has_text |= is_text(part);
        has_thought |= is_thought(part);
    }
    return part;
}

static enum err write_range(struct asking *asking, const char *role, struct range range)
{
    struct json_writer *writer = &asking->sending.writer;
    json_open(writer, '{');
    codec_member(writer, "role", slice_text(role));
    write_words(&asking->sending, range);
    TRY(write_images(&asking->sending, range));
    TRY(write_calls(asking, range));
    json_close(writer, '}');
    return writer->err;
}

/* In the order in which a message there is read: its text comes before its calls. */
static enum err check_order(struct asking *asking, const struct neutral_part *part)
{
    bool has_call = false;
    for (; part; part = part->next) {
        has_call |= part->kind == NEUTRAL_TOOL_CALL;
        if (has_call && (is_text(part) || is_thought(part)))
            return neutral_refuse(asking->sending.report, part->path,
                "in Ollama's API the text of a message comes before its tool calls");
    }
    return ERR_OK;
}

static enum err write_message(struct asking *asking, const struct neutral_message *message)
{
    static const char *const roles[] = {[NEUTRAL_SYSTEM] = "system",
        [NEUTRAL_DEVELOPER] = "system",
        [NEUTRAL_USER] = "user",
        [NEUTRAL_ASSISTANT] = "assistant"};
    const struct neutral_part *part = message->parts;
    TRY(check_order(asking, part));
    do {
        const struct neutral_part *end = end_of(part);
        if (part != end || !part)
            TRY(write_range(asking, roles[message->role], (struct range){part, end}));
        if (end && end->kind == NEUTRAL_TOOL_RESULT) {
            TRY(write_result(asking, end));
            end = end->next;
        }
        part = end;
    } while (part);
    return ERR_OK;
}

static enum err write_messages(struct asking *asking)
{
    struct json_writer *writer = &asking->sending.writer;
    json_key(writer, "messages");
    json_open(writer, '[');
    for (const struct neutral_message *message = asking->sending.request->messages; message;
         message = message->next)
        TRY(write_message(asking, message));
    json_close(writer, ']');
    return writer->err;
}

/* ---- tools ---- */

static void write_tool(struct sending *sending, const struct neutral_tool *tool)
{
    chat_write_tool(sending, tool, codec_schema(tool), SLICE_NONE);
    if (slice_equal(tool->strict, SLICE("true")))
        codec_leave_out(sending->report, tool->path, "strict");
}

/* A model that must not call any is told of none. */
static enum err write_tools(struct sending *sending)
{
    const struct neutral_request *request = sending->request;
    if (!request->tools)
        return ERR_OK;
    if (slice_equal(request->choice.parallel.raw, SLICE("false")))
        return neutral_refuse(sending->report, request->choice.parallel.path,
            "Ollama has no word for at most one call at a time");
    switch (request->choice.kind) {
    case NEUTRAL_CHOICE_UNSAID:
    case NEUTRAL_CHOICE_AUTO: sending_tools(sending, write_tool); break;
    case NEUTRAL_CHOICE_NONE: break;
    case NEUTRAL_CHOICE_ANY:
    case NEUTRAL_CHOICE_NAMED:
        return neutral_refuse(sending->report, request->choice.path,
            "Ollama has no word for a tool that must be called");
    }
    return ERR_OK;
}

/* ---- the rest ---- */

static void write_format(struct sending *sending)
{
    const struct neutral_request *request = sending->request;
    switch (request->format.kind) {
    case NEUTRAL_FORMAT_TEXT: return;
    case NEUTRAL_FORMAT_JSON: codec_member(&sending->writer, "format", SLICE("json")); break;
    case NEUTRAL_FORMAT_SCHEMA:
        codec_raw_member(&sending->writer, "format", request->format.schema);
        break;
    }
    if (request->format.description.size)
        codec_leave_out(sending->report, request->format.path, "description");
}

static struct slice level_of(struct slice effort)
{
    if (slice_equal(effort, SLICE("minimal")))
        return SLICE("low");
    return slice_equal(effort, SLICE("xhigh")) ? SLICE("max") : effort;
}

static void write_thinking(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    struct slice effort = codec_effort(request);
    bool is_off = slice_equal(effort, SLICE("none"));
    if (is_off || (effort.size == 0 && request->reasoning.is_adaptive)) {
        json_key(writer, "think");
        json_boolean(writer, !is_off);
    } else if (effort.size) {
        codec_member(writer, "think", level_of(effort));
    }
    if (request->reasoning.summary.size)
        codec_leave_out(sending->report, request->reasoning.path, "summary");
}

static enum err write_options(struct sending *sending)
{
    static const struct codec_option options[] = {
        {NEUTRAL_OUTPUT_TOKENS, .name = "num_predict"},
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "top_p"},
        {NEUTRAL_TOP_K, .name = "top_k"},
        {NEUTRAL_SEED, .name = "seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .name = "frequency_penalty"},
        {NEUTRAL_PRESENCE_PENALTY, .name = "presence_penalty"},
        {NEUTRAL_VERBOSITY, .why = "Ollama's API has no verbosity", .unless = "\"medium\""},
    };
    struct json_writer *writer = &sending->writer;
    const struct neutral_value *user = &sending->request->options[NEUTRAL_USER_ID];
    json_key(writer, "options");
    json_open(writer, '{');
    TRY(codec_options(writer, sending->request, options, COUNT_OF(options), sending->report));
    codec_stops(writer, "stop", sending->request);
    json_close(writer, '}');
    json_key(writer, "stream");
    json_boolean(writer, sending->request->is_streamed);
    if (user->raw.size)
        neutral_leave_out(sending->report, user->path);
    return writer->err;
}

static enum err write_body(struct asking *asking)
{
    TRY(write_messages(asking));
    TRY(write_tools(&asking->sending));
    write_format(&asking->sending);
    write_thinking(&asking->sending);
    return write_options(&asking->sending);
}

enum err ollama_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct asking asking = {.sending = sending_begin(request, target, out, report)};
    call_index_init(&asking.calls);
    enum err err = write_body(&asking);
    call_index_deinit(&asking.calls);
    TRY(err);
    return sending_end(&asking.sending, out, "/chat");
}
