/* hub — the streams that somebody here has to do with: those being written, those not yet wholly
 * archived, and
 * finished ones that have a reader. Finds them by ID and by the caller's key, elects the one
 * producer of a key, and
 * wakes readers when the watermark rises.
 *
 *   storage ── changed(tail) ─▶ stream ── wake ─▶ readers, producer
 *           ── gone(tail) ────▶ the stream goes on from its stored row, for as long as it is
 *           referenced
 *
 * Election: a (project, key) has at most one *claim* under way. The first request with a key asks
 * the store; those that come
 * meanwhile wait in line; then each in turn is told what it finds: FREE (it may create the stream,
 * which the next in line then finds),
 * or the stream. The map is asked before the store, and a stream leaves the map only once the
 * store has it: so nothing falls between.
 *
 *   thread
 *   loop */
#ifndef TOKENLOG_SERVER_STREAM_HUB_H
#define TOKENLOG_SERVER_STREAM_HUB_H

#include "protocol/base/map.h"
#include "server/io/loop.h"
#include "server/observe/log.h"
#include "server/observe/metrics.h"
#include "server/policy/auth.h"
#include "server/policy/overload.h"
#include "server/stream/bounds.h"
#include "storage/storage.h"

struct hub;
struct stream;
struct producer;

struct hub_config {
    struct loop *loop;
    struct metrics *metrics;
    struct log *log;
    int64_t streams_max;
    int64_t tail_bytes_max;
};

enum err hub_new(const struct hub_config *config, struct hub **out) NODISCARD;
struct hub *hub_free(struct hub *hub);
/* hub_set_storage — once it is open: its callbacks need the hub. NULL: it is closed, and the hub
 * does
 * nothing more by itself, so that the loop can go before it. */
void hub_set_storage(struct hub *hub, struct storage *storage);

/* storage's callbacks. hub_recovered takes up what is not archived yet, and ends generations that were
 * live as interrupted, but for those that their providers keep (row.is_kept_upstream). */
void hub_changed(void *hub, struct tail *tail);
void hub_changes_soon(const struct tail *tail, int distance);
void hub_gone(void *hub, struct tail *tail);
void hub_recovered(void *hub, struct tail *tail);
void hub_paused(void *hub, bool is_paused);
/* hub_take_up — once, after hub_recovered: those that are left. `take` starts a producer of one, or answers
 * false: then it ends as the others did. */
void hub_take_up(
    struct hub *hub, bool (*take)(void *context, struct stream *stream), void *context);
/* hub_stuck — nothing can be made durable any more: generations under way are given up, and whoever
 * waits for more of a stream is told so, now and from now on. */
void hub_stuck(struct hub *hub);

/* hub_admits — whether a new stream may begin: ERR_LIMIT streams_max are
 * live (429) · ERR_AGAIN storage is behind, or the loop is (503, in a moment) · ERR_FULL storage has
 * no room (503). */
enum err hub_admits(struct hub *hub) NODISCARD;
/* hub_set_lag_max — the loop is behind when what arrives waits for longer; 0, the default: never. */
void hub_set_lag_max(struct hub *hub, int64_t lag_max_ns);
/* hub_on_over — asked of each open stream whose time is over (append.h): true, it is taken care of; false,
 * it is deleted. */
void hub_on_over(
    struct hub *hub, bool (*over)(void *context, struct stream *stream), void *context);
/* hub_committed — a commit that readers waited for took so long, from its first record on. */
void hub_committed(struct hub *hub, int64_t latency_ns);
uint64_t hub_live_count(const struct hub *hub);
/* hub_interrupt_all — end every live stream (shutdown): interrupted, with this reason. What the provider
 * keeps is left to the next start as it is. */
void hub_interrupt_all(struct hub *hub, const char *reason);

/* hub_create — a new stream, accepted and being made durable; one reference for the caller.
 * Answers and faults are storage_create's. */
enum err hub_create(struct hub *hub, struct project *project, struct row *row, struct slice body,
    struct stream **out) NODISCARD;

/* hub_open — a stream by ID, from memory or the store. `done` may run before the call returns;
 * `stream` is a reference that the callee owns.
 *   answers (to done)  ERR_NOTFOUND unknown, or another project's · ERR_LIMIT too many queries
 *   wait · ERR_CANCELED
 *   The owner keeps the lookup until `done`, which always comes. */
struct hub_lookup {
    struct hub *hub;
    struct project *project;
    void (*done)(struct hub_lookup *lookup, enum err err, struct stream *stream);
    void *owner;
    struct storage_query query;
    struct list node;
};
void hub_open(
    struct hub *hub, struct project *project, const struct id *id, struct hub_lookup *lookup);
/* hub_open_upstream — the same by the row's upstream_id. `key` is that behind KEY_SPACE_UPSTREAM (store.h),
 * borrowed until `done`. */
void hub_open_upstream(
    struct hub *hub, struct project *project, struct slice key, struct hub_lookup *lookup);
/* hub_claim — the stream of a key: ERR_OK and the newest attempt, or ERR_NOTFOUND: the key is
 * free, and if `done` creates the stream before it
 * returns, all who wait in line find that one. Lookups are answered one at a time. */
void hub_claim(
    struct hub *hub, struct project *project, struct slice key, struct hub_lookup *lookup);

/* A stream. References keep it; the last one gone and everything archived, it is freed. */
struct stream *stream_ref(struct stream *stream);
struct stream *stream_unref(struct stream *stream);
/* stream_row — the newest, durable or not. stream_visible_row — the newest that may be shown: NULL
 * before the first is durable. Both until the next turn. */
const struct row *stream_row(const struct stream *stream);
const struct row *stream_visible_row(const struct stream *stream);
struct tail *stream_tail(const struct stream *stream); /* NULL: wholly archived */
struct project *stream_project(const struct stream *stream);
struct hub *stream_hub(const struct stream *stream);
/* stream_has_ended — its final row is visible. stream_head_is_visible — the response head may be
 * shown: it and the first event, or the end, are durable. */
bool stream_has_ended(const struct stream *stream);
bool stream_head_is_visible(const struct stream *stream);
bool stream_row_is_durable(const struct stream *stream);
/* stream_is_left — it has not ended, and goes on at the next start, not before. */
bool stream_is_left(const struct stream *stream);
uint64_t stream_watermark(const struct stream *stream);
/* stream_stop — an explicit stop, from any live state; false: it had ended. */
bool stream_stop(struct stream *stream, const char *reason, const char *detail);
/* stream_delete — of an ended stream, or of an open one that a client writes. ERR_BUSY of a live
 * generation. While it is referenced it is deleted for
 * whoever finds it; those who are reading it read on while its events are there. Keep the reference
 * until the store has the tombstone. */
enum err stream_delete(struct stream *stream, const char *reason) NODISCARD;
bool stream_is_deleted(const struct stream *stream); /* or expired */
/* stream_set_held — put or lift a legal hold; `done` once that is durable. The owner keeps the hold
 *   until then.
 *   answers (also to done)  ERR_FULL, ERR_LIMIT no room · ERR_NOTFOUND it is being deleted
 * stream_is_held — it is, or is about to be: not to be deleted.
 * stream_touch — it was read: keeps a sliding recording longer, in steps of a part of its time. */
struct stream_hold {
    struct stream *stream;
    bool is_held;
    void (*done)(struct stream_hold *hold, enum err err);
};
enum err stream_set_held(struct stream *stream, bool is_held, struct stream_hold *hold) NODISCARD;
bool stream_is_held(const struct stream *stream);
void stream_touch(struct stream *stream);

/* For producer.c: the stream's one writer. `changed` when the row or the watermark moved, `stop`
 * when it is to end now, `paused` when storage's pressure changed. */
struct stream_writer {
    void (*changed)(struct producer *producer);
    void (*stop)(
        struct producer *producer, enum stream_state state, const char *reason, const char *detail);
    void (*resumed)(struct producer *producer);
};
void stream_set_producer(
    struct stream *stream, struct producer *producer, const struct stream_writer *writer);
/* stream_index_upstream — its newest row has an upstream_id: it is found by that from now on. faults
 * ERR_NOMEM */
enum err stream_index_upstream(struct stream *stream) NODISCARD;
bool hub_is_paused(const struct hub *hub);
bool hub_is_stuck(const struct hub *hub);

/* For reader.c: the list of those who follow. stream_watch counts a watcher (an attached caller):
 * on_disconnect starts when the last one goes. */
struct stream_watcher {
    struct list node;
    void (*wake)(struct stream_watcher *watcher);
    bool is_parked;                          /* wants a wake when something becomes visible */
    const void *touches[STREAM_TOUCHED_MAX]; /* by `wake`: fetched shortly before; NULL: no more */
};
void stream_watch(struct stream *stream, struct stream_watcher *watcher);
void stream_unwatch(struct stream *stream, struct stream_watcher *watcher);
/* stream_outlive_callers — its caller asked for it in the background: on_disconnect does not end it. */
void stream_outlive_callers(struct stream *stream);
/* hub_walk — the project's streams in memory, in no order, to `visit`. */
void hub_walk(struct hub *hub, const struct project *project,
    void (*visit)(void *context, struct stream *stream), void *context);

/* A barrier: `done` once what was given before is durable (or ERR_FULL: it never will be). The owner keeps
 * it until then.
 * hub_wait_durable — all that the journal has by now: deletions, rows of new streams, small events.
 * hub_wait_stream — that, and all that was given to this stream: a large event waits for its share of the
 *   journal, and so does what comes behind it. The owner keeps a reference, too. */
struct hub_barrier {
    struct list node;
    uint64_t lsn;
    struct stream *stream; /* NULL: none */
    struct tail_mark mark;
    void (*done)(struct hub_barrier *barrier, enum err err);
};
void hub_wait_durable(struct hub *hub, struct hub_barrier *barrier);
void hub_wait_stream(struct stream *stream, struct hub_barrier *barrier);
void hub_tick(struct hub *hub); /* after storage_tick: barriers that have been reached */

struct storage *hub_storage(const struct hub *hub);
struct loop *hub_loop(const struct hub *hub);
struct log *hub_log(const struct hub *hub);

#endif
