/* keeper — the storage put to work in the server: its clocks, its wake-ups and its disk on the core's
 * ring, and what it reports, told to the hub, the metrics and the log.
 *
 *   thread  the core's */
#ifndef TOKENLOG_SERVER_KEEPER_H
#define TOKENLOG_SERVER_KEEPER_H

#include "server/config/config.h"
#include "server/observe/log.h"
#include "server/observe/metrics.h"
#include "server/stream/hub.h"

struct keeper;

struct keeper_config {
    const struct config *config;
    struct loop *loop;
    struct hub *hub;
    struct metrics *metrics;
    struct log *log;
    bool *is_stuck; /* set once nothing can be made durable any more */
};

/* keeper_open — recovers, and hands the hub its storage. Everything is borrowed. Where it fails
 * `*out` is set too, for keeper_free; NULL: out of memory.
 *   answers  those of storage_open; ERR_BUSY with the other server's process in `*holder_pid`
 *   faults   those of storage_open and disk_ring_new */
enum err keeper_open(
    const struct keeper_config *config, int *holder_pid, struct keeper **out) NODISCARD;
struct storage *keeper_storage(const struct keeper *keeper);
void keeper_tick(struct keeper *keeper); /* at the end of each turn */
/* keeper_close — the storage, which must be drained. keeper_free — the rest, once the loop is freed.
 * Both take NULL. */
void keeper_close(struct keeper *keeper);
struct keeper *keeper_free(struct keeper *keeper);

#endif
