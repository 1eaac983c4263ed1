/* block — see block.h. First the blocks in memory, one allocation each:
 *
 *     | struct block | frames[frame_capacity] | bytes[capacity] |
 *
 * then their stored form. Numbers are big-endian, varints are LEB128:
 *
 *      0  version u8          1
 *      1  CRC-32C u32         of all that follows
 *      5  flags u8            1: the payload is one zstd frame
 *      6  first seq u64
 *     14  part u32            of the first frame's event
 *     18  first offset u64    bytes of the stream before this block
 *     26  frame count u32     ≥ 1
 *     30  table bytes u32     before compression
 *     34  bytes u32           before compression
 *     38  next part u32       0, or: the last event goes on, with this part, in the next block
 *     42  payload             table ‖ bytes
 *
 *   table   every frame's size (varint), then every frame's time less the one before it (zigzag
 *           varint), then every frame's flags (varint): like beside like compresses best
 *
 * Encoding gathers frames, up to STORED_RAW_BYTES_MAX, and compresses them; when the outcome is too
 * large it gathers less, by the ratio it has seen, and begins the next block with no more than twice
 * as much. A single frame always fits raw, so that this ends. */
#include "storage/block.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "protocol/base/digest.h"
#include "storage/schema.h"

enum {
    HEADER_BYTES = 42,
    PAYLOAD_BYTES_MAX = BLOCK_STORED_BYTES_MAX - HEADER_BYTES,
    VARINT_U32_BYTES = 5,
    VARINT_U64_BYTES = 10,
    FRAME_ENTRY_BYTES_MAX = 2 * VARINT_U32_BYTES + VARINT_U64_BYTES,
    TABLE_BYTES_MAX = STORED_FRAMES_MAX * FRAME_ENTRY_BYTES_MAX,
    RAW_BYTES_MAX = TABLE_BYTES_MAX + STORED_RAW_BYTES_MAX,
    STORED_IS_ZSTD = 1,
};
static_assert(SCHEMA_VALUE_VERSION == 1 && SCHEMA_SEAL_BYTES == 5, "a block is a sealed value");

/* ---- In memory ---- */

static enum err block_allocate(uint32_t frame_capacity, uint32_t capacity, struct block **out)
{
    size_t frames_size = (size_t)frame_capacity * sizeof(struct frame);
    struct block *block = malloc(sizeof *block + frames_size + capacity);
    if (!block)
        return fault(ERR_NOMEM, "a block of %u bytes", capacity);
    *block = (struct block){.frame_capacity = frame_capacity, .capacity = capacity};
    atomic_init(&block->references, 1);
    block->frames = (struct frame *)(block + 1);
    block->bytes = (uint8_t *)(block->frames + frame_capacity);
    *out = block;
    return ERR_OK;
}
static_assert(sizeof(struct block) % _Alignof(struct frame) == 0, "frames follow the struct");

enum err block_new(
    uint64_t first_seq, uint32_t part, uint64_t first_offset, uint32_t capacity, struct block **out)
{
    ASSERT(capacity > 0 && capacity <= BLOCK_BYTES_MAX);
    uint32_t frames = capacity / BLOCK_FRAME_BYTES_MEAN;
    struct block *block = NULL;
    TRY(block_allocate(frames < BLOCK_FRAMES_MIN ? BLOCK_FRAMES_MIN : frames, capacity, &block));
    block->first_seq = first_seq;
    block->part = part;
    block->first_offset = first_offset;
    *out = block;
    return ERR_OK;
}

enum err block_derive(const struct block *from, uint32_t capacity, struct block **out)
{
    struct block *block;
    TRY(block_allocate(from->frame_count, capacity, &block));
    block->first_seq = from->first_seq;
    block->part = from->part;
    block->first_offset = from->first_offset;
    *out = block;
    return ERR_OK;
}

uint8_t *block_tip(struct block *block)
{
    return block->bytes + block->size;
}

void block_put(struct block *block, const struct block *from, size_t size)
{
    uint32_t index = block->frame_count;
    ASSERT(index < from->frame_count && index < block->frame_capacity);
    ASSERT(size <= block->capacity - block->size);
    block->size += (uint32_t)size;
    block->frames[index] =
        (struct frame){from->frames[index].time_ns, block->size, from->frames[index].flags};
    block->frame_count++;
}

struct block *block_ref(struct block *block)
{
    unsigned before = atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return block;
}

struct block *block_unref(struct block *block)
{
    if (!block)
        return NULL;
    unsigned before = atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1)
        free(block);
    return NULL;
}

static uint32_t frame_start(const struct block *block, uint32_t index)
{
    return index == 0 ? 0 : block->frames[index - 1].end;
}

static uint32_t frame_size(const struct block *block, uint32_t index)
{
    return block->frames[index].end - frame_start(block, index);
}

static uint32_t frame_part(const struct block *block, uint32_t index)
{
    return index == 0 ? block->part : 0;
}

enum err block_append(struct block *block, struct slice bytes, int64_t time_ns, uint32_t flags)
{
    ASSERT(bytes.size <= FRAME_BYTES_MAX);
    uint32_t count = block->frame_count;
    if (count == block->frame_capacity || bytes.size > block->capacity - block->size ||
        (count > 0 && (block->frames[count - 1].flags & FRAME_MORE)))
        return ERR_LIMIT;
    if (bytes.size)
        memcpy(block->bytes + block->size, bytes.data, bytes.size);
    block->size += (uint32_t)bytes.size;
    block->frames[count] = (struct frame){time_ns, block->size, flags};
    block->frame_count++;
    return ERR_OK;
}

struct slice block_frame(const struct block *block, uint32_t index)
{
    return slice_of(block->bytes + frame_start(block, index), frame_size(block, index));
}

/* The same among the first `count` frames: of a growing block, no more may be looked at. */
static enum err find_among(const struct block *block, uint32_t count, uint64_t seq, uint32_t *index)
{
    if (seq < block->first_seq || seq - block->first_seq >= count)
        return ERR_NOTFOUND;
    *index = (uint32_t)(seq - block->first_seq);
    return ERR_OK;
}

enum err block_find(const struct block *block, uint64_t seq, uint32_t *index)
{
    return find_among(block, block->frame_count, seq, index);
}

uint64_t block_seq(const struct block *block, uint32_t index)
{
    return block->first_seq + index;
}

bool block_holds(const struct block *block, struct block_position at)
{
    uint32_t index;
    return block_find(block, at.seq, &index) == ERR_OK && frame_part(block, index) == at.part;
}

struct block_position block_next(const struct block *block, uint32_t index)
{
    if ((block->frames[index].flags & FRAME_MORE) == 0)
        return (struct block_position){block_seq(block, index) + 1, 0};
    return (struct block_position){block_seq(block, index), frame_part(block, index) + 1};
}

/* ---- A run of blocks, walked frame by frame ---- */

struct cursor {
    const struct block_run *run;
    size_t block;
    uint32_t frame;
};

static uint32_t run_frames(const struct block_run *run, size_t block)
{
    bool is_limited = run->last_frames && block + 1 == run->count;
    return is_limited ? run->last_frames : run->blocks[block]->frame_count;
}

uint64_t block_run_events(const struct block_run *run)
{
    uint64_t events = 0;
    for (size_t i = 0; i < run->count; i++) {
        uint32_t frames = run_frames(run, i);
        bool is_open = frames && (run->blocks[i]->frames[frames - 1].flags & FRAME_MORE);
        events += frames - (is_open ? 1u : 0u);
    }
    return events;
}

static bool cursor_is_at_end(const struct cursor *cursor)
{
    return cursor->block == cursor->run->count;
}

/* Past blocks that have no frame to give. */
static void cursor_settle(struct cursor *cursor)
{
    while (!cursor_is_at_end(cursor) && cursor->frame == run_frames(cursor->run, cursor->block)) {
        cursor->block++;
        cursor->frame = 0;
    }
}

static void cursor_advance(struct cursor *cursor)
{
    cursor->frame++;
    cursor_settle(cursor);
}

static bool position_is_before(struct block_position a, struct block_position b)
{
    return a.seq < b.seq || (a.seq == b.seq && a.part < b.part);
}

/* cursor_find — the frame at `at`.
 *   answers ERR_CLOSED the run ends before it · faults ERR_CORRUPT only later ones are here */
static enum err cursor_find(
    const struct block_run *run, struct block_position at, struct cursor *out)
{
    for (size_t i = 0; i < run->count; i++) {
        const struct block *block = run->blocks[i];
        uint32_t index, frames = run_frames(run, i);
        if (frames == 0 || !position_is_before(at, block_next(block, frames - 1)))
            continue;
        if (find_among(block, frames, at.seq, &index) != ERR_OK ||
            frame_part(block, index) != at.part)
            return fault(
                ERR_CORRUPT, "event %llu part %u is missing", (unsigned long long)at.seq, at.part);
        *out = (struct cursor){run, i, index};
        return ERR_OK;
    }
    return ERR_CLOSED;
}

/* ---- Encoding ---- */

/* What one stored block is made of; the bytes lie in raw, behind room for the table. */
struct gathered {
    struct block_position first, next;
    uint64_t first_offset;
    uint32_t frame_count, size, table_size;
};

struct gather_limits {
    uint32_t bytes, frames;
};

struct block_codec {
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    size_t packed_capacity;
    uint8_t *packed;
    uint32_t raw_hint; /* bytes to begin with */
    struct frame frames[STORED_FRAMES_MAX];
    uint8_t table[TABLE_BYTES_MAX];
    uint8_t raw[RAW_BYTES_MAX];
};

enum err block_codec_new(int zstd_level, struct block_codec **out)
{
    struct block_codec *codec = calloc(1, sizeof *codec);
    if (!codec)
        return fault(ERR_NOMEM, "a block codec");
    codec->raw_hint = STORED_RAW_BYTES_MAX;
    codec->packed_capacity = ZSTD_compressBound(RAW_BYTES_MAX);
    codec->packed = malloc(codec->packed_capacity);
    codec->compressor = ZSTD_createCCtx();
    codec->decompressor = ZSTD_createDCtx();
    if (!codec->packed || !codec->compressor || !codec->decompressor) {
        block_codec_free(codec);
        return fault(ERR_NOMEM, "a block codec");
    }
    size_t set = ZSTD_CCtx_setParameter(codec->compressor, ZSTD_c_compressionLevel, zstd_level);
    ASSERT(!ZSTD_isError(set)); /* zstd clips the level to what it has */
    set = ZSTD_CCtx_setParameter(codec->compressor, ZSTD_c_contentSizeFlag, 0);
    ASSERT(!ZSTD_isError(set)); /* our header says it */
    *out = codec;
    return ERR_OK;
}

struct block_codec *block_codec_free(struct block_codec *codec)
{
    if (!codec)
        return NULL;
    ZSTD_freeCCtx(codec->compressor);
    ZSTD_freeDCtx(codec->decompressor);
    free(codec->packed);
    free(codec);
    return NULL;
}

static bool gather_admits(const struct gathered *gathered, const struct cursor *cursor,
    const struct gather_limits *limits)
{
    if (gathered->frame_count == 0)
        return true;
    uint32_t size = frame_size(cursor->run->blocks[cursor->block], cursor->frame);
    return gathered->frame_count < limits->frames && gathered->next.part == 0 &&
           gathered->size < limits->bytes && size <= limits->bytes - gathered->size;
}

static void gather_frame(
    struct block_codec *codec, struct gathered *gathered, const struct cursor *cursor)
{
    const struct block *block = cursor->run->blocks[cursor->block];
    struct slice bytes = block_frame(block, cursor->frame);
    ASSERT(block_seq(block, cursor->frame) == gathered->next.seq);
    ASSERT(frame_part(block, cursor->frame) == gathered->next.part);
    if (bytes.size)
        memcpy(codec->raw + TABLE_BYTES_MAX + gathered->size, bytes.data, bytes.size);
    gathered->size += (uint32_t)bytes.size;
    struct frame *frame = &codec->frames[gathered->frame_count++];
    *frame = block->frames[cursor->frame];
    frame->end = gathered->size;
    gathered->next = block_next(block, cursor->frame);
}

/* A frame with FRAME_MORE ends a stored block too: block_seq() counts on it. */
static enum err gather(struct block_codec *codec, const struct block_run *run,
    struct block_position at, const struct gather_limits *limits, struct gathered *out)
{
    struct cursor cursor = {0};
    TRY(cursor_find(run, at, &cursor));
    const struct block *block = run->blocks[cursor.block];
    struct gathered gathered = {.first = at, .next = at};
    gathered.first_offset = block->first_offset + frame_start(block, cursor.frame);
    while (!cursor_is_at_end(&cursor) && gather_admits(&gathered, &cursor, limits)) {
        gather_frame(codec, &gathered, &cursor);
        cursor_advance(&cursor);
    }
    ASSERT(gathered.frame_count > 0 && gathered.size <= STORED_RAW_BYTES_MAX);
    *out = gathered;
    return ERR_OK;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static uint64_t zigzag(uint64_t delta)
{
    return delta << 1 ^ (0 - (delta >> 63));
}

static uint64_t unzigzag(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

/* Write the table right before the bytes, so that both are one piece; returns its beginning. */
static const uint8_t *put_table(struct block_codec *codec, struct gathered *gathered)
{
    uint8_t *at = codec->table;
    const struct frame *frames = codec->frames;
    for (uint32_t i = 0; i < gathered->frame_count; i++)
        at = put_varint(at, frames[i].end - (i ? frames[i - 1].end : 0));
    for (uint32_t i = 0; i < gathered->frame_count; i++)
        at = put_varint(
            at, zigzag((uint64_t)frames[i].time_ns - (i ? (uint64_t)frames[i - 1].time_ns : 0)));
    for (uint32_t i = 0; i < gathered->frame_count; i++)
        at = put_varint(at, frames[i].flags);
    gathered->table_size = (uint32_t)(at - codec->table);
    ASSERT(gathered->table_size <= TABLE_BYTES_MAX);
    uint8_t *beginning = codec->raw + TABLE_BYTES_MAX - gathered->table_size;
    memcpy(beginning, codec->table, gathered->table_size);
    return beginning;
}

/* The smaller of compressed and raw; *is_zstd says which. */
static enum err pack_payload(
    struct block_codec *codec, struct slice raw, struct slice *out, bool *is_zstd)
{
    *is_zstd = false;
    *out = raw;
    if (raw.size < BLOCK_PACKED_BYTES_MIN)
        return ERR_OK;
    size_t size = ZSTD_compress2(
        codec->compressor, codec->packed, codec->packed_capacity, raw.data, raw.size);
    if (ZSTD_isError(size))
        return fault(ERR_NOMEM, "zstd: %s", ZSTD_getErrorName(size));
    if (size < raw.size) {
        *is_zstd = true;
        *out = slice_of(codec->packed, size);
    }
    return ERR_OK;
}

/* Less, by the ratio just seen and a little more; at least an eighth less. */
static uint32_t shrunk(uint32_t count, size_t stored)
{
    uint64_t by_ratio = (uint64_t)count * (PAYLOAD_BYTES_MAX - PAYLOAD_BYTES_MAX / 16) / stored;
    uint64_t by_step = count - count / 8;
    uint64_t less = by_ratio < by_step ? by_ratio : by_step;
    return less ? (uint32_t)less : 1;
}

static enum err append_stored(
    const struct gathered *gathered, struct slice payload, bool is_zstd, struct buf *out)
{
    uint8_t header[HEADER_BYTES] = {SCHEMA_VALUE_VERSION};
    header[5] = is_zstd ? STORED_IS_ZSTD : 0;
    pack_u64(header + 6, gathered->first.seq);
    pack_u32(header + 14, gathered->first.part);
    pack_u64(header + 18, gathered->first_offset);
    pack_u32(header + 26, gathered->frame_count);
    pack_u32(header + 30, gathered->table_size);
    pack_u32(header + 34, gathered->size);
    pack_u32(header + 38, gathered->next.part);
    struct slice sealed = slice_of(header + SCHEMA_SEAL_BYTES, HEADER_BYTES - SCHEMA_SEAL_BYTES);
    pack_u32(header + 1, crc32c(crc32c(0, sealed), payload));
    uint8_t *at;
    TRY(buf_reserve(out, HEADER_BYTES + payload.size, &at));
    memcpy(at, header, HEADER_BYTES);
    memcpy(at + HEADER_BYTES, payload.data, payload.size);
    buf_commit(out, HEADER_BYTES + payload.size);
    return ERR_OK;
}

/* Compress what was gathered; ERR_AGAIN: too large, and `limits` are now lower. */
static enum err pack_gathered(struct block_codec *codec, struct gathered *gathered,
    struct gather_limits *limits, struct buf *out)
{
    const uint8_t *table = put_table(codec, gathered);
    struct slice raw = slice_of(table, gathered->table_size + gathered->size), payload;
    bool is_zstd = false;
    TRY(pack_payload(codec, raw, &payload, &is_zstd));
    if (payload.size <= PAYLOAD_BYTES_MAX)
        return append_stored(gathered, payload, is_zstd, out);
    limits->bytes = shrunk(gathered->size, payload.size);
    limits->frames = shrunk(gathered->frame_count, payload.size);
    return ERR_AGAIN;
}

/* What does not compress is not compressed again and again in pieces that are far too large. */
static void learn(struct block_codec *codec, uint32_t taken, bool was_shrunk)
{
    uint32_t from = was_shrunk ? taken : codec->raw_hint;
    uint32_t twice = from < STORED_RAW_BYTES_MAX / 2 ? 2 * from : STORED_RAW_BYTES_MAX;
    codec->raw_hint = twice > BLOCK_BYTES_MAX ? twice : BLOCK_BYTES_MAX;
}

void block_codec_expect_much(struct block_codec *codec)
{
    codec->raw_hint = STORED_RAW_BYTES_MAX;
}

enum err block_encode(struct block_codec *codec, const struct block_run *run,
    struct block_position *at, struct buf *out)
{
    struct gather_limits limits = {codec->raw_hint, STORED_FRAMES_MAX};
    struct gathered gathered;
    enum err err;
    do {
        TRY(gather(codec, run, *at, &limits, &gathered));
        err = pack_gathered(codec, &gathered, &limits, out);
    } while (err == ERR_AGAIN);
    TRY(err);
    learn(codec, gathered.size, limits.frames < STORED_FRAMES_MAX);
    *at = gathered.next;
    return ERR_OK;
}
static_assert(PAYLOAD_BYTES_MAX >= FRAME_ENTRY_BYTES_MAX + FRAME_BYTES_MAX, "a frame fits raw");

enum err block_encode_bytes(struct block_codec *codec, struct block_position at, uint64_t offset,
    struct slice bytes, struct buf *out, size_t *taken)
{
    struct gather_limits limits = {BLOCK_BYTES_MAX, 1};
    struct gathered gathered;
    enum err err;
    ASSERT(bytes.size > 0);
    do {
        struct slice some = slice_sub(bytes, 0, limits.bytes);
        bool is_all = some.size == bytes.size;
        memcpy(codec->raw + TABLE_BYTES_MAX, some.data, some.size);
        codec->frames[0] =
            (struct frame){.end = (uint32_t)some.size, .flags = is_all ? 0 : FRAME_MORE};
        gathered = (struct gathered){.first = at,
            .next = {is_all ? at.seq + 1 : at.seq, is_all ? 0 : at.part + 1},
            .first_offset = offset,
            .frame_count = 1,
            .size = (uint32_t)some.size};
        err = pack_gathered(codec, &gathered, &limits, out);
    } while (err == ERR_AGAIN);
    if (err == ERR_OK)
        *taken = gathered.size;
    return err;
}

/* ---- Decoding ---- */

struct header {
    struct block_summary summary;
    uint32_t table_size;
    bool is_zstd;
    struct slice payload;
};

static enum err corrupt(const char *what)
{
    return fault(ERR_CORRUPT, "a stored block: %s", what);
}

static enum err read_header(struct slice stored, struct header *out)
{
    struct slice sealed;
    TRY(value_open(stored, &sealed));
    if (stored.size <= HEADER_BYTES || stored.size > BLOCK_STORED_BYTES_MAX)
        return corrupt("size");
    const uint8_t *at = stored.data;
    struct block_summary *summary = &out->summary;
    summary->first = (struct block_position){unpack_u64(at + 6), unpack_u32(at + 14)};
    summary->first_offset = unpack_u64(at + 18);
    summary->frame_count = unpack_u32(at + 26);
    summary->bytes = unpack_u32(at + 34);
    out->table_size = unpack_u32(at + 30);
    out->is_zstd = at[5] == STORED_IS_ZSTD;
    out->payload = slice_sub(stored, HEADER_BYTES, stored.size);
    uint32_t frames = summary->frame_count, next_part = unpack_u32(at + 38);
    if (at[5] > STORED_IS_ZSTD || frames == 0 || frames > STORED_FRAMES_MAX ||
        summary->bytes > STORED_RAW_BYTES_MAX || out->table_size > TABLE_BYTES_MAX ||
        summary->first.seq > UINT64_MAX - frames ||
        summary->first_offset > UINT64_MAX - summary->bytes || summary->first.part == UINT32_MAX)
        return corrupt("header");
    if (!out->is_zstd && out->payload.size != out->table_size + summary->bytes)
        return corrupt("payload size");
    uint64_t last = summary->first.seq + frames - 1;
    summary->next =
        next_part ? (struct block_position){last, next_part} : (struct block_position){last + 1, 0};
    return ERR_OK;
}

enum err block_summarize(struct slice stored, struct block_summary *out)
{
    struct header header = {0};
    TRY(read_header(stored, &header));
    *out = header.summary;
    return ERR_OK;
}

static enum err take_varint(struct slice *from, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && from->size; shift += 7) {
        uint8_t byte = *from->data;
        from->data++, from->size--;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return ERR_OK;
        }
    }
    return corrupt("frame table");
}

static enum err read_table(struct slice table, struct block *block)
{
    uint64_t value = 0, end = 0, time = 0;
    for (uint32_t i = 0; i < block->frame_count; i++) {
        TRY(take_varint(&table, &value));
        if (value > block->size - end)
            return corrupt("frame size");
        end += value;
        block->frames[i].end = (uint32_t)end;
    }
    for (uint32_t i = 0; i < block->frame_count; i++) {
        TRY(take_varint(&table, &value));
        time += unzigzag(value);
        block->frames[i].time_ns = (int64_t)time;
    }
    for (uint32_t i = 0; i < block->frame_count; i++) {
        TRY(take_varint(&table, &value));
        if (value > UINT32_MAX || ((value & FRAME_MORE) && i + 1 < block->frame_count))
            return corrupt("frame flags");
        block->frames[i].flags = (uint32_t)value;
    }
    return table.size == 0 && end == block->size ? ERR_OK : corrupt("frame table's end");
}

static enum err unpack_payload(
    struct block_codec *codec, const struct header *header, struct slice *out)
{
    size_t size = header->table_size + header->summary.bytes;
    if (!header->is_zstd) {
        *out = header->payload;
        return ERR_OK;
    }
    size_t got = ZSTD_decompressDCtx(
        codec->decompressor, codec->raw, size, header->payload.data, header->payload.size);
    if (ZSTD_isError(got) || got != size)
        return corrupt("zstd payload");
    *out = slice_of(codec->raw, size);
    return ERR_OK;
}

static enum err fill_block(const struct header *header, struct slice raw, struct block *block)
{
    block->first_seq = header->summary.first.seq;
    block->part = header->summary.first.part;
    block->first_offset = header->summary.first_offset;
    block->frame_count = header->summary.frame_count;
    block->size = header->summary.bytes;
    if (block->size)
        memcpy(block->bytes, raw.data + header->table_size, block->size);
    TRY(read_table(slice_sub(raw, 0, header->table_size), block));
    struct block_position next = block_next(block, block->frame_count - 1);
    bool is_next = next.seq == header->summary.next.seq && next.part == header->summary.next.part;
    return is_next ? ERR_OK : corrupt("next part");
}

enum err block_decode(struct block_codec *codec, struct slice stored, struct block **out)
{
    struct header header = {0};
    struct slice raw;
    TRY(read_header(stored, &header));
    TRY(unpack_payload(codec, &header, &raw));
    struct block *block = NULL;
    TRY(block_allocate(header.summary.frame_count, header.summary.bytes, &block));
    enum err err = fill_block(&header, raw, block);
    if (err != ERR_OK) {
        block_unref(block);
        return err;
    }
    *out = block;
    return ERR_OK;
}
