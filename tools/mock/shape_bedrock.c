/* shape_bedrock — Bedrock's Converse, which names the model in its path; its stream is binary messages.
 *
 *   prelude         tokens                tail
 *   messageStart    contentBlockDelta…    contentBlockStop, [contentBlockStart, contentBlockDelta…,
 *                                         contentBlockStop], messageStop, metadata
 *
 *   source  https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html,
 *           as of 2026-08 */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>

#include "tools/mock/tool.h"

static enum err start(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"p\":\"abcd\",\"role\":\"assistant\"}");
}

static enum err token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(buf_append_text(out, "{\"contentBlockIndex\":0,\"delta\":{\"text\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\"},\"p\":\""));
    spot->pad_at = out->size;
    spot->pad = 'p';
    return buf_append_text(out, "\"}");
}

static enum err stop_text(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"contentBlockIndex\":0,\"p\":\"ab\"}");
}

static const char *stop_reason(const struct answer *a)
{
    return a->has_tool ? "tool_use" : "end_turn";
}

static enum err stop(const struct answer *a, struct buf *out)
{
    return buf_printf(out, "{\"p\":\"abcdef\",\"stopReason\":\"%s\"}", stop_reason(a));
}

static enum err put_usage(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "\"usage\":{\"inputTokens\":%" PRIu64 ",\"outputTokens\":%" PRIu64
        ",\"totalTokens\":%" PRIu64 "},\"metrics\":{\"latencyMs\":352}}",
        a->prompt_tokens, a->events, a->prompt_tokens + a->events);
}

static enum err metadata(const struct answer *a, struct buf *out)
{
    TRY(buf_append_byte(out, '{'));
    return put_usage(a, out);
}

static enum err whole(const struct answer *a, struct buf *out)
{
    TRY(buf_append_text(
        out, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\""));
    TRY(shape_whole_text(a, out));
    TRY(buf_append_text(out, "\"}"));
    if (a->has_tool)
        TRY(tool_bedrock_block(a, out));
    TRY(buf_printf(out, "]}},\"stopReason\":\"%s\",", stop_reason(a)));
    return put_usage(a, out);
}

const struct shape shape_bedrock_stream = {
    .path = "/model/",
    .method = "/converse-stream",
    .family = FAMILY_BEDROCK,
    .streams = STREAMS_ALWAYS,
    .frames = FRAME_MESSAGES,
    .token_event = "contentBlockDelta",
    .token = token,
    .whole = whole,
    .prelude = {{"messageStart", start, ALWAYS}},
    .tail = {{"contentBlockStop", stop_text, ALWAYS},
        {"contentBlockStart", tool_bedrock_begin, IF_TOOL},
        {"contentBlockDelta", tool_bedrock_piece, IF_TOOL_BY_PIECES},
        {"contentBlockStop", tool_bedrock_stop, IF_TOOL}, {"messageStop", stop, ALWAYS},
        {"metadata", metadata, ALWAYS}},
};

const struct shape shape_bedrock = {
    .path = "/model/",
    .method = "/converse",
    .family = FAMILY_BEDROCK,
    .streams = STREAMS_NEVER,
    .token = token,
    .whole = whole,
};
