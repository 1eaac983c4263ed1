/* openai_responses_write — the body of POST /v1/responses, written (its picture:
 * openai_responses_read).
 *
 * The caller sends the whole conversation each time, so nothing is stored at OpenAI. Where the
 * model is to reason, its reasoning is asked for in encrypted form, so that it can come back. Only
 * such reasoning is written: another dialect's is left out. */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/openai.h"
#include "protocol/dialect/walk.h"

codec_write_request openai_responses_write_request;

/* ---- parts ---- */

static void write_part(struct sending *sending, const struct neutral_part *part, const char *type)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", slice_text(type));
    if (part->kind == NEUTRAL_IMAGE) {
        json_key(writer, "image_url");
        codec_image_address(writer, part);
        codec_member(writer, "detail", part->detail.size ? part->detail : SLICE("auto"));
    } else {
        codec_member(writer, part->kind == NEUTRAL_REFUSAL ? "refusal" : "text", part->text);
    }
    json_close(writer, '}');
    codec_leave_out_cache(sending->report, part->path, part->cache);
}

static bool is_content(const struct neutral_part *part)
{
    return part->kind == NEUTRAL_TEXT || part->kind == NEUTRAL_IMAGE ||
           part->kind == NEUTRAL_REFUSAL;
}

static const char *type_of(const struct neutral_part *part, enum neutral_role role)
{
    if (part->kind == NEUTRAL_IMAGE)
        return "input_image";
    if (part->kind == NEUTRAL_REFUSAL)
        return "refusal";
    return role == NEUTRAL_ASSISTANT ? "output_text" : "input_text";
}

/* ---- items ---- */

static const char *role_word(enum neutral_role role)
{
    switch (role) {
    case NEUTRAL_SYSTEM: return "system";
    case NEUTRAL_DEVELOPER: return "developer";
    case NEUTRAL_USER: return "user";
    case NEUTRAL_ASSISTANT: return "assistant";
    }
    return "user";
}

/* A message of the run of content parts that begins at `part`; returns what follows it. */
static const struct neutral_part *write_run(
    struct sending *sending, enum neutral_role role, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("message"));
    codec_member(writer, "role", slice_text(role_word(role)));
    json_key(writer, "content");
    json_open(writer, '[');
    for (; part && is_content(part); part = part->next)
        write_part(sending, part, type_of(part, role));
    json_close(writer, ']');
    json_close(writer, '}');
    return part;
}

static void write_call(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("function_call"));
    codec_member(writer, "call_id", part->id);
    codec_member(writer, "name", part->name);
    codec_member(writer, "arguments", part->text.size ? part->text : SLICE("{}"));
    json_close(writer, '}');
    codec_leave_out_cache(sending->report, part->path, part->cache);
}

static void write_output(struct sending *sending, const struct neutral_part *result)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_part *part = result->content;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("function_call_output"));
    codec_member(writer, "call_id", result->id);
    json_key(writer, "output");
    if (!part || (!part->next && part->kind == NEUTRAL_TEXT)) {
        json_string(writer, part ? part->text : SLICE_NONE);
    } else {
        json_open(writer, '[');
        for (; part; part = part->next)
            write_part(sending, part, type_of(part, NEUTRAL_USER));
        json_close(writer, ']');
    }
    json_close(writer, '}');
    if (result->is_error)
        codec_leave_out(sending->report, result->path, "is_error");
    codec_leave_out_cache(sending->report, result->path, result->cache);
}

static bool is_ours(const struct neutral_part *part)
{
    return part->kind == NEUTRAL_REASONING && part->opaque.size > 0 &&
           slice_equal(part->format, SLICE(NEUTRAL_FORMAT_RESPONSES));
}

static void write_reasoning_item(struct sending *sending, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    if (!is_ours(part)) {
        neutral_leave_out(sending->report, part->path);
        return;
    }
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("reasoning"));
    if (part->id.size)
        codec_member(writer, "id", part->id);
    json_key(writer, "summary");
    json_open(writer, '[');
    if (part->text.size) {
        json_open(writer, '{');
        codec_member(writer, "type", SLICE("summary_text"));
        codec_member(writer, "text", part->text);
        json_close(writer, '}');
    }
    json_close(writer, ']');
    codec_member(writer, "encrypted_content", part->opaque);
    json_close(writer, '}');
}

static enum err write_message(struct sending *sending, const struct neutral_message *message)
{
    const struct neutral_part *part = message->parts;
    while (part) {
        const struct neutral_part *next = part->next;
        bool is_misplaced = part->kind == NEUTRAL_IMAGE && message->role == NEUTRAL_ASSISTANT;
        if (is_misplaced)
            return neutral_refuse(
                sending->report, part->path, "an assistant's message cannot hold images here");
        switch (part->kind) {
        case NEUTRAL_TEXT:
        case NEUTRAL_REFUSAL:
        case NEUTRAL_IMAGE: next = write_run(sending, message->role, part); break;
        case NEUTRAL_TOOL_CALL: write_call(sending, part); break;
        case NEUTRAL_TOOL_RESULT: write_output(sending, part); break;
        case NEUTRAL_REASONING: write_reasoning_item(sending, part); break;
        }
        part = next;
    }
    return sending->writer.err;
}

/* ---- tools ---- */

/* Said to be strict or not: by OpenAI's default they would be here, and not in Chat Completions. */
static void write_tool(struct sending *sending, const struct neutral_tool *tool)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("function"));
    codec_member(writer, "name", tool->name);
    if (tool->description.size)
        codec_member(writer, "description", tool->description);
    codec_raw_member(writer, "parameters", codec_schema(tool));
    codec_raw_member(writer, "strict", tool->strict.size ? tool->strict : SLICE("false"));
    json_close(writer, '}');
    codec_leave_out_cache(sending->report, tool->path, tool->cache);
}

/* ---- the rest ---- */

static void write_text_config(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    const struct neutral_value *verbosity = &request->options[NEUTRAL_VERBOSITY];
    if (request->format.kind == NEUTRAL_FORMAT_TEXT && verbosity->raw.size == 0)
        return;
    json_key(writer, "text");
    json_open(writer, '{');
    codec_raw_member(writer, "verbosity", verbosity->raw);
    if (request->format.kind == NEUTRAL_FORMAT_JSON)
        codec_raw_member(writer, "format", SLICE("{\"type\":\"json_object\"}"));
    if (request->format.kind == NEUTRAL_FORMAT_SCHEMA) {
        json_key(writer, "format");
        json_open(writer, '{');
        codec_member(writer, "type", SLICE("json_schema"));
        openai_write_schema(sending);
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

/* Whether an item of reasoning was written. */
static bool has_reasoning(const struct neutral_request *request)
{
    for (const struct neutral_message *message = request->messages; message;
         message = message->next)
        for (const struct neutral_part *part = message->parts; part; part = part->next)
            if (is_ours(part))
                return true;
    return false;
}

static void write_reasoning(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    struct slice effort = codec_effort(request);
    bool reasons = request->reasoning.is_adaptive || has_reasoning(request) ||
                   (effort.size > 0 && !slice_equal(effort, SLICE("none")));
    if (effort.size || request->reasoning.summary.size) {
        json_key(writer, "reasoning");
        json_open(writer, '{');
        if (effort.size)
            codec_member(writer, "effort", effort);
        if (request->reasoning.summary.size)
            codec_member(writer, "summary", request->reasoning.summary);
        json_close(writer, '}');
    }
    if (reasons)
        codec_raw_member(writer, "include", SLICE("[\"reasoning.encrypted_content\"]"));
}

static enum err write_options(struct sending *sending)
{
    static const struct codec_option options[] = {
        {NEUTRAL_OUTPUT_TOKENS, .name = "max_output_tokens"},
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "top_p"},
        {NEUTRAL_TOP_K, .why = "OpenAI's Responses have no top_k"},
        {NEUTRAL_SEED, .why = "OpenAI's Responses have no seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .why = "OpenAI's Responses have no penalties", .unless = "0"},
        {NEUTRAL_PRESENCE_PENALTY, .why = "OpenAI's Responses have no penalties", .unless = "0"},
        {NEUTRAL_USER_ID, .name = "user"},
    };
    struct json_writer *writer = &sending->writer;
    if (sending->request->stops)
        return neutral_refuse(sending->report, sending->request->stops_path,
            "OpenAI's Responses have no stop sequences");
    TRY(codec_options(writer, sending->request, options, COUNT_OF(options), sending->report));
    json_key(writer, "store");
    json_boolean(writer, false);
    sending_stream(sending);
    return ERR_OK;
}

enum err openai_responses_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = sending_begin(request, target, out, report);
    json_key(&sending.writer, "input");
    json_open(&sending.writer, '[');
    for (const struct neutral_message *message = request->messages; message;
         message = message->next)
        TRY(write_message(&sending, message));
    json_close(&sending.writer, ']');
    sending_tools(&sending, write_tool);
    openai_write_choice(&sending, NULL);
    write_text_config(&sending);
    write_reasoning(&sending);
    TRY(write_options(&sending));
    return sending_end(&sending, out, "/v1/responses");
}
