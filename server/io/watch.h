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

struct watches; /* one for each who is told */
struct watch;   /* one socket */

struct watch_owner {
    /* `events`: those of poll(2) that hold, POLLERR and POLLHUP unasked among them. May add, want and
     * remove watches, this one too. `pointer`: of watch_new. */
    void (*ready)(void *pointer, int socket, short events);
};

/* watches_new — faults ERR_NOMEM, ERR_UNSUPPORTED (no file descriptor left). */
enum err watches_new(
    struct loop *loop, const struct watch_owner *owner, struct watches **out) NODISCARD;
/* watches_free — all watches were removed. */
struct watches *watches_free(struct watches *watches);

/* watch_new — `socket` stays its owner's, and open until watch_remove. NULL: out of memory. */
struct watch *watch_new(struct watches *watches, int socket, void *pointer);
/* watch_want — poll(2)'s POLLIN and POLLOUT; 0: none. faults ERR_NOMEM: nothing is wanted then. */
enum err watch_want(struct watch *watch, short events) NODISCARD;
/* watch_remove — nothing is told of it from now on; NULL is taken. */
void watch_remove(struct watch *watch);

#endif
