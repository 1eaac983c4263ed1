/* exchange — see exchange.h.
 *
 * One struct a connection, reused by its requests. One timer serves all waits: it is set to what the
 * state asks for, and looks again when it fires. */
#include "server/http/exchange_state.h"

#include <stdlib.h>
#include <unistd.h>

/* ── time ───────────────────────────────────────────────────────────────────────────────────── */

void exchange_timer_ms(struct exchange *exchange, int64_t ms)
{
    struct loop *loop = exchange->owner->config.loop;
    timer_set(loop, &exchange->timer, loop_now_ns(loop) + ms * 1000000);
}

void exchange_detach(struct exchange *exchange)
{
    const struct responder *responder = exchange->responder;
    exchange->responder = NULL;
    if (responder)
        responder->closed(exchange->context);
}

/* A holder is told at once, so that no look-up finds it holding what is gone; one that streams is
 * told by conn_closed, since the connection may still be sending its bytes. A body that ends with
 * the connection is cut by a reset: after a FIN it would look whole. */
void exchange_close_now(struct exchange *exchange)
{
    bool is_handling = exchange->state == STATE_HANDLING;
    bool is_cut = exchange->framing == FRAMING_CLOSE &&
                  (exchange->state == STATE_RESPONDING || exchange->state == STATE_FLUSHING);
    exchange->state = STATE_CLOSING;
    exchange_drop_upload(exchange);
    conn_close(exchange->conn, is_cut ? CONN_CLOSE_RESET : CONN_CLOSE_NOW);
    if (is_handling)
        exchange_detach(exchange);
}

/* While something is being sent: has the peer taken anything lately? */
static void check_stall(struct exchange *exchange)
{
    int64_t limit_ms = exchange->owner->config.send_timeout_ms;
    if (conn_stall_ns(exchange->conn) >= limit_ms * 1000000) {
        metrics_add(exchange->owner->config.metrics, METRIC_readers_dropped_total, 1);
        LOG(exchange->owner->config.log, LOG_INFO, "reader_dropped",
            LOG_TEXT("peer", conn_peer(exchange->conn)), LOG_NUMBER("after_ms", limit_ms));
        exchange_close_now(exchange);
    } else if (conn_is_sending(exchange->conn)) {
        exchange_timer_ms(exchange, limit_ms / STALL_CHECKS + 1);
    }
}

static void timer_fired(struct timer *timer)
{
    struct exchange *exchange = CONTAINER_OF(timer, struct exchange, timer);
    switch (exchange->state) {
    case STATE_HEAD:
        if (http1_is_idle(exchange->parser))
            exchange_close_now(exchange);
        else
            exchange_error(exchange, 408, "request_timeout", NULL,
                "the request's head did not arrive in time; send it again");
        return;
    case STATE_BODY: exchange_refuse_slow(exchange); return;
    case STATE_RESPONDING:
    case STATE_FLUSHING: check_stall(exchange); return;
    case STATE_HANDLING:
    case STATE_CLOSING: return;
    }
}

/* ── the connection's end ────────────────────────────────────────────────────────────────────── */

static void conn_ended(void *context, bool is_broken)
{
    struct exchange *exchange = context;
    exchange->keeps_alive = false;
    switch (exchange->state) {
    case STATE_HEAD:
    case STATE_BODY:
        if (is_broken)
            return; /* closed() comes */
        if (exchange->state == STATE_BODY || !http1_is_idle(exchange->parser)) {
            exchange_error(exchange, 400, "incomplete_request", NULL,
                "the request ended before it was whole; send it again");
            return;
        }
        exchange->state = STATE_CLOSING; /* what it asked for before has been answered */
        conn_close(exchange->conn, CONN_CLOSE_FLUSH);
        return;
    case STATE_HANDLING:
    case STATE_RESPONDING: /* SDKs and proxies that hang up do it like this: the caller is gone */
        if (exchange->responder)
            exchange_close_now(exchange);
        return;
    case STATE_FLUSHING: /* it may still read */
    case STATE_CLOSING: return;
    }
}

static void conn_closed(void *context)
{
    struct exchange *exchange = context;
    struct exchanges *owner = exchange->owner;
    exchange_detach(exchange);
    timer_cancel(owner->config.loop, &exchange->timer);
    exchange_drop_upload(exchange);
    exchange_drop_body(exchange);
    buf_deinit(&exchange->out);
    buf_deinit(&exchange->fields);
    http1_free(exchange->parser);
    list_unlink(&exchange->node);
    owner->open_count--;
    metrics_set(owner->config.metrics, METRIC_connections_open, owner->open_count);
    free(exchange);
}

static const struct conn_owner conn_owner = {
    exchange_received, exchange_writable, conn_ended, conn_closed};

/* ── all of them ────────────────────────────────────────────────────────────────────────────── */

enum err exchanges_new(const struct exchange_config *config, struct exchanges **out)
{
    struct exchanges *exchanges = calloc(1, sizeof *exchanges);
    if (!exchanges)
        return fault(ERR_NOMEM, "exchanges");
    exchanges->config = *config;
    list_init(&exchanges->open);
    *out = exchanges;
    return ERR_OK;
}

struct exchanges *exchanges_free(struct exchanges *exchanges)
{
    ASSERT(!exchanges || exchanges->open_count == 0);
    free(exchanges);
    return NULL;
}

size_t exchanges_open_count(const struct exchanges *exchanges)
{
    return exchanges->open_count;
}

static enum err exchange_new(struct exchanges *owner, struct arrival arrival)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange) {
        (void)close(arrival.fd);
        return fault(ERR_NOMEM, "exchange");
    }
    exchange->owner = owner;
    exchange->timer.fire = timer_fired;
    buf_init(&exchange->body, owner->config.body_bytes_max + CONN_UNREAD_BYTES_HARD);
    buf_init(&exchange->fields, RESPONSE_HEAD_BYTES_MAX);
    buf_init(&exchange->out, REPLY_BYTES_MAX + RESPONSE_HEAD_BYTES_MAX);
    enum err err = http1_new(owner->config.passed_body_bytes_max > owner->config.body_bytes_max
                                 ? owner->config.passed_body_bytes_max
                                 : owner->config.body_bytes_max,
        &exchange->parser);
    if (err)
        (void)close(arrival.fd);
    else
        err = conn_new(
            owner->config.loop, arrival, owner->config.tls, &conn_owner, exchange, &exchange->conn);
    if (err) {
        http1_free(exchange->parser);
        free(exchange);
        return err;
    }
    list_append(&owner->open, &exchange->node);
    owner->open_count++;
    exchange_timer_ms(exchange, owner->config.header_timeout_ms);
    return ERR_OK;
}

void exchanges_take(struct exchanges *exchanges, struct arrival arrival)
{
    struct metrics *metrics = exchanges->config.metrics;
    if (exchanges->is_draining || exchanges->open_count >= exchanges->config.connections_max) {
        metrics_add(metrics, METRIC_connections_refused_total, 1);
        (void)close(arrival.fd);
        return;
    }
    metrics_add(metrics, METRIC_connections_total, 1);
    if (exchange_new(exchanges, arrival))
        LOG(exchanges->config.log, LOG_ERROR, "accept", LOG_TEXT("origin", fault_origin()));
    metrics_set(metrics, METRIC_connections_open, exchanges->open_count);
}

void exchanges_accept(void *exchanges, int fd)
{
    exchanges_take(exchanges, (struct arrival){fd, NULL});
}

void exchanges_drain(struct exchanges *exchanges)
{
    exchanges->is_draining = true;
    LIST_FOREACH_SAFE (node, &exchanges->open) {
        struct exchange *exchange = CONTAINER_OF(node, struct exchange, node);
        exchange->keeps_alive = false;
        if (exchange->state == STATE_HEAD && http1_is_idle(exchange->parser)) {
            exchange->state = STATE_CLOSING;
            conn_close(exchange->conn, CONN_CLOSE_FLUSH);
        }
    }
}

void exchanges_close_all(struct exchanges *exchanges)
{
    exchanges->is_draining = true;
    LIST_FOREACH_SAFE (node, &exchanges->open) {
        exchange_close_now(CONTAINER_OF(node, struct exchange, node));
    }
}
