/* routes_listing — GET /v1/routes: the configuration's routes, and how their targets are; and the same
 * of the targets for /metrics.
 *
 *   {"object": "list", "data": [{"model": "smart", "strategy": "order", "retries": 2,
 *     "on_death": "fail", "targets": [{"model": "openai/gpt-5", "weight": 1, "priority": 0,
 *       "state": "open", "open_for_ms": 800, "busy": 3, "requests": 120, "failures": 7,
 *       "first_event_ms": 312, "p50_ms": 290, "p95_ms": 800,
 *       "keys": [{"key": "key 1", "state": "ready"},
 *                {"key": "key 2", "state": "limited", "for_ms": 12000},
 *                {"key": "key 3", "state": "refused"}]}]}]}
 *
 * What is not known is null. Health is of this process: a restart forgets it, a reload does not.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_ROUTES_LISTING_H
#define TOKENLOG_SERVER_API_ROUTES_LISTING_H

#include "server/api/api.h"

enum {
    TARGETS_MEASURED_MAX =
        256, /* in /metrics: the first that routes name, so that it stays small */
};

/* routes_measure — Prometheus' text format, appended: breaker, attempts and times of each target that a
 * route has.   answers  buf_append's · faults ERR_NOMEM */
enum err routes_measure(struct catalogues *catalogues, const struct health *health, int64_t now_ns,
    struct buf *out) NODISCARD;

#endif
