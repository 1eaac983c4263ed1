/* openai_chat_write — the body of POST /v1/chat/completions, written (its picture: openai_chat_read).
 *
 * Its messages are chat.h's. Reasoning goes back only to providers that are known to take it: OpenAI's
 * own API has no place for it. */
#include "protocol/dialect/chat.h"
#include "protocol/dialect/openai.h"
#include "protocol/dialect/walk.h"

codec_write_request openai_chat_write_request;

/* ---- messages ---- */

static enum err write_assistant(struct sending *sending, const struct neutral_message *message);

static const struct chat_manner manner = {
    .write_assistant = write_assistant,
    .developer_role = "developer",
    .usual_detail = "auto",
    .misplaced = "Chat Completions has no place for it here",
    .image_in_result = "a tool's result in Chat Completions holds text only",
    .text_after_call = "in Chat Completions the text of a message comes before its tool calls",
};

/* The text of all parts of a kind, one after another: of reasoning and refusals. */
static void write_joined(struct sending *sending, const char *name, const struct neutral_part *part,
    enum neutral_part_kind kind)
{
    struct json_writer *writer = &sending->writer;
    struct buf text;
    if (chat_count(part, kind) == 0)
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

static void write_assistant_text(struct sending *sending, const struct neutral_part *parts)
{
    struct json_writer *writer = &sending->writer;
    size_t count = chat_count(parts, NEUTRAL_TEXT);
    json_key(writer, "content");
    if (count == 0 && chat_count(parts, NEUTRAL_TOOL_CALL) > 0)
        json_null(writer);
    else if (count == 0)
        json_string(writer, SLICE_NONE);
    if (count > 1)
        json_open(writer, '[');
    for (const struct neutral_part *part = parts; part; part = part->next) {
        if (part->kind != NEUTRAL_TEXT)
            continue;
        if (count > 1) {
            chat_write_block(sending, "text", part);
        } else {
            json_string(writer, part->text);
            codec_leave_out_cache(sending->report, part->path, part->cache);
        }
    }
    if (count > 1)
        json_close(writer, ']');
}

static enum err write_assistant(struct sending *sending, const struct neutral_message *message)
{
    struct json_writer *writer = &sending->writer;
    TRY(chat_check_order(sending, &manner, message->parts));
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("assistant"));
    write_reasoning(sending, message->parts);
    write_assistant_text(sending, message->parts);
    write_joined(sending, "refusal", message->parts, NEUTRAL_REFUSAL);
    chat_write_calls(sending, message->parts);
    json_close(writer, '}');
    return writer->err;
}

/* ---- tools ---- */

static void write_tool(struct sending *sending, const struct neutral_tool *tool)
{
    chat_write_tool(sending, tool, tool->schema, tool->strict);
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
        openai_write_schema(sending);
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
    TRY(chat_write_messages(&sending, &manner));
    sending_tools(&sending, write_tool);
    openai_write_choice(&sending, "function");
    write_format(&sending);
    TRY(write_options(&sending));
    write_stream(&sending);
    return sending_end(&sending, out, "/v1/chat/completions");
}
