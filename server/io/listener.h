/* listener — a listening TCP socket: binds at once (so that callers queue while recovery runs), accepts when told to. */
#ifndef TOKENLOG_SERVER_IO_LISTENER_H
#define TOKENLOG_SERVER_IO_LISTENER_H

#include "server/io/loop.h"

struct listener;

/* listener_open — "127.0.0.1:8080", "[::1]:0", "*:443". SO_REUSEPORT, TCP_NODELAY inherited. answers ERR_INVALID (address), ERR_BUSY (taken), ERR_DENIED
 * (privileged port); each with a sentence in fault_origin-like `why` (static or borrowed until the next call on the thread). */
enum err listener_open(struct loop *loop, struct slice address, const char **why, struct listener **out) NODISCARD;
/* listener_start — accept from now on; each new fd is the callee's. On EMFILE and the like accepting pauses for a moment and goes on. */
void listener_start(struct listener *listener, void (*accepted)(void *context, int fd), void *context);
/* listener_close — stop accepting; frees itself once nothing is in flight, then calls `closed` if not NULL. */
void listener_close(struct listener *listener, void (*closed)(void *context));
const char *listener_address(const struct listener *listener); /* with the port that was given */
bool listener_is_loopback(const struct listener *listener);

#endif
