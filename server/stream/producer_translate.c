/* producer_translate — a response in another dialect than the caller's, on its way into storage.
 *
 *   frame ─▶ asides, for audit ─▶ translation ─▶ `out` ─▶ split ─▶ events, as if the provider had
 *                                                                   spoken the caller's dialect
 *
 * A frame that storage did not take whole is handled again, and goes on where it stopped: so much of
 * it is in asides (aside_taken), it was translated (is_frame_written), so much of that is recorded
 * (taken). Nothing is lost, nothing is there twice.
 *
 * A body that is no SSE is gathered in `raw`, and the row learns of the response's head only when
 * it was translated whole: its status may be found in the body. Until then nothing is to be seen. */
#include "server/stream/producer_state.h"

#include <stdlib.h>

#include "protocol/base/own.h"

struct producer_translation {
    struct translation *translation;
    const struct dialect *provider;
    const char *content_type; /* of what the caller gets, if it is SSE */
    struct buf out, raw;
    size_t aside_taken, taken; /* of the frame, or `raw`; of `out` */
    bool is_frame_written;     /* its translation is in `out` */
    bool is_end_written;       /* so is that of the transfer's end */
    bool is_broken;            /* the stream was ended as failed: what still comes is nothing */
    bool is_openai;            /* the caller is */
    int status;                /* of the provider's response */
};

/* ── made ───────────────────────────────────────────────────────────────────────────────────── */

static enum err make_translation(const struct producer *producer,
    const struct producer_translate *translate, struct translation **out)
{
    const struct row *row = stream_row(producer->stream);
    char id[ID_TEXT_BYTES];
    id_format(&row->id, id);
    return translation_new(translate->provider, translate->caller,
        &(struct sequence_context){.stream_id = slice_text(id),
            .created_s = row->accepted_ns / 1000000000,
            .model = translate->model,
            .includes_usage = translate->includes_usage},
        out);
}

/* Where the row has no room for it, hints go unsaid. */
static enum err add_left_out(struct producer *producer, struct slice left_out)
{
    static const char name[] = "Tokenlog-Left-Out: ";
    const struct buf *head = &producer->head;
    bool is_clean = header_is_clean((struct header){SLICE("Tokenlog-Left-Out"), left_out});
    if (left_out.size == 0 || !is_clean ||
        head->size + sizeof name + left_out.size + 2 > head->size_max)
        return ERR_OK;
    TRY(buf_append_text(&producer->head, name));
    TRY(buf_append(&producer->head, left_out));
    return buf_append_text(&producer->head, "\r\n");
}

enum err producer_translate_new(
    struct producer *producer, const struct producer_translate *translate)
{
    struct producer_translation *translation = calloc(1, sizeof *translation);
    if (!translation)
        return fault(ERR_NOMEM, "a translation");
    producer->translation = translation; /* it goes with the producer, made or half made */
    buf_init(&translation->out, TRANSLATED_BYTES_MAX);
    buf_init(&translation->raw, TRANSLATED_BODY_BYTES_MAX);
    translation->content_type = translate_content_type(translate->caller);
    translation->provider = translate_dialect(translate->provider);
    translation->is_openai = slice_has_prefix(slice_text(producer->dialect->name), SLICE("openai"));
    if (producer->death)
        return producer_adopt_continuation(
            producer, translate->provider, &translation->translation);
    TRY(make_translation(producer, translate, &translation->translation));
    return add_left_out(producer, translate->left_out);
}

struct producer_translation *producer_translate_free(struct producer_translation *translation)
{
    if (!translation)
        return NULL;
    translation_free(translation->translation);
    buf_deinit(&translation->out);
    buf_deinit(&translation->raw);
    free(translation);
    return NULL;
}

const struct dialect *producer_translate_provider(const struct producer_translation *translation)
{
    return translation->provider;
}

const struct usage *producer_translate_usage(const struct producer_translation *translation)
{
    return &translation_usage(translation->translation)->counts;
}

bool producer_translate_head(struct producer *producer, int status, struct slice *type)
{
    producer->translation->status = status;
    *type = slice_text(producer->translation->content_type);
    return producer->is_sse;
}

/* ── what both kinds of response have in common ──────────────────────────────────────────────── */

/* The provider's bytes, in as many asides as they need. */
static enum err keep_aside(struct producer *producer, struct slice bytes)
{
    struct producer_translation *translation = producer->translation;
    while (translation->aside_taken < bytes.size) {
        struct slice piece = slice_sub(bytes, translation->aside_taken, FRAGMENT_BYTES_MAX);
        TRY(producer_append_aside(producer, piece));
        translation->aside_taken += piece.size;
    }
    return ERR_OK;
}

static void break_off(struct producer *producer, enum err err)
{
    producer->translation->is_broken = true;
    producer_fail(producer, err == ERR_LIMIT ? "response_too_large" : "internal",
        err == ERR_LIMIT ? "the provider's answer is too large to be translated"
                         : "the provider's answer could not be translated: out of memory");
}

/* ── a stream ───────────────────────────────────────────────────────────────────────────────── */

/* The events in `out`. After an error none that mean anything follow: the provider need not go on. */
static enum err deliver(struct producer *producer)
{
    struct producer_translation *translation = producer->translation;
    while (translation->taken < translation->out.size && !producer->has_ended && !producer->death) {
        struct slice rest =
            slice_sub(buf_slice(&translation->out), translation->taken, translation->out.size);
        struct sse_splitter splitter = {0};
        size_t size;
        enum err err = sse_split(&splitter, rest, &size);
        ASSERT(!err); /* whole ones were written */
        TRY(producer_show_event(producer, slice_sub(rest, 0, size)));
        translation->taken += size;
    }
    buf_clear(&translation->out);
    translation->taken = 0;
    if (producer->reading.is_failed && !producer->has_ended) {
        translation->is_broken = true;
        producer_fail_by_event(producer);
    }
    return ERR_OK;
}

enum err producer_translate_frame(struct producer *producer, struct slice frame)
{
    struct producer_translation *translation = producer->translation;
    if (translation->is_broken)
        return ERR_OK;
    if (!translation->is_frame_written) {
        TRY(keep_aside(producer, frame));
        enum err err = translation_event(translation->translation, frame, &translation->out);
        if (err) {
            break_off(producer, err);
            return ERR_OK;
        }
        translation->is_frame_written = true;
    }
    TRY(deliver(producer));
    translation->is_frame_written = false;
    translation->aside_taken = 0;
    return ERR_OK;
}

enum err producer_translate_end(struct producer *producer)
{
    struct producer_translation *translation = producer->translation;
    if (translation->is_broken)
        return ERR_OK;
    if (!translation->is_end_written) {
        enum err err = translation_end(translation->translation, &translation->out);
        if (err) {
            break_off(producer, err);
            return ERR_OK;
        }
        translation->is_end_written = true;
    }
    return deliver(producer);
}

/* ── a whole body ───────────────────────────────────────────────────────────────────────────── */

void producer_translate_body(struct producer *producer, struct slice bytes)
{
    struct producer_translation *translation = producer->translation;
    if (translation->is_broken)
        return;
    enum err err = buf_append(&translation->raw, bytes);
    if (err)
        break_off(producer, err);
}

/* OpenAI's clients do not know Anthropic's word for it. */
static int status_for(const struct producer_translation *translation, int status)
{
    return status == 529 && translation->is_openai ? 503 : status;
}

static enum err write_body(struct producer *producer)
{
    struct producer_translation *translation = producer->translation;
    struct slice raw = buf_slice(&translation->raw);
    int status = status_for(translation, translation->status);
    if (translation->status >= 400)
        TRY(translation_failure(translation->translation, status, raw, &translation->out));
    else
        TRY(translation_body(translation->translation, raw, &translation->out, &status));
    producer->status = status_for(translation, status);
    producer->content_length = (int64_t)translation->out.size;
    return buf_append_text(&producer->content_type, "application/json");
}

static enum err deliver_body(struct producer *producer)
{
    struct producer_translation *translation = producer->translation;
    TRY(keep_aside(producer, buf_slice(&translation->raw)));
    while (translation->taken < translation->out.size) {
        struct slice piece =
            slice_sub(buf_slice(&translation->out), translation->taken, FRAGMENT_BYTES_MAX);
        TRY(producer_append(producer, piece));
        translation->taken += piece.size;
    }
    return ERR_OK;
}

static void end_body(struct producer *producer)
{
    producer->dialect->read_body(&producer->reading, buf_slice(&producer->translation->out));
    if (producer->status < 400) {
        producer_end_or_owe(producer, STREAM_COMPLETED, NULL, NULL);
        return;
    }
    producer_count_error(producer, "upstream_status");
    producer_end_or_owe(producer, STREAM_FAILED, "upstream_status", producer->reading.error);
}

void producer_finish_body(struct producer *producer)
{
    struct producer_translation *translation = producer->translation;
    if (translation->is_broken)
        return;
    if (!translation->is_frame_written) {
        enum err err = write_body(producer);
        if (err) {
            producer->status = 0; /* what was made of it is not shown */
            break_off(producer, err);
            return;
        }
        translation->is_frame_written = true;
        if (producer_record_head(producer)) {
            producer->is_head_owed = true;
            producer_block(producer, SLICE_NONE);
            return;
        }
    }
    if (deliver_body(producer))
        producer_block(producer, SLICE_NONE);
    else
        end_body(producer);
}
