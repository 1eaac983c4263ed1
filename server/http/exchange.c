/* exchange — see exchange.h.
 *
 * One struct a connection, reused by its requests. `out` is the head, or a whole reply: it is
 * written before the first push and not
 * touched until the connection has sent it (writable() comes only when nothing is queued). One
 * timer serves all waits: it is set to what
 * the state asks for, and looks again when it fires. */
#include "server/http/exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/base/own.h"

enum state {
    STATE_HEAD, /* waiting for a request's head; idle if nothing of it has come */
    STATE_BODY,
    STATE_HANDLING,   /* somebody holds it, or is about to answer */
    STATE_RESPONDING, /* a head was written */
    STATE_FLUSHING,   /* all was pushed: when it is sent, the next request, or the end */
    STATE_CLOSING,
};

/* What was inside the request, if it was a wrapping. */
struct inner {
    struct http1_request request;
    struct slice body;
    struct buf text;
};

enum reply_framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct exchanges {
    struct exchange_config config;
    struct list open;
    size_t open_count;
    uint64_t bodies_bytes;
    bool is_draining;
    char date[40];
    int64_t date_s;
};

struct exchange {
    struct exchanges *owner;
    struct list node;
    struct conn *conn;
    struct http1 *parser;
    enum state state;
    enum reply_framing framing;
    struct target target;
    struct buf body;
    struct inner *inner; /* NULL: it is no wrapping */
    uint64_t body_held;  /* counted in bodies_bytes */
    struct buf fields;   /* of the response to come */
    struct buf out;
    size_t out_pushed;     /* bytes of `out` */
    bool is_continue_owed; /* 100 Continue is to be sent */
    bool is_resting;       /* the responder waits to wake us */
    bool keeps_alive;
    bool is_clean;
    bool was_sent; /* all of the response, while its holder is told */
    bool is_head_method;
    bool is_version_10;
    int64_t length_left; /* FRAMING_LENGTH */
    int64_t accepted_ns;
    struct timer timer;
    struct project *project;
    const struct dialect *dialect;
    exchange_announcer *announcer;
    exchange_fallback *fallback; /* NULL: none */
    void *fallback_context;
    size_t fallback_index;
    size_t fallback_fields; /* bytes of `fields` when it was set */
    const struct responder *responder;
    void *context;
};

static void exchange_pull(struct exchange *exchange, struct slice *input);

/* ── time ───────────────────────────────────────────────────────────────────────────────────── */

static void timer_in_ms(struct exchange *exchange, int64_t ms)
{
    struct loop *loop = exchange->owner->config.loop;
    timer_set(loop, &exchange->timer, loop_now_ns(loop) + ms * 1000000);
}

static void detach_responder(struct exchange *exchange)
{
    const struct responder *responder = exchange->responder;
    exchange->responder = NULL;
    if (responder)
        responder->closed(exchange->context);
}

/* A holder is told at once, so that no look-up finds it holding what is gone; one that streams is
 * told by conn_closed, since the connection may still be sending its bytes. A body that ends with
 * the connection is cut by a reset: after a FIN it would look whole. */
static void close_now(struct exchange *exchange)
{
    bool is_handling = exchange->state == STATE_HANDLING;
    bool is_cut = exchange->framing == FRAMING_CLOSE &&
                  (exchange->state == STATE_RESPONDING || exchange->state == STATE_FLUSHING);
    exchange->state = STATE_CLOSING;
    conn_close(exchange->conn, is_cut ? CONN_CLOSE_RESET : CONN_CLOSE_NOW);
    if (is_handling)
        detach_responder(exchange);
}

/* While something is being sent: has the peer taken anything lately? */
static void check_stall(struct exchange *exchange)
{
    int64_t limit_ms = exchange->owner->config.send_timeout_ms;
    if (conn_stall_ns(exchange->conn) >= limit_ms * 1000000) {
        metrics_add(exchange->owner->config.metrics, METRIC_readers_dropped_total, 1);
        LOG(exchange->owner->config.log, LOG_INFO, "reader_dropped",
            LOG_TEXT("peer", conn_peer(exchange->conn)), LOG_NUMBER("after_ms", limit_ms));
        close_now(exchange);
    } else if (conn_is_sending(exchange->conn)) {
        timer_in_ms(exchange, limit_ms / STALL_CHECKS + 1);
    }
}

static void timer_fired(struct timer *timer)
{
    struct exchange *exchange = CONTAINER_OF(timer, struct exchange, timer);
    switch (exchange->state) {
    case STATE_HEAD:
        if (http1_is_idle(exchange->parser))
            close_now(exchange);
        else
            exchange_error(exchange, 408, "request_timeout", NULL,
                "the request's head did not arrive in time; send it again");
        return;
    case STATE_BODY:
        exchange_error(exchange, 408, "request_timeout", NULL,
            "the request's body stopped arriving; send the request again");
        return;
    case STATE_RESPONDING:
    case STATE_FLUSHING: check_stall(exchange); return;
    case STATE_HANDLING:
    case STATE_CLOSING: return;
    }
}

/* RFC 9110 §6.6.1: an origin server with a clock sends Date; once a second is enough. */
static const char *date_now(struct exchanges *exchanges)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t now_s = loop_wall_ns(exchanges->config.loop) / 1000000000;
    if (now_s == exchanges->date_s)
        return exchanges->date;
    struct tm tm;
    time_t seconds = now_s;
    if (gmtime_r(&seconds, &tm))
        (void)snprintf(exchanges->date, sizeof exchanges->date, "%s, %02u %s %u %02u:%02u:%02u GMT",
            days[tm.tm_wday], (unsigned)tm.tm_mday % 100, months[tm.tm_mon],
            (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
            (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    exchanges->date_s = now_s;
    return exchanges->date;
}

/* ── the request ────────────────────────────────────────────────────────────────────────────── */

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

static void drop_body(struct exchange *exchange)
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
    timer_in_ms(exchange, exchange->owner->config.body_timeout_ms);
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
    timer_in_ms(exchange, owner->config.body_timeout_ms);
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
            close_now(exchange);
            return;
        }
        switch (event.kind) {
        case HTTP1_HEAD: on_head(exchange); break;
        case HTTP1_BODY: on_body(exchange, event.body); break;
        case HTTP1_END: on_end(exchange); break;
        case HTTP1_NEED_MORE:
            if (was_idle && !http1_is_idle(exchange->parser))
                timer_in_ms(exchange, exchange->owner->config.header_timeout_ms);
            return;
        }
    }
}

static void conn_received(void *context, struct slice bytes, size_t *consumed)
{
    struct exchange *exchange = context;
    struct slice input = bytes;
    exchange_pull(exchange, &input);
    *consumed = bytes.size - input.size;
}

/* ── the response ───────────────────────────────────────────────────────────────────────────── */

/* What a response under way no longer needs, so that a reader that waits holds no buffer. */
static void drop_fields(struct exchange *exchange)
{
    buf_deinit(&exchange->fields);
    buf_init(&exchange->fields, REPLY_HEAD_BYTES_MAX);
}

void exchange_set_announcer(struct exchange *exchange, exchange_announcer *announcer)
{
    exchange->announcer = announcer;
}

enum err exchange_announce(struct exchange *exchange, const struct row *row)
{
    return exchange->announcer ? exchange->announcer(exchange, row) : ERR_OK;
}

void exchange_set_fallback(
    struct exchange *exchange, exchange_fallback *next, void *context, size_t index)
{
    exchange->fallback = next;
    exchange->fallback_context = context;
    exchange->fallback_index = index;
    exchange->fallback_fields = exchange->fields.size;
}

bool exchange_falls_back(struct exchange *exchange)
{
    exchange_fallback *next = exchange->fallback;
    if (!next || exchange->state != STATE_HANDLING)
        return false;
    exchange->fallback = NULL;
    exchange->responder = NULL; /* as after an error: its holder is the one who called */
    exchange->fields.size =
        exchange->fallback_fields; /* what the failure added is not its answer's */
    next(exchange->fallback_context, exchange, exchange->fallback_index);
    return true;
}

enum err exchange_add_header(struct exchange *exchange, struct slice name, struct slice value)
{
    return http1_write_header(&exchange->fields, name, value);
}

void exchange_retry_after(struct exchange *exchange, int seconds)
{
    if (buf_printf(&exchange->fields, "Retry-After: %d\r\n", seconds))
        LOG(exchange->owner->config.log, LOG_WARNING, "retry_after_dropped");
}

static void drop_out(struct exchange *exchange)
{
    buf_deinit(&exchange->out);
    buf_init(&exchange->out, REPLY_BYTES_MAX + REPLY_HEAD_BYTES_MAX);
    exchange->out_pushed = 0;
}

static enum err write_head(struct exchange *exchange, int status, struct slice content_type,
    int64_t length, struct slice head)
{
    struct exchanges *owner = exchange->owner;
    struct buf *out = &exchange->out;
    buf_clear(out);
    TRY(http1_write_status(out, status));
    TRY(buf_printf(out, "Date: %s\r\n", date_now(owner)));
    if (content_type.size)
        TRY(http1_write_header(out, SLICE("Content-Type"), content_type));
    if (owner->config.is_memory)
        TRY(buf_append_text(out, "Tokenlog-Durability: memory\r\n"));
    TRY(buf_append(out, head));
    TRY(buf_append(out, buf_slice(&exchange->fields)));
    if (length >= 0 && status != 204 && status != 304)
        TRY(buf_printf(out, "Content-Length: %lld\r\n", (long long)length));
    else if (exchange->framing == FRAMING_CHUNKED)
        TRY(buf_append_text(out, "Transfer-Encoding: chunked\r\n"));
    if (!exchange->keeps_alive)
        TRY(buf_append_text(out, "Connection: close\r\n"));
    else if (exchange->is_version_10)
        TRY(buf_append_text(out, "Connection: keep-alive\r\n"));
    return buf_append_text(out, "\r\n");
}

static void count_response(struct exchange *exchange, int status)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    int class = status / 100;
    metrics_add_label(exchange->owner->config.metrics, METRIC_requests_total,
        class >= 1 && class <= 5 ? classes[class - 1] : "other", 1);
}

enum err exchange_begin(struct exchange *exchange, int status, struct slice content_type,
    int64_t length, struct slice head)
{
    ASSERT(exchange->state < STATE_RESPONDING);
    if (exchange->owner->is_draining)
        exchange->keeps_alive = false;
    exchange->framing = length >= 0               ? FRAMING_LENGTH
                        : exchange->is_version_10 ? FRAMING_CLOSE
                                                  : FRAMING_CHUNKED;
    if (exchange->framing == FRAMING_CLOSE)
        exchange->keeps_alive = false;
    exchange->length_left = length;
    exchange->is_clean = true;
    TRY(write_head(exchange, status, content_type, length, head));
    drop_fields(exchange);
    count_response(exchange, status);
    exchange->out_pushed = 0;
    exchange->is_continue_owed = false;
    if (exchange->state == STATE_HANDLING)
        http1_release(exchange->parser);
    exchange->state = STATE_RESPONDING;
    drop_body(exchange);
    timer_cancel(exchange->owner->config.loop, &exchange->timer);
    conn_wake(exchange->conn);
    return ERR_OK;
}

/* A request whose body has not been read to its end cannot be followed by another one. */
static void reply_ends_request(struct exchange *exchange)
{
    if (exchange->state == STATE_HEAD || exchange->state == STATE_BODY)
        exchange->keeps_alive = false;
}

void exchange_reply(
    struct exchange *exchange, int status, const char *content_type, struct slice body)
{
    if (exchange->state >= STATE_RESPONDING)
        return;
    reply_ends_request(exchange);
    exchange->responder = NULL;
    CLEANUP(buf_deinit) struct buf copy; /* `body` may lie in what begin drops */
    buf_init(&copy, REPLY_BYTES_MAX);
    enum err err = buf_append(&copy, body);
    if (!err)
        err = exchange_begin(
            exchange, status, slice_text(content_type), (int64_t)body.size, SLICE_NONE);
    if (!err && !exchange->is_head_method)
        err = buf_append(&exchange->out, buf_slice(&copy));
    if (err) {
        close_now(exchange);
        return;
    }
    exchange->state = STATE_FLUSHING;
}

void exchange_error(struct exchange *exchange, int status, const char *code, const char *param,
    const char *format, ...)
{
    char message[512];
    va_list args;
    if (exchange_falls_back(exchange))
        return;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    CLEANUP(buf_deinit) struct buf body;
    buf_init(&body, REPLY_HEAD_BYTES_MAX);
    if (dialect_write_error(exchange->dialect, &body, status, code, slice_text(message), param)) {
        exchange->responder = NULL; /* as after a reply: its holder is the one who called */
        close_now(exchange);
    } else {
        exchange_reply(exchange, status, "application/json", buf_slice(&body));
    }
}

bool exchange_was_sent(const struct exchange *exchange)
{
    return exchange->was_sent;
}

void exchange_hold(struct exchange *exchange, const struct responder *responder, void *context)
{
    ASSERT(exchange->state == STATE_HANDLING && !exchange->responder);
    exchange->responder = responder;
    exchange->context = context;
}

void exchange_release(struct exchange *exchange)
{
    ASSERT(exchange->state == STATE_HANDLING && exchange->responder);
    exchange->responder = NULL;
}

void exchange_wake(struct exchange *exchange)
{
    if (exchange->state != STATE_CLOSING)
        conn_wake(exchange->conn);
}

void exchange_rest(struct exchange *exchange)
{
    exchange->is_resting = true;
}

size_t exchange_room(const struct exchange *exchange)
{
    size_t segments;
    size_t room = conn_room(exchange->conn, &segments);
    size_t overhead = HTTP1_CHUNK_HEAD_BYTES + EXCHANGE_PREFIX_BYTES_MAX + 2;
    return segments < EXCHANGE_SEGMENTS_MIN || room <= overhead ? 0 : room - overhead;
}

/* A heavy send has at most half as many pieces as iovecs, and each may have copies around it. */
static_assert(
    EXCHANGE_COPIED_BYTES_MAX +
            CONN_SEGMENTS_MAX / 2 * (HTTP1_CHUNK_HEAD_BYTES + EXCHANGE_PREFIX_BYTES_MAX + 2) <=
        CONN_SCRATCH_BYTES,
    "copies find room");

/* A small piece is copied: it is in the cache now, and would not be when the send is over. */
static enum err push_piece(
    struct exchange *exchange, struct slice bytes, void (*release)(void *owner), void *owner)
{
    size_t pushed = CONN_SEND_BYTES_MAX - conn_room(exchange->conn, NULL);
    if (pushed + bytes.size > EXCHANGE_COPIED_BYTES_MAX)
        return conn_push(exchange->conn, bytes, release, owner);
    TRY(conn_push_copy(exchange->conn, bytes));
    if (release)
        release(owner);
    return ERR_OK;
}

enum err exchange_push(struct exchange *exchange, struct slice prefix, struct slice bytes,
    void (*release)(void *owner), void *owner)
{
    ASSERT(exchange->state == STATE_RESPONDING && prefix.size + bytes.size > 0);
    bool is_chunked = exchange->framing == FRAMING_CHUNKED;
    char head[HTTP1_CHUNK_HEAD_BYTES + EXCHANGE_PREFIX_BYTES_MAX];
    size_t size = is_chunked ? http1_chunk_head(prefix.size + bytes.size, head) : 0;
    ASSERT(prefix.size <= EXCHANGE_PREFIX_BYTES_MAX);
    if (prefix.size)
        memcpy(head + size, prefix.data, prefix.size);
    size += prefix.size;
    enum err err = size ? conn_push_copy(exchange->conn, slice_of(head, size)) : ERR_OK;
    if (!err)
        err = push_piece(exchange, bytes, release, owner);
    if (err) {
        if (release)
            release(owner);
        return err;
    }
    if (is_chunked) /* a copy: it shares a segment with the next chunk's head */
        TRY(conn_push_copy(exchange->conn, SLICE("\r\n")));
    exchange->length_left -= (int64_t)(prefix.size + bytes.size);
    return ERR_OK;
}

void exchange_finish(struct exchange *exchange, bool is_clean)
{
    if (exchange->state != STATE_RESPONDING)
        return;
    bool is_short = exchange->framing == FRAMING_LENGTH && exchange->length_left != 0 &&
                    !exchange->is_head_method;
    exchange->is_clean = is_clean && !is_short;
    if (exchange->is_clean && exchange->framing == FRAMING_CHUNKED && !exchange->is_head_method &&
        conn_push(exchange->conn, SLICE(HTTP1_LAST_CHUNK), NULL, NULL)) {
        return; /* no room: `fill` is called again, and finishes again */
    }
    exchange->state = STATE_FLUSHING;
    conn_wake(exchange->conn);
}

/* Everything is sent: the next request of this connection, or the connection's end. */
static void exchange_next(struct exchange *exchange)
{
    exchange->was_sent = true;
    detach_responder(exchange);
    exchange->was_sent = false;
    drop_out(exchange);
    drop_fields(exchange);
    exchange->project = NULL;
    exchange->dialect = NULL;
    exchange->announcer = NULL;
    exchange->fallback = NULL;
    exchange->is_head_method = false; /* what is malformed is answered before its method is known */
    if (!exchange->is_clean) {
        exchange->state = STATE_CLOSING;
        conn_close(
            exchange->conn, exchange->is_version_10 ? CONN_CLOSE_RESET : CONN_CLOSE_TRUNCATE);
    } else if (!exchange->keeps_alive) {
        exchange->state = STATE_CLOSING;
        conn_close(exchange->conn, CONN_CLOSE_FLUSH);
    } else {
        exchange->state = STATE_HEAD;
        timer_in_ms(exchange, exchange->owner->config.idle_timeout_ms);
        conn_resume(exchange->conn);
    }
}

static void watch_sending(struct exchange *exchange)
{
    if (exchange->timer.index == 0 && conn_room(exchange->conn, NULL) < CONN_SEND_BYTES_MAX)
        timer_in_ms(exchange, exchange->owner->config.send_timeout_ms / STALL_CHECKS + 1);
}

/* The head, or a whole reply: what is larger than one send goes in several. */
static void push_out(struct exchange *exchange)
{
    struct slice rest =
        slice_sub(buf_slice(&exchange->out), exchange->out_pushed, conn_room(exchange->conn, NULL));
    exchange->out_pushed += rest.size;
    if (conn_push(exchange->conn, rest, NULL, NULL))
        close_now(exchange);
}

static void conn_writable(void *context)
{
    struct exchange *exchange = context;
    if (exchange->is_continue_owed && exchange->state == STATE_BODY) {
        exchange->is_continue_owed = false;
        if (conn_push(exchange->conn, SLICE("HTTP/1.1 100 Continue\r\n\r\n"), NULL, NULL))
            close_now(exchange);
        return;
    }
    if (exchange->state < STATE_RESPONDING || exchange->state == STATE_CLOSING)
        return;
    bool has_out = exchange->out_pushed < exchange->out.size;
    exchange->is_resting = false;
    if (has_out) {
        push_out(exchange);
    } else if (exchange->state == STATE_FLUSHING) {
        exchange_next(exchange);
        return;
    } else {
        drop_out(exchange); /* it has been sent */
    }
    if (exchange->state == STATE_RESPONDING && exchange->responder &&
        exchange->out_pushed == exchange->out.size)
        exchange->responder->fill(exchange->context, exchange);
    if (exchange->is_resting && !has_out) /* `out` is dropped when it has been sent */
        conn_rest(exchange->conn);
    watch_sending(exchange);
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
            close_now(exchange);
        return;
    case STATE_FLUSHING: /* it may still read */
    case STATE_CLOSING: return;
    }
}

static void conn_closed(void *context)
{
    struct exchange *exchange = context;
    struct exchanges *owner = exchange->owner;
    detach_responder(exchange);
    timer_cancel(owner->config.loop, &exchange->timer);
    drop_body(exchange);
    buf_deinit(&exchange->out);
    buf_deinit(&exchange->fields);
    http1_free(exchange->parser);
    list_unlink(&exchange->node);
    owner->open_count--;
    metrics_set(owner->config.metrics, METRIC_connections_open, owner->open_count);
    free(exchange);
}

static const struct conn_owner conn_owner = {conn_received, conn_writable, conn_ended, conn_closed};

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
    buf_init(&exchange->body, owner->config.body_bytes_max);
    buf_init(&exchange->fields, REPLY_HEAD_BYTES_MAX);
    buf_init(&exchange->out, REPLY_BYTES_MAX + REPLY_HEAD_BYTES_MAX);
    enum err err = http1_new(owner->config.body_bytes_max, &exchange->parser);
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
    timer_in_ms(exchange, owner->config.header_timeout_ms);
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
        close_now(CONTAINER_OF(node, struct exchange, node));
    }
}
