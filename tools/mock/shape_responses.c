/* shape_responses — OpenAI's Responses.
 *
 *   prelude             tokens     tail
 *   created,            delta…     output_text.done,
 *   in_progress,                   content_part.done,
 *   output_item.added,             output_item.done,
 *   content_part.added             completed */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>
#include "tools/mock/tool.h"

enum { PRELUDE_EVENTS = 4 };

uint64_t shape_token_sequence(uint64_t index)
{
    return PRELUDE_EVENTS + index;
}

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
        TRY(shape_whole_text(a, out));
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
        ",\"status\":\"%s\",\"background\":%s,\"error\":null,\"incomplete_details\":null,"
        "\"model\":\"%.*s\",\"output\":[",
        a->generation, a->created_s, is_done ? "completed" : "in_progress",
        a->is_background ? "true" : "false", SLICE_PRINT(a->model)));
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
    spot->sequence_first = PRELUDE_EVENTS;
    TRY(buf_printf(out, "%" PRIu64 ",", shape_token_sequence(index)));
    TRY(responses_place(a, out));
    TRY(buf_append_text(out, "\"delta\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
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
    TRY(shape_whole_text(a, out));
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

const struct shape shape_responses = {
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
    .family = FAMILY_RESPONSES,
    .is_kept = true,
};
