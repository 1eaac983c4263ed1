/* append — streams that clients write: created, appended to and closed by calls, read as any other.
 *
 *   append_create ─▶ open ──append_event*──▶ … ──append_close──▶ closed (its row: completed)
 *
 * They are streams like those of generations, with these differences (row.kind is ROW_APPENDED):
 *   - nothing interrupts one: after a restart it is open as it was, and stays so for as long as it is kept;
 *   - one that is open and wholly archived leaves memory when nobody refers to it; the next append
 *     brings it back (append_open);
 *   - its row holds `state`: bytes of the writer's own, at most ROW_STATE_BYTES_MAX, that change in the
 *     same durable batch as an event: neither is there without the other after a crash;
 *   - its name is a key of the project that no Idempotency-Key can be: it begins with a byte of
 *     `enum append_space`.
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

/* append_create — for the `done` of a hub_claim that found nothing (or by ID alone: key empty).
 *   `row`    key, project, project_name, content_type, metadata, ttl_s, is_sliding, state; the rest is
 *            filled in
 *   answers  hub_create's */
enum err append_create(
    struct hub *hub, struct project *project, struct row *row, struct stream **out) NODISCARD;
/* append_open — makes a stream that hub_open or hub_claim found writable again, if it is open.
 *   answers  ERR_CLOSED it was closed, or deleted · ERR_LIMIT too many are open · faults ERR_NOMEM */
enum err append_open(struct stream *stream) NODISCARD;
/* append_event — one event, and with it the writer's state (SLICE_NONE data: leave it as it is;
 * `event` may be empty: the state alone). Visible once durable: hub_wait_durable.
 *   answers  ERR_FULL storage has no room now · ERR_LIMIT the event or the state is too large
 *   faults   ERR_NOMEM; nothing was appended */
enum err append_event(struct stream *stream, struct slice event, struct slice state) NODISCARD;
/* append_close — the last event, if any, the state, and the end, in one batch. Likewise. */
enum err append_close(struct stream *stream, struct slice event, struct slice state) NODISCARD;
/* append_delete — open or closed; as stream_delete. */
enum err append_delete(struct stream *stream, const char *reason) NODISCARD;
bool append_is_appended(const struct stream *stream); /* is it such a stream */

#endif
