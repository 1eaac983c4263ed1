/* carriage_plain — HTTP/1.1 of our own over kept sockets, for `http:` and an address that is known: the
 * model servers of a local network. An event costs one receive there and no poll, and an open stream holds
 * no buffer of its own.
 *
 * A name's address is known for UPSTREAM_NAME_S after libcurl has connected to it, or until no connection
 * to it is to be had: then libcurl looks the name up again, and tries all its addresses. The other ways
 * (TLS, a proxy, an upload) are libcurl's.
 *
 *   thread  the loop's
 *   source  RFC 9112 */
#ifndef TOKENLOG_SERVER_IO_CARRIAGE_PLAIN_H
#define TOKENLOG_SERVER_IO_CARRIAGE_PLAIN_H

#include "server/io/carriage.h"

struct plains; /* one per loop: its kept connections, the known names */

/* plains_new — faults of watches_new. */
enum err plains_new(struct loop *loop, struct plains **out) NODISCARD;
/* plains_free — all carriages were dropped. */
struct plains *plains_free(struct plains *plains);
/* plains_learn — `url`'s name leads to this address (in text) and port now. plain_may_learn: it is of a
 * form that leads to the plain way then. */
bool plain_may_learn(const char *url);
void plains_learn(struct plains *plains, const char *url, const char *address, uint16_t port);
/* plain_open — answers ERR_NOTFOUND: no plain way leads there · faults ERR_NOMEM */
enum err plain_open(struct plains *plains, struct transfer *transfer,
    const struct upstream_request *request, struct carriage **out) NODISCARD;

#endif
