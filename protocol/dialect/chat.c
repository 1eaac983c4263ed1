/* chat — parts into contents, contents into messages, in the manner of the dialect. */
#include "protocol/dialect/chat.h"

/* ---- parts ---- */

bool chat_is_text(const struct chat_manner *manner, const struct neutral_part *part)
{
    return part->kind == NEUTRAL_TEXT ||
           (part->kind == NEUTRAL_REFUSAL && manner->has_refusals_as_text);
}

size_t chat_count(const struct neutral_part *parts, enum neutral_part_kind kind)
{
    size_t count = 0;
    for (; parts; parts = parts->next)
        count += parts->kind == kind;
    return count;
}

static void leave_out_cache(struct sending *sending, const struct neutral_part *part)
{
    codec_leave_out_cache(sending->report, part->path, part->cache);
}

void chat_write_block(struct sending *sending, const char *type, const struct neutral_part *part)
{
    json_open(&sending->writer, '{');
    codec_member(&sending->writer, "type", slice_text(type));
    codec_member(&sending->writer, type, part->text);
    json_close(&sending->writer, '}');
    leave_out_cache(sending, part);
}

static void write_image(
    struct sending *sending, const struct chat_manner *manner, const struct neutral_part *part)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("image_url"));
    json_key(writer, "image_url");
    json_open(writer, '{');
    json_key(writer, "url");
    codec_image_address(writer, part);
    if (part->detail.size && !slice_equal(part->detail, slice_text(manner->usual_detail)))
        codec_member(writer, "detail", part->detail);
    json_close(writer, '}');
    json_close(writer, '}');
    leave_out_cache(sending, part);
}

/* The parts up to `end`, as an array. */
static enum err write_blocks(struct sending *sending, const struct chat_manner *manner,
    const struct neutral_part *part, const struct neutral_part *end)
{
    json_open(&sending->writer, '[');
    for (; part != end; part = part->next) {
        if (chat_is_text(manner, part))
            chat_write_block(sending, "text", part);
        else if (part->kind == NEUTRAL_IMAGE)
            write_image(sending, manner, part);
        else
            return neutral_refuse(sending->report, part->path, "%s", manner->misplaced);
    }
    json_close(&sending->writer, ']');
    return sending->writer.err;
}

/* The value of "content" of the parts up to `end`: a single text is a string. */
static enum err write_content(struct sending *sending, const struct chat_manner *manner,
    const struct neutral_part *part, const struct neutral_part *end)
{
    struct json_writer *writer = &sending->writer;
    bool is_single = part != end && part->next == end && chat_is_text(manner, part);
    if (part != end && !is_single)
        return write_blocks(sending, manner, part, end);
    json_string(writer, is_single ? part->text : SLICE_NONE);
    if (is_single)
        leave_out_cache(sending, part);
    return writer->err;
}

/* ---- messages ---- */

static enum err write_plain(struct sending *sending, const struct chat_manner *manner,
    const char *role, const struct neutral_part *part, const struct neutral_part *end)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "role", slice_text(role));
    json_key(writer, "content");
    TRY(write_content(sending, manner, part, end));
    json_close(writer, '}');
    return writer->err;
}

static enum err write_result_content(
    struct sending *sending, const struct chat_manner *manner, const struct neutral_part *content)
{
    if (!manner->has_results_in_parts)
        return write_content(sending, manner, content, NULL);
    if (content)
        return write_blocks(sending, manner, content, NULL);
    json_raw(&sending->writer, SLICE("[{\"type\":\"text\",\"text\":\"\"}]"));
    return sending->writer.err;
}

static enum err write_result(
    struct sending *sending, const struct chat_manner *manner, const struct neutral_part *result)
{
    struct json_writer *writer = &sending->writer;
    for (const struct neutral_part *part = result->content; part; part = part->next)
        if (part->kind == NEUTRAL_IMAGE)
            return neutral_refuse(sending->report, part->path, "%s", manner->image_in_result);
    json_open(writer, '{');
    codec_member(writer, "role", SLICE("tool"));
    codec_member(writer, "tool_call_id", result->id);
    json_key(writer, "content");
    TRY(write_result_content(sending, manner, result->content));
    json_close(writer, '}');
    leave_out_cache(sending, result);
    if (result->is_error)
        codec_leave_out(sending->report, result->path, "is_error");
    return writer->err;
}

/* Results are messages of their own, and so is each run of other parts between them. */
static enum err write_user(struct sending *sending, const struct chat_manner *manner,
    const struct neutral_message *message)
{
    const struct neutral_part *part = message->parts;
    if (!part)
        return write_plain(sending, manner, "user", NULL, NULL);
    while (part) {
        const struct neutral_part *end = part;
        while (end && end->kind != NEUTRAL_TOOL_RESULT)
            end = end->next;
        if (part != end)
            TRY(write_plain(sending, manner, "user", part, end));
        if (end)
            TRY(write_result(sending, manner, end));
        part = end ? end->next : NULL;
    }
    return ERR_OK;
}

enum err chat_check_order(
    struct sending *sending, const struct chat_manner *manner, const struct neutral_part *parts)
{
    bool has_call = false;
    for (const struct neutral_part *part = parts; part; part = part->next) {
        has_call |= part->kind == NEUTRAL_TOOL_CALL;
        if (part->kind == NEUTRAL_IMAGE)
            return neutral_refuse(
                sending->report, part->path, "an assistant's message cannot hold images here");
        if (chat_is_text(manner, part) && has_call)
            return neutral_refuse(sending->report, part->path, "%s", manner->text_after_call);
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
    leave_out_cache(sending, part);
}

void chat_write_calls(struct sending *sending, const struct neutral_part *parts)
{
    if (chat_count(parts, NEUTRAL_TOOL_CALL) == 0)
        return;
    json_key(&sending->writer, "tool_calls");
    json_open(&sending->writer, '[');
    for (; parts; parts = parts->next)
        if (parts->kind == NEUTRAL_TOOL_CALL)
            write_call(sending, parts);
    json_close(&sending->writer, ']');
}

static enum err write_message(struct sending *sending, const struct chat_manner *manner,
    const struct neutral_message *message)
{
    switch (message->role) {
    case NEUTRAL_SYSTEM: return write_plain(sending, manner, "system", message->parts, NULL);
    case NEUTRAL_DEVELOPER:
        return write_plain(sending, manner, manner->developer_role, message->parts, NULL);
    case NEUTRAL_USER: return write_user(sending, manner, message);
    case NEUTRAL_ASSISTANT: return manner->write_assistant(sending, message);
    }
    return ERR_OK;
}

enum err chat_write_messages(struct sending *sending, const struct chat_manner *manner)
{
    struct json_writer *writer = &sending->writer;
    json_key(writer, "messages");
    json_open(writer, '[');
    for (const struct neutral_message *message = sending->request->messages; message;
         message = message->next)
        TRY(write_message(sending, manner, message));
    json_close(writer, ']');
    return writer->err;
}

/* ---- tools ---- */

void chat_write_tool(struct sending *sending, const struct neutral_tool *tool, struct slice schema,
    struct slice strict)
{
    struct json_writer *writer = &sending->writer;
    json_open(writer, '{');
    codec_member(writer, "type", SLICE("function"));
    json_key(writer, "function");
    json_open(writer, '{');
    codec_member(writer, "name", tool->name);
    if (tool->description.size)
        codec_member(writer, "description", tool->description);
    codec_raw_member(writer, "parameters", schema);
    codec_raw_member(writer, "strict", strict);
    json_close(writer, '}');
    json_close(writer, '}');
    codec_leave_out_cache(sending->report, tool->path, tool->cache);
}
