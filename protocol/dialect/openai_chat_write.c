/* openai_chat_write — the body of POST /v1/chat/completions, written (its picture: openai_chat_read).
 *
 * An assistant's message holds its text before its tool calls; one that had text after a call
 * cannot be told in order. Each tool result is a message of its own. Reasoning goes back only to
 * providers that are known to take it: OpenAI's own API has no place for it. */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/sending.h"
#include "protocol/dialect/walk.h"

codec_write_request openai_chat_write_request;

/* ---- parts ---- */

static void leave_out_hints(struct sending *sending, const struct neutral_part *part)
{
    codec_leave_out_cache(sending->report, part->path, part->cache);
}

static void write_text_part(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("text"));
    codec_member(writer, "text", part->text);
    json_close(writer, '}');
    leave_out_hints(sending, part);
}

static enum err write_image_part(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("image_url"));
    json_key(writer, "image_url");
    json_open(writer, '{');
    json_key(writer, "url");
    codec_image_address(writer, part);
    if (part->detail.size && !slice_equal(part->detail, SLICE("auto")))
        codec_member(writer, "detail", part->detail);
    json_close(writer, '}');
    json_close(writer, '}');
    leave_out_hints(sending, part);
    return ERR_OK;
}

static size_t count_kind(const struct neutral_part *part, enum neutral_part_kind kind)
{
    size_t count = 0;
    for (; part; part = part->next)
        count += part->kind == kind;
    return count;
}

/* The value of "content": the parts of `kind` up to `end`; a single text is a string. */
static enum err write_content(
    struct sending *sending, const struct neutral_part *part, const struct neutral_part *end)
{
    struct json_writer *writer = &sending->writer;
    if (!part || part == end)
        json_string(writer, SLICE_NONE);
    else if (part->next == end && part->kind == NEUTRAL_TEXT) {
        json_string(writer, part->text);
        leave_out_hints(sending, part);
    } else {
        json_open(writer, '[');
        for (; part != end; part = part->next) {
            if (part->kind == NEUTRAL_TEXT)
                write_text_part(sending, part);
            else if (part->kind == NEUTRAL_IMAGE)
                TRY(write_image_part(sending, part));
            else
                return neutral_refuse(
                    sending->report, part->path, "Chat Completions has no place for it here");
        }
        json_close(writer, ']');
    }
    return writer->err;
}

/* ---- messages ---- */

static enum err write_result(struct sending *sending, const struct neutral_part *result)
{
    struct json_writer *writer = &sending->writer;
    for (const struct neutral_part *part = result->content; part; part = part->next)
        if (part->kind == NEUTRAL_IMAGE)
            return neutral_refuse(
                sending->report, part->path, "a tool's result in Chat Completions holds text only");
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("tool"));
    codec_member(writer, "tool_call_id", result->id);
    json_key(writer, "content");
    TRY(write_content(sending, result->content, NULL));
    json_close(writer, '}');
    leave_out_hints(sending, result);
    if (result->is_error)
        codec_leave_out(sending->report, result->path, "is_error");
    return writer->err;
}

static enum err write_plain(struct sending *sending, const char *role,
    const struct neutral_part *part, const struct neutral_part *end)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "role", slice_text(role));
    json_key(writer, "content");
    TRY(write_content(sending, part, end));
    json_close(writer, '}');
    return writer->err;
}

/* Results are messages of their own, and so is each run of other parts between them. */
static enum err write_user(struct sending *sending, const struct neutral_message *message)
{
    const struct neutral_part *part = message->parts;
    if (!part)
        return write_plain(sending, "user", NULL, NULL);
    while (part) {
        const struct neutral_part *end = part;
        while (end && end->kind != NEUTRAL_TOOL_RESULT)
            end = end->next;
        if (part != end)
            TRY(write_plain(sending, "user", part, end));
        if (end)
            TRY(write_result(sending, end));
        part = end ? end->next : NULL;
    }
    return ERR_OK;
}

static void write_call(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "id", part->id);
    codec_member(writer, "type", SLICE("function"));
    json_key(writer, "function");
    json_open(writer, '{');
    codec_member(writer, "name", part->name);
    codec_member(writer, "arguments", part->text.size ? part->text : SLICE("{}"));
    json_close(writer, '}');
    json_close(writer, '}');
    leave_out_hints(sending, part);
}

static void write_calls(struct sending *sending, const struct neutral_part *part)
{
    if (count_kind(part, NEUTRAL_TOOL_CALL) == 0)
        return;
    json_key(&sending->writer, "tool_calls");
    json_open(&sending->writer, '[');
    for (; part; part = part->next)
        if (part->kind == NEUTRAL_TOOL_CALL)
            write_call(sending, part);
    json_close(&sending->writer, ']');
}

/* The text of all parts of a kind, one after another: of reasoning and refusals. */
static void write_joined(struct sending *sending, const char *name, const struct neutral_part *part,
    enum neutral_part_kind kind)
{
    struct json_writer *writer = &sending->writer;
    struct buf text;
    if (count_kind(part, kind) == 0)
        return;
    buf_init(&text, NEUTRAL_REQUEST_BYTES_MAX);
    for (; part && writer->err == ERR_OK; part = part->next)
        if (part->kind == kind)
            writer->err = buf_append(&text, part->text);
    codec_member(writer, name, buf_slice(&text));
    buf_deinit(&text);
}

static void write_reasoning(struct sending *sending, const struct neutral_part *parts)
{
    if (sending->target->takes_reasoning)
        write_joined(sending, "reasoning_content", parts, NEUTRAL_REASONING);
    for (const struct neutral_part *part = parts; part; part = part->next)
        if (part->kind == NEUTRAL_REASONING &&
            (!sending->target->takes_reasoning || part->opaque.size))
            neutral_leave_out(sending->report, part->path);
}

/* Only text and tool calls; text before calls. */
static enum err check_order(struct sending *sending, const struct neutral_part *part)
{
    bool has_call = false;
    for (; part; part = part->next) {
        has_call |= part->kind == NEUTRAL_TOOL_CALL;
        if (part->kind == NEUTRAL_IMAGE)
            return neutral_refuse(
                sending->report, part->path, "an assistant's message cannot hold images here");
        if (part->kind == NEUTRAL_TEXT && has_call)
            return neutral_refuse(sending->report, part->path,
                "in Chat Completions the text of a message comes before its tool calls");
    }
    return ERR_OK;
}

static void write_assistant_text(struct sending *sending, const struct neutral_part *parts)
{
    struct json_writer *writer = &sending->writer;
    size_t count = count_kind(parts, NEUTRAL_TEXT);
    json_key(writer, "content");
    if (count == 0 && count_kind(parts, NEUTRAL_TOOL_CALL) > 0)
        json_null(writer);
    else if (count == 0)
        json_string(writer, SLICE_NONE);
    if (count > 1)
        json_open(writer, '[');
    for (const struct neutral_part *part = parts; part; part = part->next) {
        if (part->kind != NEUTRAL_TEXT)
            continue;
        if (count > 1) {
            write_text_part(sending, part);
        } else {
            json_string(writer, part->text);
            leave_out_hints(sending, part);
        }
    }
    if (count > 1)
        json_close(writer, ']');
}

static enum err write_assistant(struct sending *sending, const struct neutral_message *message)
{
    struct json_writer *writer = &sending->writer;
    TRY(check_order(sending, message->parts));
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("assistant"));
    write_reasoning(sending, message->parts);
    write_assistant_text(sending, message->parts);
    write_joined(sending, "refusal", message->parts, NEUTRAL_REFUSAL);
    write_calls(sending, message->parts);
    json_close(writer, '}');
    return writer->err;
}

static enum err write_messages(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    json_key(writer, "messages");
    json_open(writer, '[');
    for (const struct neutral_message *message = sending->request->messages; message;
         message = message->next) {
        switch (message->role) {
        case NEUTRAL_SYSTEM: TRY(write_plain(sending, "system", message->parts, NULL)); break;
        case NEUTRAL_DEVELOPER: TRY(write_plain(sending, "developer", message->parts, NULL)); break;
        case NEUTRAL_USER: TRY(write_user(sending, message)); break;
        case NEUTRAL_ASSISTANT: TRY(write_assistant(sending, message)); break;
        }
    }
    json_close(writer, ']');
    return writer->err;
}

/* ---- tools ---- */

static void write_tool(struct sending *sending, const struct neutral_tool *tool)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("function"));
    json_key(writer, "function");
    json_open(writer, '{');
    codec_member(writer, "name", tool->name);
    if (tool->description.size)
        codec_member(writer, "description", tool->description);
    codec_raw_member(writer, "parameters", tool->schema);
    codec_raw_member(writer, "strict", tool->strict);
    json_close(writer, '}');
    json_close(writer, '}');
    codec_leave_out_cache(sending->report, tool->path, tool->cache);
}

static void write_choice(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    switch (request->choice.kind) {
    case NEUTRAL_CHOICE_UNSAID: break;
    case NEUTRAL_CHOICE_AUTO: codec_member(writer, "tool_choice", SLICE("auto")); break;
    case NEUTRAL_CHOICE_NONE: codec_member(writer, "tool_choice", SLICE("none")); break;
    case NEUTRAL_CHOICE_ANY: codec_member(writer, "tool_choice", SLICE("required")); break;
    case NEUTRAL_CHOICE_NAMED:
        json_key(writer, "tool_choice");
        json_open(writer, '{');
        codec_member(writer, "type", SLICE("function"));
        json_key(writer, "function");
        json_open(writer, '{');
        codec_member(writer, "name", request->choice.name);
        json_close(writer, '}');
        json_close(writer, '}');
        break;
    }
    codec_raw_member(writer, "parallel_tool_calls", request->choice.parallel.raw);
}

/* ---- the rest ---- */

static void write_format(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    if (request->format.kind == NEUTRAL_FORMAT_TEXT)
        return;
    json_key(writer, "response_format");
    json_open(writer, '{');
    if (request->format.kind == NEUTRAL_FORMAT_JSON) {
        codec_member(writer, "type", SLICE("json_object"));
    } else {
        codec_member(writer, "type", SLICE("json_schema"));
        json_key(writer, "json_schema");
        json_open(writer, '{');
        codec_member(
            writer, "name", request->format.name.size ? request->format.name : SLICE("response"));
        if (request->format.description.size)
            codec_member(writer, "description", request->format.description);
        codec_raw_member(writer, "schema", request->format.schema);
        codec_raw_member(writer, "strict", request->format.strict);
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

static void write_stream(struct sending *sending)
{
    sending_stream(sending);
    if (sending->request->is_streamed)
        codec_raw_member(&sending->writer, "stream_options", SLICE("{\"include_usage\":true}"));
}

static enum err write_options(struct sending *sending)
{
    const struct codec_option options[] = {
        {NEUTRAL_OUTPUT_TOKENS,
            .name = sending->target->takes_max_tokens ? "max_tokens" : "max_completion_tokens"},
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "top_p"},
        {NEUTRAL_TOP_K, .why = "Chat Completions has no top_k"},
        {NEUTRAL_SEED, .name = "seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .name = "frequency_penalty"},
        {NEUTRAL_PRESENCE_PENALTY, .name = "presence_penalty"},
        {NEUTRAL_VERBOSITY, .name = "verbosity"},
        {NEUTRAL_USER_ID, .name = "user"},
    };
    TRY(codec_options(
        &sending->writer, sending->request, options, COUNT_OF(options), sending->report));
    codec_stops(&sending->writer, "stop", sending->request);
    struct slice effort = codec_effort(sending->request);
    if (effort.size)
        codec_member(&sending->writer, "reasoning_effort", effort);
    if (sending->request->reasoning.summary.size)
        codec_leave_out(sending->report, sending->request->reasoning.path, "summary");
    return ERR_OK;
}

enum err openai_chat_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = sending_begin(request, target, out, report);
    TRY(write_messages(&sending));
    sending_tools(&sending, write_tool);
    write_choice(&sending);
    write_format(&sending);
    TRY(write_options(&sending));
    write_stream(&sending);
    return sending_end(&sending, out, "/v1/chat/completions");
}
