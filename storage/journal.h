/* journal — the write-ahead log: makes records durable, batch by batch, one commit in flight.
 *
 *     append ──▶ [ open batch ] ──▶ queue of full batches ──▶ one write_durable ──▶ committed(lsn)
 *                     ▲ an idle journal commits at once, COMMIT_BURST times and once more; a busy one
 *                       keeps commit_spacing_ns, up to COMMIT_SPACING_TIMES_MAX times that if
 *                       commits are full, or as long as nobody waits for what is in them
 *
 * Records are numbered by LSN 1, 2, 3… since the store was made; batches by a dense number of their
 * own. Segments are slots of a ring (journal-00 … journal-NN), each a file of fixed size: a header
 * block, then framed batches padded to 4 KiB. A slot is reused once all its records are absorbed.
 * The bytes, and the rules of recovery, are drawn in FORMAT.md.
 *
 * Failure: a batch whose write failed is written again, with its number, to a fresh segment; when
 * that fails too the journal is *stuck*: nothing is acknowledged any more, appends answer ERR_FULL,
 * journal_status says why; the owner goes read-only.
 *
 *   thread  the owner's loop, except journal_prepare, which is the archiver's                    */
#ifndef TOKENLOG_STORAGE_JOURNAL_H
#define TOKENLOG_STORAGE_JOURNAL_H

#include "protocol/data/record.h"
#include "storage/bounds.h"
#include "storage/disk.h"

struct journal;

struct journal_config {
    struct disk *disk;
    const char *path;       /* the data directory; must be there; borrowed during journal_open */
    uint8_t store_uuid[16]; /* of the store this journal is of; another's segment is ERR_CORRUPT */
    uint64_t segment_bytes; /* multiple of DISK_ALIGN, at least twice batch_bytes */
    uint32_t segment_count; /* SEGMENT_COUNT_MIN … SEGMENT_COUNT_MAX */
    uint32_t batch_bytes;   /* 0: BATCH_BYTES; tests with small records take less */
    int64_t commit_spacing_ns;
    bool is_read_only; /* offline tools: recover, never write; appends answer ERR_FULL */
    /* Called on the loop thread, never from inside journal_append or journal_reserve.
     *   committed   all records with lsn <= durable_lsn are durable
     *   stuck       no more progress; called once
     *   wake_at     please call journal_tick at this time (monotonic ns) */
    void (*committed)(void *context, uint64_t durable_lsn);
    void (*stuck)(void *context, enum err err);
    void (*wake_at)(void *context, int64_t monotonic_ns);
    int64_t (*now_ns)(void *context); /* monotonic */
    void *context;
};

/* What recovery found; counts for the log and for `tokenlog verify`. Segments that hold nothing
 * above the absorbed position are not read, but for the newest one. */
struct journal_recovery {
    uint64_t segments, batches, records, bytes; /* read and valid; bytes of records */
    uint64_t torn_batches;    /* damaged at the end, never acknowledged as far as is known: cut */
    uint64_t corrupt_batches; /* damaged, yet a higher number is known to exist: reported */
    uint64_t missing_batches; /* gaps in the numbers above the absorbed position, all causes */
    uint64_t damaged_headers; /* segments read without their header block */
    uint64_t last_lsn, last_batch;
};

/* journal_open — scan all slots, call `replay` for every valid record with lsn > absorbed_lsn, in
 * LSN order, then be ready to append to a fresh segment, never behind what was recovered. Nothing
 * is written until the first commit. The record given to `replay` is borrowed during the call.
 *   faults  ERR_IO, ERR_CORRUPT (wrong store), ERR_UNSUPPORTED (newer format), ERR_NOMEM, and
 *           whatever replay returned */
enum err journal_open(const struct journal_config *config, uint64_t absorbed_lsn,
    enum err (*replay)(void *context, const struct record *record, uint64_t lsn),
    struct journal_recovery *found, struct journal **out) NODISCARD;
/* journal_close — the in-flight commit must have been awaited (journal_is_idle), and the archiver's
 * thread stopped; what was appended and not committed is dropped. NULL is taken; returns NULL. */
struct journal *journal_close(struct journal *journal);
/* journal_abandon — as journal_close, after the disk has forgotten the write in flight: what a
 * simulated crash leaves of a process. */
struct journal *journal_abandon(struct journal *journal);

/* journal_append — copy one record (payload ≤ FRAGMENT_BYTES_MAX) into the open batch.
 * journal_reserve — the next `bytes` of payload in up to `records` records, appended before the
 * next journal_tick, will be in ONE batch (a terminator and its row).
 *   answers ERR_FULL: out of batch buffers, no slot of the ring is free for them, or stuck; nothing
 *           was appended · ERR_LIMIT (reserve only): more than a batch can hold */
enum err journal_append(
    struct journal *journal, const struct record *record, uint64_t *lsn) NODISCARD;
enum err journal_reserve(struct journal *journal, size_t bytes, size_t records) NODISCARD;
/* journal_hurry — somebody waits for what has been appended: its commit begins as soon as spacing lets it.
 *   Else it waits for company, COMMIT_SPACING_TIMES_MAX times the spacing at the most. */
void journal_hurry(struct journal *journal);
/* journal_tick — start a commit if there is something and it is time. Call it at the end of each
 * loop turn and at wake_at. */
void journal_tick(struct journal *journal);
/* Nothing appended waits, nothing is in flight. A stuck one is idle once its write has ended. */
bool journal_is_idle(const struct journal *journal);

/* journal_absorbed — the store holds everything with lsn <= absorbed_lsn: segments below may be
 * reused. A position lower than the last one is ignored. */
void journal_absorbed(struct journal *journal, uint64_t absorbed_lsn);
/* journal_prepare — create and prefill the slot that is needed next, if there is none: blocking
 * (50–100 ms for 64 MiB), archiver's thread. True if it did something. Call it now and then, on a
 * full disk too: it is what tries again. Communicates with the loop thread by atomics only. */
bool journal_prepare(struct journal *journal);

struct journal_status {
    uint64_t appended_lsn, durable_lsn, absorbed_lsn;
    uint64_t backlog_bytes; /* appended, not yet durable */
    uint32_t used_percent;  /* of the ring: unabsorbed, or a slot the disk has no room for */
    uint64_t commits, commit_bytes, write_failures;
    bool is_stuck;
};
void journal_status(const struct journal *journal, struct journal_status *out);
/* journal_observe — called after each commit with its latency (append of its first record →
 * durable), its records and its bytes on disk; for the metrics. */
void journal_observe(struct journal *journal,
    void (*observe)(void *context, int64_t latency_ns, uint64_t records, uint64_t bytes),
    void *context);

#endif
