/* journal — the write-ahead log: makes records durable, batch by batch, one commit in flight.
 *
 *     append ──▶ [ open batch ] ──▶ queue of full batches ──▶ one write_durable ──▶ committed(durable_lsn)
 *                     ▲ an idle journal commits at once; a busy one keeps commit_spacing between commits
 *
 * Records are numbered by LSN 1, 2, 3… since the store was made; batches by a dense number of their own. Segments are
 * slots of a ring (journal-00 … journal-NN), each a file of fixed size: a header block, then framed batches padded to 4 KiB.
 * A slot is reused once all its records are absorbed. The bytes, and the rules of recovery, are drawn in FORMAT.md.
 *
 * Failure: a batch whose write failed is written again, with its number, to a fresh segment; when that fails too the journal
 * is *stuck*: nothing is acknowledged any more, appends answer ERR_FULL, journal_status says why; the owner goes read-only.
 *
 *   thread  the owner's loop, except journal_prepare, which is the archiver's                                       */
#ifndef TOKENLOG_STORAGE_JOURNAL_H
#define TOKENLOG_STORAGE_JOURNAL_H

#include "protocol/data/record.h"
#include "storage/bounds.h"
#include "storage/disk.h"

struct journal;

struct journal_config {
    struct disk *disk;
    const char *path;        /* the data directory */
    uint8_t store_uuid[16];  /* of the store this journal belongs to; a segment of another store is ERR_CORRUPT */
    uint64_t segment_bytes;
    uint32_t segment_count;
    int64_t commit_spacing_ns;
    bool is_read_only;       /* offline tools: recover, never write */
    /* Called on the loop thread, never from inside journal_append.
     *   committed   all records with lsn <= durable_lsn are durable
     *   stuck       no more progress; called once
     *   wake_at     please call journal_tick at this time (monotonic ns) */
    void (*committed)(void *context, uint64_t durable_lsn);
    void (*stuck)(void *context, enum err err);
    void (*wake_at)(void *context, int64_t monotonic_ns);
    int64_t (*now_ns)(void *context); /* monotonic */
    void *context;
};

/* What recovery found; counts for the log and for `tokenlog verify`. */
struct journal_recovery {
    uint64_t segments, batches, records, bytes;
    uint64_t torn_batches;    /* never acknowledged: cut */
    uint64_t corrupt_batches; /* bad, yet valid ones with a higher number follow: reported */
    uint64_t missing_batches; /* gaps in the dense numbers above the absorbed position */
    uint64_t last_lsn, last_batch;
};

/* journal_open — scan all slots, call `replay` for every valid record with lsn > absorbed_lsn, in LSN order, then be ready to
 * append to a fresh segment (created if needed; never the one recovered last).
 *   faults  ERR_IO, ERR_CORRUPT (wrong store, or what replay returned), ERR_FULL (no room for a first segment), ERR_NOMEM */
enum err journal_open(const struct journal_config *config, uint64_t absorbed_lsn,
    enum err (*replay)(void *context, const struct record *record, uint64_t lsn), struct journal_recovery *found, struct journal **out) NODISCARD;
/* journal_close — the in-flight commit must have been awaited (journal_is_idle); what was appended and not committed is dropped. */
struct journal *journal_close(struct journal *journal);

/* journal_append — copy one record (payload ≤ FRAGMENT_BYTES_MAX) into the open batch.
 * journal_reserve — the next `bytes` of payload in up to `records` records will be in ONE batch (a terminator and its row).
 *   answers ERR_FULL: out of batch buffers or stuck; nothing was appended */
enum err journal_append(struct journal *journal, const struct record *record, uint64_t *lsn) NODISCARD;
enum err journal_reserve(struct journal *journal, size_t bytes, size_t records) NODISCARD;
/* journal_tick — start a commit if there is something and it is time. Call it at the end of each loop turn and at wake_at. */
void journal_tick(struct journal *journal);
bool journal_is_idle(const struct journal *journal); /* nothing appended waits, nothing in flight */

/* journal_absorbed — the store holds everything with lsn <= absorbed_lsn: segments below may be reused. */
void journal_absorbed(struct journal *journal, uint64_t absorbed_lsn);
/* journal_prepare — create or prefill the slot that is needed next, if there is one: blocking (50–100 ms for 64 MiB), archiver's thread.
 * True if it did something. Communicates with the loop thread by atomics only. */
bool journal_prepare(struct journal *journal);

struct journal_status {
    uint64_t appended_lsn, durable_lsn, absorbed_lsn;
    uint64_t backlog_bytes;   /* appended, not yet durable */
    uint32_t used_percent;    /* unabsorbed segments of the ring */
    uint64_t commits, commit_bytes, write_failures;
    bool is_stuck;
};
void journal_status(const struct journal *journal, struct journal_status *out);
/* journal_observe — called after each commit with its latency (append of its first record → durable), its records and its bytes; for the metrics. */
void journal_observe(struct journal *journal, void (*observe)(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes), void *context);

#endif
