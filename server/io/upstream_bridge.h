/* upstream_bridge — an upstream's owner on the core's loop and its transfer on another reactor's: the
 * calls go there, head, data and ended come back, as messages.
 *
 *   core                                      far loop
 *   start: the request, copied ─────────────▶ down mailbox ─▶ transfer
 *   owner ◀── up mailbox ◀── parcels of the body; the head; the end ◀── libcurl
 *   "taken so far", resume, cancel ─────────▶
 *
 * What one turn of the far loop brings, in however many pieces, crosses in one message. Of a body at
 * most UPSTREAM_CREDIT_BYTES, and the read that passes it, wait here; then the transfer pauses until
 * all of it was taken. The request's body does not cross: it is read there, and stays the owner's
 * until `ended`; so is an upload, of which "there is more" and "there is room" cross.
 *
 *   thread  the core's */
#ifndef TOKENLOG_SERVER_IO_UPSTREAM_BRIDGE_H
#define TOKENLOG_SERVER_IO_UPSTREAM_BRIDGE_H

#include "server/io/crossing.h"
#include "server/io/transfer.h"

struct upstream_bridge;

/* As upstream_start, upstream_resume, upstream_feed and upstream_cancel. */
enum err upstream_bridge_start(struct crossing *crossing, struct transfers *transfers,
    const struct upstream_request *request, const struct upstream_owner *owner, void *context,
    struct upstream_bridge **out) NODISCARD;
void upstream_bridge_resume(struct upstream_bridge *bridge);
void upstream_bridge_feed(struct upstream_bridge *bridge);
void upstream_bridge_cancel(struct upstream_bridge *bridge);
/* upstream_bridge_drop — once the far thread has ended: without callbacks. */
void upstream_bridge_drop(struct upstream_bridge *bridge);

#endif
