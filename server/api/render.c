/* render — see render.h. First what fits is counted, then it is written: one allocation of about the
 * right size. */
#include "server/api/render.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/http/sse.h"

enum { DECIMAL_BYTES_MAX = 20 };

static_assert(sizeof "id: " - 1 + DECIMAL_BYTES_MAX + 1 + 2 <= RENDER_FRAME_BYTES_MAX, "it fits");
static_assert((int)RENDER_BYTES_MAX >= (int)FRAME_BYTES_MAX + (int)RENDER_FRAME_BYTES_MAX,
    "any frame fits a whole piece");
static_assert(
    (uint64_t)STORED_RAW_BYTES_MAX + (uint64_t)STORED_FRAMES_MAX * RENDER_FRAME_BYTES_MAX <
        UINT32_MAX,
    "32 bits hold a block's size");

/* The index past the last frame that fits, and what they may come to. */
static uint32_t count_fitting(const struct reader_view *view, size_t room, size_t *size)
{
    uint32_t index = view->index;
    *size = 0;
    if (room > RENDER_BYTES_MAX)
        room = RENDER_BYTES_MAX;
    for (; index < view->end; index++) {
        size_t more = block_frame(view->block, index).size + RENDER_FRAME_BYTES_MAX;
        if (more > room - *size)
            break;
        *size += more;
    }
    return index;
}

static uint8_t *put_id(uint8_t *at, uint64_t id)
{
    uint8_t digits[DECIMAL_BYTES_MAX], *first = digits + sizeof digits;
    do
        *--first = (uint8_t)('0' + id % 10);
    while (id /= 10);
    size_t count = (size_t)(digits + sizeof digits - first);
    memcpy(at, "id: ", 4);
    memcpy(at + 4, first, count);
    at[4 + count] = '\n';
    return at + 5 + count;
}

static bool ends_line(struct slice frame)
{
    uint8_t last = frame.size ? frame.data[frame.size - 1] : '\n';
    return last == '\n' || last == '\r';
}

/* A frame that is not its event's first has had its id line; one that is not the last gets no end. */
static uint8_t *put_frame(uint8_t *at, const struct block *block, uint32_t index)
{
    struct slice frame = block_frame(block, index);
    uint64_t seq = block_seq(block, index);
    bool is_first = index > 0 || block->part == 0;
    if (is_first)
        at = put_id(at, seq + 1);
    if (is_first && seq == 0)
        frame = sse_without_bom(frame);
    if (frame.size)
        memcpy(at, frame.data, frame.size);
    at += frame.size;
    if (ends_line(frame) || (block->frames[index].flags & FRAME_MORE))
        return at;
    memcpy(at, "\n\n", 2);
    return at + 2;
}

enum err render_sse(const struct reader_view *view, size_t room, struct rendering *out)
{
    size_t size;
    uint32_t end = count_fitting(view, room, &size);
    if (end == view->index)
        return ERR_LIMIT;
    uint8_t *bytes = malloc(size), *at = bytes;
    if (!bytes)
        return fault(ERR_NOMEM, "a rendering of %zu bytes", size);
    for (uint32_t index = view->index; index < end; index++)
        at = put_frame(at, view->block, index);
    ASSERT((size_t)(at - bytes) <= size);
    *out = (struct rendering){bytes, (size_t)(at - bytes), end};
    return ERR_OK;
}

enum err render_sse_block(const struct block *stored, struct block **out)
{
    struct block *block;
    uint32_t size = stored->size + stored->frame_count * RENDER_FRAME_BYTES_MAX;
    TRY(block_derive(stored, size, &block));
    for (uint32_t index = 0; index < stored->frame_count; index++) {
        uint8_t *at = block_tip(block);
        block_put(block, stored, (size_t)(put_frame(at, stored, index) - at));
    }
    *out = block;
    return ERR_OK;
}
