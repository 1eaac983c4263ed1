/* slab — see slab.h. Where there are no huge pages it is memory like any other. */
#include "storage/slab.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "protocol/base/err.h"
#include "storage/disk.h"

enum { HUGE_PAGE_BYTES = 2 * 1024 * 1024 };
static_assert((int)BATCH_BUFFER_COUNT % (int)SLAB_BUFFERS == 0, "whole slabs");
static_assert((int)SLAB_BUFFERS * (int)BATCH_BYTES == (int)HUGE_PAGE_BYTES, "one fills a page");

void slabs_init(struct slabs *slabs, size_t buffer_bytes)
{
    ASSERT(buffer_bytes % DISK_ALIGN == 0);
    *slabs = (struct slabs){.buffer_bytes = buffer_bytes};
}

static uint8_t *allocate(size_t bytes)
{
    bool is_huge = bytes == HUGE_PAGE_BYTES;
    uint8_t *memory = aligned_alloc(is_huge ? (size_t)HUGE_PAGE_BYTES : (size_t)DISK_ALIGN, bytes);
    if (memory && is_huge)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* a hint */
    return memory;
}

uint8_t *slabs_take(struct slabs *slabs)
{
    struct slab *end = slabs->slabs + BATCH_BUFFER_COUNT / SLAB_BUFFERS;
    for (struct slab *slab = slabs->slabs; slab < end; slab++) {
        if (!slab->memory && !(slab->memory = allocate(SLAB_BUFFERS * slabs->buffer_bytes)))
            return NULL;
        for (size_t i = 0; i < SLAB_BUFFERS; i++) {
            if (slab->is_taken[i])
                continue;
            slab->is_taken[i] = true;
            return slab->memory + i * slabs->buffer_bytes;
        }
    }
    return NULL;
}

static bool slab_is_idle(const struct slab *slab)
{
    for (size_t i = 0; i < SLAB_BUFFERS; i++)
        if (slab->is_taken[i])
            return false;
    return true;
}

static bool slab_give(struct slab *slab, size_t buffer_bytes, const uint8_t *buffer)
{
    for (size_t i = 0; slab->memory && i < SLAB_BUFFERS; i++) {
        if (slab->memory + i * buffer_bytes != buffer)
            continue;
        ASSERT(slab->is_taken[i]);
        slab->is_taken[i] = false;
        if (slab_is_idle(slab)) {
            free(slab->memory);
            slab->memory = NULL;
        }
        return true;
    }
    return false;
}

void slabs_give(struct slabs *slabs, uint8_t *buffer)
{
    bool is_ours = !buffer;
    for (size_t i = 0; i < BATCH_BUFFER_COUNT / SLAB_BUFFERS && !is_ours; i++)
        is_ours = slab_give(&slabs->slabs[i], slabs->buffer_bytes, buffer);
    ASSERT(is_ours);
}
