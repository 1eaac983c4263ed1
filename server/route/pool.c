/* pool — pieces of PIECE_BYTES in a list, newest first; what is larger gets a piece of its own. */
#include "server/route/pool.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 64 * 1024 /* the built-in catalogue takes about six */ };

struct pool_piece {
    struct pool_piece *next;
    size_t size;
    alignas(max_align_t) uint8_t bytes[];
};

static enum err add_piece(struct pool *pool, size_t size)
{
    struct pool_piece *piece = calloc(1, sizeof *piece + size);
    if (!piece)
        return fault(ERR_NOMEM, "catalogue");
    piece->size = size;
    piece->next = pool->pieces;
    pool->pieces = piece;
    pool->used = 0;
    return ERR_OK;
}

enum err pool_take(struct pool *pool, size_t size, void **out)
{
    ASSERT(size <= SIZE_MAX / 2);
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!pool->pieces || pool->pieces->size - pool->used < size)
        TRY(add_piece(pool, size > PIECE_BYTES ? size : PIECE_BYTES));
    *out = pool->pieces->bytes + pool->used;
    pool->used += size;
    return ERR_OK;
}

enum err pool_text(struct pool *pool, struct slice text, const char **out)
{
    void *copy;
    TRY(pool_take(pool, text.size + 1, &copy));
    if (text.size)
        memcpy(copy, text.data, text.size);
    *out = copy;
    return ERR_OK;
}

void pool_deinit(struct pool *pool)
{
    while (pool->pieces) {
        struct pool_piece *piece = pool->pieces;
        pool->pieces = piece->next;
        free(piece);
    }
}
