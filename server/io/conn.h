/* conn — one accepted socket: bytes in by callback, bytes out by pull, TLS underneath if
 * configured. Knows no HTTP.
 *
 *   received(bytes) ──▶ the owner consumes what it can; the rest is kept until conn_resume, and
 *                       from CONN_UNREAD_BYTES_MAX on receiving stops
 *   conn_wake() ──▶ later in the turn: writable() ──▶ owner pushes segments ──▶ one sendmsg in
 *                   flight ──▶ writable() again… until the owner pushes nothing, or rests; then the
 *                   connection is parked and holds no buffer
 *
 * So a slow peer costs one send's worth (CONN_SEND_BYTES_MAX) and nothing more, and several events
 * that became visible meanwhile go in one send.
 *
 * A connection that breaks closes itself: ended(is_broken), then closed().
 *
 * The socket may be on another loop, that of the reactor that accepted it (`arrival.crossing`):
 * nothing changes for the owner, but that an event takes a message to come here. Up to
 * CONN_UNREAD_BYTES_HARD of what was received can then be on its way, besides what is kept.
 *
 *   thread  loop                                                                               */
#ifndef TOKENLOG_SERVER_IO_CONN_H
#define TOKENLOG_SERVER_IO_CONN_H

#include "protocol/tls/tls.h"
#include "server/io/loop.h"

struct conn;
struct crossing;

/* What a listener has accepted. */
struct arrival {
    int fd;
    struct crossing *crossing; /* to the loop that accepted it; NULL: the conn's own */
};

/* From soft to hard. In each but NOW the peer gets all that was pushed, unless it takes nothing for
 * CONN_FLUSH_STALL_MS. */
enum conn_close {
    CONN_CLOSE_FLUSH,    /* send what was pushed (TLS: and close_notify), FIN, linger, close */
    CONN_CLOSE_TRUNCATE, /* the same without close_notify: the peer's TLS can tell it was cut */
    CONN_CLOSE_RESET,    /* send what was pushed, wait until the peer's kernel has acknowledged all
                            of it (SIOCOUTQ 0), then RST: never throws pushed bytes away */
    CONN_CLOSE_NOW,      /* drop what was pushed */
};

struct conn_owner {
    /* Bytes from the peer, borrowed; *consumed (0 before) is how many were used. */
    void (*received)(void *context, struct slice bytes, size_t *consumed);
    /* Nothing is queued: push what there is to send, or nothing. */
    void (*writable)(void *context);
    /* The peer ended its side (half close; told once all its bytes were consumed): the owner
     * decides. Or the connection broke: is_broken, no more can be sent. At most once each; neither
     * after conn_close. */
    void (*ended)(void *context, bool is_broken);
    /* The last call: the conn is about to be freed; all segments have been released. Comes after
     * every close, whoever began it, and never from inside conn_close. */
    void (*closed)(void *context);
};

/* conn_new — takes over arrival.fd (faults ERR_NOMEM: it is closed then); starts receiving. tls
 * NULL: plain TCP. `owner` is borrowed until closed(). */
enum err conn_new(struct loop *loop, struct arrival arrival, struct tls_context *tls,
    const struct conn_owner *owner, void *context, struct conn **out) NODISCARD;
/* conn_resume — the owner can consume again: kept bytes are delivered later in this turn. */
void conn_resume(struct conn *conn);
/* conn_wake — writable() will be called later in this turn (if a send is in flight: when it is
 * done; TLS: not before the handshake is). */
void conn_wake(struct conn *conn);

/* conn_rest — from within writable(): when this send is done, writable() is not called before the
 * next conn_wake. */
void conn_rest(struct conn *conn);

/* Pushing, only from within writable(). Answers ERR_LIMIT: not pushed, the send is full; push it in
 * the next writable(). What is larger than CONN_SEND_BYTES_MAX (a copy: CONN_SCRATCH_BYTES) never
 * fits.
 *   conn_push       borrows: the bytes must live until release(owner) is called (on
 *                   this thread; also when the connection breaks; maybe at once); release may be
 *                   NULL for static bytes
 *   conn_push_copy  small pieces (a chunk head, an id line), copied */
enum err conn_push(
    struct conn *conn, struct slice bytes, void (*release)(void *owner), void *owner) NODISCARD;
enum err conn_push_copy(struct conn *conn, struct slice bytes) NODISCARD;
/* conn_room — bytes and segments that can still be pushed to this send; `segments` may be NULL. */
size_t conn_room(const struct conn *conn, size_t *segments);

/* conn_close — idempotent; a harder close overrides a softer one. received, writable and ended are
 * not called after it. */
void conn_close(struct conn *conn, enum conn_close how);
/* conn_stall_ns — for how long a send has been in flight without any progress; 0 = none is. */
int64_t conn_stall_ns(const struct conn *conn);
bool conn_is_sending(const struct conn *conn);
const char *conn_peer(const struct conn *conn); /* "127.0.0.1:51234"; borrowed from the conn */

#endif
