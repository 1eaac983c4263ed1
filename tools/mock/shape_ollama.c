/* shape_ollama — Ollama's chat: lines of JSON, and a stream unless the body refuses one.
 *
 *   tokens              tail
 *   a line each…        [a line with the call], the line with done: true
 *
 *   source  ollama/ollama docs/api.md at fb307609 (2026-08-21) */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>

#include "tools/mock/tool.h"

static enum err open_message(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "{\"model\":\"%.*s\",\"created_at\":\"2026-08-21T09:00:00.%09" PRIu64 "Z\","
        "\"message\":{\"role\":\"assistant\",\"content\":\"",
        SLICE_PRINT(a->model), a->generation % 1000000000);
}

static enum err token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(open_message(a, out));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\"},\"done\":false"));
    spot->pad_at = out->size;
    spot->pad = ' ';
    return buf_append_byte(out, '}');
}

static enum err tool(const struct answer *a, struct buf *out)
{
    TRY(open_message(a, out));
    TRY(buf_append_byte(out, '"'));
    TRY(tool_ollama_member(a, out));
    return buf_append_text(out, "},\"done\":false}");
}

static enum err close_last(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":182242375,"
        "\"load_duration\":41295167,\"prompt_eval_count\":%" PRIu64
        ",\"prompt_eval_duration\":24573166,\"eval_count\":%" PRIu64
        ",\"eval_duration\":115959084}",
        a->prompt_tokens, a->events);
}

static enum err end(const struct answer *a, struct buf *out)
{
    TRY(open_message(a, out));
    TRY(buf_append_byte(out, '"'));
    return close_last(a, out);
}

static enum err whole(const struct answer *a, struct buf *out)
{
    TRY(open_message(a, out));
    TRY(shape_whole_text(a, out));
    TRY(buf_append_byte(out, '"'));
    if (a->has_tool)
        TRY(tool_ollama_member(a, out));
    return close_last(a, out);
}

const struct shape shape_ollama = {
    .path = "/api/chat",
    .family = FAMILY_OLLAMA,
    .streams = STREAMS_UNLESS_REFUSED,
    .frames = FRAME_LINES,
    .token = token,
    .whole = whole,
    .tail = {{NULL, tool, IF_TOOL}, {NULL, end, ALWAYS}},
};
