/* call — see call.h. */
#include "server/durable/call.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "protocol/base/own.h"

/* ── the name ───────────────────────────────────────────────────────────────────────────────── */

/* What begins with these is the protocol's own, and the server's. */
static bool is_reserved(struct slice name)
{
    ptrdiff_t end = slice_find_byte(name, '/');
    struct slice first = end < 0 ? name : slice_sub(name, 0, (size_t)end);
    return slice_equal(first, SLICE("__ds")) || slice_equal(first, SLICE("-"));
}

enum err durable_key(struct slice raw, struct buf *out)
{
    TRY(buf_append_byte(out, APPEND_DURABLE));
    TRY(durable_name(raw, out));
    return is_reserved(slice_sub(buf_slice(out), 1, out->size)) ? ERR_INVALID : ERR_OK;
}

void durable_secure(struct exchange *exchange)
{
    static const struct slice names[] = {
        SLICE("X-Content-Type-Options"), SLICE("Cross-Origin-Resource-Policy")};
    static const struct slice values[] = {SLICE("nosniff"), SLICE("cross-origin")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (exchange_add_header(exchange, names[i], values[i]))
            return; /* out of memory: the answer will not fit either */
}

enum err durable_write_origin(
    const struct api *api, const struct exchange *exchange, struct buf *out)
{
    struct slice host = exchange_outer_request(exchange)->host;
    const char *scheme = api->config->tls_cert[0] ? "https" : "http";
    return host.size ? buf_printf(out, "%s://%.*s", scheme, SLICE_PRINT(host)) : ERR_OK;
}

/* ── the call ───────────────────────────────────────────────────────────────────────────────── */

static void call_closed(void *context)
{
    struct call *call = context;
    call->exchange = NULL;
}

static const struct responder responder = {NULL, call_closed};

void call_deinit(struct call *call)
{
    stream_unref(call->stream);
    buf_deinit(&call->key);
}

void call_end(struct call *call)
{
    if (call->exchange)
        exchange_release(call->exchange);
    call->end(call);
}

void call_open(
    struct call *call, struct api *api, struct exchange *exchange, void (*end)(struct call *call))
{
    call->api = api;
    call->exchange = exchange;
    call->end = end;
    buf_init(&call->key, KEY_BYTES_MAX + 1);
    exchange_hold(exchange, &responder, call);
    durable_secure(exchange);
}

bool call_name(struct call *call, struct slice name)
{
    enum err err = durable_key(name, &call->key);
    if (!err && call->key.size <= KEY_BYTES_MAX)
        return true;
    call_refuse(call, err_is_fault(err) ? 503 : 400, "invalid_name", NULL,
        "a stream's path is 1 to %d bytes behind /v1/stream/, and begins neither with `__ds/` nor "
        "with `-/`",
        DURABLE_NAME_BYTES_MAX);
    return false;
}

/* ── found ──────────────────────────────────────────────────────────────────────────────────── */

static void refuse_absent(struct call *call)
{
    call_refuse(
        call, 404, "stream_not_found", NULL, "there is no stream at this path: PUT creates one");
}

static void refuse_kept(struct call *call)
{
    call_refuse(call, 410, "stream_deleted", NULL,
        "the stream was deleted; it is kept for the forks that were made of it");
}

static void is_taken_away(struct removal *removal, enum err err)
{
    struct call *call = CONTAINER_OF(removal, struct call, removal);
    if (!call->exchange)
        call_end(call);
    else if (err)
        call_refuse_storage(call, err);
    else if (stream_is_deleted(call->stream))
        refuse_absent(call);
    else
        refuse_kept(call);
}

static void judge(struct call *call)
{
    struct writer_state state;
    enum err err = entry_state_visible(call->stream, &state);
    if (err == ERR_NOTFOUND) {
        refuse_absent(call);
        return;
    }
    if (!err)
        err = entry_state(call->stream, &state);
    if (err) {
        call_refuse_storage(call, err);
        return;
    }
    switch (entry_standing(call->stream, &state, loop_wall_ns(call->api->loop))) {
    case ENTRY_ABSENT: refuse_absent(call); return;
    case ENTRY_KEPT: refuse_kept(call); return;
    case ENTRY_OVER:
        call->removal.done = is_taken_away;
        entry_remove(call->stream, "expired", &call->removal);
        return;
    case ENTRY_HERE: call->next(call); return;
    }
}

static void found(struct hub_lookup *lookup, enum err err, struct stream *stream)
{
    struct call *call = CONTAINER_OF(lookup, struct call, lookup);
    call->stream = stream;
    if (!call->exchange)
        call_end(call);
    else if (err == ERR_NOTFOUND)
        refuse_absent(call);
    else if (err)
        call_refuse_storage(call, err);
    else
        judge(call);
}

void call_find(struct call *call, void (*next)(struct call *call))
{
    call->next = next;
    call->lookup.done = found;
    hub_claim(
        call->api->hub, exchange_project(call->exchange), buf_slice(&call->key), &call->lookup);
}

/* ── durable ────────────────────────────────────────────────────────────────────────────────── */

static void reached(struct hub_barrier *barrier, enum err err)
{
    struct call *call = CONTAINER_OF(barrier, struct call, barrier);
    if (!call->exchange)
        call_end(call);
    else if (err)
        call_refuse_storage(call, err);
    else
        call->next(call);
}

void call_wait(struct call *call, void (*next)(struct call *call))
{
    call->next = next;
    call->barrier.done = reached;
    hub_wait_stream(call->stream, &call->barrier);
}

/* ── the answer ─────────────────────────────────────────────────────────────────────────────── */

/* What is added is of ours and short, but for a few values that came as fields of the request. */
void call_add(struct call *call, const char *name, struct slice value)
{
    if (exchange_add_header(call->exchange, slice_text(name), value))
        LOG(call->api->log, LOG_WARNING, "header_dropped", LOG_TEXT("name", name));
}

void call_add_number(struct call *call, const char *name, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    call_add(call, name, slice_text(text));
}

void call_add_offset(struct call *call, uint64_t events)
{
    char text[DURABLE_OFFSET_BYTES];
    durable_offset_format(events, text);
    call_add(call, "Stream-Next-Offset", slice_text(text));
}

void call_add_true(struct call *call, const char *name)
{
    call_add(call, name, SLICE("true"));
}

void call_reply(struct call *call, int status, struct slice content_type, struct slice body)
{
    struct exchange *exchange = call->exchange;
    if (content_type.size)
        call_add(call, "Content-Type", content_type);
    exchange_reply(exchange, status, NULL, body);
    call->exchange = NULL;
    call_end(call);
}

void call_refuse(
    struct call *call, int status, const char *code, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    exchange_verror(call->exchange, status, code, param, format, args);
    va_end(args);
    call->exchange = NULL;
    call_end(call);
}

void call_refuse_storage(struct call *call, enum err err)
{
    bool is_for_now = err == ERR_FULL && append_is_full_for_now(call->api->hub);
    if (err == ERR_BUSY) {
        call_refuse(call, 423, "stream_held", NULL,
            "a legal hold lies on the stream: it cannot be deleted before that is lifted");
    } else if (err == ERR_NOTFOUND) {
        call_refuse(call, 410, "source_gone", NULL,
            "what this stream was forked from is no longer there; its own part begins at its fork "
            "offset");
    } else if (err == ERR_LIMIT || err == ERR_AGAIN || is_for_now) {
        exchange_retry_after(call->exchange, 1);
        call_refuse(call, 503, "overloaded", NULL,
            "more is being read and written than this server keeps up with; try again in a moment");
    } else if (err == ERR_FULL) {
        call_refuse(call, 507, "storage_full", NULL,
            "the storage has no room: nothing was written, and waiting alone makes none");
    } else if (err == ERR_CLOSED) {
        call_refuse(call, 410, "stream_deleted", NULL, "the stream is being deleted");
    } else {
        call_refuse(call, 500, "storage_fault", NULL,
            "the stream could not be read: %s; see `tokenlog verify`", err_text(err));
    }
}
