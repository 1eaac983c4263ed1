/* storage — the seam that everything above it sees: create, append, read, delete, over journal + store. Small and asynchronous, so that a
 * replicated backend can stand behind it later: no transaction, segment or thread shows.
 *
 *                      loop thread                          archiver's thread            reader threads
 *   tail_append ──▶ journal batch ──▶ durable ──▶ watermark
 *        └────────▶ tail's open block ──(full, ended, or old)──▶ store blocks
 *   storage_read: tail in memory, else ◀──────────────────────────────────────────────── store block
 *
 * A *tail* is a stream that is live or not yet wholly archived. It keeps every event until the archiver has acknowledged it; a reader asks the
 * tail first, and only when the event is no longer there the store, whose transaction begins after the miss: so nothing falls between.
 *
 *   thread  all calls on the loop thread that opened it; callbacks too, and never from inside the call that caused them   */
#ifndef TOKENLOG_STORAGE_STORAGE_H
#define TOKENLOG_STORAGE_STORAGE_H

#include "storage/archive.h"

struct storage;
struct tail;

struct storage_config {
    const char *path;             /* created 0700 if absent; DIR/lock is held while open */
    struct disk *disk;
    const struct storage_host *host;
    uint64_t segment_bytes;
    uint32_t segment_count;
    int64_t commit_spacing_ns;    /* 1–2 ms */
    int64_t archive_after_ns;     /* an open block moves after so long even if not full */
    int64_t retention_step_ns;
    int64_t tombstone_ttl_s;
    int zstd_level;
    bool is_memory;               /* durability: memory — events count as visible once appended */
    /* The watermark, the durable row or the archived part of a tail has moved. */
    void (*changed)(void *context, struct tail *tail);
    /* Everything of an ended tail is in the store and it is about to be freed: drop the pointer. */
    void (*gone)(void *context, struct tail *tail);
    /* Pressure: transfers are to pause (true) or may go on (false). */
    void (*pause)(void *context, bool is_paused);
    void (*stuck)(void *context, enum err err); /* nothing can be made durable any more: go read-only */
    /* journal_observe's: for the metrics. */
    void (*committed)(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes);
    void *context;
};

/* storage_open — lock, open, recover. Each stream that was live at the crash is given to `recovered` as a tail whose row still says so: the
 * caller ends it (tail_end, interrupted). Ended but unarchived streams become tails too, and go to the archiver by themselves.
 *   answers ERR_BUSY (another server holds the directory; *holder_pid) · faults as journal_open and store_open */
struct storage_report { struct journal_recovery journal; uint64_t live_streams; int64_t duration_ns; };
enum err storage_open(const struct storage_config *config, void (*recovered)(void *context, struct tail *tail), struct storage_report *report, int *holder_pid, struct storage **out) NODISCARD;
/* storage_drain — ask for everything to be committed and archived; storage_is_drained tells. storage_close then frees (it waits for threads). */
void storage_drain(struct storage *storage);
bool storage_is_drained(const struct storage *storage);
struct storage *storage_close(struct storage *storage);
void storage_tick(struct storage *storage); /* end of each loop turn, and at wake_at */

/* New work. storage_admits — whether a new stream may begin: ERR_FULL past JOURNAL_REFUSE_PERCENT, a full disk, or when stuck. */
enum err storage_admits(const struct storage *storage) NODISCARD;
/* storage_project — the number of a project, given at first use (made durable with its first row). */
enum err storage_project(struct storage *storage, struct slice name, uint32_t *out) NODISCARD;
/* storage_create — assigns row->number and appends the row (accepted) and then the request body to the journal. The tail copies the row and the body. */
enum err storage_create(struct storage *storage, struct row *row, struct slice request_body, struct tail **out) NODISCARD;

/* Writing, by the stream's one producer.  answers ERR_FULL (journal stuck or out of buffers; nothing was appended) · faults ERR_NOMEM
 *   tail_append  one event of any size, numbered next; visible once its last fragment is durable
 *   tail_aside   recorded beside the stream, without a number
 *   tail_update  a new version of the row (state still live): the head, say
 *   tail_end     the last event, if any (empty slice: none), and the final row, in one batch: neither is visible without the other.
 *   Counts (events, bytes, last_event_ns) in the row are filled in here. */
enum err tail_append(struct tail *tail, struct slice event, int64_t time_ns) NODISCARD;
enum err tail_aside(struct tail *tail, struct slice event, int64_t time_ns) NODISCARD;
enum err tail_update(struct tail *tail, const struct row *row) NODISCARD;
enum err tail_end(struct tail *tail, struct slice last_event, int64_t time_ns, const struct row *row) NODISCARD;

/* Looking at a tail. */
const struct row *tail_row(const struct tail *tail);      /* newest version given, durable or not; slices owned by the tail until the next update */
bool tail_is_row_durable(const struct tail *tail);        /* the newest version is */
const struct row *tail_durable_row(const struct tail *tail); /* newest durable version; NULL before the first */
uint64_t tail_events(const struct tail *tail);            /* appended */
uint64_t tail_watermark(const struct tail *tail);         /* visible */
bool tail_has_ended(const struct tail *tail);             /* the final row is durable */
void tail_set_owner(struct tail *tail, void *owner);      /* the hub's */
void *tail_owner(const struct tail *tail);
/* tail_read — the block that holds event `seq` (part `part`), a new reference, and the frames of it that may be read: [*index, *end).
 *   answers ERR_AGAIN seq is at the watermark · ERR_CLOSED seq is at the end of an ended stream · ERR_NOTFOUND archived: storage_read */
enum err tail_read(struct tail *tail, uint64_t seq, uint32_t part, struct block **block, uint32_t *index, uint32_t *end) NODISCARD;

/* Reading the store, asynchronously on a reader thread; embedded in its owner, who keeps it until `done`.
 *   answers (to done)  ERR_NOTFOUND · faults ERR_CORRUPT, ERR_IO, ERR_NOMEM
 *   storage_cancel     `done` will be called with ERR_CANCELED, or with the result if that was faster: never not at all */
enum storage_query_kind { STORAGE_BLOCK, STORAGE_ROW, STORAGE_KEY, STORAGE_BODY, STORAGE_LIST };
struct storage_query {
    struct task task;
    enum storage_query_kind kind;
    uint32_t project;
    uint64_t number;       /* BLOCK, BODY */
    uint64_t seq;          /* BLOCK; BODY: offset */
    uint32_t part;         /* BLOCK */
    struct id id;          /* ROW in; KEY out; LIST: before */
    bool has_before;       /* LIST */
    struct slice key;      /* KEY, borrowed until done */
    size_t rows_max;       /* LIST: how many rows may be looked at; for LIST, `visit` runs on the reader thread and touches only its context */
    enum err (*visit)(void *context, const struct row *row);
    void *context;
    struct buf bytes;      /* out: ROW, KEY (encoded row), BODY; the owner frees it */
    struct block *block;   /* out: BLOCK, one reference */
    enum err err;
    void (*done)(struct storage_query *query, enum err err);
    void *owner;
    atomic_bool is_canceled;
    struct storage *storage;
    struct storage_query *next;
};
enum err storage_query(struct storage *storage, struct storage_query *query) NODISCARD; /* ERR_LIMIT: too many wait; done is not called */
void storage_cancel(struct storage_query *query);

/* storage_delete — journal a delete of an ended stream; the recording goes from the store soon after. `done` by `changed` is not needed: a reader's next
 * query answers ERR_NOTFOUND or a tombstone. Pass its tail if it still has one. */
enum err storage_delete(struct storage *storage, uint32_t project, const struct id *id, uint64_t number, struct slice reason) NODISCARD;

struct storage_status { struct journal_status journal; struct archive_status archive; struct store_size store; uint64_t tails, tail_bytes, queries_waiting; };
void storage_status(const struct storage *storage, struct storage_status *out);

#endif
