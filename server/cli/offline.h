/* offline — a data directory read without a server: the store, and over it what the journal holds
 * that is not archived yet. Nothing is written.
 *
 *     store (rows, blocks)  ◀── overlaid by ──  journal (rows, events, deletes not absorbed)
 *
 * A stream that is live in the record is shown as interrupted: no server runs it, and that is what
 * the next server will say of it.
 *
 *   thread  one. DIR/lock is held shared meanwhile, so that no server can start in the middle */
#ifndef TOKENLOG_SERVER_CLI_OFFLINE_H
#define TOKENLOG_SERVER_CLI_OFFLINE_H

#include "protocol/data/row.h"
#include "storage/journal.h"
#include "storage/store.h"

struct offline;

/* offline_holder — the process that holds the data directory: 0 nobody does, -1 one that cannot be
 * told. */
int offline_holder(const char *path);

/* offline_open — `wanted`: the stream whose events will be read; NULL: rows only.
 *   answers  ERR_NOTFOUND no server has ever kept anything there · ERR_BUSY *holder_pid holds it
 *   faults   of store_open and journal_open */
enum err offline_open(
    const char *path, const struct id *wanted, int *holder_pid, struct offline **out) NODISCARD;
struct offline *offline_close(struct offline *offline); /* NULL is taken */

/* offline_row — the newest version; its slices live until offline_close.  answers ERR_NOTFOUND */
enum err offline_row(struct offline *offline, const struct id *id, struct row *out) NODISCARD;
/* offline_event — event `seq` of the wanted stream, appended.
 *   answers  ERR_CLOSED past the last one · faults ERR_CORRUPT it is missing, or as the store's */
enum err offline_event(struct offline *offline, uint64_t seq, struct buf *out) NODISCARD;
/* offline_list — all rows, newest first, from before `before` (NULL: from the newest), until
 * `visit` answers ERR_CLOSED; the row is borrowed for the call. */
enum err offline_list(struct offline *offline, const struct id *before,
    enum err (*visit)(void *context, const struct row *row), void *context) NODISCARD;

/* For verify. */
struct store *offline_store(struct offline *offline);
const struct journal_recovery *offline_recovery(const struct offline *offline);
/* offline_walk_damage — streams whose records in the journal do not fit together. */
void offline_walk_damage(struct offline *offline,
    void (*report)(void *context, const struct id *id, const char *what), void *context);

#endif
