/* hold — PUT and DELETE /v1/streams/{id}/hold: while a recording is held it neither expires nor
 * can be
 * deleted. Both are answered with the stream once that is durable, and may be repeated. */
#include <stdlib.h>

#include "server/api/api.h"

struct holding {
    struct exchange *exchange; /* NULL: the caller is gone */
    struct hub_lookup lookup;
    struct stream_hold hold;
    struct stream *stream;
    bool is_held; /* what is asked for */
};

static void holding_closed(void *context)
{
    struct holding *holding = context;
    holding->exchange = NULL;
}

static const struct responder responder = {NULL, holding_closed};

static void holding_free(struct holding *holding)
{
    stream_unref(holding->stream);
    free(holding);
}

static void answer(struct holding *holding, enum err err)
{
    struct exchange *exchange = holding->exchange;
    if (err == ERR_OK)
        api_answer_stream(exchange, holding->stream);
    else if (err == ERR_NOTFOUND)
        exchange_error(exchange, 410, "stream_deleted", NULL, "the recording is being deleted");
    else
        exchange_error(exchange, err == ERR_FULL ? 507 : 503, "storage_full", NULL,
            "the hold could not be made durable: %s", err_text(err));
}

static void held(struct stream_hold *hold, enum err err)
{
    struct holding *holding = CONTAINER_OF(hold, struct holding, hold);
    if (holding->exchange)
        answer(holding, err);
    holding_free(holding);
}

static void found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct holding *holding = CONTAINER_OF(lookup, struct holding, lookup);
    struct exchange *exchange = holding->exchange;
    holding->stream = stream;
    if (!exchange || err || api_answer_gone(exchange, stream)) {
        if (exchange && err)
            api_answer_lookup_error(exchange, err);
        holding_free(holding);
        return;
    }
    holding->hold.done = held;
    err = stream_set_held(stream, holding->is_held, &holding->hold);
    if (err) {
        answer(holding, err);
        holding_free(holding);
    }
}

static void start(struct api *api, struct exchange *exchange, struct slice text, bool is_held)
{
    struct id id;
    if (id_parse(text, &id)) {
        api_answer_lookup_error(exchange, ERR_NOTFOUND);
        return;
    }
    struct holding *holding = calloc(1, sizeof *holding);
    if (!holding) {
        api_answer_lookup_error(exchange, ERR_LIMIT);
        return;
    }
    holding->exchange = exchange;
    holding->is_held = is_held;
    holding->lookup.done = found;
    exchange_hold(exchange, &responder, holding);
    hub_open(api->hub, exchange_project(exchange), &id, &holding->lookup);
}

void hold_put(struct api *api, struct exchange *exchange, struct slice id)
{
    start(api, exchange, id, true);
}

void hold_delete(struct api *api, struct exchange *exchange, struct slice id)
{
    start(api, exchange, id, false);
}
