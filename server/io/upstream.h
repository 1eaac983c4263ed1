/* upstream — transfers to providers: libcurl's multi-socket interface on the loop's ring (<curl/curl.h> is included by upstream.c only).
 *
 *   upstream_start ─▶ head(status, headers) ─▶ data(bytes)* ─▶ ended(how, message)      exactly one `ended`, never from inside a call
 *
 * data may answer ERR_AGAIN: the transfer pauses (the bytes are delivered again after upstream_resume; over HTTP/2 libcurl may buffer up to its window).
 * Connections are reused; HTTP/2 by ALPN where offered over TLS; certificates are verified against the system's bundle (CAINFO set and CAPATH
 * unset: else every connection parses all certificates on the loop); no proxy is taken from the environment unless configured;
 * DNS runs on libcurl's threads; `Expect:` is not sent; Accept-Encoding: identity; redirects are not followed.
 * There is no total time limit on a transfer, only connect, first-byte and idle timeouts.
 *
 *   thread  loop                                                                                                          */
#ifndef TOKENLOG_SERVER_IO_UPSTREAM_H
#define TOKENLOG_SERVER_IO_UPSTREAM_H

#include "protocol/base/slice.h"
#include "server/io/loop.h"

struct upstreams; /* one multi handle: one per loop */
struct upstream;  /* one transfer */

enum upstream_end {
    UPSTREAM_COMPLETE,       /* the response ended as its framing says */
    UPSTREAM_REFUSED,        /* could not connect, resolve or agree on TLS: nothing was dispatched */
    UPSTREAM_TIMEOUT_CONNECT,
    UPSTREAM_TIMEOUT_FIRST_BYTE,
    UPSTREAM_TIMEOUT_IDLE,   /* stall between bytes */
    UPSTREAM_RESET,          /* reset, or closed before its framing said so */
    UPSTREAM_MALFORMED,      /* not HTTP, bad chunking, head too large */
    UPSTREAM_CANCELED,       /* by upstream_cancel */
};
const char *upstream_end_name(enum upstream_end end); /* "upstream_reset" …: the stable code */

struct upstream_request {
    const char *url;
    const char *method;
    const char *const *headers; /* "Name: value" each, NULL-terminated; copied */
    struct slice body;          /* borrowed until `ended` */
    int64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms; /* 0 = none */
    const char *ca_file;        /* NULL: the system's */
    const char *resolve;        /* NULL, or HOST:PORT:ADDRESS for tests */
};
struct upstream_owner {
    void (*head)(void *context, int status, struct slice head /* "Name: value\r\n"…, without the status line; borrowed */);
    enum err (*data)(void *context, struct slice bytes);
    void (*ended)(void *context, enum upstream_end how, const char *message); /* the upstream is freed after this returns */
};

enum err upstreams_new(struct loop *loop, const char *proxy, struct upstreams **out) NODISCARD;
struct upstreams *upstreams_free(struct upstreams *upstreams); /* cancels what is left, without callbacks */
enum err upstream_start(struct upstreams *upstreams, const struct upstream_request *request, const struct upstream_owner *owner, void *context, struct upstream **out) NODISCARD;
void upstream_resume(struct upstream *upstream);
void upstream_cancel(struct upstream *upstream); /* `ended` comes later, with CANCELED; idempotent */

#endif
