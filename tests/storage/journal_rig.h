/* journal_rig — a journal on a simulated disk, and the model it must agree with.
 *
 * Every record's content follows from its LSN and the incarnation of the process that appended it;
 * the model remembers a fingerprint of each. What was acknowledged, or replayed once, must be
 * replayed identically, densely and in order by every later recovery; what comes beyond must be
 * what the last process had appended.                                                           */
#ifndef TOKENLOG_TESTS_STORAGE_JOURNAL_RIG_H
#define TOKENLOG_TESTS_STORAGE_JOURNAL_RIG_H

#include "storage/journal.h"
#include "tests/sim/disk_sim.h"

#define RIG_PATH "/data"
enum {
    RIG_LSN_MAX = 4000,
    RIG_BATCH_BYTES = BATCH_BYTES_MIN,
    RIG_SEGMENT_BYTES = 2 * BATCH_BYTES_MIN,
    RIG_BIG = 14000, /* payload of which two records fit a batch, and two batches a segment */
};

struct rig {
    struct disk *disk;
    struct journal *journal;
    struct journal_config config;
    struct journal_recovery found;
    uint64_t incarnation;

    uint32_t *model; /* fingerprint by LSN */
    uint64_t appended_lsn, acknowledged_lsn, absorbed_lsn;

    int64_t now_ns;
    int64_t wake_ns; /* asked for last; 0: not yet */
    uint64_t committed_calls, wake_calls, stuck_calls;
    bool is_patient;       /* nobody waits for what is appended */
    bool is_inside_append; /* no callback may come then */

    uint64_t replayed_lsn; /* highest of the last recovery */
    const char *problem;   /* the first thing that did not agree, or NULL */
};

void rig_init(struct rig *rig, uint64_t seed);
void rig_deinit(struct rig *rig);

/* rig_open — recover and compare with the model. Differences go to `problem`. */
enum err rig_open(struct rig *rig) NODISCARD;
/* rig_end — what a crash, called on the disk before, leaves of the process. */
void rig_end(struct rig *rig);
/* rig_power_cut — crash, open, compare. */
void rig_power_cut(struct rig *rig);

enum err rig_append(struct rig *rig, size_t payload_bytes) NODISCARD;
/* rig_commit — tick, complete and let time pass until the journal is idle. */
void rig_commit(struct rig *rig);
void rig_absorb(struct rig *rig, uint64_t lsn);
/* rig_batches — one record appended and committed, `count` times: so many batches. */
void rig_batches(struct rig *rig, uint64_t count, size_t payload_bytes);
struct journal_status rig_status(const struct rig *rig);

#endif
