/* watch — see watch.h. */
#include "server/io/watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const int64_t ns_per_ms = 1000000;

static_assert(
    POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR && POLLHUP == EPOLLHUP,
    "events pass as they are");

struct watches {
    struct loop *loop;
    const struct watch_owner *owner;
    struct op op; /* the ring's poll of the set */
    int set;
    bool is_closing;
    int next, count; /* of `events`: those not told yet */
    struct epoll_event events[WATCH_EVENTS_MAX];
};

enum { WATCH_AHEAD = 3 /* sockets: what they need is fetched while those before them are told */ };

static void set_ready(struct op *op, int32_t result, uint32_t flags);

enum err watches_new(struct loop *loop, const struct watch_owner *owner, struct watches **out)
{
    struct watches *watches = calloc(1, sizeof *watches);
    if (!watches)
        return fault(ERR_NOMEM, "watches");
    watches->loop = loop;
    watches->owner = owner;
    watches->op.done = set_ready;
    watches->set = epoll_create1(EPOLL_CLOEXEC);
    if (watches->set < 0) {
        free(watches);
        return fault(ERR_UNSUPPORTED, "epoll_create1: %s", strerror(errno));
    }
    *out = watches;
    return ERR_OK;
}

static void destroy(struct watches *watches)
{
    (void)close(watches->set);
    free(watches);
}

struct watches *watches_free(struct watches *watches)
{
    if (!watches)
        return NULL;
    watches->is_closing = true;
    if (watches->op.in_flight)
        loop_cancel(watches->loop, &watches->op); /* set_ready destroys it */
    else if (watches->count == 0) /* else it does so when it has told what it was about to tell */
        destroy(watches);
    return NULL;
}

void watch_init(struct watch *watch, struct watches *watches, int socket)
{
    *watch = (struct watch){.watches = watches, .socket = socket};
}

static void arm(struct watches *watches)
{
    if (!watches->op.in_flight)
        loop_poll(watches->loop, &watches->op, watches->set, POLLIN);
}

static void leave(struct watch *watch)
{
    if (watch->wanted)
        (void)epoll_ctl(watch->watches->set, EPOLL_CTL_DEL, watch->socket, NULL);
    watch->wanted = 0;
}

enum err watch_want(struct watch *watch, short events)
{
    struct epoll_event event = {.events = (uint32_t)events, .data.ptr = watch};
    if (events == 0)
        leave(watch);
    if (events == watch->wanted)
        return ERR_OK;
    int how = watch->wanted ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(watch->watches->set, how, watch->socket, &event) != 0) {
        int error = errno;
        leave(watch);
        return fault(ERR_NOMEM, "epoll_ctl: %s", strerror(error));
    }
    watch->wanted = events;
    arm(watch->watches);
    return ERR_OK;
}

void watch_remove(struct watch *watch)
{
    struct watches *watches = watch->watches;
    leave(watch);
    for (int i = watches->next; i < watches->count; i++)
        if (watches->events[i].data.ptr == watch)
            watches->events[i].data.ptr = NULL;
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

static void tell(struct watches *watches, const struct epoll_event *event)
{
    struct watch *watch = event->data.ptr;
    if (!watch) /* removed by one that was told before */
        return;
    if (event->events & EPOLLIN)
        ease_acks(watch);
    watches->owner->ready(watch, (short)event->events);
}

/* Of those told soon: first the watch, then what its owner needs with it. */
static void fetch_ahead(const struct watches *watches)
{
    const struct epoll_event *events = watches->events;
    int far = watches->next + 2 * WATCH_AHEAD, near = watches->next + WATCH_AHEAD;
    if (far < watches->count)
        __builtin_prefetch(events[far].data.ptr);
    if (near < watches->count && events[near].data.ptr && watches->owner->ahead)
        watches->owner->ahead(events[near].data.ptr);
}

/* What was not asked for yet is there still when the poll is armed again. */
static void set_ready(struct op *op, int32_t result, uint32_t flags)
{
    (void)result;
    (void)flags;
    struct watches *watches = CONTAINER_OF(op, struct watches, op);
    if (!watches->is_closing) {
        watches->count = epoll_wait(watches->set, watches->events, WATCH_EVENTS_MAX, 0);
        for (watches->next = 0; watches->next < watches->count;) {
            fetch_ahead(watches);
            tell(watches, &watches->events[watches->next++]);
        }
        watches->count = 0;
    }
    if (!watches->is_closing)
        arm(watches);
    else if (!watches->op.in_flight) /* else one of those told had it armed: it is cancelled */
        destroy(watches);
}
