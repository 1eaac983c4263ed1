/* bedrock_write — the body of POST /model/MODEL/converse and /converse-stream, written.
 *
 *     {"system": [{"text"}],
 *      "messages": [{"role": "user" | "assistant", "content": [
 *         {"text"}, {"image": {"format": "png", "source": {"bytes": "base64"}}},
 *         {"reasoningContent": {"reasoningText": {"text", "signature"}} | {"redactedContent"}},
 *         {"toolUse": {"toolUseId", "name", "input": {…}}},
 *         {"toolResult": {"toolUseId", "content": [{"text"}, {"image"}], "status": "error"}}]}],
 *      "inferenceConfig": {"maxTokens", "temperature", "topP", "stopSequences"},
 *      "toolConfig": {"tools": [{"toolSpec": {"name", "description", "inputSchema": {"json"},
 *                                "strict"}}], "toolChoice": {"any": {}}},
 *      "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {…}}}},
 *      "additionalModelRequestFields": {…}}                  what only some of the models know
 *
 * Model and streaming are in the path. Messages of one role become one; empty texts, which Bedrock
 * refuses, are left out. What Converse itself has no member for goes, under the model's own name for
 * it, to families of models that are known to take it: Claude, gpt-oss, Nova.
 *
 *   source  bedrock.h; https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
 *           and …_JsonSchemaDefinition, _ToolSpecification (2026-08) */
#include "protocol/base/own.h"
#include "protocol/dialect/bedrock.h"
#include "protocol/dialect/sending.h"
#include "protocol/dialect/walk.h"
#include "protocol/http/url.h"

codec_write_request bedrock_write_request;

static bool is_of(const struct sending *sending, const char *family)
{
    return slice_find(sending->target->model, slice_text(family)) >= 0;
}

static bool is_claude(const struct sending *sending)
{
    return is_of(sending, "anthropic.");
}

static void open_member(struct json_writer *writer, const char *name)
{
    json_key(writer, name);
    json_open(writer, '{');
}

static void close_objects(struct json_writer *writer, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_close(writer, '}');
}

/* ---- blocks ---- */

/* "png", "jpeg", "gif", "webp"; empty: none that Bedrock takes. */
static struct slice format_of(struct slice media_type)
{
    const struct slice prefix = SLICE("image/");
    static const char *const formats[] = {"png", "jpeg", "gif", "webp"};
    if (!slice_has_prefix(media_type, prefix))
        return SLICE_NONE;
    struct slice name = slice_sub(media_type, prefix.size, media_type.size);
    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (slice_equal(name, slice_text(formats[i])))
            return name;
    return SLICE_NONE;
}

static enum err write_image(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    struct slice format = format_of(part->media_type);
    if (part->url.size)
        return neutral_refuse(
            sending->report, part->path, "Bedrock takes an image as data, not by its URL");
    if (format.size == 0)
        return neutral_refuse(
            sending->report, part->path, "Bedrock takes images that are PNG, JPEG, GIF or WebP");
    json_open(writer, '{');
    open_member(writer, "image");
    codec_member(writer, "format", format);
    open_member(writer, "source");
    codec_member(writer, "bytes", part->data);
    close_objects(writer, 3);
    if (part->detail.size && !slice_equal(part->detail, SLICE("auto")))
        codec_leave_out(sending->report, part->path, "detail");
    return writer->err;
}

static void write_text(struct sending *sending, const struct neutral_part *part)
{
    if (part->text.size == 0)
        return;
    json_open(&sending->writer, '{');
    codec_member(&sending->writer, "text", part->text);
    json_close(&sending->writer, '}');
}

/* Its own seals, and Anthropic's to Claude, whose signatures hold wherever it runs. */
static bool is_sealed_here(const struct sending *sending, const struct neutral_part *part)
{
    return part->opaque.size &&
           (slice_equal(part->format, SLICE(NEUTRAL_FORMAT_BEDROCK)) ||
               (is_claude(sending) && slice_equal(part->format, SLICE(NEUTRAL_FORMAT_ANTHROPIC))));
}

static void write_reasoning(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    if (!is_sealed_here(sending, part) || (part->text.size == 0 && !part->is_redacted)) {
        neutral_leave_out(sending->report, part->path);
        return;
    }
    json_open(writer, '{');
    open_member(writer, "reasoningContent");
    if (part->is_redacted) {
        codec_member(writer, "redactedContent", part->opaque);
    } else {
        open_member(writer, "reasoningText");
        codec_member(writer, "text", part->text);
        codec_member(writer, "signature", part->opaque);
        json_close(writer, '}');
    }
    close_objects(writer, 2);
}

static enum err write_call(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    const char *why;
    size_t at;
    if (part->text.size && json_object_check(part->text, &why, &at) != ERR_OK)
        return neutral_refuse(sending->report, part->path,
            "the arguments of the call are no JSON object: %s (at byte %zu)", why, at);
    json_open(writer, '{');
    open_member(writer, "toolUse");
    codec_member(writer, "toolUseId", part->id);
    codec_member(writer, "name", part->name);
    codec_raw_member(writer, "input", part->text.size ? part->text : SLICE("{}"));
    close_objects(writer, 2);
    return writer->err;
}

static enum err write_result(struct sending *sending, const struct neutral_part *result)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    open_member(writer, "toolResult");
    codec_member(writer, "toolUseId", result->id);
    json_key(writer, "content");
    json_open(writer, '[');
    for (const struct neutral_part *part = result->content; part; part = part->next) {
        if (part->kind == NEUTRAL_IMAGE)
            TRY(write_image(sending, part));
        else
            write_text(sending, part);
    }
    json_close(writer, ']');
    if (result->is_error)
        codec_member(writer, "status", SLICE("error"));
    close_objects(writer, 2);
    return writer->err;
}

static enum err write_part(struct sending *sending, const struct neutral_part *part)
{
    codec_leave_out_cache(sending->report, part->path, part->cache);
    switch (part->kind) {
    case NEUTRAL_TEXT:
    case NEUTRAL_REFUSAL: write_text(sending, part); break;
    case NEUTRAL_REASONING: write_reasoning(sending, part); break;
    case NEUTRAL_TOOL_CALL: return write_call(sending, part);
    case NEUTRAL_IMAGE: return write_image(sending, part);
    case NEUTRAL_TOOL_RESULT: return write_result(sending, part);
    }
    return sending->writer.err;
}

/* ---- messages ---- */

static bool says_something(const struct sending *sending, const struct neutral_message *message)
{
    for (const struct neutral_part *part = message->parts; part; part = part->next) {
        bool is_text = part->kind == NEUTRAL_TEXT || part->kind == NEUTRAL_REFUSAL;
        bool is_untold = part->kind == NEUTRAL_REASONING && !is_sealed_here(sending, part);
        if (!is_untold && (!is_text || part->text.size))
            return true;
    }
    return false;
}

static enum err write_system(struct sending *sending, const struct neutral_message **messages)
{
    struct json_writer *writer = &sending->writer;
    if (!neutral_is_system(*messages))
        return ERR_OK;
    json_key(writer, "system");
    json_open(writer, '[');
    for (; neutral_is_system(*messages); *messages = (*messages)->next)
        for (const struct neutral_part *part = (*messages)->parts; part; part = part->next) {
            if (part->kind != NEUTRAL_TEXT)
                return neutral_refuse(
                    sending->report, part->path, "Bedrock's system prompt holds text only");
            TRY(write_part(sending, part));
        }
    json_close(writer, ']');
    return writer->err;
}

static void open_message(struct sending *sending, enum neutral_role role)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "role", role == NEUTRAL_USER ? SLICE("user") : SLICE("assistant"));
    json_key(writer, "content");
    json_open(writer, '[');
}

static void close_message(struct sending *sending)
{
    json_close(&sending->writer, ']');
    json_close(&sending->writer, '}');
}

static enum err write_messages(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_message *message = sending->request->messages, *open = NULL;
    TRY(write_system(sending, &message));
    json_key(writer, "messages");
    json_open(writer, '[');
    for (; message; message = message->next) {
        if (neutral_is_system(message))
            return neutral_refuse(sending->report, message->path,
                "in Bedrock's API the system prompt comes before the conversation");
        if (says_something(sending, message) && (!open || open->role != message->role)) {
            if (open)
                close_message(sending);
            open_message(sending, message->role);
            open = message;
        }
        for (const struct neutral_part *part = message->parts; part; part = part->next)
            TRY(write_part(sending, part));
    }
    if (open)
        close_message(sending);
    json_close(writer, ']');
    return writer->err;
}

/* ---- tools ---- */

static void write_tool(struct sending *sending, const struct neutral_tool *tool)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    open_member(writer, "toolSpec");
    codec_member(writer, "name", tool->name);
    if (tool->description.size)
        codec_member(writer, "description", tool->description);
    open_member(writer, "inputSchema");
    codec_raw_member(writer, "json", codec_schema(tool));
    json_close(writer, '}');
    codec_raw_member(writer, "strict", tool->strict);
    close_objects(writer, 2);
    codec_leave_out_cache(sending->report, tool->path, tool->cache);
}

static void write_choice(struct sending *sending, const char *kind, struct slice name)
{
    struct json_writer *writer = &sending->writer;
    open_member(writer, "toolChoice");
    open_member(writer, kind);
    if (name.size)
        codec_member(writer, "name", name);
    close_objects(writer, 2);
}

static enum err write_tools(struct sending *sending)
{
    const struct neutral_request *request = sending->request;
    if (!request->tools)
        return ERR_OK;
    if (slice_equal(request->choice.parallel.raw, SLICE("false")))
        return neutral_refuse(sending->report, request->choice.parallel.path,
            "Bedrock has no word for at most one call at a time");
    if (request->choice.kind == NEUTRAL_CHOICE_NONE)
        return neutral_refuse(sending->report, request->choice.path,
            "Bedrock has no word for tools that must not be called: leave them out");
    open_member(&sending->writer, "toolConfig");
    sending_tools(sending, write_tool);
    if (request->choice.kind == NEUTRAL_CHOICE_ANY)
        write_choice(sending, "any", SLICE_NONE);
    else if (request->choice.kind == NEUTRAL_CHOICE_NAMED)
        write_choice(sending, "tool", request->choice.name);
    json_close(&sending->writer, '}');
    return sending->writer.err;
}

/* ---- the rest ---- */

/* The schema is JSON in a string there. */
static enum err write_format(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    if (request->format.kind == NEUTRAL_FORMAT_TEXT)
        return ERR_OK;
    if (request->format.kind == NEUTRAL_FORMAT_JSON)
        return neutral_refuse(sending->report, request->format.path,
            "Bedrock has JSON output by a schema only: send a json_schema");
    open_member(writer, "outputConfig");
    open_member(writer, "textFormat");
    codec_member(writer, "type", SLICE("json_schema"));
    open_member(writer, "structure");
    open_member(writer, "jsonSchema");
    codec_member(writer, "schema", request->format.schema);
    if (request->format.name.size)
        codec_member(writer, "name", request->format.name);
    if (request->format.description.size)
        codec_member(writer, "description", request->format.description);
    close_objects(writer, 4);
    return writer->err;
}

static enum err write_inference(struct sending *sending)
{
    static const struct codec_option options[] = {
        {NEUTRAL_OUTPUT_TOKENS, .name = "maxTokens"},
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "topP"},
        {NEUTRAL_SEED, .why = "Bedrock's API has no seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .why = "Bedrock's API has no penalties", .unless = "0"},
        {NEUTRAL_PRESENCE_PENALTY, .why = "Bedrock's API has no penalties", .unless = "0"},
        {NEUTRAL_VERBOSITY, .why = "Bedrock's API has no verbosity", .unless = "\"medium\""},
    };
    struct json_writer *writer = &sending->writer;
    const struct neutral_value *user = &sending->request->options[NEUTRAL_USER_ID];
    open_member(writer, "inferenceConfig");
    TRY(codec_options(writer, sending->request, options, COUNT_OF(options), sending->report));
    codec_stops(writer, "stopSequences", sending->request);
    json_close(writer, '}');
    if (user->raw.size)
        neutral_leave_out(sending->report, user->path);
    return writer->err;
}

/* ---- what only some of the models know ---- */

static void write_claude_reasoning(struct sending *sending, struct slice effort)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    bool is_adaptive = request->reasoning.is_adaptive || sending->target->takes_effort;
    int64_t limit = codec_output_limit(request, sending->target, TRANSLATE_OUTPUT_TOKENS);
    open_member(writer, "thinking");
    codec_member(writer, "type", is_adaptive ? SLICE("adaptive") : SLICE("enabled"));
    if (!is_adaptive) {
        json_key(writer, "budget_tokens");
        json_integer(writer, codec_budget(request, limit));
    }
    json_close(writer, '}');
    if (!is_adaptive || effort.size == 0)
        return;
    open_member(writer, "output_config");
    codec_member(writer, "effort", slice_equal(effort, SLICE("minimal")) ? SLICE("low") : effort);
    json_close(writer, '}');
}

/* Nova has three. */
static struct slice nova_effort(struct slice effort)
{
    if (slice_equal(effort, SLICE("minimal")))
        return SLICE("low");
    bool is_known = slice_equal(effort, SLICE("low")) || slice_equal(effort, SLICE("medium"));
    return is_known ? effort : SLICE("high");
}

static void write_reasoning_fields(struct sending *sending, struct slice effort)
{
    struct json_writer *writer = &sending->writer;
    if (is_claude(sending)) {
        write_claude_reasoning(sending, effort);
    } else if (is_of(sending, "openai.")) {
        codec_member(writer, "reasoning_effort", effort);
    } else {
        open_member(writer, "reasoningConfig");
        codec_member(writer, "type", SLICE("enabled"));
        codec_member(writer, "maxReasoningEffort", nova_effort(effort));
        json_close(writer, '}');
    }
}

/* None is what they do unasked. */
static bool says_reasoning(struct sending *sending, struct slice effort)
{
    const struct neutral_request *request = sending->request;
    bool is_off = slice_equal(effort, SLICE("none"));
    bool is_said = (effort.size && !is_off) || (request->reasoning.is_adaptive && !is_off);
    bool is_known = is_claude(sending) ||
                    ((is_of(sending, "openai.") || is_of(sending, "amazon.nova")) && effort.size);
    if (is_said && !is_known)
        neutral_leave_out(sending->report, request->reasoning.path);
    else if (request->reasoning.summary.size)
        codec_leave_out(sending->report, request->reasoning.path, "summary");
    return is_said && is_known;
}

static enum err write_model_fields(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_value *top_k = &sending->request->options[NEUTRAL_TOP_K];
    struct slice effort = codec_effort(sending->request);
    bool has_reasoning = says_reasoning(sending, effort);
    if (top_k->raw.size && !is_claude(sending))
        return neutral_refuse(
            sending->report, top_k->path, "Bedrock's API has no top_k but for Claude");
    if (!has_reasoning && top_k->raw.size == 0)
        return ERR_OK;
    open_member(writer, "additionalModelRequestFields");
    codec_raw_member(writer, "top_k", top_k->raw);
    if (has_reasoning)
        write_reasoning_fields(sending, effort);
    json_close(writer, '}');
    return writer->err;
}

/* ---- the request ---- */

static enum err write_body(struct sending *sending)
{
    json_open(&sending->writer, '{');
    TRY(write_messages(sending));
    TRY(write_inference(sending));
    TRY(write_tools(sending));
    TRY(write_format(sending));
    TRY(write_model_fields(sending));
    json_close(&sending->writer, '}');
    return sending->writer.err;
}

enum err bedrock_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = {.request = request, .target = target, .report = report};
    json_writer_init(&sending.writer, &out->body);
    TRY(write_body(&sending));
    TRY(buf_append_byte(&out->path, '/'));
    TRY(percent_encode(target->model, &out->path));
    return buf_append_text(&out->path, request->is_streamed ? "/converse-stream" : "/converse");
}
