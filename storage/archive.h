/* archive — the archiver: a thread that moves durable events from memory (and so from the journal) into the store, in bulk,
 * prepares journal segments, removes what is deleted or has expired, and says when it is done so that the journal's slots can be reused.
 *
 *   loop thread: archive_submit(bundle) ──▶ queue ──▶ archiver: one or more bundles a transaction (≤ ARCHIVE_TXN_BYTES_MAX), commit
 *   loop thread: bundle->done(bundle, err)  ◀── host->post ◀──┘
 *
 * A bundle's absorbed_lsn says: when this bundle and all before it are in the store, everything up to that LSN is. It is written in
 * the same transaction. Bundles are processed in order; absorption can be repeated (what is stored is skipped). On ERR_FULL the archiver keeps
 * the bundle and tries again every second (space may come back; deletions are served first); other faults make it stop and say so.    */
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

/* What storage needs of the program around it; handed in at open. `post` may be called from any thread: `task->run` then runs on the loop thread soon. */
struct storage_host {
    void *context;
    int64_t (*now_ns)(void *context);  /* monotonic; any thread */
    int64_t (*wall_ns)(void *context); /* Unix epoch; any thread */
    void (*post)(void *context, struct task *task);
    void (*wake_at)(void *context, int64_t monotonic_ns); /* loop thread: call storage_tick then */
    void (*log)(void *context, int level, const char *message); /* any thread; 0 error 1 warning 2 info */
};

enum archive_kind { ARCHIVE_ROW, ARCHIVE_BLOCKS, ARCHIVE_BODY, ARCHIVE_ASIDE, ARCHIVE_MERGE, ARCHIVE_DELETE };

struct archive_item {
    struct list node;
    enum archive_kind kind;
    uint32_t project;
    uint64_t number;
    struct id id;           /* DELETE */
    uint64_t position;      /* BODY: byte offset; ASIDE: before_seq */
    uint32_t index;         /* ASIDE */
    struct buf bytes;       /* ROW, BODY, ASIDE: owned; DELETE: the reason */
    struct block **blocks;  /* BLOCKS: owned array of references */
    size_t block_count;
};

struct archive_bundle {
    struct task task;
    struct list items;      /* of archive_item; owned, freed by the archiver once stored */
    uint64_t absorbed_lsn;
    uint64_t bytes;
    enum err err;
    void (*done)(struct archive_bundle *bundle, enum err err); /* loop thread; the bundle is then the submitter's again */
    void *owner;
    struct list node;
};

struct archiver;
struct archive_config {
    struct store *store;
    struct journal *journal;     /* for journal_prepare; may be NULL in tests */
    const struct storage_host *host;
    int64_t retention_step_ns;   /* between looks at the expiry index */
    int64_t tombstone_ttl_s;     /* a deleted stream is remembered so long (410 instead of 404) */
};
enum err archiver_start(const struct archive_config *config, struct archiver **out) NODISCARD;
/* archiver_stop — finish all submitted bundles (unless stuck on a full disk), then join the thread. */
struct archiver *archiver_stop(struct archiver *archiver);
void archive_submit(struct archiver *archiver, struct archive_bundle *bundle); /* ownership passes until `done` */
/* archive_step — the same work without the thread, one transaction's worth; for simulation and tests. False: nothing to do. */
bool archive_step(struct archiver *archiver);
struct archive_item *archive_item_new(enum archive_kind kind, uint32_t project, uint64_t number); /* NULL: out of memory */
struct archive_item *archive_item_free(struct archive_item *item);

struct archive_status { uint64_t transactions, bytes, events, expired, deleted, backlog_bytes; bool is_retention_paused; bool is_full; bool is_stopped; };
void archive_status(const struct archiver *archiver, struct archive_status *out); /* any thread */

#endif
