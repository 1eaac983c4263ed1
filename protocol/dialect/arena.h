/* arena — memory that is given back all at once: what is read of one request, or of one frame.
 *
 *   thread  one at a time                                                                        */
#ifndef TOKENLOG_PROTOCOL_DIALECT_ARENA_H
#define TOKENLOG_PROTOCOL_DIALECT_ARENA_H

#include "protocol/base/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* the newest first */
    size_t used;                /* bytes handed out */
    size_t size_max;
};

void arena_init(struct arena *arena, size_t size_max);
void arena_deinit(struct arena *arena);
/* arena_reset — everything handed out is gone; one chunk is kept for the next use. */
void arena_reset(struct arena *arena);

/* arena_take — `size` zeroed bytes, aligned for anything; they hold until arena_reset.
 *   answers  ERR_LIMIT past size_max · faults ERR_NOMEM
 * arena_copy — the same for a copy of `bytes`. */
enum err arena_take(struct arena *arena, size_t size, void **out) NODISCARD;
enum err arena_copy(struct arena *arena, struct slice bytes, struct slice *out) NODISCARD;

#endif
