/* tcp — what every connection of ours is told, a caller's and a provider's alike.
 *
 *   thread  any · source  tcp(7) */
#ifndef TOKENLOG_SERVER_IO_TCP_H
#define TOKENLOG_SERVER_IO_TCP_H

/* tcp_set_options — small writes go out at once, and a peer that vanished is noticed (KEEPALIVE_… in
 * bounds.h). Accepted sockets inherit it from the one that listens. */
void tcp_set_options(int socket);
/* tcp_set_option — setsockopt(2) of a flag or a number. Comfort, not need: a kernel that refuses one
 * serves all the same. */
void tcp_set_option(int socket, int level, int option, int value);

#endif
