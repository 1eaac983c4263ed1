/* watch — sockets of a library that is told when it can go on with one: one-shot polls on a loop's ring.
 *
 *   watch_new ─▶ watch_want(events) ─▶ poll ─▶ ready ─▶ armed again with what is wanted by then
 *                                               (arming is the level check)
 *
 * A socket that is given up while its poll is in flight is closed when the cancelled poll has been
 * reaped: until then the kernel would hold back the FIN, and the number could be taken by a new socket
 * under an old poll.
 *
 *   thread  the loop's */
#ifndef TOKENLOG_SERVER_IO_WATCH_H
#define TOKENLOG_SERVER_IO_WATCH_H

#include "server/io/loop.h"

/* Embedded in its owner. */
struct watches {
    struct loop *loop;
    /* `result` is poll(2)'s events, or below 0: an error. May watch, want and remove. */
    void (*ready)(void *context, int socket, int32_t result);
    void *context;
    struct list closing; /* of watch.node: given up, the poll not reaped yet */
};
struct watch;

void watches_init(struct watches *watches, struct loop *loop,
    void (*ready)(void *context, int socket, int32_t result), void *context);
/* watches_deinit — all watches were removed; polls in flight free theirs when they are reaped. */
void watches_deinit(struct watches *watches);
/* watches_close — the library lets go of a socket, whose watch is removed: it is closed at once, unless a
 * poll still pins it. close(2)'s result. */
int watches_close(struct watches *watches, int socket);

struct watch *watch_new(struct watches *watches, int socket); /* NULL: out of memory */
void watch_want(struct watch *watch, short events);           /* poll(2)'s; 0: none */
void watch_remove(struct watch *watch);                       /* freed, maybe later */

#endif
