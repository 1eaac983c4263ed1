/* producer — see producer.h.
 *
 * What storage does not take is owed, and is offered again when storage's pressure falls, when
 * something of the stream has become durable, and every PRODUCER_RETRY_MS in any case:
 *
 *   the head     is_blocked, is_head_owed
 *   events       is_blocked; they wait in `pending`, which else holds bytes of an event whose end
 *   has
 *                not come. The transfer is paused (data answers ERR_AGAIN and libcurl brings the
 *                same
 *                bytes again: is_throttled)
 *   the end      end.is_owed: after the events, unless it is a stop, which does not wait for them
 *
 * Once storage is stuck nothing is owed any more: the next start finds the stream interrupted. */
#include "server/stream/producer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "protocol/http/sse.h"

struct producer {
    struct producer_config config;
    struct stream *stream;
    const struct dialect *dialect;
    struct upstream *upstream;
    struct dialect_reading reading;
    struct sse_splitter splitter, event_start; /* now, and at the start of the pending event */
    struct buf pending;
    struct buf body;               /* of an opaque response: the first BODY_KEPT_BYTES_MAX */
    struct buf head, content_type; /* of the response, as its row keeps them */
    int64_t content_length;
    struct buf url, request_body;
    struct buf header_text;
    const char *headers[PRODUCER_HEADERS_MAX + 1];
    char ca_file[1024], method[PRODUCER_METHOD_BYTES];
    struct timer linger, retry;
    bool is_waiting; /* for the request record */
    bool is_sse;
    bool is_blocked;
    bool is_head_owed;
    bool is_throttled; /* the transfer is paused: resume it */
    bool has_ended;    /* the final row was given to the tail, or never can be */
    bool is_complete;  /* the transfer ended well */
    struct {
        bool is_owed;
        enum stream_state state;
        const char *reason;
        char detail[DIALECT_ERROR_BYTES];
    } end;
    int status; /* 0: no head yet */
    int64_t dispatched_ns, first_event_ns;
};

static const struct stream_writer writer;
static void producer_process(struct producer *producer, struct slice bytes);
static void producer_finish_transfer(struct producer *producer);

static int64_t wall_ns(const struct producer *producer)
{
    return loop_wall_ns(hub_loop(stream_hub(producer->stream)));
}

static void producer_free(struct producer *producer)
{
    timer_cancel(hub_loop(stream_hub(producer->stream)), &producer->linger);
    timer_cancel(hub_loop(stream_hub(producer->stream)), &producer->retry);
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

/* ── the end ────────────────────────────────────────────────────────────────────────────────── */

/* The stream is through with us; the transfer may still be there, and then frees us when it
 * ends. */
static void producer_detach(struct producer *producer)
{
    producer->has_ended = true;
    stream_set_producer(producer->stream, NULL, NULL);
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    timer_set(loop, &producer->linger,
        loop_now_ns(loop) + (producer->upstream ? PRODUCER_LINGER_MS * 1000000ll : 0));
    if (producer->is_throttled) {
        producer->is_throttled = false;
        upstream_resume(producer->upstream);
    }
}

static void linger_fired(struct timer *timer)
{
    struct producer *producer = CONTAINER_OF(timer, struct producer, linger);
    if (producer->upstream)
        upstream_cancel(producer->upstream); /* `ended` frees us */
    else
        producer_free(producer);
}

static void fill_row(const struct producer *producer, struct row *row)
{
    *row = *stream_row(producer->stream);
    row->usage = producer->reading.usage;
    row->finish_reason = slice_text(producer->reading.finish_reason);
    row->dispatched_ns = producer->dispatched_ns;
    row->first_event_ns = producer->first_event_ns;
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
    fill_row(producer, &row);
    row.state = state;
    row.reason = slice_text(reason);
    row.detail = slice_text(detail);
    row.ended_ns = wall_ns(producer);
    if (last_event.size && row.first_event_ns == 0)
        row.first_event_ns = row.ended_ns;
    TRY(tail_end(stream_tail(producer->stream), last_event, row.ended_ns, &row));
    producer_detach(producer);
    return ERR_OK;
}

static void retry_later(struct producer *producer)
{
    struct loop *loop = hub_loop(stream_hub(producer->stream));
    if (producer->retry.index == 0)
        timer_set(loop, &producer->retry, loop_now_ns(loop) + PRODUCER_RETRY_MS * 1000000ll);
}

static void note_end(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail)
{
    producer->end.state = state;
    producer->end.reason = reason;
    (void)snprintf(producer->end.detail, sizeof producer->end.detail, "%s", detail ? detail : "");
}

static void owe_end(struct producer *producer)
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
        owe_end(producer);
}

/* An end must be said even when storage has no room: it is owed then. The first one counts. */
static void producer_end_or_owe(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail)
{
    if (producer->has_ended || producer->end.is_owed)
        return;
    note_end(producer, state, reason, detail);
    try_end(producer);
    if (producer->end.is_owed)
        LOG(producer->config.log, LOG_WARNING, "end_owed",
            LOG_ID("stream", &stream_row(producer->stream)->id));
}

/* What could not be recorded before a stop will not be. */
static void writer_stop(
    struct producer *producer, enum stream_state state, const char *reason, const char *detail)
{
    producer->is_blocked = producer->is_head_owed = false;
    if (producer->end.is_owed && hub_is_stuck(stream_hub(producer->stream)))
        producer_detach(producer);
    else
        producer_end_or_owe(producer, state, reason, detail);
    if (producer->upstream)
        upstream_cancel(producer->upstream);
}

/* ── events ─────────────────────────────────────────────────────────────────────────────────── */

static enum err append_event(struct producer *producer, struct slice event)
{
    int64_t time_ns = wall_ns(producer);
    TRY(tail_append(stream_tail(producer->stream), event, time_ns));
    if (producer->first_event_ns == 0)
        producer->first_event_ns = time_ns;
    return ERR_OK;
}

/* One that is too large to be recorded is a provider's oddity, and nobody is owed it. */
static enum err append_aside(struct producer *producer, struct slice event)
{
    enum err err = tail_aside(stream_tail(producer->stream), event, wall_ns(producer));
    if (err != ERR_LIMIT)
        return err;
    LOG(producer->config.log, LOG_WARNING, "aside_dropped",
        LOG_ID("stream", &stream_row(producer->stream)->id), LOG_NUMBER("bytes", event.size));
    return ERR_OK;
}

static enum err handle_event(struct producer *producer, struct slice event)
{
    struct dialect_reading before = producer->reading;
    enum dialect_verdict verdict = producer->dialect->read_event(&producer->reading, event);
    enum err err;
    if (producer->reading.is_terminated)
        err = producer_end(producer, event, STREAM_COMPLETED, NULL, NULL);
    else if (verdict == DIALECT_ASIDE)
        err = append_aside(producer, event);
    else
        err = append_event(producer, event);
    if (err)
        producer->reading = before; /* it will be read again */
    return err;
}

static void producer_fail(struct producer *producer, const char *reason, const char *detail)
{
    producer_end_or_owe(producer, STREAM_FAILED, reason, detail);
    if (producer->upstream)
        upstream_cancel(producer->upstream);
}

/* Bytes that could not be appended wait in `pending`, to be split anew from the start of their
 * first event. */
static void producer_block(struct producer *producer, struct slice rest)
{
    producer->is_blocked = true;
    producer->splitter = producer->event_start;
    retry_later(producer);
    if (buf_append(&producer->pending, rest))
        producer_fail(producer, "event_too_large", "the provider sent an event that is too large");
}

static enum err split_event(struct producer *producer, struct slice *bytes)
{
    size_t end;
    enum err err = sse_split(&producer->splitter, *bytes, &end);
    if (err) {
        if (buf_append(&producer->pending, *bytes))
            producer_fail(
                producer, "event_too_large", "the provider sent an event that is too large");
        return err;
    }
    struct slice event = slice_sub(*bytes, 0, end);
    bool is_joined = producer->pending.size > 0;
    if (is_joined && buf_append(&producer->pending, event)) {
        producer_fail(producer, "event_too_large", "the provider sent an event that is too large");
        return ERR_LIMIT;
    }
    err = handle_event(producer, is_joined ? buf_slice(&producer->pending) : event);
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

static void process_sse(struct producer *producer, struct slice bytes)
{
    while (bytes.size && !producer->has_ended)
        if (split_event(producer, &bytes))
            return;
}

static void process_opaque(struct producer *producer, struct slice bytes)
{
    while (bytes.size && !producer->has_ended) {
        struct slice piece = slice_sub(bytes, 0, FRAGMENT_BYTES_MAX);
        if (append_event(producer, piece)) {
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

static void producer_process(struct producer *producer, struct slice bytes)
{
    if (producer->is_sse)
        process_sse(producer, bytes);
    else
        process_opaque(producer, bytes);
}

static enum err record_head(struct producer *producer)
{
    struct row row;
    fill_row(producer, &row);
    row.state = STREAM_STREAMING;
    return tail_update(stream_tail(producer->stream), &row);
}

/* Storage may have room again. */
static void producer_unblock(struct producer *producer)
{
    if (producer->is_head_owed && record_head(producer)) {
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
    upstream_resume(producer->upstream);
}

/* What is owed, in order: the head, the events, the end. */
static void writer_resumed(struct producer *producer)
{
    bool is_paused = hub_is_paused(stream_hub(producer->stream));
    if (producer->is_blocked && !is_paused)
        producer_unblock(producer);
    if (producer->has_ended || producer->is_blocked)
        return;
    if (producer->end.is_owed) {
        try_end(producer);
    } else if (producer->is_complete) {
        producer_finish_transfer(producer);
    } else {
        producer_unthrottle(producer);
    }
}

static void retry_fired(struct timer *timer)
{
    struct producer *producer = CONTAINER_OF(timer, struct producer, retry);
    if (producer->has_ended)
        return;
    writer_resumed(producer);
    if (!producer->has_ended && (producer->is_blocked || producer->end.is_owed))
        retry_later(producer);
}

/* ── the transfer ───────────────────────────────────────────────────────────────────────────── */

/* Header fields to replay: those that may cross, in the provider's order. */
static void keep_head(struct slice head, struct headers *all, struct buf *kept)
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
    producer->head.size_max = head_bytes_max(stream_row(producer->stream));
    keep_head(head, &all, &producer->head);
    struct slice type = headers_get(&all, "content-type");
    uint64_t length;
    bool has_length = slice_u64(headers_get(&all, "content-length"), &length) == ERR_OK;
    producer->status = status;
    producer->is_sse =
        status < 400 && slice_equal_nocase(slice_sub(type, 0, 17), SLICE("text/event-stream"));
    producer->content_length =
        has_length && !producer->is_sse && length <= INT64_MAX ? (int64_t)length : -1;
    if (keep_content_type(producer, type) || record_head(producer)) {
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

static void count_error(const struct producer *producer, const char *kind)
{
    metrics_add_label(producer->config.metrics, METRIC_upstream_errors_total, kind, 1);
}

static void fail_by_event(struct producer *producer)
{
    count_error(producer, "upstream_error_event");
    producer_fail(producer, "provider_error", producer->reading.error);
}

static void finish_sse(struct producer *producer)
{
    struct slice residue = buf_slice(&producer->pending);
    /* Where HTTP's framing is the end, all that came before it is the response. */
    bool is_event = residue.size && (sse_split_end(&producer->splitter) ||
                                        !producer->dialect->has_terminator ||
                                        producer->dialect->is_terminator_residue(residue));
    if (is_event) {
        enum err err = handle_event(producer, residue);
        if (producer->has_ended)
            return;
        if (err) {
            producer_block(producer, SLICE_NONE);
            return;
        }
    }
    if (producer->reading.is_failed)
        fail_by_event(producer);
    else if (producer->dialect->has_terminator)
        producer_fail(producer, "upstream_truncated",
            "the provider ended the response without the terminator of its format");
    else
        producer_end_or_owe(producer, STREAM_COMPLETED, NULL, NULL);
}

/* The response ended as HTTP's framing says: what does that mean? */
static void producer_finish_transfer(struct producer *producer)
{
    if (producer->is_sse) {
        finish_sse(producer);
        return;
    }
    producer->dialect->read_body(&producer->reading, buf_slice(&producer->body));
    if (producer->status < 400) {
        producer_end_or_owe(producer, STREAM_COMPLETED, NULL, NULL);
        return;
    }
    count_error(producer, "upstream_status");
    producer_end_or_owe(producer, STREAM_FAILED, "upstream_status", producer->reading.error);
}

static void upstream_ended(void *context, enum upstream_end how, const char *message)
{
    struct producer *producer = context;
    producer->upstream = NULL;
    producer->is_throttled = false;
    producer->is_complete = how == UPSTREAM_COMPLETE;
    if (how != UPSTREAM_COMPLETE && how != UPSTREAM_CANCELED)
        count_error(producer, upstream_end_name(how));
    if (producer->has_ended)
        producer_free(producer);
    else if (producer->end.is_owed || (producer->is_blocked && producer->is_complete))
        return; /* it follows what is owed */
    else if (producer->is_complete)
        producer_finish_transfer(producer);
    else if (producer->is_blocked)
        note_end(producer, STREAM_FAILED, upstream_end_name(how), message), owe_end(producer);
    else if (producer->reading.is_failed)
        fail_by_event(producer);
    else
        producer_fail(producer, upstream_end_name(how), message);
}

static const struct upstream_owner upstream_owner = {upstream_head, upstream_data, upstream_ended};

static void producer_dispatch(struct producer *producer)
{
    producer->is_waiting = false;
    producer->dispatched_ns = wall_ns(producer);
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
        writer_resumed(producer);
}

static const struct stream_writer writer = {writer_changed, writer_stop, writer_resumed};

/* ── the start ──────────────────────────────────────────────────────────────────────────────── */

static enum err add_header(
    struct producer *producer, size_t *count, struct slice name, struct slice value)
{
    if (*count == PRODUCER_HEADERS_MAX)
        return ERR_LIMIT;
    producer->headers[(*count)++] =
        (const char *)producer->header_text.size; /* an offset, until the text stops moving */
    TRY(buf_append(&producer->header_text, name));
    TRY(buf_append_text(&producer->header_text, ": "));
    TRY(buf_append(&producer->header_text, value));
    return buf_append_byte(&producer->header_text, 0);
}

static enum err add_line(struct producer *producer, size_t *count, const char *line)
{
    const char *colon = strchr(line, ':');
    ASSERT(colon);
    return add_header(
        producer, count, slice_of(line, (size_t)(colon - line)), slice_trim(slice_text(colon + 1)));
}

static enum err build_headers(struct producer *producer, const struct producer_request *request)
{
    size_t count = 0;
    struct slice type =
        request->content_type ? slice_text(request->content_type) : SLICE("application/json");
    if (type.size)
        TRY(add_header(producer, &count, SLICE("Content-Type"), type));
    for (const char *const *line = request->credentials; line && *line; line++)
        TRY(add_line(producer, &count, *line));
    for (size_t i = 0; i < request->headers->count; i++) {
        struct header field = request->headers->items[i];
        if (slice_equal_nocase(field.name, SLICE("content-type")) ||
            !header_crosses_to_provider(field.name, request->headers))
            continue;
        TRY(add_header(producer, &count, field.name, field.value));
    }
    for (size_t i = 0; i < count; i++)
        producer->headers[i] =
            (const char *)producer->header_text.data + (size_t)producer->headers[i];
    producer->headers[count] = NULL;
    return ERR_OK;
}

static enum err build_request(struct producer *producer, const struct producer_request *request)
{
    const char *method = request->method ? request->method : "POST";
    if (strlen(method) >= sizeof producer->method)
        return ERR_LIMIT;
    memcpy(producer->method, method, strlen(method) + 1);
    TRY(buf_append_text(&producer->url, request->url));
    TRY(buf_append_byte(&producer->url, 0));
    TRY(buf_append(&producer->request_body, request->body));
    if (request->ca_file && strlen(request->ca_file) < sizeof producer->ca_file)
        memcpy(producer->ca_file, request->ca_file, strlen(request->ca_file) + 1);
    return build_headers(producer, request);
}

static enum err producer_new(const struct producer_config *config, struct stream *stream,
    const struct producer_request *request, struct producer **out)
{
    struct producer *producer = calloc(1, sizeof *producer);
    if (!producer)
        return fault(ERR_NOMEM, "producer");
    producer->config = *config;
    producer->stream = stream_ref(stream);
    producer->dialect = request->dialect;
    producer->linger.fire = linger_fired;
    producer->retry.fire = retry_fired;
    producer->is_waiting = true;
    dialect_reading_init(&producer->reading);
    producer->reading.hides_usage = request->hides_usage;
    buf_init(&producer->pending, EVENT_BYTES_MAX);
    buf_init(&producer->body, BODY_KEPT_BYTES_MAX);
    buf_init(&producer->head, HEAD_KEPT_BYTES_MAX);
    buf_init(&producer->content_type, CONTENT_TYPE_BYTES_MAX);
    buf_init(&producer->url, HTTP_TARGET_BYTES_MAX * 2);
    buf_init(&producer->header_text, HTTP_HEAD_BYTES_MAX * 2);
    buf_init(&producer->request_body, request->body.size);
    enum err err = build_request(producer, request);
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
