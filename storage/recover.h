/* recover — reading the journal back after whatever ended the last run. The rules are in FORMAT.md.
 *
 *   thread  any; blocking; start-up and offline tools only */
#ifndef TOKENLOG_STORAGE_RECOVER_H
#define TOKENLOG_STORAGE_RECOVER_H

#include "storage/journal.h"
#include "storage/segment.h"
#include "storage/slot.h"

struct recover_request {
    struct slot_ring *ring; /* opened; borrowed */
    uint8_t store_uuid[STORE_UUID_BYTES];
    uint64_t absorbed_lsn;
    enum err (*replay)(void *context, const struct record *record, uint64_t lsn);
    void *context;
};

/* recover_run — calls `replay` for each valid record with lsn > absorbed_lsn, in order; then the
 * ring's slots know their generations and what they are needed for, and the ring its newest.
 *   *last_generation  the highest that any slot bears a trace of; segments to come are above it
 *   faults  ERR_IO (a header block cannot be read), ERR_CORRUPT (another store's segment),
 *           ERR_UNSUPPORTED, ERR_NOMEM, and whatever replay returned */
enum err recover_run(const struct recover_request *request, struct journal_recovery *found,
    uint64_t *last_generation) NODISCARD;

#endif
