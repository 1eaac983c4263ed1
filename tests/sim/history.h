/* history — one run of the simulation: a process (storage, hub, producers, readers) that lives, dies
 * and comes back on one simulated disk, does what a seed says, and is watched by the model.
 *
 *   real         all of storage/ and server/stream/; LMDB in a temporary directory
 *   simulated    time, the disk under the journal, providers, callers
 *   one thread   the archiver works between turns, queries are answered in the call
 *
 * It cannot see: faults of LMDB's own file (a power cut leaves what was committed), races between
 * threads, and what is above the stream: HTTP, TLS, sockets.                                   */
#ifndef TOKENLOG_TESTS_SIM_HISTORY_H
#define TOKENLOG_TESTS_SIM_HISTORY_H

#include "protocol/base/slice.h"

struct history_result {
    uint64_t problems; /* printed on standard error as they were found */
    uint64_t trace;    /* equal for two runs of a seed */
    uint64_t steps, streams, crashes;
};

struct history_options {
    bool is_verbose;     /* what storage logs goes to standard error */
    bool has_lying_disk; /* acknowledges what a power cut then loses: the model must notice */
};
struct history_result history_run(uint64_t seed, const struct history_options *options);

#endif
