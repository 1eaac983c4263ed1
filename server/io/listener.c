/* listener — see listener.h. One multishot accept is in flight while it is started:
 *
 *   BOUND ─start─▶ ACCEPTING ◀─timer─▶ PAUSED (out of descriptors)
 *     └──────────────┴─close──────────────┴──▶ CLOSING ─▶ freed, when the accept has been reaped */
#include "server/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/io/address.h"
#include "server/io/tcp.h"

struct listener {
    struct loop *loop;
    int fd;
    bool is_any; /* every address of both families */
    bool is_closing;
    struct op accepting;
    struct timer pause;
    struct task task; /* the free, at the end of the turn */
    void (*accepted)(void *context, int fd);
    void (*closed)(void *context);
    void *context;
    struct sockaddr_storage bound;
    char address[ADDRESS_BYTES];
};

/* ---- address --------------------------------------------------------------------------------- */

/* "HOST:PORT"; "*" is every address of both families. */
static enum err parse_address(struct slice address, bool *is_any, struct sockaddr_storage *out)
{
    size_t colon = address.size;
    while (colon > 0 && address.data[colon - 1] != ':')
        colon--;
    if (colon < 2)
        return ERR_INVALID;
    struct slice host = slice_sub(address, 0, colon - 1);
    uint16_t port;
    TRY(port_parse(slice_sub(address, colon, address.size), &port));
    *is_any = slice_equal(host, SLICE("*"));
    if (slice_find_byte(host, ':') >= 0 && host.data[0] != '[')
        return ERR_INVALID; /* whose port is it? */
    return address_parse(*is_any ? SLICE("[::]") : host, port, out);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void set_options(int fd, bool is_any)
{
    tcp_set_option(
        fd, SOL_SOCKET, SO_REUSEADDR, 1); /* bind while old connections are in TIME_WAIT */
    tcp_set_options(fd);                  /* accepted sockets inherit it */
    if (is_any)
        tcp_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
}

static enum err explain_bind(int error, const char **why)
{
    switch (error) {
    case EADDRINUSE:
        *why = "another program listens there: stop it or choose another port";
        return ERR_BUSY;
    case EACCES:
        *why = "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one";
        return ERR_DENIED;
    case EADDRNOTAVAIL:
        *why = "no interface of this machine has that address: use 127.0.0.1, [::1] or *";
        return ERR_INVALID;
    default: return fault(ERR_IO, "bind and listen: %s", strerror(error));
    }
}

static enum err listener_bind(struct listener *listener, bool is_first, const char **why)
{
    socklen_t size = address_size(&listener->bound);
    listener->fd = socket(listener->bound.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0)
        return fault(ERR_IO, "socket: %s", strerror(errno));
    set_options(listener->fd, listener->is_any);
    if (!is_first)
        tcp_set_option(listener->fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(listener->fd, (struct sockaddr *)&listener->bound, size) < 0 ||
        listen(listener->fd, LISTEN_BACKLOG) < 0)
        return explain_bind(errno, why);
    if (getsockname(listener->fd, (struct sockaddr *)&listener->bound, &size) < 0)
        return fault(ERR_IO, "getsockname: %s", strerror(errno));
    address_format(&listener->bound, listener->address);
    return ERR_OK;
}

/* A machine without IPv6 serves "*" on IPv4 alone. */
static void fall_back_to_v4(struct sockaddr_storage *address)
{
    uint16_t port = ((struct sockaddr_in6 *)address)->sin6_port;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)close(fd);
        return;
    }
    *address = (struct sockaddr_storage){0};
    ((struct sockaddr_in *)address)->sin_family = AF_INET;
    ((struct sockaddr_in *)address)->sin_port = port;
}

static void accept_done(struct op *op, int32_t result, uint32_t flags);
static void pause_fired(struct timer *timer);
static void listener_settle(struct listener *listener);

static enum err listener_new(
    struct loop *loop, const struct listener *like, const char **why, struct listener **out)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return fault(ERR_NOMEM, "listener");
    bool is_first = !like->loop;
    listener->loop = loop;
    listener->bound = like->bound;
    listener->is_any = like->is_any;
    listener->accepting.done = accept_done;
    listener->pause.fire = pause_fired;
    enum err err = listener_bind(listener, is_first, why);
    if (err != ERR_OK) {
        if (listener->fd >= 0)
            (void)close(listener->fd);
        free(listener);
        return err;
    }
    *out = listener;
    return ERR_OK;
}

enum err listener_open(
    struct loop *loop, struct slice address, const char **why, struct listener **out)
{
    struct listener like = {0};
    if (parse_address(address, &like.is_any, &like.bound) != ERR_OK) {
        *why = "an address is HOST:PORT with a numeric host: 127.0.0.1:8080, [::1]:8080 or *:8080";
        return ERR_INVALID;
    }
    if (like.is_any)
        fall_back_to_v4(&like.bound);
    like.is_any = like.is_any && like.bound.ss_family == AF_INET6;
    return listener_new(loop, &like, why, out);
}

/* When a socket is bound to a port that another has, the kernel looks at the SO_REUSEPORT of both:
 * the first gets its own only now, and so had the port to itself before. */
enum err listener_share(const struct listener *first, struct loop *loop, struct listener **out)
{
    const char *why = "";
    tcp_set_option(first->fd, SOL_SOCKET, SO_REUSEPORT, 1);
    enum err err = listener_new(loop, first, &why, out);
    return err == ERR_OK || err_is_fault(err) ? err : fault(ERR_IO, "%s", why);
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* One connection's own misfortune, and over with it (accept(2)). */
static bool is_passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EAGAIN;
}

static void accept_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    struct listener *listener = CONTAINER_OF(op, struct listener, accepting);
    if (listener->is_closing) {
        if (result >= 0)
            (void)close(result);
        listener_settle(listener);
        return;
    }
    if (result >= 0)
        listener->accepted(listener->context, result);
    if (op->in_flight || listener->is_closing)
        return;
    if (result >= 0 || is_passing(-result))
        loop_accept(listener->loop, op, listener->fd);
    else
        timer_set(listener->loop, &listener->pause,
            loop_now_ns(listener->loop) + (int64_t)LISTEN_PAUSE_MS * 1000000);
}

static void pause_fired(struct timer *timer)
{
    struct listener *listener = CONTAINER_OF(timer, struct listener, pause);
    loop_accept(listener->loop, &listener->accepting, listener->fd);
}

void listener_start(
    struct listener *listener, void (*accepted)(void *context, int fd), void *context)
{
    ASSERT(!listener->accepted && accepted);
    listener->accepted = accepted;
    listener->context = context;
    loop_accept(listener->loop, &listener->accepting, listener->fd);
}

/* ---- closing --------------------------------------------------------------------------------- */

static void listener_finish(struct task *task)
{
    struct listener *listener = CONTAINER_OF(task, struct listener, task);
    void (*closed)(void *context) = listener->closed;
    void *context = listener->context;
    (void)close(listener->fd);
    free(listener);
    if (closed)
        closed(context);
}

static void listener_settle(struct listener *listener)
{
    if (listener->accepting.in_flight || listener->task.run)
        return;
    listener->task.run = listener_finish;
    loop_defer(listener->loop, &listener->task);
}

void listener_close(struct listener *listener, void (*closed)(void *context))
{
    ASSERT(!listener->is_closing);
    listener->is_closing = true;
    listener->closed = closed;
    timer_cancel(listener->loop, &listener->pause);
    if (listener->accepting.in_flight)
        loop_cancel(listener->loop, &listener->accepting);
    listener_settle(listener);
}

const char *listener_address(const struct listener *listener)
{
    return listener->address;
}

bool listener_is_loopback(const struct listener *listener)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&listener->bound;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&listener->bound;
    if (listener->bound.ss_family == AF_INET)
        return (ntohl(v4->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return v6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}
