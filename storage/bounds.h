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
    FRAME_BYTES_MAX = 16000, /* a longer event is cut into parts of this size when it is appended. A frame so fits
                              * one stored block even if it does not compress, and is never cut again: an event
                              * has the same parts in journal, tail and store, and a reader can change over */
    BULK_SHARE_BYTES = BATCH_BYTES / 2, /* of large events and request bodies, between two commits */
    WRITE_QUEUE_BYTES_MAX = 64 * 1024 * 1024, /* large events and bodies that wait for their share, then ERR_FULL */
    SHIP_BYTES = 1024 * 1024,         /* sealed events are handed to the archiver when there are so many… */
    SHIP_BYTES_MAX = 8 * 1024 * 1024, /* …in bundles of about so many at the most (whole events) */
    SHIP_STREAMS_MAX = 4096,          /* tails of one bundle: bounds its rows, which can be 15 KiB each */
    LEDGER_STRETCHES_MAX = 1024,      /* resolution of the absorbed position; coarser when they run out */
    FORWARD_RING_DIVISOR = 8,         /* a live stream's row is journalled again after this part of the ring */
    FORWARD_ROWS_MAX = 64,            /* …so many a tick */
    DELETE_REASON_BYTES_MAX = 255,
};
#define SHIP_INTERVAL_NS       (250ll * 1000 * 1000) /* …or when this old */
#define SHIP_ENDED_INTERVAL_NS (4ll * 1000 * 1000)   /* ended streams: soon, a few milliseconds' worth at once */
#define STORE_MAP_BYTES (1ull << 40) /* address space reserved for LMDB; the file grows as it is used */

static_assert(FRAGMENT_BYTES_MAX * 2 < BATCH_BYTES, "a terminator and its row share one batch");
static_assert(JOURNAL_BACKLOG_PAUSE_BYTES < BATCH_BUFFER_COUNT * BATCH_BYTES, "pausing comes before refusing");
static_assert(FRAME_BYTES_MAX + 256 <= BLOCK_STORED_BYTES_MAX, "a frame and its header fit one stored block");
static_assert(FRAME_BYTES_MAX <= FRAGMENT_BYTES_MAX, "a frame is one journal record");
static_assert(SHIP_BYTES_MAX < ARCHIVE_TXN_BYTES_MAX, "a bundle fits a transaction");
static_assert(JOURNAL_REFUSE_PERCENT < JOURNAL_PAUSE_PERCENT, "new work yields to work under way");

#endif
