/* socket — the far side of a connection: one accepted socket on the loop that accepted it. Receives,
 * does TLS, sends bursts, and closes as it is told. Knows no HTTP; its sender is a conn.
 *
 *   OPEN ─▶ FLUSHING ─▶ LINGERING (our FIN is sent; their bytes are dropped) ─┐
 *                └────▶ DRAINING (until all is acknowledged, then RST) ───────┤
 *                          CLOSING (cancelling what is in flight) ◀───────────┘
 *                             └─▶ closed(), freed
 *
 *   thread  its loop's; the events are called there, from completions and tasks */
#ifndef TOKENLOG_SERVER_IO_SOCKET_H
#define TOKENLOG_SERVER_IO_SOCKET_H

#include <stdatomic.h>

#include "protocol/tls/tls.h"
#include "server/io/burst.h"
#include "server/io/conn.h"

struct socket;

struct socket_events {
    /* Bytes from the peer (TLS: plaintext), borrowed. Answers how many of all that were delivered
     * have not been consumed: from CONN_UNREAD_BYTES_MAX on receiving stops until socket_resume. */
    size_t (*received)(void *context, struct slice bytes);
    void (*established)(void *context); /* the TLS handshake is done. Plain: never called */
    /* The burst is its sender's again: all of it was sent, or no more can be. */
    void (*sent)(void *context);
    /* The peer ended its side; or the connection broke and closes itself. At most once each; neither
     * after socket_close. */
    void (*ended)(void *context, bool is_broken);
    void (*closed)(void *context); /* the last call; no burst is left */
};

struct socket_config {
    struct loop *loop;
    struct tls_context *tls; /* NULL: plain TCP */
    const struct socket_events *events;
    void *context;
    _Atomic int64_t *progress_ns; /* when a send last began or advanced: written here, lives until
                                     closed() */
};

/* socket_new — takes over `fd` (faults ERR_NOMEM: it is closed then); starts receiving. */
enum err socket_new(const struct socket_config *config, int fd, struct socket **out) NODISCARD;
/* socket_send — one at a time: not before sent(), and with TLS not before established(). */
void socket_send(struct socket *socket, struct burst *burst);
/* socket_resume — so many are unread by now. */
void socket_resume(struct socket *socket, size_t unread);
/* socket_close — idempotent; a harder close overrides a softer one. What was sent before goes out as
 * enum conn_close says. closed() comes later, never from inside. */
void socket_close(struct socket *socket, enum conn_close how);

#endif
