/* producer_record — what the provider sent, on its way into storage.
 *
 * What storage does not take is owed, and is offered again when storage's pressure falls, when
 * something of the stream has become durable, and every PRODUCER_RETRY_MS in any case:
 *
 *   the head     is_blocked, is_head_owed
 *   events       is_blocked; they wait in `pending`, which else holds bytes of an event whose end
 *                has not come. The transfer is paused (data answers ERR_AGAIN and libcurl brings
 *                the same bytes again: is_throttled)
 *   the end      end.is_owed: after the events, unless it is a stop, which does not wait for them
 *
 * Once storage is stuck nothing is owed any more: the next start finds the stream interrupted. */
#include "server/stream/producer_state.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/io/upload.h"

/* ── the end ────────────────────────────────────────────────────────────────────────────────── */

static bool has_transfer(const struct producer *producer)
{
    return producer->run && producer->run->upstream;
}

static void cancel_transfer(struct producer *producer)
{
    if (producer->run)
        run_cancel(producer->run);
}

/* The stream is through with us; the transfer may still be there, and then frees us when it
 * ends. */
static void producer_detach(struct producer *producer)
{
    producer->has_ended = true;
    producer_leave_source(producer);
    stream_set_producer(producer->stream, NULL, NULL);
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    timer_set(loop, &producer->linger,
        loop_now_ns(loop) + (has_transfer(producer) ? PRODUCER_LINGER_MS * 1000000ll : 0));
    if (producer->is_throttled) {
        producer->is_throttled = false;
        run_resume(producer->run);
    }
}

void producer_linger_fired(struct timer *timer)
{
    struct producer *producer = CONTAINER_OF(timer, struct producer, linger);
    if (has_transfer(producer))
        cancel_transfer(producer); /* its end frees us */
    else
        producer_free(producer);
}

/* Who was asked last, where the attempts say it. */
static void fill_target(const struct producer *producer, struct row *row)
{
    const struct run *run = producer->run;
    for (size_t i = 0; !run && i < PRODUCER_HELD_MAX; i++)
        run = producer->held[i];
    if (!run || run->provider.size == 0)
        return;
    row->provider = run->provider;
    row->model = run->model;
    row->provider_dialect = run->provider_dialect;
}

/* What was sent while it came, of which nothing else is recorded. */
static void fill_upload(const struct producer *producer, struct row *row)
{
    struct run *run = producer->run ? producer->run : producer->held[0];
    if (!run || !run->upload)
        return;
    row->upload_bytes = upload_taken(run->upload);
    if (upload_digest(run->upload, run->upload_digest))
        row->upload_digest = slice_of(run->upload_digest, SHA256_BYTES);
}

static void fill_row(struct producer *producer, struct row *row)
{
    *row = *stream_row(producer->stream);
    fill_target(producer, row);
    fill_upload(producer, row);
    row->attempts = producer_write_attempts(producer);
    row->usage = producer->reading.usage;
    row->finish_reason = slice_text(producer->reading.finish_reason);
    row->dispatched_ns = producer->dispatched_ns;
    row->first_event_ns = producer->first_event_ns;
    if (!producer->translation && !producer->death) /* else it is made of the stream's own */
        row->upstream_id = slice_text(producer->reading.id);
    row->is_kept_upstream = producer_is_kept(producer);
    if (producer->status == 0)
        return;
    row->status = (uint32_t)producer->status;
    row->is_sse = producer->is_sse;
    row->content_type = buf_slice(&producer->content_type);
    row->content_length = producer->content_length;
    row->head = buf_slice(&producer->head);
}

/* producer_end — the last event, if any, and the final row, visible together or not at all. */
static enum err producer_end(struct producer *producer, struct slice last_event,
    enum stream_state state, const char *reason, const char *detail)
{
    struct row row;
    producer_end_attempts(producer, state, reason);
    fill_row(producer, &row);
    row.state = state;
    row.reason = slice_text(reason);
    row.detail = slice_text(detail);
    row.ended_ns = producer_wall_ns(producer);
    if (last_event.size && row.first_event_ns == 0)
        row.first_event_ns = row.ended_ns;
    TRY(tail_end(stream_tail(producer->stream), last_event, row.ended_ns, &row));
    if (stream_index_upstream(producer->stream)) /* a body's, which is read at its end */
        LOG(producer->config.log, LOG_WARNING, "response_unnamed", LOG_ID("stream", &row.id));
    producer_detach(producer);
    return ERR_OK;
}

static void retry_later(struct producer *producer)
{
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    if (producer->retry.index == 0)
        timer_set(loop, &producer->retry, loop_now_ns(loop) + PRODUCER_RETRY_MS * 1000000ll);
}

void producer_note_end(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail)
{
    producer->end.state = state;
    producer->end.reason = reason;
    (void)snprintf(producer->end.detail, sizeof producer->end.detail, "%s", detail ? detail : "");
}

void producer_owe_end(struct producer *producer)
{
    producer->end.is_owed = true;
    retry_later(producer);
}

static void try_end(struct producer *producer)
{
    enum err err = producer_end(
        producer, SLICE_NONE, producer->end.state, producer->end.reason, producer->end.detail);
    if (!err)
        return;
    if (hub_is_stuck(stream_hub(producer->stream)))
        producer_detach(producer);
    else
        producer_owe_end(producer);
}

/* An end must be said even when storage has no room: it is owed then. The first one counts. */
void producer_end_or_owe(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail)
{
    if (producer->has_ended || producer->end.is_owed)
        return;
    producer_show_held(producer);
    producer_note_end(producer, state, reason, detail);
    try_end(producer);
    if (producer->end.is_owed)
        LOG(producer->config.log, LOG_WARNING, "end_owed",
            LOG_ID("stream", &stream_row(producer->stream)->id));
}

/* What could not be recorded before a stop will not be. */
void producer_stop(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail)
{
    producer->is_blocked = producer->is_head_owed = false;
    if (state == STREAM_STOPPED && !producer->end.is_owed)
        producer_kept_cancel(producer);
    if (state == STREAM_INTERRUPTED && producer_is_kept(producer))
        producer_detach(producer); /* the next server goes on with it */
    else if (producer->end.is_owed && hub_is_stuck(stream_hub(producer->stream)))
        producer_detach(producer);
    else
        producer_end_or_owe(producer, state, reason, detail);
    cancel_transfer(producer);
}

/* ── events ─────────────────────────────────────────────────────────────────────────────────── */

enum err producer_append(struct producer *producer, struct slice event)
{
    int64_t time_ns = producer_wall_ns(producer);
    TRY(tail_append(stream_tail(producer->stream), event, time_ns));
    if (producer->first_event_ns == 0) {
        producer->first_event_ns = time_ns;
        producer_showed(producer);
    }
    return ERR_OK;
}

/* One that is too large to be recorded is a provider's oddity, and nobody is owed it. */
enum err producer_append_aside(struct producer *producer, struct slice event)
{
    enum err err = tail_aside(stream_tail(producer->stream), event, producer_wall_ns(producer));
    if (err != ERR_LIMIT)
        return err;
    LOG(producer->config.log, LOG_WARNING, "aside_dropped",
        LOG_ID("stream", &stream_row(producer->stream)->id), LOG_NUMBER("bytes", event.size));
    return ERR_OK;
}

enum err producer_handle_event(struct producer *producer, struct slice event)
{
    struct producer_kept *kept = producer->kept;
    if (kept && producer_kept_has(kept, event))
        return ERR_OK;
    TRY(producer->translation ? producer_translate_frame(producer, event)
                              : producer_show_event(producer, event));
    if (producer->kept == kept && kept)
        producer_kept_note(kept, event);
    return ERR_OK;
}

/* By which the response is asked for again: durable before the event that tells it is seen. That is the
 * first, and there may be no later version of the row for the next server to know it by. */
static enum err record_id(struct producer *producer)
{
    if (producer->first_event_ns == 0) {
        producer->first_event_ns = producer_wall_ns(producer);
        producer_showed(producer);
    }
    TRY(producer_record_head(producer));
    return stream_index_upstream(producer->stream);
}

static enum err record_event(
    struct producer *producer, struct slice event, enum dialect_verdict verdict)
{
    if (producer->reading.is_terminated)
        return producer_end(producer, event, STREAM_COMPLETED, NULL, NULL);
    if (verdict == DIALECT_EVENT)
        return producer_append(producer, event);
    return producer->translation ? ERR_OK /* the provider's own frames are kept already */
                                 : producer_append_aside(producer, event);
}

enum err producer_take_event(struct producer *producer, struct slice event)
{
    const struct dialect *dialect = producer->dialect;
    if (dialect->teaches && !dialect->teaches(event))
        return producer_append(producer, event);
    struct dialect_reading before = producer->reading;
    enum dialect_verdict verdict = dialect->read_event(&producer->reading, event);
    if (producer->reading.is_failed && producer_may_continue(producer)) {
        char why[DIALECT_ERROR_BYTES];
        memcpy(why, producer->reading.error, sizeof why);
        producer->reading = before; /* it is not shown, unless that comes to nothing */
        if (producer_goes_on(producer, "provider_error", why, event)) {
            producer_count_error(producer, "upstream_error_event");
            return ERR_OK;
        }
        (void)dialect->read_event(&producer->reading, event);
    }
    bool has_new_id = producer->reading.id[0] && !before.id[0] && !producer->translation;
    enum err err = has_new_id ? record_id(producer) : ERR_OK;
    if (!err)
        err = record_event(producer, event, verdict);
    if (err)
        producer->reading = before; /* it will be read again */
    return err;
}

void producer_fail(struct producer *producer, const char *reason, const char *detail)
{
    producer_end_or_owe(producer, STREAM_FAILED, reason, detail);
    cancel_transfer(producer);
}

void producer_fail_too_large(struct producer *producer)
{
    producer_fail(producer, "event_too_large", "the provider sent an event that is too large");
}

/* Bytes that could not be appended wait in `pending`, to be split anew from the start of their
 * first event. */
void producer_block(struct producer *producer, struct slice rest)
{
    producer->is_blocked = true;
    producer->splitter = producer->event_start;
    retry_later(producer);
    if (buf_append(&producer->pending, rest))
        producer_fail_too_large(producer);
}

static enum err split_event(struct producer *producer, struct slice *bytes)
{
    size_t end;
    enum err err = frame_split(&producer->splitter, *bytes, &end);
    if (err == ERR_INVALID) {
        producer_died(producer, upstream_end_name(UPSTREAM_MALFORMED),
            "what the provider sent is not framed as its Content-Type says");
        return err;
    }
    if (err) {
        if (buf_append(&producer->pending, *bytes))
            producer_fail_too_large(producer);
        return err;
    }
    struct slice event = slice_sub(*bytes, 0, end);
    bool is_joined = producer->pending.size > 0;
    if (is_joined && buf_append(&producer->pending, event)) {
        producer_fail_too_large(producer);
        return ERR_LIMIT;
    }
    err = producer_handle_event(producer, is_joined ? buf_slice(&producer->pending) : event);
    if (err == ERR_LIMIT) { /* no pause makes room for it */
        producer_fail_too_large(producer);
        return err;
    }
    if (err) {
        producer_block(producer, is_joined ? slice_sub(*bytes, end, bytes->size) : *bytes);
        return err;
    }
    if (is_joined)
        buf_deinit(&producer->pending), buf_init(&producer->pending, EVENT_BYTES_MAX);
    producer->event_start = producer->splitter;
    *bytes = slice_sub(*bytes, end, bytes->size);
    return ERR_OK;
}

static void process_frames(struct producer *producer, struct slice bytes)
{
    while (bytes.size && !producer->has_ended && !producer->death)
        if (split_event(producer, &bytes))
            return;
}

static void process_opaque(struct producer *producer, struct slice bytes)
{
    while (bytes.size && !producer->has_ended) {
        struct slice piece = slice_sub(bytes, 0, FRAGMENT_BYTES_MAX);
        if (producer_append(producer, piece)) {
            producer_block(producer, bytes);
            return;
        }
        if (producer->body.size + piece.size > BODY_KEPT_BYTES_MAX ||
            buf_append(&producer->body, piece))
            buf_clear(&producer->body),
                producer->body.size_max = 0; /* too large to be read for usage */
        bytes = slice_sub(bytes, piece.size, bytes.size);
    }
}

void producer_process(struct producer *producer, struct slice bytes)
{
    if (producer->is_framed)
        process_frames(producer, bytes);
    else if (producer->translation)
        producer_translate_body(producer, bytes);
    else
        process_opaque(producer, bytes);
}

enum err producer_record_head(struct producer *producer)
{
    struct row row;
    fill_row(producer, &row);
    row.state = producer->status ? STREAM_STREAMING : STREAM_ACCEPTED;
    return tail_update(stream_tail(producer->stream), &row);
}

/* Storage may have room again. */
static void producer_unblock(struct producer *producer)
{
    if (producer->is_head_owed && producer_record_head(producer)) {
        retry_later(producer);
        return;
    }
    producer->is_blocked = producer->is_head_owed = false;
    CLEANUP(buf_deinit) struct buf held = producer->pending;
    buf_init(&producer->pending, EVENT_BYTES_MAX);
    producer_process(producer, buf_slice(&held));
}

static void producer_unthrottle(struct producer *producer)
{
    if (!producer->is_throttled || producer->is_blocked ||
        hub_is_paused(stream_hub(producer->stream)))
        return;
    producer->is_throttled = false;
    run_resume(producer->run);
}

/* What is owed, in order: the head, the events, the end. */
void producer_resume(struct producer *producer)
{
    bool is_paused = hub_is_paused(stream_hub(producer->stream));
    if (producer->is_blocked && !is_paused)
        producer_unblock(producer);
    if (producer->has_ended || producer->is_blocked)
        return;
    if (producer->end.is_owed) {
        try_end(producer);
    } else if (producer->death) {
        return;
    } else if (producer->is_complete) {
        producer_finish_transfer(producer);
    } else if (producer->kept && !producer_is_lost(producer) && producer->run->is_over) {
        producer_transfer_ended(producer, producer->run->how, producer->run->message);
    } else {
        producer_unthrottle(producer);
    }
}

void producer_retry_fired(struct timer *timer)
{
    struct producer *producer = CONTAINER_OF(timer, struct producer, retry);
    if (producer->has_ended)
        return;
    producer_resume(producer);
    if (!producer->has_ended && (producer->is_blocked || producer->end.is_owed))
        retry_later(producer);
}
