/* listener — a listening TCP socket: binds at once (so that callers queue while recovery runs),
 * accepts when told to.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_IO_LISTENER_H
#define TOKENLOG_SERVER_IO_LISTENER_H

#include "server/io/loop.h"

struct listener;

/* listener_open — "127.0.0.1:8080", "[::1]:0", "*:443" (both families). Accepted sockets inherit
 * TCP_NODELAY and keepalive. A port that somebody has is refused: a second server on it would
 * silently get half of the callers.
 *   answers  ERR_INVALID address · ERR_BUSY taken · ERR_DENIED privileged port; each with a
 *            sentence that says what to do in `*why` (static)
 *   faults   ERR_IO, ERR_NOMEM */
enum err listener_open(
    struct loop *loop, struct slice address, const char **why, struct listener **out) NODISCARD;
/* listener_share — another one on the port of `first`, for another loop: the kernel spreads the
 * callers (SO_REUSEPORT), and other servers are still refused. Any thread; from then on `loop`'s.
 * Faults ERR_IO, ERR_NOMEM. */
enum err listener_share(
    const struct listener *first, struct loop *loop, struct listener **out) NODISCARD;
/* listener_start — accept from now on; each new fd is the callee's. On EMFILE and the like
 * accepting pauses for LISTEN_PAUSE_MS and goes on. */
void listener_start(
    struct listener *listener, void (*accepted)(void *context, int fd), void *context);
/* listener_close — stop accepting; frees itself once nothing is in flight, then calls `closed` with
 * listener_start's context, or else NULL, if `closed` is not NULL. Never from inside this call. */
void listener_close(struct listener *listener, void (*closed)(void *context));
const char *listener_address(const struct listener *listener); /* with the port that was given */
bool listener_is_loopback(const struct listener *listener);

#endif
