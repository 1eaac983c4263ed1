/* block_cache — decoded blocks of the store, and what readers have made of them (block_derive), kept
 * for the next reader: a hit costs no read transaction, no decompression and no other thread. What
 * is stored of a stream never changes, so that nothing in here can be stale; a deleted stream is
 * forgotten.
 *
 * Bounded by bytes; what was not asked for longest goes first. A block that is in use elsewhere
 * stays with its references.
 *
 *   thread  any: one lock, held for a search or an insertion                                   */
#ifndef TOKENLOG_STORAGE_BLOCK_CACHE_H
#define TOKENLOG_STORAGE_BLOCK_CACHE_H

#include "storage/block.h"

struct block_cache;

enum block_kind {
    BLOCK_STORED,
    BLOCK_DERIVED, /* in one way: a second one would be another kind */
};

/* block_cache_new — bytes_max 0: nothing is kept. faults ERR_NOMEM */
enum err block_cache_new(uint64_t bytes_max, struct block_cache **out) NODISCARD;
struct block_cache *block_cache_free(struct block_cache *cache); /* NULL is taken */

/* block_cache_find — the block of stream `number` that holds the frame at `at`, a new reference;
 *   NULL: it is not here. A NULL cache has nothing.
 * block_cache_put — keeps a reference, in place of smaller blocks that it covers. Left out where
 *   memory is short, or the stream has been forgotten.
 * block_cache_forget — everything of a stream; what a read that began before brings is not taken. */
struct block *block_cache_find(struct block_cache *cache, enum block_kind kind, uint64_t number,
    struct block_position at) NODISCARD;
void block_cache_put(
    struct block_cache *cache, enum block_kind kind, uint64_t number, struct block *block);
void block_cache_forget(struct block_cache *cache, uint64_t number);

struct block_cache_status {
    uint64_t bytes, blocks, hits, misses;
};
void block_cache_status(struct block_cache *cache, struct block_cache_status *out);

#endif
