/* block — some consecutive events of one stream: bytes and a frame table, refcounted, immutable up to what is published.
 *
 * The one shape in which events travel: a live stream's tail is a list of blocks that are appended to, the archiver stores
 * them compressed, and a read of the store gives one back decoded. Readers send straight out of `bytes`; memory never moves.
 *
 *   bytes   |  event s  |  event s+1  |  event s+2 (first part)   |
 *   frames  [0].end ────┘  [1].end ───┘  [2].end, FRAME_MORE ─────┘  → the next block has first_seq = s+2, part = 1
 *
 * An event longer than a block is cut into parts: every frame of it but the last has FRAME_MORE.
 *
 *   thread  one thread appends (the stream's loop); frames below a count that was published to a thread never change, so that any
 *           thread may read them; the reference count is atomic                                                        */
#ifndef TOKENLOG_STORAGE_BLOCK_H
#define TOKENLOG_STORAGE_BLOCK_H

#include <stdatomic.h>

#include "storage/bounds.h"
#include "protocol/base/slice.h"

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
    struct frame *frames;  /* both inside this allocation */
    uint8_t *bytes;
};

/* block_new — room for `capacity` bytes (≤ BLOCK_BYTES_MAX) and frames in proportion. faults ERR_NOMEM */
enum err block_new(uint64_t first_seq, uint32_t part, uint64_t first_offset, uint32_t capacity, struct block **out) NODISCARD;
struct block *block_ref(struct block *block);
struct block *block_unref(struct block *block); /* NULL is taken; returns NULL */
/* block_append — one frame; ERR_LIMIT when bytes or frames do not fit (begin a new block). */
enum err block_append(struct block *block, struct slice bytes, int64_t time_ns, uint32_t flags) NODISCARD;
struct slice block_frame(const struct block *block, uint32_t index);
/* block_find — the index of the first frame of event `seq`'s part in this block; ERR_NOTFOUND if it is not in here. */
enum err block_find(const struct block *block, uint64_t seq, uint32_t *index) NODISCARD;
/* block_seq — the seq of the frame at `index` (frames of one event that was cut share it only across blocks, so: first_seq + index). */
uint64_t block_seq(const struct block *block, uint32_t index);

/* Stored form: a header (version, CRC-32C, first seq, part, first offset, counts, sizes), the frame table (delta-coded), then the bytes, the two last
 * compressed by zstd where that is smaller. Drawn byte by byte in FORMAT.md.
 *   block_encode  appends one stored block made of the frames [from, to) of `block`: as many as fit BLOCK_STORED_BYTES_MAX; *taken says how many frames
 *                 (at least one: a single frame that does not fit is cut into parts by the caller, see archive.c)
 *   block_decode  a fresh block of one reference. faults ERR_CORRUPT (checksum, bounds), ERR_NOMEM
 *   thread        any; `codec` holds the zstd contexts and belongs to one thread */
struct block_codec;
enum err block_codec_new(int zstd_level, struct block_codec **out) NODISCARD;
struct block_codec *block_codec_free(struct block_codec *codec);
enum err block_encode(struct block_codec *codec, struct block *const *blocks, size_t block_count, struct buf *out, size_t *blocks_taken, uint32_t *frames_taken) NODISCARD;
enum err block_decode(struct block_codec *codec, struct slice stored, struct block **out) NODISCARD;

#endif
