/* backup — a data directory copied while its server runs, brought back, and made small.
 *
 * A backup is a directory: the store, the journal's segments above it, the keys, and backup.json,
 * which is written last and so tells that the rest is whole. `tokenlog verify` reads it as it reads a
 * data directory. Point in time: everything that was visible when backup_make was called is in it;
 * what came while it ran may be. How that is reached is told in FORMAT.md, part 3.
 *
 *   thread  one; blocking; in a process that has none of the directories open */
#ifndef TOKENLOG_STORAGE_BACKUP_H
#define TOKENLOG_STORAGE_BACKUP_H

#include "storage/journal_copy.h"
#include "storage/snapshot.h"

enum { BACKUP_FORMAT = 1 };

/* Who stands in the way, for a message. */
struct backup_conflict {
    const char *path; /* which directory; borrowed from the call */
    int holder_pid;   /* 0: not known */
};

struct backup_report {
    uint64_t store_bytes, journal_bytes;
    uint64_t absorbed_lsn, last_lsn;
    uint32_t attempts;               /* at the journal: more than one on a very busy server */
    struct journal_recovery journal; /* what recovery of it will find */
    int64_t began_ms;                /* Unix epoch: the point in time */
};

/* backup_make — of the data directory `from`, with or without a server on it, into `to`, which is
 * absent (its parent is there) or empty. What fails is left without backup.json.
 *   is_compact  the store without its free pages
 *   answers  ERR_NOTFOUND no store in `from` · ERR_EXISTS `to` is not empty · ERR_FULL
 *            ERR_BUSY `from` is being compacted · ERR_AGAIN the journal was overwritten faster
 *            than it could be copied, BACKUP_ATTEMPTS_MAX times
 *   faults   ERR_IO, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_NOMEM */
enum err backup_make(const char *from, const char *to, bool is_compact,
    const struct progress *progress, struct backup_report *out) NODISCARD;

/* backup_check — whether `path` is a whole backup of a format that is known.
 *   answers ERR_NOTFOUND it is none, or not whole · ERR_INVALID its backup.json
 *   faults  ERR_UNSUPPORTED a newer format, by name; ERR_IO */
enum err backup_check(const char *path) NODISCARD;

/* backup_restore — a new data directory `to` (absent or empty) from a backup that was checked. Held
 * meanwhile as a server would. The store's name comes last: a directory without it is not served.
 *   answers  as backup_check; ERR_EXISTS · ERR_FULL · ERR_BUSY · faults ERR_IO, ERR_NOMEM */
enum err backup_restore(
    const char *from, const char *to, const struct progress *progress, uint64_t *bytes) NODISCARD;

/* backup_compact — the store rewritten without free pages, checked, and put in the old one's place
 * in one step. No server may run, nor anything that reads: the directory is held as a server would.
 *   answers  ERR_NOTFOUND no data directory · ERR_BUSY *conflict tells who · ERR_FULL
 *   faults   ERR_CORRUPT the copy has findings (nothing was changed), ERR_IO, ERR_NOMEM */
struct compact_report {
    uint64_t before_bytes, after_bytes;
};
enum err backup_compact(const char *path, const struct progress *progress,
    struct backup_conflict *conflict, struct compact_report *out) NODISCARD;

#endif
