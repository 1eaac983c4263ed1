/* shape_cohere — Cohere's chat, version 2.
 *
 *   prelude             tokens              tail
 *   message-start,      content-delta…      content-end, [tool-call-start, tool-call-delta…,
 *   content-start                           tool-call-end], message-end
 *
 *   source  https://docs.cohere.com/v2/docs/streaming, as of 2026-08 */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>

#include "tools/mock/tool.h"

static enum err start(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "{\"id\":\"mock-%08" PRIu64 "\",\"type\":\"message-start\",\"delta\":{\"message\":{"
        "\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],"
        "\"citations\":[]}}}",
        a->generation);
}

static enum err content_start(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{"
                                "\"content\":{\"type\":\"text\",\"text\":\"\"}}}}");
}

static enum err token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(buf_append_text(out, "{\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{"
                             "\"content\":{\"text\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\"}}}"));
    spot->pad_at = out->size;
    spot->pad = ' ';
    return buf_append_byte(out, '}');
}

static enum err content_end(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"type\":\"content-end\",\"index\":0}");
}

static enum err finish_and_usage(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "\"finish_reason\":\"%s\",\"usage\":{\"billed_units\":{\"input_tokens\":%" PRIu64
        ",\"output_tokens\":%" PRIu64 "},\"tokens\":{\"input_tokens\":%" PRIu64
        ",\"output_tokens\":%" PRIu64 "}}}",
        a->has_tool ? "TOOL_CALL" : "COMPLETE", a->prompt_tokens, a->events, a->prompt_tokens,
        a->events);
}

static enum err end(const struct answer *a, struct buf *out)
{
    TRY(buf_append_text(out, "{\"type\":\"message-end\",\"delta\":{"));
    TRY(finish_and_usage(a, out));
    return buf_append_byte(out, '}');
}

static enum err whole(const struct answer *a, struct buf *out)
{
    TRY(buf_printf(out,
        "{\"id\":\"mock-%08" PRIu64 "\",\"message\":{\"role\":\"assistant\",\"content\":[{"
        "\"type\":\"text\",\"text\":\"",
        a->generation));
    TRY(shape_whole_text(a, out));
    TRY(buf_append_text(out, "\"}]"));
    if (a->has_tool)
        TRY(tool_cohere_member(a, out));
    TRY(buf_append_text(out, "},"));
    TRY(finish_and_usage(a, out));
    return buf_append_byte(out, '\n');
}

const struct shape shape_cohere = {
    .path = "/v2/chat",
    .family = FAMILY_COHERE,
    .token_event = "content-delta",
    .token = token,
    .whole = whole,
    .prelude = {{"message-start", start, ALWAYS}, {"content-start", content_start, ALWAYS}},
    .tail = {{"content-end", content_end, ALWAYS}, {"tool-call-start", tool_cohere_begin, IF_TOOL},
        {"tool-call-delta", tool_cohere_piece, IF_TOOL_BY_PIECES},
        {"tool-call-end", tool_cohere_end, IF_TOOL}, {"message-end", end, ALWAYS}},
};
