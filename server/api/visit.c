/* visit — see visit.h. The stream comes from memory, or from the store by way of a reader thread. */
#include "server/api/visit.h"

#include <stdlib.h>

#include "protocol/base/own.h"

static void visit_closed(void *context)
{
    struct visit *visit = context;
    visit->exchange = NULL;
}

const struct responder visit_responder = {NULL, visit_closed};

bool api_answer_gone(struct exchange *exchange, const struct stream *stream)
{
    if (!stream_is_deleted(stream))
        return false;
    const struct row *row = stream_row(stream);
    bool has_expired = row->state == STREAM_DELETED && slice_equal(row->reason, SLICE("expired"));
    bool was_evicted = row->state == STREAM_DELETED && slice_equal(row->reason, SLICE("evicted"));
    if (was_evicted)
        exchange_error(exchange, 410, "stream_evicted", NULL,
            "the recording was the oldest when the store grew past keep_bytes_max, and was "
            "deleted");
    else if (has_expired)
        exchange_error(exchange, 410, "stream_expired", NULL,
            "the recording's time was over and it was deleted; keep_days sets how long");
    else
        exchange_error(
            exchange, 410, "stream_deleted", NULL, "the recording was deleted on request");
    return true;
}

void api_answer_lookup_error(struct exchange *exchange, enum err err)
{
    if (err == ERR_NOTFOUND)
        exchange_error(exchange, 404, "stream_not_found", NULL,
            "no stream of this ID is known here; `GET /v1/streams` lists those of this key's "
            "project");
    else if (err == ERR_LIMIT)
        exchange_error(exchange, 503, "overloaded", NULL, "too many reads are waiting; try again");
    else
        exchange_error(exchange, 500, "storage_fault", NULL,
            "the recording could not be read: %s; see `tokenlog verify`", err_text(err));
}

void visit_found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct visit *visit = CONTAINER_OF(lookup, struct visit, lookup);
    if (!visit->exchange) {
        stream_unref(stream);
        free(visit);
        return;
    }
    exchange_release(visit->exchange);
    if (!err && api_answer_gone(visit->exchange, stream)) {
        stream_unref(stream);
        free(visit);
    } else if (err) {
        api_answer_lookup_error(visit->exchange, err);
        free(visit);
    } else {
        visit->found(visit, stream);
    }
}

struct visit *visit_new(struct api *api, struct exchange *exchange,
    void (*found)(struct visit *visit, struct stream *stream), const struct replay_request *replay)
{
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        api_answer_lookup_error(exchange, ERR_LIMIT);
        return NULL;
    }
    visit->api = api;
    visit->exchange = exchange;
    visit->found = found;
    visit->lookup.done = visit_found;
    if (replay)
        visit->replay = *replay;
    exchange_hold(exchange, &visit_responder, visit);
    return visit;
}

void visit_start(struct api *api, struct exchange *exchange, struct slice text,
    void (*found)(struct visit *visit, struct stream *stream), const struct replay_request *replay)
{
    struct id id;
    if (id_parse(text, &id)) {
        exchange_error(exchange, 404, "stream_not_found", "id",
            "a stream's ID is a UUID like 01890a5d-ac96-774b-bcce-b302099a8057, as in the header "
            "Tokenlog-Stream-Id");
        return;
    }
    struct visit *visit = visit_new(api, exchange, found, replay);
    if (visit)
        hub_open(api->hub, exchange_project(exchange), &id, &visit->lookup);
}

void visit_free(struct visit *visit)
{
    stream_unref(visit->stream);
    free(visit);
}

/* ── what is told of it ─────────────────────────────────────────────────────────────────────── */

/* What may be shown of a stream now: of a live one, what is durable. */
enum err stream_describe(struct stream *stream, struct buf *out)
{
    struct row row = *stream_visible_row(stream);
    if (!stream_has_ended(stream))
        row.events = stream_watermark(stream);
    return row_json(&row, out);
}

void api_answer_stream(struct exchange *exchange, struct stream *stream)
{
    CLEANUP(buf_deinit) struct buf text;
    buf_init(&text, REPLY_BYTES_MAX);
    enum err err = stream_describe(stream, &text);
    if (!err)
        err = buf_append_byte(&text, '\n');
    if (err)
        api_answer_lookup_error(exchange, err);
    else
        exchange_reply(exchange, 200, "application/json", buf_slice(&text));
}
