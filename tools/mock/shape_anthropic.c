/* shape_anthropic — Messages.
 *
 *   prelude             tokens     tail
 *   message_start,      delta…     content_block_stop,
 *   content_block_start,           message_delta,
 *   ping                           message_stop */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>
#include "tools/mock/tool.h"

static enum err messages_open(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "{\"id\":\"msg_mock%08" PRIu64 "\",\"type\":\"message\",\"role\":\"assistant\","
        "\"model\":\"%.*s\",\"content\":[",
        a->generation, SLICE_PRINT(a->model));
}

static enum err messages_close(
    const struct answer *a, const char *stop_reason, uint64_t output_tokens, struct buf *out)
{
    return buf_printf(out,
        "],\"stop_reason\":%s,\"stop_sequence\":null,\"usage\":{\"input_tokens\":%" PRIu64
        ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":"
        "%" PRIu64 ",\"service_tier\":\"standard\"}}",
        stop_reason, a->prompt_tokens, output_tokens);
}

static enum err messages_start(const struct answer *a, struct buf *out)
{
    TRY(buf_append_text(out, "{\"type\":\"message_start\",\"message\":"));
    TRY(messages_open(a, out));
    TRY(messages_close(a, "null", 1, out));
    return buf_append_byte(out, '}');
}

static enum err messages_block_start(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"type\":\"content_block_start\",\"index\":0,"
                                "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}");
}

static enum err messages_ping(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"type\": \"ping\"}");
}

/* Anthropic pads with spaces before the last brace. */
static enum err messages_token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(buf_append_text(out, "{\"type\":\"content_block_delta\",\"index\":0,"
                             "\"delta\":{\"type\":\"text_delta\",\"text\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\"}"));
    spot->pad_at = out->size;
    spot->pad = ' ';
    return buf_append_byte(out, '}');
}

static enum err messages_block_stop(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"type\":\"content_block_stop\",\"index\":0}");
}

static enum err messages_delta(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
        "\"stop_sequence\":null},\"usage\":{\"input_tokens\":%" PRIu64
        ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":"
        "%" PRIu64 "}}",
        a->has_tool ? "tool_use" : "end_turn", a->prompt_tokens, a->events);
}

static enum err messages_stop(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"type\":\"message_stop\"}");
}

static enum err messages_whole(const struct answer *a, struct buf *out)
{
    TRY(messages_open(a, out));
    TRY(buf_append_text(out, "{\"type\":\"text\",\"text\":\""));
    TRY(shape_whole_text(a, out));
    TRY(buf_append_text(out, "\"}"));
    if (a->has_tool) {
        TRY(buf_append_byte(out, ','));
        TRY(tool_messages_block(a, out));
    }
    TRY(messages_close(a, a->has_tool ? "\"tool_use\"" : "\"end_turn\"", a->events, out));
    return buf_append_byte(out, '\n');
}

const struct shape shape_messages = {
    .path = "/v1/messages",
    .token_event = "content_block_delta",
    .token = messages_token,
    .whole = messages_whole,
    .prelude = {{"message_start", messages_start, ALWAYS},
        {"content_block_start", messages_block_start, ALWAYS}, {"ping", messages_ping, ALWAYS}},
    .tail = {{"content_block_stop", messages_block_stop, ALWAYS},
        {"content_block_start", tool_messages_begin, IF_TOOL},
        {"content_block_delta", tool_messages_piece, IF_TOOL_BY_PIECES},
        {"content_block_stop", tool_messages_stop, IF_TOOL},
        {"message_delta", messages_delta, ALWAYS}, {"message_stop", messages_stop, ALWAYS}},
    .family = FAMILY_ANTHROPIC,
};
