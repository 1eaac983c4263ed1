/* stats — what the process has done: the numbers a test proves its claims with.
 *
 * A generation is an inference request that was not rejected: it is what a provider would bill. It
 * ends exactly once, as completed (every byte handed to the kernel), aborted (the caller went away
 * first) or failed (the mock's own fault).
 *
 *   thread  the loop's */
#ifndef TOKENLOG_TOOLS_MOCK_STATS_H
#define TOKENLOG_TOOLS_MOCK_STATS_H

#include "protocol/base/slice.h"

struct stats;
struct stats_model;

enum outcome { OUTCOME_COMPLETED, OUTCOME_ABORTED, OUTCOME_FAILED, OUTCOME_COUNT };

/* One generation's place in the books, from stats_begin to stats_end. */
struct ticket {
    uint64_t generation; /* 1, 2, … for the process; never reset, so that no two share a text */
    uint64_t epoch;      /* the resets before it began */
    struct stats_model *model; /* shared with the books; NULL when they are full */
};                             /* all zero: none, and nothing is counted */

struct stats *stats_new(void);                 /* NULL: out of memory */
struct stats *stats_free(struct stats *stats); /* no generation may be open */

void stats_request(struct stats *stats);  /* any request, the control ones too */
void stats_rejected(struct stats *stats); /* an inference request answered with an error status */
/* stats_attempt — how many requests of exactly this model came before this one; UINT64_MAX for one
 * of the names past MODELS_MAX. faults ERR_NOMEM */
enum err stats_attempt(struct stats *stats, struct slice model, uint64_t *before) NODISCARD;
/* stats_begin — faults ERR_NOMEM */
enum err stats_begin(struct stats *stats, struct slice model, struct ticket *out) NODISCARD;
/* stats_sent — SSE events and, among them, tokens written by the generation. */
void stats_sent(struct stats *stats, const struct ticket *ticket, uint64_t events, uint64_t tokens);
void stats_end(struct stats *stats, struct ticket *ticket, enum outcome outcome);
/* stats_reset — all counters to zero but `active`; generations still open will not be counted in
 * the new epoch. */
void stats_reset(struct stats *stats);
/* stats_render — the JSON of GET /mock/stats. */
enum err stats_render(const struct stats *stats, struct buf *out) NODISCARD;

#endif
