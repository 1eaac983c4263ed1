/* openai_chat_read — the body of POST /v1/chat/completions, read.
 *
 *     {"model", "messages": [
 *        {"role": "system" | "developer" | "user", "content": "…" | [{"type": "text" | "image_url"}]},
 *        {"role": "assistant", "content", "refusal", "reasoning_content", "reasoning_details",
 *                              "tool_calls": [{"id", "function": {"name", "arguments": "{…}"}}]},
 *        {"role": "tool", "tool_call_id", "content"}],
 *      "tools": [{"type": "function", "function": {…}}], "tool_choice", "parallel_tool_calls",
 *      "response_format", "max_completion_tokens" | "max_tokens", "stop", "reasoning_effort", …}
 *
 * OpenAI's own API shows no reasoning. `reasoning_content` is what DeepSeek, vLLM and others use;
 * `reasoning_details` is OpenRouter's, whose entries are kept by the caller and sent back as they
 * are: {"type": "reasoning.text", "text", "signature", "format"} or {"type": "reasoning.encrypted",
 * "data", "format", "id"}. Where both are there the details are taken: they hold the same text.
 *
 *   source  openai-python src/openai/types/chat at e43b4224 (2026-08-21)
 *           https://openrouter.ai/docs/use-cases/reasoning-tokens */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/openai.h"
#include "protocol/dialect/walk.h"

codec_read_request openai_chat_read_request;

/* ---- parts ---- */

static const struct walk_member image_members[] = {
    {"url", .read = openai_read_image_address},
    {"detail", WALK_AT(WALK_TEXT, struct neutral_part, detail)},
};
static const struct walk_member text_part_members[] = {
    {"type", .read = walk_skip},
    {"text", WALK_AT(WALK_TEXT, struct neutral_part, text)},
    {"prompt_cache_breakpoint", .is_hint = true},
};
static const struct walk_member image_part_members[] = {
    {"type", .read = walk_skip},
    {"image_url", WALK_INTO(image_members)},
    {"prompt_cache_breakpoint", .is_hint = true},
};
static const struct walk_member refusal_part_members[] = {
    {"type", .read = walk_skip},
    {"refusal", WALK_AT(WALK_TEXT, struct neutral_part, text)},
};

static const struct {
    enum neutral_part_kind kind;
    const struct walk_member *members;
    size_t count;
} part_types[] = {
    {NEUTRAL_TEXT, text_part_members, COUNT_OF(text_part_members)},
    {NEUTRAL_IMAGE, image_part_members, COUNT_OF(image_part_members)},
    {NEUTRAL_REFUSAL, refusal_part_members, COUNT_OF(refusal_part_members)},
};

static enum err read_part(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {"text", "image_url", "refusal"};
    struct walk_parts *parts = into;
    struct slice type;
    TRY(walk_type(walk, value, "type", &type));
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (!slice_equal(type, slice_text(words[i])))
            continue;
        TRY(walk_add_part(walk, parts, part_types[i].kind));
        return walk_object(walk, value, part_types[i].members, part_types[i].count, parts->last);
    }
    return walk_refuse(walk, "only parts of type text, image_url and refusal can be carried over");
}

/* "…" or an array of parts. An empty string is no part. */
static enum err read_content(struct walk *walk, struct json_span value, struct walk_parts *parts)
{
    struct slice text;
    if (value.type == JSON_ARRAY)
        return walk_array(walk, value, read_part, parts);
    TRY(walk_text(walk, value, &text));
    if (text.size == 0)
        return ERR_OK;
    TRY(walk_add_part(walk, parts, NEUTRAL_TEXT));
    parts->last->text = text;
    return ERR_OK;
}

/* ---- messages ---- */

/* The parts of an assistant's message stand in a fixed order, whatever that of its members:
 * reasoning, text, tool calls. */
struct message {
    struct walk_parts reasoning, content, calls;
    struct neutral_part *reasoning_list, *content_list, *call_list;
    bool has_details;
    struct slice call_id; /* of a tool's message */
};

static enum err read_message_content(struct walk *walk, struct json_span value, void *into)
{
    return read_content(walk, value, &((struct message *)into)->content);
}

static enum err read_refusal(struct walk *walk, struct json_span value, void *into)
{
    struct message *message = into;
    TRY(walk_add_part(walk, &message->content, NEUTRAL_REFUSAL));
    return walk_text(walk, value, &message->content.last->text);
}

static enum err read_reasoning_text(struct walk *walk, struct json_span value, void *into)
{
    struct message *message = into;
    struct slice text;
    TRY(walk_text(walk, value, &text));
    if (message->has_details || text.size == 0)
        return ERR_OK;
    TRY(walk_add_part(walk, &message->reasoning, NEUTRAL_REASONING));
    message->reasoning.last->text = text;
    return ERR_OK;
}

static const struct walk_member detail_members[] = {
    {"type", .read = walk_skip},
    {"text", WALK_AT(WALK_TEXT, struct neutral_part, text)},
    {"summary", WALK_AT(WALK_TEXT, struct neutral_part, text)},
    {"signature", WALK_AT(WALK_TEXT, struct neutral_part, opaque)},
    {"data", WALK_AT(WALK_TEXT, struct neutral_part, opaque)},
    {"format", WALK_AT(WALK_TEXT, struct neutral_part, format)},
    {"id", WALK_AT(WALK_TEXT, struct neutral_part, id)},
    {"index", .read = walk_skip},
};

static enum err read_reasoning_detail(struct walk *walk, struct json_span value, void *into)
{
    struct message *message = into;
    struct slice type;
    TRY(walk_type(walk, value, "type", &type));
    TRY(walk_add_part(walk, &message->reasoning, NEUTRAL_REASONING));
    message->reasoning.last->is_redacted = slice_equal(type, SLICE("reasoning.encrypted"));
    return walk_object(
        walk, value, detail_members, COUNT_OF(detail_members), message->reasoning.last);
}

static const struct walk_member called_function_members[] = {
    {"name", WALK_AT(WALK_TEXT, struct neutral_part, name)},
    {"arguments", WALK_AT(WALK_TEXT, struct neutral_part, text)},
};
static const struct walk_member call_members[] = {
    {"id", WALK_AT(WALK_TEXT, struct neutral_part, id)},
    {"type", .why = "only calls of functions can be carried over", .unless = "\"function\""},
    {"function", WALK_INTO(called_function_members)},
    {"index", .read = walk_skip}, /* left there by those who collect streamed calls */
};

static enum err read_call(struct walk *walk, struct json_span value, void *into)
{
    struct walk_parts *calls = &((struct message *)into)->calls;
    TRY(walk_add_part(walk, calls, NEUTRAL_TOOL_CALL));
    TRY(walk_object(walk, value, call_members, COUNT_OF(call_members), calls->last));
    if (calls->last->name.size == 0)
        return walk_missing(walk, "function.name");
    return calls->last->id.size ? ERR_OK : walk_missing(walk, "id");
}

static const struct walk_member plain_members[] = {
    {"role", .read = walk_skip},
    {"content", .read = read_message_content},
    {"name", .why = "the provider's API has no names for participants"},
};
static const struct walk_member assistant_members[] = {
    {"role", .read = walk_skip},
    {"content", .read = read_message_content},
    {"refusal", .read = read_refusal},
    {"reasoning_details", .each = read_reasoning_detail},
    {"reasoning_content", .read = read_reasoning_text},
    {"reasoning", .read = read_reasoning_text},
    {"tool_calls", .each = read_call},
    {"name", .why = "the provider's API has no names for participants"},
    {"annotations", .is_hint = true, .unless = "[]"},
    {"audio", .why = "audio cannot be carried over"},
    {"function_call", .why = "it is deprecated: send tool_calls"},
};
static const struct walk_member tool_members[] = {
    {"role", .read = walk_skip}, {"content", .read = read_message_content},
    {"tool_call_id", WALK_AT(WALK_TEXT, struct message, call_id)},
    {"name", .is_hint = true}, /* the call that the ID leads to has it */
};

static const struct {
    const char *name;
    enum neutral_role role;
    bool is_tool;
    const struct walk_member *members;
    size_t count;
} roles[] = {
    {"system", NEUTRAL_SYSTEM, false, plain_members, COUNT_OF(plain_members)},
    {"developer", NEUTRAL_DEVELOPER, false, plain_members, COUNT_OF(plain_members)},
    {"user", NEUTRAL_USER, false, plain_members, COUNT_OF(plain_members)},
    {"assistant", NEUTRAL_ASSISTANT, false, assistant_members, COUNT_OF(assistant_members)},
    {"tool", NEUTRAL_USER, true, tool_members, COUNT_OF(tool_members)},
};

/* A tool's message becomes a part of a user's. */
static enum err wrap_result(
    struct walk *walk, const struct message *message, struct neutral_part **list)
{
    struct walk_parts parts = walk_parts(list);
    if (message->call_id.size == 0)
        return walk_missing(walk, "tool_call_id");
    TRY(walk_add_part(walk, &parts, NEUTRAL_TOOL_RESULT));
    parts.last->id = message->call_id;
    parts.last->content = message->content_list;
    return ERR_OK;
}

static bool has_details(struct json_span message)
{
    struct json_span details;
    return json_scan(message.raw, "reasoning_details", &details) == ERR_OK &&
           details.type == JSON_ARRAY && details.raw.size > sizeof "[]" - 1;
}

static enum err read_message_as(
    struct walk *walk, struct json_span value, size_t role, struct neutral_request *request)
{
    struct message message = {.has_details = has_details(value)};
    struct neutral_part *parts = NULL;
    message.reasoning = walk_parts(&message.reasoning_list);
    message.content = walk_parts(&message.content_list);
    message.calls = walk_parts(&message.call_list);
    TRY(walk_object(walk, value, roles[role].members, roles[role].count, &message));
    if (roles[role].is_tool) {
        TRY(wrap_result(walk, &message, &parts));
    } else {
        *message.content.slot = message.call_list;
        *message.reasoning.slot = message.content_list;
        parts = message.reasoning_list;
    }
    return walk_add_message(walk, request, roles[role].role, parts);
}

static enum err read_message(struct walk *walk, struct json_span value, void *into)
{
    struct slice role;
    TRY(walk_type(walk, value, "role", &role));
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (slice_equal(role, slice_text(roles[i].name)))
            return read_message_as(walk, value, i, into);
    return walk_refuse(walk, "its role must be system, developer, user, assistant or tool");
}

/* ---- tools ---- */

static const struct walk_member function_members[] = {
    {"name", WALK_AT(WALK_TEXT, struct neutral_tool, name)},
    {"description", WALK_AT(WALK_TEXT, struct neutral_tool, description)},
    {"parameters", WALK_AT(WALK_OBJECT, struct neutral_tool, schema)},
    {"strict", WALK_AT(WALK_FLAG, struct neutral_tool, strict)},
};
static const struct walk_member tool_entry_members[] = {
    {"type", .why = "only tools of type function can be carried over", .unless = "\"function\""},
    {"function", WALK_INTO(function_members)},
};

static enum err read_tool(struct walk *walk, struct json_span value, void *into)
{
    return walk_tool(
        walk, value, tool_entry_members, COUNT_OF(tool_entry_members), "function.name", into);
}

static const struct walk_member choice_function_members[] = {
    {"name", WALK_AT(WALK_TEXT, struct neutral_request, choice.name)},
};
static const struct walk_member choice_members[] = {
    {"type", .why = "only a choice of a function can be carried over", .unless = "\"function\""},
    {"function", WALK_INTO(choice_function_members)},
};

static enum err read_tool_choice(struct walk *walk, struct json_span value, void *into)
{
    static const struct openai_object named = {
        choice_members, COUNT_OF(choice_members), "function.name"};
    return openai_read_choice(walk, value, &named, into);
}

/* ---- the rest ---- */

static const struct walk_member json_schema_members[] = {
    {"name", WALK_AT(WALK_TEXT, struct neutral_request, format.name)},
    {"description", WALK_AT(WALK_TEXT, struct neutral_request, format.description)},
    {"schema", WALK_AT(WALK_OBJECT, struct neutral_request, format.schema)},
    {"strict", WALK_AT(WALK_FLAG, struct neutral_request, format.strict)},
};

static const struct walk_member format_members[] = {
    {"type", .read = openai_read_format_type},
    {"json_schema", WALK_INTO(json_schema_members)},
};

static enum err read_response_format(struct walk *walk, struct json_span value, void *into)
{
    static const struct openai_object format = {
        format_members, COUNT_OF(format_members), "json_schema.schema"};
    return openai_read_format(walk, value, &format, into);
}

static enum err read_stop(struct walk *walk, struct json_span value, void *into)
{
    if (value.type == JSON_STRING)
        return walk_add_stop(walk, value, into);
    return walk_array(walk, value, walk_add_stop, into);
}

static enum err read_effort(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_request *request = into;
    TRY(walk_path(walk, &request->reasoning.path));
    return walk_text(walk, value, &request->reasoning.effort);
}

static const struct walk_member stream_option_members[] = {
    {"include_usage", WALK_AT(WALK_BOOL, struct neutral_request, includes_usage)},
    {"include_obfuscation", .is_hint = true},
};

static const struct walk_member members[] = {
    {"model", WALK_AT(WALK_TEXT, struct neutral_request, model)},
    {"messages", .each = read_message},
    {"stream", WALK_AT(WALK_BOOL, struct neutral_request, is_streamed)},
    {"stream_options", WALK_INTO(stream_option_members)},
    {"tools", .each = read_tool},
    {"tool_choice", .read = read_tool_choice},
    {"parallel_tool_calls", WALK_AT(WALK_BOOL_VALUE, struct neutral_request, choice.parallel)},
    {"response_format", .read = read_response_format},
    {"max_completion_tokens", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_OUTPUT_TOKENS)},
    {"max_tokens", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_OUTPUT_TOKENS)},
    {"temperature", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_TEMPERATURE)},
    {"top_p", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_TOP_P)},
    {"seed", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_SEED)},
    {"frequency_penalty", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_FREQUENCY_PENALTY)},
    {"presence_penalty", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_PRESENCE_PENALTY)},
    {"stop", .read = read_stop},
    {"reasoning_effort", .read = read_effort},
    {"verbosity", WALK_OPTION(WALK_TEXT_VALUE, NEUTRAL_VERBOSITY)},
    {"user", WALK_OPTION(WALK_TEXT_VALUE, NEUTRAL_USER_ID)},
    {"safety_identifier", WALK_OPTION(WALK_TEXT_VALUE, NEUTRAL_USER_ID)},
    {"metadata", .is_hint = true, .unless = "{}"},
    {"store", .is_hint = true, .unless = "false"},
    {"prompt_cache_key", .is_hint = true},
    {"prompt_cache_options", .is_hint = true},
    {"prompt_cache_retention", .is_hint = true},
    {"prediction", .is_hint = true},
    {"n", .why = "several choices cannot be carried over", .unless = "1"},
    {"logprobs", .why = "the provider's API has no such thing", .unless = "false"},
    {"top_logprobs", .why = "the provider's API has no such thing", .unless = "0"},
    {"logit_bias", .why = "the provider's API has no such thing", .unless = "{}"},
    {"modalities", .why = "only text can be carried over", .unless = "[\"text\"]"},
    {"service_tier", .read = walk_service_tier},
    {"audio", .why = "audio cannot be carried over"},
    {"moderation", .why = "the provider's API has no such thing"},
    {"web_search_options", .why = "the provider's API has no such tool"},
    {"functions", .why = "it is deprecated: send tools"},
    {"function_call", .why = "it is deprecated: send tool_choice"},
};

enum err openai_chat_read_request(
    struct slice body, struct neutral_request *out, struct neutral_report *report)
{
    struct walk walk;
    walk_init(&walk, &out->arena, report);
    TRY(walk_body(&walk, body, members, COUNT_OF(members), out));
    if (!out->messages)
        return walk_missing(&walk, "messages");
    return ERR_OK;
}
