/* anthropic_read — the body of POST /v1/messages, read.
 *
 *     {"model", "max_tokens", "system": "…" | [{"type": "text", "text", "cache_control"}],
 *      "messages": [{"role": "user" | "assistant", "content": "…" | [
 *         {"type": "text", "text"}, {"type": "image", "source"},
 *         {"type": "tool_use", "id", "name", "input": {…}},
 *         {"type": "tool_result", "tool_use_id", "content": "…" | [text and image], "is_error"},
 *         {"type": "thinking", "thinking", "signature"}, {"type": "redacted_thinking", "data"}]}],
 *      "tools": [{"name", "description", "input_schema", "strict"}], "tool_choice": {"type"},
 *      "thinking": {"type": "enabled", "budget_tokens"}, "output_config": {"effort", "format"},
 *      "stop_sequences", "temperature", "top_p", "top_k", "metadata": {"user_id"}, "stream"}
 *
 *   source  anthropic-sdk-python src/anthropic/types at 009b0353 (2026-08-07) */
#include "protocol/dialect/codec.h"
#include "protocol/dialect/walk.h"

codec_read_request anthropic_read_request;

/* ---- blocks ---- */

static enum err read_source(struct walk *walk, struct json_span value, void *into)
{
    static const struct walk_member base64_members[] = {
        {"type", .read = walk_skip},
        {"media_type", WALK_AT(WALK_TEXT, struct neutral_part, media_type)},
        {"data", WALK_AT(WALK_TEXT, struct neutral_part, data)},
    };
    static const struct walk_member url_members[] = {
        {"type", .read = walk_skip},
        {"url", WALK_AT(WALK_TEXT, struct neutral_part, url)},
    };
    struct slice type;
    TRY(walk_type(walk, value, "type", &type));
    if (slice_equal(type, SLICE("base64")))
        return walk_object(walk, value, base64_members, COUNT_OF(base64_members), into);
    if (slice_equal(type, SLICE("url")))
        return walk_object(walk, value, url_members, COUNT_OF(url_members), into);
    return walk_refuse(walk, "only sources of type base64 and url can be carried over");
}

/* A JSON value kept as text, whatever it is. */
static enum err read_cache(struct walk *walk, struct json_span value, void *into)
{
    (void)walk;
    ((struct neutral_part *)into)->cache = value.raw;
    return ERR_OK;
}

static enum err read_signature(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_part *part = into;
    struct slice seal;
    TRY(walk_text(walk, value, &seal));
    neutral_seal_read(seal, NEUTRAL_FORMAT_ANTHROPIC, &part->format, &part->id, &part->opaque);
    return ERR_OK;
}

static enum err read_result_content(struct walk *walk, struct json_span value, void *into);

#define TYPE_AND_CACHE                                                                             \
    {"type", .read = walk_skip},                                                                   \
    {                                                                                              \
        "cache_control", .read = read_cache                                                        \
    }

static const struct walk_member text_members[] = {
    TYPE_AND_CACHE,
    {"text", WALK_AT(WALK_TEXT, struct neutral_part, text)},
    {"citations", .why = "citations cannot be carried over", .unless = "[]"},
};
static const struct walk_member image_members[] = {
    TYPE_AND_CACHE,
    {"source", .read = read_source},
};
static const struct walk_member call_members[] = {
    TYPE_AND_CACHE,
    {"id", WALK_AT(WALK_TEXT, struct neutral_part, id)},
    {"name", WALK_AT(WALK_TEXT, struct neutral_part, name)},
    {"input", WALK_AT(WALK_OBJECT, struct neutral_part, text)},
    {"caller", .why = "only direct calls can be carried over", .unless = "{\"type\":\"direct\"}"},
};
static const struct walk_member result_members[] = {
    TYPE_AND_CACHE,
    {"tool_use_id", WALK_AT(WALK_TEXT, struct neutral_part, id)},
    {"content", .read = read_result_content},
    {"is_error", WALK_AT(WALK_BOOL, struct neutral_part, is_error)},
};
static const struct walk_member thinking_members[] = {
    {"type", .read = walk_skip},
    {"thinking", WALK_AT(WALK_TEXT, struct neutral_part, text)},
    {"signature", .read = read_signature},
};
static const struct walk_member redacted_members[] = {
    {"type", .read = walk_skip},
    {"data", .read = read_signature},
};

static const struct block_type {
    const char *name;
    enum neutral_part_kind kind;
    bool is_inner; /* may stand in a tool's result */
    bool is_redacted;
    const struct walk_member *members;
    size_t count;
} block_types[] = {
    {"text", NEUTRAL_TEXT, true, false, text_members, COUNT_OF(text_members)},
    {"image", NEUTRAL_IMAGE, true, false, image_members, COUNT_OF(image_members)},
    {"tool_use", NEUTRAL_TOOL_CALL, false, false, call_members, COUNT_OF(call_members)},
    {"tool_result", NEUTRAL_TOOL_RESULT, false, false, result_members, COUNT_OF(result_members)},
    {"thinking", NEUTRAL_REASONING, false, false, thinking_members, COUNT_OF(thinking_members)},
    {"redacted_thinking", NEUTRAL_REASONING, false, true, redacted_members,
        COUNT_OF(redacted_members)},
};

static enum err check_block(struct walk *walk, const struct neutral_part *part)
{
    if (part->kind == NEUTRAL_TOOL_CALL && part->name.size == 0)
        return walk_missing(walk, "name");
    if (part->kind == NEUTRAL_TOOL_CALL && part->id.size == 0)
        return walk_missing(walk, "id");
    if (part->kind == NEUTRAL_TOOL_RESULT && part->id.size == 0)
        return walk_missing(walk, "tool_use_id");
    return ERR_OK;
}

static enum err read_block_of(
    struct walk *walk, struct json_span value, struct walk_parts *parts, bool is_inner)
{
    struct slice type;
    TRY(walk_type(walk, value, "type", &type));
    for (size_t i = 0; i < COUNT_OF(block_types); i++) {
        const struct block_type *known = &block_types[i];
        if (!slice_equal(type, slice_text(known->name)) || (is_inner && !known->is_inner))
            continue;
        TRY(walk_add_part(walk, parts, known->kind));
        parts->last->is_redacted = known->is_redacted;
        TRY(walk_object(walk, value, known->members, known->count, parts->last));
        return check_block(walk, parts->last);
    }
    return walk_refuse(walk, "blocks of this type cannot be carried over");
}

static enum err read_block(struct walk *walk, struct json_span value, void *into)
{
    return read_block_of(walk, value, into, false);
}

static enum err read_inner_block(struct walk *walk, struct json_span value, void *into)
{
    return read_block_of(walk, value, into, true);
}

/* "…" or an array of blocks. */
static enum err read_content(
    struct walk *walk, struct json_span value, walk_read *read, struct walk_parts *parts)
{
    if (value.type == JSON_ARRAY)
        return walk_array(walk, value, read, parts);
    TRY(walk_add_part(walk, parts, NEUTRAL_TEXT));
    return walk_text(walk, value, &parts->last->text);
}

static enum err read_result_content(struct walk *walk, struct json_span value, void *into)
{
    struct walk_parts parts = walk_parts(&((struct neutral_part *)into)->content);
    return read_content(walk, value, read_inner_block, &parts);
}

/* ---- messages ---- */

struct message {
    enum neutral_role role;
    struct neutral_part *list;
};

static enum err read_role(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {
        [NEUTRAL_SYSTEM] = "system", [NEUTRAL_USER] = "user", [NEUTRAL_ASSISTANT] = "assistant"};
    size_t word;
    TRY(walk_word(walk, value, words, COUNT_OF(words), "it must be user or assistant", &word));
    ((struct message *)into)->role = (enum neutral_role)word;
    return ERR_OK;
}

static enum err read_message_content(struct walk *walk, struct json_span value, void *into)
{
    struct walk_parts parts = walk_parts(&((struct message *)into)->list);
    return read_content(walk, value, read_block, &parts);
}

static const struct walk_member message_members[] = {
    {"role", .read = read_role},
    {"content", .read = read_message_content},
};

static enum err read_message(struct walk *walk, struct json_span value, void *into)
{
    struct message message = {.role = NEUTRAL_USER};
    TRY(walk_object(walk, value, message_members, COUNT_OF(message_members), &message));
    return walk_add_message(walk, into, message.role, message.list);
}

/* The system prompt comes before the messages, wherever it stands in the body. */
static enum err read_system(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_part *list = NULL;
    struct walk_parts parts = walk_parts(&list);
    TRY(read_content(walk, value, read_inner_block, &parts));
    return walk_add_first_message(walk, into, NEUTRAL_SYSTEM, list);
}

/* ---- tools ---- */

static enum err read_tool_cache(struct walk *walk, struct json_span value, void *into)
{
    (void)walk;
    ((struct neutral_tool *)into)->cache = value.raw;
    return ERR_OK;
}

static const struct walk_member tool_members[] = {
    {"type", .why = "only tools of the caller's own (custom) can be carried over",
        .unless = "\"custom\""},
    {"name", WALK_AT(WALK_TEXT, struct neutral_tool, name)},
    {"description", WALK_AT(WALK_TEXT, struct neutral_tool, description)},
    {"input_schema", WALK_AT(WALK_OBJECT, struct neutral_tool, schema)},
    {"strict", WALK_AT(WALK_FLAG, struct neutral_tool, strict)},
    {"cache_control", .read = read_tool_cache},
    {"eager_input_streaming", .is_hint = true},
    {"input_examples", .is_hint = true},
    {"defer_loading", .why = "the provider's API has no such thing", .unless = "false"},
    {"allowed_callers", .why = "the provider's API has no such thing", .unless = "[\"direct\"]"},
};

static enum err read_tool(struct walk *walk, struct json_span value, void *into)
{
    return walk_tool(walk, value, tool_members, COUNT_OF(tool_members), "name", into);
}

static enum err read_choice_type(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {[NEUTRAL_CHOICE_AUTO] = "auto",
        [NEUTRAL_CHOICE_NONE] = "none",
        [NEUTRAL_CHOICE_ANY] = "any",
        [NEUTRAL_CHOICE_NAMED] = "tool"};
    size_t word;
    TRY(walk_word(
        walk, value, words, COUNT_OF(words), "it must be auto, any, tool or none", &word));
    ((struct neutral_request *)into)->choice.kind = (enum neutral_choice)word;
    return ERR_OK;
}

static enum err read_no_parallel(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_request *request = into;
    bool is_disabled;
    TRY(walk_bool(walk, value, &is_disabled));
    request->choice.parallel.raw = is_disabled ? SLICE("false") : SLICE("true");
    return walk_path(walk, &request->choice.parallel.path);
}

static const struct walk_member choice_members[] = {
    {"type", .read = read_choice_type},
    {"name", WALK_AT(WALK_TEXT, struct neutral_request, choice.name)},
    {"disable_parallel_tool_use", .read = read_no_parallel},
};

static enum err read_tool_choice(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_request *request = into;
    TRY(walk_path(walk, &request->choice.path));
    TRY(walk_object(walk, value, choice_members, COUNT_OF(choice_members), request));
    bool lacks_name = request->choice.kind == NEUTRAL_CHOICE_NAMED && !request->choice.name.size;
    return lacks_name ? walk_missing(walk, "name") : ERR_OK;
}

/* ---- the rest ---- */

static enum err read_thinking_type(struct walk *walk, struct json_span value, void *into)
{
    static const char *const words[] = {"enabled", "disabled", "adaptive"};
    struct neutral_request *request = into;
    size_t word;
    TRY(walk_word(
        walk, value, words, COUNT_OF(words), "it must be enabled, disabled or adaptive", &word));
    if (word == 1)
        request->reasoning.effort = SLICE("none");
    request->reasoning.is_adaptive = word == 2;
    return walk_path(walk, &request->reasoning.path);
}

static const struct walk_member thinking_config_members[] = {
    {"type", .read = read_thinking_type},
    {"budget_tokens", WALK_AT(WALK_COUNT, struct neutral_request, reasoning.budget)},
    {"display", .is_hint = true},
};

static enum err read_effort(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_request *request = into;
    TRY(walk_path(walk, &request->reasoning.path));
    if (slice_equal(request->reasoning.effort, SLICE("none")))
        return ERR_OK; /* thinking is off: effort says only how long the answer is to be */
    return walk_text(walk, value, &request->reasoning.effort);
}

static const struct walk_member format_members[] = {
    {"type", .why = "its type must be json_schema", .unless = "\"json_schema\""},
    {"schema", WALK_AT(WALK_OBJECT, struct neutral_request, format.schema)},
};

static enum err read_format(struct walk *walk, struct json_span value, void *into)
{
    struct neutral_request *request = into;
    request->format.kind = NEUTRAL_FORMAT_SCHEMA;
    request->format.strict = SLICE("true"); /* Anthropic's are always */
    TRY(walk_path(walk, &request->format.path));
    TRY(walk_object(walk, value, format_members, COUNT_OF(format_members), request));
    return request->format.schema.size ? ERR_OK : walk_missing(walk, "schema");
}

static const struct walk_member output_members[] = {
    {"effort", .read = read_effort},
    {"format", .read = read_format},
};
static const struct walk_member metadata_members[] = {
    {"user_id", WALK_OPTION(WALK_TEXT_VALUE, NEUTRAL_USER_ID)},
};

static const struct walk_member members[] = {
    {"model", WALK_AT(WALK_TEXT, struct neutral_request, model)},
    {"system", .read = read_system},
    {"messages", .each = read_message},
    {"max_tokens", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_OUTPUT_TOKENS)},
    {"stream", WALK_AT(WALK_BOOL, struct neutral_request, is_streamed)},
    {"tools", .each = read_tool},
    {"tool_choice", .read = read_tool_choice},
    {"thinking", WALK_INTO(thinking_config_members)},
    {"output_config", WALK_INTO(output_members)},
    {"stop_sequences", .each = walk_add_stop},
    {"temperature", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_TEMPERATURE)},
    {"top_p", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_TOP_P)},
    {"top_k", WALK_OPTION(WALK_NUMBER_VALUE, NEUTRAL_TOP_K)},
    {"metadata", WALK_INTO(metadata_members)},
    {"cache_control", .is_hint = true},
    {"service_tier", .why = "a service tier is one provider's own", .unless = "\"auto\""},
    {"container", .why = "the provider's API has no such thing"},
    {"context_management", .is_hint = true},
    {"mcp_servers", .why = "the provider's API has no such thing", .unless = "[]"},
    {"inference_geo", .why = "the provider's API has no such thing"},
};

enum err anthropic_read_request(
    struct slice body, struct neutral_request *out, struct neutral_report *report)
{
    struct walk walk;
    walk_init(&walk, &out->arena, report);
    out->includes_usage = true; /* nobody has to ask */
    TRY(walk_body(&walk, body, members, COUNT_OF(members), out));
    return out->messages ? ERR_OK : walk_missing(&walk, "messages");
}
