/* exchange — one HTTP request and its response; a connection has one at a time.
 *
 *   HEAD ──▶ BODY ──▶ HANDLING ──▶ RESPONDING ──▶ (keep-alive) HEAD…
 *     │        │          │             └─ unclean end, Connection: close ─▶ the connection closes
 *     └────────┴─ refused ┴─ reply
 *
 * The body is received whole (bounded, accounted) before the handler is called; but for one that may be
 * streamed (exchange_offer_stream) and is longer than streamed_body_bytes: its handler is called with the
 * beginning, and the rest goes where exchange_upload says, as fast as that takes it. A connection whose
 * request had not ended when its answer began is closed after it.
 *
 * A handler answers at once by exchange_reply or exchange_error, or takes the exchange over with
 * exchange_hold and answers later, or streams: exchange_begin, and then `fill` is called whenever the
 * connection can take more.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_HTTP_EXCHANGE_H
#define TOKENLOG_SERVER_HTTP_EXCHANGE_H

#include <stdarg.h>

#include "protocol/dialect/dialect.h"
#include "protocol/http/http1.h"
#include "protocol/http/url.h"
#include "server/http/bounds.h"
#include "server/io/conn.h"
#include "server/io/upload.h"
#include "server/observe/log.h"
#include "server/observe/metrics.h"
#include "server/policy/auth.h"

struct exchange;

/* What the exchanges of one server share. */
struct exchange_config {
    struct loop *loop;
    struct metrics *metrics;
    struct log *log;
    struct tls_context *tls;
    int64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, send_timeout_ms;
    uint64_t body_bytes_max, bodies_bytes_max, connections_max;
    uint64_t passed_body_bytes_max, streamed_body_bytes; /* of bodies that may be streamed */
    uint64_t body_rate_min; /* bytes/s, behind the first body_timeout_ms; 0: as slow as it likes */
    bool is_memory;         /* durability: memory — said in a header of each response */
    /* admit   at the end of a request's head: may refuse it, before its body is received
     * handle  with the whole request, or with the beginning of one that may be streamed */
    void (*admit)(void *context, struct exchange *exchange);
    void (*handle)(void *context, struct exchange *exchange);
    void *context;
};
struct exchanges;
enum err exchanges_new(const struct exchange_config *config, struct exchanges **out) NODISCARD;
struct exchanges *exchanges_free(struct exchanges *exchanges);
void exchanges_accept(void *exchanges, int fd); /* a listener's `accepted` */
void exchanges_take(struct exchanges *exchanges, struct arrival arrival); /* of any reactor's */
/* exchanges_drain — connections close after the response under way; idle ones at once. */
void exchanges_drain(struct exchanges *exchanges);
void exchanges_close_all(struct exchanges *exchanges); /* now, whatever is under way */
size_t exchanges_open_count(const struct exchanges *exchanges);

/* The request: borrowed until the response has been begun. */
const struct http1_request *exchange_request(const struct exchange *exchange);
struct target exchange_target(const struct exchange *exchange);
struct slice exchange_body(const struct exchange *exchange);
struct slice exchange_header(const struct exchange *exchange, const char *name);
int64_t exchange_accepted_ns(
    const struct exchange *exchange); /* wall clock, at the end of the head */

/* exchange_unwrap — the call came wrapped in another: from here on what is said above of the request is
 * said of `inner`; how the connection goes on is still the outer one's. Again: another one inside.
 *   inner    its target is checked, nothing else; the headers are copied, what they and the rest
 *            point to is the outer request's, or in `text`
 *   owns     `text`, also after a failure
 *   answers  ERR_INVALID target_parse's   faults  ERR_NOMEM */
struct exchange_inner {
    struct slice method, target, body;
    const struct headers *headers;
};
enum err exchange_unwrap(
    struct exchange *exchange, const struct exchange_inner *inner, struct buf *text) NODISCARD;
/* The request as it came. */
const struct http1_request *exchange_outer_request(const struct exchange *exchange);
struct slice exchange_outer_body(const struct exchange *exchange);

/* exchange_offer_stream — from `admit`: the handler can do with the beginning of a long body, which may have
 * passed_body_bytes_max. exchange_is_partial — from the handler: it has that beginning. Then it either
 *   exchange_collect   wants all of it: is called again with the whole, or it is refused as too long
 *   exchange_upload    lets the rest go to *out, behind the beginning as exchange_body has it. A reference
 *                      for the caller, who reads it or upload_closes it.
 *                      answers  ERR_LIMIT too many bodies are held · faults ERR_NOMEM
 * or answers. A body that breaks off, or comes too slowly, is cut, and a caller who is still there told. */
void exchange_offer_stream(struct exchange *exchange);
bool exchange_is_partial(const struct exchange *exchange);
void exchange_collect(struct exchange *exchange);
enum err exchange_upload(struct exchange *exchange, struct upload **out) NODISCARD;

/* Set by the gate, read by handlers. */
void exchange_set_project(struct exchange *exchange, struct project *project);
struct project *exchange_project(const struct exchange *exchange);
void exchange_set_dialect(
    struct exchange *exchange, const struct dialect *dialect); /* how errors look; NULL: OpenAI's */
/* exchange_set_announcer — who adds the fields by which a contract other than ours names a stream, to
 * the answers that stand for one. exchange_announce — has them added; nothing where nobody is set. */
typedef enum err exchange_announcer(struct exchange *exchange, const struct row *row);
void exchange_set_announcer(struct exchange *exchange, exchange_announcer *announcer);
enum err exchange_announce(struct exchange *exchange, const struct row *row) NODISCARD;
/* exchange_set_fallback — once, in the place of an error of ours or of one that a provider gave
 * (exchange_falls_back): `next` goes on with the call in another way. It is called with nobody holding
 * the exchange and the index that it was set with, holds it before it returns, and does nothing more with it in that turn of the loop.
 * exchange_falls_back — true: it does, so no more is to be answered here. */
typedef void exchange_fallback(void *context, struct exchange *exchange, size_t index);
void exchange_set_fallback(
    struct exchange *exchange, exchange_fallback *next, void *context, size_t index);
bool exchange_falls_back(struct exchange *exchange);
/* exchange_add_header — a field of the response to come, before reply or begin (CORS, say). */
enum err exchange_add_header(
    struct exchange *exchange, struct slice name, struct slice value) NODISCARD;

/* exchange_reply — a whole response; `body` is copied. exchange_error, exchange_verror — in the dialect's shape;
 * `param` may be NULL. Either is ignored where a response was begun, or the caller is gone.
 * exchange_retry_after — adds the field to the response to come. */
void exchange_reply(
    struct exchange *exchange, int status, const char *content_type, struct slice body);
void exchange_error(struct exchange *exchange, int status, const char *code, const char *param,
    const char *format, ...) PRINTF(5, 6);
void exchange_verror(struct exchange *exchange, int status, const char *code, const char *param,
    const char *format, va_list args) PRINTF(5, 0);
void exchange_retry_after(struct exchange *exchange, int seconds);

/* One who answers later. `closed` comes once, when the caller is gone or the response has been
 * sent: never from inside a call of the holder's, and not after a release, a reply or an error,
 * which
 * end the hold from the holder's side. */
struct responder {
    void (*fill)(void *context, struct exchange *exchange);
    void (*closed)(void *context);
};
/* exchange_was_sent — from `closed`: all of the response went out; else the caller went before. */
bool exchange_was_sent(const struct exchange *exchange);
void exchange_hold(struct exchange *exchange, const struct responder *responder, void *context);
void exchange_release(
    struct exchange *exchange); /* the holder gives it back, to answer or to let another hold it */

/* Streaming. length < 0: chunked (HTTP/1.0: until the connection closes). `head` is further fields,
 * "name: value\r\n" each, trusted.
 * exchange_room — bytes of body that may be pushed now (0: wait for the next fill).
 * exchange_push — from within `fill`: `prefix` (≤ EXCHANGE_PREFIX_BYTES_MAX, copied) and then
 * `bytes`
 *   (borrowed until release, which is called in any case, maybe at once), as one chunk.
 * exchange_finish — from within `fill`: the body is over. Clean: by the framing. Unclean: what was
 *   pushed is sent, then the connection ends so that nobody takes it for a whole response: without
 *   the last chunk (1.1), or by reset after the drain (1.0) (invariant 5). */
enum err exchange_begin(struct exchange *exchange, int status, struct slice content_type,
    int64_t length, struct slice head) NODISCARD;
size_t exchange_room(const struct exchange *exchange);
enum err exchange_push(struct exchange *exchange, struct slice prefix, struct slice bytes,
    void (*release)(void *owner), void *owner) NODISCARD;
void exchange_finish(struct exchange *exchange, bool is_clean);
void exchange_wake(struct exchange *exchange); /* call `fill` later in this turn */
void exchange_rest(struct exchange *exchange); /* from within `fill`: nothing more until a wake */
const void *exchange_connection(const struct exchange *exchange); /* what a wake touches with it */

#endif
