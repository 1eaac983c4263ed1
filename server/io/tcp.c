/* tcp — see tcp.h. */
#include "server/io/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "server/io/bounds.h"

void tcp_set_option(int socket, int level, int option, int value)
{
    (void)setsockopt(socket, level, option, &value, sizeof value);
}

void tcp_set_options(int socket)
{
    tcp_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    tcp_set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    tcp_set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    tcp_set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    tcp_set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
}
