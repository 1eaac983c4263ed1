/* tail_block — the blocks of a tail: what its events lie in until the store has them.
 *
 *   thread  the loop's; a sealed block is also read by the archiver                            */
#ifndef TOKENLOG_STORAGE_TAIL_BLOCK_H
#define TOKENLOG_STORAGE_TAIL_BLOCK_H

#include "storage/tail.h"

/* tail_room — the open block takes `size` more bytes (a new one if it must).
 * tail_put — append to it one frame: the whole of the next event; tail_room went before.
 * tail_add_part — a new, sealed block of one part of the next event. On failure nothing is added.
 *   faults ERR_NOMEM */
enum err tail_room(struct tail *tail, size_t size) NODISCARD;
void tail_put(struct tail *tail, struct slice bytes, int64_t time_ns);
enum err tail_add_part(struct tail *tail, uint32_t part, uint64_t offset, struct slice bytes,
    int64_t time_ns, bool is_last) NODISCARD;
/* tail_seal — the open block takes no more. tail_drop_blocks — the last `count`.
 * tail_drop_acknowledged — the first `count`, which have been shipped. */
void tail_seal(struct tail *tail);
void tail_drop_blocks(struct tail *tail, size_t count);
void tail_drop_acknowledged(struct tail *tail, size_t count);

struct tail_block *tail_block_at(const struct tail *tail, size_t index); /* after block_first */
/* tail_has_empty_block — the open one, of which nothing is to be shipped. */
bool tail_has_empty_block(const struct tail *tail);
/* tail_block_is_shippable — sealed, and all its events are durable, to their last part. */
bool tail_block_is_shippable(const struct tail *tail, size_t index);

#endif
