/* plan — whom a call asks, in time and chance that the test makes; and, over many random lives, what a
 * plan never does. */
#include "tests/server/route/routing.h"

/* The next one is `name`, now. */
static struct plan_target asks(struct routing *routing, struct plan *plan, const char *name)
{
    struct plan_target target = {0};
    int64_t at = 0;
    enum err err = plan_next(plan, routing->now, &target, &at);
    if (err)
        fail_msg("wanted %s: %s", name, err_name(err));
    assert_string_equal(target.name, name);
    return target;
}

/* Nobody before `wait_ms_max`, and after `wait_ms_min`; time is then moved there. */
static void waits(
    struct routing *routing, struct plan *plan, int64_t wait_ms_min, int64_t wait_ms_max)
{
    struct plan_target target;
    int64_t at = 0;
    assert_true(plan_is_worth_more(plan, routing->now));
    assert_int_equal(plan_next(plan, routing->now, &target, &at), ERR_AGAIN);
    assert_in_range((at - routing->now) / MS, wait_ms_min, wait_ms_max);
    routing->now = at;
}

static int64_t is_closed(struct routing *routing, struct plan *plan)
{
    struct plan_target target;
    int64_t at = 0;
    assert_false(plan_is_worth_more(plan, routing->now));
    assert_int_equal(plan_next(plan, routing->now, &target, &at), ERR_CLOSED);
    return at;
}

static void ends(struct routing *routing, struct plan *plan, const struct plan_target *target,
    enum plan_end end, int status)
{
    const struct plan_outcome outcome = {.end = end,
        .status = status,
        .retry_after_ms = -1,
        .first_event_ms = -1,
        .now_ns = routing->now};
    plan_ended(plan, target, &outcome);
}

static void limited(struct routing *routing, struct plan *plan, const struct plan_target *target,
    int status, int64_t retry_after_ms)
{
    const struct plan_outcome outcome = {.end = PLAN_STATUS,
        .status = status,
        .retry_after_ms = retry_after_ms,
        .first_event_ms = -1,
        .now_ns = routing->now};
    plan_ended(plan, target, &outcome);
}

/* Asks `name`, and it ends so. */
static void fails(
    struct routing *routing, struct plan *plan, const char *name, enum plan_end end, int status)
{
    struct plan_target target = asks(routing, plan, name);
    ends(routing, plan, &target, end, status);
}

/* ── without a route ────────────────────────────────────────────────────────────────────────── */

static void without_a_route_nothing_is_asked_twice(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    struct plan *plan = PLAN(routing, .model = SLICE("b/x"));
    assert_null(plan_route(plan));
    struct plan_target target = asks(routing, plan, "b/x");
    assert_true(slice_equal(target.choice.model, SLICE("x")));
    assert_string_equal(target.key_name, "key 1");
    assert_int_equal(target.index, 0);
    ends(routing, plan, &target, PLAN_STATUS, 503);
    (void)is_closed(routing, plan);
    plan_free(plan);
    plan = PLAN(routing, .model = SLICE("x")); /* the first provider; the body stays as it is */
    target = asks(routing, plan, "a/x");
    assert_int_equal(target.choice.model.size, 0);
    ends(routing, plan, &target, PLAN_NOT_SENT, 0);
    (void)is_closed(routing, plan);
    plan_free(plan);
    routing_free(routing);
}

/* /openai/…: the path says it all, and there may be no model. */
static void a_provider_may_be_named_by_the_path(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    struct plan *plan;
    size_t count;
    assert_int_equal(routing_build(routing), ERR_OK);
    const struct provider *providers = catalogue_providers(routing->catalogue, &count);
    char model[] = "smart"; /* a route's name is a model's like any other there */
    struct route_choice choice = {.provider = &providers[1], .model = slice_text(model)};
    const struct plan_ask ask = {.random = 1};
    assert_int_equal(
        plan_of_choice(routing->catalogue, routing->health, &ask, &choice, &plan), ERR_OK);
    model[0] = '?';
    struct plan_target target = asks(routing, plan, "b/smart");
    assert_true(slice_equal(target.choice.model, SLICE("smart")));
    assert_ptr_equal(target.choice.provider, &providers[1]);
    ends(routing, plan, &target, PLAN_STATUS, 503);
    (void)is_closed(routing, plan);
    plan_free(plan);
    choice = (struct route_choice){.provider = &providers[2]};
    assert_int_equal(
        plan_of_choice(routing->catalogue, routing->health, &ask, &choice, &plan), ERR_OK);
    target = asks(routing, plan, "c");
    assert_int_equal(target.choice.model.size, 0);
    ends(routing, plan, &target, PLAN_SERVED, 200);
    plan_free(plan);
    routing_free(routing);
}

static void a_call_may_wish_for_more(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    struct plan_policy wish = plan_policy_unsaid;
    char message[] = "go on";
    wish.retries = 2;
    wish.backoff = BACKOFF_LINEAR;
    wish.on_death = PLAN_CONTINUE;
    wish.continue_message = message;
    struct plan *plan = PLAN(routing, .model = SLICE("b/x"), .wish = &wish);
    message[0] = '?';
    assert_string_equal(plan_policy(plan)->continue_message, "go on");
    assert_int_equal(plan_policy(plan)->backoff_ms, route_policy_default.backoff_ms);
    fails(routing, plan, "b/x", PLAN_TIMED_OUT, 0);
    waits(routing, plan, 125, 250);
    fails(routing, plan, "b/x", PLAN_DIED, 200);
    waits(routing, plan, 250, 500);
    fails(routing, plan, "b/x", PLAN_BROKEN, 200);
    (void)is_closed(routing, plan);
    plan_free(plan);
    routing_free(routing);
}

/* The caller is to have the provider's own answer. */
static void nothing_keeps_a_call_from_its_only_target(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    for (int i = 0; i < 2 * BREAKER_FAILURES; i++) {
        struct plan *plan = PLAN(routing, .model = SLICE("b/x"));
        fails(routing, plan, "b/x", PLAN_STATUS, i % 2 ? 500 : 401);
        plan_free(plan);
    }
    routing_free(routing);
}

static void a_name_that_leads_nowhere_is_told(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    struct plan *plan = NULL;
    routing->config.provider_count = 0;
    assert_int_equal(routing_ask(routing, (struct plan_ask){0}, &plan), ERR_CLOSED);
    routing->config.provider_count = 3;
    routing->config.unknown_models = "refuse";
    assert_int_equal(routing_build(routing), ERR_OK);
    assert_int_equal(
        routing_ask(routing, (struct plan_ask){.model = SLICE("x")}, &plan), ERR_NOTFOUND);
    routing_says(routing, "no model is called `x` here");
    routing_free(routing);
}

/* ── in order ───────────────────────────────────────────────────────────────────────────────── */

static struct routing *two(void)
{
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing_add(routing, "b/x");
    routing_add(routing, "c/y");
    return routing;
}

static void another_target_is_asked_at_once_the_same_after_its_backoff(void **state)
{
    (void)state;
    struct routing *routing = two();
    routing->route.policy.retries = 3;
    struct plan *plan = PLAN(routing, .needs = 0);
    assert_string_equal(plan_route(plan), "smart");
    struct plan_target target = asks(routing, plan, "b/x");
    assert_true(slice_equal(target.choice.model, SLICE("x")));
    ends(routing, plan, &target, PLAN_STATUS, 500);
    routing->now += 10000ll * MS;
    target = asks(routing, plan, "c/y"); /* though the first one may be asked again */
    assert_int_equal(target.index, 1);
    assert_int_equal(target.attempt, 1);
    assert_string_equal(target.key_name, "");
    ends(routing, plan, &target, PLAN_ERROR_EVENT, 200);
    fails(routing, plan, "b/x", PLAN_TIMED_OUT, 0);
    waits(routing, plan, 125, 250);
    fails(routing, plan, "c/y", PLAN_NOT_SENT, 0);
    (void)is_closed(routing, plan);
    plan_free(plan);
    routing_free(routing);
}

static void what_is_no_ones_fault_is_not_repeated(void **state)
{
    (void)state;
    static const struct {
        enum plan_end end;
        int status;
        bool is_repeated;
    } cases[] = {
        {PLAN_SERVED, 200, false},
        {PLAN_SERVED, 400, false},
        {PLAN_STATUS, 404, false},
        {PLAN_STATUS, 408, true},
        {PLAN_STATUS, 429, true},
        {PLAN_STATUS, 500, true},
        {PLAN_STATUS, 529, true},
        {PLAN_STATUS, 401, true},
        {PLAN_BROKEN, 200, true},
        {PLAN_DIED, 200, false}, /* unless on_death says so */
        {PLAN_STOPPED, 200, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct routing *routing = two();
        struct plan *plan = PLAN(routing, .needs = 0);
        fails(routing, plan, "b/x", cases[i].end, cases[i].status);
        assert_int_equal(plan_is_worth_more(plan, routing->now), cases[i].is_repeated);
        plan_free(plan);
        routing_free(routing);
    }
}

static void a_target_s_own_wait_is_honoured(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing_add(routing, "b/x");
    struct plan *plan = PLAN(routing, .needs = 0);
    struct plan_target target = asks(routing, plan, "b/x");
    limited(routing, plan, &target, 503, 7000);
    waits(routing, plan, 7000, 7000);
    target = asks(routing, plan, "b/x");
    limited(routing, plan, &target, 503, 10001); /* longer than backoff_max_ms: no plan */
    (void)is_closed(routing, plan);
    plan_free(plan);
    routing_free(routing);
}

/* ── keys ───────────────────────────────────────────────────────────────────────────────────── */

static void another_key_is_asked_at_once(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing_add(routing, "a/x");
    routing_add(routing, "c/y");
    struct plan *plan = PLAN(routing, .needs = 0);
    struct plan_target first = asks(routing, plan, "a/x");
    limited(routing, plan, &first, 429, 60000);
    struct plan_target second = asks(routing, plan, "a/x");
    assert_int_not_equal(first.key, second.key);
    limited(routing, plan, &second, 401, -1);
    struct plan_target third = asks(routing, plan, "a/x");
    assert_int_not_equal(first.key, third.key);
    assert_int_not_equal(second.key, third.key);
    ends(routing, plan, &third, PLAN_SERVED, 200);
    plan_free(plan);
    /* Only the third is left to all calls; then none. */
    plan = PLAN(routing, .needs = 0);
    struct plan_target again = asks(routing, plan, "a/x");
    assert_int_equal(again.key, third.key);
    limited(routing, plan, &again, 429, 60000);
    fails(routing, plan, "c/y", PLAN_SERVED, 200);
    plan_free(plan);
    plan = PLAN(routing, .needs = 0);
    fails(routing, plan, "c/y", PLAN_SERVED, 200);
    plan_free(plan);
    routing->now += 61000ll * MS;
    plan = PLAN(routing, .needs = 0);
    again = asks(routing, plan, "a/x");
    assert_int_not_equal(again.key, second.key); /* that was refused */
    ends(routing, plan, &again, PLAN_SERVED, 200);
    plan_free(plan);
    routing_free(routing);
}

/* A call's own key goes to the provider that takes it, takes no turn, and what comes of it is its own. */
static void a_caller_s_key_is_no_one_else_s(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing->config.providers[0].takes_callers_keys = true;
    routing_add(routing, "a/x");
    routing_add(routing, "b/y");
    struct headers headers = {.items = {{SLICE("tokenlog-provider-key"), SLICE("b=theirs")},
                                  {SLICE("Tokenlog-Provider-Key"), SLICE("a=its=own")}},
        .count = 2};
    struct plan *plan = PLAN(routing, .headers = &headers);
    struct plan_target target = asks(routing, plan, "a/x");
    assert_string_equal(target.key_name, "caller's");
    assert_true(
        slice_equal(provider_callers_key(target.choice.provider, &headers), SLICE("its=own")));
    limited(routing, plan, &target, 429, 60000);
    target = asks(routing, plan, "b/y"); /* which takes none of callers */
    assert_string_equal(target.key_name, "key 1");
    limited(routing, plan, &target, 429, 60000);
    (void)is_closed(routing, plan);
    plan_free(plan);
    plan = PLAN(routing, .needs = 0);
    target = asks(routing, plan, "a/x");
    assert_string_equal(target.key_name, "key 1"); /* none of ours rests */
    ends(routing, plan, &target, PLAN_SERVED, 200);
    plan_free(plan);
    routing_free(routing);
}

static void a_refused_key_is_the_last_resort(void **state)
{
    (void)state;
    struct routing *routing = two();
    struct plan *plan = PLAN(routing, .needs = 0);
    fails(routing, plan, "b/x", PLAN_STATUS, 401);
    fails(routing, plan, "c/y", PLAN_STATUS, 403);
    (void)is_closed(routing, plan); /* the answer stands */
    plan_free(plan);
    plan = PLAN(routing, .needs = 0);
    struct plan_target target = {0};
    int64_t at;
    assert_int_equal(plan_next(plan, routing->now, &target, &at), ERR_OK);
    assert_string_equal(target.name, "b/x");
    routing->now += MS;
    ends(routing, plan, &target, PLAN_SERVED, 200); /* it was mended */
    plan_free(plan);
    plan = PLAN(routing, .needs = 0);
    fails(routing, plan, "b/x", PLAN_STATUS, 500);
    waits(routing, plan, 125, 250); /* the other's is refused still */
    fails(routing, plan, "b/x", PLAN_SERVED, 200);
    plan_free(plan);
    routing_free(routing);
}

static void a_key_that_rests_for_short_is_waited_for(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing_add(routing, "b/x");
    struct plan *plan = PLAN(routing, .needs = 0);
    struct plan_target target = asks(routing, plan, "b/x");
    limited(routing, plan, &target, 429, 3000);
    waits(routing, plan, 3000, 3000);
    target = asks(routing, plan, "b/x");
    limited(routing, plan, &target, 429, 30000);
    (void)is_closed(routing, plan);
    plan_free(plan);
    plan = PLAN(routing, .needs = 0); /* another call is told, and when it may come back */
    assert_int_equal((is_closed(routing, plan) - routing->now) / MS, 30000);
    assert_int_equal(plan_why(plan, routing->now, &routing->why), ERR_OK);
    routing_says(
        routing, "all targets of the route `smart` rest: b/x (its keys are limited, for 30 s)");
    plan_free(plan);
    routing_free(routing);
}

/* ── breakers ───────────────────────────────────────────────────────────────────────────────── */

static void break_target(struct routing *routing, const char *name)
{
    struct plan_policy wish = plan_policy_unsaid;
    wish.retries = 0;
    for (int i = 0; i < BREAKER_FAILURES; i++) {
        struct plan *plan = PLAN(routing, .model = slice_text(name), .wish = &wish);
        fails(routing, plan, name, PLAN_STATUS, 500);
        plan_free(plan);
    }
}

static void an_open_breaker_is_passed_by(void **state)
{
    (void)state;
    struct routing *routing = two();
    assert_int_equal(routing_build(routing), ERR_OK);
    break_target(routing, "b/x");
    struct plan *plan = PLAN(routing, .needs = 0);
    fails(routing, plan, "c/y", PLAN_SERVED, 200);
    plan_free(plan);
    break_target(routing, "c/y");
    plan = PLAN(routing, .needs = 0); /* both: the first is soonest, and soon enough */
    waits(routing, plan, 900, BREAKER_PAUSE_MS);
    struct plan_target probe = asks(routing, plan, "b/x");
    struct plan *other = PLAN(routing, .needs = 0); /* one probe at a time */
    fails(routing, other, "c/y", PLAN_SERVED, 200);
    plan_free(other);
    plan_shows(plan, &probe, 5, routing->now);
    other = PLAN(routing, .needs = 0); /* it showed something: closed, though it goes on */
    fails(routing, other, "b/x", PLAN_SERVED, 200);
    plan_free(other);
    ends(routing, plan, &probe, PLAN_SERVED, 200);
    plan_free(plan);
    routing_free(routing);
}

static void a_call_does_not_wait_for_ever_for_a_probe(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    struct plan_target target;
    int64_t at;
    routing_add(routing, "b/x");
    assert_int_equal(routing_build(routing), ERR_OK);
    break_target(routing, "b/x");
    routing->now += (int64_t)BREAKER_PAUSE_MS * MS;
    struct plan *plan = PLAN(routing, .needs = 0), *other = PLAN(routing, .needs = 0);
    struct plan_target probe = asks(routing, plan, "b/x");
    enum err err = ERR_AGAIN;
    int64_t began = routing->now;
    for (int i = 0; i < 100 && err == ERR_AGAIN; i++) {
        err = plan_next(other, routing->now, &target, &at);
        routing->now = err == ERR_AGAIN ? at : routing->now;
    }
    assert_int_equal(err, ERR_CLOSED);
    assert_in_range((routing->now - began) / MS, 1000, route_policy_default.backoff_max_ms);
    assert_int_equal(plan_why(other, routing->now, &routing->why), ERR_OK);
    routing_says(routing, "b/x (it failed too often");
    plan_free(other);
    ends(routing, plan, &probe, PLAN_STOPPED, 0);
    plan_free(plan);
    routing_free(routing);
}

/* ── conditions and strategies ──────────────────────────────────────────────────────────────── */

static void conditions_choose(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    struct route_when *when = &routing_add(routing, "b/x")->when;
    when->projects[0] = "red";
    when->metadata[0] = (struct route_match){"team", "search"};
    when->metadata[1] = (struct route_match){"level", "3"};
    when->headers[0] = (struct route_match){"x-tier", "gold"};
    when->needs[0] = "vision";
    when->prompt_bytes_max = 100;
    const struct headers headers = {{{SLICE("X-Tier"), SLICE("gold")}}, 1}, none = {.count = 0};
    const struct plan_ask fits = {.model = SLICE("smart"),
        .project = SLICE("red"),
        .headers = &headers,
        .metadata = SLICE("{\"team\":\"search\",\"level\":3,\"more\":[]}"),
        .needs = 1u << CAPABILITY_vision | 1u << CAPABILITY_tools,
        .prompt_bytes = 100};
    struct plan *plan = NULL;
    assert_int_equal(routing_ask(routing, fits, &plan), ERR_OK);
    plan_free(plan);
    struct plan_ask ask = fits;
#define FAILS(field, value, sentence)                                                              \
    do {                                                                                           \
        ask = fits;                                                                                \
        ask.field = value;                                                                         \
        assert_int_equal(routing_ask(routing, ask, &plan), ERR_NOTFOUND);                          \
        routing_says(routing, "no target of the route `smart` takes this call: b/x " sentence);    \
    } while (0)
    FAILS(project, SLICE("blue"), "is for other projects");
    FAILS(headers, &none, "wants other headers");
    FAILS(headers, NULL, "wants other headers");
    FAILS(metadata, SLICE("{\"team\":\"search\"}"), "wants other metadata");
    FAILS(metadata, SLICE("{\"team\":\"search\",\"level\":\"4\"}"), "wants other metadata");
    FAILS(metadata, SLICE("no JSON"), "wants other metadata");
    FAILS(metadata, SLICE_NONE, "wants other metadata");
    FAILS(needs, 1u << CAPABILITY_tools, "is for calls that need more");
    FAILS(prompt_bytes, 101, "is for smaller prompts");
    routing_free(routing);
}

static void a_model_known_not_to_do_it_is_passed_by(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing->config.providers[0].type = "openai";
    routing_add(routing, "a/text-embedding-3-small");
    routing_add(routing, "a/of-tomorrow"); /* nothing is known of it */
    struct plan *plan = PLAN(routing, .needs = 1u << CAPABILITY_vision);
    fails(routing, plan, "a/of-tomorrow", PLAN_SERVED, 200);
    plan_free(plan);
    plan = PLAN(routing, .needs = 0);
    fails(routing, plan, "a/text-embedding-3-small", PLAN_SERVED, 200);
    plan_free(plan);
    routing_free(routing);
}

static void priorities_go_before_strategies(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_WEIGHTED);
    routing_add(routing, "a/last")->priority = 2;
    routing_add(routing, "b/first");
    routing_add(routing, "c/second")->priority = 1;
    for (int i = 0; i < 20; i++) {
        struct plan *plan = PLAN(routing, .needs = 0);
        fails(routing, plan, "b/first", PLAN_NOT_SENT, 0);
        fails(routing, plan, "c/second", PLAN_NOT_SENT, 0);
        fails(routing, plan, "a/last", PLAN_SERVED, 200);
        plan_free(plan);
        routing->health = (health_free(routing->health), NULL);
        assert_int_equal(health_new(&routing->health), ERR_OK);
    }
    routing_free(routing);
}

/* ── hedging ────────────────────────────────────────────────────────────────────────────────── */

static void another_is_asked_meanwhile(void **state)
{
    (void)state;
    struct routing *routing = two();
    routing->route.policy.hedge_after_ms = 800;
    struct plan_target beside = {0};
    int64_t at = 0;
    struct plan *plan = PLAN(routing, .needs = 0);
    assert_int_equal(plan_hedge(plan, routing->now, &beside, &at), ERR_CLOSED); /* beside what? */
    struct plan_target first = asks(routing, plan, "b/x");
    assert_int_equal(plan_hedge(plan, routing->now, &beside, &at), ERR_AGAIN);
    assert_int_equal((at - routing->now) / MS, 800);
    routing->now = at;
    assert_int_equal(plan_hedge(plan, routing->now, &beside, &at), ERR_OK);
    assert_string_equal(beside.name, "c/y");
    assert_int_equal(plan_hedge(plan, routing->now, &beside, &at), ERR_CLOSED); /* one is enough */
    ends(routing, plan, &beside, PLAN_STOPPED, 0);
    ends(routing, plan, &first, PLAN_STATUS, 500);
    fails(routing, plan, "c/y", PLAN_STATUS, 500); /* the third attempt, and last */
    (void)is_closed(routing, plan);
    plan_free(plan);
    plan = PLAN(routing, .needs = 0); /* what shows something needs no help */
    first = asks(routing, plan, "b/x");
    plan_shows(plan, &first, 3, routing->now);
    assert_int_equal(plan_hedge(plan, routing->now, &beside, &at), ERR_CLOSED);
    ends(routing, plan, &first, PLAN_SERVED, 200);
    plan_free(plan);
    routing_free(routing);
}

static void a_quantile_is_known_after_some_calls(void **state)
{
    (void)state;
    struct routing *routing = two();
    routing->route.policy.hedge_after_permil = 500;
    struct plan_target beside, first;
    int64_t at = 0;
    for (int i = 1; i <= HEALTH_TIMES_MIN; i++) {
        struct plan *plan = PLAN(routing, .needs = 0);
        first = asks(routing, plan, "b/x");
        assert_int_equal(plan_hedge(plan, routing->now, &beside, &at), ERR_CLOSED);
        plan_shows(plan, &first, i * 100, routing->now);
        ends(routing, plan, &first, PLAN_SERVED, 200);
        plan_free(plan);
    }
    struct plan *plan = PLAN(routing, .needs = 0);
    first = asks(routing, plan, "b/x");
    assert_int_equal(plan_hedge(plan, routing->now, &beside, &at), ERR_AGAIN);
    assert_int_equal((at - routing->now) / MS, HEALTH_TIMES_MIN / 2 * 100);
    ends(routing, plan, &first, PLAN_STOPPED, 0);
    plan_free(plan);
    routing_free(routing);
}

/* Its dialect has no word for something that the call says. */
static void a_target_that_is_unfit_is_no_attempt(void **state)
{
    (void)state;
    struct routing *routing = two();
    routing->route.policy.retries = 0;
    struct plan *plan = PLAN(routing, .needs = 0);
    fails(routing, plan, "b/x", PLAN_UNFIT, 0);
    fails(routing, plan, "c/y", PLAN_STATUS, 500);
    (void)is_closed(routing, plan);
    plan_free(plan);
    plan = PLAN(routing, .needs = 0);
    fails(routing, plan, "b/x", PLAN_UNFIT, 0);
    fails(routing, plan, "c/y", PLAN_UNFIT, 0);
    assert_int_equal(is_closed(routing, plan), 0);
    assert_int_equal(plan_why(plan, routing->now, &routing->why), ERR_OK);
    routing_says(routing, "b/x (it cannot be told this), c/y (it cannot be told this)");
    plan_free(plan);
    plan = PLAN(routing, .model = SLICE("b/x"));
    fails(routing, plan, "b/x", PLAN_UNFIT, 0);
    (void)is_closed(routing, plan);
    plan_free(plan);
    routing_free(routing);
}

/* ── a death in mid-stream ──────────────────────────────────────────────────────────────────── */

static void after_a_death_another_is_asked_where_the_route_says_so(void **state)
{
    (void)state;
    struct routing *routing = two();
    routing->route.policy.on_death = PLAN_CONTINUE;
    struct plan *plan = PLAN(routing, .needs = 0);
    struct plan_target first = asks(routing, plan, "b/x");
    plan_shows(plan, &first, 9, routing->now);
    ends(routing, plan, &first, PLAN_DIED, 200);
    fails(routing, plan, "c/y", PLAN_SERVED, 200);
    (void)is_closed(routing, plan);
    plan_free(plan);
    routing_free(routing);
}

static void who_takes_prefill_is_known(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_ORDER);
    routing->config.providers[0].type = "anthropic";
    static const struct {
        const char *name;
        bool takes;
    } models[] = {{"a/claude-sonnet-4-5", true}, {"a/claude-3-haiku-20240307", true},
        {"a/claude-opus-4-20250514", true}, {"a/claude-opus-4-6", false},
        {"a/claude-sonnet-4-6", false}, {"a/claude-sonnet-5", false},
        {"b/claude-sonnet-4-5", false}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct plan *plan = PLAN(routing, .model = slice_text(models[i].name));
        struct plan_target target = asks(routing, plan, models[i].name);
        assert_int_equal(target.takes_prefill, models[i].takes);
        ends(routing, plan, &target, PLAN_SERVED, 200);
        plan_free(plan);
    }
    routing_free(routing);
}

/* ── many lives ─────────────────────────────────────────────────────────────────────────────── */

enum { LIVES = 3000, STEPS_MAX = 200 };

static uint64_t chance(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % below;
}

static struct plan_outcome random_outcome(uint64_t *seed, int64_t now)
{
    static const int statuses[] = {200, 400, 401, 403, 408, 429, 500, 503, 529};
    return (struct plan_outcome){
        .end = (enum plan_end)chance(seed, PLAN_UNFIT + 1),
        .status = statuses[chance(seed, sizeof statuses / sizeof *statuses)],
        .retry_after_ms = (int64_t)chance(seed, 4) * 5000 - 1,
        .first_event_ms = (int64_t)chance(seed, 3) * 100 - 1,
        .now_ns = now,
    };
}

static void random_route(struct routing *routing, uint64_t *seed)
{
    static const char *const models[] = {"a/x", "a/y", "b/x", "b/y", "c/x", "c/y"};
    static const char *const others[] = {"nobody", NULL};
    size_t count = 1 + chance(seed, 6);
    for (size_t i = 0; i < count; i++) {
        struct route_target_config *target = routing_add(routing, models[chance(seed, 6)]);
        target->weight = 1 + (int64_t)chance(seed, 5);
        target->priority = (int64_t)chance(seed, 2);
        if (chance(seed, 3) == 0)
            memcpy(target->when.projects, others, sizeof others);
    }
    routing->route.strategy = (int)chance(seed, ROUTE_STRATEGY_COUNT);
    struct plan_policy *policy = &routing->route.policy;
    policy->retries = (int64_t)chance(seed, PLAN_RETRIES_MAX + 1);
    policy->backoff = (int)chance(seed, 3);
    policy->backoff_max_ms = (int64_t)chance(seed, 3) * 5000;
    policy->on_death = (int)chance(seed, 3);
    policy->hedge_after_ms = (int64_t)chance(seed, 2) * 100;
}

/* One call, from its plan to its end. */
static void live(struct routing *routing, struct plan *plan, uint64_t *seed)
{
    struct plan_target targets[PLAN_ATTEMPTS_MAX];
    size_t open = 0, attempts = 0, unfit = 0;
    int64_t waited = 0, at = 0;
    bool is_over = false;
    for (int step = 0;; step++) {
        assert_true(step < STEPS_MAX);
        struct plan_target target;
        bool is_hedge = open > 0;
        bool is_worth = plan_is_worth_more(plan, routing->now);
        enum err err = is_hedge ? plan_hedge(plan, routing->now, &target, &at)
                                : plan_next(plan, routing->now, &target, &at);
        if (!is_hedge)
            assert_int_equal(is_worth, err != ERR_CLOSED);
        if (err == ERR_OK) {
            const struct route_target_config *told = &routing->targets[target.index];
            assert_int_equal(attempts, target.attempt);
            assert_true(++attempts - unfit <= 1 + (size_t)routing->route.policy.retries);
            assert_string_equal(target.name, told->model);
            assert_null(told->when.projects[0]); /* its conditions hold */
            assert_true(target.key < 3 && !is_over);
            targets[open++] = target;
            waited = 0;
        } else if (err == ERR_AGAIN) {
            assert_true(at > routing->now);
            if (!is_hedge)
                waited += at - routing->now;
            assert_true(waited <= routing->route.policy.backoff_max_ms * MS);
            routing->now = at;
        } else if (open == 0) {
            assert_int_equal(err, ERR_CLOSED);
            return;
        }
        if (open && chance(seed, 2)) {
            struct plan_outcome outcome = random_outcome(seed, routing->now);
            is_over |= outcome.end == PLAN_SERVED;
            unfit += outcome.end == PLAN_UNFIT;
            plan_ended(plan, &targets[--open], &outcome);
        }
    }
}

static void a_plan_keeps_its_bounds_whatever_happens(void **state)
{
    (void)state;
    uint64_t seed = 20261123;
    for (int i = 0; i < LIVES / 30; i++) {
        struct routing *routing = routing_new(ROUTE_ORDER);
        random_route(routing, &seed);
        assert_int_equal(routing_build(routing), ERR_OK);
        for (int j = 0; j < 30; j++) {
            struct plan *plan = NULL;
            enum err err = routing_ask(routing, (struct plan_ask){.project = SLICE("p")}, &plan);
            if (err == ERR_OK)
                live(routing, plan, &seed);
            else
                assert_int_equal(err, ERR_NOTFOUND);
            plan_free(plan);
            buf_clear(&routing->why);
        }
        routing_free(routing); /* nothing is held, and nobody busy */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_route_nothing_is_asked_twice),
        cmocka_unit_test(a_provider_may_be_named_by_the_path),
        cmocka_unit_test(a_call_may_wish_for_more),
        cmocka_unit_test(nothing_keeps_a_call_from_its_only_target),
        cmocka_unit_test(a_name_that_leads_nowhere_is_told),
        cmocka_unit_test(another_target_is_asked_at_once_the_same_after_its_backoff),
        cmocka_unit_test(what_is_no_ones_fault_is_not_repeated),
        cmocka_unit_test(a_target_s_own_wait_is_honoured),
        cmocka_unit_test(another_key_is_asked_at_once),
        cmocka_unit_test(a_caller_s_key_is_no_one_else_s),
        cmocka_unit_test(a_refused_key_is_the_last_resort),
        cmocka_unit_test(a_key_that_rests_for_short_is_waited_for),
        cmocka_unit_test(an_open_breaker_is_passed_by),
        cmocka_unit_test(a_call_does_not_wait_for_ever_for_a_probe),
        cmocka_unit_test(conditions_choose),
        cmocka_unit_test(a_model_known_not_to_do_it_is_passed_by),
        cmocka_unit_test(priorities_go_before_strategies),
        cmocka_unit_test(another_is_asked_meanwhile),
        cmocka_unit_test(a_quantile_is_known_after_some_calls),
        cmocka_unit_test(a_target_that_is_unfit_is_no_attempt),
        cmocka_unit_test(after_a_death_another_is_asked_where_the_route_says_so),
        cmocka_unit_test(who_takes_prefill_is_known),
        cmocka_unit_test(a_plan_keeps_its_bounds_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
