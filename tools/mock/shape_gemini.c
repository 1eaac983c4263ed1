/* shape_gemini — Gemini's generateContent, which names the model in its path. Each event is a response of
 * its own, and there is no terminator: the last one has a finishReason.
 *
 *   source  https://ai.google.dev/api/generate-content, as of 2026-08 */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>

#include "tools/mock/tool.h"

static enum err open_parts(struct buf *out)
{
    return buf_append_text(out, "{\"candidates\":[{\"content\":{\"parts\":[");
}

static enum err close_response(
    const struct answer *a, const char *finish, uint64_t output_tokens, struct buf *out)
{
    return buf_printf(out,
        "],\"role\":\"model\"}%s,\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":%" PRIu64
        ",\"candidatesTokenCount\":%" PRIu64 ",\"totalTokenCount\":%" PRIu64
        "},\"modelVersion\":\"%.*s\",\"responseId\":\"mock%08" PRIu64 "\"}",
        finish, a->prompt_tokens, output_tokens, a->prompt_tokens + output_tokens,
        SLICE_PRINT(a->model), a->generation);
}

static enum err token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(open_parts(out));
    TRY(buf_append_text(out, "{\"text\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\"}"));
    TRY(close_response(a, "", 1, out));
    spot->pad_at = out->size - 1;
    spot->pad = ' ';
    return ERR_OK;
}

static enum err tool(const struct answer *a, struct buf *out)
{
    TRY(open_parts(out));
    TRY(tool_gemini_part(a, out));
    return close_response(a, "", a->events, out);
}

static enum err finish(const struct answer *a, struct buf *out)
{
    TRY(open_parts(out));
    TRY(buf_append_text(out, "{\"text\":\"\"}"));
    return close_response(a, ",\"finishReason\":\"STOP\"", a->events, out);
}

static enum err whole(const struct answer *a, struct buf *out)
{
    TRY(open_parts(out));
    TRY(buf_append_text(out, "{\"text\":\""));
    TRY(shape_whole_text(a, out));
    TRY(buf_append_text(out, a->has_tool ? "\"}," : "\"}"));
    if (a->has_tool)
        TRY(tool_gemini_part(a, out));
    TRY(close_response(a, ",\"finishReason\":\"STOP\"", a->events, out));
    return buf_append_byte(out, '\n');
}

const struct shape shape_gemini_stream = {
    .path = "/models/",
    .method = ":streamGenerateContent",
    .family = FAMILY_GEMINI,
    .streams = STREAMS_ALWAYS,
    .token = token,
    .whole = whole,
    .tail = {{NULL, tool, IF_TOOL}, {NULL, finish, ALWAYS}},
};

const struct shape shape_gemini = {
    .path = "/models/",
    .method = ":generateContent",
    .family = FAMILY_GEMINI,
    .streams = STREAMS_NEVER,
    .token = token,
    .whole = whole,
};
