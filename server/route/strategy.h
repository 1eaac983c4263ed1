/* strategy — the order in which a route's targets of one priority are asked.
 *
 *   order         as they stand in the route
 *   weighted      by chance; the first is each with a probability in proportion to its weight
 *   fastest       by time to first event; one that was not measured of late is tried, if it is idle
 *   cheapest      by what a token of input and one of output cost together; unknown prices last
 *   least_loaded  by attempts under way to a unit of weight
 *   sticky        by session: rendezvous hashing, so that without a target only its sessions move
 *
 *   source  Efraimidis, Spirakis, "Weighted random sampling with a reservoir", 2006; Thaler,
 *           Ravishankar, "Using name-based mappings to increase hit rates", 1998
 *   thread  loop; pure */
#ifndef TOKENLOG_SERVER_ROUTE_STRATEGY_H
#define TOKENLOG_SERVER_ROUTE_STRATEGY_H

#include "server/route/health.h"
#include "server/route/routes.h"

struct strategy_ask {
    enum route_strategy strategy;
    struct slice session;
    int64_t now_ns;
    uint64_t random; /* another one for each target */
};
/* strategy_rank — the lower, the sooner. Targets of equal rank are asked as they stand. */
uint64_t strategy_rank(const struct strategy_ask *ask, const struct route_target *target,
    const struct health_target *health);

#endif
