/* slab — the memory of the journal's batch buffers: two of full size share a huge page, which a
 * device is told of as one piece. Direct writes of 1 MiB out of huge pages were 10 to 90 % faster
 * than out of small ones, at half to two thirds of the CPU.
 *
 *   thread  the owner's */
#ifndef TOKENLOG_STORAGE_SLAB_H
#define TOKENLOG_STORAGE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/bounds.h"

enum { SLAB_BUFFERS = 2 };

struct slab {
    uint8_t *memory; /* NULL: none of its buffers is in use */
    bool is_taken[SLAB_BUFFERS];
};

struct slabs {
    size_t buffer_bytes;
    struct slab slabs[BATCH_BUFFER_COUNT / SLAB_BUFFERS];
};

/* slabs_init — buffers of `buffer_bytes`, a multiple of DISK_ALIGN.
 * slabs_take — one, aligned to DISK_ALIGN; NULL: out of memory, or all BATCH_BUFFER_COUNT are taken.
 * slabs_give — it goes back. All must have before the slabs are dropped. NULL is taken. */
void slabs_init(struct slabs *slabs, size_t buffer_bytes);
uint8_t *slabs_take(struct slabs *slabs);
void slabs_give(struct slabs *slabs, uint8_t *buffer);

#endif
