/* storage — the seam that everything above sees: create, append, read, delete, over journal +
 * store. Small and asynchronous, so that a replicated backend can stand behind it later: no
 * transaction, segment or thread shows.
 *
 *                      loop thread                          archiver's thread     reader threads
 *   tail_append ──▶ journal batch ──▶ durable ──▶ watermark
 *        └────────▶ tail's open block ──(full, ended, or old)──▶ store blocks
 *   storage_query: tail in memory, else ◀──────────────────────────────────────── store block
 *
 * A *tail* is a stream that is live or not yet wholly archived. It keeps every event until the
 * archiver has acknowledged it; a reader asks the tail first, and only when the event is no longer
 * there the store, whose transaction begins after the miss: so nothing falls between.
 *
 * With `is_memory`, "durable" below reads "given to the journal": nothing is waited for, and a
 * crash may take back what was visible. What goes to the store is durable in either mode.
 *
 *   thread  all calls on the loop thread that opened it; callbacks too: from storage_tick only
 *           (`recovered`: from storage_open), never from inside the call that caused them        */
#ifndef TOKENLOG_STORAGE_STORAGE_H
#define TOKENLOG_STORAGE_STORAGE_H

#include "storage/archive.h"

struct storage;
struct tail;
struct audit_request;

struct storage_config {
    const char
        *path; /* created 0700 if absent (its parent must exist); DIR/lock is held while open */
    struct disk *disk;
    const struct storage_host *host;
    uint64_t segment_bytes;
    uint32_t segment_count;
    int64_t commit_spacing_ns; /* 1–2 ms */
    int64_t archive_after_ns;  /* an open block moves after so long even if not full */
    int64_t retention_step_ns;
    int64_t tombstone_ttl_s;
    uint64_t keep_bytes_max;    /* past it the oldest ended streams go; 0 = no limit */
    uint64_t scrub_bytes_per_s; /* of what is stored is read again and checked; 0 = nothing */
    uint64_t cache_bytes_max;   /* of decoded blocks, for the next reader; 0 = none */
    uint64_t queue_bytes_max;   /* 0: WRITE_QUEUE_BYTES_MAX; tests that fill it take less */
    int zstd_level;
    bool is_memory;      /* durability: memory — events count as visible once appended */
    bool has_no_threads; /* simulation: the archiver works in storage_step, queries in the call */
    /* The watermark, the durable row or the archived part of a tail has moved: CHANGES_PER_TICK
     * tails a tick, the others in the next, which is asked for at once. May call anything here but
     * storage_tick and storage_close. */
    void (*changed)(void *context, struct tail *tail);
    /* Such a tail is the next (distance 1) to be told of, or the one behind that, up to
     * CHANGES_AHEAD: a time to fetch into the caches what will be touched then. NULL: not wanted. */
    void (*changes_soon)(void *context, const struct tail *tail, int distance);
    /* Everything of an ended tail, or of an open one that nobody wants (tail_set_wanted), is in the
     * store and it is freed when this returns: drop the pointer. Blocks that were read from it stay with their references. */
    void (*gone)(void *context, struct tail *tail);
    /* Pressure: transfers are to pause (true) or may go on (false). */
    void (*pause)(void *context, bool is_paused);
    /* Nothing can be made durable any more: go read-only. Called once. */
    void (*stuck)(void *context, enum err err);
    /* journal_observe's: for the metrics. NULL: not wanted. */
    void (*committed)(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes);
    void *context;
};

struct storage_report {
    struct journal_recovery journal;
    uint64_t live_streams;   /* generations */
    uint64_t failed_streams; /* by damage of the journal: reason "corrupt" */
    int64_t duration_ns;
};

/* storage_open — lock, open, recover (blocking). Each stream that is not wholly in the store is
 * given to `recovered` as a tail, just before the call returns, so that whoever looks there first
 * finds it. One that was live at the crash has a row that still says so: the caller ends it
 * (tail_end, interrupted), there or later, or goes on writing to it (is_appended). Ended ones go to the archiver
 * by themselves. A stream that has lost events to damage of the journal has ended as failed, reason
 * "corrupt", with those before the loss.
 *
 *   config   copied; path, disk, host and context are borrowed until storage_close
 *   answers  ERR_BUSY another process holds the directory (*holder_pid; 0 if it does not say)
 *   faults   as journal_open and store_open                                                   */
enum err storage_open(const struct storage_config *config,
    void (*recovered)(void *context, struct tail *tail), struct storage_report *report,
    int *holder_pid, struct storage **out) NODISCARD;

/* storage_tick — at the end of each loop turn, and at wake_at. */
void storage_tick(struct storage *storage);
/* storage_step — has_no_threads: one step of the archiver's work. False: nothing to do now. */
bool storage_step(struct storage *storage);

/* storage_drain — from now on everything is committed and archived without delay, and
 *   storage_is_drained tells when nothing is left: no write in flight, nothing unarchived. Tails
 *   that are live then stay live, and are `recovered` at the next start.
 * storage_close — waits for the threads and frees; NULL is taken. No write may be in flight on the
 *   disk: close when drained, or else (a fault, a time limit) when the disk is at rest; what was
 *   not durable is then lost, and tasks posted to the host by the archiver must be dropped, not
 *   run. Waiting queries are answered ERR_CANCELED; their tasks may run after.
 * storage_abandon — as storage_close, after the disk has forgotten the write in flight: what a
 *   simulated crash leaves of a process. */
void storage_drain(struct storage *storage);
bool storage_is_drained(const struct storage *storage);
struct storage *storage_close(struct storage *storage);
struct storage *storage_abandon(struct storage *storage);

/* storage_admits — whether a new stream may begin.
 *   answers  ERR_AGAIN in a moment: past JOURNAL_REFUSE_PERCENT, or the archiver is too far behind
 *            ERR_FULL the disk is full, the archiver has stopped, or nothing can be made durable */
enum err storage_admits(const struct storage *storage) NODISCARD;

/* storage_project — the number of a project, given at first use (made durable with its first row).
 *   answers ERR_LIMIT name longer than PROJECT_NAME_BYTES_MAX, or empty · faults ERR_NOMEM */
enum err storage_project(struct storage *storage, struct slice name, uint32_t *out) NODISCARD;

/* storage_create — assigns row->number and appends the row (accepted) and then the request body to
 * the journal: the row at once; the body in shares, so that it delays no tokens.
 *   answers  ERR_FULL nothing was appended · ERR_LIMIT the row is too large (ROW_BYTES_MAX)
 *   faults   ERR_NOMEM
 *   owns     the tail copies the row and the body; the tail is storage's until `gone`        */
enum err storage_create(struct storage *storage, struct row *row, struct slice request_body,
    struct tail **out) NODISCARD;

/* Writing, by the stream's one producer, while the newest row is live.
 *   tail_fetch   one comes soon: what it will be written to is fetched into the caches
 *   tail_append  one event of any size, numbered next; visible once its last fragment is durable
 *   tail_aside   recorded beside the stream, without a number; at most FRAGMENT_BYTES_MAX
 *   tail_update  a new version of the row (state still live): the head, say
 *   tail_step    an event, if any (empty slice: none), and a version of the row that is still live, in
 *                one batch: neither is there without the other
 *   tail_end     the last event, if any (empty slice: none), and the final row, in one batch:
 *                neither is visible without the other. The tail is closed to writing from here on.
 *   Counts (events, bytes, last_event_ns) and identity (id, number, project) are filled in here.
 *   answers  ERR_FULL journal stuck or out of buffers; nothing was appended: pause, try again
 *            ERR_LIMIT the row or the aside is too large, or the event: longer than an eighth of
 *            the journal's ring (48 MiB by default)
 *   faults   ERR_NOMEM; nothing was appended                                                  */
void tail_fetch(const struct tail *tail);
enum err tail_append(struct tail *tail, struct slice event, int64_t time_ns) NODISCARD;
enum err tail_aside(struct tail *tail, struct slice event, int64_t time_ns) NODISCARD;
enum err tail_update(struct tail *tail, const struct row *row) NODISCARD;
enum err tail_step(
    struct tail *tail, struct slice event, int64_t time_ns, const struct row *row) NODISCARD;
enum err tail_end(
    struct tail *tail, struct slice last_event, int64_t time_ns, const struct row *row) NODISCARD;

/* Looking at a tail.
 *   tail_row              newest version given, durable or not; its slices are owned by the tail
 *                         until the next update
 *   tail_is_row_durable   the newest version is
 *   tail_durable_row      newest durable version, NULL before the first; until the next tick
 *   tail_events           appended                tail_watermark   visible
 *   tail_last_event_ns    of the last event appended
 *   tail_given            a mark of all that was given so far
 *   tail_shows            what was given before the mark is visible
 *   tail_has_queue        a large event, or what came behind it, waits for its share of the journal
 *   tail_has_ended        the final row is durable
 *   tail_is_outdone       recovered, and the store has a newer attempt of its key: the key is not its
 *   tail_owner            the hub's, set by tail_set_owner; NULL at first                     */
const struct row *tail_row(const struct tail *tail);
bool tail_is_row_durable(const struct tail *tail);
const struct row *tail_durable_row(const struct tail *tail);
uint64_t tail_events(const struct tail *tail);
uint64_t tail_watermark(const struct tail *tail);
struct tail_mark {
    uint64_t events, rows;
};
struct tail_mark tail_given(const struct tail *tail);
bool tail_shows(const struct tail *tail, struct tail_mark mark);
bool tail_has_queue(const struct tail *tail);
int64_t tail_last_event_ns(const struct tail *tail);
bool tail_has_ended(const struct tail *tail);
bool tail_is_outdone(const struct tail *tail);
void tail_set_owner(struct tail *tail, void *owner);
/* tail_set_wanted — of an is_appended one, wanted at first: when it is not, and all of it is in the
 *   store, it is `gone` while it is open. Want it before writing to it. */
void tail_set_wanted(struct tail *tail, bool is_wanted);
void *tail_owner(const struct tail *tail);

/* tail_read — the block that holds event `seq` (part `part` of it), a new reference, and the frames
 * of it that may be read: [*index, *end). An event's parts are the same in the tail and in the
 * store, so that a reader may go from one to the other between any two frames.
 *   answers  ERR_AGAIN seq is at the watermark (or beyond) · ERR_CLOSED the same, of an
 *            ended stream · ERR_NOTFOUND archived: storage_query (STORAGE_BLOCK) */
enum err tail_read(struct tail *tail, uint64_t seq, uint32_t part, struct block **block,
    uint32_t *index, uint32_t *end) NODISCARD;

/* Reading the store, asynchronously on a reader thread; embedded in its owner, who keeps it until
 * `done` and fills in the fields below up to `context`, `done` and `owner`; the rest is set here.
 *   answers (to done)  ERR_NOTFOUND · ERR_CLOSED (BODY: past its end) · ERR_CANCELED
 *   faults  (to done)  ERR_CORRUPT, ERR_IO, ERR_NOMEM */
enum storage_query_kind {
    STORAGE_BLOCK, /* project, number, seq, part → block */
    STORAGE_ROW,   /* project, id → bytes, the encoded row */
    STORAGE_KEY,   /* project, key → id, and bytes, the encoded row, of the newest attempt */
    STORAGE_BODY,  /* project, number, seq (a byte offset) → bytes, one piece from there */
    STORAGE_LIST,  /* project, id (before, if has_before), rows_max → visit, newest first */
    STORAGE_OVER,  /* seq (Unix ns), rows_max → visit: open rows that have expired by then */
    STORAGE_AUDIT, /* audit → bytes, JSON */
};
struct storage_query {
    struct task task;
    enum storage_query_kind kind;
    uint32_t project;
    uint64_t number;  /* BLOCK, BODY */
    uint64_t seq;     /* BLOCK; BODY: offset */
    uint32_t part;    /* BLOCK */
    struct id id;     /* ROW in; KEY out; LIST: before */
    bool has_before;  /* LIST */
    struct slice key; /* KEY, borrowed until done */
    size_t rows_max;  /* LIST: how many rows may be looked at; OVER: visited */
    /* LIST, OVER: runs on the reader thread and touches only its context; the row is borrowed. */
    enum err (*visit)(void *context, const struct row *row);
    void *context;
    const struct audit_request *audit; /* AUDIT (audit.h), borrowed until done */
    struct buf bytes; /* out: ROW, KEY, BODY, AUDIT; the owner frees it, whatever the answer was */
    struct block *block; /* out: BLOCK, one reference; NULL unless ERR_OK */
    enum err err;
    void (*done)(struct storage_query *query, enum err err); /* loop thread */
    void *owner;
    atomic_bool is_canceled;
    uint64_t departures; /* when it was submitted (reopen.h) */
    struct storage *storage;
    struct storage_query *next;
};
/* storage_query — answers ERR_LIMIT: too many wait; done is not called.
 * storage_cancel — `done` will be called with ERR_CANCELED, or with the result if that was faster:
 *   never not at all. */
enum err storage_query(struct storage *storage, struct storage_query *query) NODISCARD;
void storage_cancel(struct storage_query *query);
/* storage_reopen — the tail of an open row that is_appended and was not in memory, to go on with where it
 *   ended. `query` is the one that read the row, just answered.
 *   answers  ERR_AGAIN the row may be out of date: query again · faults ERR_NOMEM */
enum err storage_reopen(struct storage *storage, const struct storage_query *query,
    const struct row *row, struct tail **out) NODISCARD;
/* storage_cached — STORAGE_BLOCK without waiting, or what was made of it: a new reference; NULL: it is
 *   not in memory.
 * storage_keep — what was read, or made of it, for the next reader; takes a reference of its own. */
struct block *storage_cached(struct storage *storage, enum block_kind kind, uint64_t number,
    struct block_position at) NODISCARD;
void storage_keep(
    struct storage *storage, enum block_kind kind, uint64_t number, struct block *block);

/* storage_delete — journal a delete of an ended stream, or of an open one that is_appended, which ends
 * with it (stopped, with this reason); the recording goes from the store soon
 * after, and from then on queries answer with its tombstone. Its tail, if it still has one, is
 * archived first and then `gone` as usual. A crash before the delete is durable takes it back.
 *   reason   kept in the tombstone's row; at most DELETE_REASON_BYTES_MAX
 *   answers  ERR_BUSY the stream is live, and a generation · ERR_LIMIT reason
 *            ERR_FULL nothing was appended; also when an event of the open stream is still waiting
 *   faults   ERR_NOMEM                                                                       */
enum err storage_delete(struct storage *storage, uint32_t project, const struct id *id,
    uint64_t number, struct slice reason) NODISCARD;

/* storage_replace — `tail` takes the place of `before`, both open and is_appended: a version of its row, its
 *   first with a key (that of `before`), and the deletion of `before`, in one batch: a crash leaves either
 *   one as it was, or has `tail` alone.
 *   answers  ERR_FULL, ERR_LIMIT as tail_update's: nothing was appended; ERR_FULL also when an event of
 *            either is still waiting   faults  ERR_NOMEM likewise */
enum err storage_replace(struct storage *storage, struct tail *tail, const struct row *row,
    struct tail *before, struct slice reason) NODISCARD;

/* storage_hurry — somebody waits until what was given so far is durable (in memory mode nobody does, nor for
 * the first row of a generation without a key: that waits for company). */
void storage_hurry(struct storage *storage);

/* storage_amend — what others than its writer say of a stream: a hold, its end, or a reading
 * (store_amend has what they mean). Durable when `done` says ERR_OK, and then shown by its tail.
 *   done     may be NULL; from a posted task. ERR_NOTFOUND deleted, or never stored · the archiver's
 *            fault. Not called if the storage is closed before.
 *   answers  ERR_FULL the store has no room, or is stopped · ERR_LIMIT too many are under way
 *   faults   ERR_NOMEM                                                                       */
struct storage_amendment {
    uint32_t project;
    struct id id;
    uint64_t number;
    enum store_amendment_kind kind; /* but DAMAGE, which the archiver finds */
    int64_t time_ns;                /* TOUCH */
    void (*done)(void *owner, enum err err);
    void *owner;
};
enum err storage_amend(
    struct storage *storage, const struct storage_amendment *amendment) NODISCARD;

/* storage_status — counters in memory: cheap enough for each request.
 * storage_size — what the store takes; asks LMDB, in a read transaction: for the metrics. */
struct storage_status {
    struct journal_status journal;
    struct archive_status archive;
    uint64_t tails, tail_bytes; /* memory of their blocks */
    uint64_t queued_bytes; /* of large events and bodies, waiting for their share of the journal */
    uint64_t queries_waiting;
    struct block_cache_status cache;
    bool is_paused;
};
void storage_status(const struct storage *storage, struct storage_status *out);
void storage_size(const struct storage *storage, struct store_size *out);

#endif
