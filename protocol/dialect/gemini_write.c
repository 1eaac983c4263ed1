/* gemini_write — the body of generateContent, written.
 *
 *     {"systemInstruction": {"parts": [{"text"}]},
 *      "contents": [{"role": "user" | "model", "parts": [
 *         {"text", "thought", "thoughtSignature"},
 *         {"inlineData": {"mimeType", "data"}}, {"fileData": {"mimeType", "fileUri"}},
 *         {"functionCall": {"id", "name", "args": {…}}, "thoughtSignature"},
 *         {"functionResponse": {"id", "name", "response": {"output" | "error": "…"},
 *                               "parts": [{"inlineData"}]}}]}],
 *      "tools": [{"functionDeclarations": [{"name", "description", "parametersJsonSchema"}]}],
 *      "toolConfig": {"functionCallingConfig": {"mode", "allowedFunctionNames"}},
 *      "generationConfig": {…}}                                            gemini_config.c
 *
 * Model and streaming are in the path. Messages of one role become one. A result names its function,
 * which is looked up by the ID of its call; IDs that were made here for calls without one are not
 * sent. Signatures go back to where gemini_response took them from: those with an ID to that call,
 * one without to the last text of its message.
 *
 *   source  googleapis/js-genai src/types.ts at 6e9b35c4 (2026-08-21)
 *           https://ai.google.dev/api/generate-content, …/docs/thinking, …/docs/function-calling */
#include "protocol/dialect/codec.h"

#include <string.h>

#include "protocol/base/own.h"
#include "protocol/dialect/call_index.h"
#include "protocol/dialect/gemini.h"
#include "protocol/dialect/sending.h"
#include "protocol/dialect/walk.h"
#include "protocol/http/url.h"

codec_write_request gemini_write_request;

/* A request being written, with what has to be looked up on the way. */
struct asking {
    struct sending sending;
    struct call_index calls, seals; /* a seal for a call has the call's ID */
    const char *role;               /* of the content that is open; NULL: none is */
};

/* ---- IDs ---- */

static bool is_made_here(struct slice id)
{
    enum { ID_DIGITS = 32 };
    const struct slice prefix = SLICE("call_");
    uint64_t n;
    if (!slice_has_prefix(id, prefix) || id.size < prefix.size + ID_DIGITS + 2)
        return false;
    for (size_t i = prefix.size; i < prefix.size + ID_DIGITS; i++)
        if (!memchr("0123456789abcdef", id.data[i], 16))
            return false;
    return id.data[prefix.size + ID_DIGITS] == '_' &&
           slice_u64(slice_sub(id, prefix.size + ID_DIGITS + 1, id.size), &n) == ERR_OK;
}

static void write_id(struct asking *asking, struct slice id)
{
    if (!is_made_here(id))
        codec_member(&asking->sending.writer, "id", id);
}

/* ---- contents ---- */

static void close_content(struct asking *asking)
{
    if (!asking->role)
        return;
    json_close(&asking->sending.writer, ']');
    json_close(&asking->sending.writer, '}');
    asking->role = NULL;
}

/* Begins a part, in a content of that role. */
static void open_part(struct asking *asking, const char *role)
{
    struct json_writer *writer = &asking->sending.writer;
    if (!asking->role || strcmp(asking->role, role) != 0) {
        close_content(asking);
        json_open(writer, '{');
        codec_member(writer, "role", slice_text(role));
        json_key(writer, "parts");
        json_open(writer, '[');
        asking->role = role;
    }
    json_open(writer, '{');
}

static void close_part(struct asking *asking, const struct neutral_part *part)
{
    json_close(&asking->sending.writer, '}');
    codec_leave_out_cache(asking->sending.report, part->path, part->cache);
}

static void write_inline(struct json_writer *writer, const struct neutral_part *image)
{
    json_key(writer, "inlineData");
    json_open(writer, '{');
    codec_member(writer, "mimeType", image->media_type);
    codec_member(writer, "data", image->data);
    json_close(writer, '}');
}

static bool ends_with(struct slice text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size &&
           slice_equal_nocase(slice_sub(text, text.size - size, size), slice_text(end));
}

/* By the end of its path: the API wants to be told. */
static const char *type_of_url(struct slice url)
{
    static const struct {
        const char *end, *type;
    } types[] = {{".png", "image/png"}, {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"},
        {".webp", "image/webp"}, {".heic", "image/heic"}, {".heif", "image/heif"},
        {".gif", "image/gif"}};
    for (size_t i = 0; i < url.size; i++)
        if (url.data[i] == '?' || url.data[i] == '#')
            url.size = i;
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (ends_with(url, types[i].end))
            return types[i].type;
    return NULL;
}

static enum err write_image(
    struct asking *asking, const char *role, const struct neutral_part *part)
{
    struct json_writer *writer = &asking->sending.writer;
    const char *type = type_of_url(part->url);
    if (part->url.size && !type)
        return neutral_refuse(asking->sending.report, part->path,
            "Gemini wants an image's media type, and the end of this URL does not tell it: send "
            "the image itself");
    open_part(asking, role);
    if (part->url.size) {
        json_key(writer, "fileData");
        json_open(writer, '{');
        codec_member(writer, "mimeType", slice_text(type));
        codec_member(writer, "fileUri", part->url);
        json_close(writer, '}');
    } else {
        write_inline(writer, part);
    }
    close_part(asking, part);
    if (part->detail.size && !slice_equal(part->detail, SLICE("auto")))
        codec_leave_out(asking->sending.report, part->path, "detail");
    return ERR_OK;
}

static enum err write_call(struct asking *asking, const struct neutral_part *part)
{
    struct json_writer *writer = &asking->sending.writer;
    const struct neutral_part *seal = call_index_find(&asking->seals, part->id);
    const char *why;
    size_t at;
    if (part->text.size && json_object_check(part->text, &why, &at) != ERR_OK)
        return neutral_refuse(asking->sending.report, part->path,
            "the arguments of the call are no JSON object: %s (at byte %zu)", why, at);
    open_part(asking, "model");
    json_key(writer, "functionCall");
    json_open(writer, '{');
    write_id(asking, part->id);
    codec_member(writer, "name", part->name);
    codec_raw_member(writer, "args", part->text.size ? part->text : SLICE("{}"));
    json_close(writer, '}');
    if (seal)
        codec_member(writer, "thoughtSignature", seal->opaque);
    close_part(asking, part);
    return call_index_note(&asking->calls, part);
}

/* ---- results ---- */

static size_t count_kind(const struct neutral_part *part, enum neutral_part_kind kind)
{
    size_t count = 0;
    for (; part; part = part->next)
        count += part->kind == kind;
    return count;
}

/* The texts of a result: one is a string, several are an array of them. */
static void write_output(struct asking *asking, const struct neutral_part *result)
{
    struct json_writer *writer = &asking->sending.writer;
    size_t texts = count_kind(result->content, NEUTRAL_TEXT);
    json_key(writer, "response");
    json_open(writer, '{');
    json_key(writer, result->is_error ? "error" : "output");
    if (texts > 1)
        json_open(writer, '[');
    if (texts == 0)
        json_string(writer, SLICE_NONE);
    for (const struct neutral_part *part = result->content; part; part = part->next)
        if (part->kind == NEUTRAL_TEXT)
            json_string(writer, part->text);
    if (texts > 1)
        json_close(writer, ']');
    json_close(writer, '}');
}

static enum err write_result_images(struct asking *asking, const struct neutral_part *result)
{
    struct json_writer *writer = &asking->sending.writer;
    if (count_kind(result->content, NEUTRAL_IMAGE) == 0)
        return ERR_OK;
    json_key(writer, "parts");
    json_open(writer, '[');
    for (const struct neutral_part *part = result->content; part; part = part->next) {
        if (part->kind != NEUTRAL_IMAGE)
            continue;
        if (part->url.size)
            return neutral_refuse(asking->sending.report, part->path,
                "Gemini takes an image in a tool's result as data, not by its URL");
        json_open(writer, '{');
        write_inline(writer, part);
        json_close(writer, '}');
    }
    json_close(writer, ']');
    return ERR_OK;
}

static enum err write_result(struct asking *asking, const struct neutral_part *part)
{
    struct json_writer *writer = &asking->sending.writer;
    const struct neutral_part *call = call_index_find(&asking->calls, part->id);
    if (!call)
        return neutral_refuse(asking->sending.report, part->path,
            "Gemini names the function in its result, and no call before it has this ID");
    open_part(asking, "user");
    json_key(writer, "functionResponse");
    json_open(writer, '{');
    write_id(asking, part->id);
    codec_member(writer, "name", call->name);
    write_output(asking, part);
    TRY(write_result_images(asking, part));
    json_close(writer, '}');
    close_part(asking, part);
    return ERR_OK;
}

/* ---- messages ---- */

static bool is_ours(const struct neutral_part *part)
{
    return part->opaque.size && slice_equal(part->format, SLICE(NEUTRAL_FORMAT_GEMINI));
}

/* What is told of a message before its parts are written: a seal without an ID stands on the last
 * text, wherever the caller's dialect has put it. */
struct message_seal {
    const struct neutral_part *text, *seal; /* NULL: none */
};

static struct message_seal find_seal(const struct neutral_message *message)
{
    struct message_seal found = {0};
    for (const struct neutral_part *part = message->parts; part; part = part->next) {
        if (part->kind == NEUTRAL_TEXT && part->text.size)
            found.text = part;
        if (part->kind == NEUTRAL_REASONING && is_ours(part) && part->id.size == 0 &&
            part->text.size == 0)
            found.seal = part;
    }
    return found;
}

/* A thought goes back with its own seal; a seal for a call waits for the call. */
static enum err write_reasoning(struct asking *asking, const struct neutral_part *part)
{
    if (!is_ours(part)) {
        neutral_leave_out(asking->sending.report, part->path);
        return ERR_OK;
    }
    if (part->text.size) {
        open_part(asking, "model");
        codec_member(&asking->sending.writer, "text", part->text);
        codec_true_member(&asking->sending.writer, "thought");
        if (part->id.size == 0)
            codec_member(&asking->sending.writer, "thoughtSignature", part->opaque);
        close_part(asking, part);
    }
    return part->id.size ? call_index_note(&asking->seals, part) : ERR_OK;
}

static void write_text(struct asking *asking, const char *role, const struct neutral_part *part,
    const struct neutral_part *seal)
{
    if (part->text.size == 0)
        return;
    open_part(asking, role);
    codec_member(&asking->sending.writer, "text", part->text);
    if (seal)
        codec_member(&asking->sending.writer, "thoughtSignature", seal->opaque);
    close_part(asking, part);
}

/* A seal whose text is gone: a part of its own, as the provider sends it. */
static void write_lone_seal(struct asking *asking, const struct message_seal *found)
{
    if (!found->seal || found->text)
        return;
    open_part(asking, "model");
    codec_member(&asking->sending.writer, "text", SLICE_NONE);
    codec_member(&asking->sending.writer, "thoughtSignature", found->seal->opaque);
    close_part(asking, found->seal);
}

static enum err write_message(struct asking *asking, const struct neutral_message *message)
{
    const char *role = message->role == NEUTRAL_ASSISTANT ? "model" : "user";
    const struct message_seal found = find_seal(message);
    for (const struct neutral_part *part = message->parts; part; part = part->next) {
        switch (part->kind) {
        case NEUTRAL_TEXT:
        case NEUTRAL_REFUSAL:
            write_text(asking, role, part, part == found.text ? found.seal : NULL);
            break;
        case NEUTRAL_REASONING: TRY(write_reasoning(asking, part)); break;
        case NEUTRAL_TOOL_CALL: TRY(write_call(asking, part)); break;
        case NEUTRAL_IMAGE: TRY(write_image(asking, role, part)); break;
        case NEUTRAL_TOOL_RESULT: TRY(write_result(asking, part)); break;
        }
    }
    write_lone_seal(asking, &found);
    return asking->sending.writer.err;
}

static enum err write_system(struct asking *asking, const struct neutral_message **messages)
{
    struct json_writer *writer = &asking->sending.writer;
    if (!neutral_is_system(*messages))
        return ERR_OK;
    json_key(writer, "systemInstruction");
    json_open(writer, '{');
    json_key(writer, "parts");
    json_open(writer, '[');
    for (; neutral_is_system(*messages); *messages = (*messages)->next)
        for (const struct neutral_part *part = (*messages)->parts; part; part = part->next) {
            if (part->kind != NEUTRAL_TEXT)
                return neutral_refuse(asking->sending.report, part->path,
                    "Gemini's system instruction holds text only");
            json_open(writer, '{');
            codec_member(writer, "text", part->text);
            close_part(asking, part);
        }
    json_close(writer, ']');
    json_close(writer, '}');
    return writer->err;
}

static enum err write_messages(struct asking *asking)
{
    const struct neutral_message *message = asking->sending.request->messages;
    TRY(write_system(asking, &message));
    json_key(&asking->sending.writer, "contents");
    json_open(&asking->sending.writer, '[');
    for (; message; message = message->next) {
        if (neutral_is_system(message))
            return neutral_refuse(asking->sending.report, message->path,
                "in Gemini's API the system instruction comes before the conversation");
        TRY(write_message(asking, message));
    }
    close_content(asking);
    json_close(&asking->sending.writer, ']');
    return asking->sending.writer.err;
}

/* ---- tools ---- */

static void write_tool(struct asking *asking, const struct neutral_tool *tool)
{
    struct json_writer *writer = &asking->sending.writer;
    json_open(writer, '{');
    codec_member(writer, "name", tool->name);
    if (tool->description.size)
        codec_member(writer, "description", tool->description);
    codec_raw_member(writer, "parametersJsonSchema", tool->schema);
    json_close(writer, '}');
    codec_leave_out_cache(asking->sending.report, tool->path, tool->cache);
}

static bool has_strict_tool(const struct neutral_request *request)
{
    for (const struct neutral_tool *tool = request->tools; tool; tool = tool->next)
        if (slice_equal(tool->strict, SLICE("true")))
            return true;
    return false;
}

/* NULL: the default. VALIDATED is AUTO with calls that keep to their schemas. */
static const char *mode_of(const struct neutral_request *request)
{
    switch (request->choice.kind) {
    case NEUTRAL_CHOICE_UNSAID: return has_strict_tool(request) ? "VALIDATED" : NULL;
    case NEUTRAL_CHOICE_AUTO: return has_strict_tool(request) ? "VALIDATED" : "AUTO";
    case NEUTRAL_CHOICE_NONE: return "NONE";
    case NEUTRAL_CHOICE_ANY:
    case NEUTRAL_CHOICE_NAMED: return "ANY";
    }
    return NULL;
}

static void write_choice(struct asking *asking)
{
    struct json_writer *writer = &asking->sending.writer;
    const char *mode = mode_of(asking->sending.request);
    if (!mode)
        return;
    json_key(writer, "toolConfig");
    json_open(writer, '{');
    json_key(writer, "functionCallingConfig");
    json_open(writer, '{');
    codec_member(writer, "mode", slice_text(mode));
    if (asking->sending.request->choice.kind == NEUTRAL_CHOICE_NAMED) {
        json_key(writer, "allowedFunctionNames");
        json_open(writer, '[');
        json_string(writer, asking->sending.request->choice.name);
        json_close(writer, ']');
    }
    json_close(writer, '}');
    json_close(writer, '}');
}

static enum err write_tools(struct asking *asking)
{
    struct json_writer *writer = &asking->sending.writer;
    const struct neutral_value *parallel = &asking->sending.request->choice.parallel;
    if (asking->sending.request->tools) {
        if (slice_equal(parallel->raw, SLICE("false")))
            return neutral_refuse(asking->sending.report, parallel->path,
                "Gemini has no word for at most one call at a time");
        json_key(writer, "tools");
        json_open(writer, '[');
        json_open(writer, '{');
        json_key(writer, "functionDeclarations");
        json_open(writer, '[');
        for (const struct neutral_tool *tool = asking->sending.request->tools; tool;
             tool = tool->next)
            write_tool(asking, tool);
        json_close(writer, ']');
        json_close(writer, '}');
        json_close(writer, ']');
    }
    write_choice(asking);
    return ERR_OK;
}

/* ---- the request ---- */

/* "gemini-2.5-flash", "models/gemini-2.5-flash", "tunedModels/mine"; no other '/' passes. */
static enum err write_path(struct slice model, bool is_streamed, struct buf *path)
{
    struct slice folder = SLICE("models/");
    if (slice_has_prefix(model, folder)) {
        model = slice_sub(model, folder.size, model.size);
    } else if (slice_has_prefix(model, SLICE("tunedModels/"))) {
        folder = SLICE("tunedModels/");
        model = slice_sub(model, folder.size, model.size);
    }
    TRY(buf_append_byte(path, '/'));
    TRY(buf_append(path, folder));
    TRY(percent_encode(model, path));
    return buf_append(
        path, is_streamed ? SLICE(":streamGenerateContent?alt=sse") : SLICE(":generateContent"));
}

static enum err write_body(struct asking *asking)
{
    json_open(&asking->sending.writer, '{');
    TRY(write_messages(asking));
    TRY(write_tools(asking));
    TRY(gemini_write_config(&asking->sending));
    json_close(&asking->sending.writer, '}');
    return asking->sending.writer.err;
}

enum err gemini_write_request(const struct neutral_request *request,
    const struct translate_target *target, struct translated_request *out,
    struct neutral_report *report)
{
    struct asking asking = {.sending = {.request = request, .target = target, .report = report}};
    json_writer_init(&asking.sending.writer, &out->body);
    call_index_init(&asking.calls);
    call_index_init(&asking.seals);
    enum err err = write_body(&asking);
    call_index_deinit(&asking.seals);
    call_index_deinit(&asking.calls);
    TRY(err);
    return write_path(target->model, request->is_streamed, &out->path);
}
