/* socket — see socket.h.
 *
 * At most two operations are in flight: a receive, armed again once its bytes have found room, and
 * a send. With TLS a burst is encrypted into `wire` when its turn comes. Handshake answers and alerts
 * go to `wire` too, so that records leave in the order in which they were made:
 *
 *   plain   burst ─────────────────────────────▶ sendmsg
 *   TLS     burst ─▶ wire (with what was there) ─▶ outgoing ─▶ sendmsg
 *
 * Every change of state happens in socket_run, a task of the loop: callbacks only note what they
 * want, so that nothing is freed under a caller. */
#include "server/io/socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/base/own.h"

enum state { OPEN, FLUSHING, LINGERING, DRAINING, CLOSING };

static const int64_t ns_per_ms = 1000000;

struct socket {
    struct loop *loop;
    const struct socket_events *events;
    void *context;
    _Atomic int64_t *progress_ns;
    struct tls_session *tls;
    struct burst *burst; /* borrowed until sent() */
    struct msghdr message;
    struct iovec outgoing_vector; /* TLS */
    struct op receiving;
    struct op sending;
    struct task task;
    struct timer timer;  /* closing: stall, linger, drain */
    struct buf wire;     /* TLS records to send */
    struct buf outgoing; /* TLS records that are being sent */
    size_t unread;       /* delivered, not consumed */
    int fd;
    uint8_t state; /* enum state */
    uint8_t how;   /* enum conn_close, if is_close_wanted */
    bool is_close_wanted : 1;
    bool is_queued : 1;      /* the task */
    bool is_encrypted : 1;   /* the burst is in the outgoing records */
    bool has_end : 1;        /* the peer has ended its side */
    bool is_broken : 1;      /* nothing more can be sent */
    bool is_tls_broken : 1;  /* nothing more but an alert */
    bool is_notified : 1;    /* close_notify was made */
    bool is_established : 1; /* the TLS handshake is done, or there is none */
};

static_assert(sizeof(struct socket) <= 384, "many connections are idle: keep them small");

static void receive_done(struct op *op, int32_t result, uint32_t flags);
static void send_done(struct op *op, int32_t result, uint32_t flags);
static void timer_fired(struct timer *timer);
static void socket_run(struct task *task);
static void send_next(struct socket *socket);

static void run_later(struct socket *socket)
{
    if (socket->is_queued)
        return;
    socket->is_queued = true;
    loop_defer(socket->loop, &socket->task);
}

/* Ask again. The kernel answers -EAGAIN instead of waiting further when it was woken in vain many
 * times over, as by a peer with a tiny receive window. */
static bool is_passing(int32_t result)
{
    return result == -EAGAIN || result == -EINTR;
}

static bool is_serving(const struct socket *socket)
{
    return socket->state == OPEN && !socket->is_close_wanted;
}

static void note_progress(struct socket *socket)
{
    atomic_store_explicit(socket->progress_ns, loop_now_ns(socket->loop), memory_order_relaxed);
}

static int64_t stalled_ns(const struct socket *socket)
{
    return loop_now_ns(socket->loop) -
           atomic_load_explicit(socket->progress_ns, memory_order_relaxed);
}

enum err socket_new(const struct socket_config *config, int fd, struct socket **out)
{
    struct socket *socket = calloc(1, sizeof *socket);
    if (!socket || (config->tls && tls_session_new(config->tls, &socket->tls) != ERR_OK)) {
        free(socket);
        (void)close(fd);
        return fault(ERR_NOMEM, "connection");
    }
    socket->loop = config->loop;
    socket->events = config->events;
    socket->context = config->context;
    socket->progress_ns = config->progress_ns;
    socket->fd = fd;
    socket->is_established = !config->tls;
    socket->receiving.done = receive_done;
    socket->sending.done = send_done;
    socket->task.run = socket_run;
    socket->timer.fire = timer_fired;
    buf_init(&socket->wire, CONN_WIRE_BYTES_MAX);
    buf_init(&socket->outgoing, CONN_WIRE_BYTES_MAX);
    loop_recv(socket->loop, &socket->receiving, fd);
    *out = socket;
    return ERR_OK;
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Receiving goes on while closing: unread bytes in the kernel would turn our FIN into a RST. */
static bool wants_bytes(const struct socket *socket)
{
    return socket->state != CLOSING && !socket->has_end && !socket->is_broken &&
           socket->unread < CONN_UNREAD_BYTES_MAX;
}

static void settle_receiving(struct socket *socket)
{
    if (!socket->receiving.in_flight && wants_bytes(socket))
        loop_recv(socket->loop, &socket->receiving, socket->fd);
}

static void break_off(struct socket *socket)
{
    if (socket->is_broken)
        return;
    socket->is_broken = true;
    if (is_serving(socket))
        socket->events->ended(socket->context, true);
    socket_close(socket, CONN_CLOSE_NOW);
}

static void note_end(struct socket *socket)
{
    if (socket->has_end)
        return;
    socket->has_end = true;
    if (is_serving(socket))
        socket->events->ended(socket->context, false);
    if (socket->is_close_wanted)
        run_later(socket);
}

static void deliver(struct socket *socket, struct slice bytes)
{
    socket->unread = socket->events->received(socket->context, bytes);
}

/* The alert, if OpenSSL made one, leaves first; nothing else can be said. */
static void break_off_tls(struct socket *socket)
{
    if (socket->is_broken || socket->is_tls_broken)
        return;
    socket->is_tls_broken = true;
    if (is_serving(socket))
        socket->events->ended(socket->context, true);
    socket_close(socket, CONN_CLOSE_TRUNCATE);
}

static void take_tls(struct socket *socket, struct slice bytes)
{
    CLEANUP(buf_deinit) struct buf plaintext;
    buf_init(&plaintext, CONN_UNREAD_BYTES_HARD);
    enum err err = tls_receive(socket->tls, bytes, &plaintext, &socket->wire);
    bool was_established = socket->is_established;
    socket->is_established = tls_is_established(socket->tls);
    if (socket->is_established && !was_established)
        socket->events->established(socket->context);
    if (plaintext.size > 0)
        deliver(socket, buf_slice(&plaintext));
    if (err == ERR_CLOSED)
        note_end(socket);
    else if (err != ERR_OK)
        break_off_tls(socket);
    if (socket->wire.size > 0)
        run_later(socket);
}

static void receive_done(struct op *op, int32_t result, uint32_t flags)
{
    struct socket *socket = CONTAINER_OF(op, struct socket, receiving);
    if (result > 0) {
        struct slice bytes = loop_received(socket->loop, result, flags);
        if (is_serving(socket) && socket->tls)
            take_tls(socket, bytes);
        else if (is_serving(socket))
            deliver(socket, bytes);
        loop_recv_return(socket->loop, flags);
    } else if (result == 0) {
        note_end(socket);
    } else if (result != -ENOBUFS && result != -ECANCELED && !is_passing(result)) {
        break_off(socket);
    }
    if (socket->state == CLOSING)
        run_later(socket);
    else
        settle_receiving(socket);
}

void socket_resume(struct socket *socket, size_t unread)
{
    socket->unread = is_serving(socket) ? unread : 0;
    settle_receiving(socket);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* One run of plaintext, so that small segments share a record. */
static enum err encrypt_burst(struct socket *socket)
{
    const struct burst *burst = socket->burst;
    CLEANUP(buf_deinit) struct buf plaintext;
    buf_init(&plaintext, CONN_SEND_BYTES_MAX);
    for (size_t i = 0; i < burst->count; i++)
        TRY(buf_append(
            &plaintext, slice_of(burst->vectors[i].iov_base, burst->vectors[i].iov_len)));
    TRY(tls_send(socket->tls, buf_slice(&plaintext), &socket->wire));
    socket->is_encrypted = true;
    return ERR_OK;
}

static enum err encrypt(struct socket *socket)
{
    if (socket->burst)
        TRY(encrypt_burst(socket));
    buf_deinit(&socket->outgoing);
    socket->outgoing = socket->wire;
    buf_init(&socket->wire, CONN_WIRE_BYTES_MAX);
    socket->outgoing_vector = (struct iovec){socket->outgoing.data, socket->outgoing.size};
    socket->message = (struct msghdr){.msg_iov = &socket->outgoing_vector, .msg_iovlen = 1};
    return ERR_OK;
}

static bool has_left(const struct socket *socket)
{
    return socket->tls ? socket->outgoing_vector.iov_len > 0
                       : socket->burst->done < socket->burst->count;
}

static void send_rest(struct socket *socket)
{
    struct burst *burst = socket->burst;
    if (!socket->tls)
        socket->message = (struct msghdr){
            .msg_iov = burst->vectors + burst->done,
            .msg_iovlen = burst->count - burst->done,
        };
    loop_send(socket->loop, &socket->sending, socket->fd, &socket->message);
}

static void advance(struct socket *socket, size_t size)
{
    struct iovec *vector = &socket->outgoing_vector;
    note_progress(socket);
    if (!socket->tls) {
        burst_advance(socket->burst, size);
        return;
    }
    ASSERT(size <= vector->iov_len);
    vector->iov_base = (uint8_t *)vector->iov_base + size;
    vector->iov_len -= size;
}

static void hand_back(struct socket *socket)
{
    socket->is_encrypted = false;
    if (!socket->burst)
        return;
    socket->burst = NULL;
    socket->events->sent(socket->context);
}

/* What there is to send, if nothing is on its way. */
static void send_next(struct socket *socket)
{
    if (socket->sending.in_flight || (!socket->burst && socket->wire.size == 0))
        return;
    if (socket->is_broken || socket->state == CLOSING || (socket->is_tls_broken && socket->burst)) {
        hand_back(socket);
        return;
    }
    if (socket->tls && encrypt(socket) != ERR_OK) {
        break_off(socket);
        hand_back(socket);
        return;
    }
    note_progress(socket);
    send_rest(socket);
}

void socket_send(struct socket *socket, struct burst *burst)
{
    ASSERT(!socket->burst && socket->is_established && burst->count > 0);
    socket->burst = burst;
    send_next(socket);
}

static void send_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    struct socket *socket = CONTAINER_OF(op, struct socket, sending);
    if (socket->state == CLOSING || (result < 0 && !is_passing(result))) {
        break_off(socket);
        hand_back(socket);
        run_later(socket);
        return;
    }
    if (result > 0)
        advance(socket, (size_t)result);
    if (has_left(socket)) {
        send_rest(socket);
        return;
    }
    if (socket->tls)
        buf_deinit(&socket->outgoing);
    if (!socket->tls || socket->is_encrypted)
        hand_back(socket); /* the next one may come from inside */
    if (socket->tls)
        send_next(socket);
    if (socket->is_close_wanted)
        run_later(socket);
}

/* ---- closing --------------------------------------------------------------------------------- */

void socket_close(struct socket *socket, enum conn_close how)
{
    if (!socket->is_close_wanted || how > (enum conn_close)socket->how)
        socket->how = (uint8_t)how;
    socket->is_close_wanted = true;
    run_later(socket);
}

static void set_timer_ms(struct socket *socket, int64_t ms)
{
    timer_set(socket->loop, &socket->timer, loop_now_ns(socket->loop) + ms * ns_per_ms);
}

static void set_state(struct socket *socket, enum state state)
{
    static const uint8_t legal[] = {
        [OPEN] = 1 << FLUSHING | 1 << CLOSING,
        [FLUSHING] = 1 << LINGERING | 1 << DRAINING | 1 << CLOSING,
        [LINGERING] = 1 << DRAINING | 1 << CLOSING,
        [DRAINING] = 1 << CLOSING,
        [CLOSING] = 0,
    };
    ASSERT(legal[socket->state] & (1 << state));
    socket->state = (uint8_t)state;
}

static void begin_closing(struct socket *socket)
{
    set_state(socket, CLOSING);
    timer_cancel(socket->loop, &socket->timer);
    if (socket->sending.in_flight)
        loop_cancel(socket->loop, &socket->sending);
    if (socket->receiving.in_flight)
        loop_cancel(socket->loop, &socket->receiving);
}

static void begin_flushing(struct socket *socket)
{
    set_state(socket, FLUSHING);
    socket->unread = 0;
    settle_receiving(socket);
    note_progress(socket);
    set_timer_ms(socket, CONN_FLUSH_STALL_MS);
}

static void begin_draining(struct socket *socket)
{
    set_state(socket, DRAINING);
    note_progress(socket);
    set_timer_ms(socket, CONN_DRAIN_POLL_MS);
}

/* All has been handed to the kernel: end our side. */
static void begin_ending(struct socket *socket)
{
    if (socket->how == CONN_CLOSE_RESET) {
        begin_draining(socket);
        return;
    }
    set_state(socket, LINGERING);
    (void)shutdown(socket->fd, SHUT_WR); /* ENOTCONN: the peer is gone, which the receive tells */
    set_timer_ms(socket, CONN_LINGER_MS);
}

static void step_flushing(struct socket *socket)
{
    if (socket->sending.in_flight)
        return;
    if (socket->how == CONN_CLOSE_FLUSH && socket->tls && !socket->is_notified) {
        socket->is_notified = true;
        if (tls_close(socket->tls, &socket->wire) != ERR_OK)
            socket->is_broken = true;
    }
    send_next(socket);
    if (socket->is_broken)
        begin_closing(socket);
    else if (!socket->sending.in_flight)
        begin_ending(socket);
}

/* Bytes that the peer's kernel has not acknowledged; tcp(7). */
static int unacknowledged(const struct socket *socket)
{
    int count = 0;
    return ioctl(socket->fd, SIOCOUTQ, &count) == 0 ? count : 0;
}

static void step_draining(struct socket *socket)
{
    if (unacknowledged(socket) > 0 && stalled_ns(socket) < CONN_FLUSH_STALL_MS * ns_per_ms) {
        if (socket->timer.index == 0)
            set_timer_ms(socket, CONN_DRAIN_POLL_MS);
        return;
    }
    begin_closing(socket); /* the RST goes out with the close() */
}

static void step_closing(struct socket *socket)
{
    if (socket->how == CONN_CLOSE_NOW && socket->state != CLOSING)
        begin_closing(socket);
    if (socket->state == OPEN)
        begin_flushing(socket);
    if (socket->state == FLUSHING)
        step_flushing(socket);
    if (socket->state == LINGERING && socket->how == CONN_CLOSE_RESET)
        begin_draining(socket);
    if (socket->state == LINGERING && socket->has_end)
        begin_closing(socket);
    if (socket->state == DRAINING)
        step_draining(socket);
}

static void timer_fired(struct timer *timer)
{
    struct socket *socket = CONTAINER_OF(timer, struct socket, timer);
    int64_t left_ns = CONN_FLUSH_STALL_MS * ns_per_ms - stalled_ns(socket);
    if (socket->state == FLUSHING && left_ns > 0)
        timer_set(socket->loop, timer, loop_now_ns(socket->loop) + left_ns);
    else if (socket->state == FLUSHING || socket->state == LINGERING)
        begin_closing(socket);
    run_later(socket);
}

/* Nothing is in flight any more. */
static void finish(struct socket *socket)
{
    ASSERT(!socket->burst && socket->timer.index == 0);
    if (socket->how == CONN_CLOSE_RESET) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(socket->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    (void)close(socket->fd);
    socket->tls = tls_session_free(socket->tls);
    buf_deinit(&socket->wire);
    buf_deinit(&socket->outgoing);
    socket->events->closed(socket->context);
    free(socket);
}

static void socket_run(struct task *task)
{
    struct socket *socket = CONTAINER_OF(task, struct socket, task);
    socket->is_queued = false;
    if (socket->wire.size > 0 && is_serving(socket))
        send_next(socket);
    if (socket->is_close_wanted)
        step_closing(socket);
    if (socket->state == CLOSING && !socket->is_queued && !socket->sending.in_flight &&
        !socket->receiving.in_flight)
        finish(socket);
}
