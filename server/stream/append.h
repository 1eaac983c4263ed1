/* append — streams that clients write: created, appended to and closed by calls, read as any other.
 *
 *   append_create ─▶ open ──append_event*──▶ … ──append_close──▶ closed (its row: completed)
 *                     └──────append_delete───────────┴─────────▶ deleted
 *
 * They are streams like those of generations, with these differences (row.is_appended):
 *   - nothing interrupts one: after a restart it is open as it was, and stays so for as long as it is kept;
 *   - one that is open and wholly archived leaves memory when nobody refers to it; whoever finds it
 *     again (hub_open, hub_claim) finds it open, with its next event numbered as ever. At most
 *     APPENDED_OPEN_MAX are in memory at a time: past that ERR_LIMIT, also of looking one up;
 *   - it is no generation: it does not count in streams_max, holds up no shutdown, and a project's
 *     on_disconnect does not concern it;
 *   - its row holds `writer_state`: bytes of the writer's own, at most ROW_STATE_BYTES_MAX, that change in
 *     the same durable batch as an event: neither is there without the other after a crash;
 *   - its name is a key of the project that no Idempotency-Key can be: it begins with a byte of
 *     `enum append_space`.
 *
 * Whoever has a reference (hub_open, hub_claim) may append; nobody else is kept from it: the order of the
 * calls is the order of the events. What is appended is visible, and may be answered to, once it is
 * durable: hub_wait_durable, or a reader.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_STREAM_APPEND_H
#define TOKENLOG_SERVER_STREAM_APPEND_H

#include "server/stream/hub.h"

/* Whose names they are: the first byte of the key. */
enum append_space {
    APPEND_DURABLE = 1, /* Durable Streams: /v1/stream/… */
    APPEND_RUN = 2,     /* an agent's run: its journal of steps and checkpoints */
};

/* append_admits — whether a new one may be created: ERR_LIMIT APPENDED_OPEN_MAX (429) · ERR_AGAIN storage is behind (503, in a moment) ·
 *   ERR_FULL it has no room (503).
 * append_create — for the `done` of a hub_claim that found nothing, or a deleted one; or by ID alone (key
 *   empty). One reference for the caller.
 *   `row`    key, content_type, metadata, ttl_s, is_sliding, writer_state, and
 *            whatever else describes it; attempt (0 counts as 1): after a deleted one that one's and 1;
 *            the rest is filled in, its id among them
 *   answers  hub_create's, which are storage_create's */
enum err append_admits(struct hub *hub) NODISCARD;
/* append_is_full_for_now — after an ERR_FULL: it passes, once the archiver has caught up; else waiting makes
 * no room. */
bool append_is_full_for_now(struct hub *hub);
enum err append_create(
    struct hub *hub, struct project *project, struct row *row, struct stream **out) NODISCARD;
/* append_is_open — it may be appended to: neither closed nor deleted, whether durably or about to be. */
bool append_is_open(const struct stream *stream);
bool append_is_appended(const struct stream *stream); /* it is such a stream, open or not */
/* append_event — one event, and with it the writer's state (SLICE_NONE: leave it as it is; `event` may
 *   be empty: the state alone).
 * append_close — the last event, if any, the state, and the end, in one batch. Likewise.
 *   answers  ERR_CLOSED it is not open · ERR_FULL storage has no room now: in a moment, or not ·
 *            ERR_LIMIT the event or the state is too large
 *   faults   ERR_NOMEM; nothing was appended */
enum err append_event(struct stream *stream, struct slice event, struct slice state) NODISCARD;
enum err append_close(struct stream *stream, struct slice event, struct slice state) NODISCARD;
/* append_describe — other metadata, a JSON object, in the row.  Answers likewise. */
enum err append_describe(struct stream *stream, struct slice metadata) NODISCARD;
/* append_expires_ns — when it is to go (row_expires_ns), with all that is known here: events that are
 *   not durable yet, and readings (stream_touch) that were not worth noting. 0: never. From then on it is
 *   to be treated as one that is not there; it is deleted soon after, open or closed. */
int64_t append_expires_ns(const struct stream *stream);
/* append_replace — `stream`, which has no key, takes the place of `before`: from then on it is found by
 *   that one's key, with its metadata, times to live and writer's state and since when it is there, and
 *   `before` is deleted. Both are durable together: a crash leaves `before` as it was, or `stream` alone.
 *   answers  ERR_CLOSED one of them is not open, or `before` is not the newest of its key · ERR_DENIED a
 *            legal hold lies on `before` · ERR_FULL no room now, or an event of either is still waiting
 *   faults   ERR_NOMEM */
enum err append_replace(struct stream *stream, struct stream *before, const char *reason) NODISCARD;
/* append_delete — open or closed; as stream_delete. ERR_FULL also while a large event of it waits. */
enum err append_delete(struct stream *stream, const char *reason) NODISCARD;

#endif
