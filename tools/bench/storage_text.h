/* storage_text — events as OpenAI's chat completions have them, with made-up words in a natural
 * spread, so that they compress about as real ones do: each token is another, the rest repeats.
 *
 *   thread  one; the same events each time */
#ifndef TOKENLOG_TOOLS_BENCH_STORAGE_TEXT_H
#define TOKENLOG_TOOLS_BENCH_STORAGE_TEXT_H

#include "protocol/base/slice.h"

struct text_pool;

/* text_pool_new — events of exactly `size` bytes each. faults ERR_NOMEM */
enum err text_pool_new(size_t size, struct text_pool **out) NODISCARD;
struct text_pool *text_pool_free(struct text_pool *pool); /* NULL is taken; returns NULL */
/* text_event — event `seq` of a stream; borrowed from the pool. Two streams have different ones. */
struct slice text_event(const struct text_pool *pool, uint64_t stream, uint64_t seq);

#endif
