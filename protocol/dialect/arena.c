/* arena — chunks in a list; the newest is bumped until it is full. */
#include "protocol/dialect/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 8 * 1024 /* a request of a few messages; a larger piece gets its own */ };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    alignas(max_align_t) uint8_t bytes[];
};

void arena_init(struct arena *arena, size_t size_max)
{
    *arena = (struct arena){.size_max = size_max};
}

static void free_after(struct arena_chunk *chunk)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void arena_deinit(struct arena *arena)
{
    free_after(arena->chunks);
    *arena = (struct arena){.size_max = arena->size_max};
}

void arena_reset(struct arena *arena)
{
    arena->used = 0;
    if (!arena->chunks)
        return;
    free_after(arena->chunks->next);
    arena->chunks->next = NULL;
    arena->chunks->used = 0;
}

static enum err add_chunk(struct arena *arena, size_t size)
{
    size = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk)
        return fault(ERR_NOMEM, "an arena chunk of %zu bytes", size);
    *chunk = (struct arena_chunk){.next = arena->chunks, .size = size};
    arena->chunks = chunk;
    return ERR_OK;
}

enum err arena_take(struct arena *arena, size_t size, void **out)
{
    if (size > arena->size_max - arena->used)
        return ERR_LIMIT;
    size_t rounded =
        (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    struct arena_chunk *chunk = arena->chunks;
    if (!chunk || rounded > chunk->size - chunk->used)
        TRY(add_chunk(arena, rounded));
    chunk = arena->chunks;
    *out = memset(chunk->bytes + chunk->used, 0, rounded);
    chunk->used += rounded;
    arena->used += size;
    return ERR_OK;
}

enum err arena_copy(struct arena *arena, struct slice bytes, struct slice *out)
{
    void *copy;
    TRY(arena_take(arena, bytes.size, &copy));
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    *out = slice_of(copy, bytes.size);
    return ERR_OK;
}
