/* archive_state — what the archiver's files share: its state, and the transaction that it is filling.
 *
 *   archive.c        the thread, what is handed to it and back, room, retention, scrubbing
 *   archive_batch.c  one transaction: the items of bundles, put
 *
 *   thread  the archiver's, but for what the mutex guards and what is atomic                     */
#ifndef TOKENLOG_STORAGE_ARCHIVE_STATE_H
#define TOKENLOG_STORAGE_ARCHIVE_STATE_H

#include <pthread.h>

#include "storage/archive.h"
#include "storage/ballast.h"
#include "storage/retain.h"
#include "storage/scrub.h"
#include "storage/suspect.h"

enum { LOG_ERROR, LOG_WARNING, LOG_INFO };

enum {
    MESSAGE_BYTES = 320,
};

struct archive_progress {
    struct list *item; /* of the first bundle; NULL: its beginning */
    struct block_position merged;
};

struct archiver {
    struct archive_config config;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t submitted;
    /* Under the mutex. */
    struct list incoming;
    bool has_deletion; /* among what is incoming */
    bool is_woken;     /* look, though nothing is incoming */
    bool is_stopping;
    /* The archiver's own. */
    struct list bundles;
    bool is_closing; /* finish the bundles, begin nothing else */
    struct archive_progress progress;
    struct retain retain;
    struct ballast ballast;
    struct scrub *scrub; /* NULL: none */
    struct suspects suspects;
    int64_t retry_ns; /* when full: not before */
    enum err failure;
    /* Shown to any thread. */
    atomic_uint_fast64_t transactions, bytes, events, expired, evicted, deleted, backlog_bytes;
    atomic_uint_fast64_t damaged, scrub_damaged, scrubbed_bytes, scrubs;
    atomic_bool is_retention_paused, is_full, is_stopped;
};

/* What a transaction has come to, before its commit. */
struct archive_batch {
    struct store_txn *txn;
    struct archive_progress progress;
    size_t values_left; /* that it may delete */
    size_t completed;   /* bundles */
    uint64_t absorbed_lsn;
};

static inline int64_t archiver_now_ns(const struct archiver *archiver)
{
    return archiver->config.host->now_ns(archiver->config.host->context);
}

static inline int64_t archiver_wall_ns(const struct archiver *archiver)
{
    return archiver->config.host->wall_ns(archiver->config.host->context);
}

static inline struct archive_item *archive_item_of(struct list *node)
{
    return CONTAINER_OF(node, struct archive_item, node);
}

static inline struct archive_bundle *archive_bundle_of(struct list *node)
{
    return CONTAINER_OF(node, struct archive_bundle, node);
}

/* archiver_log — a line of the log; a fault in `err` says where it came from. */
void archiver_log(const struct archiver *archiver, int level, const char *what, enum err err);
void archiver_log_damage(struct archiver *archiver, const struct id *id, const char *what);
/* archive_batch_commit — as many bundles as fit into batch->txn, which is committed, or aborted.
 *   answers ERR_FULL, and whatever the store faults with: nothing was stored */
enum err archive_batch_commit(struct archiver *archiver, struct archive_batch *batch) NODISCARD;
/* archiver_blame — something of a stream could not be put, or read: if a value of it has rotted it is
 * the stream's alone, which is marked. ERR_CORRUPT: none has. */
enum err archiver_blame(
    struct archiver *archiver, struct store_txn *txn, uint32_t project, uint64_t number) NODISCARD;
/* archiver_delete — as store_delete, of the item's stream; one that is held, or not there, is no failure:
 * then there is nothing to delete. */
enum err archiver_delete(struct archiver *archiver, struct store_txn *txn,
    const struct archive_item *item, size_t *values_left) NODISCARD;

#endif
