/* journal_copy — plan, measure, copy, prove.
 *
 *   plan     each slot's header is read; segments are put in the order of their generations
 *   measure  each segment's last intact batch is looked for, oldest segment first:
 *
 *            slot   | header | batch 7 | batch 8 | batch 9 | (being written) ·· older use
 *                                                          ▲ end
 *   copy     what lies below `end`
 *   prove    recovery runs over the copy: nothing may be missing, and it must come as far as what
 *            was measured; and each slot must still have the header that was planned
 *
 * Why the copy has no gap. One batch is written at a time, in order. When a batch was seen whole,
 * all before it, in its segment and in older ones, were whole already; they are copied after that.
 * Segments begun after the plan are left out, so the copy ends within the newest that was planned,
 * and what lies beyond its end is not copied at all: the copy is the journal as a crash might have
 * left it at the time the last segment was measured. That is after the call began, so every record
 * that was durable then is in it, or
 *
 * in a slot that was used again. Only slots whose records are all absorbed are. Those absorbed
 * before `absorbed_lsn` was read are not needed. Absorbed later, and used again before they were
 * copied: then their headers have changed, or what was copied is not what was measured, or recovery
 * misses what it needs; all of that is looked for, after the copy, and answered ERR_AGAIN. */
#include "storage/journal_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/own.h"
#include "storage/recover.h"
#include "storage/segment.h"
#include "storage/slot.h"

/* A segment that was planned. */
struct piece {
    struct slot *slot;
    uint64_t generation, first_lsn; /* first_lsn 0: not known */
    bool has_header;
    uint64_t end;                /* bytes to copy; 0: none */
    uint64_t last_batch;         /* that is known from it */
    uint8_t planned[DISK_ALIGN]; /* its header block */
};

struct copy {
    const struct journal_copying *copying;
    struct slot_ring ring; /* of the original */
    struct piece *pieces;  /* SEGMENT_COUNT_MAX of them */
    size_t count;
    uint8_t *window;
    struct slot *window_slot;
    uint64_t window_offset;
    size_t window_bytes;
    size_t fill_bytes; /* read at least so much at a time */
};

static uint64_t usable_bytes(const struct slot *slot)
{
    return slot->bytes / DISK_ALIGN * DISK_ALIGN;
}

/* The slot's bytes at `offset`, aligned and inside it; borrowed until the next look. */
static enum err look(
    struct copy *copy, struct slot *slot, uint64_t offset, size_t size, const uint8_t **out)
{
    bool is_inside = copy->window_slot == slot && offset >= copy->window_offset &&
                     offset + size <= copy->window_offset + copy->window_bytes;
    if (!is_inside) {
        uint64_t rest = usable_bytes(slot) - offset;
        size_t want = size > copy->fill_bytes ? size : copy->fill_bytes;
        size_t bytes = want < rest ? want : (size_t)rest;
        ASSERT(size <= bytes && bytes <= RECOVER_WINDOW_BYTES);
        copy->window_slot = NULL;
        TRY(copy->copying->disk->ops->read(slot->file, offset, copy->window, bytes));
        copy->window_slot = slot;
        copy->window_offset = offset;
        copy->window_bytes = bytes;
    }
    *out = copy->window + (offset - copy->window_offset);
    return ERR_OK;
}

/* ---- Plan ---- */

/* An intact batch at `offset`: its header; else first_lsn is 0. */
static enum err find_batch(
    struct copy *copy, struct slot *slot, uint64_t offset, struct batch_header *out)
{
    const uint8_t *frame;
    struct batch_header batch;
    *out = (struct batch_header){0};
    TRY(look(copy, slot, offset, DISK_ALIGN, &frame));
    if (!batch_peek(frame, &batch))
        return ERR_OK;
    size_t bytes = batch_frame_bytes(batch.payload_bytes);
    if (bytes > usable_bytes(slot) - offset)
        return ERR_OK;
    TRY(look(copy, slot, offset, bytes, &frame));
    if (batch_is_intact(&batch, copy->copying->store_uuid, frame))
        *out = batch;
    return ERR_OK;
}

/* A slot without a sound header: its first intact batch speaks for it, as in recovery. An empty one
 * has it in its first place, or not at all. */
static enum err plan_headless(struct copy *copy, struct piece *piece, bool is_empty)
{
    uint64_t end = is_empty ? SEGMENT_HEADER_BYTES + DISK_ALIGN : usable_bytes(piece->slot);
    for (uint64_t offset = SEGMENT_HEADER_BYTES; offset < end; offset += DISK_ALIGN) {
        struct batch_header batch;
        TRY(find_batch(copy, piece->slot, offset, &batch));
        if (batch.first_lsn == 0)
            continue;
        piece->generation = batch.generation;
        piece->first_lsn = batch.first_lsn;
        return ERR_OK;
    }
    return ERR_NOTFOUND;
}

/* answers ERR_NOTFOUND: there is no segment in it */
static enum err plan_piece(struct copy *copy, struct slot *slot, struct piece *piece)
{
    const uint8_t *block;
    struct segment_header header;
    *piece = (struct piece){.slot = slot};
    if (usable_bytes(slot) < SEGMENT_HEADER_BYTES + DISK_ALIGN)
        return ERR_NOTFOUND;
    copy->window_slot = NULL;
    TRY(look(copy, slot, 0, SEGMENT_HEADER_BYTES, &block));
    memcpy(piece->planned, block, sizeof piece->planned);
    enum err err = segment_header_decode(block, &header);
    if (err == ERR_NOTFOUND || err == ERR_INVALID)
        return plan_headless(copy, piece, err == ERR_NOTFOUND);
    TRY(err);
    piece->has_header = true;
    piece->generation = header.generation;
    piece->first_lsn = header.first_lsn;
    piece->last_batch = header.first_batch - 1;
    return ERR_OK;
}

static int by_generation(const void *a, const void *b)
{
    const struct piece *one = a, *other = b;
    return one->generation < other->generation ? -1 : one->generation > other->generation;
}

static enum err plan(struct copy *copy)
{
    for (struct slot *slot = copy->ring.slots; slot < copy->ring.slots + SEGMENT_COUNT_MAX;
         slot++) {
        if (!slot->file)
            continue;
        enum err err = plan_piece(copy, slot, &copy->pieces[copy->count]);
        copy->count += err == ERR_OK;
        if (err != ERR_NOTFOUND)
            TRY(err);
    }
    qsort(copy->pieces, copy->count, sizeof *copy->pieces, by_generation);
    return ERR_OK;
}

/* All before the first record of the next segment is absorbed; the newest is always needed, since
 * the counters are recovered from it. */
static bool is_needed(const struct copy *copy, size_t index)
{
    return index + 1 == copy->count ||
           copy->pieces[index + 1].first_lsn > copy->copying->absorbed_lsn + 1;
}

/* ---- Measure and copy ---- */

static enum err measure(struct copy *copy, struct piece *piece)
{
    uint64_t offset = SEGMENT_HEADER_BYTES;
    copy->window_slot = NULL;
    piece->end = piece->has_header ? SEGMENT_HEADER_BYTES : 0;
    while (offset < usable_bytes(piece->slot)) {
        struct batch_header batch;
        TRY(find_batch(copy, piece->slot, offset, &batch));
        if (batch.first_lsn == 0 || batch.generation != piece->generation) {
            offset += DISK_ALIGN;
            continue;
        }
        offset += batch_frame_bytes(batch.payload_bytes);
        piece->end = offset;
        if (batch.number > piece->last_batch)
            piece->last_batch = batch.number;
    }
    return ERR_OK;
}

static enum err path_of(const struct copy *copy, const struct slot *slot, char out[PATH_MAX])
{
    int size = snprintf(
        out, PATH_MAX, "%s/journal-%02u", copy->copying->to, slot_ring_index(&copy->ring, slot));
    return size > 0 && size < PATH_MAX ? ERR_OK : fault(ERR_IO, "the path of a copy is too long");
}

static enum err failed(const char *what, const char *path)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return ERR_FULL;
    return fault(ERR_IO, "%s %s: %s", what, path, strerror(errno));
}

static enum err pour(struct copy *copy, const struct piece *piece, int fd, const char *path)
{
    copy->window_slot = NULL;
    for (uint64_t offset = 0; offset < piece->end;) {
        const uint8_t *bytes;
        TRY(look(copy, piece->slot, offset, DISK_ALIGN, &bytes));
        uint64_t rest = piece->end - offset;
        size_t size = copy->window_bytes < rest ? copy->window_bytes : (size_t)rest;
        ssize_t wrote = pwrite(fd, bytes, size, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return failed("write", path);
        offset += (uint64_t)wrote / DISK_ALIGN * DISK_ALIGN;
        if (wrote < DISK_ALIGN)
            return fault(ERR_IO, "short write to %s", path);
        copy->window_slot = NULL;
    }
    return ERR_OK;
}

static enum err copy_piece(struct copy *copy, const struct piece *piece)
{
    char path[PATH_MAX];
    TRY(path_of(copy, piece->slot, path));
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)piece->slot->bytes) != 0)
        return failed("create", path);
    TRY(pour(copy, piece, fd, path));
    return fsync(fd) == 0 ? ERR_OK : failed("fsync", path);
}

/* What an earlier attempt has left. */
static enum err clear(const struct copy *copy)
{
    for (const struct slot *slot = copy->ring.slots; slot < copy->ring.slots + SEGMENT_COUNT_MAX;
         slot++) {
        char path[PATH_MAX];
        TRY(path_of(copy, slot, path));
        if (unlink(path) != 0 && errno != ENOENT)
            return failed("remove", path);
    }
    return ERR_OK;
}

/* ---- Prove ---- */

static enum err nothing(void *context, const struct record *record, uint64_t lsn)
{
    (void)context, (void)record, (void)lsn;
    return ERR_OK;
}

static enum err recover_copy(const struct journal_copying *copying, struct journal_recovery *found)
{
    CLEANUP(cleanup_free) struct slot_ring *ring = calloc(1, sizeof *ring);
    uint64_t generation;
    if (!ring)
        return fault(ERR_NOMEM, "recovery of the copy");
    enum err err = slot_ring_open(
        ring, copying->disk, copying->to, SEGMENT_BYTES_DEFAULT, SEGMENT_COUNT_DEFAULT);
    struct recover_request request = {
        .ring = ring, .absorbed_lsn = copying->absorbed_lsn, .replay = nothing};
    memcpy(request.store_uuid, copying->store_uuid, sizeof request.store_uuid);
    if (err == ERR_OK)
        err = recover_run(&request, found, &generation);
    slot_ring_close(ring);
    return err;
}

/* Whether the slot still holds what was planned. */
static enum err check_planned(struct copy *copy, const struct piece *piece)
{
    const uint8_t *block;
    copy->window_slot = NULL;
    copy->fill_bytes = DISK_ALIGN;
    TRY(look(copy, piece->slot, 0, SEGMENT_HEADER_BYTES, &block));
    return memcmp(block, piece->planned, sizeof piece->planned) == 0 ? ERR_OK : ERR_AGAIN;
}

static enum err prove(struct copy *copy, struct journal_copied *out)
{
    uint64_t last_batch = 0;
    TRY(recover_copy(copy->copying, &out->found));
    for (size_t i = 0; i < copy->count; i++) {
        if (!is_needed(copy, i))
            continue;
        TRY(check_planned(copy, &copy->pieces[i]));
        if (copy->pieces[i].last_batch > last_batch)
            last_batch = copy->pieces[i].last_batch;
    }
    return out->found.last_batch >= last_batch ? ERR_OK : ERR_AGAIN;
}

static enum err run(struct copy *copy, struct journal_copied *out)
{
    TRY(slot_ring_open(&copy->ring, copy->copying->disk, copy->copying->from, SEGMENT_BYTES_DEFAULT,
        SEGMENT_COUNT_DEFAULT));
    TRY(clear(copy));
    copy->fill_bytes = DISK_ALIGN;
    TRY(plan(copy));
    copy->fill_bytes = RECOVER_WINDOW_BYTES;
    for (size_t i = 0; i < copy->count; i++) /* in this order: see above */
        if (is_needed(copy, i))
            TRY(measure(copy, &copy->pieces[i]));
    for (size_t i = 0; i < copy->count; i++) {
        if (!is_needed(copy, i) || copy->pieces[i].end == 0)
            continue;
        TRY(copy_piece(copy, &copy->pieces[i]));
        out->bytes += copy->pieces[i].end;
        out->segments++;
    }
    return prove(copy, out);
}

enum err journal_copy(const struct journal_copying *copying, struct journal_copied *out)
{
    CLEANUP(cleanup_free) struct copy *copy = calloc(1, sizeof *copy);
    if (!copy)
        return fault(ERR_NOMEM, "copying the journal");
    copy->copying = copying;
    copy->pieces = calloc(SEGMENT_COUNT_MAX, sizeof *copy->pieces);
    copy->window = aligned_alloc(DISK_ALIGN, RECOVER_WINDOW_BYTES);
    struct journal_copied copied = {0};
    enum err err =
        copy->pieces && copy->window ? run(copy, &copied) : fault(ERR_NOMEM, "copying the journal");
    slot_ring_close(&copy->ring);
    free(copy->pieces);
    free(copy->window);
    if (err == ERR_OK)
        *out = copied;
    return err;
}
