/* cloudflare_resume — a run goes on where its caller was cut off: see cloudflare.h. Its errors are
 * Cloudflare's to the letter: its clients take 404 for an expired run, and any other for the end. */
#include <stdlib.h>

#include "protocol/base/own.h"
#include "server/api/cloudflare.h"
#include "server/api/cloudflare_fields.h"
#include "server/api/cloudflare_path.h"
#include "server/api/replay.h"

struct resume {
    struct api *api;
    struct exchange *exchange; /* NULL: the caller is gone */
    struct hub_lookup lookup;
    uint64_t seen;
};

static void answer_unknown(struct exchange *exchange)
{
    exchange_reply(exchange, 404, "application/json", SLICE("{\"error\":\"Request not found\"}"));
}

static void go_on(struct resume *resume, struct stream *stream)
{
    metrics_add_label(resume->api->metrics, METRIC_streams_attached_total,
        stream_has_ended(stream) ? "id_finished" : "id_live", 1);
    stream_touch(stream);
    exchange_set_announcer(resume->exchange, cloudflare_announce);
    replay_start(resume->exchange, stream,
        &(struct replay_request){.format = REPLAY_RAW, .seen = resume->seen, .follow = true});
}

static void resume_found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct resume *resume = CONTAINER_OF(lookup, struct resume, lookup);
    struct exchange *exchange = resume->exchange;
    if (exchange)
        exchange_release(exchange);
    bool is_gone = err == ERR_NOTFOUND || (!err && stream_is_deleted(stream));
    if (exchange && !err && !is_gone) {
        go_on(resume, stream);
        stream = NULL;
    } else if (exchange && is_gone) {
        answer_unknown(exchange);
    } else if (exchange) {
        api_answer_lookup_error(exchange, err);
    }
    stream_unref(stream);
    free(resume);
}

static void resume_closed(void *context)
{
    struct resume *resume = context;
    resume->exchange = NULL; /* the look-up still holds it */
}

static const struct responder responder = {NULL, resume_closed};

/* False: answered. */
static bool read_seen(struct exchange *exchange, uint64_t *seen)
{
    struct slice text;
    enum err err = query_get(exchange_target(exchange).query, "from", &text);
    *seen = 0;
    if (err == ERR_NOTFOUND || (!err && slice_u64(text, seen) == ERR_OK))
        return true;
    exchange_error(exchange, 400, "invalid_offset", "from",
        "`from` is the number of events received so far: one decimal number");
    return false;
}

void cloudflare_resume(struct api *api, struct exchange *exchange, struct slice run)
{
    struct id id;
    uint64_t seen;
    if (!read_seen(exchange, &seen))
        return;
    if (cloudflare_run_parse(run, &id)) {
        exchange_error(exchange, 500, "AiGatewayError", "runId",
            "this is no run's ID: it is the cf-aig-run-id of a streamed answer, 64 hex digits");
        return;
    }
    struct resume *resume = calloc(1, sizeof *resume);
    if (!resume) {
        api_answer_lookup_error(exchange, ERR_LIMIT);
        return;
    }
    *resume = (struct resume){.api = api, .exchange = exchange, .seen = seen};
    resume->lookup.done = resume_found;
    exchange_hold(exchange, &responder, resume);
    hub_open(api->hub, exchange_project(exchange), &id, &resume->lookup);
}
