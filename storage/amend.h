/* amend — amendments on their way: from the loop to the archiver, behind the row that they amend.
 *
 *     waiting ──(the stream's row is with the archiver)──▶ flying ──(stored)──▶ done
 *
 * Nothing is journalled for one: it is durable when it is in the store, and not before it is done.
 * Until then its tail, if there is one, does not show it.
 *
 *   thread  the loop's                                                                         */
#ifndef TOKENLOG_STORAGE_AMEND_H
#define TOKENLOG_STORAGE_AMEND_H

#include "storage/tail.h"

struct amendments {
    struct tails *tails;
    struct archiver *archiver;
    struct list waiting, flying;
    size_t count; /* of both */
};

void amendments_init(struct amendments *amendments, struct tails *tails);
void amendments_start(struct amendments *amendments, struct archiver *archiver);
/* amendments_deinit — the archiver has been stopped. Those under way are freed without a word. */
void amendments_deinit(struct amendments *amendments);
/* amendments_add — see storage_amend. answers ERR_LIMIT · faults ERR_NOMEM */
enum err amendments_add(
    struct amendments *amendments, const struct storage_amendment *request) NODISCARD;
/* amendments_tick — after the shipper's: what can go to the archiver goes. */
void amendments_tick(struct amendments *amendments);
bool amendments_are_idle(const struct amendments *amendments);
/* amendments_recover — a replayed tail learns from the store what was said of it. faults
 * ERR_CORRUPT, ERR_IO, ERR_NOMEM */
enum err amendments_recover(struct tails *tails, struct store *store) NODISCARD;

#endif
