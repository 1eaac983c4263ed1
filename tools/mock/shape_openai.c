/* shape_openai — Chat Completions, Completions and Embeddings.
 *
 *                prelude             tokens     tail
 *   chat         role chunk          chunk…     finish chunk, [usage chunk], [DONE]
 *   completions                      chunk…     finish chunk, [usage chunk], [DONE] */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>
#include "tools/mock/tool.h"

enum { EMBEDDING_DIMENSIONS = 8 };

/* ---- OpenAI chat ---- */

enum err shape_chat_open(const struct answer *a, const char *object, struct buf *out)
{
    return buf_printf(out,
        "{\"id\":\"chatcmpl-mock%08" PRIu64 "\",\"object\":\"%s\",\"created\":%" PRId64
        ",\"model\":\"%.*s\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock000001\"",
        a->generation, object, a->created_s, SLICE_PRINT(a->model));
}

static enum err chat_usage(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
        ",\"total_tokens\":%" PRIu64
        ",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
        "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
        a->prompt_tokens, a->events, a->prompt_tokens + a->events);
}

static const char *usage_null(const struct answer *a)
{
    return a->has_usage ? ",\"usage\":null" : "";
}

static enum err chat_role(const struct answer *a, struct buf *out)
{
    TRY(shape_chat_open(a, "chat.completion.chunk", out));
    return buf_printf(out,
        ",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\","
        "\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}]%s,"
        "\"obfuscation\":\"uN0\"}",
        usage_null(a));
}

static enum err chat_token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(shape_chat_open(a, "chat.completion.chunk", out));
    TRY(buf_append_text(out, ",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_printf(
        out, "\"},\"logprobs\":null,\"finish_reason\":null}]%s,\"obfuscation\":\"", usage_null(a)));
    spot->pad_at = out->size;
    spot->pad = 'o';
    return buf_append_text(out, "\"}");
}

static enum err chat_finish(const struct answer *a, struct buf *out)
{
    TRY(shape_chat_open(a, "chat.completion.chunk", out));
    return buf_printf(out,
        ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}]%s,"
        "\"obfuscation\":\"Qx2\"}",
        a->has_tool ? "tool_calls" : "stop", usage_null(a));
}

static enum err chat_usage_chunk(const struct answer *a, struct buf *out)
{
    TRY(shape_chat_open(a, "chat.completion.chunk", out));
    TRY(buf_append_text(out, ",\"choices\":[],"));
    TRY(chat_usage(a, out));
    return buf_append_text(out, ",\"obfuscation\":\"\"}");
}

static enum err done(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "[DONE]");
}

static enum err chat_whole(const struct answer *a, struct buf *out)
{
    TRY(shape_chat_open(a, "chat.completion", out));
    TRY(buf_append_text(
        out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\""));
    TRY(shape_whole_text(a, out));
    TRY(buf_append_text(out, "\",\"refusal\":null,\"annotations\":[]"));
    if (a->has_tool)
        TRY(tool_chat_member(a, out));
    TRY(buf_printf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}],",
        a->has_tool ? "tool_calls" : "stop"));
    TRY(chat_usage(a, out));
    return buf_append_text(out, "}\n");
}

const struct shape shape_chat = {
    .path = "/v1/chat/completions",
    .token = chat_token,
    .whole = chat_whole,
    .prelude = {{NULL, chat_role, ALWAYS}},
    .tail = {{NULL, tool_chat_begin, IF_TOOL}, {NULL, tool_chat_piece, IF_TOOL_BY_PIECES},
        {NULL, chat_finish, ALWAYS}, {NULL, chat_usage_chunk, IF_USAGE}, {NULL, done, ALWAYS}},
};

/* ---- OpenAI completions ---- */

static enum err text_open(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "{\"id\":\"cmpl-mock%08" PRIu64 "\",\"object\":\"text_completion\",\"created\":%" PRId64
        ",\"model\":\"%.*s\",\"system_fingerprint\":\"fp_mock000001\",\"choices\":[",
        a->generation, a->created_s, SLICE_PRINT(a->model));
}

static enum err text_token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(text_open(a, out));
    TRY(buf_append_text(out, "{\"text\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_printf(out,
        "\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]%s,"
        "\"obfuscation\":\"",
        usage_null(a)));
    spot->pad_at = out->size;
    spot->pad = 'o';
    return buf_append_text(out, "\"}");
}

static enum err text_finish(const struct answer *a, struct buf *out)
{
    TRY(text_open(a, out));
    return buf_printf(out,
        "{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}]%s}",
        usage_null(a));
}

static enum err text_usage_chunk(const struct answer *a, struct buf *out)
{
    TRY(text_open(a, out));
    TRY(buf_append_text(out, "],"));
    TRY(chat_usage(a, out));
    return buf_append_byte(out, '}');
}

static enum err text_whole(const struct answer *a, struct buf *out)
{
    TRY(text_open(a, out));
    TRY(buf_append_text(out, "{\"text\":\""));
    TRY(shape_whole_text(a, out));
    TRY(buf_append_text(out, "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}],"));
    TRY(chat_usage(a, out));
    return buf_append_text(out, "}\n");
}

const struct shape shape_completions = {
    .path = "/v1/completions",
    .token = text_token,
    .whole = text_whole,
    .tail = {{NULL, text_finish, ALWAYS}, {NULL, text_usage_chunk, IF_USAGE}, {NULL, done, ALWAYS}},
};

/* ---- OpenAI embeddings ---- */

static enum err embeddings_whole(const struct answer *a, struct buf *out)
{
    TRY(buf_append_text(out, "{\"object\":\"list\",\"data\":["));
    for (uint64_t i = 0; i < a->inputs; i++) {
        TRY(buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%" PRIu64 ",\"embedding\":[",
            i ? "," : "", i));
        for (uint64_t j = 0; j < EMBEDDING_DIMENSIONS; j++)
            TRY(buf_printf(out, "%s%s0.%03" PRIu64, j ? "," : "", j % 2 ? "-" : "",
                (37 * (i + 1) * (j + 1)) % 1000));
        TRY(buf_append_text(out, "]}"));
    }
    return buf_printf(out,
        "],\"model\":\"%.*s\",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64
        "}}\n",
        SLICE_PRINT(a->model), a->prompt_tokens, a->prompt_tokens);
}

const struct shape shape_embeddings = {.path = "/v1/embeddings", .whole = embeddings_whole};
