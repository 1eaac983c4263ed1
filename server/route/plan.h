/* plan — one request's way through its route: whom to ask next, and what to wait for.
 *
 *   model name ─▶ route of the configuration ─▶ targets whose conditions hold, in the strategy's order ─▶ plan
 *              └▶ no such route: the one target that catalogue_pick finds
 *
 *   plan_make ─▶ plan_next ─▶ (an attempt is made) ─▶ plan_ended ─▶ plan_next … ─▶ ERR_CLOSED
 *
 * A plan decides and never does: it holds no transfer and no timer, and time and chance are given to it,
 * so that a test can say what it will answer. What it learns of a target it tells `health`, which all
 * plans share.
 *
 * Without a route nothing is tried twice unless the call asks for it: a second request may cost a
 * second time.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_ROUTE_PLAN_H
#define TOKENLOG_SERVER_ROUTE_PLAN_H

#include "protocol/http/header.h"
#include "server/route/catalogue.h"
#include "server/route/health.h"

enum {
    PLAN_TARGETS_MAX = 16, /* of one route */
    PLAN_RETRIES_MAX = 5,  /* further attempts after the first, over all targets */
    PLAN_WHY_BYTES = 1024,
};

enum plan_death { PLAN_FAIL, PLAN_RESTART, PLAN_CONTINUE };

/* What the route, or the call itself, allows. Times in ms; 0: none. */
struct plan_policy {
    int64_t retries;
    enum backoff { BACKOFF_CONSTANT, BACKOFF_LINEAR, BACKOFF_EXPONENTIAL } backoff;
    int64_t backoff_ms, backoff_max_ms;
    int64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms;
    enum plan_death on_death;
    enum plan_continue { CONTINUE_AUTO, CONTINUE_PREFILL, CONTINUE_MESSAGE } continue_by;
    const char *continue_message;
    bool holds_tools;
    int64_t hedge_after_ms;     /* 0: never, unless… */
    int64_t hedge_after_permil; /* …this quantile of the target's time to first token, in 1/1000 */
};

/* What is known of a call. Borrowed for plan_make. */
struct plan_ask {
    struct slice model;            /* as the caller named it */
    struct slice project;          /* its name */
    const struct headers *headers; /* conditions may ask for them */
    struct slice metadata;         /* Tokenlog-Metadata, or empty */
    uint32_t needs;                /* capabilities: 1u << CAPABILITY_… */
    uint64_t prompt_bytes;
    struct slice session; /* for `sticky`; empty: the project */
    const struct plan_policy
        *wish; /* the call's own, over the route's; NULL: none. A field of -1 is not said */
    int64_t now_ns;
    uint64_t random;
};

struct plan_target {
    struct route_choice choice; /* the catalogue's, which the plan refers to */
    size_t key;                 /* which of the provider's keys */
    size_t index;               /* of the target in its route */
    const char *name;           /* "provider/model", for the record and Tokenlog-Target */
    bool takes_prefill;
};

/* How an attempt ended, and what it showed. */
struct plan_outcome {
    enum plan_end {
        PLAN_SERVED,      /* well; or the caller's own fault: a 400 would be one everywhere */
        PLAN_NOT_SENT,    /* refused, name not found, connect timeout: nothing was dispatched */
        PLAN_TIMED_OUT,   /* no head, or no first event, in time */
        PLAN_STATUS,      /* 408, 429, 5xx, 529: `status` says which */
        PLAN_ERROR_EVENT, /* an error inside a 200, before anything was shown */
        PLAN_BROKEN,      /* it died before anything was shown */
        PLAN_DIED,        /* it died in mid-stream */
        PLAN_STOPPED,     /* we gave it up: says nothing of the target */
    } end;
    int status;             /* 0: no head came */
    int64_t retry_after_ms; /* from its head; -1: none */
    int64_t first_event_ms; /* from dispatch; -1: none came */
    int64_t now_ns;
};

struct plan;
/* plan_make — keeps a reference of the catalogue, and copies what it needs of the ask.
 *   answers  catalogue_pick's, with a sentence in `why`; ERR_NOTFOUND also where no target's
 *            conditions hold
 *   faults   ERR_NOMEM */
enum err plan_make(struct catalogue *catalogue, struct health *health, const struct plan_ask *ask,
    struct plan **out, struct buf *why) NODISCARD;
struct plan *plan_free(struct plan *plan); /* NULL is taken; returns NULL */
const struct plan_policy *plan_policy(const struct plan *plan);
/* plan_next — the target to ask now; from here on it counts as busy, until plan_ended.
 *   answers  ERR_AGAIN not before *at_ns (backoff, Retry-After) · ERR_CLOSED there is none, or no
 *            further attempt is allowed: the last outcome stands */
enum err plan_next(
    struct plan *plan, int64_t now_ns, struct plan_target *out, int64_t *at_ns) NODISCARD;
/* plan_hedge — another target to ask meanwhile, and when.   answers ERR_CLOSED none */
enum err plan_hedge(
    struct plan *plan, int64_t now_ns, struct plan_target *out, int64_t *at_ns) NODISCARD;
/* plan_ended — once for each target that plan_next or plan_hedge gave. */
void plan_ended(
    struct plan *plan, const struct plan_target *target, const struct plan_outcome *outcome);
/* plan_is_worth_more — whether after this outcome another attempt would be made, now or later. */
bool plan_is_worth_more(const struct plan *plan, const struct plan_outcome *outcome);

#endif
