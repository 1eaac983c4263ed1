/* fuzz — what the fuzzers share: cuts chosen by the fuzzer, and bytes held in allocations of their
 * exact size, so that a read past them is caught.
 *
 * An input of a fuzzer of streams is the text itself; its cuts are made from a hash of it, so that
 * the corpus is plain text that a person can write and read. */
#ifndef TOKENLOG_TESTS_FUZZ_FUZZ_H
#define TOKENLOG_TESTS_FUZZ_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "protocol/base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* fuzz_copy — a copy that the caller frees. */
static inline uint8_t *fuzz_copy(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.size ? bytes.size : 1);
    ASSERT(copy);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

struct fuzz_cuts {
    uint64_t state;
    size_t size_max;
};

/* fuzz_cuts_init — `salt` gives other cuts of the same input. */
static inline struct fuzz_cuts fuzz_cuts_init(struct slice input, uint64_t salt)
{
    struct fuzz_cuts cuts = {.state = 0xcbf29ce484222325u ^ (salt * 0x9e3779b97f4a7c15u)};
    for (size_t i = 0; i < input.size; i++)
        cuts.state = (cuts.state ^ input.data[i]) * 0x100000001b3u;
    cuts.state |= 1;
    cuts.size_max = 1 + (cuts.state >> 40) % (salt % 2 ? 8 : 64);
    return cuts;
}

/* fuzz_cuts_next — the size of the next part, 1 … `left` (xorshift64). */
static inline size_t fuzz_cuts_next(struct fuzz_cuts *cuts, size_t left)
{
    cuts->state ^= cuts->state << 13;
    cuts->state ^= cuts->state >> 7;
    cuts->state ^= cuts->state << 17;
    size_t size = 1 + cuts->state % cuts->size_max;
    return size < left ? size : left;
}

#endif
