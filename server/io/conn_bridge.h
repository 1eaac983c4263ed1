/* conn_bridge — a conn on the core's loop and its socket on another reactor's: the calls of socket.h
 * go there, its events come back, as messages.
 *
 *   core                                           far loop
 *   conn ─▶ burst, closes, "so much is unread" ──▶ down mailbox ─▶ socket
 *   conn ◀── up mailbox ◀── parcels of received bytes, sent, ended, closed ◀── socket
 *
 * What crosses: a burst whole, lent until `sent` (its segments are read there and released here); what
 * was received, copied, at most CONN_UNREAD_BYTES_HARD of a connection; bits. An open connection has
 * at most one message on its way in each direction.
 *
 *   thread  the core's */
#ifndef TOKENLOG_SERVER_IO_CONN_BRIDGE_H
#define TOKENLOG_SERVER_IO_CONN_BRIDGE_H

#include "server/io/crossing.h"
#include "server/io/socket.h"

struct conn_bridge;

/* conn_bridge_new — as socket_new, with config->loop the core's. A socket that cannot be made ends
 * broken and closed. Faults ERR_NOMEM. */
enum err conn_bridge_new(struct crossing *crossing, const struct socket_config *config, int fd,
    struct conn_bridge **out) NODISCARD;
void conn_bridge_send(struct conn_bridge *bridge, struct burst *burst);
void conn_bridge_resume(struct conn_bridge *bridge, size_t unread);
void conn_bridge_close(struct conn_bridge *bridge, enum conn_close how);

#endif
