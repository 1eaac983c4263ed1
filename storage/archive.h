/* archive — the archiver: a thread that moves durable events from memory (and so from the journal)
 * into the store, in bulk, prepares journal segments, removes what is deleted or has expired, and
 * says when it is done, so that the journal's slots can be reused.
 *
 *   loop thread: archive_submit(bundle) ──▶ queue ──▶ archiver: what is queued, in transactions of
 *                                                     ≤ ARCHIVE_TXN_BYTES_MAX, each committed
 *   loop thread: bundle->done(bundle, err)  ◀── host->post ◀──┘
 *
 * A bundle's absorbed_lsn says: when this bundle and all before it are in the store, everything up
 * to that LSN is. It is written in the transaction that completes the bundle. Bundles are processed
 * in order; absorption can be repeated (what is stored is skipped).
 *
 * On ERR_FULL the archiver keeps the bundles and tries again every second, and at once when a
 * deletion is submitted: deletions and retention are served first, since they make room. A stream of
 * which a stored value has rotted is marked as damaged and gets nothing more; the others go on. Any
 * other fault makes it stop and say so: this bundle and all that follow are done with that fault. */
#ifndef TOKENLOG_STORAGE_ARCHIVE_H
#define TOKENLOG_STORAGE_ARCHIVE_H

#include "protocol/base/list.h"
#include "storage/journal.h"
#include "storage/store.h"

/* task — a call to be made on the loop thread; embedded in its owner. */
struct task {
    struct task *next;
    void (*run)(struct task *task);
};

/* What storage needs of the program around it; handed in at open.
 *   now_ns   monotonic; any thread
 *   wall_ns  Unix epoch; any thread
 *   post     any thread: `task->run` then runs on the loop thread, soon
 *   wake_at  loop thread: call storage_tick then
 *   log      any thread; level 0 error, 1 warning, 2 info */
struct storage_host {
    void *context;
    int64_t (*now_ns)(void *context);
    int64_t (*wall_ns)(void *context);
    void (*post)(void *context, struct task *task);
    void (*wake_at)(void *context, int64_t monotonic_ns);
    void (*log)(void *context, int level, const char *message);
};

enum archive_kind {
    ARCHIVE_ROW,
    ARCHIVE_BLOCKS,
    ARCHIVE_BODY,
    ARCHIVE_ASIDE,
    ARCHIVE_CLOSE,
    ARCHIVE_MERGE,
    ARCHIVE_DELETE,
    ARCHIVE_AMEND, /* what a bundle of it is answered is store_amend's answer */
};

/* One thing to store; which fields count is a matter of its kind. */
struct archive_item {
    struct list node;
    enum archive_kind kind;
    uint32_t project;
    uint64_t number;
    struct id id;                     /* DELETE, AMEND */
    uint64_t position;                /* BODY: byte offset; ASIDE: before_seq */
    uint32_t index;                   /* ASIDE */
    struct store_amendment amendment; /* AMEND; its id, project and text are the item's */
    struct buf bytes;      /* ROW, CLOSE, BODY, ASIDE: owned; DELETE: the reason; AMEND: the text */
    struct block **blocks; /* BLOCKS: owned array of references */
    size_t block_count;    /* may be 0 */
    uint32_t last_frames;  /* BLOCKS: of the last block, if it still grows; 0 = all */
    bool is_served;        /* DELETE: the archiver's; served early, to make room */
};
struct archive_item *archive_item_new(
    enum archive_kind kind, uint32_t project, uint64_t number);    /* NULL: out of memory */
struct archive_item *archive_item_free(struct archive_item *item); /* NULL is taken */

/* Embedded in its submitter's; from archive_submit until `done` it is the archiver's. */
struct archive_bundle {
    struct task task;
    struct list items;     /* of archive_item; owned, freed by the archiver before `done` */
    uint64_t absorbed_lsn; /* 0: says nothing */
    uint64_t bytes;        /* about, in memory; for the backlog */
    enum err err;
    enum err answer; /* of an AMEND that found nothing to amend */
    void (*done)(struct archive_bundle *bundle, enum err err); /* loop thread */
    void *owner;
    struct list node;
};

struct archiver;
struct archive_config {
    struct store *store;
    struct journal *journal; /* for journal_prepare; may be NULL */
    const struct storage_host *host;
    const char *path;           /* the data directory, for the ballast file; NULL: none is kept */
    int64_t retention_step_ns;  /* between looks at the expiry index */
    int64_t tombstone_ttl_s;    /* a deleted stream is remembered so long (410 instead of 404) */
    uint64_t keep_bytes_max;    /* past it the oldest ended streams go; 0 = no limit */
    uint64_t scrub_bytes_per_s; /* of stored values read again and checked; 0 = none */
    bool has_no_thread;         /* simulation, tests: all work is done by archive_step */
};
/* archiver_start — copies `config`; store, journal, host and path are borrowed until the stop.
 *   faults ERR_NOMEM, ERR_IO (no thread) */
enum err archiver_start(const struct archive_config *config, struct archiver **out) NODISCARD;
/* archiver_stop — finish all submitted bundles, then join the thread. What a full disk keeps from
 *   being stored is done with ERR_CANCELED. All `done` are posted when it returns: run or drop
 *   them. Returns NULL, and takes it. */
struct archiver *archiver_stop(struct archiver *archiver);
/* archiver_abandon — without its thread: what has not been stored is not, as after a crash; it is done
 *   with ERR_CANCELED. Returns NULL, and takes it. */
struct archiver *archiver_abandon(struct archiver *archiver);
void archive_submit(struct archiver *archiver, struct archive_bundle *bundle);
/* archive_wake — the journal may have a slot to prepare: look at once. Any thread. */
void archive_wake(struct archiver *archiver);
/* archive_suspect — a stream could not be read: the archiver looks, soon, what of it has rotted, and
 * marks its row. Any thread. */
void archive_suspect(struct archiver *archiver, uint32_t project, uint64_t number);
/* archive_step — without the thread: one transaction's worth. False: nothing to do at this time. */
bool archive_step(struct archiver *archiver);

/* Counted since the start; `events` also counts what a repeat has skipped. */
struct archive_status {
    uint64_t transactions, bytes, events, expired, evicted, deleted, backlog_bytes;
    uint64_t damaged;                /* streams found damaged */
    uint64_t scrubbed_bytes, scrubs; /* values checked; times that all have been */
    bool is_retention_paused;        /* the wall clock has been set forward */
    bool is_full;                    /* what is queued waits for room */
    bool is_stopped;                 /* by a fault */
};
void archive_status(const struct archiver *archiver, struct archive_status *out); /* any thread */

#endif
