/* exchange_response — what is sent. `out` is the head, or a whole reply: it is written before the first
 * push and not touched until the connection has sent it (writable() comes only when nothing is queued). */
#include "server/http/exchange_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/base/own.h"

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

/* What a response under way no longer needs, so that a reader that waits holds no buffer. */
static void drop_fields(struct exchange *exchange)
{
    buf_deinit(&exchange->fields);
    buf_init(&exchange->fields, RESPONSE_HEAD_BYTES_MAX);
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
    buf_init(&exchange->out, REPLY_BYTES_MAX + RESPONSE_HEAD_BYTES_MAX);
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
    if (exchange->owner->is_draining || exchange->is_partial)
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
    if (exchange->state == STATE_HANDLING && !exchange->is_partial)
        http1_release(exchange->parser);
    exchange->state = STATE_RESPONDING;
    exchange_drop_body(exchange);
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
        exchange_close_now(exchange);
        return;
    }
    exchange->state = STATE_FLUSHING;
}

void exchange_error(struct exchange *exchange, int status, const char *code, const char *param,
    const char *format, ...)
{
    va_list args;
    va_start(args, format);
    exchange_verror(exchange, status, code, param, format, args);
    va_end(args);
}

void exchange_verror(struct exchange *exchange, int status, const char *code, const char *param,
    const char *format, va_list args)
{
    CLEANUP(buf_deinit) struct buf body;
    char message[ERROR_MESSAGE_BYTES];
    buf_init(&body, RESPONSE_HEAD_BYTES_MAX);
    if (exchange_falls_back(exchange))
        return;
    (void)vsnprintf(message, sizeof message, format, args);
    if (dialect_write_error(exchange->dialect, &body, status, code, slice_text(message), param)) {
        exchange->responder = NULL; /* as after a reply: its holder is the one who called */
        exchange_close_now(exchange);
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

const void *exchange_connection(const struct exchange *exchange)
{
    return exchange->conn;
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
    exchange_detach(exchange);
    exchange->was_sent = false;
    drop_out(exchange);
    drop_fields(exchange);
    exchange->project = NULL;
    exchange->dialect = NULL;
    exchange->announcer = NULL;
    exchange->fallback = NULL;
    exchange->is_partial = false;
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
        exchange_timer_ms(exchange, exchange->owner->config.idle_timeout_ms);
        conn_resume(exchange->conn);
    }
}

static void watch_sending(struct exchange *exchange)
{
    if (exchange->timer.index == 0 && conn_room(exchange->conn, NULL) < CONN_SEND_BYTES_MAX)
        exchange_timer_ms(exchange, exchange->owner->config.send_timeout_ms / STALL_CHECKS + 1);
}

/* The head, or a whole reply: what is larger than one send goes in several. */
static void push_out(struct exchange *exchange)
{
    struct slice rest =
        slice_sub(buf_slice(&exchange->out), exchange->out_pushed, conn_room(exchange->conn, NULL));
    exchange->out_pushed += rest.size;
    if (conn_push(exchange->conn, rest, NULL, NULL))
        exchange_close_now(exchange);
}

void exchange_writable(void *context)
{
    struct exchange *exchange = context;
    if (exchange->is_continue_owed && exchange->state == STATE_BODY) {
        exchange->is_continue_owed = false;
        if (conn_push(exchange->conn, SLICE("HTTP/1.1 100 Continue\r\n\r\n"), NULL, NULL))
            exchange_close_now(exchange);
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
