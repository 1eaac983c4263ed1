/* conn — one accepted socket: bytes in by callback, bytes out by pull, TLS underneath if configured. Knows no HTTP.
 *
 *   received(bytes) ──▶ owner consumes what it can; the rest is kept (≤ CONN_UNREAD_BYTES_MAX) and receiving stops till conn_resume
 *   conn_wake() ──▶ later in the turn: writable() ──▶ owner pushes segments ──▶ one sendmsg in flight ──▶ writable() again…
 *                   until the owner pushes nothing; then the connection is parked and holds no buffer
 *
 * So a slow peer costs one send's worth (CONN_SEND_BYTES_MAX) and nothing more, and several events that became visible meanwhile go in one send.
 *
 *     OPEN ─▶ FLUSHING ─▶ LINGERING (our FIN is sent; their bytes are dropped) ─▶ CLOSING (cancelling what is in flight) ─▶ freed, after closed()
 *
 *   thread  loop                                                                                                       */
#ifndef TOKENLOG_SERVER_IO_CONN_H
#define TOKENLOG_SERVER_IO_CONN_H

#include "protocol/tls/tls.h"
#include "server/io/loop.h"

struct conn;

enum conn_close {
    CONN_CLOSE_FLUSH,  /* send what was pushed, FIN (TLS: close_notify first if is_clean), linger, close: the peer gets everything */
    CONN_CLOSE_TRUNCATE, /* the same without close_notify: the peer's TLS library can tell that the message was cut */
    CONN_CLOSE_RESET,  /* send what was pushed, wait until the peer's kernel has acknowledged it (SIOCOUTQ 0, bounded), then RST. Never throws pushed bytes away */
    CONN_CLOSE_NOW,    /* drop what was pushed */
};

struct conn_owner {
    /* bytes from the peer, borrowed; *consumed is how many were used. */
    void (*received)(void *context, struct slice bytes, size_t *consumed);
    /* nothing is queued: push what there is to send, or nothing. */
    void (*writable)(void *context);
    /* the peer ended its side (half close) — the owner decides; or the connection broke: is_broken, no more can be sent. Once each at the most. */
    void (*ended)(void *context, bool is_broken);
    /* the last call: the conn is about to be freed. Comes after every close, whoever began it. */
    void (*closed)(void *context);
};

/* conn_new — takes over `fd`; starts receiving. tls NULL: plain TCP. faults ERR_NOMEM (fd is closed). */
enum err conn_new(struct loop *loop, int fd, struct tls_context *tls, const struct conn_owner *owner, void *context, struct conn **out) NODISCARD;
void conn_resume(struct conn *conn); /* the owner can consume again: kept bytes are delivered later in this turn */
void conn_wake(struct conn *conn);   /* writable() will be called later in this turn (if no send is in flight; else when it is done) */

/* Pushing, only from within writable(). ERR_LIMIT: not pushed, the send is full; push it in the next writable().
 *   conn_push  borrows: the bytes must live until release(owner) is called (also when the connection breaks); release may be NULL for static bytes
 *   conn_push_copy  small pieces (a chunk head, an id line), copied */
enum err conn_push(struct conn *conn, struct slice bytes, void (*release)(void *owner), void *owner) NODISCARD;
enum err conn_push_copy(struct conn *conn, struct slice bytes) NODISCARD;
/* conn_room — bytes and segments that can still be pushed to this send. */
size_t conn_room(const struct conn *conn, size_t *segments);

void conn_close(struct conn *conn, enum conn_close how); /* idempotent; a harder close overrides a softer one */
/* conn_stall_ns — for how long a send has been in flight without any progress; 0 = none is. */
int64_t conn_stall_ns(const struct conn *conn);
bool conn_is_sending(const struct conn *conn);
const char *conn_peer(const struct conn *conn); /* "127.0.0.1:51234" */

#endif
