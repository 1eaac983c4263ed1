/* config_route — see the header. */
#include "server/config/config_route.h"

const struct plan_policy route_policy_default = {
    .retries = 2,
    .backoff = BACKOFF_EXPONENTIAL,
    .backoff_ms = 250,
    .backoff_max_ms = 10000,
    .on_death = PLAN_FAIL,
    .continue_by = CONTINUE_AUTO,
};

const char *route_strategy_name(enum route_strategy strategy)
{
    static const char *const names[ROUTE_STRATEGY_COUNT] = {
        [ROUTE_ORDER] = "order",
        [ROUTE_WEIGHTED] = "weighted",
        [ROUTE_FASTEST] = "fastest",
        [ROUTE_CHEAPEST] = "cheapest",
        [ROUTE_LEAST_LOADED] = "least_loaded",
        [ROUTE_STICKY] = "sticky",
    };
    ASSERT(strategy < ROUTE_STRATEGY_COUNT);
    return names[strategy];
}
