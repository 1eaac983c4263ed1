/* mend — what a damaged journal leaves of streams: those that lost events end as failed, with what
 * of them can be read, and nobody else is touched.
 *
 *     store   0 ─────────── S            the events that are stored, and a row that says so
 *     tail            F ─────────── E    what the journal still has, in one piece
 *
 *     F ≤ S       all is there
 *     F > S       S … F - 1 are lost: the stream ends at S, and what the tail has goes
 *     no tail     a stored row says live, and the journal should have named it: it ends at S
 *     no row      the store never had it either: only its number is left, for the log
 *
 * Nothing is journalled for it: until the failed row is stored the journal keeps the place of the
 * damage, so that a crash meanwhile leads to the same end.
 *
 *   thread  the loop's, while storage_open runs                                               */
#ifndef TOKENLOG_STORAGE_MEND_H
#define TOKENLOG_STORAGE_MEND_H

#include "storage/journal.h"
#include "storage/tail.h"

/* mend_expect — where the last run ended in good order it said how far its journal went. What does not
 *   reach so far has lost its end, which by itself looks like a batch that was torn and never counted:
 *   *found then has it as corrupt, and missing. */
void mend_expect(const struct store *store, struct journal_recovery *found);
/* mend_run — after the replay of a journal that had gaps, before replay_finish.
 *   *failed  streams that were ended as failed, reason "corrupt", or of which nothing is left; each
 *            is named in the log
 *   faults   ERR_NOMEM, ERR_IO, ERR_CORRUPT of reading the store */
enum err mend_run(struct tails *tails, struct store *store, uint64_t *failed) NODISCARD;

#endif
