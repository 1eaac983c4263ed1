/* conn — a connection's states; whatever happens to the socket, conn_close leads out of each:
 *
 *   READING ──request──▸ ANSWERING ──whole, keep-alive──▸ READING
 *                            │ whole, close; or ACT_CLOSE ──▸ DRAINING ──FIN, DRAIN_MS──▸ CLOSED
 *                            │ ACT_RESET ──▸ RESETTING ──the kernel has sent all──▸ CLOSED (RST)
 *                            └ ACT_STALL ──▸ STALLED
 *
 * `out` holds what the kernel would not take of the last write: while it is not empty nothing more
 * is rendered, so a connection never holds back more than one write. EPOLLIN is asked for only
 * where bytes are wanted; EPOLLRDHUP always, so that a caller's going is seen at once, and
 * half-closing counts as going. DRAINING is there because close(2) with unread bytes sends RST,
 * which could overtake the answer. */
#include "tools/mock/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "protocol/base/own.h"
#include "tools/mock/blob.h"
#include "tools/mock/bounds.h"

enum { OUT_KEPT_BYTES_MAX = 64 << 10 }; /* a larger `out` is given back once it is empty */

static const int64_t NS_PER_MS = 1000000;

enum conn_state { READING, ANSWERING, STALLED, RESETTING, DRAINING, CLOSED };

struct conn {
    struct list node;
    struct conns *conns;
    struct timer timer;
    struct transport *transport;
    struct request *request;      /* being read; NULL between requests */
    struct stream *stream;        /* being sent; NULL for answers that were ready */
    uint64_t blob_at, blob_bytes; /* of a blob that is being made */
    struct buf input;             /* read, but of the next request */
    struct buf out;               /* rendered, but not taken by the kernel, from out_at on */
    size_t out_at;
    enum conn_state state;
    enum stream_act act; /* once `out` is empty */
    uint32_t mask;       /* what epoll watches */
    bool closes;         /* after this answer */
};

static void become(struct conn *conn, enum conn_state state)
{
    enum conn_state from = conn->state;
    ASSERT(from != CLOSED);
    ASSERT(state == CLOSED || (state == READING && from == ANSWERING) ||
           (state == ANSWERING && from == READING) || (state == DRAINING && from == ANSWERING) ||
           (state == STALLED && from == ANSWERING) || (state == RESETTING && from == ANSWERING));
    conn->state = state;
}

static void conn_close(struct conn *conn)
{
    if (conn->state == CLOSED)
        return;
    become(conn, CLOSED);
    timers_cancel(&conn->conns->timers, &conn->timer);
    conn->stream = stream_free(conn->stream, conn->conns->desk->stats);
    list_unlink(&conn->node);
    list_append(&conn->conns->dead, &conn->node);
}

/* A fault of this connection: it is logged, and nothing else is harmed. */
static void conn_fail(struct conn *conn, enum err err)
{
    (void)fprintf(stderr, "mock_provider: %s: %s\n", err_text(err),
        err_is_fault(err) ? fault_origin() : "connection closed");
    conn_close(conn);
}

static void watch(struct conn *conn, uint32_t wanted)
{
    uint32_t mask = wanted | EPOLLRDHUP;
    if (mask == conn->mask || conn->state == CLOSED)
        return;
    struct epoll_event event = {.events = mask, .data.ptr = conn};
    if (epoll_ctl(conn->conns->epoll_fd, EPOLL_CTL_MOD, transport_fd(conn->transport), &event) != 0)
        return conn_fail(conn, fault(ERR_IO, "epoll_ctl"));
    conn->mask = mask;
}

static void wake_at(struct conn *conn, int64_t due_ns)
{
    enum err err = timers_set(&conn->conns->timers, &conn->timer, due_ns);
    if (err != ERR_OK)
        conn_fail(conn, err);
}

/* In the next turn: after everything that is due in this one. */
static void wake_soon(struct conn *conn)
{
    wake_at(conn, conn->conns->now_ns + 1);
}

/* ---- leaving ---- */

static void drain(struct conn *conn)
{
    for (int i = 0; i < WRITES_PER_TURN; i++) {
        size_t got;
        enum err err = transport_read(conn->transport, conn->conns->input, READ_BYTES, &got);
        if (err == ERR_AGAIN)
            return;
        if (err != ERR_OK)
            return conn_close(conn);
    }
}

static void begin_drain(struct conn *conn)
{
    become(conn, DRAINING);
    transport_end(conn->transport);
    watch(conn, EPOLLIN);
    if (conn->state == DRAINING)
        wake_at(conn, conn->conns->now_ns + DRAIN_MS * NS_PER_MS);
}

/* An RST drops what still waits for the peer's window, so that goes first. */
static void try_reset(struct conn *conn)
{
    if (!transport_has_sent_all(conn->transport))
        return wake_at(conn, conn->conns->now_ns + RESET_POLL_MS * NS_PER_MS);
    transport_reset(conn->transport);
    conn_close(conn);
}

/* ---- writing ---- */

/* ERR_AGAIN: the kernel took less than all, and `out` keeps the rest. */
static enum err flush(struct conn *conn, bool is_byte_wise)
{
    int sends = 0;
    while (conn->out_at < conn->out.size) {
        struct slice rest = slice_sub(buf_slice(&conn->out), conn->out_at, conn->out.size);
        if (is_byte_wise && sends++ == BYTES_SENT_SINGLY_PER_TURN) {
            wake_soon(conn);
            return ERR_AGAIN;
        }
        size_t written;
        enum err err =
            transport_write(conn->transport, is_byte_wise ? slice_sub(rest, 0, 1) : rest, &written);
        if (err == ERR_AGAIN)
            watch(conn, EPOLLOUT);
        TRY(err);
        conn->out_at += written;
    }
    conn->out_at = 0;
    if (conn->out.capacity > OUT_KEPT_BYTES_MAX) {
        buf_deinit(&conn->out);
        buf_init(&conn->out, WRITE_BYTES_MAX);
    }
    buf_clear(&conn->out);
    watch(conn, 0);
    return ERR_OK;
}

/* The common case takes no copy: the scratch goes to the kernel whole. */
static enum err send_scratch(struct conn *conn)
{
    struct slice bytes = buf_slice(&conn->conns->scratch);
    bool is_byte_wise = conn->stream && stream_is_byte_wise(conn->stream);
    size_t written = 0;
    ASSERT(conn->out.size == 0);
    if (bytes.size == 0)
        return ERR_OK;
    if (!is_byte_wise) {
        enum err err = transport_write(conn->transport, bytes, &written);
        if (err != ERR_OK && err != ERR_AGAIN)
            return err;
        if (written == bytes.size)
            return ERR_OK;
    }
    TRY(buf_append(&conn->out, slice_sub(bytes, written, bytes.size - written)));
    return flush(conn, is_byte_wise);
}

static void end_answer(struct conn *conn)
{
    if (conn->stream) {
        stream_over(conn->stream);
        conn->closes = stream_closes(conn->stream);
        conn->stream = stream_free(conn->stream, conn->conns->desk->stats);
    }
    if (conn->closes)
        return begin_drain(conn);
    become(conn, READING);
}

static void act(struct conn *conn)
{
    switch (conn->act) {
    case ACT_DONE: return end_answer(conn);
    case ACT_STALL: return become(conn, STALLED);
    case ACT_CLOSE: stream_over(conn->stream); return begin_drain(conn);
    case ACT_RESET:
        stream_over(conn->stream);
        become(conn, RESETTING);
        return try_reset(conn);
    case ACT_GO_ON: break;
    }
    ASSERT(false);
}

static enum err render(struct conn *conn)
{
    struct conns *conns = conn->conns;
    buf_clear(&conns->scratch);
    if (!conn->stream) {
        uint64_t left = conn->blob_bytes - conn->blob_at;
        uint64_t size = left < BLOB_WRITE_BYTES ? left : BLOB_WRITE_BYTES;
        TRY(blob_make(conn->blob_at, size, &conns->scratch));
        conn->blob_at += size;
        conn->act = size == left ? ACT_DONE : ACT_GO_ON;
        return send_scratch(conn);
    }
    TRY(stream_render(conn->stream, conns->desk->stats, &conns->scratch, &conn->act));
    return send_scratch(conn);
}

/* One write, or what stands in its way. True: there is more to do at once. */
static bool answer_step(struct conn *conn)
{
    enum err err = ERR_OK;
    if (conn->out.size > 0) {
        err = flush(conn, conn->stream && stream_is_byte_wise(conn->stream));
    } else if (conn->act != ACT_GO_ON) {
        act(conn);
        return conn->state == READING;
    } else {
        int64_t due_ns = conn->stream ? stream_due_ns(conn->stream) : 0;
        if (due_ns > conn->conns->now_ns) {
            wake_at(conn, due_ns);
            return false;
        }
        err = render(conn);
    }
    if (err == ERR_CLOSED)
        conn_close(conn);
    else if (err != ERR_OK && err != ERR_AGAIN)
        conn_fail(conn, err);
    return err == ERR_OK && conn->state == ANSWERING;
}

/* ---- reading ---- */

static enum err begin_answer(struct conn *conn, enum err read)
{
    struct conns *conns = conn->conns;
    struct desk_answer answer = {.closes = true};
    buf_clear(&conns->scratch);
    if (read == ERR_OK)
        TRY(desk_serve(conns->desk, &conn->request, conns->now_ns, &conns->scratch, &answer));
    else if (read == ERR_LIMIT)
        TRY(desk_refuse(413, "The request is too large for the mock.", &conns->scratch));
    else
        TRY(desk_refuse(400, "This is no HTTP request.", &conns->scratch));
    conn->request = request_free(conn->request);
    conn->stream = answer.stream;
    conn->closes = answer.closes;
    conn->blob_at = 0;
    conn->blob_bytes = answer.blob_bytes;
    conn->act = answer.stream || answer.blob_bytes ? ACT_GO_ON : ACT_DONE;
    become(conn, ANSWERING);
    watch(conn, 0);
    return send_scratch(conn);
}

static enum err feed(struct conn *conn, struct slice bytes, size_t *used)
{
    if (!conn->request)
        conn->request = request_new();
    if (!conn->request)
        return fault(ERR_NOMEM, "a request");
    enum err err = request_feed(conn->request, bytes, used);
    if (err_is_fault(err))
        return err;
    if (err != ERR_AGAIN)
        return begin_answer(conn, err);
    if (!request_wants_continue(conn->request))
        return ERR_OK;
    /* 25 bytes into an idle socket: should they not fit, the caller goes on after its own timeout. */
    size_t written;
    err = transport_write(conn->transport, SLICE("HTTP/1.1 100 Continue\r\n\r\n"), &written);
    return err == ERR_AGAIN ? ERR_OK : err;
}

static enum err feed_input(struct conn *conn)
{
    size_t used = conn->input.size;
    enum err err = feed(conn, buf_slice(&conn->input), &used);
    buf_consume(&conn->input, used);
    return err;
}

static enum err feed_socket(struct conn *conn)
{
    uint8_t *input = conn->conns->input;
    size_t got;
    enum err err = transport_read(conn->transport, input, READ_BYTES, &got);
    if (err == ERR_AGAIN)
        watch(conn, EPOLLIN | (transport_waits_to_write(conn->transport) ? EPOLLOUT : 0));
    TRY(err);
    size_t used = got;
    err = feed(conn, slice_of(input, got), &used);
    if (err == ERR_OK || err == ERR_AGAIN)
        TRY(buf_append(&conn->input, slice_of(input + used, got - used)));
    return err;
}

/* One read. True: there is more to do at once. */
static bool read_step(struct conn *conn)
{
    enum err err = conn->input.size > 0 ? feed_input(conn) : feed_socket(conn);
    if (err == ERR_CLOSED)
        conn_close(conn);
    else if (err != ERR_OK && err != ERR_AGAIN)
        conn_fail(conn, err);
    return err == ERR_OK && conn->state != CLOSED;
}

static void run(struct conn *conn)
{
    for (int i = 0; i < WRITES_PER_TURN; i++) {
        bool goes_on = conn->state == READING     ? read_step(conn)
                       : conn->state == ANSWERING ? answer_step(conn)
                                                  : false;
        if (!goes_on)
            return;
    }
    wake_soon(conn);
}

/* ---- events ---- */

void conn_on_io(struct conn *conn, uint32_t events)
{
    bool is_gone = events & (EPOLLERR | EPOLLHUP);
    switch (conn->state) {
    case CLOSED: return;
    case DRAINING: return is_gone ? conn_close(conn) : drain(conn);
    case READING: return is_gone ? conn_close(conn) : run(conn);
    case STALLED:
    case RESETTING:
    case ANSWERING:
        if (is_gone || events & EPOLLRDHUP)
            conn_close(conn);
        else if (conn->state == ANSWERING)
            run(conn);
        return;
    }
}

static void conn_on_timer(struct conn *conn)
{
    switch (conn->state) {
    case READING:
    case ANSWERING: return run(conn);
    case RESETTING: return try_reset(conn);
    case DRAINING: return conn_close(conn);
    case STALLED:
    case CLOSED: return;
    }
}

/* ---- all of them ---- */

enum err conns_init(struct conns *conns, int epoll_fd, struct desk *desk, struct tls *tls)
{
    *conns = (struct conns){.epoll_fd = epoll_fd, .desk = desk, .tls = tls};
    list_init(&conns->live);
    list_init(&conns->dead);
    timers_init(&conns->timers);
    buf_init(&conns->scratch, 5 * (size_t)WRITE_BYTES_MAX); /* /mock/last of the largest body */
    conns->input = malloc(READ_BYTES);
    return conns->input ? ERR_OK : fault(ERR_NOMEM, "the read buffer");
}

void conns_deinit(struct conns *conns)
{
    LIST_FOREACH_SAFE (node, &conns->live) {
        conn_close(CONTAINER_OF(node, struct conn, node));
    }
    conns_bury(conns);
    timers_deinit(&conns->timers);
    buf_deinit(&conns->scratch);
    free(conns->input);
}

static struct conn *conn_free(struct conn *conn)
{
    if (!conn)
        return NULL;
    transport_free(conn->transport);
    request_free(conn->request);
    buf_deinit(&conn->input);
    buf_deinit(&conn->out);
    free(conn);
    return NULL;
}

enum err conns_open(struct conns *conns, int fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    struct transport *transport = conn ? transport_new(fd, conns->tls) : NULL;
    if (!transport) {
        free(conn);
        (void)close(fd);
        return fault(ERR_NOMEM, "a connection");
    }
    conn->conns = conns;
    conn->transport = transport;
    buf_init(&conn->input, READ_BYTES);
    buf_init(&conn->out, 5 * (size_t)WRITE_BYTES_MAX);
    conn->mask = EPOLLIN | EPOLLRDHUP;
    struct epoll_event event = {.events = conn->mask, .data.ptr = conn};
    if (epoll_ctl(conns->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        conn_free(conn);
        return fault(ERR_IO, "epoll_ctl");
    }
    list_init(&conn->node);
    list_append(&conns->live, &conn->node);
    conns->count++;
    return ERR_OK;
}

void conns_tick(struct conns *conns)
{
    struct timer *timer;
    while ((timer = timers_pop(&conns->timers, conns->now_ns)))
        conn_on_timer(CONTAINER_OF(timer, struct conn, timer));
}

void conns_bury(struct conns *conns)
{
    struct list *node;
    while ((node = list_pop(&conns->dead))) {
        conn_free(CONTAINER_OF(node, struct conn, node));
        conns->count--;
    }
}
