/* upstream — transfers to providers (transfer.h): on the owner's loop, or on that of another reactor,
 * whichever has the fewest. By libcurl, or over plain sockets of our own (carriage_plain.h).
 *
 *   upstream_start ─▶ head(status, headers) ─▶ data(bytes)* ─▶ ended(how, message)
 *                     exactly one `ended`; nothing is called back from inside a call of ours
 *
 * A request reaches a provider at most once: on a kept connection that the provider closes meanwhile it
 * ends as UPSTREAM_RESET (libcurl's own repetition is stopped), but where our own client knows that not a
 * byte of it was taken, and sends it again. Connections are reused; HTTP/2 by ALPN
 * where offered over TLS; certificates are verified against the system's bundle (CAINFO set and
 * CAPATH unset: else every connection parses all certificates on the loop); no proxy is taken from
 * the environment; DNS runs on libcurl's threads; `Expect:` is not sent; Accept-Encoding: identity,
 * unless the request has its own; redirects are not followed. There is no total time limit on a
 * transfer, only connect, first-byte and idle timeouts. An upload goes over a connection of its own:
 * on a kept one that the provider has just closed it would be lost, and it cannot be sent again. It has
 * its Content-Length where that is known, else it is chunked; the first-byte timeout begins at its end.
 *
 * On another reactor a response crosses in copied parcels (upstream_bridge.h): up to
 * UPSTREAM_CREDIT_BYTES and one read more of it can wait to be taken by the owner.
 *
 *   thread  loop: all calls, and all that is called back, are on the one of upstreams_new */
#ifndef TOKENLOG_SERVER_IO_UPSTREAM_H
#define TOKENLOG_SERVER_IO_UPSTREAM_H

#include "protocol/base/slice.h"
#include "server/io/load.h"

struct upstreams; /* one per owner's loop */
struct transfers; /* one multi handle: one per reactor */
struct crossing;
struct upload;
struct upstream; /* one transfer */

enum upstream_end {
    UPSTREAM_COMPLETE, /* the response ended as its framing says */
    UPSTREAM_REFUSED,  /* could not connect, resolve or agree on TLS: nothing was dispatched */
    UPSTREAM_TIMEOUT_CONNECT,    /* nothing was dispatched either */
    UPSTREAM_TIMEOUT_FIRST_BYTE, /* dispatched; no response head came */
    UPSTREAM_TIMEOUT_IDLE,       /* stall between bytes */
    UPSTREAM_RESET,     /* reset, or closed before its framing said so; maybe before the head */
    UPSTREAM_MALFORMED, /* not HTTP, bad chunking, head too large */
    UPSTREAM_CANCELED,  /* by upstream_cancel, or by data() */
    UPSTREAM_CUT,       /* the upload broke off: what was dispatched of the request is not whole */
};
const char *upstream_end_name(enum upstream_end end); /* "upstream_reset" …: the stable code */

struct upstream_request {
    const char *url;               /* http or https */
    const char *method;            /* "POST" */
    const char *const *headers;    /* "Name: value" each, NULL-terminated; copied */
    struct slice body;             /* borrowed until `ended` */
    struct upload *upload;         /* NULL, or the body instead: sent as it comes. Likewise */
    void (*room)(void *context);   /* on the transfer's loop, when the upload has room again */
    void *room_context;            /* NULL: upload_tell_room. Whoever is on another loop sets it */
    int64_t connect_timeout_ms;    /* name, TCP, TLS; 0 = none, as for the others */
    int64_t first_byte_timeout_ms; /* from dispatch to the response head */
    int64_t idle_timeout_ms; /* after the head, between bytes; stands still while paused. Of an
                                      upload: for the provider to take more */
    const char *ca_file;     /* NULL: the system's */
    const char *resolve;     /* NULL, or HOST:PORT:ADDRESS for tests */
};

struct upstream_owner {
    /* When the header block of the final response ends (1xx are skipped), before any body. `head`
     * is "Name: value\r\n"…, without the status line and the blank line; borrowed. */
    void (*head)(void *context, int status, struct slice head);
    /* A part of the body, chunking taken off; borrowed. ERR_AGAIN: the transfer pauses, and the
     * same bytes are delivered again after upstream_resume (over HTTP/2 libcurl may buffer up to
     * its window meanwhile). Any other answer but ERR_OK cancels. */
    enum err (*data)(void *context, struct slice bytes);
    /* `message` for the log, borrowed. The upstream is freed after this returns. */
    void (*ended)(void *context, enum upstream_end how, const char *message);
    /* Asked once, as the transfer begins: what data() will touch beside the context. It is fetched into
     * the caches shortly before, and never read. NULL: nothing. */
    void (*touches)(void *context, const void *addresses[UPSTREAM_TOUCHED_MAX]);
};

/* upstreams_new — `proxy` NULL: none. faults ERR_NOMEM. */
enum err upstreams_new(struct loop *loop, const char *proxy, struct upstreams **out) NODISCARD;
/* upstreams_add — another reactor: from now on it gets transfers too. Borrows both; they live until
 * that reactor's thread has ended, and upstreams_free comes after. At most REACTORS_MAX - 1. */
void upstreams_add(
    struct upstreams *upstreams, struct crossing *crossing, struct transfers *transfers);
/* upstreams_keep_near — from now on the owners' own loop gets all, but while its load is high. Borrowed.
 * upstreams_far_only — from now on the owners' own loop gets none, if there is another.
 * upstreams_reactors — how many get transfers, the own one included.
 * upstreams_far_total — transfers that were given to others. */
void upstreams_keep_near(struct upstreams *upstreams, struct load *load);
void upstreams_far_only(struct upstreams *upstreams);
size_t upstreams_reactors(const struct upstreams *upstreams);
uint64_t upstreams_far_total(const struct upstreams *upstreams);
/* upstreams_free — ends what is left, without callbacks; not from inside one. */
struct upstreams *upstreams_free(struct upstreams *upstreams);
/* upstream_start — begins later in this turn. `owner` is borrowed until `ended`.
 *   answers  ERR_INVALID a header with a line break · ERR_LIMIT too many headers, or too long
 *   faults   ERR_NOMEM. Then nothing is called back. */
enum err upstream_start(struct upstreams *upstreams, const struct upstream_request *request,
    const struct upstream_owner *owner, void *context, struct upstream **out) NODISCARD;
void upstream_resume(struct upstream *upstream); /* later in this turn; ignored if not paused */
void upstream_feed(struct upstream *upstream);   /* the upload has more, or has ended */
/* upstream_cancel — `ended` comes with CANCELED, later in this turn or, from another reactor, soon;
 * nothing else before it. Idempotent. */
void upstream_cancel(struct upstream *upstream);

#endif
