/* block — some consecutive events of one stream: bytes and a frame table, refcounted, immutable up
 * to what is published.
 *
 * The one shape in which events travel: a live stream's tail is a list of blocks that are appended
 * to, the archiver stores them compressed, and a read of the store gives one back decoded. Readers
 * send straight out of `bytes`; memory never moves.
 *
 *   bytes   |  event s  |  event s+1  |  event s+2 (its first part)   |
 *   frames  [0].end ────┘  [1].end ───┘  [2].end, FRAME_MORE ─────────┘
 *           → the next block has first_seq = s+2, part = 1
 *
 * An event longer than FRAME_BYTES_MAX is cut, when it is appended, into parts of that size: every
 * frame of it but the last has FRAME_MORE, which only a block's last frame may have. A frame is
 * never cut again and never joined, so that a place in a stream is a (seq, part) everywhere, in
 * memory and in the store; block_next() gives the one after a frame.
 *
 *   thread  one thread appends (the stream's loop); frames below a count that was published to a
 *           thread never change, so that any thread may read them; the reference count is atomic */
#ifndef TOKENLOG_STORAGE_BLOCK_H
#define TOKENLOG_STORAGE_BLOCK_H

#include <stdatomic.h>

#include "protocol/base/slice.h"
#include "storage/bounds.h"

enum frame_flags { FRAME_MORE = 1 /* the event goes on in the next block */ };

struct frame {
    int64_t time_ns; /* when the event was received; Unix epoch */
    uint32_t end;    /* offset in the block's bytes just past this frame */
    uint32_t flags;
};

struct block {
    atomic_uint references;
    uint32_t part;         /* of the first frame's event: 0 = its beginning */
    uint64_t first_seq;    /* of the first frame */
    uint64_t first_offset; /* bytes of the stream before this block */
    uint32_t frame_count, frame_capacity;
    uint32_t size, capacity; /* of bytes */
    struct frame *frames;    /* both inside this allocation */
    uint8_t *bytes;
};

/* A place in a stream: part `part` of event `seq`. */
struct block_position {
    uint64_t seq;
    uint32_t part;
};

/* block_new — room for `capacity` bytes (≤ BLOCK_BYTES_MAX) and frames in proportion.
 *   faults ERR_NOMEM */
enum err block_new(uint64_t first_seq, uint32_t part, uint64_t first_offset, uint32_t capacity,
    struct block **out) NODISCARD;
/* block_derive — an empty block for the same events as `from`, one frame for one frame, with other
 *   bytes: `capacity` of them. What a reader makes of a stored block once, for all readers.
 *   faults ERR_NOMEM
 * block_tip — where its next frame is written. block_put — so many bytes were, for the frame of
 *   `from` with the same index; of any length. */
enum err block_derive(const struct block *from, uint32_t capacity, struct block **out) NODISCARD;
uint8_t *block_tip(struct block *block);
void block_put(struct block *block, const struct block *from, size_t size);
struct block *block_ref(struct block *block);
struct block *block_unref(struct block *block); /* NULL is taken; returns NULL */

/* block_append — one frame of at most FRAME_BYTES_MAX.
 *   answers ERR_LIMIT begin a new block: bytes or frames do not fit, or the last has FRAME_MORE */
enum err block_append(
    struct block *block, struct slice bytes, int64_t time_ns, uint32_t flags) NODISCARD;
struct slice block_frame(const struct block *block, uint32_t index); /* borrowed from the block */
/* block_find — the index of event `seq`'s frame in this block; ERR_NOTFOUND if it is not in here.*/
enum err block_find(const struct block *block, uint64_t seq, uint32_t *index) NODISCARD;
uint64_t block_seq(const struct block *block, uint32_t index); /* the event of a frame */
/* block_holds — whether a frame of this block lies at `at`. */
bool block_holds(const struct block *block, struct block_position at);
/* block_next — the place just past the frame at `index`: where a reader who has sent it goes on. */
struct block_position block_next(const struct block *block, uint32_t index);

/* Consecutive blocks of one stream. The last one may be appended to meanwhile: then `last_frames`
 * says how many of its frames count; 0 = all that it has. */
struct block_run {
    struct block *const *blocks;
    size_t count;
    uint32_t last_frames;
};

/* block_run_events — the events that end in the run. */
uint64_t block_run_events(const struct block_run *run);

/* Stored form: a header (version, CRC-32C, first seq, part, first offset, counts, sizes), the frame
 * table (delta-coded), then the bytes; the two last compressed by zstd where that is smaller. Drawn
 * byte by byte in FORMAT.md.
 *
 *   block_encode    appends to `out` one stored block (≤ BLOCK_STORED_BYTES_MAX) of the run's
 *                   frames from `at` on, as many as fit; `at` moves past what was taken
 *                   answers ERR_CLOSED nothing of the run is at or after `at` · ERR_LIMIT of `out`
 *                   faults  ERR_CORRUPT the run has later frames but not this: a gap · ERR_NOMEM
 *   block_codec_expect_much  what comes next is known to compress well: try all of it at once
 *   block_encode_bytes  the same of plain bytes (a request body, an aside), as one frame at `at`,
 *                   with FRAME_MORE if they do not all fit; *taken says how many did
 *   block_decode    a fresh block of one reference. faults ERR_CORRUPT, ERR_NOMEM
 *   block_summarize what the header says, the checksum checked. faults ERR_CORRUPT
 *   thread          any; `codec` holds the zstd contexts and belongs to one thread */
struct block_codec;
enum err block_codec_new(int zstd_level, struct block_codec **out) NODISCARD;
struct block_codec *block_codec_free(struct block_codec *codec);
void block_codec_expect_much(struct block_codec *codec);
enum err block_encode(struct block_codec *codec, const struct block_run *run,
    struct block_position *at, struct buf *out) NODISCARD;
enum err block_encode_bytes(struct block_codec *codec, struct block_position at, uint64_t offset,
    struct slice bytes, struct buf *out, size_t *taken) NODISCARD;
enum err block_decode(struct block_codec *codec, struct slice stored, struct block **out) NODISCARD;

struct block_summary {
    struct block_position first, next; /* of the first frame, and just past the last one */
    uint64_t first_offset;
    uint32_t frame_count, bytes;
};
enum err block_summarize(struct slice stored, struct block_summary *out) NODISCARD;

#endif
