/* strategy — see the header.
 *
 * weighted and sticky are one: each target draws a time from an exponential distribution whose rate is
 * its weight, and the smallest is first. For sticky the draw is a hash of session and target, and so the
 * same each time. Logarithms are of whole numbers: every machine draws the same. */
#include "server/route/strategy.h"

#include <string.h>

enum {
    LOG_BITS = 32,      /* behind the point */
    RANK_SHIFT = 20,    /* what division by a weight may cost: ROUTE_WEIGHT_MAX is less */
    LOAD_MAX = 1 << 30, /* attempts under way; above that all are alike */
};

/* -log2(x / 2^64), with LOG_BITS bits behind the point; x is not 0. */
static uint64_t minus_log2(uint64_t x)
{
    int lead = __builtin_clzll(x);
    uint64_t fraction = 0, mantissa = x << lead; /* in [2^63, 2^64): 1 to 2 */
    for (int bit = 0; bit < LOG_BITS; bit++) {
        unsigned __int128 square = ((unsigned __int128)mantissa * mantissa) >> 63;
        bool is_two = square >> 64;
        fraction = fraction << 1 | is_two;
        mantissa = (uint64_t)(is_two ? square >> 1 : square);
    }
    return ((uint64_t)(lead + 1) << LOG_BITS) - fraction;
}

static uint64_t draw(uint64_t chance, int64_t weight)
{
    return (minus_log2(chance ? chance : 1) << RANK_SHIFT) / (uint64_t)weight;
}

static uint64_t session_hash(struct slice session, const char *target)
{
    const struct slice parts[] = {session, slice_text(target)};
    uint8_t digest[SHA256_BYTES];
    uint64_t hash;
    sha256_parts(parts, 2, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

static uint64_t rank_by_time(const struct health_target *health, int64_t now_ns)
{
    int64_t us = health_first_event_us(health, now_ns);
    if (us >= 0)
        return 1 + (uint64_t)us;
    return health_busy(health) ? UINT64_MAX : 0;
}

static uint64_t rank_by_price(const struct model *known)
{
    if (!known || known->prices[PRICE_input] == PRICE_UNKNOWN ||
        known->prices[PRICE_output] == PRICE_UNKNOWN)
        return UINT64_MAX;
    return (uint64_t)known->prices[PRICE_input] + (uint64_t)known->prices[PRICE_output];
}

static uint64_t rank_by_load(const struct health_target *health, int64_t weight)
{
    uint64_t busy = health_busy(health);
    return ((busy < LOAD_MAX ? busy : LOAD_MAX) << RANK_SHIFT) / (uint64_t)weight;
}

uint64_t strategy_rank(const struct strategy_ask *ask, const struct route_target *target,
    const struct health_target *health)
{
    ASSERT(target->weight > 0);
    switch (ask->strategy) {
    case ROUTE_ORDER:
    case ROUTE_STRATEGY_COUNT: break;
    case ROUTE_WEIGHTED: return draw(ask->random, target->weight);
    case ROUTE_FASTEST: return rank_by_time(health, ask->now_ns);
    case ROUTE_CHEAPEST: return rank_by_price(target->choice.known);
    case ROUTE_LEAST_LOADED: return rank_by_load(health, target->weight);
    case ROUTE_STICKY: return draw(session_hash(ask->session, target->name), target->weight);
    }
    return 0;
}
