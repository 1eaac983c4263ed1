/* tool — see the header. Pieces are cut where a reader would stumble: before a number's end, inside of
 * an escape. */
#include "tools/mock/tool.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/mock/escape.h"

enum { ARGUMENTS_BYTES = 96, CUT_NUMBER = 15, CUT_ESCAPE_BEHIND = 12 };

/* The arguments as the model wrote them. */
static struct slice arguments(const struct answer *answer, char out[ARGUMENTS_BYTES])
{
    int size = snprintf(out, ARGUMENTS_BYTES,
        "{\"generation\":%" PRIu64 ",\"place\":\"H\\u00fctte \\\"2\\\"\"}", answer->generation);
    ASSERT(size > 0 && size < ARGUMENTS_BYTES);
    return slice_of(out, (size_t)size);
}

/* Inside of a JSON string. */
static enum err put_arguments(const struct answer *answer, struct buf *out)
{
    char text[ARGUMENTS_BYTES];
    return escape_json(arguments(answer, text), out);
}

static enum err put_piece(const struct answer *answer, struct buf *out)
{
    char text[ARGUMENTS_BYTES];
    struct slice all = arguments(answer, text);
    const size_t cuts[TOOL_PIECES + 1] = {0, CUT_NUMBER, all.size - CUT_ESCAPE_BEHIND, all.size};
    ASSERT(answer->piece < TOOL_PIECES);
    size_t start = cuts[answer->piece];
    return escape_json(slice_sub(all, start, cuts[answer->piece + 1] - start), out);
}

/* ---- OpenAI chat ---- */

static enum err put_chat_call(const struct answer *answer, struct buf *out)
{
    return buf_printf(out,
        "\"id\":\"call_mock%08" PRIu64
        "\",\"type\":\"function\",\"function\":{\"name\":\"look_up\",\"arguments\":\"",
        answer->generation);
}

enum err tool_chat_begin(const struct answer *answer, struct buf *out)
{
    TRY(shape_chat_open(answer, "chat.completion.chunk", out));
    TRY(buf_append_text(
        out, ",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,"));
    TRY(put_chat_call(answer, out));
    return buf_append_text(out, "\"}}]},\"logprobs\":null,\"finish_reason\":null}]}");
}

enum err tool_chat_piece(const struct answer *answer, struct buf *out)
{
    TRY(shape_chat_open(answer, "chat.completion.chunk", out));
    TRY(buf_append_text(out, ",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,"
                             "\"function\":{\"arguments\":\""));
    TRY(put_piece(answer, out));
    return buf_append_text(out, "\"}}]},\"logprobs\":null,\"finish_reason\":null}]}");
}

enum err tool_chat_member(const struct answer *answer, struct buf *out)
{
    TRY(buf_append_text(out, ",\"tool_calls\":[{"));
    TRY(put_chat_call(answer, out));
    TRY(put_arguments(answer, out));
    return buf_append_text(out, "\"}}]");
}

/* ---- OpenAI responses ---- */

static enum err open_event(
    const struct answer *answer, const char *type, uint64_t index, struct buf *out)
{
    return buf_printf(out, "{\"type\":\"%s\",\"sequence_number\":%" PRIu64 ",\"output_index\":1,",
        type, shape_token_sequence(answer->events + 3 + index));
}

enum err tool_responses_item(const struct answer *answer, bool is_done, struct buf *out)
{
    TRY(buf_printf(out,
        "{\"id\":\"fc_mock%08" PRIu64 "\",\"type\":\"function_call\",\"status\":\"%s\","
        "\"call_id\":\"call_mock%08" PRIu64 "\",\"name\":\"look_up\",\"arguments\":\"",
        answer->generation, is_done ? "completed" : "in_progress", answer->generation));
    if (is_done)
        TRY(put_arguments(answer, out));
    return buf_append_text(out, "\"}");
}

static enum err put_item_id(const struct answer *answer, struct buf *out)
{
    return buf_printf(out, "\"item_id\":\"fc_mock%08" PRIu64 "\",", answer->generation);
}

enum err tool_responses_added(const struct answer *answer, struct buf *out)
{
    TRY(open_event(answer, "response.output_item.added", 0, out));
    TRY(buf_append_text(out, "\"item\":"));
    TRY(tool_responses_item(answer, false, out));
    return buf_append_byte(out, '}');
}

enum err tool_responses_piece(const struct answer *answer, struct buf *out)
{
    TRY(open_event(answer, "response.function_call_arguments.delta", 1 + answer->piece, out));
    TRY(put_item_id(answer, out));
    TRY(buf_append_text(out, "\"delta\":\""));
    TRY(put_piece(answer, out));
    return buf_append_text(out, "\"}");
}

enum err tool_responses_arguments(const struct answer *answer, struct buf *out)
{
    TRY(open_event(answer, "response.function_call_arguments.done", 1 + TOOL_PIECES, out));
    TRY(put_item_id(answer, out));
    TRY(buf_append_text(out, "\"name\":\"look_up\",\"arguments\":\""));
    TRY(put_arguments(answer, out));
    return buf_append_text(out, "\"}");
}

enum err tool_responses_done(const struct answer *answer, struct buf *out)
{
    TRY(open_event(answer, "response.output_item.done", 2 + TOOL_PIECES, out));
    TRY(buf_append_text(out, "\"item\":"));
    TRY(tool_responses_item(answer, true, out));
    return buf_append_byte(out, '}');
}

/* ---- Anthropic messages ---- */

static enum err put_block(const struct answer *answer, struct buf *out)
{
    return buf_printf(out,
        "{\"type\":\"tool_use\",\"id\":\"toolu_mock%08" PRIu64 "\",\"name\":\"look_up\",\"input\":",
        answer->generation);
}

enum err tool_messages_begin(const struct answer *answer, struct buf *out)
{
    TRY(buf_append_text(out, "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":"));
    TRY(put_block(answer, out));
    return buf_append_text(out, "{}}}");
}

enum err tool_messages_piece(const struct answer *answer, struct buf *out)
{
    TRY(buf_append_text(out, "{\"type\":\"content_block_delta\",\"index\":1,"
                             "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\""));
    TRY(put_piece(answer, out));
    return buf_append_text(out, "\"}}");
}

enum err tool_messages_stop(const struct answer *answer, struct buf *out)
{
    (void)answer;
    return buf_append_text(out, "{\"type\":\"content_block_stop\",\"index\":1}");
}

enum err tool_messages_block(const struct answer *answer, struct buf *out)
{
    char text[ARGUMENTS_BYTES];
    TRY(put_block(answer, out));
    TRY(buf_append(out, arguments(answer, text)));
    return buf_append_byte(out, '}');
}

/* ---- Gemini ---- */

enum err tool_gemini_part(const struct answer *answer, struct buf *out)
{
    char text[ARGUMENTS_BYTES];
    TRY(buf_append_text(out, "{\"functionCall\":{\"name\":\"look_up\",\"args\":"));
    TRY(buf_append(out, arguments(answer, text)));
    return buf_append_text(out, "}}");
}

/* ---- Cohere ---- */

enum err tool_cohere_begin(const struct answer *answer, struct buf *out)
{
    TRY(buf_append_text(out, "{\"type\":\"tool-call-start\",\"index\":0,\"delta\":{"
                             "\"message\":{\"tool_calls\":{"));
    TRY(put_chat_call(answer, out));
    return buf_append_text(out, "\"}}}}}");
}

enum err tool_cohere_piece(const struct answer *answer, struct buf *out)
{
    TRY(buf_append_text(out, "{\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{"
                             "\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\""));
    TRY(put_piece(answer, out));
    return buf_append_text(out, "\"}}}}}");
}

enum err tool_cohere_end(const struct answer *answer, struct buf *out)
{
    (void)answer;
    return buf_append_text(out, "{\"type\":\"tool-call-end\",\"index\":0}");
}

enum err tool_cohere_member(const struct answer *answer, struct buf *out)
{
    return tool_chat_member(answer, out);
}

/* ---- Ollama ---- */

enum err tool_ollama_member(const struct answer *answer, struct buf *out)
{
    char text[ARGUMENTS_BYTES];
    TRY(buf_append_text(
        out, ",\"tool_calls\":[{\"function\":{\"name\":\"look_up\",\"arguments\":"));
    TRY(buf_append(out, arguments(answer, text)));
    return buf_append_text(out, "}}]");
}

/* ---- Bedrock ---- */

static enum err put_tool_use(const struct answer *answer, struct buf *out)
{
    return buf_printf(out,
        "{\"toolUse\":{\"toolUseId\":\"tooluse_mock%08" PRIu64 "\",\"name\":\"look_up\"",
        answer->generation);
}

enum err tool_bedrock_begin(const struct answer *answer, struct buf *out)
{
    TRY(buf_append_text(out, "{\"contentBlockIndex\":1,\"start\":"));
    TRY(put_tool_use(answer, out));
    return buf_append_text(out, "}}}");
}

enum err tool_bedrock_piece(const struct answer *answer, struct buf *out)
{
    TRY(buf_append_text(out, "{\"contentBlockIndex\":1,\"delta\":{\"toolUse\":{\"input\":\""));
    TRY(put_piece(answer, out));
    return buf_append_text(out, "\"}}}");
}

enum err tool_bedrock_stop(const struct answer *answer, struct buf *out)
{
    (void)answer;
    return buf_append_text(out, "{\"contentBlockIndex\":1}");
}

enum err tool_bedrock_block(const struct answer *answer, struct buf *out)
{
    char text[ARGUMENTS_BYTES];
    TRY(buf_append_byte(out, ','));
    TRY(put_tool_use(answer, out));
    TRY(buf_append_text(out, ",\"input\":"));
    TRY(buf_append(out, arguments(answer, text)));
    return buf_append_text(out, "}}");
}
