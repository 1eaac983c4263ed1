/* exchange_request — what is received: the head, which may be refused, and the body, taken whole, or up to
 * where a long one is streamed. */
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
    buf_init(&exchange->body, exchange->owner->config.body_bytes_max + CONN_UNREAD_BYTES_HARD);
}

/* ── its body ───────────────────────────────────────────────────────────────────────────────── */

enum { OWED_S_MAX = 1000000000 /* 31 years: the sum does not overflow */ };

void exchange_watch_body(struct exchange *exchange, struct timer *timer)
{
    const struct exchange_config *config = &exchange->owner->config;
    int64_t patience_ns = config->body_timeout_ms * 1000000;
    int64_t due_ns = loop_now_ns(config->loop) + patience_ns;
    if (config->body_rate_min > 0) {
        uint64_t owed_s = exchange->body_bytes / config->body_rate_min;
        int64_t seconds = owed_s < (uint64_t)OWED_S_MAX ? (int64_t)owed_s : OWED_S_MAX;
        int64_t last_ns = exchange->body_started_ns + patience_ns + seconds * 1000000000;
        due_ns = last_ns < due_ns ? last_ns : due_ns;
    }
    timer_set(config->loop, timer, due_ns);
}

void exchange_refuse_long(struct exchange *exchange, uint64_t bytes_max)
{
    exchange_error(exchange, 413, "body_too_large", NULL,
        "send a smaller body: at most %llu bytes are taken%s", (unsigned long long)bytes_max,
        bytes_max >= exchange->owner->config.passed_body_bytes_max
            ? " (passed_body_bytes_max)"
            : " (body_bytes_max); longer ones where a call is passed on as it is and is no JSON, "
              "without "
              "an Idempotency-Key");
}

void exchange_refuse_slow(struct exchange *exchange)
{
    exchange_error(exchange, 408, "request_timeout", NULL,
        "the request's body stopped arriving, or came too slowly; send the request again");
}

void exchange_refuse_malformed(struct exchange *exchange)
{
    struct http1_error error = http1_error(exchange->parser);
    exchange->keeps_alive = false;
    exchange_error(exchange, error.status, error.code, NULL, "%s", error.message);
}

static uint64_t bytes_max(const struct exchange *exchange)
{
    const struct exchange_config *config = &exchange->owner->config;
    return exchange->may_stream && config->passed_body_bytes_max > config->body_bytes_max
               ? config->passed_body_bytes_max
               : config->body_bytes_max;
}

static bool is_too_long(const struct exchange *exchange)
{
    const struct http1_request *request = http1_request(exchange->parser);
    return request->content_length > bytes_max(exchange) ||
           (!exchange->may_stream && exchange->body.size > bytes_max(exchange));
}

void exchange_offer_stream(struct exchange *exchange)
{
    exchange->may_stream = true;
}

bool exchange_is_partial(const struct exchange *exchange)
{
    return exchange->is_partial;
}

void exchange_collect(struct exchange *exchange)
{
    ASSERT(exchange->is_partial && exchange->state == STATE_HANDLING && !exchange->responder &&
           !exchange->arriving);
    exchange->is_partial = exchange->may_stream = false;
    exchange->state = STATE_BODY;
    if (is_too_long(exchange))
        exchange_refuse_long(exchange, bytes_max(exchange));
    else
        exchange_watch_body(exchange, &exchange->timer);
}

/* ── events ─────────────────────────────────────────────────────────────────────────────────── */

static void on_head(struct exchange *exchange)
{
    const struct http1_request *request = http1_request(exchange->parser);
    exchange->accepted_ns = loop_wall_ns(exchange->owner->config.loop);
    exchange->keeps_alive = request->keep_alive;
    exchange->is_head_method = slice_equal(request->method, SLICE("HEAD"));
    exchange->is_version_10 = request->version_minor == 0;
    exchange->state = STATE_BODY;
    exchange->may_stream = false;
    exchange->body_bytes = 0;
    exchange->body_started_ns = loop_now_ns(exchange->owner->config.loop);
    exchange_watch_body(exchange, &exchange->timer);
    bool is_options_star = slice_equal(request->target, SLICE("*"));
    exchange->target = (struct target){.path = SLICE("*")};
    if (!is_options_star && target_parse(request->target, &exchange->target)) {
        exchange_error(exchange, 400, "bad_request", NULL,
            "the request target is malformed: check its percent escapes and remove dot segments");
        return;
    }
    exchange->owner->config.admit(exchange->owner->config.context, exchange);
    if (exchange->state == STATE_BODY && is_too_long(exchange))
        exchange_refuse_long(exchange, bytes_max(exchange));
    if (exchange->state == STATE_BODY && request->expects_continue) {
        exchange->is_continue_owed = true;
        conn_wake(exchange->conn);
    }
}

/* So long that it is streamed, and not all of it is here. */
static bool is_to_be_streamed(const struct exchange *exchange)
{
    const struct http1_request *request = http1_request(exchange->parser);
    return exchange->may_stream &&
           exchange->body.size >= exchange->owner->config.streamed_body_bytes &&
           (request->is_chunked || request->content_length > exchange->body.size);
}

static void handle(struct exchange *exchange)
{
    exchange->state = STATE_HANDLING;
    timer_cancel(exchange->owner->config.loop, &exchange->timer);
    exchange->owner->config.handle(exchange->owner->config.context, exchange);
}

static void on_body(struct exchange *exchange, struct slice piece)
{
    struct exchanges *owner = exchange->owner;
    exchange->body_bytes += piece.size;
    exchange_watch_body(exchange, &exchange->timer);
    if (!exchange->may_stream && exchange->body_bytes > bytes_max(exchange)) {
        exchange_refuse_long(exchange, bytes_max(exchange));
        return;
    }
    if (owner->bodies_bytes + piece.size > owner->config.bodies_bytes_max ||
        buf_append(&exchange->body, piece)) {
        exchange_retry_after(exchange, 1);
        exchange_error(exchange, 503, "overloaded", NULL,
            "too many request bodies are being received; try again in a moment");
        return;
    }
    exchange->body_held += piece.size;
    owner->bodies_bytes += piece.size;
    if (is_to_be_streamed(exchange)) {
        exchange->is_partial = true;
        handle(exchange);
    }
}

static void exchange_pull(struct exchange *exchange, struct slice *input)
{
    while (exchange->state == STATE_HEAD || exchange->state == STATE_BODY) {
        struct http1_event event;
        bool was_idle = http1_is_idle(exchange->parser);
        enum err err = http1_next(exchange->parser, input, &event);
        if (err == ERR_INVALID) {
            exchange_refuse_malformed(exchange);
            return;
        }
        if (err) {
            exchange_close_now(exchange);
            return;
        }
        switch (event.kind) {
        case HTTP1_HEAD: on_head(exchange); break;
        case HTTP1_BODY: on_body(exchange, event.body); break;
        case HTTP1_END: handle(exchange); break;
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
    if (exchange->arriving)
        exchange_pull_upload(exchange, &input);
    *consumed = bytes.size - input.size;
}
