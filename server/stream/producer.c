/* producer — see producer.h. Its life, and the response that the stream has.
 *
 *   start ─▶ attempts (producer_attempts.c) ─▶ one is adopted: head, data…, ended ─▶
 *   detached from its stream once the final row is given ─▶ freed when the transfer is over too */
#include "server/stream/producer_state.h"

#include <stdlib.h>

static const struct stream_writer writer;

int64_t producer_wall_ns(const struct producer *producer)
{
    return loop_wall_ns(hub_loop(stream_hub(producer->stream)));
}

void producer_free(struct producer *producer)
{
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    timer_cancel(loop, &producer->linger);
    timer_cancel(loop, &producer->retry);
    timer_cancel(loop, &producer->pause);
    timer_cancel(loop, &producer->hedge);
    producer_kept_free(producer);
    producer_death_free(producer);
    producer_hold_free(producer);
    producer_leave_source(producer);
    for (size_t i = 0; i < PRODUCER_HELD_MAX; i++)
        run_free(producer->held[i]);
    run_free(producer->run);
    producer_translate_free(producer->translation);
    stream_unref(producer->stream);
    buf_deinit(&producer->pending);
    buf_deinit(&producer->body);
    buf_deinit(&producer->head);
    buf_deinit(&producer->content_type);
    buf_deinit(&producer->past);
    buf_deinit(&producer->attempts);
    free(producer);
}

/* ── the response ───────────────────────────────────────────────────────────────────────────── */

/* What it says of the body is no longer true of a translated one. */
static bool is_of_body(struct slice name)
{
    return slice_equal_nocase(slice_sub(name, 0, 8), SLICE("content-")) ||
           slice_equal_nocase(name, SLICE("etag")) || slice_equal_nocase(name, SLICE("digest"));
}

void producer_read_head(struct slice head, struct headers *all)
{
    while (head.size && all->count < HTTP_HEADER_COUNT_MAX) {
        ptrdiff_t end = slice_find(head, SLICE("\r\n"));
        struct slice line = end < 0 ? head : slice_sub(head, 0, (size_t)end);
        head = end < 0 ? SLICE_NONE : slice_sub(head, (size_t)end + 2, head.size);
        ptrdiff_t colon = slice_find_byte(line, ':');
        if (colon <= 0)
            continue;
        all->items[all->count++] = (struct header){slice_sub(line, 0, (size_t)colon),
            slice_trim(slice_sub(line, (size_t)colon + 1, line.size))};
    }
}

/* Header fields to replay: those that may cross, in the provider's order. */
static void keep_head(const struct headers *all, bool is_translated, struct buf *kept)
{
    for (size_t i = 0; i < all->count; i++) {
        struct header field = all->items[i];
        if (slice_equal_nocase(field.name, SLICE("content-type")) ||
            (is_translated && is_of_body(field.name)) ||
            !header_crosses_to_caller(field.name, all) || !header_is_clean(field))
            continue;
        if (kept->size + field.name.size + field.value.size + 4 > kept->size_max)
            break;
        if (buf_append(kept, field.name) || buf_append_text(kept, ": ") ||
            buf_append(kept, field.value) || buf_append_text(kept, "\r\n"))
            break;
    }
}

/* So much of a head may be kept that the row has room for all that its end will say. */
static size_t head_bytes_max(const struct row *row, size_t attempts_bytes)
{
    size_t used = ROW_END_BYTES_MAX + attempts_bytes + row->path.size + row->metadata.size +
                  row->key.size + row->model.size;
    size_t room = used < ROW_BYTES_MAX ? ROW_BYTES_MAX - used : 0;
    return room < HEAD_KEPT_BYTES_MAX ? room : HEAD_KEPT_BYTES_MAX;
}

static enum err keep_content_type(struct producer *producer, struct slice type)
{
    type = slice_sub(type, 0, producer->content_type.size_max);
    return header_is_clean((struct header){SLICE("Content-Type"), type})
               ? buf_append(&producer->content_type, type)
               : ERR_OK;
}

enum err producer_adopt(struct producer *producer, struct run *run)
{
    ASSERT(!producer->run);
    producer->run = run;
    run->record.is_shown = true;
    run->record.from = tail_events(stream_tail(producer->stream));
    producer->reading.hides_usage = run->hides_usage;
    producer->is_going_on = producer->death != NULL;
    if (run->is_kept && run->dialect->again && !producer->death)
        TRY(producer_kept_new(producer));
    return run->translate.provider ? producer_translate_new(producer, &run->translate) : ERR_OK;
}

/* Whether what comes is cut into frames: of those that the provider's dialect has, or SSE. */
static bool find_framing(struct producer *producer, struct slice type)
{
    const struct dialect *provider = producer->translation
                                         ? producer_translate_provider(producer->translation)
                                         : producer->dialect;
    enum framing framing;
    if (framing_of_type(type, &framing))
        return false;
    bool is_usual = framing == FRAMING_SSE && !producer->translation;
    if (!is_usual && framing != provider->framing)
        return false;
    producer->splitter = producer->event_start = (struct frame_splitter){.framing = framing};
    return true;
}

void producer_head(struct producer *producer, int status, struct slice head)
{
    if (producer->has_ended || producer->end.is_owed)
        return;
    if (status < 200 || status > 599) {
        producer_fail(producer, upstream_end_name(UPSTREAM_MALFORMED),
            "the provider answered with a status that is none");
        return;
    }
    struct headers all = {.count = 0};
    producer_read_head(head, &all);
    if (producer->is_going_on) { /* the caller has its head */
        producer->is_framed =
            status < 400 && find_framing(producer, headers_get(&all, "content-type"));
        if (!producer->is_framed)
            producer_died(producer, "upstream_malformed",
                "the provider that was asked to go on did not answer with a stream");
        return;
    }
    keep_head(&all, producer->translation, &producer->head);
    struct slice type = headers_get(&all, "content-type");
    uint64_t length;
    bool has_length = slice_u64(headers_get(&all, "content-length"), &length) == ERR_OK;
    producer->is_framed = status < 400 && find_framing(producer, type);
    producer->is_sse =
        producer->is_framed && (producer->translation || producer->splitter.framing == FRAMING_SSE);
    producer->content_length =
        has_length && !producer->is_framed && length <= INT64_MAX ? (int64_t)length : -1;
    if (producer->translation && !producer_translate_head(producer, status, &type))
        return;
    producer->status = status;
    if (keep_content_type(producer, type) || producer_record_head(producer)) {
        producer->is_head_owed = true;
        producer_block(producer, SLICE_NONE);
    }
}

enum err producer_data(struct producer *producer, struct slice bytes)
{
    if (producer->has_ended || producer->end.is_owed || producer->death ||
        producer_is_lost(producer))
        return ERR_OK; /* after the terminator, or a stop: nothing that anybody waits for */
    if (producer->is_blocked || hub_is_paused(stream_hub(producer->stream))) {
        producer->is_throttled = true;
        return ERR_AGAIN;
    }
    tail_fetch(stream_tail(producer->stream));
    producer_process(producer, bytes);
    return ERR_OK;
}

void producer_count_error(const struct producer *producer, const char *kind)
{
    metrics_add_label(producer->config.metrics, METRIC_upstream_errors_total, kind, 1);
}

/* What is shown stays, and the caller sees that it is not whole (invariant 5). */
void producer_died(struct producer *producer, const char *reason, const char *detail)
{
    if (producer_takes_back(producer, reason, detail))
        return;
    if (!producer->death && !producer_goes_on(producer, reason, detail, SLICE_NONE))
        producer_fail(producer, reason, detail);
}

void producer_fail_by_event(struct producer *producer)
{
    producer_count_error(producer, "upstream_error_event");
    producer_died(producer, "provider_error", producer->reading.error);
}

/* What is left over, if it is an event all the same. */
static enum err finish_events(struct producer *producer)
{
    const struct dialect *dialect = producer->translation
                                        ? producer_translate_provider(producer->translation)
                                        : producer->dialect;
    struct slice residue = buf_slice(&producer->pending);
    /* Where HTTP's framing is the end, all that came before it is the response. */
    bool is_event =
        residue.size && (frame_split_end(&producer->splitter) || !dialect->has_terminator ||
                            dialect->is_terminator_residue(residue));
    if (is_event) {
        TRY(producer_handle_event(producer, residue));
        buf_clear(&producer->pending); /* it is not to be handled again */
    }
    bool is_over = producer->has_ended || producer->death;
    return producer->translation && !is_over ? producer_translate_end(producer) : ERR_OK;
}

static void finish_frames(struct producer *producer)
{
    enum err err = finish_events(producer);
    if (producer->has_ended || producer->end.is_owed || producer->death)
        return;
    if (err == ERR_LIMIT)
        producer_fail_too_large(producer);
    else if (err)
        producer_block(producer, SLICE_NONE);
    else if (producer->reading.is_failed)
        producer_fail_by_event(producer);
    else if (producer->dialect->has_terminator || producer->reading.owes_finish)
        producer_died(producer, "upstream_truncated",
            "the provider ended the response without the terminator of its format");
    else
        producer_end_or_owe(producer, STREAM_COMPLETED, NULL, NULL);
}

/* The response ended as HTTP's framing says: what does that mean? */
void producer_finish_transfer(struct producer *producer)
{
    if (producer->is_framed) {
        finish_frames(producer);
        return;
    }
    if (producer->translation) {
        producer_finish_body(producer);
        return;
    }
    producer->dialect->read_body(&producer->reading, buf_slice(&producer->body));
    if (producer->status < 400) {
        producer_end_or_owe(producer, STREAM_COMPLETED, NULL, NULL);
        return;
    }
    producer_count_error(producer, "upstream_status");
    producer_end_or_owe(producer, STREAM_FAILED, "upstream_status", producer->reading.error);
}

void producer_transfer_ended(struct producer *producer, enum upstream_end how, const char *message)
{
    producer->is_throttled = false;
    bool is_nothing = producer->death || producer_is_lost(producer);
    producer->is_complete = how == UPSTREAM_COMPLETE && !is_nothing;
    if (producer->has_ended)
        producer_free(producer);
    else if (is_nothing)
        return; /* what comes of that is on its way */
    else if (producer->end.is_owed ||
             (producer->is_blocked && (producer->is_complete || producer->kept)))
        return; /* it follows what is owed */
    else if (producer->is_complete)
        producer_finish_transfer(producer);
    else if (producer->is_blocked)
        producer_note_end(producer, STREAM_FAILED, upstream_end_name(how), message),
            producer_owe_end(producer);
    else if (producer->reading.is_failed)
        producer_fail_by_event(producer);
    else
        producer_died(producer, upstream_end_name(how), message);
}

static void writer_changed(struct producer *producer)
{
    if (producer->is_waiting && !producer->end.is_owed && stream_row_is_durable(producer->stream))
        producer_send(producer);
    else
        producer_resume(producer);
}

static const struct stream_writer writer = {writer_changed, producer_stop, producer_resume};

/* ── the start ──────────────────────────────────────────────────────────────────────────────── */

static enum err producer_new(const struct producer_config *config, struct stream *stream,
    const struct producer_request *request, struct producer **out)
{
    struct producer *producer = calloc(1, sizeof *producer);
    if (!producer) {
        if (request->source)
            request->source->calls->close(request->source);
        return fault(ERR_NOMEM, "producer");
    }
    producer->config = *config;
    producer->stream = stream_ref(stream);
    producer->dialect = request->dialect;
    producer->linger.fire = producer_linger_fired;
    producer->retry.fire = producer_retry_fired;
    producer->pause.fire = producer_pause_fired;
    producer->hedge.fire = producer_hedge_fired;
    producer->is_keyed = request->is_keyed;
    producer->source = request->source;
    if (producer->source)
        producer->source->producer = producer;
    bool has_several = producer->source || request->is_kept;
    producer->attempts_bytes = has_several       ? ATTEMPTS_BYTES_MAX
                               : request->target ? ATTEMPT_BYTES_MAX
                                                 : 0;
    dialect_reading_init(&producer->reading);
    buf_init(&producer->pending, EVENT_BYTES_MAX);
    buf_init(&producer->body, BODY_KEPT_BYTES_MAX);
    buf_init(&producer->head, head_bytes_max(stream_row(stream), producer->attempts_bytes));
    buf_init(&producer->content_type, CONTENT_TYPE_BYTES_MAX);
    buf_init(&producer->past, producer->attempts_bytes);
    buf_init(&producer->attempts, producer->attempts_bytes);
    enum err err = producer_hold_new(producer);
    if (request->before)
        producer->reading.hides_usage = request->hides_usage;
    if (!err)
        err = request->before        ? producer_take_up(producer, request->before)
              : request->is_reopened ? producer_reopen(producer, request)
                                     : producer_first(producer, request);
    if (err)
        producer_free(producer);
    else
        *out = producer;
    return err;
}

enum err producer_start(const struct producer_config *config, struct stream *stream,
    const struct producer_request *request)
{
    struct producer *producer = NULL;
    enum err err = producer_new(config, stream, request, &producer);
    if (err) {
        struct row row = *stream_row(stream);
        row.state = STREAM_FAILED;
        row.reason = SLICE("internal");
        row.detail = SLICE("the request could not be prepared for the provider");
        row.ended_ns = loop_wall_ns(hub_loop(stream_hub(stream)));
        enum err end = tail_end(stream_tail(stream), SLICE_NONE, row.ended_ns, &row);
        return end ? end : err;
    }
    stream_set_producer(stream, producer, &writer);
    producer_send(producer);
    return ERR_OK;
}
