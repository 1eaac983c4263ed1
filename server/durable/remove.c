/* remove — DELETE: the stream is gone for its owner; its events stay as long as forks read them. */
#include <stdlib.h>

#include "server/durable/call.h"
#include "server/durable/recording.h"

static void deletion_end(struct call *call)
{
    call_deinit(call);
    free(call);
}

static void answer(struct call *call)
{
    call_reply(call, 204, SLICE_NONE, SLICE_NONE);
}

static void removed(struct removal *removal, enum err err)
{
    struct call *call = CONTAINER_OF(removal, struct call, removal);
    if (!call->exchange)
        call_end(call);
    else if (err)
        call_refuse_storage(call, err);
    else
        call_wait(call, answer);
}

static void start(struct call *call)
{
    call->removal.done = removed;
    entry_remove(call->stream, "deleted", &call->removal);
}

void durable_delete(struct api *api, struct exchange *exchange, struct slice name)
{
    if (recording_refuse(exchange, name))
        return;
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return;
    }
    call_open(call, api, exchange, deletion_end);
    if (call_name(call, name))
        call_find(call, start);
}
