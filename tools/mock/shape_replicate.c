/* shape_replicate — predictions: Replicate's, whose answer is elsewhere (prediction.h), and those of a Cog
 * container, which is one model: its name is in the path before /predictions, or it is "mock".
 *
 *   tokens                     tail             a failure
 *   event: output  data: TEXT  event: done      event: error, event: done
 *   event: output  {"chunk"}   event: completed event: completed
 *
 * Text only: tool=1 asks for nothing here. A text that stands alone cannot be padded.
 *
 *   source  https://replicate.com/docs/topics/predictions/streaming (2026-08);
 *           replicate/cog docs/http.md at 02b7f42b */
#include "tools/mock/shape_parts.h"

#include <inttypes.h>

static enum err plain_token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(shape_text(a, index, out, &spot->index_at));
    spot->pad_at = SIZE_MAX;
    return ERR_OK;
}

static enum err done(const struct answer *a, struct buf *out)
{
    (void)a;
    return buf_append_text(out, "{}");
}

static enum err cog_token(
    const struct answer *a, uint64_t index, struct buf *out, struct token_spot *spot)
{
    TRY(buf_append_text(out, "{\"chunk\":\""));
    TRY(shape_text(a, index, out, &spot->index_at));
    TRY(buf_append_text(out, "\",\"index\":"));
    spot->sequence_at = out->size;
    TRY(buf_printf(out, "%" PRIu64, index));
    spot->pad_at = out->size;
    spot->pad = ' ';
    return buf_append_byte(out, '}');
}

static enum err start(const struct answer *a, struct buf *out)
{
    return buf_printf(out, "{\"id\":\"mock%" PRIu64 "\",\"status\":\"processing\"}", a->generation);
}

static enum err put_output(const struct answer *a, struct buf *out)
{
    TRY(buf_append_byte(out, '['));
    for (uint64_t i = 0; i < a->events; i++) {
        TRY(buf_append_text(out, i ? ",\"" : "\""));
        TRY(shape_text(a, i, out, NULL));
        TRY(buf_append_byte(out, '"'));
    }
    return buf_append_byte(out, ']');
}

static enum err whole(const struct answer *a, struct buf *out)
{
    TRY(buf_printf(out, "{\"id\":\"mock%" PRIu64 "\",", a->generation));
    if (a->is_failure)
        return buf_append_text(out,
            "\"status\":\"failed\",\"output\":null,\"error\":\"" SHAPE_FAIL_MESSAGE
            "\",\"metrics\":{}}");
    TRY(buf_append_text(out, "\"status\":\"succeeded\",\"error\":null,\"output\":"));
    TRY(put_output(a, out));
    return buf_printf(out,
        ",\"metrics\":{\"predict_time\":0.1,\"input_token_count\":%" PRIu64
        ",\"output_token_count\":%" PRIu64 "}}",
        a->prompt_tokens, a->events);
}

const struct shape shape_replicate = {
    .path = "/v1/models/",
    .method = "/predictions",
    .family = FAMILY_REPLICATE,
    .streams = STREAMS_IF_ASKED,
    .token_event = "output",
    .token = plain_token,
    .whole = whole,
    .tail = {{"done", done, ALWAYS}},
    .is_elsewhere = true,
};

#define COG                                                                                        \
    .family = FAMILY_COG, .streams = STREAMS_IF_ASKED, .token_event = "output",                    \
    .token = cog_token, .whole = whole, .prelude = {{"start", start, ALWAYS}},                     \
    .tail = {{"completed", whole, ALWAYS}}, .repeats_text = true

const struct shape shape_cog = {.path = "/predictions", .known_model = "mock", COG};
const struct shape shape_cog_named = {.path = "/", .method = "/predictions", COG};
