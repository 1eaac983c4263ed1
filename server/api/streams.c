/* streams — the recordings: look, and read. Listing is listing.c's; what ends them, ending.c's. */
#include <stdlib.h>

#include "server/api/request.h"
#include "server/api/visit.h"

enum { RETRY_MS_MAX = 3600000 /* an hour: whoever waits longer asks anew */ };

/* ── show ───────────────────────────────────────────────────────────────────────────────────── */

static void show_found(struct visit *visit, struct stream *stream)
{
    api_answer_stream(visit->exchange, stream);
    stream_unref(stream);
    free(visit);
}

void stream_show(struct api *api, struct exchange *exchange, struct slice id)
{
    visit_start(api, exchange, id, show_found, NULL);
}

/* ── events ─────────────────────────────────────────────────────────────────────────────────── */

/* Whoever received the closing event, whose id is beyond the last, is through: an EventSource, which
 * always comes again, stops at 204 (HTML §9.2.3). */
static bool is_through(const struct visit *visit, const struct stream *stream)
{
    return visit->replay.format == REPLAY_SSE && stream_has_ended(stream) &&
           headers_count(&exchange_request(visit->exchange)->headers, "Last-Event-ID") == 1 &&
           visit->replay.from == stream_row(stream)->events + 1;
}

static void events_found(struct visit *visit, struct stream *stream)
{
    if (is_through(visit, stream)) {
        exchange_reply(visit->exchange, 204, NULL, SLICE_NONE);
        stream_unref(stream);
        free(visit);
        return;
    }
    metrics_add_label(visit->api->metrics, METRIC_streams_attached_total,
        stream_has_ended(stream) ? "id_finished" : "id_live", 1);
    stream_touch(stream);
    replay_start(visit->exchange, stream, &visit->replay);
    free(visit);
}

/* The offset: Last-Event-ID before ?from=, since a browser that reconnects repeats its first
 * URL. */
static enum err read_offset(struct exchange *exchange, uint64_t *from)
{
    const struct headers *headers = &exchange_request(exchange)->headers;
    struct slice text;
    if (headers_count(headers, "Last-Event-ID") > 1)
        return ERR_INVALID;
    *from = 0;
    if (headers_count(headers, "Last-Event-ID") == 1)
        return slice_u64(headers_get(headers, "Last-Event-ID"), from);
    enum err err = query_get(exchange_target(exchange).query, "from", &text);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    return slice_u64(text, from);
}

/* ?retry: what an EventSource is to wait between two connections. */
static enum err read_retry(struct exchange *exchange, uint32_t *retry_ms)
{
    struct slice text;
    uint64_t value;
    enum err err = query_get(exchange_target(exchange).query, "retry", &text);
    if (err == ERR_NOTFOUND)
        return ERR_OK;
    TRY(err);
    TRY(slice_u64(text, &value));
    if (value == 0 || value > RETRY_MS_MAX)
        return ERR_INVALID;
    *retry_ms = (uint32_t)value;
    return ERR_OK;
}

/* One of two words, or absent (the first). */
static enum err read_choice(struct exchange *exchange, const char *name, const char *first,
    const char *second, bool *is_second)
{
    struct slice text;
    *is_second = false;
    enum err err = query_get(exchange_target(exchange).query, name, &text);
    if (err == ERR_NOTFOUND || (!err && slice_equal(text, slice_text(first))))
        return ERR_OK;
    TRY(err);
    *is_second = slice_equal(text, slice_text(second));
    return *is_second ? ERR_OK : ERR_INVALID;
}

/* answers ERR_INVALID */
static enum err read_format(struct exchange *exchange, enum replay_format *format)
{
    struct slice text;
    enum err err = query_get(exchange_target(exchange).query, "format", &text);
    *format = REPLAY_SSE;
    if (err == ERR_NOTFOUND || (!err && slice_equal(text, SLICE("sse"))))
        return ERR_OK;
    TRY(err);
    *format = slice_equal(text, SLICE("raw")) ? REPLAY_RAW : REPLAY_LINES;
    return *format == REPLAY_RAW || slice_equal(text, SLICE("jsonl")) ? ERR_OK : ERR_INVALID;
}

void stream_events(struct api *api, struct exchange *exchange, struct slice id)
{
    struct replay_request replay = {0};
    bool is_snapshot;
    if (slice_equal(exchange_request(exchange)->method, SLICE("HEAD")))
        exchange_error(exchange, 405, "method_not_allowed", NULL, "this path takes GET");
    else if (read_offset(exchange, &replay.from))
        exchange_error(exchange, 400, "invalid_offset", "from",
            "`from` (or Last-Event-ID) is the number of events received so far: one decimal "
            "number");
    else if (read_format(exchange, &replay.format))
        exchange_error(exchange, 400, "invalid_format", "format", "`format` is sse, raw or jsonl");
    else if (read_retry(exchange, &replay.retry_ms))
        exchange_error(exchange, 400, "invalid_retry", "retry",
            "`retry` is a number of milliseconds up to %d", RETRY_MS_MAX);
    else if (read_choice(exchange, "live", "true", "false", &is_snapshot))
        exchange_error(exchange, 400, "invalid_live", "live", "`live` is true or false");
    else {
        replay.follow = !is_snapshot;
        visit_start(api, exchange, id, events_found, &replay);
    }
}

/* LangGraph's SDK joins a run at its own path, and comes back to where `Location` says. */
void stream_join(struct api *api, struct exchange *exchange, struct slice id)
{
    struct slice path = exchange_target(exchange).path;
    if (exchange_add_header(exchange, SLICE("Location"), path))
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
    else
        stream_events(api, exchange, id);
}

/* ── the request ────────────────────────────────────────────────────────────────────────────── */

static void request_found(struct visit *visit, struct stream *stream)
{
    request_start(visit->exchange, stream);
    free(visit);
}

void stream_request(struct api *api, struct exchange *exchange, struct slice id)
{
    if (slice_equal(exchange_request(exchange)->method, SLICE("HEAD")))
        exchange_error(exchange, 405, "method_not_allowed", NULL, "this path takes GET");
    else
        visit_start(api, exchange, id, request_found, NULL);
}
