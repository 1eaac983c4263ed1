/* shape_interactions — Google's Interactions. Only tokens have an event_id; they tell of it as one that is
 * opaque, and wants to be escaped in a query.
 *
 *   prelude             tokens     tail
 *   created,            delta…     step.stop,
 *   status_update,                 completed,
 *   step.start,                    done
 *   a signature
 *
 *   source  google-genai 3.4.0 (Python), https://ai.google.dev/gemini-api/docs/interactions/streaming */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>

static enum err interaction(const struct answer *a, bool is_done, struct buf *out)
{
    TRY(buf_printf(out,
        "{\"id\":\"v1_mock%08" PRIu64 "\",\"object\":\"interaction\",\"status\":\"%s\","
        "\"model\":\"%.*s\"",
        a->generation, is_done ? "completed" : "in_progress", SLICE_PRINT(a->model)));
    if (is_done)
        TRY(buf_printf(out,
            ",\"usage\":{\"total_input_tokens\":%" PRIu64 ",\"total_output_tokens\":%" PRIu64
            ",\"total_thought_tokens\":0,\"total_tokens\":%" PRIu64 "}",
            a->prompt_tokens, a->events, a->prompt_tokens + a->events));
    return buf_append_byte(out, '}');
}

static enum err told(const struct answer *a, bool is_done, const char *type, struct buf *out)
{
    TRY(buf_append_text(out, "{\"interaction\":"));
    TRY(interaction(a, is_done, out));
    return buf_printf(out, ",\"event_type\":\"%s\"}", type);
}

static enum err created(const struct answer *a, struct buf *out)
{
    return told(a, false, "interaction.created", out);
}

static enum err completed(const struct answer *a, struct buf *out)
{
    return told(a, true, "interaction.completed", out);
}

static enum err status_update(const struct answer *a, struct buf *out)
{
    return buf_printf(out,
        "{\"interaction_id\":\"v1_mock%08" PRIu64 "\",\"status\":\"in_progress\","
        "\"event_type\":\"interaction.status_update\"}",
        a->generation);
}

static enum err step_start(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(
        out, "{\"index\":0,\"step\":{\"type\":\"model_output\"},\"event_type\":\"step.start\"}");
}

static enum err signature(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"index\":0,\"delta\":{\"signature\":\"bW9jaw==\",\"type\":"
                                "\"thought_signature\"},\"event_type\":\"step.delta\"}");
}

static enum err token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(buf_append_text(out, "{\"index\":0,\"delta\":{\"text\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\",\"type\":\"text\"},\"event_id\":\"" SHAPE_EVENT_ID));
    spot->sequence_at = out->size;
    spot->sequence_first = shape_token_sequence(0);
    TRY(buf_printf(
        out, "%" PRIu64 "\",\"event_type\":\"step.delta\"}", shape_token_sequence(index)));
    spot->pad_at = out->size - 1;
    spot->pad = ' ';
    return ERR_OK;
}

static enum err step_stop(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{\"index\":0,\"event_type\":\"step.stop\"}");
}

static enum err done(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "[DONE]");
}

static enum err whole(const struct answer *a, struct buf *out)
{
    TRY(interaction(a, true, out));
    return buf_append_byte(out, '\n');
}

const struct shape shape_interactions = {
    .path = "/v1beta/interactions",
    .token_event = "step.delta",
    .token = token,
    .whole = whole,
    .prelude = {{"interaction.created", created, ALWAYS},
        {"interaction.status_update", status_update, ALWAYS}, {"step.start", step_start, ALWAYS},
        {"step.delta", signature, ALWAYS}},
    .tail = {{"step.stop", step_stop, ALWAYS}, {"interaction.completed", completed, ALWAYS},
        {"done", done, ALWAYS}},
    .family = FAMILY_GEMINI,
    .is_kept = true,
};
