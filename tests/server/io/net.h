/* net — blocking sockets on the loopback interface, for the other side of a test. */
#ifndef TOKENLOG_TESTS_SERVER_IO_NET_H
#define TOKENLOG_TESTS_SERVER_IO_NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline struct sockaddr_in net_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* net_connect — `receive_bytes` > 0 makes the kernel's receive buffer that small. -1: failed. */
static inline int net_connect(uint16_t port, int receive_bytes)
{
    struct sockaddr_in address = net_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_bytes > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* net_listen — on a free port. */
static inline int net_listen(uint16_t *port)
{
    struct sockaddr_in address = net_address(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        abort();
    *port = ntohs(address.sin_port);
    return fd;
}

static inline bool net_write(int fd, const void *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = send(fd, bytes, size, MSG_NOSIGNAL);
        if (written <= 0)
            return false;
        bytes = (const uint8_t *)bytes + written;
        size -= (size_t)written;
    }
    return true;
}

/* net_read — until `size` bytes have come, or the end: 0 in *error for a FIN, else errno. */
static inline size_t net_read(int fd, void *out, size_t size, int *error)
{
    size_t got = 0;
    *error = 0;
    while (got < size) {
        ssize_t part = recv(fd, (uint8_t *)out + got, size - got, 0);
        if (part < 0)
            *error = errno;
        if (part <= 0)
            break;
        got += (size_t)part;
    }
    return got;
}

/* net_reset — close with a RST. */
static inline void net_reset(int fd)
{
    struct linger linger = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    (void)close(fd);
}

static inline uint16_t net_port(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

#endif
