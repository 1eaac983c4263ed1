/* config_route — the part `routes:` of the configuration, checked as far as it says something by
 * itself. Whether a target's model and capabilities exist is server/route's to say, which knows the
 * catalogue.
 *
 *   routes:
 *     - model: smart                   # the name that callers ask for, exactly; it may also be one
 *                                      # that leads somewhere without the route
 *       strategy: order                # weighted, fastest, cheapest, least_loaded or sticky
 *       targets:
 *         - model: openai/gpt-5        # as a caller would name it, had there been no route
 *           priority: 0                # lower first; the strategy orders those of one priority
 *           weight: 3                  # for weighted, least_loaded and sticky
 *           when:                      # all of it must hold
 *             project: [red]           # one of them
 *             metadata: {team: search} # members of Tokenlog-Metadata
 *             headers: {x-tier: gold}  # fields of the request
 *             needs: [vision]          # capabilities, all of which the request needs
 *             prompt_bytes_max: 200000 # of the request's body
 *         - anthropic/claude-sonnet-4-5        # no more than its model
 *       retries: 2                     # further attempts, over all targets
 *       backoff: exponential           # or linear, constant: before a target is asked again
 *       backoff_ms: 250
 *       backoff_max_ms: 10000
 *       connect_timeout_ms: 5000       # default for the three: the server's
 *       first_byte_timeout_ms: 20000
 *       idle_timeout_ms: 60000
 *       on_death: fail                 # or restart, continue: of a stream, in its middle
 *       continue: {by: auto, message: "Go on."}  # by prefill, or by message
 *       hold: tools                    # tool calls are shown once they are whole; default: nothing
 *       hedge: {after: p95}            # or {after_ms: 800}: ask another target meanwhile
 *
 *   thread  start-up; read-only afterwards */
#ifndef TOKENLOG_SERVER_CONFIG_CONFIG_ROUTE_H
#define TOKENLOG_SERVER_CONFIG_CONFIG_ROUTE_H

#include "protocol/base/slice.h"

enum {
    ROUTE_COUNT_MAX = 1024,
    PLAN_TARGETS_MAX = 16,       /* of one route */
    PLAN_RETRIES_MAX = 5,        /* further attempts after the first, over all targets */
    ROUTE_MODEL_BYTES_MAX = 512, /* of a route's or target's name; longer than any provider's */
    ROUTE_MATCH_COUNT_MAX = 16,  /* names of one kind of condition */
    ROUTE_WEIGHT_MAX = 1000000,
    ROUTE_WAIT_MS_MAX = 3600 * 1000, /* of a backoff or a timeout: nobody waits longer */
};

enum plan_backoff { BACKOFF_CONSTANT, BACKOFF_LINEAR, BACKOFF_EXPONENTIAL };
enum plan_death { PLAN_FAIL, PLAN_RESTART, PLAN_CONTINUE };
enum plan_continue { CONTINUE_AUTO, CONTINUE_PREFILL, CONTINUE_MESSAGE };

/* What a route, or a call itself, allows. Times in ms; 0: none, and for a timeout the server's.
 * In the wish of a call PLAN_UNSAID leaves a field to the route; so does NULL. */
enum { PLAN_UNSAID = -1 };
struct plan_policy {
    int64_t retries;
    int backoff; /* enum plan_backoff */
    int64_t backoff_ms, backoff_max_ms;
    int64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms;
    int on_death;    /* enum plan_death */
    int continue_by; /* enum plan_continue */
    const char *continue_message;
    int holds_tools;            /* 1 or 0 */
    int64_t hedge_after_ms;     /* 0: never, unless… */
    int64_t hedge_after_permil; /* …this quantile of the target's time to first event, in 1/1000 */
};

enum route_strategy {
    ROUTE_ORDER,
    ROUTE_WEIGHTED,
    ROUTE_FASTEST,
    ROUTE_CHEAPEST,
    ROUTE_LEAST_LOADED,
    ROUTE_STICKY,
    ROUTE_STRATEGY_COUNT
};
/* Their words in the configuration: "least_loaded". */
const char *route_strategy_name(enum route_strategy strategy);
const char *plan_backoff_name(enum plan_backoff backoff);
const char *plan_death_name(enum plan_death death);
const char *plan_continue_name(enum plan_continue by);

struct route_match {
    const char *name, *value;
};
/* Conditions of a target; what is empty or 0 asks for nothing. */
struct route_when {
    const char *projects[ROUTE_MATCH_COUNT_MAX + 1];        /* NULL-terminated, as is `needs` */
    const char *needs[ROUTE_MATCH_COUNT_MAX + 1];           /* names of capabilities */
    struct route_match metadata[ROUTE_MATCH_COUNT_MAX + 1]; /* the last has no name */
    struct route_match headers[ROUTE_MATCH_COUNT_MAX + 1];
    int64_t prompt_bytes_max;
};
struct route_target_config {
    const char *where; /* for messages: "file:line: route `name`" */
    const char *model;
    int64_t weight, priority;
    struct route_when when;
};
struct route_config {
    const char *where; /* likewise */
    const char *model; /* the name that callers ask for */
    int strategy;      /* enum route_strategy */
    struct plan_policy policy;
    struct route_target_config *targets;
    size_t target_count;
};

/* The policy of a route that says nothing of it. */
extern const struct plan_policy route_policy_default;

#endif
