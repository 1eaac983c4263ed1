/* conn — see conn.h. This is the near side: what the owner calls. The socket itself is the far side
 * (socket.h): on this loop, called directly; or on the loop of another reactor that accepted it, by
 * messages (conn_bridge.h).
 *
 *   owner ─▶ conn ─┬─▶ socket            its events come back to the same four functions below
 *                  └─▶ conn_bridge ─▶ socket
 *
 * What is being sent lies in a burst (burst.h), borrowed from this loop's scratch while there is
 * something to send and given back here when it is sent, so that a parked connection holds none.
 *
 * Every change of state happens in conn_run, a task of the loop: callbacks only note what they
 * want, so that nothing is freed under a caller. */
#include "server/io/conn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/io/conn_bridge.h"

enum { PEER_BYTES = INET6_ADDRSTRLEN + 9 /* "[", "]:65535" and a NUL */ };

struct conn {
    struct loop *loop;
    const struct conn_owner *owner;
    void *context;
    struct socket *socket;      /* one of these two */
    struct conn_bridge *bridge; /* to a socket on another loop */
    struct burst *burst;        /* while there is something to send */
    struct task task;
    struct buf unread;           /* received, not consumed */
    _Atomic int64_t progress_ns; /* when a send last began or advanced */
    uint8_t how;                 /* enum conn_close, if is_close_wanted */
    bool is_close_wanted : 1;
    bool is_close_owed : 1; /* the socket has not been told of it */
    bool is_queued : 1;     /* the task */
    bool is_resumed : 1;    /* conn_resume was called */
    bool is_woken : 1;      /* conn_wake was called */
    bool is_resting : 1;    /* conn_rest was called */
    bool is_pushing : 1;    /* within writable() */
    bool is_sending : 1;    /* the burst is the socket's */
    bool has_end : 1;       /* the peer has ended its side */
    bool is_end_told : 1;
    bool is_broken : 1;
    bool is_established : 1; /* the TLS handshake is done, or there is none */
    bool is_closed : 1;      /* the socket is gone */
    char peer[PEER_BYTES];
};

static_assert(sizeof(struct conn) <= 256, "many connections are idle: keep them small");

static const struct socket_events socket_events;
static void conn_run(struct task *task);

static void run_later(struct conn *conn)
{
    if (conn->is_queued)
        return;
    conn->is_queued = true;
    loop_defer(conn->loop, &conn->task);
}

static bool is_serving(const struct conn *conn)
{
    return !conn->is_close_wanted;
}

/* ---- beginning ------------------------------------------------------------------------------- */

static void note_peer(struct conn *conn, int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer;
    memcpy(conn->peer, "?", 2);
    if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
        return;
    if (peer.ss_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host))
        (void)snprintf(conn->peer, sizeof conn->peer, "%s:%u", host, (unsigned)ntohs(v4->sin_port));
    if (peer.ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host))
        (void)snprintf(
            conn->peer, sizeof conn->peer, "[%s]:%u", host, (unsigned)ntohs(v6->sin6_port));
}

enum err conn_new(struct loop *loop, struct arrival arrival, struct tls_context *tls,
    const struct conn_owner *owner, void *context, struct conn **out)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        (void)close(arrival.fd);
        return fault(ERR_NOMEM, "connection");
    }
    conn->loop = loop;
    conn->owner = owner;
    conn->context = context;
    conn->is_established = !tls;
    conn->task.run = conn_run;
    buf_init(&conn->unread, CONN_UNREAD_BYTES_HARD);
    note_peer(conn, arrival.fd);
    struct socket_config config = {loop, tls, &socket_events, conn, &conn->progress_ns};
    enum err err = arrival.crossing
                       ? conn_bridge_new(arrival.crossing, &config, arrival.fd, &conn->bridge)
                       : socket_new(&config, arrival.fd, &conn->socket);
    if (err != ERR_OK) {
        free(conn);
        return err;
    }
    *out = conn;
    return ERR_OK;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void buf_release(struct buf *buf)
{
    size_t size_max = buf->size_max;
    buf_deinit(buf);
    buf_init(buf, size_max);
}

static void break_off(struct conn *conn)
{
    if (conn->is_broken)
        return;
    conn->is_broken = true;
    if (is_serving(conn))
        conn->owner->ended(conn->context, true);
    conn_close(conn, CONN_CLOSE_NOW);
}

static void tell_end(struct conn *conn)
{
    if (!conn->has_end || conn->is_end_told || conn->unread.size > 0 || !is_serving(conn))
        return;
    conn->is_end_told = true;
    conn->owner->ended(conn->context, false);
}

static void deliver_unread(struct conn *conn)
{
    if (conn->unread.size == 0 || !is_serving(conn))
        return;
    size_t consumed = 0;
    conn->owner->received(conn->context, buf_slice(&conn->unread), &consumed);
    buf_consume(&conn->unread, consumed);
    if (conn->unread.size == 0)
        buf_release(&conn->unread);
}

/* Straight from where it was received if nothing waits before it; what is left is kept. */
static size_t socket_received(void *context, struct slice bytes)
{
    struct conn *conn = context;
    if (!is_serving(conn))
        return 0;
    if (conn->unread.size == 0) {
        size_t consumed = 0;
        conn->owner->received(conn->context, bytes, &consumed);
        ASSERT(consumed <= bytes.size);
        bytes = slice_sub(bytes, consumed, bytes.size);
    }
    if (is_serving(conn) && buf_append(&conn->unread, bytes) != ERR_OK)
        break_off(conn);
    return conn->unread.size;
}

static void socket_ended(void *context, bool is_broken)
{
    struct conn *conn = context;
    if (!is_broken) {
        conn->has_end = true;
        tell_end(conn);
        return;
    }
    conn->is_broken = true;
    if (!is_serving(conn))
        return;
    conn->is_close_wanted = true; /* the socket closes itself; how, it knows best */
    conn->owner->ended(conn->context, true);
    run_later(conn);
}

void conn_resume(struct conn *conn)
{
    conn->is_resumed = true;
    run_later(conn);
}

static void resume(struct conn *conn)
{
    conn->is_resumed = false;
    deliver_unread(conn);
    tell_end(conn);
    if (conn->socket)
        socket_resume(conn->socket, conn->unread.size);
    else
        conn_bridge_resume(conn->bridge, conn->unread.size);
}

/* ---- pushing and sending --------------------------------------------------------------------- */

void conn_wake(struct conn *conn)
{
    conn->is_woken = true;
    run_later(conn);
}

void conn_rest(struct conn *conn)
{
    ASSERT(conn->is_pushing);
    conn->is_resting = true;
}

enum err conn_push(struct conn *conn, struct slice bytes, void (*release)(void *owner), void *owner)
{
    ASSERT(conn->is_pushing);
    return burst_push(conn->burst, bytes, release, owner);
}

enum err conn_push_copy(struct conn *conn, struct slice bytes)
{
    ASSERT(conn->is_pushing);
    return burst_push_copy(conn->burst, bytes);
}

size_t conn_room(const struct conn *conn, size_t *segments)
{
    if (segments)
        *segments = 0;
    return conn->burst ? burst_room(conn->burst, segments) : 0;
}

static void burst_end(struct conn *conn)
{
    conn->burst = burst_free(conn->loop, conn->burst);
}

static void send_burst(struct conn *conn)
{
    conn->is_sending = true;
    atomic_store_explicit(&conn->progress_ns, loop_now_ns(conn->loop), memory_order_relaxed);
    if (conn->socket)
        socket_send(conn->socket, conn->burst);
    else
        conn_bridge_send(conn->bridge, conn->burst);
}

/* Lets the owner push, and sends what there is then. Parks the connection if that is nothing. */
static void pump(struct conn *conn)
{
    ASSERT(!conn->is_sending && !conn->is_pushing && !conn->burst);
    conn->burst = burst_new(conn->loop);
    if (!conn->burst) {
        break_off(conn);
        return;
    }
    conn->is_woken = conn->is_resting = false;
    conn->is_pushing = true;
    conn->owner->writable(conn->context);
    conn->is_pushing = false;
    bool is_dropped = conn->is_close_wanted && conn->how == CONN_CLOSE_NOW;
    if (is_dropped || conn->burst->count == 0)
        burst_end(conn);
    else
        send_burst(conn);
}

static void socket_established(void *context)
{
    struct conn *conn = context;
    conn->is_established = true;
    if (conn->is_woken)
        run_later(conn);
}

static void socket_sent(void *context)
{
    struct conn *conn = context;
    ASSERT(conn->is_sending);
    conn->is_sending = false;
    burst_end(conn);
    conn->is_woken |= !conn->is_resting;
    if (conn->is_woken && is_serving(conn))
        pump(conn);
}

int64_t conn_stall_ns(const struct conn *conn)
{
    if (!conn->is_sending)
        return 0;
    int64_t stall_ns =
        loop_now_ns(conn->loop) - atomic_load_explicit(&conn->progress_ns, memory_order_relaxed);
    return stall_ns > 0 ? stall_ns : 1;
}

bool conn_is_sending(const struct conn *conn)
{
    return conn->is_sending;
}

const char *conn_peer(const struct conn *conn)
{
    return conn->peer;
}

/* ---- closing --------------------------------------------------------------------------------- */

void conn_close(struct conn *conn, enum conn_close how)
{
    if (!conn->is_close_wanted || how > (enum conn_close)conn->how) {
        conn->how = (uint8_t)how;
        conn->is_close_owed = true;
    }
    conn->is_close_wanted = true;
    run_later(conn);
}

static void close_socket(struct conn *conn)
{
    conn->is_close_owed = false;
    if (conn->socket)
        socket_close(conn->socket, conn->how);
    else
        conn_bridge_close(conn->bridge, conn->how);
}

static void finish(struct conn *conn)
{
    burst_end(conn);
    buf_deinit(&conn->unread);
    conn->owner->closed(conn->context);
    free(conn);
}

static void socket_closed(void *context)
{
    struct conn *conn = context;
    conn->is_close_wanted = conn->is_closed = true;
    if (!conn->is_queued)
        finish(conn);
}

static const struct socket_events socket_events = {
    socket_received, socket_established, socket_sent, socket_ended, socket_closed};

static void conn_run(struct task *task)
{
    struct conn *conn = CONTAINER_OF(task, struct conn, task);
    conn->is_queued = false;
    if (conn->is_closed) {
        finish(conn);
        return;
    }
    if (conn->is_resumed && is_serving(conn))
        resume(conn);
    if (conn->is_woken && !conn->is_sending && conn->is_established && is_serving(conn))
        pump(conn);
    if (conn->is_close_wanted)
        buf_release(&conn->unread);
    if (conn->is_close_owed)
        close_socket(conn);
}
