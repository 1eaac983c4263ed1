/* watch — see watch.h. */
#include "server/io/watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const int64_t ns_per_ms = 1000000;

struct watch {
    struct op op;
    struct watches *watches; /* not asked for once it is removed */
    struct list node;
    int64_t acks_due_ns;  /* see ease_acks */
    int64_t acks_wait_ns; /* 0: not asked yet */
    int socket;
    short wanted; /* poll events; 0: none */
    short armed;  /* those of the poll in flight */
    bool is_removed;
    bool is_dispatching;
    bool is_canceling;
    bool owns_socket; /* close it when the poll is reaped */
};

static void poll_done(struct op *op, int32_t result, uint32_t flags);

void watches_init(struct watches *watches, struct loop *loop,
    void (*ready)(void *context, int socket, int32_t result), void *context)
{
    *watches = (struct watches){.loop = loop, .ready = ready, .context = context};
    list_init(&watches->closing);
}

void watches_deinit(struct watches *watches)
{
    while (list_pop(&watches->closing))
        continue;
}

/* The one wanted was given up just before, so it is the last of the list that has this number. */
int watches_close(struct watches *watches, int socket)
{
    for (struct list *node = watches->closing.prev; node != &watches->closing; node = node->prev) {
        struct watch *watch = CONTAINER_OF(node, struct watch, node);
        if (watch->socket == socket && !watch->owns_socket) {
            watch->owns_socket = true;
            return 0;
        }
    }
    return close(socket);
}

struct watch *watch_new(struct watches *watches, int socket)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->op.done = poll_done;
    watch->watches = watches;
    watch->socket = socket;
    list_init(&watch->node);
    return watch;
}

static void watch_free(struct watch *watch)
{
    if (watch->owns_socket)
        (void)close(watch->socket);
    list_unlink(&watch->node);
    free(watch);
}

static void disarm(struct watch *watch)
{
    if (watch->is_canceling)
        return;
    watch->is_canceling = true;
    loop_cancel(watch->watches->loop, &watch->op);
}

/* Brings the poll in line with what is wanted. */
static void settle(struct watch *watch)
{
    if (watch->op.in_flight) {
        if (watch->armed != watch->wanted)
            disarm(watch);
    } else if (watch->wanted && !watch->is_dispatching) {
        watch->armed = watch->wanted;
        watch->is_canceling = false;
        loop_poll(watch->watches->loop, &watch->op, watch->socket, watch->wanted);
    }
}

void watch_want(struct watch *watch, short events)
{
    watch->wanted = events;
    settle(watch);
}

void watch_remove(struct watch *watch)
{
    watch->is_removed = true;
    if (!watch->op.in_flight && !watch->is_dispatching) {
        watch_free(watch);
        return;
    }
    list_append(&watch->watches->closing, &watch->node);
    if (watch->op.in_flight)
        disarm(watch);
}

/* Has the kernel delay its acknowledgements: else each receive of a small pushed segment sends one,
 * which costs more than the receive. The kernel gives that up by itself when an acknowledgement had
 * to wait 40 ms for the next segment: a slow provider, or one with Nagle's algorithm, which held its
 * next bytes back for it. So it is asked again after a second, and after twice as long each time
 * that it had given up: what such a provider loses is 40 ms a handful of times a minute.
 *   source  tcp(7) TCP_QUICKACK; Linux's tcp_cleanup_rbuf, tcp_delack_timer_handler */
static void ease_acks(struct watch *watch)
{
    int64_t now_ns = loop_now_ns(watch->watches->loop);
    if (now_ns < watch->acks_due_ns)
        return;
    int is_quick = 1;
    socklen_t size = sizeof is_quick;
    if (watch->acks_wait_ns != 0)
        (void)getsockopt(watch->socket, IPPROTO_TCP, TCP_QUICKACK, &is_quick, &size);
    if (!is_quick || watch->acks_wait_ns == 0)
        watch->acks_wait_ns = (int64_t)UPSTREAM_ACKS_MS_MIN * ns_per_ms;
    else if (watch->acks_wait_ns < (int64_t)UPSTREAM_ACKS_MS_MAX * ns_per_ms)
        watch->acks_wait_ns *= 2;
    watch->acks_due_ns = now_ns + watch->acks_wait_ns;
    if (is_quick)
        (void)setsockopt(watch->socket, IPPROTO_TCP, TCP_QUICKACK, &(int){0}, sizeof(int));
}

static void poll_done(struct op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    struct watch *watch = CONTAINER_OF(op, struct watch, op);
    if (watch->is_removed) {
        watch_free(watch);
        return;
    }
    if (result != -ECANCELED) {
        watch->is_dispatching = true;
        if (result > 0 && result & POLLIN)
            ease_acks(watch);
        watch->watches->ready(watch->watches->context, watch->socket, result);
        watch->is_dispatching = false;
    }
    if (watch->is_removed)
        watch_free(watch);
    else
        settle(watch);
}
