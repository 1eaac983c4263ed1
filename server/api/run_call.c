#include "server/api/run_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/own.h"
#include "protocol/http/url.h"

enum { RUN_SEGMENT = 2, ITEM_SEGMENT = 4 /* /v1/runs/{run}/checkpoints/{name} */ };

bool run_name_is_valid(struct slice name)
{
    if (name.size == 0 || name.size > RUN_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' || name.data[i] == '"')
            return false;
    return true;
}

static void call_free(struct run_call *call)
{
    buf_deinit(&call->name);
    buf_deinit(&call->item);
    buf_deinit(&call->kept);
    free(call);
}

static void call_closed(void *context)
{
    struct run_call *call = context;
    call->exchange = NULL;
}

static const struct responder responder = {NULL, call_closed};

static bool read_segment(struct slice path, size_t index, struct buf *out)
{
    struct slice raw = path_segment(path, index);
    return !raw.data || (!percent_decode(raw, false, out) && run_name_is_valid(buf_slice(out)));
}

static bool read_names(struct run_call *call)
{
    struct slice path = exchange_target(call->exchange).path;
    if (!read_segment(path, RUN_SEGMENT, &call->name))
        exchange_error(call->exchange, 400, "invalid_run", "run",
            "a run's name is 1 to %d visible ASCII characters without quotes, percent-encoded",
            RUN_NAME_BYTES_MAX);
    else if (!read_segment(path, ITEM_SEGMENT, &call->item))
        exchange_error(call->exchange, 400, "invalid_checkpoint", "name",
            "a checkpoint's name is 1 to %d visible ASCII characters without quotes, "
            "percent-encoded",
            RUN_NAME_BYTES_MAX);
    else
        return true;
    return false;
}

void *run_call_new(
    struct api *api, struct exchange *exchange, size_t size, void (*end)(struct run_call *call))
{
    ASSERT(size >= sizeof(struct run_call));
    struct run_call *call = calloc(1, size);
    if (!call) {
        exchange_error(exchange, 503, "overloaded", NULL, "out of memory; try again");
        return NULL;
    }
    call->api = api;
    call->exchange = exchange;
    call->end = end;
    buf_init(&call->name, RUN_NAME_BYTES_MAX * 3);
    buf_init(&call->item, RUN_NAME_BYTES_MAX * 3);
    buf_init(&call->kept, RUN_LINE_BYTES_MAX);
    if (!read_names(call)) {
        call_free(call);
        return NULL;
    }
    exchange_hold(exchange, &responder, call);
    return call;
}

void run_call_end(struct run_call *call)
{
    if (call->exchange)
        exchange_release(call->exchange);
    runs_leave(call->api->runs, &call->visit);
    if (call->end)
        call->end(call);
    call_free(call);
}

static void visited(struct run_visit *visit, enum err err)
{
    struct run_call *call = CONTAINER_OF(visit, struct run_call, visit);
    if (!call->exchange)
        run_call_end(call);
    else if (err)
        run_call_refuse_err(call, err);
    else
        call->next(call);
}

void run_call_visit(struct run_call *call, void (*next)(struct run_call *call))
{
    struct project *project = exchange_project(call->exchange);
    call->next = next;
    call->visit.project = project;
    call->visit.name = buf_slice(&call->name);
    call->visit.done = visited;
    runs_visit(call->api->runs, &call->visit);
}

static void reached(struct hub_barrier *barrier, enum err err)
{
    struct run_call *call = CONTAINER_OF(barrier, struct run_call, barrier);
    if (!call->exchange)
        run_call_end(call);
    else if (err)
        run_call_refuse_err(call, err);
    else
        call->next(call);
}

void run_call_wait(
    struct run_call *call, const struct run *run, void (*next)(struct run_call *call))
{
    call->next = next;
    call->barrier.done = reached;
    hub_wait_stream(run_stream(run), &call->barrier);
}

void run_call_settle(struct run_call *call, void (*next)(struct run_call *call))
{
    const struct stream *stream = run_stream(call->visit.run);
    if (!stream_tail(stream) || stream_watermark(stream) == tail_events(stream_tail(stream)))
        next(call);
    else
        run_call_wait(call, call->visit.run, next);
}

void run_call_add(struct run_call *call, const char *name, struct slice value)
{
    if (exchange_add_header(call->exchange, slice_text(name), value))
        LOG(call->api->log, LOG_WARNING, "header_dropped", LOG_TEXT("name", name));
}

void run_call_reply(struct run_call *call, int status, const char *type, struct slice body)
{
    exchange_reply(call->exchange, status, type, body);
    call->exchange = NULL;
    run_call_end(call);
}

void run_call_refuse(
    struct run_call *call, int status, const char *code, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    exchange_verror(call->exchange, status, code, param, format, args);
    va_end(args);
    call->exchange = NULL;
    run_call_end(call);
}

void run_call_refuse_err(struct run_call *call, enum err err)
{
    if (err == ERR_FULL && append_is_full_for_now(call->api->hub))
        err = ERR_AGAIN;
    if (err == ERR_NOTFOUND) {
        run_call_refuse(call, 404, "run_not_found", "run",
            "there is no such run: PUT /v1/runs/{run}, or a call with Tokenlog-Run, begins one");
    } else if (err == ERR_AGAIN || (err == ERR_LIMIT && !call->visit.run)) {
        exchange_retry_after(call->exchange, 1);
        run_call_refuse(call, 503, "overloaded", NULL,
            "more is being read and written than this server keeps up with; try again in a moment");
    } else if (err == ERR_LIMIT) {
        run_call_refuse(call, 409, "run_full", NULL,
            "a run takes %d steps and %d checkpoints: begin, or fork, another", RUN_STEPS_MAX,
            RUN_CHECKPOINTS_MAX);
    } else if (err == ERR_CLOSED) {
        run_call_refuse(call, 409, "run_deleted", NULL, "the run was deleted meanwhile");
    } else if (err == ERR_FULL) {
        run_call_refuse(call, 507, "storage_full", NULL,
            "the storage has no room: nothing was written, and waiting alone makes none");
    } else {
        run_call_refuse(call, 500, "storage_fault", NULL,
            "the run could not be read: %s; see `tokenlog verify`", err_text(err));
    }
}

bool run_call_page(struct run_call *call, uint64_t *limit)
{
    struct slice raw;
    *limit = RUN_PAGE_DEFAULT;
    enum err err = query_get(exchange_target(call->exchange).query, "limit", &raw);
    if (!err)
        err = slice_u64(raw, limit);
    if (err == ERR_NOTFOUND || (!err && *limit > 0 && *limit <= RUN_PAGE_MAX))
        return true;
    run_call_refuse(
        call, 400, "invalid_parameter", "limit", "`limit` is 1 to %d, once", RUN_PAGE_MAX);
    return false;
}
