/* bounds — every limit of the storage engine, with its unit and reason. */
#ifndef TOKENLOG_STORAGE_BOUNDS_H
#define TOKENLOG_STORAGE_BOUNDS_H

#include <assert.h>

enum {
    FRAGMENT_BYTES_MAX = 64 * 1024,      /* payload of one journal record: larger events are cut into fragments */
    BATCH_BYTES = 1024 * 1024,           /* one batch buffer, and so one write at the most; about 0.5 ms of device time */
    BATCH_BUFFER_COUNT = 16,             /* buffers that may wait while one commit is in flight: 16 MiB, then ERR_FULL */
    BATCH_BUFFER_REGISTERED = 2,         /* of them pinned for WRITE_FIXED; fits the 8 MiB memlock of an ordinary user */
    JOURNAL_BACKLOG_PAUSE_BYTES = 4 * BATCH_BYTES, /* transfers pause above this much that waits for its commit… */
    JOURNAL_BACKLOG_RESUME_BYTES = BATCH_BYTES,    /* …and go on below this */
    SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024,
    SEGMENT_BYTES_MIN = 4 * 1024 * 1024, /* for tests and small disks; must hold a few full batches */
    SEGMENT_COUNT_DEFAULT = 6,           /* slots of the ring: 256 MiB unabsorbed + the open one + one being prepared */
    SEGMENT_COUNT_MIN = 3,
    SEGMENT_COUNT_MAX = 64,
    JOURNAL_REFUSE_PERCENT = 50,         /* new streams are refused when so much of the ring is unabsorbed */
    JOURNAL_PAUSE_PERCENT = 85,          /* transfers pause; the rest is for end records and deletes */
    BLOCK_BYTES_MAX = 64 * 1024,         /* events of one block before compression */
    BLOCK_STORED_BYTES_MAX = 16368,      /* LMDB value: 4 pages less the header, no waste (facts: k * 4096 - 16) */
    BLOCK_CAPACITY_MIN = 4 * 1024,       /* first in-memory block of a stream; doubles up to BLOCK_BYTES_MAX */
    BLOCK_FRAME_BYTES_MEAN = 64,         /* one frame entry is reserved per so many bytes; a block also ends when they run out */
    ARCHIVE_TXN_BYTES_MAX = 32 * 1024 * 1024, /* one LMDB transaction: larger ones spill and stall */
    ARCHIVE_BACKLOG_BYTES_MAX = 256 * 1024 * 1024, /* handed over and not yet stored */
    RETENTION_STEP_STREAMS = 64,         /* streams removed per transaction, so that commits go on in between */
    RETENTION_STEP_VALUES = 2048,        /* LMDB values (blocks, body pieces) removed per transaction */
    READER_THREAD_COUNT = 2,             /* cold reads block on page faults: never on the loop */
    READ_QUEUE_MAX = 65536,              /* waiting reads; past it ERR_LIMIT */
    LIST_PAGE_MAX = 1000,                /* rows of one listing */
    KEY_BYTES_MAX = 255,                 /* a caller's Idempotency-Key */
    PROJECT_NAME_BYTES_MAX = 64,
};
#define STORE_MAP_BYTES (1ull << 40) /* address space reserved for LMDB; the file grows as it is used */

static_assert(FRAGMENT_BYTES_MAX * 2 < BATCH_BYTES, "a terminator and its row share one batch");
static_assert(JOURNAL_BACKLOG_PAUSE_BYTES < BATCH_BUFFER_COUNT * BATCH_BYTES, "pausing comes before refusing");
static_assert(JOURNAL_REFUSE_PERCENT < JOURNAL_PAUSE_PERCENT, "new work yields to work under way");

#endif
