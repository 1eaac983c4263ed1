/* tail_block — the blocks of a tail, a queue in an array: appended to at the end, dropped from the
 * front when they are stored, from the end when what they held is taken back.
 *
 *     [ dropped | block_first … shipped_blocks … (open) | free ]      block_capacity
 *
 * Only the last block grows, and only while it is open; memory never moves, so that readers hold on
 * to what they were given.                                                                    */
#include "storage/tail_block.h"

#include <stdlib.h>
#include <string.h>

void tail_fetch(const struct tail *tail)
{
    __builtin_prefetch(tail->open);
}

struct tail_block *tail_block_at(const struct tail *tail, size_t index)
{
    ASSERT(index < tail->block_count);
    return &tail->blocks[tail->block_first + index];
}

bool tail_has_empty_block(const struct tail *tail)
{
    return tail->open && tail->open->frame_count == 0;
}

void tail_drop_blocks(struct tail *tail, size_t count)
{
    ASSERT(count <= tail->block_count);
    for (; count > 0; count--) {
        struct tail_block *last = tail_block_at(tail, tail->block_count - 1);
        tail->tails->block_bytes -= last->block->capacity;
        ledger_release(&tail->tails->ledger, &last->hold);
        block_unref(last->block);
        tail->block_count--;
        tail->open = NULL;
    }
}

void tail_drop_acknowledged(struct tail *tail, size_t count)
{
    ASSERT(count <= tail->shipped_blocks);
    for (size_t i = 0; i < count; i++) {
        struct tail_block *entry = tail_block_at(tail, i);
        ASSERT(entry->hold == 0);
        tail->tails->block_bytes -= entry->block->capacity;
        block_unref(entry->block);
    }
    tail->block_first += count;
    tail->block_count -= count;
    tail->shipped_blocks -= count;
    if (tail->queued_frames > 0)
        tail->write_block -= count;
}

/* Room for one more entry: what was dropped from the front is used first, then the array doubles.
 */
static enum err grow_blocks(struct tail *tail)
{
    enum { BLOCKS_MIN = 4 /* a short answer needs no more */ };
    if (tail->block_first + tail->block_count < tail->block_capacity)
        return ERR_OK;
    if (tail->block_first >= tail->block_capacity / 2 && tail->block_first > 0) {
        memmove(tail->blocks, tail->blocks + tail->block_first,
            tail->block_count * sizeof *tail->blocks);
        tail->block_first = 0;
        return ERR_OK;
    }
    size_t capacity = tail->block_capacity ? tail->block_capacity * 2 : BLOCKS_MIN;
    struct tail_block *blocks = realloc(tail->blocks, capacity * sizeof *blocks);
    if (!blocks)
        return fault(ERR_NOMEM, "table of %zu blocks", capacity);
    tail->blocks = blocks;
    tail->block_capacity = capacity;
    return ERR_OK;
}

static enum err add_block(struct tail *tail, uint32_t part, uint64_t offset, size_t capacity)
{
    TRY(grow_blocks(tail));
    struct block *block;
    TRY(block_new(tail->events, part, offset, (uint32_t)capacity, &block));
    tail->blocks[tail->block_first + tail->block_count++] = (struct tail_block){block, 0};
    tail->tails->block_bytes += block->capacity;
    tail->open = block;
    return ERR_OK;
}

void tail_seal(struct tail *tail)
{
    if (tail_has_empty_block(tail))
        tail_drop_blocks(tail, 1);
    tail->open = NULL;
}

static bool block_has_room(const struct block *block, size_t size)
{
    return block && size <= block->capacity - block->size &&
           block->frame_count < block->frame_capacity;
}

enum err tail_room(struct tail *tail, size_t size)
{
    ASSERT(size <= FRAME_BYTES_MAX);
    if (block_has_room(tail->open, size))
        return ERR_OK;
    tail_seal(tail);
    size_t capacity = tail->next_capacity > size ? tail->next_capacity : size;
    TRY(add_block(tail, 0, tail->bytes, capacity));
    if (tail->next_capacity < BLOCK_BYTES_MAX)
        tail->next_capacity *= 2;
    return ERR_OK;
}

void tail_put(struct tail *tail, struct slice bytes, int64_t time_ns)
{
    enum err err = block_append(tail->open, bytes, time_ns, 0);
    ASSERT(err == ERR_OK); /* tail_room went before */
    tail->events++;
    tail->bytes += bytes.size;
    tail->last_event_ns = time_ns;
}

enum err tail_add_part(struct tail *tail, uint32_t part, uint64_t offset, struct slice bytes,
    int64_t time_ns, bool is_last)
{
    tail_seal(tail);
    TRY(add_block(tail, part, offset, bytes.size > 0 ? bytes.size : 1));
    enum err err = block_append(tail->open, bytes, time_ns, is_last ? 0 : FRAME_MORE);
    ASSERT(err == ERR_OK);
    tail->open = NULL;
    return ERR_OK;
}

bool tail_block_is_shippable(const struct tail *tail, size_t index)
{
    if (tail->open && index == tail->block_count - 1)
        return false;
    const struct block *block = tail_block_at(tail, index)->block;
    return block->first_seq + block->frame_count <= tail->durable_events;
}

static bool is_past(const struct block *block, uint64_t seq, uint32_t part)
{
    return block->first_seq > seq || (block->first_seq == seq && block->part > part);
}

/* The last block that begins at or before (seq, part): nearly always the open one. NULL: all begin
 * after it. */
static struct block *find_block(const struct tail *tail, uint64_t seq, uint32_t part)
{
    if (tail->open && !is_past(tail->open, seq, part))
        return tail->open;
    size_t low = 0, high = tail->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_past(tail_block_at(tail, middle)->block, seq, part))
            high = middle;
        else
            low = middle + 1;
    }
    return low > 0 ? tail_block_at(tail, low - 1)->block : NULL;
}

enum err tail_read(struct tail *tail, uint64_t seq, uint32_t part, struct block **block,
    uint32_t *index, uint32_t *end)
{
    uint64_t visible = tail_watermark(tail);
    if (seq >= visible)
        return tail_has_ended(tail) ? ERR_CLOSED : ERR_AGAIN;
    struct block *found = find_block(tail, seq, part);
    if (!found)
        return ERR_NOTFOUND;
    uint64_t frame = seq - found->first_seq;
    if (frame >= found->frame_count || (frame == 0 ? found->part : 0) != part)
        return ERR_NOTFOUND;
    uint64_t readable = visible - found->first_seq;
    *block = block_ref(found);
    *index = (uint32_t)frame;
    *end = readable < found->frame_count ? (uint32_t)readable : found->frame_count;
    return ERR_OK;
}
