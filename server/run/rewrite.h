/* rewrite — a run's journal written anew, without the records that count no more: checkpoints that others
 * took the place of, or that were deleted, and what is said of steps in many records.
 *
 *   from   | step 1 | c 1 | c 2 | replay 1 | … | c 9000 | step 2 |  c 9001 | …
 *                                                  │        ▲ mark    │
 *   to     | head: all steps, with their replays │ c 9000 │ step 2 │ c 9001 | …
 *
 * What came before the mark is in the head, is copied because it counts still, or is left out; what comes
 * after it, while this goes on, is copied, too. Meanwhile the run is read and written as ever, in
 * `from`. Once all of that has been copied, `to` takes its place (append_replace), durably and as one: after
 * a crash the run has the one or the other, whole. A `to` that a crash left behind has no key, and goes when
 * its time is over.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_RUN_REWRITE_H
#define TOKENLOG_SERVER_RUN_REWRITE_H

#include "server/run/runbook.h"
#include "server/stream/append.h"

struct rewrite;

/* Never called from within rewrite_new.
 *   hold      only what came since it began is left to copy: whoever is not in the run yet is to wait, so
 *             that it comes to an end
 *   replaced  from here on `to` is the run's stream; the book says where in it each checkpoint is
 *   done      with ERR_OK: that is durable. Else nothing has changed: ERR_CLOSED the run was deleted ·
 *             ERR_DENIED a legal hold lies on it · ERR_LIMIT, ERR_AGAIN, ERR_FULL no room now · faults of
 *             its storage. It may be freed here. */
struct rewrite_owner {
    void (*hold)(void *context);
    void (*replaced)(void *context, struct stream *to);
    void (*done)(void *context, enum err err);
    void *context;
};

/* rewrite_new — begins. `from` is the run's stream, `book` all that is in it: changed by what is written
 *   there, and borrowed until rewrite_free, as the project.   faults ERR_NOMEM
 * rewrite_free — at any time, also amid; NULL is taken. */
enum err rewrite_new(struct stream *from, struct project *project, struct runbook *book,
    const struct rewrite_owner *owner, struct rewrite **out) NODISCARD;
struct rewrite *rewrite_free(struct rewrite *rewrite);

#endif
