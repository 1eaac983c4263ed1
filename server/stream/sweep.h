/* sweep — open streams that clients write, and whose time is over (row_expires_ns), are deleted.
 *
 * Ended streams are removed by the archiver, from the store, where all that is known of them is. An open
 * one may have been written to a moment ago, which the store does not know yet: so the store is asked
 * which may be over, and the hub, who knows, decides.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_STREAM_SWEEP_H
#define TOKENLOG_SERVER_STREAM_SWEEP_H

#include "server/stream/hub.h"

struct sweep;

/* sweep_new — looks every SWEEP_MS from sweep_start, when the hub has a storage, to sweep_stop, when it
 *   has none any more.  faults ERR_NOMEM
 * sweep_free — stopped, and the storage closed. NULL is taken. */
enum err sweep_new(struct hub *hub, struct sweep **out) NODISCARD;
void sweep_start(struct sweep *sweep);
void sweep_stop(struct sweep *sweep);
struct sweep *sweep_free(struct sweep *sweep);

#endif
