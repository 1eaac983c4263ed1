/* shape — a table of the five endpoints; each row's functions print that endpoint's JSON.
 *
 * A stream:
 *
 *                prelude             tokens     tail
 *   chat         role chunk          chunk…     finish chunk, [usage chunk], [DONE]
 *   completions                      chunk…     finish chunk, [usage chunk], [DONE]
 *   responses    created,            delta…     output_text.done,
 *                in_progress,                   content_part.done,
 *                output_item.added,             output_item.done,
 *                content_part.added             completed
 *   messages     message_start,      delta…     content_block_stop,
 *                content_block_start,           message_delta,
 *                ping                           message_stop
 *
 * A call of a tool, if there is one, stands behind the text: tool.c. */
#include "tools/mock/shape.h"

#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "tools/mock/bounds.h"
#include "tools/mock/tool.h"

enum {
    RESPONSES_PRELUDE_EVENTS = 4,
    EMBEDDING_DIMENSIONS = 8,
    ERROR_DATA_BYTES_MAX = 4 << 10, /* an error event: fixed text and a number */
};

typedef enum err token_fn(
    const struct answer *answer, uint64_t index, struct buf *out, struct token_spot *spot);
typedef enum err whole_fn(const struct answer *answer, struct buf *out);

enum line_when { ALWAYS, IF_USAGE, IF_TOOL, IF_TOOL_BY_PIECES /* one event for each */ };

/* One row of a prelude or tail. */
struct line {
    const char *event; /* NULL: no name */
    whole_fn *data;
    enum line_when when;
};

enum { LINES_MAX = 8 };

struct shape {
    const char *path;
    const char *token_event;
    token_fn *token;
    whole_fn *whole;
    struct line prelude[LINES_MAX];
    struct line tail[LINES_MAX];
    bool repeats_text;
    bool is_anthropic;
    bool is_responses;
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

static enum err put_text(
    const struct answer *answer, uint64_t index, struct buf *out, size_t *index_at)
{
    size_t start = out->size;
    TRY(buf_printf(out, " g%" PRIu64 "t", answer->generation));
    if (index_at)
        *index_at = out->size;
    TRY(buf_printf(out, "%" PRIu64, index));
    size_t size = out->size - start;
    return answer->text_bytes > size ? put_fill(out, '.', answer->text_bytes - size) : ERR_OK;
}

static enum err put_whole_text(const struct answer *answer, struct buf *out)
{
    for (uint64_t i = 0; i < answer->events; i++)
        TRY(put_text(answer, i, out, NULL));
    return ERR_OK;
}

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
    TRY(put_text(a, index, out, &spot->index_at));
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
    TRY(put_whole_text(a, out));
    TRY(buf_append_text(out, "\",\"refusal\":null,\"annotations\":[]"));
    if (a->has_tool)
        TRY(tool_chat_member(a, out));
    TRY(buf_printf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}],",
        a->has_tool ? "tool_calls" : "stop"));
    TRY(chat_usage(a, out));
    return buf_append_text(out, "}\n");
}

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
    TRY(put_text(a, index, out, &spot->index_at));
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
    TRY(put_whole_text(a, out));
    TRY(buf_append_text(out, "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}],"));
    TRY(chat_usage(a, out));
    return buf_append_text(out, "}\n");
}

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

/* ---- OpenAI responses ---- */

static enum err responses_open(
    const struct answer *a, const char *type, uint64_t sequence, struct buf *out)
{
    (void)a;
    return buf_printf(out, "{\"type\":\"%s\",\"sequence_number\":%" PRIu64 ",", type, sequence);
}

static enum err responses_item_open(const struct answer *a, const char *status, struct buf *out)
{
    return buf_printf(out,
        "{\"id\":\"msg_mock%08" PRIu64 "\",\"type\":\"message\",\"status\":\"%s\","
        "\"role\":\"assistant\",\"content\":[",
        a->generation, status);
}

static enum err responses_part(const struct answer *a, bool is_done, struct buf *out)
{
    TRY(buf_append_text(
        out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\""));
    if (is_done)
        TRY(put_whole_text(a, out));
    return buf_append_text(out, "\"}");
}

static enum err responses_item_done(const struct answer *a, struct buf *out)
{
    TRY(responses_item_open(a, "completed", out));
    TRY(responses_part(a, true, out));
    return buf_append_text(out, "]}");
}

static enum err responses_object(const struct answer *a, bool is_done, struct buf *out)
{
    TRY(buf_printf(out,
        "{\"id\":\"resp_mock%08" PRIu64 "\",\"object\":\"response\",\"created_at\":%" PRId64
        ",\"status\":\"%s\",\"background\":false,\"error\":null,\"incomplete_details\":null,"
        "\"model\":\"%.*s\",\"output\":[",
        a->generation, a->created_s, is_done ? "completed" : "in_progress", SLICE_PRINT(a->model)));
    if (!is_done)
        return buf_append_text(out, "],\"usage\":null,\"metadata\":{}}");
    TRY(responses_item_done(a, out));
    if (a->has_tool) {
        TRY(buf_append_byte(out, ','));
        TRY(tool_responses_item(a, true, out));
    }
    return buf_printf(out,
        "],\"usage\":{\"input_tokens\":%" PRIu64
        ",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":%" PRIu64
        ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%" PRIu64
        "},\"metadata\":{}}",
        a->prompt_tokens, a->events, a->prompt_tokens + a->events);
}

static enum err responses_created(const struct answer *a, struct buf *out)
{
    TRY(responses_open(a, "response.created", 0, out));
    TRY(buf_append_text(out, "\"response\":"));
    TRY(responses_object(a, false, out));
    return buf_append_byte(out, '}');
}

static enum err responses_in_progress(const struct answer *a, struct buf *out)
{
    TRY(responses_open(a, "response.in_progress", 1, out));
    TRY(buf_append_text(out, "\"response\":"));
    TRY(responses_object(a, false, out));
    return buf_append_byte(out, '}');
}

static enum err responses_item_added(const struct answer *a, struct buf *out)
{
    TRY(responses_open(a, "response.output_item.added", 2, out));
    TRY(buf_append_text(out, "\"output_index\":0,\"item\":"));
    TRY(responses_item_open(a, "in_progress", out));
    return buf_append_text(out, "]}}");
}

static enum err responses_place(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "\"item_id\":\"msg_mock%08" PRIu64 "\",\"output_index\":0,\"content_index\":0,",
        a->generation);
}

static enum err responses_part_added(const struct answer *a, struct buf *out)
{
    TRY(responses_open(a, "response.content_part.added", 3, out));
    TRY(responses_place(a, out));
    TRY(buf_append_text(out, "\"part\":"));
    TRY(responses_part(a, false, out));
    return buf_append_byte(out, '}');
}

static enum err responses_token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(buf_append_text(out, "{\"type\":\"response.output_text.delta\",\"sequence_number\":"));
    spot->sequence_at = out->size;
    TRY(buf_printf(out, "%" PRIu64 ",", shape_token_sequence(index)));
    TRY(responses_place(a, out));
    TRY(buf_append_text(out, "\"delta\":\""));
    TRY(put_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\",\"logprobs\":[],\"obfuscation\":\""));
    spot->pad_at = out->size;
    spot->pad = 'o';
    return buf_append_text(out, "\"}");
}

static enum err responses_text_done(const struct answer *a, struct buf *out)
{
    TRY(responses_open(a, "response.output_text.done", shape_token_sequence(a->events), out));
    TRY(responses_place(a, out));
    TRY(buf_append_text(out, "\"text\":\""));
    TRY(put_whole_text(a, out));
    return buf_append_text(out, "\",\"logprobs\":[]}");
}

static enum err responses_part_done(const struct answer *a, struct buf *out)
{
    TRY(responses_open(a, "response.content_part.done", shape_token_sequence(a->events + 1), out));
    TRY(responses_place(a, out));
    TRY(buf_append_text(out, "\"part\":"));
    TRY(responses_part(a, true, out));
    return buf_append_byte(out, '}');
}

static enum err responses_output_done(const struct answer *a, struct buf *out)
{
    TRY(responses_open(a, "response.output_item.done", shape_token_sequence(a->events + 2), out));
    TRY(buf_append_text(out, "\"output_index\":0,\"item\":"));
    TRY(responses_item_done(a, out));
    return buf_append_byte(out, '}');
}

static enum err responses_completed(const struct answer *a, struct buf *out)
{
    uint64_t before = a->events + 3 + (a->has_tool ? TOOL_RESPONSES_EVENTS : 0);
    TRY(responses_open(a, "response.completed", shape_token_sequence(before), out));
    TRY(buf_append_text(out, "\"response\":"));
    TRY(responses_object(a, true, out));
    return buf_append_byte(out, '}');
}

static enum err responses_whole(const struct answer *a, struct buf *out)
{
    TRY(responses_object(a, true, out));
    return buf_append_byte(out, '\n');
}

/* ---- Anthropic messages ---- */

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
    TRY(put_text(a, index, out, &spot->index_at));
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
    TRY(put_whole_text(a, out));
    TRY(buf_append_text(out, "\"}"));
    if (a->has_tool) {
        TRY(buf_append_byte(out, ','));
        TRY(tool_messages_block(a, out));
    }
    TRY(messages_close(a, a->has_tool ? "\"tool_use\"" : "\"end_turn\"", a->events, out));
    return buf_append_byte(out, '\n');
}

/* ---- the table ---- */

static const struct shape shapes[] = {
    {
        .path = "/v1/chat/completions",
        .token = chat_token,
        .whole = chat_whole,
        .prelude = {{NULL, chat_role, ALWAYS}},
        .tail = {{NULL, tool_chat_begin, IF_TOOL}, {NULL, tool_chat_piece, IF_TOOL_BY_PIECES},
            {NULL, chat_finish, ALWAYS}, {NULL, chat_usage_chunk, IF_USAGE}, {NULL, done, ALWAYS}},
    },
    {
        .path = "/v1/completions",
        .token = text_token,
        .whole = text_whole,
        .tail = {{NULL, text_finish, ALWAYS}, {NULL, text_usage_chunk, IF_USAGE},
            {NULL, done, ALWAYS}},
    },
    {.path = "/v1/embeddings", .whole = embeddings_whole},
    {
        .path = "/v1/responses",
        .token_event = "response.output_text.delta",
        .token = responses_token,
        .whole = responses_whole,
        .prelude = {{"response.created", responses_created, ALWAYS},
            {"response.in_progress", responses_in_progress, ALWAYS},
            {"response.output_item.added", responses_item_added, ALWAYS},
            {"response.content_part.added", responses_part_added, ALWAYS}},
        .tail = {{"response.output_text.done", responses_text_done, ALWAYS},
            {"response.content_part.done", responses_part_done, ALWAYS},
            {"response.output_item.done", responses_output_done, ALWAYS},
            {"response.output_item.added", tool_responses_added, IF_TOOL},
            {"response.function_call_arguments.delta", tool_responses_piece, IF_TOOL_BY_PIECES},
            {"response.function_call_arguments.done", tool_responses_arguments, IF_TOOL},
            {"response.output_item.done", tool_responses_done, IF_TOOL},
            {"response.completed", responses_completed, ALWAYS}},
        .repeats_text = true,
        .is_responses = true,
    },
    {
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
        .is_anthropic = true,
    },
};

const struct shape *shape_find(struct slice path)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (slice_equal(path, slice_text(shapes[i].path)))
            return &shapes[i];
    return NULL;
}

bool shape_has_stream(const struct shape *shape)
{
    return shape->token;
}

bool shape_repeats_text(const struct shape *shape)
{
    return shape->repeats_text;
}

bool shape_is_anthropic(const struct shape *shape)
{
    return shape && shape->is_anthropic;
}

const char *shape_token_event(const struct shape *shape)
{
    return shape->token_event;
}

uint64_t shape_token_sequence(uint64_t index)
{
    return RESPONSES_PRELUDE_EVENTS + index;
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
    const struct frame *frame, struct buf *out, uint64_t *count)
{
    CLEANUP(buf_deinit) struct buf data;
    struct answer one = *answer;
    buf_init(&data, WRITE_BYTES_MAX);
    for (size_t i = 0; i < LINES_MAX && lines[i].data; i++)
        for (one.piece = 0; one.piece < times(&lines[i], answer); one.piece++) {
            buf_clear(&data);
            TRY(lines[i].data(&one, &data));
            TRY(frame_event(frame, lines[i].event, buf_slice(&data), out, NULL));
            (*count)++;
        }
    return ERR_OK;
}

enum err shape_prelude(const struct shape *shape, const struct answer *answer,
    const struct frame *frame, struct buf *out, uint64_t *count)
{
    return put_lines(shape->prelude, answer, frame, out, count);
}

enum err shape_tail(const struct shape *shape, const struct answer *answer,
    const struct frame *frame, struct buf *out, uint64_t *count)
{
    return put_lines(shape->tail, answer, frame, out, count);
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
};

/* The first row of the status, else the last row. */
static const struct error_name error_names[] = {
    {400, "invalid_request_error", "null", "invalid_request_error"},
    {401, "invalid_request_error", "\"invalid_api_key\"", "authentication_error"},
    {403, "invalid_request_error", "\"unsupported_country_region_territory\"", "permission_error"},
    {404, "invalid_request_error", "\"unknown_url\"", "not_found_error"},
    {405, "invalid_request_error", "\"method_not_supported\"", "invalid_request_error"},
    {413, "invalid_request_error", "\"request_too_large\"", "request_too_large"},
    {429, "requests", "\"rate_limit_exceeded\"", "rate_limit_error"},
    {529, "server_error", "\"overloaded\"", "overloaded_error"},
    {503, "server_error", "\"overloaded\"", "overloaded_error"},
    {500, "server_error", "\"server_error\"", "api_error"},
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
    if (shape_is_anthropic(shape))
        return buf_printf(out,
            "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%.*s\"},"
            "\"request_id\":\"req_mock\"}\n",
            name->anthropic_type, SLICE_PRINT(message));
    return buf_printf(out,
        "{\"error\":{\"message\":\"%.*s\",\"type\":\"%s\",\"param\":null,\"code\":%s}}\n",
        SLICE_PRINT(message), name->openai_type, name->openai_code);
}

enum err shape_error_event(
    const struct shape *shape, const struct frame *frame, uint64_t index, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf data;
    buf_init(&data, ERROR_DATA_BYTES_MAX);
    if (shape->is_anthropic)
        TRY(buf_append_text(&data, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                                   "\"message\":\"Overloaded\"}}"));
    else if (shape->is_responses)
        TRY(buf_printf(&data,
            "{\"type\":\"error\",\"sequence_number\":%" PRIu64 ",\"code\":\"server_error\","
            "\"message\":\"The mock was asked to fail here.\",\"param\":null}",
            shape_token_sequence(index)));
    else
        TRY(buf_append_text(&data,
            "{\"error\":{\"message\":\"The mock was asked to fail here.\","
            "\"type\":\"server_error\",\"param\":null,\"code\":\"server_error\"}}"));
    bool is_named = shape->is_anthropic || shape->is_responses;
    return frame_event(frame, is_named ? "error" : NULL, buf_slice(&data), out, NULL);
}
