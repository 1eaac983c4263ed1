/* streams — the recordings: look, and read. Listing is listing.c's; what ends them, ending.c's. */
#include <stdlib.h>

#include "server/api/request.h"
#include "server/api/visit.h"

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

static void events_found(struct visit *visit, struct stream *stream)
{
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
    else if (read_choice(exchange, "live", "true", "false", &is_snapshot))
        exchange_error(exchange, 400, "invalid_live", "live", "`live` is true or false");
    else {
        replay.follow = !is_snapshot;
        visit_start(api, exchange, id, events_found, &replay);
    }
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
