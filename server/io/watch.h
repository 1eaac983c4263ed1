/* watch — sockets that are read and written by plain calls, and told when those would go on: one epoll
 * set for all, which the loop's ring polls.
 *
 *   watch_new ─▶ watch_want(events) ─▶ ready(), once a turn while one of the events holds
 *
 * What many sockets bring in a turn costs one completion and one epoll_wait(2), and a socket that stays
 * wanted costs no call at all. A poll by the ring would have to be armed again for each
 * (tools/bench/README.md, Levers).
 *
 *   thread  the loop's
 *   source  epoll(7); level-triggered */
#ifndef TOKENLOG_SERVER_IO_WATCH_H
#define TOKENLOG_SERVER_IO_WATCH_H

#include "server/io/loop.h"

struct watches; /* one for each kind of owner */

/* Embedded in its owner, who reads none of it. */
struct watch {
    struct watches *watches;
    int socket;
    short wanted;         /* 0: not in the set, which would tell of errors all the same */
    int64_t acks_due_ns;  /* see watch.c's ease_acks */
    int64_t acks_wait_ns; /* 0: not asked yet */
};

struct watch_owner {
    /* `events`: those of poll(2) that hold, POLLERR and POLLHUP unasked among them. May init, want and
     * remove watches, this one too, and free them all. */
    void (*ready)(struct watch *watch, short events);
    /* `ready` comes soon: fetch into the caches what it will need. NULL: nothing. */
    void (*ahead)(const struct watch *watch);
};

/* watches_new — faults ERR_NOMEM, ERR_UNSUPPORTED (no file descriptor left). */
enum err watches_new(
    struct loop *loop, const struct watch_owner *owner, struct watches **out) NODISCARD;
/* watches_free — all watches were removed. */
struct watches *watches_free(struct watches *watches);

/* watch_init — `socket` stays its owner's, and open until watch_remove. */
void watch_init(struct watch *watch, struct watches *watches, int socket);
/* watch_want — poll(2)'s POLLIN and POLLOUT; 0: none. faults ERR_NOMEM: nothing is wanted then. */
enum err watch_want(struct watch *watch, short events) NODISCARD;
/* watch_remove — nothing is told of it from now on; it may be freed. */
void watch_remove(struct watch *watch);

#endif
