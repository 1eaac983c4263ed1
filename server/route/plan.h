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
 * Whom to ask: of those who may be asked now the least tried, in the strategy's order; if none may, the
 * soonest. Another target is asked at once, and so is another key; one that has failed in this call only
 * after the backoff. A wait that is longer than backoff_max_ms, for a Retry-After, a breaker or a key, is
 * no plan. A key that was refused is asked again only where nothing else is left and nothing was asked
 * yet: then the provider's own answer says best what is wrong.
 *
 * Without a route nothing is tried twice unless the call asks for it (a second request may cost a second
 * time), and no breaker or resting key keeps a call from its only target.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_ROUTE_PLAN_H
#define TOKENLOG_SERVER_ROUTE_PLAN_H

#include "protocol/http/header.h"
#include "server/route/catalogue.h"
#include "server/route/health.h"
#include "server/route/policy.h"

enum {
    PLAN_WHY_BYTES = 4096, /* a good bound for `why` */
    /* That plan_next and plan_hedge give: those that are made, and targets that turn out unfit. */
    PLAN_ATTEMPTS_MAX = 1 + PLAN_RETRIES_MAX + PLAN_TARGETS_MAX,
};

/* What is known of a call. Borrowed for plan_make. */
struct plan_ask {
    struct slice model;            /* as the caller named it */
    struct slice project;          /* its name */
    const struct headers *headers; /* for conditions, and the caller's keys; NULL: none */
    struct slice metadata;         /* Tokenlog-Metadata, or empty */
    uint32_t needs;                /* capabilities: 1u << CAPABILITY_… */
    uint64_t prompt_bytes;
    struct slice session; /* for `sticky`; empty: the project */
    /* The call's own, over the route's; NULL: none. Begin with plan_policy_unsaid. */
    const struct plan_policy *wish;
    int64_t now_ns;
    uint64_t random;
};

struct plan_target {
    struct route_choice choice; /* the catalogue's, or the plan's: valid as long as the plan is */
    size_t key;                 /* which of the provider's keys */
    const char *key_name;       /* plan_key_name's, for the record */
    size_t index;               /* of the target in its route */
    size_t attempt;             /* of the plan, from 0 */
    const char *name;           /* "provider/model", for the record and Tokenlog-Target */
    bool takes_prefill;         /* an assistant's message at the end is gone on with */
};

/* plan_key_name — what a key is called where people read it: by its place among the provider's, "key 2",
 * which says nothing of what it is; "" if the provider has none. Static. One that the call brings is
 * "caller's": it takes no turn, and does not rest. */
const char *plan_key_name(const struct provider *provider, size_t key);

/* How an attempt ended, and what it showed. */
struct plan_outcome {
    enum plan_end {
        PLAN_SERVED,      /* well; or the caller's own fault: a 400 would be one everywhere */
        PLAN_NOT_SENT,    /* refused, name not found, connect timeout: nothing was dispatched */
        PLAN_TIMED_OUT,   /* no head, or no first event, in time */
        PLAN_STATUS,      /* 401, 403, 408, 429, 5xx, 529: `status` says which */
        PLAN_ERROR_EVENT, /* an error inside a 200, before anything was shown */
        PLAN_BROKEN,      /* it died before anything was shown */
        PLAN_DIED,        /* it died in mid-stream */
        PLAN_STOPPED,     /* we gave it up: says nothing of the target */
        PLAN_UNFIT, /* it cannot be told this, and was not asked: it is none of the attempts */
    } end;
    int status;             /* 0: no head came */
    int64_t retry_after_ms; /* from its head; -1: none */
    int64_t first_event_ms; /* from dispatch; -1: none came */
    int64_t now_ns;
};

struct plan;
/* plan_make — keeps a reference of the catalogue, and copies what it needs of the ask. `health`
 * outlives it.
 *   answers  catalogue_pick's, with a sentence in `why`; ERR_NOTFOUND also where no target's
 *            conditions hold
 *   faults   ERR_NOMEM */
enum err plan_make(struct catalogue *catalogue, struct health *health, const struct plan_ask *ask,
    struct plan **out, struct buf *why) NODISCARD;
/* plan_of_choice — of a call whose path names its provider: that one target, and no route. The choice is
 * the catalogue's; its model is copied. Of the ask: headers, for keys, wish and random.
 *   faults ERR_NOMEM */
enum err plan_of_choice(struct catalogue *catalogue, struct health *health,
    const struct plan_ask *ask, const struct route_choice *choice, struct plan **out) NODISCARD;
/* plan_free — all attempts have ended. NULL is taken; returns NULL. */
struct plan *plan_free(struct plan *plan);
const struct plan_policy *plan_policy(const struct plan *plan);
/* plan_route — the route's name; NULL: there is none. */
const char *plan_route(const struct plan *plan);
/* plan_next — the target to ask now; from here on it counts as busy, until plan_ended.
 *   answers  ERR_AGAIN not before *at_ns (backoff, Retry-After) · ERR_CLOSED there is none, or no
 *            further attempt is allowed: the last outcome stands. Where there is none, since nobody
 *            could be asked at all, plan_why says why and *at_ns when that may change (0: unknown) */
enum err plan_next(
    struct plan *plan, int64_t now_ns, struct plan_target *out, int64_t *at_ns) NODISCARD;
/* plan_why — after plan_next's ERR_CLOSED: a sentence.   answers buf_append's */
enum err plan_why(const struct plan *plan, int64_t now_ns, struct buf *out) NODISCARD;
/* plan_hedge — another target to ask meanwhile: at most one for what plan_next gave last, and one of
 * the attempts that are allowed.
 *   answers  ERR_AGAIN not before *at_ns · ERR_CLOSED none */
enum err plan_hedge(
    struct plan *plan, int64_t now_ns, struct plan_target *out, int64_t *at_ns) NODISCARD;
/* plan_shows — the first good event of this attempt has come. Optional (plan_ended tells the same, but
 * a stream may be long, and a half-open breaker waits for it); once. */
void plan_shows(
    struct plan *plan, const struct plan_target *target, int64_t first_event_ms, int64_t now_ns);
/* plan_ended — once for each target that plan_next or plan_hedge gave: as soon as its end is known, which
 * for a failed status is its head. */
void plan_ended(
    struct plan *plan, const struct plan_target *target, const struct plan_outcome *outcome);
/* plan_is_worth_more — whether plan_next has another target, now or later; while an attempt is open,
 * whether one might follow. */
bool plan_is_worth_more(const struct plan *plan, int64_t now_ns);

#endif
