/* ledger — what the journal was given and has not made durable yet, and what the store does not
 * have.
 *
 * Two questions, both answered in O(1) a record and without an allocation a record:
 *
 *   which records did this commit make durable?      a queue of (lsn, owner, kind), in LSN order
 *
 *        appended ──▶ | 17 event of A | 18 row of B | 19 event of A | ──▶ popped when durable
 *
 *   up to which LSN is everything in the store?      the journal in *stretches*, each with a count
 *                                                    of the things not shipped that begin in it
 *
 *        stretch   lsn 1…999   1000…1399   1400…
 *        holds          0           2         5      → absorbed 999
 *
 * A thing (a block, a row, a body…) holds the stretch of its first record until it has been shipped
 * to the archiver. Stretches are a small part of the ring each, and the absorbed position is at
 * most one of them behind the exact one; no order among the things has to be kept.
 *
 *   thread  the loop's                                                                          */
#ifndef TOKENLOG_STORAGE_LEDGER_H
#define TOKENLOG_STORAGE_LEDGER_H

#include "storage/journal.h"

enum ledger_kind {
    LEDGER_PART,    /* a part of an event, not its last */
    LEDGER_EVENT,   /* the last or only part of an event */
    LEDGER_ROW,     /* a new version of a row */
    LEDGER_FORWARD, /* the same row again, to let go of an old stretch */
    LEDGER_ASIDE,
    LEDGER_BODY,
    LEDGER_DELETE,
};

struct ledger_entry {
    uint64_t lsn;
    void *owner; /* the tail; DELETE: the deletion */
    enum ledger_kind kind;
};

struct ledger {
    struct journal *journal;      /* NULL while it is being recovered */
    struct ledger_entry *entries; /* a ring; capacity is a power of two */
    size_t first, count, capacity;
    uint64_t appended_lsn, durable_lsn;
    uint64_t stretch_bytes;  /* of journal, about */
    uint64_t newest_bytes;   /* of the newest stretch so far */
    uint64_t oldest, newest; /* stretches, numbered from 1 */
    struct {
        uint64_t first_lsn, holds;
    } stretches[LEDGER_STRETCHES_MAX];
};

/* ledger_init — recovery starts: the first stretch begins after `absorbed_lsn`.
 * ledger_start — recovery is over: the journal goes on after `last_lsn`, in a new stretch. */
void ledger_init(struct ledger *ledger, uint64_t absorbed_lsn, uint64_t stretch_bytes);
void ledger_start(struct ledger *ledger, struct journal *journal, uint64_t last_lsn);
void ledger_deinit(struct ledger *ledger);

/* ledger_append — journal_append, and remember whose it is.
 * ledger_reserve — the next `records` appends of `bytes` payload succeed, and share one batch.
 *   answers ERR_FULL nothing was appended · faults ERR_NOMEM likewise                        */
enum err ledger_append(struct ledger *ledger, const struct record *record, enum ledger_kind kind,
    void *owner, uint64_t *lsn) NODISCARD;
enum err ledger_reserve(struct ledger *ledger, size_t bytes, size_t records) NODISCARD;

/* ledger_committed — the journal is durable up to here; then ledger_pop each entry that is: false
 * when there is none left. */
void ledger_committed(struct ledger *ledger, uint64_t durable_lsn);
bool ledger_pop(struct ledger *ledger, struct ledger_entry *out);

/* ledger_hold — hold the stretch of `lsn`, which nobody may have let go of yet; its number,
 * never 0.
 * ledger_release — let go; *hold becomes 0. 0 is taken.
 * ledger_absorbed — all records up to here have been shipped; never goes back. */
uint64_t ledger_hold(struct ledger *ledger, uint64_t lsn);
void ledger_release(struct ledger *ledger, uint64_t *hold);
uint64_t ledger_absorbed(struct ledger *ledger);

#endif
