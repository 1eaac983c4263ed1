/* anthropic_write — the body of POST /v1/messages, written (its picture: anthropic_read).
 *
 * Roles take turns, so messages of one role become one; the system prompt stands apart, so it can
 * only come first. An empty text is refused by the API and says nothing: it is not written. Only
 * thinking that Anthropic itself has signed can go back; other models' is left out, as the API does
 * with that of earlier turns anyway.
 *
 *   source  anthropic-sdk-python src/anthropic/types at 009b0353 (2026-08-07)
 *           https://docs.anthropic.com/en/api/messages */
#include "protocol/dialect/codec.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/dialect/sending.h"
#include "protocol/dialect/walk.h"

codec_write_request anthropic_write_request;

/* ---- blocks ---- */

static void open_block(struct sending *sending, const char *type)
{
    json_open(&sending->writer, '{');
    codec_member(&sending->writer, "type", slice_text(type));
}

static void close_block(struct sending *sending, const struct neutral_part *part)
{
    codec_raw_member(&sending->writer, "cache_control", part->cache);
    json_close(&sending->writer, '}');
}

static void write_text(struct sending *sending, const struct neutral_part *part)
{
    open_block(sending, "text");
    codec_member(&sending->writer, "text", part->text);
    close_block(sending, part);
}

static void write_image(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    open_block(sending, "image");
    json_key(writer, "source");
    json_open(writer, '{');
    codec_member(writer, "type", part->url.size ? SLICE("url") : SLICE("base64"));
    if (part->url.size) {
        codec_member(writer, "url", part->url);
    } else {
        codec_member(writer, "media_type", part->media_type);
        codec_member(writer, "data", part->data);
    }
    json_close(writer, '}');
    close_block(sending, part);
    if (part->detail.size && !slice_equal(part->detail, SLICE("auto")))
        codec_leave_out(sending->report, part->path, "detail");
}

static bool is_id(struct slice id)
{
    for (size_t i = 0; i < id.size; i++) {
        uint8_t c = id.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return id.size > 0;
}

static enum err check_id(struct sending *sending, const struct neutral_part *part)
{
    if (is_id(part->id))
        return ERR_OK;
    return neutral_refuse(sending->report, part->path,
        "Anthropic takes IDs of tool calls of letters, digits, _ and - only");
}

static enum err write_call(struct sending *sending, const struct neutral_part *part)
{
    const char *why;
    size_t at;
    TRY(check_id(sending, part));
    if (part->text.size && json_object_check(part->text, &why, &at) != ERR_OK)
        return neutral_refuse(sending->report, part->path,
            "the arguments of the call are no JSON object: %s (at byte %zu)", why, at);
    open_block(sending, "tool_use");
    codec_member(&sending->writer, "id", part->id);
    codec_member(&sending->writer, "name", part->name);
    codec_raw_member(&sending->writer, "input", part->text.size ? part->text : SLICE("{}"));
    close_block(sending, part);
    return ERR_OK;
}

static void write_result_content(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    if (!part)
        return;
    json_key(writer, "content");
    if (!part->next && part->kind == NEUTRAL_TEXT && part->cache.size == 0) {
        json_string(writer, part->text);
        return;
    }
    json_open(writer, '[');
    for (; part; part = part->next) {
        if (part->kind == NEUTRAL_IMAGE)
            write_image(sending, part);
        else if (part->text.size)
            write_text(sending, part);
    }
    json_close(writer, ']');
}

static enum err write_result(struct sending *sending, const struct neutral_part *part)
{
    TRY(check_id(sending, part));
    open_block(sending, "tool_result");
    codec_member(&sending->writer, "tool_use_id", part->id);
    write_result_content(sending, part->content);
    if (part->is_error)
        codec_true_member(&sending->writer, "is_error");
    close_block(sending, part);
    return ERR_OK;
}

static void write_thinking(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    open_block(sending, part->is_redacted ? "redacted_thinking" : "thinking");
    if (!part->is_redacted)
        codec_member(writer, "thinking", part->text);
    codec_member(writer, part->is_redacted ? "data" : "signature", part->opaque);
    json_close(writer, '}');
}

static bool is_ours(const struct neutral_part *part)
{
    return part->opaque.size && slice_equal(part->format, SLICE(NEUTRAL_FORMAT_ANTHROPIC));
}

static bool is_written(const struct neutral_part *part)
{
    switch (part->kind) {
    case NEUTRAL_TEXT:
    case NEUTRAL_REFUSAL: return part->text.size > 0;
    case NEUTRAL_REASONING: return is_ours(part);
    case NEUTRAL_TOOL_CALL:
    case NEUTRAL_IMAGE:
    case NEUTRAL_TOOL_RESULT: return true;
    }
    return true;
}

static enum err write_part(struct sending *sending, const struct neutral_part *part)
{
    switch (part->kind) {
    case NEUTRAL_TEXT:
    case NEUTRAL_REFUSAL: write_text(sending, part); break;
    case NEUTRAL_REASONING: write_thinking(sending, part); break;
    case NEUTRAL_TOOL_CALL: TRY(write_call(sending, part)); break;
    case NEUTRAL_IMAGE: write_image(sending, part); break;
    case NEUTRAL_TOOL_RESULT: TRY(write_result(sending, part)); break;
    }
    return sending->writer.err;
}

static enum err write_parts(struct sending *sending, const struct neutral_part *part)
{
    for (; part; part = part->next) {
        if (is_written(part))
            TRY(write_part(sending, part));
        else if (part->kind == NEUTRAL_REASONING)
            neutral_leave_out(sending->report, part->path);
    }
    return ERR_OK;
}

/* ---- messages ---- */

static bool says_something(const struct neutral_message *message)
{
    for (const struct neutral_part *part = message->parts; part; part = part->next)
        if (is_written(part))
            return true;
    return false;
}

static enum err write_system(struct sending *sending, const struct neutral_message **messages)
{
    struct json_writer *writer = &sending->writer;
    if (!neutral_is_system(*messages))
        return ERR_OK;
    json_key(writer, "system");
    json_open(writer, '[');
    for (; neutral_is_system(*messages); *messages = (*messages)->next) {
        for (const struct neutral_part *part = (*messages)->parts; part; part = part->next)
            if (part->kind != NEUTRAL_TEXT)
                return neutral_refuse(
                    sending->report, part->path, "Anthropic's system prompt holds text only");
        TRY(write_parts(sending, (*messages)->parts));
    }
    json_close(writer, ']');
    return writer->err;
}

static enum err write_messages(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_message *message = sending->request->messages, *last = NULL;
    TRY(write_system(sending, &message));
    json_key(writer, "messages");
    json_open(writer, '[');
    for (; message; message = message->next) {
        if (neutral_is_system(message))
            return neutral_refuse(sending->report, message->path,
                "in Anthropic's API the system prompt comes before the conversation");
        if (last && last->role != message->role && says_something(message)) {
            json_close(writer, ']');
            json_close(writer, '}');
        }
        if (says_something(message) && (!last || last->role != message->role)) {
            json_open(writer, '{');
            codec_member(
                writer, "role", message->role == NEUTRAL_USER ? SLICE("user") : SLICE("assistant"));
            json_key(writer, "content");
            json_open(writer, '[');
            last = message;
        }
        TRY(write_parts(sending, message->parts));
    }
    if (last) {
        json_close(writer, ']');
        json_close(writer, '}');
    }
    json_close(writer, ']');
    return writer->err;
}

/* ---- tools ---- */

static void write_tool(struct sending *sending, const struct neutral_tool *tool)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "name", tool->name);
    if (tool->description.size)
        codec_member(writer, "description", tool->description);
    codec_raw_member(writer, "input_schema", codec_schema(tool));
    codec_raw_member(writer, "strict", tool->strict);
    codec_raw_member(writer, "cache_control", tool->cache);
    json_close(writer, '}');
}

static void write_choice(struct sending *sending)
{
    static const char *const words[] = {[NEUTRAL_CHOICE_UNSAID] = "auto",
        [NEUTRAL_CHOICE_AUTO] = "auto",
        [NEUTRAL_CHOICE_NONE] = "none",
        [NEUTRAL_CHOICE_ANY] = "any",
        [NEUTRAL_CHOICE_NAMED] = "tool"};
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    bool is_serial = slice_equal(request->choice.parallel.raw, SLICE("false"));
    if (request->choice.kind == NEUTRAL_CHOICE_UNSAID && (!is_serial || !request->tools))
        return;
    json_key(writer, "tool_choice");
    json_open(writer, '{');
    codec_member(writer, "type", slice_text(words[request->choice.kind]));
    if (request->choice.kind == NEUTRAL_CHOICE_NAMED)
        codec_member(writer, "name", request->choice.name);
    if (is_serial && request->choice.kind != NEUTRAL_CHOICE_NONE)
        codec_true_member(writer, "disable_parallel_tool_use");
    json_close(writer, '}');
}

/* ---- the rest ---- */

/* The limit that must be said: the caller's, the model's, or one that every model takes. */
static int64_t limit_of(const struct sending *sending)
{
    return codec_output_limit(sending->request, sending->target, TRANSLATE_OUTPUT_TOKENS);
}

static void write_output_tokens(struct sending *sending)
{
    const struct neutral_value *said = &sending->request->options[NEUTRAL_OUTPUT_TOKENS];
    json_key(&sending->writer, "max_tokens");
    if (said->raw.size)
        json_raw(&sending->writer, said->raw);
    else
        json_integer(&sending->writer, limit_of(sending));
}

static void write_effort_and_format(struct sending *sending, struct slice effort)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    bool has_format = request->format.kind == NEUTRAL_FORMAT_SCHEMA;
    if (effort.size == 0 && !has_format)
        return;
    json_key(writer, "output_config");
    json_open(writer, '{');
    if (effort.size)
        codec_member(writer, "effort", effort);
    if (has_format) {
        json_key(writer, "format");
        json_open(writer, '{');
        codec_member(writer, "type", SLICE("json_schema"));
        codec_raw_member(writer, "schema", request->format.schema);
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

static void write_thinking_config(struct sending *sending, const char *type, int64_t budget)
{
    struct json_writer *writer = &sending->writer;
    json_key(writer, "thinking");
    json_open(writer, '{');
    codec_member(writer, "type", slice_text(type));
    if (budget > 0) {
        json_key(writer, "budget_tokens");
        json_integer(writer, budget);
    }
    json_close(writer, '}');
}

/* As effort where the model takes it, else as a budget. */
static void write_reasoning(struct sending *sending)
{
    const struct neutral_request *request = sending->request;
    struct slice effort = request->reasoning.effort;
    bool is_off = slice_equal(effort, SLICE("none"));
    bool has_effort = effort.size > 0 && !is_off;
    if (slice_equal(effort, SLICE("minimal")))
        effort = SLICE("low"); /* Anthropic's least */
    if (is_off)
        write_thinking_config(sending, "disabled", 0);
    else if (request->reasoning.is_adaptive || (has_effort && sending->target->takes_effort))
        write_thinking_config(sending, "adaptive", 0);
    else if (request->reasoning.budget > 0 || has_effort)
        write_thinking_config(sending, "enabled", codec_budget(request, limit_of(sending)));
    bool says_effort =
        has_effort && (sending->target->takes_effort || request->reasoning.is_adaptive);
    write_effort_and_format(sending, says_effort ? effort : SLICE_NONE);
    if (request->reasoning.summary.size)
        codec_leave_out(sending->report, request->reasoning.path, "summary");
}

static enum err check_temperature(struct sending *sending)
{
    const struct neutral_value *value = &sending->request->options[NEUTRAL_TEMPERATURE];
    char text[32] = "";
    size_t size = value->raw.size < sizeof text - 1 ? value->raw.size : sizeof text - 1;
    if (size)
        memcpy(text, value->raw.data, size);
    if (strtod(text, NULL) > 1.0)
        return neutral_refuse(
            sending->report, value->path, "Anthropic takes a temperature of at most 1");
    return ERR_OK;
}

static enum err check_format(struct sending *sending)
{
    const struct neutral_request *request = sending->request;
    if (request->format.kind == NEUTRAL_FORMAT_JSON)
        return neutral_refuse(sending->report, request->format.path,
            "Anthropic has JSON output by a schema only: send a json_schema");
    if (request->format.description.size)
        codec_leave_out(sending->report, request->format.path, "description");
    return ERR_OK;
}

static enum err write_options(struct sending *sending)
{
    static const struct codec_option options[] = {
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "top_p"},
        {NEUTRAL_TOP_K, .name = "top_k"},
        {NEUTRAL_SEED, .why = "Anthropic's API has no seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .why = "Anthropic's API has no penalties", .unless = "0"},
        {NEUTRAL_PRESENCE_PENALTY, .why = "Anthropic's API has no penalties", .unless = "0"},
        {NEUTRAL_VERBOSITY, .why = "Anthropic's API has no verbosity", .unless = "\"medium\""},
    };
    struct json_writer *writer = &sending->writer;
    const struct neutral_value *user = &sending->request->options[NEUTRAL_USER_ID];
    TRY(codec_options(writer, sending->request, options, COUNT_OF(options), sending->report));
    codec_stops(writer, "stop_sequences", sending->request);
    if (user->raw.size) {
        json_key(writer, "metadata");
        json_open(writer, '{');
        codec_raw_member(writer, "user_id", user->raw);
        json_close(writer, '}');
    }
    sending_stream(sending);
    return ERR_OK;
}

enum err anthropic_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = sending_begin(request, target, out, report);
    TRY(check_temperature(&sending));
    TRY(check_format(&sending));
    write_output_tokens(&sending);
    TRY(write_messages(&sending));
    sending_tools(&sending, write_tool);
    write_choice(&sending);
    write_reasoning(&sending);
    TRY(write_options(&sending));
    out->headers = "anthropic-version: 2023-06-01\r\n";
    return sending_end(&sending, out, "/v1/messages");
}
