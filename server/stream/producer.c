/* producer — see producer.h. Its life, and the transfer.
 *
 *   start ─▶ waiting for the request's record (keyed) ─▶ dispatched ─▶ head, data…, ended ─▶
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
    timer_cancel(hub_loop(stream_hub(producer->stream)), &producer->linger);
    timer_cancel(hub_loop(stream_hub(producer->stream)), &producer->retry);
    producer_translate_free(producer->translation);
    stream_unref(producer->stream);
    buf_deinit(&producer->pending);
    buf_deinit(&producer->body);
    buf_deinit(&producer->head);
    buf_deinit(&producer->content_type);
    buf_deinit(&producer->url);
    buf_deinit(&producer->request_body);
    buf_deinit(&producer->header_text);
    free(producer);
}

/* ── the transfer ───────────────────────────────────────────────────────────────────────────── */

/* What it says of the body is no longer true of a translated one. */
static bool is_of_body(struct slice name)
{
    return slice_equal_nocase(slice_sub(name, 0, 8), SLICE("content-")) ||
           slice_equal_nocase(name, SLICE("etag")) || slice_equal_nocase(name, SLICE("digest"));
}

/* Header fields to replay: those that may cross, in the provider's order. */
static void keep_head(struct slice head, bool is_translated, struct headers *all, struct buf *kept)
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
static size_t head_bytes_max(const struct row *row)
{
    size_t used =
        ROW_END_BYTES_MAX + row->path.size + row->metadata.size + row->key.size + row->model.size;
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

static void upstream_head(void *context, int status, struct slice head)
{
    struct producer *producer = context;
    if (producer->has_ended || producer->end.is_owed)
        return;
    if (status < 200 || status > 599) {
        producer_fail(producer, upstream_end_name(UPSTREAM_MALFORMED),
            "the provider answered with a status that is none");
        return;
    }
    struct headers all = {.count = 0};
    keep_head(head, producer->translation, &all, &producer->head);
    struct slice type = headers_get(&all, "content-type");
    uint64_t length;
    bool has_length = slice_u64(headers_get(&all, "content-length"), &length) == ERR_OK;
    producer->is_sse =
        status < 400 && slice_equal_nocase(slice_sub(type, 0, 17), SLICE("text/event-stream"));
    producer->content_length =
        has_length && !producer->is_sse && length <= INT64_MAX ? (int64_t)length : -1;
    if (producer->translation && !producer_translate_head(producer, status, &type))
        return;
    producer->status = status;
    if (keep_content_type(producer, type) || producer_record_head(producer)) {
        producer->is_head_owed = true;
        producer_block(producer, SLICE_NONE);
    }
}

static enum err upstream_data(void *context, struct slice bytes)
{
    struct producer *producer = context;
    if (producer->has_ended || producer->end.is_owed)
        return ERR_OK; /* after the terminator, or a stop: nothing that anybody waits for */
    if (producer->is_blocked || hub_is_paused(stream_hub(producer->stream))) {
        producer->is_throttled = true;
        return ERR_AGAIN;
    }
    producer_process(producer, bytes);
    return ERR_OK;
}

void producer_count_error(const struct producer *producer, const char *kind)
{
    metrics_add_label(producer->config.metrics, METRIC_upstream_errors_total, kind, 1);
}

void producer_fail_by_event(struct producer *producer)
{
    producer_count_error(producer, "upstream_error_event");
    producer_fail(producer, "provider_error", producer->reading.error);
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
        residue.size && (sse_split_end(&producer->splitter) || !dialect->has_terminator ||
                            dialect->is_terminator_residue(residue));
    if (is_event) {
        TRY(producer_handle_event(producer, residue));
        buf_clear(&producer->pending); /* it is not to be handled again */
    }
    return producer->translation && !producer->has_ended ? producer_translate_end(producer)
                                                         : ERR_OK;
}

static void finish_sse(struct producer *producer)
{
    enum err err = finish_events(producer);
    if (producer->has_ended || producer->end.is_owed)
        return;
    if (err == ERR_LIMIT)
        producer_fail_too_large(producer);
    else if (err)
        producer_block(producer, SLICE_NONE);
    else if (producer->reading.is_failed)
        producer_fail_by_event(producer);
    else if (producer->dialect->has_terminator || producer->reading.owes_finish)
        producer_fail(producer, "upstream_truncated",
            "the provider ended the response without the terminator of its format");
    else
        producer_end_or_owe(producer, STREAM_COMPLETED, NULL, NULL);
}

/* The response ended as HTTP's framing says: what does that mean? */
void producer_finish_transfer(struct producer *producer)
{
    if (producer->is_sse) {
        finish_sse(producer);
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

static void upstream_ended(void *context, enum upstream_end how, const char *message)
{
    struct producer *producer = context;
    producer->upstream = NULL;
    producer->is_throttled = false;
    producer->is_complete = how == UPSTREAM_COMPLETE;
    if (how != UPSTREAM_COMPLETE && how != UPSTREAM_CANCELED)
        producer_count_error(producer, upstream_end_name(how));
    if (producer->has_ended)
        producer_free(producer);
    else if (producer->end.is_owed || (producer->is_blocked && producer->is_complete))
        return; /* it follows what is owed */
    else if (producer->is_complete)
        producer_finish_transfer(producer);
    else if (producer->is_blocked)
        producer_note_end(producer, STREAM_FAILED, upstream_end_name(how), message),
            producer_owe_end(producer);
    else if (producer->reading.is_failed)
        producer_fail_by_event(producer);
    else
        producer_fail(producer, upstream_end_name(how), message);
}

static const struct upstream_owner upstream_owner = {upstream_head, upstream_data, upstream_ended};

static void producer_dispatch(struct producer *producer)
{
    producer->is_waiting = false;
    producer->dispatched_ns = producer_wall_ns(producer);
    struct upstream_request request = {.url = (const char *)producer->url.data,
        .method = producer->method,
        .headers = producer->headers,
        .body = buf_slice(&producer->request_body),
        .connect_timeout_ms = producer->config.connect_timeout_ms,
        .first_byte_timeout_ms = producer->config.first_byte_timeout_ms,
        .idle_timeout_ms = producer->config.stall_timeout_ms,
        .ca_file = producer->ca_file[0] ? producer->ca_file : NULL};
    metrics_add(producer->config.metrics, METRIC_upstream_requests_total, 1);
    enum err err = upstream_start(
        producer->config.upstreams, &request, &upstream_owner, producer, &producer->upstream);
    if (err)
        producer_fail(producer, "internal", "the request could not be sent: out of memory");
}

static void writer_changed(struct producer *producer)
{
    if (producer->is_waiting && !producer->end.is_owed && stream_row_is_durable(producer->stream))
        producer_dispatch(producer);
    else
        producer_resume(producer);
}

static const struct stream_writer writer = {writer_changed, producer_stop, producer_resume};

/* ── the start ──────────────────────────────────────────────────────────────────────────────── */

static enum err producer_new(const struct producer_config *config, struct stream *stream,
    const struct producer_request *request, struct producer **out)
{
    struct producer *producer = calloc(1, sizeof *producer);
    if (!producer)
        return fault(ERR_NOMEM, "producer");
    producer->config = *config;
    producer->stream = stream_ref(stream);
    producer->dialect = request->dialect;
    producer->linger.fire = producer_linger_fired;
    producer->retry.fire = producer_retry_fired;
    producer->is_waiting = true;
    dialect_reading_init(&producer->reading);
    producer->reading.hides_usage = request->hides_usage;
    buf_init(&producer->pending, EVENT_BYTES_MAX);
    buf_init(&producer->body, BODY_KEPT_BYTES_MAX);
    buf_init(&producer->head, head_bytes_max(stream_row(stream)));
    buf_init(&producer->content_type, CONTENT_TYPE_BYTES_MAX);
    buf_init(&producer->url, HTTP_TARGET_BYTES_MAX * 2);
    buf_init(&producer->header_text, HTTP_HEAD_BYTES_MAX * 2);
    buf_init(&producer->request_body, request->body.size);
    enum err err = producer_build_request(producer, request);
    if (!err && request->translate)
        err = producer_translate_new(producer, request->translate);
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
    if (!request->is_keyed || stream_row_is_durable(stream))
        producer_dispatch(producer);
    return ERR_OK;
}
