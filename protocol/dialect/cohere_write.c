/* cohere_write — the body of POST /v2/chat, written.
 *
 *     {"model", "messages": [
 *        {"role": "system", "content": "…"},
 *        {"role": "user", "content": "…" | [{"type": "text"}, {"type": "image_url"}]},
 *        {"role": "assistant", "content": […text, thinking…], "tool_plan": "…",
 *         "tool_calls": [{"id", "type": "function", "function": {"name", "arguments"}}]},
 *        {"role": "tool", "tool_call_id", "content": [{"type": "text", "text"}]}],
 *      "tools": [{"type": "function", "function": {"name", "description", "parameters"}}],
 *      "strict_tools", "tool_choice": "REQUIRED" | "NONE", "citation_options": {"mode": "OFF"},
 *      "response_format": {"type": "json_object", "json_schema"},
 *      "thinking": {"type": "enabled" | "disabled", "token_budget"},
 *      "max_tokens", "temperature", "p", "k", "seed", …, "stop_sequences", "stream"}
 *
 * What an assistant says before its calls is its plan. Citations, which tools would bring, are turned
 * off. A tool that must be called is the only one told.
 *
 *   source  cohere-ai/cohere-python src/cohere/v2/client.py and types at bc495daa (2026-08-19) */
#include "protocol/dialect/chat.h"
#include "protocol/dialect/walk.h"

codec_write_request cohere_write_request;

/* ---- messages ---- */

static enum err write_assistant(struct sending *sending, const struct neutral_message *message);

static const struct chat_manner manner = {
    .write_assistant = write_assistant,
    .developer_role = "system",
    .usual_detail = "",
    .has_refusals_as_text = true,
    .has_results_in_parts = true,
    .misplaced = "Cohere's API has no place for it here",
    .image_in_result = "a tool's result holds text only in Cohere's API",
    .text_after_call = "in Cohere's API the text of a message comes before its tool calls",
};

/* Thinking goes back as text, to models known to take it. */
static bool is_written(const struct sending *sending, const struct neutral_part *part)
{
    if (part->kind == NEUTRAL_REASONING)
        return sending->target->takes_reasoning && part->text.size > 0;
    return chat_is_text(&manner, part) && part->text.size > 0;
}

static void write_blocks(
    struct sending *sending, const struct neutral_part *part, const struct neutral_part *but)
{
    json_key(&sending->writer, "content");
    json_open(&sending->writer, '[');
    for (; part; part = part->next)
        if (part != but && is_written(sending, part))
            chat_write_block(sending, part->kind == NEUTRAL_REASONING ? "thinking" : "text", part);
    json_close(&sending->writer, ']');
}

/* The one text of a message with calls; NULL if there are several, or none. */
static const struct neutral_part *plan_of(
    const struct sending *sending, const struct neutral_part *part)
{
    const struct neutral_part *plan = NULL;
    size_t texts = 0, calls = chat_count(part, NEUTRAL_TOOL_CALL);
    for (; part; part = part->next)
        if (chat_is_text(&manner, part) && is_written(sending, part)) {
            plan = part;
            texts++;
        }
    return calls > 0 && texts == 1 ? plan : NULL;
}

static enum err write_assistant(struct sending *sending, const struct neutral_message *message)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_part *plan = plan_of(sending, message->parts), *part;
    size_t calls = chat_count(message->parts, NEUTRAL_TOOL_CALL), blocks = 0;
    TRY(chat_check_order(sending, &manner, message->parts));
    for (part = message->parts; part; part = part->next) {
        blocks += part != plan && is_written(sending, part);
        if (part->kind == NEUTRAL_REASONING && (part->opaque.size || !is_written(sending, part)))
            neutral_leave_out(sending->report, part->path);
    }
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("assistant"));
    if (blocks > 0 || calls == 0)
        write_blocks(sending, message->parts, plan);
    if (plan) {
        codec_member(writer, "tool_plan", plan->text);
        codec_leave_out_cache(sending->report, plan->path, plan->cache);
    }
    chat_write_calls(sending, message->parts);
    json_close(writer, '}');
    return writer->err;
}

/* ---- tools ---- */

static void write_choice(struct sending *sending, bool is_strict)
{
    struct json_writer *writer = &sending->writer;
    if (is_strict)
        codec_true_member(writer, "strict_tools");
    switch (sending->request->choice.kind) {
    case NEUTRAL_CHOICE_UNSAID:
    case NEUTRAL_CHOICE_AUTO: break;
    case NEUTRAL_CHOICE_NONE: codec_member(writer, "tool_choice", SLICE("NONE")); break;
    case NEUTRAL_CHOICE_ANY:
    case NEUTRAL_CHOICE_NAMED: codec_member(writer, "tool_choice", SLICE("REQUIRED")); break;
    }
    json_key(writer, "citation_options");
    json_raw(writer, SLICE("{\"mode\":\"OFF\"}"));
}

static enum err write_tools(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    bool is_named = request->choice.kind == NEUTRAL_CHOICE_NAMED, is_strict = false;
    if (!request->tools)
        return ERR_OK;
    if (slice_equal(request->choice.parallel.raw, SLICE("false")))
        return neutral_refuse(sending->report, request->choice.parallel.path,
            "Cohere has no word for at most one call at a time");
    json_key(writer, "tools");
    json_open(writer, '[');
    for (const struct neutral_tool *tool = request->tools; tool; tool = tool->next)
        if (!is_named || slice_equal(tool->name, request->choice.name)) {
            is_strict |= slice_equal(tool->strict, SLICE("true"));
            chat_write_tool(sending, tool, codec_schema(tool), SLICE_NONE);
        }
    json_close(writer, ']');
    write_choice(sending, is_strict);
    return ERR_OK;
}

/* ---- the rest ---- */

static enum err write_format(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    if (request->format.kind == NEUTRAL_FORMAT_TEXT)
        return ERR_OK;
    if (request->tools)
        return neutral_refuse(sending->report, request->format.path,
            "Cohere takes a format of the answer only where there are no tools");
    json_key(writer, "response_format");
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("json_object"));
    if (request->format.kind == NEUTRAL_FORMAT_SCHEMA)
        codec_raw_member(writer, "json_schema", request->format.schema);
    json_close(writer, '}');
    if (request->format.description.size)
        codec_leave_out(sending->report, request->format.path, "description");
    return ERR_OK;
}

static void write_thinking(struct sending *sending)
{
    struct json_writer *writer = &sending->writer;
    const struct neutral_request *request = sending->request;
    struct slice effort = codec_effort(request);
    if (effort.size || request->reasoning.is_adaptive) {
        bool is_off = slice_equal(effort, SLICE("none"));
        int64_t budget =
            is_off ? -1
                   : codec_budget(request, codec_output_limit(request, sending->target, INT64_MAX));
        json_key(writer, "thinking");
        json_open(writer, '{');
        codec_member(writer, "type", is_off ? SLICE("disabled") : SLICE("enabled"));
        if (budget > 0) {
            json_key(writer, "token_budget");
            json_integer(writer, budget);
        }
        json_close(writer, '}');
    }
    if (request->reasoning.summary.size)
        codec_leave_out(sending->report, request->reasoning.path, "summary");
}

static enum err write_options(struct sending *sending)
{
    static const struct codec_option options[] = {
        {NEUTRAL_OUTPUT_TOKENS, .name = "max_tokens"},
        {NEUTRAL_TEMPERATURE, .name = "temperature"},
        {NEUTRAL_TOP_P, .name = "p"},
        {NEUTRAL_TOP_K, .name = "k"},
        {NEUTRAL_SEED, .name = "seed"},
        {NEUTRAL_FREQUENCY_PENALTY, .name = "frequency_penalty"},
        {NEUTRAL_PRESENCE_PENALTY, .name = "presence_penalty"},
        {NEUTRAL_VERBOSITY, .why = "Cohere's API has no verbosity", .unless = "\"medium\""},
    };
    struct json_writer *writer = &sending->writer;
    const struct neutral_value *user = &sending->request->options[NEUTRAL_USER_ID];
    TRY(codec_options(writer, sending->request, options, COUNT_OF(options), sending->report));
    codec_stops(writer, "stop_sequences", sending->request);
    if (user->raw.size)
        neutral_leave_out(sending->report, user->path);
    sending_stream(sending);
    return ERR_OK;
}

enum err cohere_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct sending sending = sending_begin(request, target, out, report);
    TRY(chat_write_messages(&sending, &manner));
    TRY(write_tools(&sending));
    TRY(write_format(&sending));
    write_thinking(&sending);
    TRY(write_options(&sending));
    return sending_end(&sending, out, "/chat");
}
