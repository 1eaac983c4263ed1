/* journal_copy — the journal of a data directory copied while its server writes to it.
 *
 *   thread  any; blocking; of any process. Reads through the disk seam, never writes to `from` */
#ifndef TOKENLOG_STORAGE_JOURNAL_COPY_H
#define TOKENLOG_STORAGE_JOURNAL_COPY_H

#include "storage/journal.h"

struct journal_copying {
    struct disk *disk;
    const char *from, *to; /* data directories; `to` is there, its journal is replaced */
    uint8_t store_uuid[16];
    uint64_t absorbed_lsn; /* of a state of the store fixed before: what is above is needed */
};

struct journal_copied {
    struct journal_recovery found; /* what recovery of the copy finds */
    uint64_t bytes;                /* copied; the files are as long as the originals, with holes */
    uint32_t segments;
};

/* journal_copy — all records above absorbed_lsn that were durable when the call began, and some that
 * came later, without a gap; flushed, but for the directory.
 *   answers  ERR_AGAIN a slot was used again meanwhile: fix a newer state of the store, and repeat.
 *            With ERR_OK, *out tells of what was damaged already in the original, if that is so;
 *            it can also be a slot that was just being used again: repeat to tell one from the other
 *            ERR_FULL · faults ERR_IO, ERR_CORRUPT (another store's), ERR_UNSUPPORTED, ERR_NOMEM */
enum err journal_copy(const struct journal_copying *copying, struct journal_copied *out) NODISCARD;

#endif
