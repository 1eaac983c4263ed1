/* socket_bench — what it costs to send an event to a socket, and to receive one: by io_uring and by
 * plain calls, in turn, in one thread on one machine.
 *
 *   a round   first half │ the peers' part │ second half     halves are timed, by the thread's CPU
 *   send      all N      │ read by peers   │
 *   receive   be told    │ written by peers│ take all N
 *
 * The kernel does a loopback socket's receiving within the sender's call, so a send holds both; that is
 * so for every way alike. Nothing blocks, and there are no workers: the thread's CPU is all of it.
 *
 *   source  io_uring_setup(2) on SINGLE_ISSUER and DEFER_TASKRUN, io_uring_enter(2), epoll(7)      */
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/err.h"

enum {
    EVENT_BYTES = 300,
    SOCKETS_MAX = 512,
    BUFFERS = 2 * SOCKETS_MAX, /* a power of two */
    BUFFER_BYTES = 4096,
    PASSES = 9, /* each way, in turn; the median counts */
    PIECES = 3, /* of an event in a chunked response: head, bytes, line end */
};

struct bench {
    int count;
    int ours[SOCKETS_MAX], theirs[SOCKETS_MAX];
    struct iovec pieces[PIECES];
    struct msghdr message;
    uint8_t event[EVENT_BYTES], taken[BUFFER_BYTES];
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    int epoll;
    int results; /* of operations in flight; notifications do not count */
};

struct way {
    const char *name;
    bool is_sending;
    void (*first)(struct bench *bench);
    void (*second)(struct bench *bench);
};

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "socket_bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- sockets and ring ------------------------------------------------------------------------ */

static void connect_pair(struct bench *bench, int i)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    must(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
             getsockname(listener, (struct sockaddr *)&address, &size) == 0,
        "listen");
    bench->theirs[i] = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(bench->theirs[i], (struct sockaddr *)&address, size) == 0, "connect");
    bench->ours[i] = accept(listener, NULL, NULL);
    must(bench->ours[i] >= 0, "accept");
    (void)setsockopt(bench->ours[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(bench->theirs[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)close(listener);
}

static void give_buffer(struct bench *bench, unsigned id)
{
    io_uring_buf_ring_add(bench->buffer_ring, bench->buffers + (size_t)id * BUFFER_BYTES,
        BUFFER_BYTES, (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(bench->buffer_ring, 1);
}

static void open_ring(struct bench *bench)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_COOP_TASKRUN};
    must(io_uring_queue_init_params(BUFFERS, &bench->ring, &params) == 0, "io_uring");
    (void)io_uring_register_ring_fd(&bench->ring);
    must(io_uring_register_files(&bench->ring, bench->ours, (unsigned)bench->count) == 0, "files");
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)bench->buffer_ring, .ring_entries = BUFFERS};
    memset(bench->buffer_ring, 0, BUFFERS * sizeof(struct io_uring_buf));
    must(io_uring_register_buf_ring(&bench->ring, &registration, 0) == 0, "buffers");
    for (unsigned id = 0; id < BUFFERS; id++)
        give_buffer(bench, id);
    bench->results = 0;
}

static void open_epoll(struct bench *bench)
{
    bench->epoll = epoll_create1(0);
    for (int i = 0; i < bench->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = bench->ours[i]};
        must(epoll_ctl(bench->epoll, EPOLL_CTL_ADD, bench->ours[i], &event) == 0, "epoll");
    }
}

static struct io_uring_sqe *entry_for(struct bench *bench, int i)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&bench->ring);
    must(entry, "a full submission queue");
    io_uring_sqe_set_data64(entry, (unsigned)i); /* what prepares it leaves that alone */
    bench->results++;
    return entry;
}

/* Collects until `left` results are outstanding; `take` is given each. */
static void collect(struct bench *bench, int left,
    void (*take)(struct bench *bench, const struct io_uring_cqe *completion))
{
    unsigned wait = (unsigned)(bench->results - left);
    must(io_uring_submit_and_wait(&bench->ring, wait) >= 0, "io_uring_enter");
    while (bench->results > left) {
        struct io_uring_cqe *completion;
        must(io_uring_wait_cqe(&bench->ring, &completion) == 0, "a completion");
        errno = completion->res < 0 ? -completion->res : 0;
        must(completion->res >= 0, "an operation");
        if (!(completion->flags & IORING_CQE_F_NOTIF)) {
            if (take)
                take(bench, completion);
            bench->results--;
        }
        io_uring_cqe_seen(&bench->ring, completion);
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

static void send_plain(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++)
        must(send(bench->ours[i], bench->event, EVENT_BYTES, MSG_NOSIGNAL) == EVENT_BYTES, "send");
}

static void send_plain_pieces(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++)
        must(sendmsg(bench->ours[i], &bench->message, MSG_NOSIGNAL) == EVENT_BYTES, "sendmsg");
}

static void prepare_sends(struct bench *bench, unsigned char flags)
{
    for (int i = 0; i < bench->count; i++) {
        struct io_uring_sqe *entry = entry_for(bench, i);
        int file = flags & IOSQE_FIXED_FILE ? i : bench->ours[i];
        io_uring_prep_send(entry, file, bench->event, EVENT_BYTES, MSG_NOSIGNAL);
        entry->flags |= flags;
    }
}

static void send_ring(struct bench *bench)
{
    prepare_sends(bench, 0);
    collect(bench, 0, NULL);
}

static void send_ring_fixed(struct bench *bench)
{
    prepare_sends(bench, IOSQE_FIXED_FILE);
    collect(bench, 0, NULL);
}

static void send_ring_pieces(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++) {
        struct io_uring_sqe *entry = entry_for(bench, i);
        io_uring_prep_sendmsg(entry, bench->ours[i], &bench->message, MSG_NOSIGNAL);
    }
    collect(bench, 0, NULL);
}

static void send_ring_zero_copy(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++) {
        struct io_uring_sqe *entry = entry_for(bench, i);
        io_uring_prep_send_zc(entry, bench->ours[i], bench->event, EVENT_BYTES, MSG_NOSIGNAL, 0);
    }
    collect(bench, 0, NULL);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void receive(struct bench *bench, int file)
{
    must(recv(file, bench->taken, sizeof bench->taken, 0) == EVENT_BYTES, "recv");
}

static void take_by_epoll(struct bench *bench)
{
    struct epoll_event events[SOCKETS_MAX];
    for (int left = bench->count; left > 0;) {
        int count = epoll_wait(bench->epoll, events, bench->count, -1);
        must(count > 0, "epoll_wait");
        for (int i = 0; i < count; i++)
            receive(bench, events[i].data.fd);
        left -= count;
    }
}

static void arm_polls(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++) {
        struct io_uring_sqe *entry = entry_for(bench, i);
        io_uring_prep_poll_add(entry, bench->ours[i], POLLIN);
    }
    must(io_uring_submit(&bench->ring) == bench->count, "io_uring_submit");
}

static void take_polled(struct bench *bench, const struct io_uring_cqe *completion)
{
    receive(bench, bench->ours[completion->user_data]);
}

static void take_by_poll(struct bench *bench)
{
    collect(bench, 0, take_polled);
}

static void prepare_receives(struct bench *bench, unsigned char flags)
{
    for (int i = 0; i < bench->count; i++) {
        struct io_uring_sqe *entry = entry_for(bench, i);
        int file = flags & IOSQE_FIXED_FILE ? i : bench->ours[i];
        io_uring_prep_recv(entry, file, NULL, BUFFER_BYTES, 0);
        entry->flags |= flags | IOSQE_BUFFER_SELECT;
    }
    must(io_uring_submit(&bench->ring) == bench->count, "io_uring_submit");
}

static void arm_receives(struct bench *bench)
{
    prepare_receives(bench, 0);
}

static void arm_receives_fixed(struct bench *bench)
{
    prepare_receives(bench, IOSQE_FIXED_FILE);
}

/* Armed once; each completion leaves it armed, and so in flight. */
static void arm_multishot(struct bench *bench)
{
    if (bench->results > 0)
        return;
    for (int i = 0; i < bench->count; i++) {
        struct io_uring_sqe *entry = entry_for(bench, i);
        io_uring_prep_recv_multishot(entry, bench->ours[i], NULL, 0, 0);
        entry->flags |= IOSQE_BUFFER_SELECT;
    }
    must(io_uring_submit(&bench->ring) == bench->count, "io_uring_submit");
}

static void take_buffer(struct bench *bench, const struct io_uring_cqe *completion)
{
    must(completion->res == EVENT_BYTES, "a whole event");
    must(completion->flags & IORING_CQE_F_BUFFER, "a buffer");
    give_buffer(bench, completion->flags >> IORING_CQE_BUFFER_SHIFT);
    bench->results += completion->flags & IORING_CQE_F_MORE ? 1 : 0;
}

static void take_by_receive(struct bench *bench)
{
    collect(bench, 0, take_buffer);
}

static void take_by_multishot(struct bench *bench)
{
    must(io_uring_submit_and_wait(&bench->ring, (unsigned)bench->count) >= 0, "io_uring_enter");
    for (int i = 0; i < bench->count; i++) {
        struct io_uring_cqe *completion;
        must(io_uring_wait_cqe(&bench->ring, &completion) == 0, "a completion");
        must(completion->flags & IORING_CQE_F_MORE, "still armed");
        take_buffer(bench, completion);
        bench->results--;
        io_uring_cqe_seen(&bench->ring, completion);
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

static const struct way ways[] = {
    {"send: send(2)", true, send_plain, NULL},
    {"send: io_uring", true, send_ring, NULL},
    {"send: io_uring, registered files", true, send_ring_fixed, NULL},
    {"send: io_uring, zero copy", true, send_ring_zero_copy, NULL},
    {"send in three pieces: sendmsg(2)", true, send_plain_pieces, NULL},
    {"send in three pieces: io_uring", true, send_ring_pieces, NULL},
    {"receive: epoll and recv(2)", false, NULL, take_by_epoll},
    {"receive: io_uring's poll and recv(2)", false, arm_polls, take_by_poll},
    {"receive: io_uring, lent buffers", false, arm_receives, take_by_receive},
    {"receive: io_uring, registered files", false, arm_receives_fixed, take_by_receive},
    {"receive: io_uring, multishot", false, arm_multishot, take_by_multishot},
};
enum { WAYS = sizeof ways / sizeof *ways };

static void peers_read(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++)
        must(recv(bench->theirs[i], bench->taken, EVENT_BYTES, MSG_WAITALL) == EVENT_BYTES, "peer");
}

static void peers_write(struct bench *bench)
{
    for (int i = 0; i < bench->count; i++)
        must(send(bench->theirs[i], bench->event, EVENT_BYTES, 0) == EVENT_BYTES, "peer");
}

static int64_t cpu_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t timed(struct bench *bench, void (*half)(struct bench *bench))
{
    if (!half)
        return 0;
    int64_t from_ns = cpu_ns();
    half(bench);
    return cpu_ns() - from_ns;
}

/* Multishot receives are still armed, and would take the next way's bytes. */
static void close_ring(struct bench *bench)
{
    if (bench->results > 0) {
        struct io_uring_sqe *entry = entry_for(bench, 0);
        io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY);
        must(io_uring_submit(&bench->ring) == 1, "io_uring_submit");
        for (; bench->results > 0; bench->results--) {
            struct io_uring_cqe *completion;
            must(io_uring_wait_cqe(&bench->ring, &completion) == 0, "a completion");
            io_uring_cqe_seen(&bench->ring, completion);
        }
    }
    io_uring_queue_exit(&bench->ring);
}

/* The CPU of one event in nanoseconds. */
static double run_way(struct bench *bench, const struct way *way, int rounds)
{
    int64_t spent_ns = 0;
    open_ring(bench);
    for (int round = 0; round < rounds; round++) {
        spent_ns += timed(bench, way->first);
        if (way->is_sending)
            peers_read(bench);
        else
            peers_write(bench);
        spent_ns += timed(bench, way->second);
    }
    close_ring(bench);
    return (double)spent_ns / rounds / bench->count;
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

static void run(struct bench *bench, int rounds)
{
    static double results[WAYS][PASSES];
    for (int pass = -1; pass < PASSES; pass++) /* the first one warms up */
        for (int i = 0; i < WAYS; i++)
            results[i][pass < 0 ? 0 : pass] = run_way(bench, &ways[i], rounds);
    for (int i = 0; i < WAYS; i++) {
        qsort(results[i], PASSES, sizeof results[i][0], by_size);
        (void)printf("%s\n  \"%s\": {\"ns\": %.0f, \"from\": %.0f, \"to\": %.0f}", i ? "," : "{",
            ways[i].name, results[i][PASSES / 2], results[i][0], results[i][PASSES - 1]);
    }
    (void)printf("\n}\n");
}

int main(int argc, char **argv)
{
    static struct bench bench;
    int events = 2000;
    bench.count = 100;
    for (int option; (option = getopt(argc, argv, "n:e:")) != -1;) {
        long value = option == '?' ? 0 : strtol(optarg, NULL, 10);
        if (value < 1 || (option == 'n' && value > SOCKETS_MAX) || value > 1000000) {
            (void)fprintf(stderr, "usage: tokenlog_socket_bench [-n SOCKETS] [-e EVENTS_A_PASS]\n");
            return 2;
        }
        *(option == 'n' ? &bench.count : &events) = (int)value;
    }
    for (int i = 0; i < bench.count; i++)
        connect_pair(&bench, i);
    bench.pieces[0] = (struct iovec){bench.event, 5};
    bench.pieces[1] = (struct iovec){bench.event + 5, EVENT_BYTES - 7};
    bench.pieces[2] = (struct iovec){bench.event + EVENT_BYTES - 2, 2};
    bench.message = (struct msghdr){.msg_iov = bench.pieces, .msg_iovlen = PIECES};
    size_t ring_bytes = BUFFERS * sizeof(struct io_uring_buf);
    bench.buffer_ring =
        mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bench.buffers = malloc((size_t)BUFFERS * BUFFER_BYTES);
    must(bench.buffer_ring != MAP_FAILED && bench.buffers, "memory");
    open_epoll(&bench);
    run(&bench, events > bench.count ? events / bench.count : 1);
    return 0;
}
