/* crowd — the clients of one run, what each of them does next, and what was measured.
 *
 *     (replay: record the streams, settle) ─▶ ramp: clients begin ─▶ warm-up ─▶ window ─▶ over
 *
 * Counted is what happens inside the window. A token's lateness is its arrival against the mock's
 * schedule (request sent + ttft + index / rate), whatever happened to the tokens before it: what a
 * stalled server delays is counted for each token that was due meanwhile.
 *
 *   thread  one */
#ifndef TOKENLOG_TOOLS_BENCH_CROWD_H
#define TOKENLOG_TOOLS_BENCH_CROWD_H

#include "tools/bench/client.h"
#include "tools/bench/histogram.h"

enum failure {
    FAILURE_UNREACHED, /* no connection */
    FAILURE_CUT,       /* broken off */
    FAILURE_MALFORMED, /* not HTTP */
    FAILURE_STATUS,    /* not 200 */
    FAILURE_WRONG,     /* lost, doubled or foreign tokens */
    FAILURE_SHORT,     /* a clean end, but not the whole stream */
    FAILURE_COUNT,
};

struct crowd_results {
    struct histogram first_token;    /* of a POST: sent → first token */
    struct histogram first_replayed; /* of a reader's GET: sent → first token */
    struct histogram lateness, stream;
    struct histogram pace;    /* of a POST's tokens: against a schedule that its first one began */
    struct histogram refused; /* sent → 429 or 503 */
    uint64_t tokens, body_bytes, responses, hang_ups;
    uint64_t failures[FAILURE_COUNT]; /* in the whole run */
    const char *first_problem;        /* or NULL */
    int first_status;                 /* of the response that had it; 0: none came */
    bool is_first_of_reader;          /* it was a GET */
    uint32_t attached;                /* clients that were receiving when the window ended */
    int64_t window_ns;
    int64_t own_cpu_us, watched_cpu_us;
    int64_t resident_before_bytes,
        resident_after_bytes; /* of the watched: at the start, at the end */
};

/* crowd_run — blocks for settle, warm-up and duration; recording has 60 s. False: it could not be
 * done, and why is printed. */
bool crowd_run(const struct load_options *options, struct crowd_results *out) NODISCARD;
const char *failure_name(enum failure failure);

#endif
