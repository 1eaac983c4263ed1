/* bounds — every limit of the storage engine, with its unit and reason. */
#ifndef TOKENLOG_STORAGE_BOUNDS_H
#define TOKENLOG_STORAGE_BOUNDS_H

#include <assert.h>
#include <stdint.h>

/* One enum, so that bounds may be compared. */
enum {
    CACHE_LINE_BYTES =
        64, /* of the processors this is made for; elsewhere it costs a little memory */

    /* Tails of a commit that are told of at once: their readers are sent to while what was touched
     * for one step is still in the caches for the next. And how far ahead that is fetched. */
    CHANGES_PER_TICK = 16,
    CHANGES_AHEAD = 3,

    /* The journal. */

    /* Payload of one record; larger events are cut into fragments. */
    FRAGMENT_BYTES_MAX = 64 * 1024,
    /* One batch buffer, and so one write at the most: about 0.5 ms of device time. */
    BATCH_BYTES = 1024 * 1024,
    /* The smallest batch buffer a journal can be opened with: for tests, with small records. */
    BATCH_BYTES_MIN = 32 * 1024,
    /* Buffers that may wait while one commit is in flight: 16 MiB, then ERR_FULL. */
    BATCH_BUFFER_COUNT = 16,
    /* Of them pinned for WRITE_FIXED: fits the 8 MiB memlock of an ordinary user. */
    BATCH_BUFFER_REGISTERED = 2,
    /* Unpinned buffers kept for the next burst; the others are freed when theirs is over. */
    BATCH_BUFFER_SPARE = 2,
    /* Transfers pause above this much that waits for its commit, and go on below that much. */
    JOURNAL_BACKLOG_PAUSE_BYTES = 4 * BATCH_BYTES,
    JOURNAL_BACKLOG_RESUME_BYTES = BATCH_BYTES,
    /* A commit of so many records has the next one wait for as long again as the spacing that is
     * configured, more for more… */
    COMMIT_SPACING_RECORDS = 32,
    /* …up to so many times the spacing: 6 ms by default, from 16,000 events/s on. */
    COMMIT_SPACING_TIMES_MAX = 4,
    /* So many commits may begin before their spacing is over if nothing was committed for as many
     * spacings before: a request's row, its answer's head, its first event, another's row. */
    COMMIT_BURST = 3,
    /* A write of one batch that failed so often (second one to a fresh segment): stuck. */
    BATCH_FAILURES_MAX = 2,
    SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024,
    /* For small disks; must hold a few full batches. */
    SEGMENT_BYTES_MIN = 4 * 1024 * 1024,
    /* Slots of the ring: 256 MiB unabsorbed, the open one and one being prepared. */
    SEGMENT_COUNT_DEFAULT = 6,
    SEGMENT_COUNT_MIN = 3,
    SEGMENT_COUNT_MAX = 64,
    /* One read of a journal that is copied: several batches, so that few are read twice. */
    RECOVER_WINDOW_BYTES = 4 * BATCH_BYTES,
    /* The journal is read ahead of its recovery in pieces of this size, which any device reads at its
     * full rate… */
    READ_AHEAD_PIECE_BYTES = 2 * BATCH_BYTES,
    /* …two at a time, so that the device is never without a request… */
    READ_AHEAD_THREADS = 2,
    /* …beside the piece that is looked at and one that is there for when it is done with. */
    READ_AHEAD_PIECES = READ_AHEAD_THREADS + 2,
    /* New streams are refused when so much of the ring is unabsorbed. */
    JOURNAL_REFUSE_PERCENT = 50,
    /* Transfers pause; the rest is for end records and deletes. */
    JOURNAL_PAUSE_PERCENT = 85,

    /* Blocks and the store. */

    /* Events of one block before compression. */
    BLOCK_BYTES_MAX = 64 * 1024,
    /* Events of one stored block before compression, and their number: several blocks of a stream
     * become one when it is merged, so that pages are full and few reads bring all of it. A reader
     * has one such block in memory. */
    STORED_RAW_BYTES_MAX = 256 * 1024,
    STORED_FRAMES_MAX = 4096,
    /* An LMDB value: 4 pages less the header, no waste (k * 4096 - 16). */
    BLOCK_STORED_BYTES_MAX = 16368,
    /* A shorter payload is stored as it is: what zstd takes off a request of one line costs more CPU than
     * all the rest of its archiving. */
    BLOCK_PACKED_BYTES_MIN = 256,
    /* First in-memory block of a stream; doubles up to BLOCK_BYTES_MAX. */
    BLOCK_CAPACITY_MIN = 4 * 1024,
    /* One frame entry is reserved per so many bytes; a block also ends when they run out. */
    BLOCK_FRAME_BYTES_MEAN = 64,
    /* Frames of one block: BLOCK_BYTES_MAX / BLOCK_FRAME_BYTES_MEAN. */
    BLOCK_FRAMES_MAX = 1024,
    /* Room for frames in the smallest block. */
    BLOCK_FRAMES_MIN = 16,
    /* A longer event is cut into parts of this size when it is appended. A frame so fits one stored
     * block even if it does not compress, and is never cut again: an event has the same parts in
     * journal, tail and store, and a reader can change over between any two of them. */
    FRAME_BYTES_MAX = 16000,
    /* One LMDB transaction: larger ones spill and stall. */
    ARCHIVE_TXN_BYTES_MAX = 32 * 1024 * 1024,
    /* Handed over and not yet stored. */
    ARCHIVE_BACKLOG_BYTES_MAX = 256 * 1024 * 1024,
    /* Stored blocks looked at by one step of a merge. */
    MERGE_STEP_VALUES = 512,
    /* Small neighbours that become one; more than so many stay as they are. */
    MERGE_GROUP_BLOCKS = 64,
    /* Of the map and the disk, kept from puts: deletes must still commit. */
    STORE_RESERVE_BYTES = 8 * 1024 * 1024,
    /* Read transactions at a time; a thread uses one. */
    STORE_READERS_MAX = 126,
    /* Projects whose rows one listing may merge. */
    LIST_PROJECTS_MAX = 4096,
    /* Rows checked in one read transaction. */
    VERIFY_STEP_ROWS = 256,
    /* Given up on a full disk, so that deletes can commit… */
    BALLAST_BYTES = 16 * 1024 * 1024,
    /* …and made only where so many times its size is free. */
    BALLAST_ROOM_FACTOR = 4,
    /* Streams removed per transaction, so that commits go on in between. */
    RETENTION_STEP_STREAMS = 64,
    /* The same of the oldest, when the store is too large: few, so that no more go than must. */
    EVICT_STEP_STREAMS = 8,
    /* LMDB values (blocks, body pieces) removed per transaction. */
    RETENTION_STEP_VALUES = 2048,
    /* Rows of one project looked at by one search for the oldest. */
    EVICT_LOOK_ROWS = 512,
    /* Read again and checked in one step, between two looks at what comes in. */
    SCRUB_STEP_BYTES = 1024 * 1024,
    /* Cold reads block on page faults: never on the loop. */
    READER_THREAD_COUNT = 2,
    /* Waiting reads; past it ERR_LIMIT. */
    READ_QUEUE_MAX = 65536,
    /* Rows of one listing. */
    LIST_PAGE_MAX = 1000,
    /* A caller's Idempotency-Key. */
    KEY_BYTES_MAX = 255,
    PROJECT_NAME_BYTES_MAX = 64,

    /* Tails, and what they hand to the archiver. */

    /* Large events and request bodies, between two commits. */
    BULK_SHARE_BYTES = BATCH_BYTES / 2,
    /* Large events and bodies that wait for their share, then ERR_FULL. */
    WRITE_QUEUE_BYTES_MAX = 64 * 1024 * 1024,
    /* Sealed events are handed to the archiver when there are so many… */
    SHIP_BYTES = 1024 * 1024,
    /* …in bundles of about so many at the most (whole events). */
    SHIP_BYTES_MAX = 8 * 1024 * 1024,
    /* A stream's full blocks go before they are old when there is so much: they become one stored
     * value, which need not be merged with others. */
    SHIP_STREAM_BYTES = STORED_RAW_BYTES_MAX - BLOCK_BYTES_MAX,
    /* While the archiver has so much, what ages waits: its next transaction takes about so much. */
    SHIP_FLIGHT_BYTES = 2 * SHIP_BYTES_MAX,
    /* Of the journal; past it events age faster, up to JOURNAL_REFUSE_PERCENT. */
    SHIP_CALM_PERCENT = 30,
    /* Tails of one bundle: bounds its rows, which can be 15 KiB each. */
    SHIP_STREAMS_MAX = 4096,
    /* Resolution of the absorbed position: this part of the ring… */
    STRETCH_RING_DIVISOR = 512,
    /* …and so many of them, twice what the ring holds; past that, coarser. */
    LEDGER_STRETCHES_MAX = 2 * STRETCH_RING_DIVISOR,
    /* A live stream's row is journalled again after this part of the ring… */
    FORWARD_RING_DIVISOR = 8,
    /* …so many a tick. */
    FORWARD_ROWS_MAX = 64,
    /* One event is at most this part of the ring: it holds its place until its last part is
     * there. */
    EVENT_RING_DIVISOR = 8,
    /* Transfers pause also when the journal has less room than this for events. */
    ROOM_LOW_BYTES = 256 * 1024,
    DELETE_REASON_BYTES_MAX = 255,
    /* Open streams that left memory lately: more than leave while a query of a row is under way, or
     * it is asked again. */
    DEPARTURES_KEPT = 1024,
    /* Amendments under way; each is a few hundred bytes. */
    AMENDMENTS_MAX = 16384,
};
/* A journal that waits for a free slot looks again after so long: the archiver's thread may have
 * made one, and does not say so. */
#define JOURNAL_BLOCKED_RETRY_NS (10ll * 1000 * 1000)
/* Sealed events are also handed over when this old. */
#define SHIP_INTERVAL_NS (250ll * 1000 * 1000)
/* What could not be handed over just now is tried again after so long. */
#define SHIP_RETRY_NS (4ll * 1000 * 1000)
/* Ended streams: soon, but many at once, since each of the store's commits is two flushes, and not
 * when the same caller is likely to ask for the next one. */
#define SHIP_ENDED_INTERVAL_NS (100ll * 1000 * 1000)

/* Address space reserved for LMDB; the file grows as it is used. */
#define STORE_MAP_BYTES (1ull << 40)
/* Halved down to this where address space is limited. */
#define STORE_MAP_BYTES_MIN (1ull << 26)
/* A full store is tried again after so long. */
#define FULL_RETRY_NS INT64_C(1000000000)
/* A wall clock that gains so much on the monotonic one between two looks has been set: retention
 * pauses until it is set back, or has held for a day. */
#define CLOCK_STEP_NS  (600 * INT64_C(1000000000))
#define CLOCK_TRUST_NS (86400 * INT64_C(1000000000))
/* How often a lost ballast file is tried for again. */
#define BALLAST_RETRY_NS (60 * INT64_C(1000000000))

static_assert(FRAGMENT_BYTES_MAX * 2 + 8192 < BATCH_BYTES, "an end and its row share one batch");
static_assert(BATCH_BYTES % 4096 == 0 && BATCH_BYTES_MIN % 4096 == 0, "writes are whole pages");
static_assert(SEGMENT_BYTES_MIN >= 4 * BATCH_BYTES, "a segment holds a few full batches");
static_assert(JOURNAL_BACKLOG_PAUSE_BYTES < BATCH_BUFFER_COUNT * BATCH_BYTES,
    "pausing comes before refusing");
static_assert(RECOVER_WINDOW_BYTES >= BATCH_BYTES, "any batch is checked in one piece");
static_assert(BLOCK_FRAMES_MAX == BLOCK_BYTES_MAX / BLOCK_FRAME_BYTES_MEAN, "by definition");
static_assert((int)STORED_RAW_BYTES_MAX >= (int)BLOCK_BYTES_MAX &&
                  (int)STORED_FRAMES_MAX >= (int)BLOCK_FRAMES_MAX,
    "any block can be stored as one");
static_assert(BLOCK_FRAMES_MIN <= BLOCK_CAPACITY_MIN / BLOCK_FRAME_BYTES_MEAN, "by definition");
static_assert(FRAME_BYTES_MAX + 256 <= BLOCK_STORED_BYTES_MAX, "a frame and its header fit");
static_assert((int)FRAME_BYTES_MAX <= (int)FRAGMENT_BYTES_MAX, "a frame is one journal record");
static_assert((int)SHIP_BYTES_MAX < (int)ARCHIVE_TXN_BYTES_MAX, "a bundle fits a transaction");
static_assert((int)EVICT_STEP_STREAMS <= (int)RETENTION_STEP_STREAMS, "one list holds either");
static_assert((int)SHIP_CALM_PERCENT < (int)JOURNAL_REFUSE_PERCENT, "haste comes before refusing");
static_assert(JOURNAL_REFUSE_PERCENT < JOURNAL_PAUSE_PERCENT, "new work yields to work under way");

#endif
