/* random — xorshift64*: the same numbers from the same seed, everywhere. Not for secrets. */
#ifndef TOKENLOG_TESTS_SIM_RANDOM_H
#define TOKENLOG_TESTS_SIM_RANDOM_H

#include <stdint.h>

struct sim_random {
    uint64_t state;
};

static inline struct sim_random sim_random_new(uint64_t seed)
{
    seed = (seed + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    return (struct sim_random){(seed ^ (seed >> 29)) | 1};
}

static inline uint64_t sim_random_next(struct sim_random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return (random->state * 0x2545f4914f6cdd1du) >> 7;
}

/* sim_random_below — 0 … bound - 1. */
static inline uint64_t sim_random_below(struct sim_random *random, uint64_t bound)
{
    return sim_random_next(random) % bound;
}

#endif
