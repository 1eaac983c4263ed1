/* recover — one pass over the segments in the order of their generations.
 *
 *   segment g    |hdr 7|  7 |  8 |  9 | 10 (torn) ·· old bytes
 *   segment g+1  |hdr 10| 10 | 11 | ~~ | 13 | 14 |               12 is damaged: corrupt, reported
 *   segment g+2  |hdr 15| 15 | 16 (torn) ·· zeros                cut: the end of what is known
 *
 * A header's first batch is a fence: no older segment's batch with that number or a higher one
 * counts, valid as it may look; it was torn, or its write failed, and it was never acknowledged.
 * So each number is looked for in one segment only, and a batch once cut cannot come back.
 *
 * Within a segment the scan expects the next dense number at the next position. Where something
 * else lies it goes on in 4 KiB steps: if it meets a valid batch of this segment with a higher
 * number, then what lay between was damaged after it had been acknowledged; else it was the tail.
 * What is expected is known across segments, so a gap is seen wherever its end is.              */
#include "storage/recover.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/read_ahead.h"

/* A segment that was found, by its header or by its first valid batch. */
struct found_segment {
    struct slot *slot;
    uint64_t generation, first_batch, first_lsn;
    uint64_t fence; /* batches from this number on belong to newer segments */
    bool has_header;
};

struct recover {
    const struct recover_request *request;
    struct journal_recovery *found;
    struct found_segment segments[SEGMENT_COUNT_MAX];
    size_t segment_count;
    uint64_t last_generation;

    uint64_t expected;  /* number of the next batch; 0: nothing is known yet */
    uint64_t last_lsn;  /* of all that is known to have been numbered */
    bool is_damaged;    /* where `expected` should be lies a batch that fails its check */
    bool is_unreadable; /* a block could not be read */

    /* While segments are found: the part of a slot that is in memory. */
    uint8_t *window;
    size_t window_capacity, window_bytes;
    uint64_t window_offset;
    struct slot *window_slot;
    size_t fill_bytes; /* read at least so much at a time */

    /* While they are scanned. */
    struct read_ahead_file files[SEGMENT_COUNT_MAX];
    struct read_ahead *ahead;
};

static enum err find_segments(struct recover *recover);
static void order_segments(struct recover *recover);
static enum err scan_segments(struct recover *recover);

static uint64_t usable_bytes(const struct slot *slot)
{
    return slot->bytes / DISK_ALIGN * DISK_ALIGN;
}

static enum err open_window(struct recover *recover)
{
    uint64_t largest = DISK_ALIGN;
    for (size_t i = 0; i < SEGMENT_COUNT_MAX; i++)
        if (usable_bytes(&recover->request->ring->slots[i]) > largest)
            largest = usable_bytes(&recover->request->ring->slots[i]);
    recover->window_capacity = largest < BATCH_BYTES ? (size_t)largest : (size_t)BATCH_BYTES;
    recover->window = aligned_alloc(DISK_ALIGN, recover->window_capacity);
    return recover->window ? ERR_OK : fault(ERR_NOMEM, "window of recovery");
}

static void finish_counts(struct recover *recover)
{
    struct journal_recovery *found = recover->found;
    found->torn_batches += recover->is_damaged;
    if (recover->is_unreadable && found->corrupt_batches == 0)
        found->corrupt_batches = 1;
    found->last_batch = recover->expected > 0 ? recover->expected - 1 : 0;
    found->last_lsn = recover->last_lsn;
}

enum err recover_run(const struct recover_request *request, struct journal_recovery *found,
    uint64_t *last_generation)
{
    CLEANUP(cleanup_free) struct recover *recover = calloc(1, sizeof *recover);
    if (!recover)
        return fault(ERR_NOMEM, "recovery");
    *found = (struct journal_recovery){};
    recover->request = request;
    recover->found = found;
    recover->last_lsn = request->absorbed_lsn;
    enum err err = open_window(recover);
    if (err == ERR_OK)
        err = find_segments(recover);
    if (err == ERR_OK) {
        order_segments(recover);
        err = scan_segments(recover);
    }
    free(recover->window);
    TRY(err);
    finish_counts(recover);
    *last_generation = recover->last_generation;
    return ERR_OK;
}

/* view — `size` bytes of the slot at `offset`, both aligned and inside it; until the next view. */
static const uint8_t *view(struct recover *recover, struct slot *slot, uint64_t offset, size_t size)
{
    if (recover->ahead)
        return read_ahead_view(recover->ahead, slot->file, offset, size);
    bool is_inside = recover->window_slot == slot && offset >= recover->window_offset &&
                     offset + size <= recover->window_offset + recover->window_bytes;
    if (is_inside)
        return recover->window + (offset - recover->window_offset);
    ASSERT(offset + size <= usable_bytes(slot) && size <= recover->window_capacity);
    uint64_t rest = usable_bytes(slot) - offset;
    size_t want = size > recover->fill_bytes ? size : recover->fill_bytes;
    size_t bytes = want < rest ? want : (size_t)rest;
    if (!read_what_can_be(recover->request->ring->disk, slot->file, offset, recover->window, bytes))
        recover->is_unreadable = true;
    recover->window_slot = slot;
    recover->window_offset = offset;
    recover->window_bytes = bytes;
    return recover->window;
}

/* peek — the claims of a batch header at `offset`, if one lies there and its frame fits. */
static bool peek(
    struct recover *recover, struct slot *slot, uint64_t offset, struct batch_header *out)
{
    return offset + DISK_ALIGN <= usable_bytes(slot) &&
           batch_peek(view(recover, slot, offset, DISK_ALIGN), out) &&
           batch_frame_bytes(out->payload_bytes) <= usable_bytes(slot) - offset &&
           batch_frame_bytes(out->payload_bytes) <= recover->window_capacity;
}

static bool is_intact(
    struct recover *recover, struct slot *slot, uint64_t offset, const struct batch_header *header)
{
    const uint8_t *frame = view(recover, slot, offset, batch_frame_bytes(header->payload_bytes));
    return batch_is_intact(header, recover->request->store_uuid, frame);
}

/* find_first_batch — the first intact batch of a slot, of whatever generation, in the block behind
 * the header or, if `is_thorough`, anywhere. */
static bool find_first_batch(
    struct recover *recover, struct slot *slot, bool is_thorough, struct batch_header *out)
{
    uint64_t end = is_thorough ? usable_bytes(slot) : SEGMENT_HEADER_BYTES + DISK_ALIGN;
    recover->fill_bytes = is_thorough ? recover->window_capacity : DISK_ALIGN;
    for (uint64_t offset = SEGMENT_HEADER_BYTES; offset < end; offset += DISK_ALIGN)
        if (peek(recover, slot, offset, out) && is_intact(recover, slot, offset, out))
            return true;
    return false;
}

static void add_segment(struct recover *recover, const struct found_segment *segment)
{
    recover->segments[recover->segment_count++] = *segment;
    segment->slot->generation = segment->generation;
    if (segment->generation > recover->last_generation)
        recover->last_generation = segment->generation;
}

static enum err check_owner(struct recover *recover, const struct segment_header *header)
{
    if (memcmp(header->store_uuid, recover->request->store_uuid, STORE_UUID_BYTES) != 0)
        return fault(ERR_CORRUPT, "a journal segment belongs to another store");
    return ERR_OK;
}

/* find_headed — a slot with a sound header. The batch behind it may be of a newer generation whose
 * header never landed: it was not acknowledged, and its generation is not given again. */
static void find_headed(
    struct recover *recover, struct slot *slot, const struct segment_header *header)
{
    add_segment(recover, &(struct found_segment){.slot = slot,
                             .generation = header->generation,
                             .first_batch = header->first_batch,
                             .first_lsn = header->first_lsn,
                             .has_header = true});
    struct batch_header first;
    if (find_first_batch(recover, slot, false, &first) &&
        first.generation > recover->last_generation)
        recover->last_generation = first.generation;
}

static void find_headless(struct recover *recover, struct slot *slot, bool is_thorough)
{
    struct batch_header first;
    if (!find_first_batch(recover, slot, is_thorough, &first))
        return;
    recover->found->damaged_headers++;
    add_segment(recover, &(struct found_segment){.slot = slot,
                             .generation = first.generation,
                             .first_batch = first.number,
                             .first_lsn = first.first_lsn});
}

static enum err find_segment(struct recover *recover, struct slot *slot)
{
    const struct disk_ops *ops = recover->request->ring->disk->ops;
    recover->window_slot = NULL;
    TRY(ops->read(slot->file, 0, recover->window, SEGMENT_HEADER_BYTES));
    struct segment_header header;
    enum err err = segment_header_decode(recover->window, &header);
    bool is_elsewhere =
        err == ERR_OK && header.slot != slot_ring_index(recover->request->ring, slot);
    if (err == ERR_OK && !is_elsewhere) {
        TRY(check_owner(recover, &header));
        find_headed(recover, slot, &header);
    } else if (err == ERR_NOTFOUND) {
        find_headless(recover, slot, false);
    } else if (err == ERR_INVALID || is_elsewhere) {
        find_headless(recover, slot, true);
    } else {
        return err;
    }
    return ERR_OK;
}

static enum err find_segments(struct recover *recover)
{
    for (size_t i = 0; i < SEGMENT_COUNT_MAX; i++) {
        struct slot *slot = &recover->request->ring->slots[i];
        slot->generation = slot->last_lsn = 0;
        if (slot->file)
            TRY(find_segment(recover, slot));
    }
    return ERR_OK;
}

/* order_segments — by generation, and draw the fences. */
static void order_segments(struct recover *recover)
{
    struct found_segment *segments = recover->segments;
    for (size_t i = 1; i < recover->segment_count; i++) {
        struct found_segment segment = segments[i];
        size_t at = i;
        for (; at > 0 && segments[at - 1].generation > segment.generation; at--)
            segments[at] = segments[at - 1];
        segments[at] = segment;
    }
    uint64_t fence = UINT64_MAX;
    for (size_t i = recover->segment_count; i-- > 0;) {
        segments[i].fence = fence;
        if (segments[i].first_batch < fence)
            fence = segments[i].first_batch;
    }
    if (recover->segment_count > 0)
        recover->request->ring->newest = segments[recover->segment_count - 1].slot;
}

/* expect — what was found next is batch `number`, or word of it, beginning with `first_lsn`: count
 * what should have come before it and did not. `is_inside` tells that the gap lies within a
 * segment, so that something must be there, damaged. */
static void expect(struct recover *recover, uint64_t number, uint64_t first_lsn, bool is_inside)
{
    bool is_needed = first_lsn > recover->request->absorbed_lsn + 1;
    if (recover->expected == 0) {
        if (is_needed) /* how many, is only known from the very first on */
            recover->found->missing_batches += recover->request->absorbed_lsn == 0 ? number - 1 : 1;
    } else if (number > recover->expected && is_needed) {
        uint64_t gap = number - recover->expected;
        recover->found->missing_batches += gap;
        if (is_inside || recover->is_damaged)
            recover->found->corrupt_batches += gap;
    }
    recover->is_damaged = false;
    if (number > recover->expected)
        recover->expected = number;
    if (first_lsn - 1 > recover->last_lsn)
        recover->last_lsn = first_lsn - 1;
}

static enum err replay_batch(
    struct recover *recover, const struct batch_header *header, struct slice payload)
{
    const struct recover_request *request = recover->request;
    if (header->first_lsn + header->record_count - 1 <= request->absorbed_lsn) {
        recover->found->records += header->record_count;
        return ERR_OK;
    }
    for (uint32_t i = 0; i < header->record_count; i++) {
        struct record record;
        if (record_decode(&payload, &record) != ERR_OK) {
            recover->found->corrupt_batches++; /* whoever wrote it, its sum is right */
            return ERR_OK;
        }
        recover->found->records++;
        if (header->first_lsn + i > request->absorbed_lsn)
            TRY(request->replay(request->context, &record, header->first_lsn + i));
    }
    return ERR_OK;
}

static enum err accept(struct recover *recover, struct found_segment *segment, uint64_t offset,
    const struct batch_header *header)
{
    const uint8_t *frame =
        view(recover, segment->slot, offset, batch_frame_bytes(header->payload_bytes));
    recover->found->batches++;
    recover->found->bytes += header->payload_bytes;
    TRY(replay_batch(recover, header, slice_of(frame + BATCH_HEADER_BYTES, header->payload_bytes)));
    recover->expected = header->number + 1;
    uint64_t last_lsn = header->first_lsn + header->record_count - 1;
    segment->slot->last_lsn = last_lsn;
    if (last_lsn > recover->last_lsn)
        recover->last_lsn = last_lsn;
    return ERR_OK;
}

/* is_wanted — whether the claims fit this place; a copied slot holds lower numbers. */
static bool is_wanted(const struct recover *recover, const struct found_segment *segment,
    const struct batch_header *header)
{
    return header->generation == segment->generation && header->number >= segment->first_batch &&
           header->number >= recover->expected && header->number < segment->fence;
}

static enum err scan_segment(struct recover *recover, struct found_segment *segment)
{
    recover->found->segments++;
    if (segment->has_header)
        expect(recover, segment->first_batch, segment->first_lsn, false);
    bool is_inside = segment->has_header;
    uint64_t offset = SEGMENT_HEADER_BYTES;
    while (offset < usable_bytes(segment->slot)) {
        struct batch_header header;
        bool is_batch =
            peek(recover, segment->slot, offset, &header) && is_wanted(recover, segment, &header);
        if (!is_batch || !is_intact(recover, segment->slot, offset, &header)) {
            if (is_batch && header.number == recover->expected)
                recover->is_damaged = true;
            offset += DISK_ALIGN;
            continue;
        }
        expect(recover, header.number, header.first_lsn, is_inside);
        TRY(accept(recover, segment, offset, &header));
        offset += batch_frame_bytes(header.payload_bytes);
        is_inside = true;
    }
    return ERR_OK;
}

/* is_absorbed — whether a segment lies wholly below the absorbed position: all that comes before the
 * first batch of the next one. */
static bool is_absorbed(const struct recover *recover, size_t index)
{
    return index + 1 < recover->segment_count &&
           recover->segments[index + 1].first_lsn <= recover->request->absorbed_lsn + 1;
}

static enum err scan_all(struct recover *recover)
{
    for (size_t i = 0; i < recover->segment_count; i++)
        if (!is_absorbed(recover, i))
            TRY(scan_segment(recover, &recover->segments[i]));
    return ERR_OK;
}

static enum err scan_segments(struct recover *recover)
{
    size_t count = 0;
    for (size_t i = 0; i < recover->segment_count; i++)
        if (!is_absorbed(recover, i))
            recover->files[count++] = (struct read_ahead_file){
                recover->segments[i].slot->file, usable_bytes(recover->segments[i].slot)};
    TRY(read_ahead_open(recover->request->ring->disk, recover->files, count, &recover->ahead));
    enum err err = scan_all(recover);
    if (read_ahead_is_unreadable(recover->ahead))
        recover->is_unreadable = true;
    recover->ahead = read_ahead_close(recover->ahead);
    return err;
}
