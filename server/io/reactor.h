/* reactor — one more loop, in a thread of its own: it accepts, holds sockets and transfers, and does
 * their TLS, for the core, which decides.
 *
 *   core thread                          reactor's thread ("reactor 1")
 *   reactor_new ───────────────────────▶ its loop, its libcurl
 *   reactor_listen: the socket is bound
 *   reactor_accept ────────────────────▶ accepts
 *   accepted(arrival) ◀────────────────── each one: a conn is made here, its socket there
 *   reactor_refuse ────────────────────▶ closes the listener
 *   reactor_stop ──────────────────────▶ ends its transfers, its loop; joined
 *
 * What crosses, what bounds it and who frees it: conn_bridge.h, upstream_bridge.h. A connection that
 * was accepted and not taken yet is bounded by the process's files: past them accepting pauses.
 *
 *   thread  the core's; `accepted` is called there */
#ifndef TOKENLOG_SERVER_IO_REACTOR_H
#define TOKENLOG_SERVER_IO_REACTOR_H

#include "server/io/conn.h"
#include "server/io/crossing.h"
#include "server/io/listener.h"
#include "server/io/transfer.h"

struct reactor;

struct reactor_config {
    struct loop *core;
    unsigned index;      /* names it, from 1 on */
    const char *proxy;   /* as in upstreams_new; borrowed by reactor_new */
    int64_t coalesce_ns; /* of its loop, as in loop_set_coalescing */
};

/* reactor_new — starts the thread, and waits until its loop is there. Faults of loop_new and transfers_new, with their fault_origin() in
 * this thread; ERR_IO the thread cannot be made. */
enum err reactor_new(const struct reactor_config *config, struct reactor **out) NODISCARD;
/* reactor_listen — on the same address and port. Faults of listener_share. */
enum err reactor_listen(struct reactor *reactor, struct listener *first) NODISCARD;
void reactor_accept(struct reactor *reactor,
    void (*accepted)(void *context, struct arrival arrival), void *context);
void reactor_refuse(struct reactor *reactor); /* once, after reactor_listen */
/* reactor_stop — once all conns that have sockets there are closed; the core's loop must not run
 * meanwhile. What is left of its transfers ends without callbacks.
 * reactor_free — stopped, and after the core's loop is freed. NULL is taken. */
void reactor_stop(struct reactor *reactor);
struct reactor *reactor_free(struct reactor *reactor);

struct crossing *reactor_crossing(const struct reactor *reactor);
struct transfers *reactor_transfers(const struct reactor *reactor);

/* reactors_by_default — the processors that this process may run on, at most REACTORS_BY_DEFAULT. */
size_t reactors_by_default(void);

#endif
