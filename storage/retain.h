/* retain — removes what has expired, and the oldest when there is too much: a bounded step at a time,
 * and nothing expires while the clock is in doubt.
 *
 * A wall clock that was set forward would expire everything at once. So retention pauses when the
 * wall clock gains more than CLOCK_STEP_NS on the monotonic one between two looks, until it has
 * been set back, or has held for CLOCK_TRUST_NS. (A machine that slept looks the same.)
 *
 *   thread  the archiver's                                                                      */
#ifndef TOKENLOG_STORAGE_RETAIN_H
#define TOKENLOG_STORAGE_RETAIN_H

#include "storage/store.h"

struct retain {
    struct store *store;
    int64_t step_ns;
    int64_t tombstone_ttl_s;
    int64_t next_ns; /* monotonic: the next look */
    int64_t gap_ns;  /* trusted difference, wall less monotonic */
    bool has_gap;
    bool is_paused;
    int64_t paused_at_ns; /* monotonic */
    uint64_t expired;     /* streams removed because of their age */
    uint64_t bytes_max;   /* of the store's used pages; 0 = no limit */
    struct id evicted_to; /* the search for the oldest goes on here */
    uint64_t evicted;     /* streams removed because of the size */
};

void retain_init(
    struct retain *retain, struct store *store, int64_t step_ns, int64_t tombstone_ttl_s);
/* retain_limit — from now on the oldest ended streams go when the store uses more. */
void retain_limit(struct retain *retain, uint64_t bytes_max);

/* retain_watch — look at the clocks; often: a step is seen as one. True: is_paused changed. */
bool retain_watch(struct retain *retain, int64_t now_ns, int64_t wall_ns);

/* retain_step — if it is time: remove up to RETENTION_STEP_STREAMS and RETENTION_STEP_VALUES of what
 * has expired, in one transaction, or else of the oldest if the store is too large. *did_work: something was removed, there may be more.
 *   answers ERR_FULL · faults ERR_IO, ERR_CORRUPT, ERR_NOMEM; the next look is then a step later */
enum err retain_step(
    struct retain *retain, int64_t now_ns, int64_t wall_ns, bool *did_work) NODISCARD;

#endif
