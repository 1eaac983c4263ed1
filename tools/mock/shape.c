/* shape — a table of the endpoints; each one's file prints its JSON.
 *
 * A stream is a prelude, tokens, and a tail. A call of a tool, if there is one, stands behind the text:
 * tool.c. */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "tools/mock/bounds.h"
#include "tools/mock/tool.h"

enum {
    ERROR_DATA_BYTES_MAX = 4 << 10, /* an error event: fixed text and a number */
};

/* ---- text ---- */

static enum err put_fill(struct buf *out, char fill, size_t size)
{
    uint8_t *at;
    TRY(buf_reserve(out, size, &at));
    if (size)
        memset(at, fill, size);
    buf_commit(out, size);
    return ERR_OK;
}

enum err shape_text(const struct answer *answer, uint64_t index, struct buf *out, size_t *index_at)
{
    size_t start = out->size;
    TRY(buf_printf(out, " g%" PRIu64 "t", answer->generation));
    if (index_at)
        *index_at = out->size;
    TRY(buf_printf(out, "%" PRIu64, index));
    size_t size = out->size - start;
    return answer->text_bytes > size ? put_fill(out, '.', answer->text_bytes - size) : ERR_OK;
}

enum err shape_whole_text(const struct answer *answer, struct buf *out)
{
    for (uint64_t i = 0; i < answer->events; i++)
        TRY(shape_text(answer, i, out, NULL));
    return ERR_OK;
}

/* ---- the table ---- */

static const struct shape *const shapes[] = {&shape_chat, &shape_completions, &shape_embeddings,
    &shape_responses, &shape_messages, &shape_gemini, &shape_gemini_stream, &shape_cohere,
    &shape_ollama, &shape_bedrock, &shape_bedrock_stream, &shape_replicate, &shape_cog,
    &shape_cog_named, &shape_interactions};

static bool is_at(const struct shape *shape, struct slice path)
{
    if (!shape->method)
        return slice_equal(path, slice_text(shape->path));
    struct slice end = slice_text(shape->method);
    ptrdiff_t at = slice_find(path, slice_text(shape->path));
    return at >= 0 && path.size > (size_t)at + strlen(shape->path) + end.size &&
           slice_equal(slice_sub(path, path.size - end.size, end.size), end);
}

const struct shape *shape_find(struct slice path)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (is_at(shapes[i], path))
            return shapes[i];
    return NULL;
}

bool shape_has_text(const struct shape *shape)
{
    return shape->token;
}

bool shape_streams(const struct shape *shape, bool is_asked)
{
    return shape->token && shape->streams != STREAMS_NEVER &&
           (is_asked || shape->streams == STREAMS_ALWAYS);
}

bool shape_asks(const struct shape *shape)
{
    return shape->streams == STREAMS_UNLESS_REFUSED;
}

enum frame_kind shape_frames(const struct shape *shape)
{
    return shape->frames;
}

static int hex(uint8_t digit)
{
    uint8_t letter = digit | 0x20;
    return digit >= '0' && digit <= '9'     ? digit - '0'
           : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
                                            : -1;
}

enum err shape_model(const struct shape *shape, struct slice path, struct buf *out)
{
    if (shape->known_model)
        return buf_append_text(out, shape->known_model);
    if (!shape->method)
        return ERR_NOTFOUND;
    size_t start = (size_t)slice_find(path, slice_text(shape->path)) + strlen(shape->path);
    struct slice name = slice_sub(path, start, path.size - start - strlen(shape->method));
    for (size_t i = 0; i < name.size; i++) {
        uint8_t byte = name.data[i];
        if (byte == '%' && i + 2 < name.size && hex(name.data[i + 1]) >= 0 &&
            hex(name.data[i + 2]) >= 0) {
            byte = (uint8_t)(hex(name.data[i + 1]) * 16 + hex(name.data[i + 2]));
            i += 2;
        }
        TRY(buf_append_byte(out, byte));
    }
    return ERR_OK;
}

bool shape_repeats_text(const struct shape *shape)
{
    return shape->repeats_text;
}

bool shape_is_kept(const struct shape *shape)
{
    return shape->is_kept;
}

bool shape_is_anthropic(const struct shape *shape)
{
    return shape && shape->family == FAMILY_ANTHROPIC;
}

bool shape_is_elsewhere(const struct shape *shape)
{
    return shape->is_elsewhere;
}

bool shape_is_cog(const struct shape *shape)
{
    return shape->family == FAMILY_COG;
}

const char *shape_token_event(const struct shape *shape)
{
    return shape->token_event;
}

static unsigned times(const struct line *line, const struct answer *answer)
{
    switch (line->when) {
    case ALWAYS: return 1;
    case IF_USAGE: return answer->has_usage;
    case IF_TOOL: return answer->has_tool;
    case IF_TOOL_BY_PIECES: return answer->has_tool ? TOOL_PIECES : 0;
    }
    return 0;
}

static enum err put_lines(const struct line lines[LINES_MAX], const struct answer *answer,
    const struct frame *frame, uint64_t skip, struct buf *out, uint64_t *count)
{
    CLEANUP(buf_deinit) struct buf data;
    struct answer one = *answer;
    buf_init(&data, WRITE_BYTES_MAX);
    for (size_t i = 0; i < LINES_MAX && lines[i].data; i++)
        for (one.piece = 0; one.piece < times(&lines[i], answer); one.piece++) {
            if (skip > 0) {
                skip--;
                continue;
            }
            buf_clear(&data);
            TRY(lines[i].data(&one, &data));
            TRY(frame_event(frame, lines[i].event, buf_slice(&data), out, NULL));
            (*count)++;
        }
    return ERR_OK;
}

enum err shape_prelude(const struct shape *shape, const struct answer *answer,
    const struct frame *frame, uint64_t skip, struct buf *out, uint64_t *count)
{
    return put_lines(shape->prelude, answer, frame, skip, out, count);
}

enum err shape_tail(const struct shape *shape, const struct answer *answer,
    const struct frame *frame, uint64_t skip, struct buf *out, uint64_t *count)
{
    return put_lines(shape->tail, answer, frame, skip, out, count);
}

enum err shape_token(const struct shape *shape, const struct answer *answer, uint64_t index,
    struct buf *out, struct token_spot *spot)
{
    *spot = (struct token_spot){.sequence_at = SIZE_MAX};
    return shape->token(answer, index, out, spot);
}

enum err shape_whole(const struct shape *shape, const struct answer *answer, struct buf *out)
{
    return shape->whole(answer, out);
}

/* ---- errors ---- */

struct error_name {
    unsigned status;
    const char *openai_type;
    const char *openai_code;
    const char *anthropic_type;
    const char *gemini_status;
};

/* The first row of the status, else the last row. */
static const struct error_name error_names[] = {
    {400, "invalid_request_error", "null", "invalid_request_error", "INVALID_ARGUMENT"},
    {401, "invalid_request_error", "\"invalid_api_key\"", "authentication_error",
        "UNAUTHENTICATED"},
    {403, "invalid_request_error", "\"unsupported_country_region_territory\"", "permission_error",
        "PERMISSION_DENIED"},
    {404, "invalid_request_error", "\"unknown_url\"", "not_found_error", "NOT_FOUND"},
    {405, "invalid_request_error", "\"method_not_supported\"", "invalid_request_error",
        "UNIMPLEMENTED"},
    {413, "invalid_request_error", "\"request_too_large\"", "request_too_large",
        "INVALID_ARGUMENT"},
    {429, "requests", "\"rate_limit_exceeded\"", "rate_limit_error", "RESOURCE_EXHAUSTED"},
    {529, "server_error", "\"overloaded\"", "overloaded_error", "UNAVAILABLE"},
    {503, "server_error", "\"overloaded\"", "overloaded_error", "UNAVAILABLE"},
    {500, "server_error", "\"server_error\"", "api_error", "INTERNAL"},
};

static const struct error_name *error_name(unsigned status)
{
    size_t count = sizeof error_names / sizeof *error_names;
    for (size_t i = 0; i < count; i++)
        if (error_names[i].status == status)
            return &error_names[i];
    return &error_names[status < 500 ? 0 : count - 1];
}

enum err shape_error(
    const struct shape *shape, unsigned status, struct slice message, struct buf *out)
{
    const struct error_name *name = error_name(status);
    switch (shape ? shape->family : FAMILY_OPENAI) {
    case FAMILY_ANTHROPIC:
        return buf_printf(out,
            "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%.*s\"},"
            "\"request_id\":\"req_mock\"}\n",
            name->anthropic_type, SLICE_PRINT(message));
    case FAMILY_GEMINI:
        return buf_printf(out, "{\"error\":{\"code\":%u,\"message\":\"%.*s\",\"status\":\"%s\"}}\n",
            status, SLICE_PRINT(message), name->gemini_status);
    case FAMILY_COHERE:
        return buf_printf(out, "{\"id\":\"mock\",\"message\":\"%.*s\"}\n", SLICE_PRINT(message));
    case FAMILY_OLLAMA: return buf_printf(out, "{\"error\":\"%.*s\"}", SLICE_PRINT(message));
    case FAMILY_BEDROCK: return buf_printf(out, "{\"message\":\"%.*s\"}", SLICE_PRINT(message));
    case FAMILY_REPLICATE:
        return buf_printf(out, "{\"title\":\"The mock refuses\",\"detail\":\"%.*s\",\"status\":%u}",
            SLICE_PRINT(message), status);
    case FAMILY_COG: return buf_printf(out, "{\"detail\":\"%.*s\"}", SLICE_PRINT(message));
    case FAMILY_OPENAI:
    case FAMILY_RESPONSES: break;
    }
    return buf_printf(out,
        "{\"error\":{\"message\":\"%.*s\",\"type\":\"%s\",\"param\":null,\"code\":%s}}\n",
        SLICE_PRINT(message), name->openai_type, name->openai_code);
}

static enum err put_error_event(const struct shape *shape, uint64_t index, struct buf *out)
{
    switch (shape->family) {
    case FAMILY_ANTHROPIC:
        return buf_append_text(out, "{\"type\":\"error\",\"error\":{\"type\":"
                                    "\"overloaded_error\",\"message\":\"Overloaded\"}}");
    case FAMILY_RESPONSES:
        return buf_printf(out,
            "{\"type\":\"error\",\"sequence_number\":%" PRIu64 ",\"code\":\"server_error\","
            "\"message\":\"" SHAPE_FAIL_MESSAGE "\",\"param\":null}",
            shape_token_sequence(index));
    case FAMILY_GEMINI:
        return buf_append_text(out, "{\"error\":{\"code\":503,\"message\":\"" SHAPE_FAIL_MESSAGE
                                    "\",\"status\":\"UNAVAILABLE\"}}");
    case FAMILY_COHERE:
        return buf_append_text(out, "{\"type\":\"message-end\",\"delta\":{\"error\":"
                                    "\"" SHAPE_FAIL_MESSAGE "\",\"finish_reason\":\"ERROR\"}}");
    case FAMILY_OLLAMA: return buf_append_text(out, "{\"error\":\"" SHAPE_FAIL_MESSAGE "\"}");
    case FAMILY_BEDROCK:
        return buf_append_text(
            out, "{\"message\":\"" SHAPE_FAIL_MESSAGE "\",\"originalStatusCode\":500}");
    case FAMILY_REPLICATE: return buf_append_text(out, SHAPE_FAIL_MESSAGE);
    case FAMILY_COG:
        return buf_append_text(
            out, "{\"status\":\"failed\",\"error\":\"" SHAPE_FAIL_MESSAGE "\",\"metrics\":{}}");
    case FAMILY_OPENAI: break;
    }
    return buf_append_text(out, "{\"error\":{\"message\":\"" SHAPE_FAIL_MESSAGE
                                "\",\"type\":\"server_error\",\"param\":null,"
                                "\"code\":\"server_error\"}}");
}

enum err shape_error_event(
    const struct shape *shape, const struct frame *frame, uint64_t index, struct buf *out)
{
    static const char *const names[] = {[FAMILY_RESPONSES] = "error",
        [FAMILY_ANTHROPIC] = "error",
        [FAMILY_COHERE] = "message-end",
        [FAMILY_BEDROCK] = "modelStreamErrorException",
        [FAMILY_REPLICATE] = "error",
        [FAMILY_COG] = "completed"};
    CLEANUP(buf_deinit) struct buf data;
    buf_init(&data, ERROR_DATA_BYTES_MAX);
    TRY(put_error_event(shape, index, &data));
    size_t known = sizeof names / sizeof names[0];
    const char *name = (size_t)shape->family < known ? names[shape->family] : NULL;
    TRY(frame_event(frame, name, buf_slice(&data), out, NULL));
    return shape->family == FAMILY_REPLICATE
               ? frame_event(frame, "done", SLICE("{\"reason\":\"error\"}"), out, NULL)
               : ERR_OK;
}
