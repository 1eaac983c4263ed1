/* openai_responses_read — the body of POST /v1/responses, read.
 *
 *     {"model", "instructions", "input": "…" | [
 *        {"role": "user" | "system" | "developer" | "assistant", "content": "…" | [
 *            {"type": "input_text" | "output_text", "text"}, {"type": "input_image", "image_url"},
 *            {"type": "refusal", "refusal"}]},
 *        {"type": "reasoning", "id", "summary": [{"text"}], "encrypted_content"},
 *        {"type": "function_call", "call_id", "name", "arguments": "{…}"},
 *        {"type": "function_call_output", "call_id", "output": "…" | [parts]}],
 *      "tools": [{"type": "function", "name", "parameters", "strict"}], "tool_choice",
 *      "parallel_tool_calls", "text": {"format", "verbosity"}, "reasoning": {"effort", "summary"},
 *      "max_output_tokens", "temperature", "top_p", "stream", …}
 *
 * Only what stands in the body can be carried over: a conversation that OpenAI keeps cannot.
 * Reasoning, text and calls that follow one another are one message of the assistant's.
 *
 *   source  openai-python src/openai/types/responses at e43b4224 (2026-08-21) */
#include "protocol/dialect/codec.h"

#include <string.h>

#include "protocol/dialect/openai.h"
#include "protocol/dialect/walk.h"

codec_read_request openai_responses_read_request;

/* ---- parts ---- */

static const struct walk_member text_members[] = {
    {"type", .read = walk_skip},
    {"text", WALK_AT(WALK_TEXT, struct neutral_part, text)},
    {"annotations", .is_hint = true, .unless = "[]"},
    {"logprobs", .is_hint = true, .unless = "[]"},
    {"prompt_cache_breakpoint", .is_hint = true},
};
static const struct walk_member image_members[] = {
    {"type", .read = walk_skip},
    {"image_url", .read = openai_read_image_address},
    {"detail", WALK_AT(WALK_TEXT, struct neutral_part, detail)},
    {"file_id", .why = "a file that the provider keeps cannot be carried over"},
    {"prompt_cache_breakpoint", .is_hint = true},
};
static const struct walk_member refusal_members[] = {
    {"type", .read = walk_skip},
    {"refusal", WALK_AT(WALK_TEXT, struct neutral_part, text)},
};

static const struct {
    const char *type;
    enum neutral_part_kind kind;
    const struct walk_member *members;
    size_t count;
} part_types[] = {
    {"input_text", NEUTRAL_TEXT, text_members, COUNT_OF(text_members)},
    {"output_text", NEUTRAL_TEXT, text_members, COUNT_OF(text_members)},
    {"input_image", NEUTRAL_IMAGE, image_members, COUNT_OF(image_members)},
    {"refusal", NEUTRAL_REFUSAL, refusal_members, COUNT_OF(refusal_members)},
};

static enum err read_part(struct walk *walk, struct json_span value, void *into)
{
    struct walk_parts *parts = into;
    struct slice type;
    TRY(walk_type(walk, value, "type", &type));
    for (size_t i = 0; i < COUNT_OF(part_types); i++) {
        if (!slice_equal(type, slice_text(part_types[i].type)))
            continue;
        TRY(walk_add_part(walk, parts, part_types[i].kind));
        return walk_object(walk, value, part_types[i].members, part_types[i].count, parts->last);
    }
    return walk_refuse(walk, "parts of this type cannot be carried over");
}

/* "…" or an array of parts. */
static enum err read_content(struct walk *walk, struct json_span value, struct walk_parts *parts)
{
    if (value.type == JSON_ARRAY)
        return walk_array(walk, value, read_part, parts);
    TRY(walk_add_part(walk, parts, NEUTRAL_TEXT));
    return walk_text(walk, value, &parts->last->text);
}

/* ---- items ---- */

struct item {
    enum neutral_role role;
    struct walk_parts parts;
    struct neutral_part *list;
};

static enum err read_role(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {[NEUTRAL_SYSTEM] = "system",
        [NEUTRAL_DEVELOPER] = "developer",
        [NEUTRAL_USER] = "user",
        [NEUTRAL_ASSISTANT] = "assistant"};
    size_t word;
    TRY(walk_word(walk, value, words, COUNT_OF(words),
        "it must be system, developer, user or assistant", &word));
    ((struct item *)into)->role = (enum neutral_role)word;
    return ERR_OK;
}

static enum err read_message_content(struct walk *walk, struct json_span value, void *into)
{
    return read_content(walk, value, &((struct item *)into)->parts);
}

static enum err read_output(struct walk *walk, struct json_span value, void *into)
{
    struct walk_parts parts = walk_parts(&((struct neutral_part *)into)->content);
    return read_content(walk, value, &parts);
}

static enum err read_seal(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_part *part = into;
    struct slice seal, id;
    TRY(walk_text(walk, value, &seal));
    neutral_seal_read(seal, NEUTRAL_FORMAT_RESPONSES, &part->format, &id, &part->opaque);
    if (!slice_equal(part->format, SLICE(NEUTRAL_FORMAT_RESPONSES)))
        part->id = id;
    return ERR_OK;
}

/* Summaries and contents of reasoning, one after another, a blank line between them. */
static enum err read_reasoning_text(struct walk *walk, struct json_span value, void *into)
{
    const struct slice gap = SLICE("\n\n");
    struct neutral_part *part = into;
    struct slice text, old = part->text;
    void *joined;
    TRY(walk_type(walk, value, "text", &text));
    if (old.size == 0) {
        part->text = text;
        return ERR_OK;
    }
    TRY(arena_take(walk->arena, old.size + gap.size + text.size, &joined));
    memcpy(joined, old.data, old.size);
    memcpy((uint8_t *)joined + old.size, gap.data, gap.size);
    if (text.size)
        memcpy((uint8_t *)joined + old.size + gap.size, text.data, text.size);
    part->text = slice_of(joined, old.size + gap.size + text.size);
    return ERR_OK;
}

static const struct walk_member message_members[] = {
    {"type", .read = walk_skip},
    {"role", .read = read_role},
    {"content", .read = read_message_content},
    {"id", .read = walk_skip},
    {"status", .read = walk_skip},
    {"phase", .is_hint = true},
};
static const struct walk_member call_members[] = {
    {"type", .read = walk_skip},
    {"call_id", WALK_AT(WALK_TEXT, struct neutral_part, id)},
    {"name", WALK_AT(WALK_TEXT, struct neutral_part, name)},
    {"arguments", WALK_AT(WALK_TEXT, struct neutral_part, text)},
    {"id", .read = walk_skip},
    {"status", .read = walk_skip},
    {"namespace", .why = "namespaces of tools cannot be carried over"},
    {"caller", .why = "only direct calls can be carried over", .unless = "{\"type\":\"direct\"}"},
};
static const struct walk_member output_members[] = {
    {"type", .read = walk_skip},
    {"call_id", WALK_AT(WALK_TEXT, struct neutral_part, id)},
    {"output", .read = read_output},
    {"id", .read = walk_skip},
    {"status", .read = walk_skip},
    {"name", .is_hint = true},
};
static const struct walk_member reasoning_members[] = {
    {"type", .read = walk_skip},
    {"id", WALK_AT(WALK_TEXT, struct neutral_part, id)},
    {"summary", .each = read_reasoning_text},
    {"content", .each = read_reasoning_text},
    {"encrypted_content", .read = read_seal},
    {"status", .read = walk_skip},
};

static const struct {
    const char *type;
    enum neutral_part_kind kind;
    enum neutral_role role;
    const struct walk_member *members;
    size_t count;
} item_types[] = {
    {"function_call", NEUTRAL_TOOL_CALL, NEUTRAL_ASSISTANT, call_members, COUNT_OF(call_members)},
    {"function_call_output", NEUTRAL_TOOL_RESULT, NEUTRAL_USER, output_members,
        COUNT_OF(output_members)},
    {"reasoning", NEUTRAL_REASONING, NEUTRAL_ASSISTANT, reasoning_members,
        COUNT_OF(reasoning_members)},
};

static enum err check_part(struct walk *walk, struct neutral_part *part)
{
    if (part->kind == NEUTRAL_REASONING) {
        part->is_redacted = part->text.size == 0;
        return ERR_OK;
    }
    if (part->id.size == 0)
        return walk_missing(walk, "call_id");
    bool lacks_name = part->kind == NEUTRAL_TOOL_CALL && part->name.size == 0;
    return lacks_name ? walk_missing(walk, "name") : ERR_OK;
}

static struct neutral_message *last_message(const struct neutral_request *request)
{
    if (!request->messages)
        return NULL;
    return (struct neutral_message *)(void *)request->messages_end; /* its `next` comes first */
}

static enum err add_item(struct walk *walk, struct neutral_request *request, struct item *item)
{
    struct neutral_message *last = last_message(request);
    if (!last || last->role != NEUTRAL_ASSISTANT || item->role != NEUTRAL_ASSISTANT)
        return walk_add_message(walk, request, item->role, item->list);
    struct neutral_part **end = &last->parts;
    while (*end)
        end = &(*end)->next;
    *end = item->list;
    return ERR_OK;
}

static enum err read_item(struct walk *walk, struct json_span value, void *into)
{
    struct item item = {.role = NEUTRAL_USER};
    struct slice type;
    item.parts = walk_parts(&item.list);
    TRY(walk_type(walk, value, "type", &type));
    if (type.size == 0 || slice_equal(type, SLICE("message"))) {
        TRY(walk_object(walk, value, message_members, COUNT_OF(message_members), &item));
        return add_item(walk, into, &item);
    }
    for (size_t i = 0; i < COUNT_OF(item_types); i++) {
        if (!slice_equal(type, slice_text(item_types[i].type)))
            continue;
        item.role = item_types[i].role;
        TRY(walk_add_part(walk, &item.parts, item_types[i].kind));
        TRY(walk_object(walk, value, item_types[i].members, item_types[i].count, item.parts.last));
        TRY(check_part(walk, item.parts.last));
        return add_item(walk, into, &item);
    }
    return walk_refuse(walk, "items of this type cannot be carried over");
}

static enum err read_input(struct walk *walk, struct json_span value, void *into)
{
    struct item item = {.role = NEUTRAL_USER};
    if (value.type == JSON_ARRAY)
        return walk_array(walk, value, read_item, into);
    item.parts = walk_parts(&item.list);
    TRY(read_content(walk, value, &item.parts));
    return add_item(walk, into, &item);
}

/* Before the input, wherever they stand in the body. */
static enum err read_instructions(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_part *list = NULL;
    struct walk_parts parts = walk_parts(&list);
    TRY(walk_add_part(walk, &parts, NEUTRAL_TEXT));
    TRY(walk_text(walk, value, &parts.last->text));
    return walk_add_first_message(walk, into, NEUTRAL_SYSTEM, list);
}

/* ---- tools ---- */

static const struct walk_member tool_members[] = {
    {"type", .why = "only tools of type function can be carried over", .unless = "\"function\""},
    {"name", WALK_AT(WALK_TEXT, struct neutral_tool, name)},
    {"description", WALK_AT(WALK_TEXT, struct neutral_tool, description)},
    {"parameters", WALK_AT(WALK_OBJECT, struct neutral_tool, schema)},
    {"strict", WALK_AT(WALK_FLAG, struct neutral_tool, strict)},
    {"output_schema", .is_hint = true},
    {"defer_loading", .why = "the provider's API has no such thing", .unless = "false"},
    {"allowed_callers", .why = "the provider's API has no such thing", .unless = "[\"direct\"]"},
};

static enum err read_tool(struct walk *walk, struct json_span value, void *into)
{
    return walk_tool(walk, value, tool_members, COUNT_OF(tool_members), "name", into);
}

static const struct walk_member choice_members[] = {
    {"type", .why = "only a choice of a function can be carried over", .unless = "\"function\""},
    {"name", WALK_AT(WALK_TEXT, struct neutral_request, choice.name)},
};

static enum err read_tool_choice(struct walk *walk, struct json_span value, void *into)
{
    static const struct openai_object named = {choice_members, COUNT_OF(choice_members), "name"};
    return openai_read_choice(walk, value, &named, into);
}

/* ---- the rest ---- */

static const struct walk_member format_members[] = {
    {"type", .read = openai_read_format_type},
    {"name", WALK_AT(WALK_TEXT, struct neutral_request, format.name)},
    {"description", WALK_AT(WALK_TEXT, struct neutral_request, format.description)},
    {"schema", WALK_AT(WALK_OBJECT, struct neutral_request, format.schema)},
    {"strict", WALK_AT(WALK_FLAG, struct neutral_request, format.strict)},
};

static enum err read_format(struct walk *walk, struct json_span value, void *into)
{
    static const struct openai_object format = {format_members, COUNT_OF(format_members), "schema"};
    return openai_read_format(walk, value, &format, into);
}

static const struct walk_member reasoning_config_members[] = {
    {"effort", WALK_AT(WALK_TEXT, struct neutral_request, reasoning.effort)},
    {"summary", WALK_AT(WALK_TEXT, struct neutral_request, reasoning.summary)},
    {"generate_summary", WALK_AT(WALK_TEXT, struct neutral_request, reasoning.summary)},
    {"context", .is_hint = true},
    {"mode", .why = "the provider's API has no such thing", .unless = "\"standard\""},
};

static enum err read_reasoning(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_request *request = into;
    TRY(walk_path(walk, &request->reasoning.path));
    return walk_object(
        walk, value, reasoning_config_members, COUNT_OF(reasoning_config_members), into);
}

static enum err read_include(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {"reasoning.encrypted_content"};
    size_t word;
    (void)into; /* it is always there, if the provider gives it */
    return walk_word(walk, value, words, COUNT_OF(words),
        "only reasoning.encrypted_content can be included", &word);
}

static const struct walk_member text_config_members[] = {
    {"format", .read = read_format},
    {"verbosity", WALK_OPTION(WALK_TEXT_VALUE, NEUTRAL_VERBOSITY)},
};

static const struct walk_member members[] = {
    {"model", WALK_AT(WALK_TEXT, struct neutral_request, model)},
    {"instructions", .read = read_instructions},
    {"input", .read = read_input},
    {"stream", WALK_AT(WALK_BOOL, struct neutral_request, is_streamed)},
    {"tools", .each = read_tool},
    {"tool_choice", .read = read_tool_choice},
    {"parallel_tool_calls", WALK_AT(WALK_BOOL_VALUE, struct neutral_request, choice.parallel)},
    {"text", WALK_INTO(text_config_members)},
    {"reasoning", .read = read_reasoning},
    {"max_output_tokens", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_OUTPUT_TOKENS)},
    {"temperature", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_TEMPERATURE)},
    {"top_p", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_TOP_P)},
    {"user", WALK_OPTION(WALK_TEXT_VALUE, NEUTRAL_USER_ID)},
    {"safety_identifier", WALK_OPTION(WALK_TEXT_VALUE, NEUTRAL_USER_ID)},
    {"include", .each = read_include},
    {"metadata", .is_hint = true, .unless = "{}"},
    {"store", .is_hint = true, .unless = "false"},
    {"stream_options", .is_hint = true},
    {"prompt_cache_key", .is_hint = true},
    {"prompt_cache_options", .is_hint = true},
    {"prompt_cache_retention", .is_hint = true},
    {"truncation", .why = "the provider cuts no conversations short", .unless = "\"disabled\""},
    {"background", .why = "a background response cannot be carried over", .unless = "false"},
    {"previous_response_id", .why = "another provider keeps the response: send the whole input"},
    {"conversation", .why = "another provider keeps the conversation: send the whole input"},
    {"prompt", .why = "another provider keeps the prompt: send it as input"},
    {"max_tool_calls", .why = "the provider's API has no such thing"},
    {"top_logprobs", .why = "the provider's API has no such thing", .unless = "0"},
    {"service_tier", .read = walk_service_tier},
    {"context_management", .is_hint = true},
    {"moderation", .why = "the provider's API has no such thing"},
};

enum err openai_responses_read_request(
    struct slice body, struct neutral_request *out, struct neutral_report *report)
{
    struct walk walk;
    walk_init(&walk, &out->arena, report);
    out->includes_usage = true; /* nobody has to ask */
    TRY(walk_body(&walk, body, members, COUNT_OF(members), out));
    return out->messages ? ERR_OK : walk_missing(&walk, "input");
}
