/* history — one run of the simulation: a process (storage, hub, producers, readers) that lives, dies
 * and comes back on one simulated disk, does what a seed says, and is watched by the model.
 *
 *   real         all of storage/ and server/stream/; LMDB, in a temporary directory
 *   simulated    time, the disk under the journal (disk_sim.h), the writes and flushes of LMDB's own
 *                file (file_sim.h), providers, callers
 *   one thread   the archiver works between turns; while it writes to LMDB's file the loop may take a
 *                turn, too, so that the journal gets ahead of it; queries are answered in the call
 *
 * It cannot see: races between threads; what file_sim.h says of file systems; and what is above the
 * stream: HTTP, TLS, sockets. The working directory changes, and one history runs at a time.   */
#ifndef TOKENLOG_TESTS_SIM_HISTORY_H
#define TOKENLOG_TESTS_SIM_HISTORY_H

#include "protocol/base/slice.h"

struct history_result {
    uint64_t problems; /* printed on standard error as they were found */
    uint64_t trace;    /* equal for two runs of a seed */
    uint64_t steps, streams, crashes;
    uint64_t operations, ends; /* on the store's file; of those tried as the last (cut_every) */
};

struct history_options {
    bool is_verbose;      /* what storage logs goes to standard error */
    bool has_lying_disk;  /* acknowledges what a power cut then loses: the model must notice */
    bool has_lying_store; /* the same, of LMDB's file */
    bool is_store_plain;  /* what is committed there is safe, and nothing fails */
    uint64_t cut_every;   /* each so many-th operation on LMDB's file: cuts.h; 0: no cuts */
    uint64_t fail_nth;    /* operation on it; 0: none */
    int fail_error;       /* an errno value */
};
struct history_result history_run(uint64_t seed, const struct history_options *options);

#endif
