/* snapshot — one state of the store on its way into a file: fixed at one point in time, written when
 * the caller is ready, while others go on reading and writing the store.
 *
 *     begin ──▶ the state is fixed ──▶ (the journal is copied) ──▶ write ──▶ end
 *                    └── pages it needs are not used again until then: keep it short ──┘
 *
 *   thread  the caller's, and one of its own that feeds it; blocking */
#ifndef TOKENLOG_STORAGE_SNAPSHOT_H
#define TOKENLOG_STORAGE_SNAPSHOT_H

#include "storage/store.h"

struct snapshot;

/* Told of a long copy: bytes done, and about how many there are. */
struct progress {
    void (*report)(void *context, const char *what, uint64_t done, uint64_t total); /* or NULL */
    void *context;
};

/* snapshot_begin — from here on the state is fixed. Waits for a commit that is under way.
 *   store       borrowed until the end; of this or any other process beside the writer
 *   is_compact  without free pages, in the order of the keys
 *   faults      ERR_IO, ERR_CORRUPT, ERR_NOMEM */
enum err snapshot_begin(struct store *store, bool is_compact, struct snapshot **out) NODISCARD;
/* snapshot_absorbed_lsn — at most the absorbed position of the fixed state. */
uint64_t snapshot_absorbed_lsn(const struct snapshot *snapshot);
/* snapshot_write — all of it into a new file (0600), flushed; once.
 *   answers ERR_FULL, ERR_EXISTS · faults as above. A file of its own that fails is removed */
enum err snapshot_write(struct snapshot *snapshot, const char *path,
    const struct progress *progress, uint64_t *bytes) NODISCARD;
struct snapshot *snapshot_end(struct snapshot *snapshot); /* NULL is taken */

#endif
