/* exchange_request — what is received: the head, which may be refused, and the body, taken whole. */
#include "server/http/exchange_state.h"

#include <stdlib.h>

const struct http1_request *exchange_request(const struct exchange *exchange)
{
    return exchange->inner ? &exchange->inner->request : http1_request(exchange->parser);
}

struct target exchange_target(const struct exchange *exchange)
{
    return exchange->target;
}

struct slice exchange_body(const struct exchange *exchange)
{
    return exchange->inner ? exchange->inner->body : buf_slice(&exchange->body);
}

const struct http1_request *exchange_outer_request(const struct exchange *exchange)
{
    return http1_request(exchange->parser);
}

struct slice exchange_outer_body(const struct exchange *exchange)
{
    return buf_slice(&exchange->body);
}

struct slice exchange_header(const struct exchange *exchange, const char *name)
{
    return headers_get(&exchange_request(exchange)->headers, name);
}

int64_t exchange_accepted_ns(const struct exchange *exchange)
{
    return exchange->accepted_ns;
}

void exchange_set_project(struct exchange *exchange, struct project *project)
{
    exchange->project = project;
}

struct project *exchange_project(const struct exchange *exchange)
{
    return exchange->project;
}

void exchange_set_dialect(struct exchange *exchange, const struct dialect *dialect)
{
    exchange->dialect = dialect;
}

static struct inner *inner_free(struct inner *inner)
{
    if (inner)
        buf_deinit(&inner->text);
    free(inner);
    return NULL;
}

enum err exchange_unwrap(
    struct exchange *exchange, const struct exchange_inner *inner, struct buf *text)
{
    struct target target;
    struct inner *made = calloc(1, sizeof *made);
    enum err err = made ? target_parse(inner->target, &target) : fault(ERR_NOMEM, "inner request");
    if (err) {
        buf_deinit(text);
        free(made);
        return err;
    }
    made->request = *http1_request(exchange->parser);
    made->request.method = inner->method;
    made->request.target = inner->target;
    made->request.headers = *inner->headers;
    made->body = inner->body;
    made->text = *text;
    *text = (struct buf){0};
    exchange->target = target;
    inner_free(exchange->inner);
    exchange->inner = made;
    return ERR_OK;
}

void exchange_drop_body(struct exchange *exchange)
{
    exchange->inner = inner_free(exchange->inner);
    exchange->owner->bodies_bytes -= exchange->body_held;
    exchange->body_held = 0;
    buf_deinit(&exchange->body);
    buf_init(&exchange->body, exchange->owner->config.body_bytes_max);
}

static void on_head(struct exchange *exchange)
{
    const struct http1_request *request = http1_request(exchange->parser);
    exchange->accepted_ns = loop_wall_ns(exchange->owner->config.loop);
    exchange->keeps_alive = request->keep_alive;
    exchange->is_head_method = slice_equal(request->method, SLICE("HEAD"));
    exchange->is_version_10 = request->version_minor == 0;
    exchange->state = STATE_BODY;
    exchange_timer_ms(exchange, exchange->owner->config.body_timeout_ms);
    bool is_options_star = slice_equal(request->target, SLICE("*"));
    exchange->target = (struct target){.path = SLICE("*")};
    if (!is_options_star && target_parse(request->target, &exchange->target)) {
        exchange_error(exchange, 400, "bad_request", NULL,
            "the request target is malformed: check its percent escapes and remove dot segments");
        return;
    }
    exchange->owner->config.admit(exchange->owner->config.context, exchange);
    if (exchange->state == STATE_BODY && request->expects_continue) {
        exchange->is_continue_owed = true;
        conn_wake(exchange->conn);
    }
}

static void on_body(struct exchange *exchange, struct slice piece)
{
    struct exchanges *owner = exchange->owner;
    exchange_timer_ms(exchange, owner->config.body_timeout_ms);
    if (owner->bodies_bytes + piece.size > owner->config.bodies_bytes_max ||
        buf_append(&exchange->body, piece)) {
        exchange_retry_after(exchange, 1);
        exchange_error(exchange, 503, "overloaded", NULL,
            "too many request bodies are being received; try again in a moment");
        return;
    }
    exchange->body_held += piece.size;
    owner->bodies_bytes += piece.size;
}

static void on_end(struct exchange *exchange)
{
    exchange->state = STATE_HANDLING;
    timer_cancel(exchange->owner->config.loop, &exchange->timer);
    exchange->owner->config.handle(exchange->owner->config.context, exchange);
}

static void refuse_malformed(struct exchange *exchange)
{
    struct http1_error error = http1_error(exchange->parser);
    exchange->keeps_alive = false;
    exchange_error(exchange, error.status, error.code, NULL, "%s", error.message);
}

static void exchange_pull(struct exchange *exchange, struct slice *input)
{
    while (exchange->state == STATE_HEAD || exchange->state == STATE_BODY) {
        struct http1_event event;
        bool was_idle = http1_is_idle(exchange->parser);
        enum err err = http1_next(exchange->parser, input, &event);
        if (err == ERR_INVALID) {
            refuse_malformed(exchange);
            return;
        }
        if (err) {
            exchange_close_now(exchange);
            return;
        }
        switch (event.kind) {
        case HTTP1_HEAD: on_head(exchange); break;
        case HTTP1_BODY: on_body(exchange, event.body); break;
        case HTTP1_END: on_end(exchange); break;
        case HTTP1_NEED_MORE:
            if (was_idle && !http1_is_idle(exchange->parser))
                exchange_timer_ms(exchange, exchange->owner->config.header_timeout_ms);
            return;
        }
    }
}

void exchange_received(void *context, struct slice bytes, size_t *consumed)
{
    struct exchange *exchange = context;
    struct slice input = bytes;
    exchange_pull(exchange, &input);
    *consumed = bytes.size - input.size;
}
