/* transfer — one request and its response on one loop, by whichever carriage leads there (carriage.h).
 * What it means is said in upstream.h, whose types these are; upstream chooses the loop.
 *
 *   thread  the loop's, but for what says otherwise */
#ifndef TOKENLOG_SERVER_IO_TRANSFER_H
#define TOKENLOG_SERVER_IO_TRANSFER_H

#include "server/io/upstream.h"

struct transfers; /* one per loop */
struct transfer;

/* transfers_new, transfers_free — as upstreams_new and upstreams_free; transfers_new also before the
 * loop's thread runs it. */
enum err transfers_new(struct loop *loop, const char *proxy, struct transfers **out) NODISCARD;
struct transfers *transfers_free(struct transfers *transfers);
/* transfer_check — any thread: the answers of upstream_start, which does not give them once this has
 * said OK. */
enum err transfer_check(const struct upstream_request *request) NODISCARD;
/* As upstream_start, upstream_resume, upstream_feed and upstream_cancel. */
enum err transfer_start(struct transfers *transfers, const struct upstream_request *request,
    const struct upstream_owner *owner, void *context, struct transfer **out) NODISCARD;
/* transfer_on_gone — right after transfer_start: `gone` is told after `ended`, once. */
void transfer_on_gone(struct transfer *transfer, void (*gone)(void *context), void *context);
void transfer_resume(struct transfer *transfer);
void transfer_feed(struct transfer *transfer);
void transfer_cancel(struct transfer *transfer);
/* transfer_hold — the owner takes nothing for now, though data() still may: the idle timeout stands
 * still while `is_held`. */
void transfer_hold(struct transfer *transfer, bool is_held);

#endif
