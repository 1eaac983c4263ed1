/* plan — see the header.
 *
 * A candidate is a target whose conditions hold; they are sorted once, and stay so. What this call has
 * seen of it is the number of its failures, and the time before which it is not asked again. The rest is
 * health's.
 *
 *   ready ──(asked)──▶ its attempt is open ──▶ ended well, or not to be repeated ─▶ the plan is over
 *     ▲                                    └─▶ failed: not before its backoff ─┐
 *     └────────────────────────────────────────────────────────────────────────┘ */
#include "server/route/plan.h"

#include <inttypes.h>
#include <string.h>

#include "protocol/base/own.h"
#include "server/route/condition.h"
#include "server/route/routes.h"
#include "server/route/strategy.h"

enum { MS_NS = 1000000, SECOND_NS = 1000 * MS_NS, NONE = -1 };
enum { PLAN_SENTENCE_BYTES = PLAN_WHY_BYTES / 2 /* of sixteen targets the first will do */ };

struct candidate {
    const struct route_target *target;
    struct health_target *health;
    size_t index; /* in the route */
    uint64_t rank;
    uint32_t failures;     /* in this call */
    int64_t not_before_ns; /* backoff, Retry-After; INT64_MAX: never again */
    bool has_callers_key;
};

struct attempt {
    struct health_attempt health;
    struct candidate *candidate;
    size_t key;
    bool is_open, has_hedge;
};

struct plan {
    struct catalogue *catalogue;
    struct health *health;
    const struct route *route;  /* NULL: none */
    struct route_target single; /* then */
    struct plan_policy policy;
    struct candidate candidates[PLAN_TARGETS_MAX];
    size_t candidate_count;
    struct attempt attempts[PLAN_ATTEMPTS_MAX];
    size_t attempt_count, unfit_count;
    ptrdiff_t last;  /* attempt that plan_next gave last; NONE */
    bool is_over;    /* an attempt ended in a way that nothing follows */
    bool is_waiting; /* plan_next answered ERR_AGAIN, first at: */
    int64_t waits_since_ns;
    uint64_t random;
    struct buf name; /* of the single target */
    char *message;   /* the wish's, or NULL */
};

static uint64_t draw(struct plan *plan)
{
    /* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
    uint64_t x = plan->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static const struct provider *provider_of(const struct candidate *candidate)
{
    return candidate->target->choice.provider;
}

/* ── making ─────────────────────────────────────────────────────────────────────────────────── */

static enum err add_candidate(struct plan *plan, const struct route_target *target, size_t index,
    struct slice model, const struct strategy_ask *ask)
{
    ASSERT(plan->candidate_count < PLAN_TARGETS_MAX);
    struct candidate *candidate = &plan->candidates[plan->candidate_count];
    *candidate = (struct candidate){.target = target, .index = index, .not_before_ns = INT64_MIN};
    TRY(health_hold(plan->health, target->choice.provider->name, model, &candidate->health));
    plan->candidate_count++;
    candidate->rank = strategy_rank(ask, target, candidate->health);
    return ERR_OK;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *first = a, *second = b;
    int64_t first_priority = first->target->priority, second_priority = second->target->priority;
    if (first_priority != second_priority)
        return first_priority < second_priority ? -1 : 1;
    if (first->rank != second->rank)
        return first->rank < second->rank ? -1 : 1;
    return (first->index > second->index) - (first->index < second->index);
}

static enum err note_misfit(const struct plan *plan, const struct route_target *target,
    const char *problem, struct buf *why)
{
    if (why->size == 0)
        TRY(buf_printf(why, "no target of the route `%s` takes this call: ", plan->route->name));
    else
        TRY(buf_append_text(why, "; "));
    return buf_printf(why, "%s %s", target->name, problem);
}

static enum err take_route(struct plan *plan, const struct plan_ask *ask, struct buf *why)
{
    CLEANUP(buf_deinit) struct buf misfits;
    struct strategy_ask order = {.strategy = (enum route_strategy)plan->route->config->strategy,
        .session = ask->session.size ? ask->session : ask->project,
        .now_ns = ask->now_ns};
    buf_init(&misfits, CONFIG_WHY_BYTES_MAX);
    plan->policy = plan->route->config->policy;
    for (size_t i = 0; i < plan->route->target_count; i++) {
        const struct route_target *target = &plan->route->targets[i];
        const char *problem = condition_fails(target, ask);
        order.random = draw(plan);
        if (problem)
            TRY(note_misfit(plan, target, problem, &misfits));
        else
            TRY(add_candidate(plan, target, i, target->choice.model, &order));
    }
    if (plan->candidate_count == 0) {
        TRY(buf_append(why, slice_sub(buf_slice(&misfits), 0, PLAN_SENTENCE_BYTES)));
        return ERR_NOTFOUND;
    }
    qsort(plan->candidates, plan->candidate_count, sizeof *plan->candidates, compare_candidates);
    return ERR_OK;
}

/* The choice may point into the call, which names `model`. */
static enum err take_single(
    struct plan *plan, const struct route_choice *choice, struct slice model)
{
    struct route_target *single = &plan->single;
    const struct strategy_ask order = {.strategy = ROUTE_ORDER};
    if (choice->model.size)
        model = choice->model;
    TRY(route_choice_name(choice, model, &plan->name));
    TRY(buf_append_byte(&plan->name, 0));
    model = slice_of(plan->name.data + plan->name.size - 1 - model.size, model.size);
    *single = (struct route_target){
        .choice = *choice, .name = (const char *)plan->name.data, .weight = 1};
    if (choice->model.size)
        single->choice.model = model;
    plan->policy = route_policy_default;
    plan->policy.retries = 0;
    return add_candidate(plan, single, 0, model, &order);
}

static enum err take_wish(struct plan *plan, const struct plan_policy *wish)
{
    if (!wish)
        return ERR_OK;
    policy_overlay(&plan->policy, wish);
    if (!wish->continue_message)
        return ERR_OK;
    plan->message = strdup(wish->continue_message);
    if (!plan->message)
        return fault(ERR_NOMEM, "plan");
    plan->policy.continue_message = plan->message;
    return ERR_OK;
}

static void find_callers_keys(struct plan *plan, const struct headers *headers)
{
    for (size_t i = 0; i < plan->candidate_count; i++)
        plan->candidates[i].has_callers_key =
            provider_callers_key(provider_of(&plan->candidates[i]), headers).size > 0;
}

static enum err fill(struct plan *plan, const struct plan_ask *ask, struct buf *why)
{
    struct route_choice choice;
    if (catalogue_route(plan->catalogue, ask->model, &plan->route) == ERR_OK) {
        TRY(take_route(plan, ask, why));
    } else {
        TRY(catalogue_pick(plan->catalogue, ask->model, &choice, why));
        TRY(take_single(plan, &choice, ask->model));
    }
    find_callers_keys(plan, ask->headers);
    return take_wish(plan, ask->wish);
}

static struct plan *plan_new(struct catalogue *catalogue, struct health *health, uint64_t random)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return NULL;
    plan->catalogue = catalogue_ref(catalogue);
    plan->health = health;
    plan->random = random;
    plan->last = NONE;
    buf_init(&plan->name, CATALOGUE_FILE_BYTES_MAX);
    return plan;
}

enum err plan_make(struct catalogue *catalogue, struct health *health, const struct plan_ask *ask,
    struct plan **out, struct buf *why)
{
    struct plan *plan = plan_new(catalogue, health, ask->random);
    enum err err = plan ? fill(plan, ask, why) : fault(ERR_NOMEM, "plan");
    if (err)
        plan_free(plan);
    else
        *out = plan;
    return err;
}

static enum err fill_with(
    struct plan *plan, const struct plan_ask *ask, const struct route_choice *choice)
{
    TRY(take_single(plan, choice, SLICE_NONE));
    find_callers_keys(plan, ask->headers);
    return take_wish(plan, ask->wish);
}

enum err plan_of_choice(struct catalogue *catalogue, struct health *health,
    const struct plan_ask *ask, const struct route_choice *choice, struct plan **out)
{
    struct plan *plan = plan_new(catalogue, health, ask->random);
    enum err err = plan ? fill_with(plan, ask, choice) : fault(ERR_NOMEM, "plan");
    if (err)
        plan_free(plan);
    else
        *out = plan;
    return err;
}

struct plan *plan_free(struct plan *plan)
{
    if (!plan)
        return NULL;
    for (size_t i = 0; i < plan->attempt_count; i++)
        ASSERT(!plan->attempts[i].is_open);
    for (size_t i = 0; i < plan->candidate_count; i++)
        health_release(plan->candidates[i].health);
    buf_deinit(&plan->name);
    free(plan->message);
    catalogue_unref(plan->catalogue);
    free(plan);
    return NULL;
}

const struct plan_policy *plan_policy(const struct plan *plan)
{
    return &plan->policy;
}

const char *plan_route(const struct plan *plan)
{
    return plan->route ? plan->route->name : NULL;
}

/* ── whom to ask ────────────────────────────────────────────────────────────────────────────── */

/* When this one may be asked. Without a route nothing but its own failures keeps a call from it. */
static int64_t ready_ns(const struct plan *plan, const struct candidate *candidate, int64_t now_ns)
{
    int64_t at_ns = candidate->not_before_ns, other_ns;
    if (at_ns < now_ns)
        at_ns = now_ns;
    if (!plan->route)
        return at_ns;
    if (!health_admits(candidate->health, now_ns, &other_ns) && other_ns > at_ns)
        at_ns = other_ns;
    if (candidate->has_callers_key)
        return at_ns;
    other_ns = health_key_again_ns(plan->health, provider_of(candidate), now_ns);
    return other_ns > at_ns ? other_ns : at_ns;
}

/* The least tried of those that are soonest, but `except`; NULL: never any. */
static struct candidate *choose(
    struct plan *plan, const struct candidate *except, int64_t now_ns, int64_t *at_ns)
{
    struct candidate *best = NULL;
    *at_ns = INT64_MAX;
    for (size_t i = 0; i < plan->candidate_count; i++) {
        struct candidate *candidate = &plan->candidates[i];
        int64_t ready = ready_ns(plan, candidate, now_ns);
        bool is_less_tried = best && ready == *at_ns && candidate->failures < best->failures;
        if (candidate == except || (ready >= *at_ns && !is_less_tried))
            continue;
        best = candidate;
        *at_ns = ready;
    }
    return best;
}

static size_t made_count(const struct plan *plan)
{
    return plan->attempt_count - plan->unfit_count;
}

/* One that only refused keys keep from being asked: see the header. NONE: there is none, or no need. */
static ptrdiff_t find_refused(const struct plan *plan, int64_t now_ns)
{
    int64_t again_ns;
    for (size_t i = 0; made_count(plan) == 0 && i < plan->candidate_count; i++) {
        const struct candidate *candidate = &plan->candidates[i];
        if (candidate->not_before_ns <= now_ns && !candidate->has_callers_key &&
            health_admits(candidate->health, now_ns, &again_ns) &&
            health_key_again_ns(plan->health, provider_of(candidate), now_ns) == INT64_MAX)
            return (ptrdiff_t)i;
    }
    return NONE;
}

static bool may_go_on(const struct plan *plan)
{
    return !plan->is_over && made_count(plan) <= (size_t)plan->policy.retries;
}

static bool is_too_late(const struct plan *plan, int64_t now_ns, int64_t at_ns)
{
    int64_t since_ns = plan->is_waiting ? plan->waits_since_ns : now_ns;
    return at_ns == INT64_MAX || at_ns - since_ns > plan->policy.backoff_max_ms * MS_NS;
}

const char *plan_key_name(const struct provider *provider, size_t key)
{
    static const char *const names[PROVIDER_KEY_COUNT_MAX] = {"key 1", "key 2", "key 3", "key 4",
        "key 5", "key 6", "key 7", "key 8", "key 9", "key 10", "key 11", "key 12", "key 13",
        "key 14", "key 15", "key 16"};
    ASSERT(key < PROVIDER_KEY_COUNT_MAX);
    return provider->key_count ? names[key] : "";
}

static enum err begin(
    struct plan *plan, struct candidate *candidate, int64_t now_ns, struct plan_target *out)
{
    size_t key = 0;
    int64_t again_ns;
    const struct route_target *target = candidate->target;
    bool is_ours = !candidate->has_callers_key;
    enum err err = is_ours
                       ? health_key(plan->health, provider_of(candidate), now_ns, &key, &again_ns)
                       : ERR_OK;
    if (err && err != ERR_AGAIN) /* a resting one, where it does not matter */
        return err;
    ASSERT(plan->attempt_count < PLAN_ATTEMPTS_MAX);
    plan->is_waiting = false;
    plan->attempts[plan->attempt_count] = (struct attempt){
        health_begin(candidate->health, now_ns), candidate, .key = key, .is_open = true};
    *out = (struct plan_target){
        .choice = target->choice,
        .key = key,
        .key_name = is_ours ? plan_key_name(provider_of(candidate), key) : "caller's",
        .index = candidate->index,
        .attempt = plan->attempt_count++,
        .name = target->name,
        .takes_prefill =
            route_choice_takes_prefill(&target->choice, health_model(candidate->health)),
    };
    return ERR_OK;
}

enum err plan_next(struct plan *plan, int64_t now_ns, struct plan_target *out, int64_t *at_ns)
{
    *at_ns = 0;
    if (!may_go_on(plan))
        return ERR_CLOSED;
    struct candidate *candidate = choose(plan, NULL, now_ns, at_ns);
    bool is_late = is_too_late(plan, now_ns, *at_ns);
    ptrdiff_t refused = is_late ? find_refused(plan, now_ns) : NONE;
    if (is_late && refused == NONE) {
        *at_ns = *at_ns == INT64_MAX ? 0 : *at_ns;
        return ERR_CLOSED;
    }
    if (is_late)
        candidate = &plan->candidates[refused];
    if (!is_late && *at_ns > now_ns) {
        plan->waits_since_ns = plan->is_waiting ? plan->waits_since_ns : now_ns;
        plan->is_waiting = true;
        return ERR_AGAIN;
    }
    TRY(begin(plan, candidate, now_ns, out));
    plan->last = (ptrdiff_t)out->attempt;
    return ERR_OK;
}

bool plan_is_worth_more(const struct plan *plan, int64_t now_ns)
{
    int64_t soonest_ns = INT64_MAX;
    for (size_t i = 0; i < plan->candidate_count; i++) {
        int64_t at_ns = ready_ns(plan, &plan->candidates[i], now_ns);
        soonest_ns = at_ns < soonest_ns ? at_ns : soonest_ns;
    }
    return may_go_on(plan) &&
           (!is_too_late(plan, now_ns, soonest_ns) || find_refused(plan, now_ns) != NONE);
}

/* ── meanwhile ──────────────────────────────────────────────────────────────────────────────── */

/* How long the last attempt is given before another is made beside it; -1: for ever. */
static int64_t hedge_after_ms(const struct plan *plan)
{
    const struct plan_policy *policy = &plan->policy;
    if (policy->hedge_after_ms > 0)
        return policy->hedge_after_ms;
    if (policy->hedge_after_permil <= 0)
        return -1;
    const struct candidate *candidate = plan->attempts[plan->last].candidate;
    return health_quantile_ms(candidate->health, (int)policy->hedge_after_permil);
}

enum err plan_hedge(struct plan *plan, int64_t now_ns, struct plan_target *out, int64_t *at_ns)
{
    struct attempt *first = plan->last == NONE ? NULL : &plan->attempts[plan->last];
    *at_ns = 0;
    if (!first || !first->is_open || first->has_hedge || first->health.has_shown ||
        !may_go_on(plan))
        return ERR_CLOSED;
    int64_t after_ms = hedge_after_ms(plan), ready;
    struct candidate *other = choose(plan, first->candidate, now_ns, &ready);
    if (after_ms < 0 || !other)
        return ERR_CLOSED;
    *at_ns = first->health.began_ns + after_ms * MS_NS;
    if (*at_ns > now_ns)
        return ERR_AGAIN;
    if (ready > now_ns)
        return ERR_CLOSED;
    TRY(begin(plan, other, now_ns, out));
    first->has_hedge = true;
    return ERR_OK;
}

/* ── what came of it ────────────────────────────────────────────────────────────────────────── */

static bool is_key_fault(int status)
{
    return status == 401 || status == 403 || status == 429;
}

/* Whether the same request may do better elsewhere or later. */
static bool may_be_repeated(const struct plan *plan, const struct plan_outcome *outcome)
{
    switch (outcome->end) {
    case PLAN_SERVED: return false;
    case PLAN_NOT_SENT:
    case PLAN_TIMED_OUT:
    case PLAN_ERROR_EVENT:
    case PLAN_BROKEN:
    case PLAN_STOPPED:
    case PLAN_UNFIT: return true;
    case PLAN_STATUS:
        return outcome->status >= 500 || outcome->status == 408 || is_key_fault(outcome->status);
    case PLAN_DIED: return plan->policy.on_death != PLAN_FAIL;
    }
    return false;
}

static enum health_end verdict(const struct plan_outcome *outcome)
{
    bool is_answer = outcome->status < 500 && outcome->status != 408;
    switch (outcome->end) {
    case PLAN_SERVED: return HEALTH_WELL;
    case PLAN_STOPPED:
    case PLAN_UNFIT: return HEALTH_UNKNOWN;
    case PLAN_STATUS:
    case PLAN_ERROR_EVENT:
        if (is_key_fault(outcome->status))
            return HEALTH_UNKNOWN; /* the key's fault, not the target's */
        return outcome->end == PLAN_STATUS && is_answer ? HEALTH_WELL : HEALTH_FAILED;
    case PLAN_NOT_SENT:
    case PLAN_TIMED_OUT:
    case PLAN_BROKEN:
    case PLAN_DIED: return HEALTH_FAILED;
    }
    return HEALTH_UNKNOWN;
}

/* True: there is another key, to be used at once. */
static bool note_key(
    struct plan *plan, const struct attempt *attempt, const struct plan_outcome *outcome)
{
    const struct provider *provider = provider_of(attempt->candidate);
    if (attempt->candidate->has_callers_key)
        return false;
    bool is_tellable = outcome->end == PLAN_STATUS || outcome->end == PLAN_ERROR_EVENT;
    if (outcome->end == PLAN_SERVED)
        health_key_works(plan->health, provider, attempt->key, attempt->health.began_ns);
    if (!is_tellable || !is_key_fault(outcome->status))
        return false;
    if (outcome->status == 429)
        health_key_limited(
            plan->health, provider, attempt->key, outcome->retry_after_ms, outcome->now_ns);
    else
        health_key_refused(plan->health, provider, attempt->key, outcome->now_ns);
    return health_key_again_ns(plan->health, provider, outcome->now_ns) <= outcome->now_ns;
}

/* Half of it, and a part of the other half by chance: those that failed together come back apart. */
static int64_t backoff_ms(struct plan *plan, uint32_t failures)
{
    const struct plan_policy *policy = &plan->policy;
    int64_t wait_ms = policy->backoff_ms;
    ASSERT(failures > 0 && failures <= PLAN_ATTEMPTS_MAX);
    if (policy->backoff == BACKOFF_LINEAR)
        wait_ms *= failures;
    if (policy->backoff == BACKOFF_EXPONENTIAL)
        wait_ms <<= failures - 1;
    if (wait_ms > policy->backoff_max_ms)
        wait_ms = policy->backoff_max_ms;
    return wait_ms - (int64_t)(draw(plan) % (uint64_t)(wait_ms / 2 + 1));
}

static void note_failure(
    struct plan *plan, struct candidate *candidate, const struct plan_outcome *outcome)
{
    int64_t wait_ms = backoff_ms(plan, ++candidate->failures);
    bool is_refused = outcome->status == 401 || outcome->status == 403;
    if (outcome->retry_after_ms > wait_ms)
        wait_ms = outcome->retry_after_ms;
    candidate->not_before_ns = is_refused ? INT64_MAX : outcome->now_ns + wait_ms * MS_NS;
}

static void note_unfit(struct plan *plan, struct candidate *candidate)
{
    plan->unfit_count++;
    candidate->not_before_ns = INT64_MAX;
}

static struct attempt *attempt_of(struct plan *plan, const struct plan_target *target)
{
    ASSERT(target->attempt < plan->attempt_count);
    struct attempt *attempt = &plan->attempts[target->attempt];
    ASSERT(attempt->is_open);
    return attempt;
}

void plan_shows(
    struct plan *plan, const struct plan_target *target, int64_t first_event_ms, int64_t now_ns)
{
    struct attempt *attempt = attempt_of(plan, target);
    health_shows(&attempt->health, first_event_ms, now_ns);
    if (!attempt->candidate->has_callers_key)
        health_key_works(
            plan->health, provider_of(attempt->candidate), attempt->key, attempt->health.began_ns);
}

void plan_ended(
    struct plan *plan, const struct plan_target *target, const struct plan_outcome *outcome)
{
    struct attempt *attempt = attempt_of(plan, target);
    if (!attempt->health.has_shown && outcome->first_event_ms >= 0)
        health_shows(&attempt->health, outcome->first_event_ms, outcome->now_ns);
    bool has_other_key = note_key(plan, attempt, outcome);
    attempt->is_open = false;
    health_end(&attempt->health, verdict(outcome), outcome->now_ns);
    if (outcome->end == PLAN_UNFIT)
        note_unfit(plan, attempt->candidate);
    else if (!may_be_repeated(plan, outcome))
        plan->is_over = true;
    else if (outcome->end != PLAN_STOPPED && !has_other_key)
        note_failure(plan, attempt->candidate, outcome);
}

/* ── why not ────────────────────────────────────────────────────────────────────────────────── */

static enum err explain(
    const struct plan *plan, const struct candidate *candidate, int64_t now_ns, struct buf *out)
{
    int64_t again_ns = 0, at_ns = ready_ns(plan, candidate, now_ns);
    bool is_open = !health_admits(candidate->health, now_ns, &again_ns);
    TRY(buf_append_text(out, candidate->target->name));
    if (candidate->not_before_ns == INT64_MAX)
        return buf_append_text(out, " (it cannot be told this)");
    if (at_ns == INT64_MAX)
        return buf_append_text(out, " (its keys were refused; mend them and reload)");
    return buf_printf(out, " (%s, for %" PRId64 " s)",
        is_open ? "it failed too often" : "its keys are limited",
        (at_ns - now_ns + SECOND_NS - 1) / SECOND_NS);
}

enum err plan_why(const struct plan *plan, int64_t now_ns, struct buf *out)
{
    if (made_count(plan) > 0 || !plan->route)
        return buf_append_text(out, "no further attempt is allowed");
    CLEANUP(buf_deinit) struct buf all;
    buf_init(&all, CONFIG_WHY_BYTES_MAX);
    TRY(buf_printf(&all, "all targets of the route `%s` rest: ", plan->route->name));
    for (size_t i = 0; i < plan->candidate_count; i++) {
        TRY(buf_append_text(&all, i ? ", " : ""));
        TRY(explain(plan, &plan->candidates[i], now_ns, &all));
    }
    return buf_append(out, slice_sub(buf_slice(&all), 0, PLAN_SENTENCE_BYTES));
}
