/* reopen — the tails of open streams that clients write, leaving memory and coming back.
 *
 *     at rest: all of it is durable and in the store, nothing is on its way
 *       └─ nobody wants it ─▶ leaving ─▶ gone: its hold on the journal goes with it, and only the
 *                                        store has the stream, as open as before
 *     reopened from its stored row: the journal does not name it until it is written to; then the row
 *     goes with the event, so that a replay finds both
 *
 * A row that was read from the store is as old as its query. Should the stream have been reopened,
 * appended to and let go of since then, the row would number its next event as one that is there
 * already: so departures are remembered for a while, and a row older than one is refused.
 *
 *   thread  the loop's                                                                          */
#ifndef TOKENLOG_STORAGE_REOPEN_H
#define TOKENLOG_STORAGE_REOPEN_H

#include "storage/tail.h"

struct departures {
    uint64_t count; /* so far; a query carries what it was */
    uint64_t numbers[DEPARTURES_KEPT];
};

/* departures_note — this stream's tail leaves.
 * departures_conceal — whether it may have left since `count` was what it is given as. */
void departures_note(struct departures *departures, uint64_t number);
bool departures_conceal(const struct departures *departures, uint64_t count, uint64_t number);
/* reopen_tail — of an open row that the store has.  faults ERR_NOMEM */
enum err reopen_tail(struct tails *tails, const struct row *row, struct tail **out) NODISCARD;

#endif
