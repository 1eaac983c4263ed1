/* overload — how many generations a reactor takes on: all, until what arrives waits too long for its
 * turn; then as many as it was seen to carry.
 *
 *     lag     how late a timer runs, noted every OVERLOAD_PROBE_MS while generations are under way,
 *             and by how much the last commit took longer than a commit of this disk can; what
 *             counts is the moving average, so that one long turn is none
 *     limit   none ─▶ lag > max: what goes on now ─▶ every 250 ms: still so, a sixteenth less
 *                                                    lag < max / 2,     an eighth more
 *
 * So it follows what the machine has to give, as TCP follows a link, and neither collapses under
 * whoever asks again nor below OVERLOAD_LIVE_MIN, where lag is not the generations' doing. Only new
 * generations are refused, never readers.
 *
 *   thread  the reactor's */
#ifndef TOKENLOG_SERVER_POLICY_OVERLOAD_H
#define TOKENLOG_SERVER_POLICY_OVERLOAD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    OVERLOAD_PROBE_MS = 10, /* several in the time in which a stream of 50 events/s has one */
    OVERLOAD_LIVE_MIN = 64, /* generations; no machine is too slow for so few */
};

struct overload {
    int64_t lag_max_ns; /* 0: there is no limit */
    int64_t lag_ns;     /* the average */
    int64_t commit_ns;  /* the last one's */
    int64_t disk_ns;    /* the quickest, rising slowly: what the disk is like, not the load */
    uint64_t limit;     /* of generations under way; UINT64_MAX: none */
    unsigned probes;    /* since the limit was set or moved */
};

void overload_init(struct overload *overload, int64_t lag_max_ns);
/* overload_forget — nothing is under way any more: there is no limit, but the disk is as it was. */
void overload_forget(struct overload *overload);
/* overload_note — a probe ran `lag_ns` late, with `live` generations under way. */
void overload_note(struct overload *overload, int64_t lag_ns, uint64_t live);
/* overload_note_commit — from a commit's first event to durable; readers wait for it. */
void overload_note_commit(struct overload *overload, int64_t latency_ns);
/* overload_admits — whether one more may begin beside `live`. */
bool overload_admits(const struct overload *overload, uint64_t live);

#endif
