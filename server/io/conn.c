/* conn — see conn.h.
 *
 * At most two operations are in flight: a receive, armed again once its bytes have found room, and
 * a send. What is being sent lies in a burst, a block of scratch borrowed from the loop while there
 * is something to send:
 *
 *   burst  │ vectors: ■ head (scratch) │ ■ event (borrowed) │ ■ CRLF (scratch) │ …  → sendmsg
 *            done ──▶ │◀── left        each borrowed one is released once it is sent
 *
 * With TLS the pushed segments are encrypted into the conn's `wire` as soon as writable() returns,
 * and released; the burst then takes the wire over. Handshake answers and alerts go to `wire` too,
 * so that records leave in the order in which they were made.
 *
 * Every change of state happens in conn_run, a task of the loop: callbacks only note what they
 * want, so that nothing is freed under a caller. */
#include "server/io/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/base/own.h"

enum { PEER_BYTES = INET6_ADDRSTRLEN + 9 /* "[", "]:65535" and a NUL */ };

enum state { OPEN, FLUSHING, LINGERING, DRAINING, CLOSING };

static const int64_t ns_per_ms = 1000000;

struct segment {
    void (*release)(void *owner);
    void *owner;
};

struct burst {
    struct msghdr message;
    size_t done;  /* segments */
    size_t count; /* segments */
    size_t size;  /* bytes pushed */
    size_t scratch_size;
    struct buf wire; /* TLS: what the one segment points to */
    struct iovec vectors[CONN_SEGMENTS_MAX];
    struct segment segments[CONN_SEGMENTS_MAX];
    uint8_t scratch[CONN_SCRATCH_BYTES];
};

static_assert(sizeof(struct burst) <= LOOP_BLOCK_BYTES, "a burst is one block of scratch");

struct conn {
    struct loop *loop;
    const struct conn_owner *owner;
    void *context;
    struct tls_session *tls;
    struct burst *burst; /* while there is something to send */
    struct op receiving;
    struct op sending;
    struct task task;
    struct timer timer;  /* closing: stall, linger, drain */
    struct buf unread;   /* received, not consumed; TLS: plaintext */
    struct buf wire;     /* TLS records to send */
    int64_t progress_ns; /* when a send last began or advanced */
    int fd;
    uint8_t state; /* enum state */
    uint8_t how;   /* enum conn_close, if is_close_wanted */
    bool is_close_wanted : 1;
    bool is_queued : 1;  /* the task */
    bool is_resumed : 1; /* conn_resume was called */
    bool is_woken : 1;   /* conn_wake was called */
    bool is_pushing : 1; /* within writable() */
    bool has_end : 1;    /* the peer has ended its side */
    bool is_end_told : 1;
    bool is_broken : 1;
    bool is_notified : 1;    /* close_notify was made */
    bool is_established : 1; /* the TLS handshake is done, or there is none */
    char peer[PEER_BYTES];
};

static_assert(sizeof(struct conn) <= 512, "many connections are idle: keep them small");

static void receive_done(struct op *op, int32_t result, uint32_t flags);
static void send_done(struct op *op, int32_t result, uint32_t flags);
static void timer_fired(struct timer *timer);
static void conn_run(struct task *task);
static void pump(struct conn *conn);

static void run_later(struct conn *conn)
{
    if (conn->is_queued)
        return;
    conn->is_queued = true;
    loop_defer(conn->loop, &conn->task);
}

/* Ask again. The kernel answers -EAGAIN instead of waiting further when it was woken in vain many
 * times over, as by a peer with a tiny receive window. */
static bool is_passing(int32_t result)
{
    return result == -EAGAIN || result == -EINTR;
}

static bool is_serving(const struct conn *conn)
{
    return conn->state == OPEN && !conn->is_close_wanted;
}

/* ---- beginning ------------------------------------------------------------------------------- */

static void note_peer(struct conn *conn)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer;
    memcpy(conn->peer, "?", 2);
    if (getpeername(conn->fd, (struct sockaddr *)&peer, &size) < 0)
        return;
    if (peer.ss_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host))
        (void)snprintf(conn->peer, sizeof conn->peer, "%s:%u", host, (unsigned)ntohs(v4->sin_port));
    if (peer.ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host))
        (void)snprintf(
            conn->peer, sizeof conn->peer, "[%s]:%u", host, (unsigned)ntohs(v6->sin6_port));
}

enum err conn_new(struct loop *loop, int fd, struct tls_context *tls,
    const struct conn_owner *owner, void *context, struct conn **out)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn || (tls && tls_session_new(tls, &conn->tls) != ERR_OK)) {
        free(conn);
        (void)close(fd);
        return fault(ERR_NOMEM, "connection");
    }
    conn->loop = loop;
    conn->owner = owner;
    conn->context = context;
    conn->fd = fd;
    conn->is_established = !tls;
    conn->receiving.done = receive_done;
    conn->sending.done = send_done;
    conn->task.run = conn_run;
    conn->timer.fire = timer_fired;
    buf_init(&conn->unread, CONN_UNREAD_BYTES_HARD);
    buf_init(&conn->wire, CONN_WIRE_BYTES_MAX);
    note_peer(conn);
    loop_recv(loop, &conn->receiving, fd);
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

/* Receiving goes on while closing: unread bytes in the kernel would turn our FIN into a RST. */
static bool wants_bytes(const struct conn *conn)
{
    return conn->state != CLOSING && !conn->has_end && !conn->is_broken &&
           conn->unread.size < CONN_UNREAD_BYTES_MAX;
}

static void settle_receiving(struct conn *conn)
{
    if (!conn->receiving.in_flight && wants_bytes(conn))
        loop_recv(conn->loop, &conn->receiving, conn->fd);
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

static void note_end(struct conn *conn)
{
    conn->has_end = true;
    tell_end(conn);
    if (conn->is_close_wanted)
        run_later(conn);
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

/* Straight from the receive buffer if nothing waits before it; what is left is kept. */
static void take_plain(struct conn *conn, struct slice bytes)
{
    if (conn->unread.size == 0) {
        size_t consumed = 0;
        conn->owner->received(conn->context, bytes, &consumed);
        ASSERT(consumed <= bytes.size);
        bytes = slice_sub(bytes, consumed, bytes.size);
    }
    if (is_serving(conn) && buf_append(&conn->unread, bytes) != ERR_OK)
        break_off(conn);
}

/* The alert, if OpenSSL made one, leaves first; nothing else can be said. */
static void break_off_tls(struct conn *conn)
{
    if (conn->is_broken)
        return;
    if (is_serving(conn))
        conn->owner->ended(conn->context, true);
    buf_release(&conn->unread);
    conn_close(conn, CONN_CLOSE_TRUNCATE);
}

static void take_tls(struct conn *conn, struct slice bytes)
{
    bool is_held = conn->unread.size > 0;
    enum err err = tls_receive(conn->tls, bytes, &conn->unread, &conn->wire);
    bool was_established = conn->is_established;
    conn->is_established = tls_is_established(conn->tls);
    if (!is_held)
        deliver_unread(conn);
    if (err == ERR_CLOSED)
        note_end(conn);
    else if (err != ERR_OK)
        break_off_tls(conn);
    if (conn->wire.size > 0 || (conn->is_woken && !was_established))
        run_later(conn);
}

static void receive_done(struct op *op, int32_t result, uint32_t flags)
{
    struct conn *conn = CONTAINER_OF(op, struct conn, receiving);
    if (result > 0) {
        struct slice bytes = loop_received(conn->loop, result, flags);
        if (is_serving(conn) && conn->tls)
            take_tls(conn, bytes);
        else if (is_serving(conn))
            take_plain(conn, bytes);
        loop_recv_return(conn->loop, flags);
    } else if (result == 0) {
        note_end(conn);
    } else if (result != -ENOBUFS && result != -ECANCELED && !is_passing(result)) {
        break_off(conn);
    }
    if (conn->state == CLOSING)
        run_later(conn);
    else
        settle_receiving(conn);
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
    settle_receiving(conn);
}

/* ---- pushing --------------------------------------------------------------------------------- */

void conn_wake(struct conn *conn)
{
    conn->is_woken = true;
    run_later(conn);
}

static void add_segment(
    struct burst *burst, struct slice bytes, void (*release)(void *owner), void *owner)
{
    burst->vectors[burst->count] = (struct iovec){(void *)(uintptr_t)bytes.data, bytes.size};
    burst->segments[burst->count] = (struct segment){release, owner};
    burst->count++;
}

enum err conn_push(struct conn *conn, struct slice bytes, void (*release)(void *owner), void *owner)
{
    ASSERT(conn->is_pushing);
    size_t segments;
    if (bytes.size > conn_room(conn, &segments) || segments == 0)
        return ERR_LIMIT;
    if (bytes.size == 0) {
        if (release)
            release(owner);
        return ERR_OK;
    }
    add_segment(conn->burst, bytes, release, owner);
    conn->burst->size += bytes.size;
    return ERR_OK;
}

/* Whether the scratch that is free begins where the last segment ends. */
static bool extends_scratch(const struct burst *burst)
{
    if (burst->count == 0)
        return false;
    const struct iovec *last = &burst->vectors[burst->count - 1];
    return (uint8_t *)last->iov_base + last->iov_len == burst->scratch + burst->scratch_size &&
           !burst->segments[burst->count - 1].release;
}

enum err conn_push_copy(struct conn *conn, struct slice bytes)
{
    ASSERT(conn->is_pushing);
    struct burst *burst = conn->burst;
    size_t segments;
    bool extends = extends_scratch(burst);
    if (bytes.size > conn_room(conn, &segments) || (segments == 0 && !extends) ||
        bytes.size > sizeof burst->scratch - burst->scratch_size)
        return ERR_LIMIT;
    if (bytes.size == 0)
        return ERR_OK;
    uint8_t *copy = burst->scratch + burst->scratch_size;
    memcpy(copy, bytes.data, bytes.size);
    burst->scratch_size += bytes.size;
    burst->size += bytes.size;
    if (extends)
        burst->vectors[burst->count - 1].iov_len += bytes.size;
    else
        add_segment(burst, slice_of(copy, bytes.size), NULL, NULL);
    return ERR_OK;
}

size_t conn_room(const struct conn *conn, size_t *segments)
{
    const struct burst *burst = conn->burst;
    if (segments)
        *segments = burst ? CONN_SEGMENTS_MAX - burst->count : 0;
    return burst ? CONN_SEND_BYTES_MAX - burst->size : 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

static bool burst_begin(struct conn *conn)
{
    ASSERT(!conn->burst);
    struct burst *burst = loop_block_take(conn->loop);
    if (!burst)
        return false;
    memset(burst, 0, offsetof(struct burst, vectors)); /* the arrays are filled as they are used */
    conn->burst = burst;
    return true;
}

static void release_segments(struct burst *burst, size_t count)
{
    for (; count > 0; count--) {
        struct segment *segment = &burst->segments[burst->done++];
        if (segment->release)
            segment->release(segment->owner);
    }
}

static void burst_end(struct conn *conn)
{
    struct burst *burst = conn->burst;
    if (!burst)
        return;
    release_segments(burst, burst->count - burst->done);
    buf_deinit(&burst->wire);
    conn->burst = NULL;
    loop_block_give(conn->loop, burst);
}

/* Takes `size` sent bytes off the front. */
static void burst_advance(struct burst *burst, size_t size)
{
    while (burst->done < burst->count) {
        struct iovec *vector = &burst->vectors[burst->done];
        if (size < vector->iov_len) {
            vector->iov_base = (uint8_t *)vector->iov_base + size;
            vector->iov_len -= size;
            return;
        }
        size -= vector->iov_len;
        release_segments(burst, 1);
    }
    ASSERT(size == 0);
}

/* One run of plaintext, so that small segments share a record. */
static enum err encrypt_segments(struct conn *conn)
{
    struct burst *burst = conn->burst;
    CLEANUP(buf_deinit) struct buf plaintext;
    buf_init(&plaintext, CONN_SEND_BYTES_MAX);
    for (size_t i = 0; i < burst->count; i++)
        TRY(buf_append(
            &plaintext, slice_of(burst->vectors[i].iov_base, burst->vectors[i].iov_len)));
    return tls_send(conn->tls, buf_slice(&plaintext), &conn->wire);
}

static enum err encrypt(struct conn *conn)
{
    struct burst *burst = conn->burst;
    if (burst->count > 0)
        TRY(encrypt_segments(conn));
    release_segments(burst, burst->count);
    burst->done = burst->count = 0;
    if (conn->wire.size == 0)
        return ERR_OK;
    burst->wire = conn->wire;
    buf_init(&conn->wire, CONN_WIRE_BYTES_MAX);
    add_segment(burst, buf_slice(&burst->wire), NULL, NULL);
    return ERR_OK;
}

static void send_rest(struct conn *conn)
{
    struct burst *burst = conn->burst;
    burst->message = (struct msghdr){
        .msg_iov = burst->vectors + burst->done,
        .msg_iovlen = burst->count - burst->done,
    };
    loop_send(conn->loop, &conn->sending, conn->fd, &burst->message);
}

/* Lets the owner push, and sends what there is then. Parks the connection if that is nothing. */
static void pump(struct conn *conn)
{
    ASSERT(!conn->sending.in_flight && !conn->is_pushing);
    if (conn->is_broken)
        return;
    if (!burst_begin(conn)) {
        break_off(conn);
        return;
    }
    if (is_serving(conn) && conn->is_woken && conn->is_established) {
        conn->is_woken = false;
        conn->is_pushing = true;
        conn->owner->writable(conn->context);
        conn->is_pushing = false;
    }
    bool is_dropped = conn->is_close_wanted && conn->how == CONN_CLOSE_NOW;
    enum err err = conn->tls && !is_dropped ? encrypt(conn) : ERR_OK;
    if (is_dropped || err != ERR_OK || conn->burst->count == 0) {
        burst_end(conn);
        if (err != ERR_OK)
            break_off(conn);
        return;
    }
    conn->progress_ns = loop_now_ns(conn->loop);
    send_rest(conn);
}

static void send_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    struct conn *conn = CONTAINER_OF(op, struct conn, sending);
    if (conn->state == CLOSING || (result < 0 && !is_passing(result))) {
        burst_end(conn);
        break_off(conn);
        run_later(conn);
        return;
    }
    if (result > 0) {
        conn->progress_ns = loop_now_ns(conn->loop);
        burst_advance(conn->burst, (size_t)result);
    }
    if (conn->burst->done < conn->burst->count) {
        send_rest(conn);
        return;
    }
    burst_end(conn);
    conn->is_woken = true;
    if (is_serving(conn))
        pump(conn);
    else
        run_later(conn);
}

int64_t conn_stall_ns(const struct conn *conn)
{
    if (!conn->sending.in_flight)
        return 0;
    int64_t stall_ns = loop_now_ns(conn->loop) - conn->progress_ns;
    return stall_ns > 0 ? stall_ns : 1;
}

bool conn_is_sending(const struct conn *conn)
{
    return conn->sending.in_flight;
}

const char *conn_peer(const struct conn *conn)
{
    return conn->peer;
}

/* ---- closing --------------------------------------------------------------------------------- */

void conn_close(struct conn *conn, enum conn_close how)
{
    if (!conn->is_close_wanted || how > (enum conn_close)conn->how)
        conn->how = (uint8_t)how;
    conn->is_close_wanted = true;
    run_later(conn);
}

static void set_timer_ms(struct conn *conn, int64_t ms)
{
    timer_set(conn->loop, &conn->timer, loop_now_ns(conn->loop) + ms * ns_per_ms);
}

static void set_state(struct conn *conn, enum state state)
{
    static const uint8_t legal[] = {
        [OPEN] = 1 << FLUSHING | 1 << CLOSING,
        [FLUSHING] = 1 << LINGERING | 1 << DRAINING | 1 << CLOSING,
        [LINGERING] = 1 << DRAINING | 1 << CLOSING,
        [DRAINING] = 1 << CLOSING,
        [CLOSING] = 0,
    };
    ASSERT(legal[conn->state] & (1 << state));
    conn->state = (uint8_t)state;
}

static void begin_closing(struct conn *conn)
{
    set_state(conn, CLOSING);
    timer_cancel(conn->loop, &conn->timer);
    if (conn->sending.in_flight)
        loop_cancel(conn->loop, &conn->sending);
    if (conn->receiving.in_flight)
        loop_cancel(conn->loop, &conn->receiving);
}

static void begin_flushing(struct conn *conn)
{
    set_state(conn, FLUSHING);
    buf_release(&conn->unread);
    settle_receiving(conn);
    conn->progress_ns = loop_now_ns(conn->loop);
    set_timer_ms(conn, CONN_FLUSH_STALL_MS);
}

static void begin_draining(struct conn *conn)
{
    set_state(conn, DRAINING);
    conn->progress_ns = loop_now_ns(conn->loop);
    set_timer_ms(conn, CONN_DRAIN_POLL_MS);
}

/* All has been handed to the kernel: end our side. */
static void begin_ending(struct conn *conn)
{
    if (conn->how == CONN_CLOSE_RESET) {
        begin_draining(conn);
        return;
    }
    set_state(conn, LINGERING);
    (void)shutdown(conn->fd, SHUT_WR); /* ENOTCONN: the peer is gone, which the receive tells */
    set_timer_ms(conn, CONN_LINGER_MS);
}

static void step_flushing(struct conn *conn)
{
    if (conn->sending.in_flight)
        return;
    if (conn->how == CONN_CLOSE_FLUSH && conn->tls && !conn->is_notified) {
        conn->is_notified = true;
        if (tls_close(conn->tls, &conn->wire) != ERR_OK)
            conn->is_broken = true;
    }
    if (conn->wire.size > 0)
        pump(conn);
    if (conn->is_broken)
        begin_closing(conn);
    else if (!conn->sending.in_flight)
        begin_ending(conn);
}

/* Bytes that the peer's kernel has not acknowledged; tcp(7). */
static int unacknowledged(const struct conn *conn)
{
    int count = 0;
    return ioctl(conn->fd, SIOCOUTQ, &count) == 0 ? count : 0;
}

static void step_draining(struct conn *conn)
{
    int64_t waited_ns = loop_now_ns(conn->loop) - conn->progress_ns;
    if (unacknowledged(conn) > 0 && waited_ns < CONN_FLUSH_STALL_MS * ns_per_ms) {
        if (conn->timer.index == 0)
            set_timer_ms(conn, CONN_DRAIN_POLL_MS);
        return;
    }
    begin_closing(conn); /* the RST goes out with the close() */
}

static void step_closing(struct conn *conn)
{
    if (conn->how == CONN_CLOSE_NOW && conn->state != CLOSING)
        begin_closing(conn);
    if (conn->state == OPEN)
        begin_flushing(conn);
    if (conn->state == FLUSHING)
        step_flushing(conn);
    if (conn->state == LINGERING && conn->how == CONN_CLOSE_RESET)
        begin_draining(conn);
    if (conn->state == LINGERING && conn->has_end)
        begin_closing(conn);
    if (conn->state == DRAINING)
        step_draining(conn);
}

static void timer_fired(struct timer *timer)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    int64_t stalled_ns = loop_now_ns(conn->loop) - conn->progress_ns;
    int64_t stall_ns_max = CONN_FLUSH_STALL_MS * ns_per_ms;
    if (conn->state == FLUSHING && stalled_ns < stall_ns_max)
        timer_set(conn->loop, timer, conn->progress_ns + stall_ns_max);
    else if (conn->state == FLUSHING || conn->state == LINGERING)
        begin_closing(conn);
    run_later(conn);
}

/* Nothing is in flight any more. */
static void finish(struct conn *conn)
{
    ASSERT(!conn->burst && conn->timer.index == 0);
    if (conn->how == CONN_CLOSE_RESET) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    (void)close(conn->fd);
    conn->tls = tls_session_free(conn->tls);
    buf_deinit(&conn->unread);
    buf_deinit(&conn->wire);
    conn->owner->closed(conn->context);
    free(conn);
}

static void conn_run(struct task *task)
{
    struct conn *conn = CONTAINER_OF(task, struct conn, task);
    conn->is_queued = false;
    if (conn->is_resumed && is_serving(conn))
        resume(conn);
    if (!conn->sending.in_flight && is_serving(conn) && (conn->is_woken || conn->wire.size > 0))
        pump(conn);
    if (conn->is_close_wanted)
        step_closing(conn);
    if (conn->state == CLOSING && !conn->is_queued && !conn->sending.in_flight &&
        !conn->receiving.in_flight)
        finish(conn);
}
