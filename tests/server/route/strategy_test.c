/* strategy — the order of targets, by chance, measure, price and session. */
#include "server/route/strategy.h"
#include "tests/server/route/routing.h"

enum { DRAWS = 20000 };

static struct route_target target_of(const char *name, int64_t weight)
{
    return (struct route_target){.name = name, .weight = weight};
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* How often each of three was first, in DRAWS. */
static void count_firsts(
    enum route_strategy strategy, const struct route_target targets[3], size_t firsts[3])
{
    for (int i = 0; i < DRAWS; i++) {
        char session[16];
        uint64_t best = UINT64_MAX;
        size_t first = 0;
        (void)snprintf(session, sizeof session, "s%d", i);
        for (size_t j = 0; j < 3; j++) {
            const struct strategy_ask ask = {.strategy = strategy,
                .session = slice_text(session),
                .random = mix((uint64_t)i * 3 + j + 1)};
            uint64_t rank = strategy_rank(&ask, &targets[j], NULL);
            first = rank < best ? j : first;
            best = rank < best ? rank : best;
        }
        firsts[first]++;
    }
}

static void chance_follows_weights(void **state)
{
    (void)state;
    const struct route_target targets[] = {target_of("a", 1), target_of("b", 3), target_of("c", 6)};
    static const enum route_strategy strategies[] = {ROUTE_WEIGHTED, ROUTE_STICKY};
    for (size_t i = 0; i < 2; i++) {
        size_t firsts[3] = {0};
        count_firsts(strategies[i], targets, firsts);
        assert_in_range(firsts[0], DRAWS * 9 / 100, DRAWS * 11 / 100);
        assert_in_range(firsts[1], DRAWS * 28 / 100, DRAWS * 32 / 100);
        assert_in_range(firsts[2], DRAWS * 58 / 100, DRAWS * 62 / 100);
    }
}

static size_t home(const char *session, const struct route_target *targets, size_t count)
{
    const struct strategy_ask ask = {.strategy = ROUTE_STICKY, .session = slice_text(session)};
    uint64_t best = UINT64_MAX;
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t rank = strategy_rank(&ask, &targets[i], NULL);
        first = rank < best ? i : first;
        best = rank < best ? rank : best;
    }
    return first;
}

static void without_a_target_only_its_sessions_move(void **state)
{
    (void)state;
    const struct route_target targets[] = {
        target_of("a/x", 2), target_of("b/x", 1), target_of("c/x", 1), target_of("d/x", 3)};
    size_t moved = 0;
    for (int i = 0; i < 2000; i++) {
        char session[16];
        (void)snprintf(session, sizeof session, "s%d", i);
        size_t before = home(session, targets, 4), after = home(session, targets, 3);
        assert_int_equal(before, home(session, targets, 4));
        moved += before == 3;
        if (before != 3)
            assert_int_equal(before, after);
    }
    assert_in_range(moved, 700, 1000); /* 3 of 7 */
}

/* The first target that a new call asks. */
static size_t first_of(struct routing *routing)
{
    struct plan_target target;
    int64_t at;
    struct plan *plan = PLAN(routing, .needs = 0);
    assert_int_equal(plan_next(plan, routing->now, &target, &at), ERR_OK);
    const struct plan_outcome outcome = {
        .end = PLAN_STOPPED, .retry_after_ms = -1, .first_event_ms = -1, .now_ns = routing->now};
    plan_ended(plan, &target, &outcome);
    plan_free(plan);
    return target.index;
}

static void measure(struct routing *routing, const char *provider, int64_t first_event_ms)
{
    struct health_target *target;
    assert_int_equal(health_hold(routing->health, provider, SLICE("x"), &target), ERR_OK);
    struct health_attempt attempt = health_begin(target, routing->now);
    health_shows(&attempt, first_event_ms, routing->now);
    health_end(&attempt, HEALTH_WELL, routing->now);
    health_release(target);
}

static void the_fastest_is_asked_and_the_unknown_are_tried(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_FASTEST);
    routing_add(routing, "a/x");
    routing_add(routing, "b/x");
    routing_add(routing, "c/x");
    measure(routing, "a", 300);
    measure(routing, "b", 200);
    assert_int_equal(first_of(routing), 2);
    struct health_target *busy;
    assert_int_equal(health_hold(routing->health, "c", SLICE("x"), &busy), ERR_OK);
    struct health_attempt attempt = health_begin(busy, routing->now);
    assert_int_equal(first_of(routing), 1); /* one call tries it, not all */
    health_shows(&attempt, 100, routing->now);
    health_end(&attempt, HEALTH_WELL, routing->now);
    health_release(busy);
    assert_int_equal(first_of(routing), 2);
    routing->now += (int64_t)HEALTH_STALE_MS * MS;
    measure(routing, "c", 100);
    measure(routing, "b", 200);
    routing->now += MS;
    assert_int_equal(first_of(routing), 0); /* it was slow long ago */
    routing_free(routing);
}

static void the_cheapest_is_asked_and_the_unknown_last(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_CHEAPEST);
    routing->config.providers[0].type = "openai";
    routing_add(routing, "a/never-heard-of");
    routing_add(routing, "a/gpt-5");
    routing_add(routing, "a/gpt-5-mini");
    assert_int_equal(first_of(routing), 2);
    routing_free(routing);
}

static void the_least_loaded_is_asked(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_LEAST_LOADED);
    routing_add(routing, "a/x");
    routing_add(routing, "b/x")->weight = 4;
    struct plan_target targets[10];
    struct plan *plans[10];
    size_t counts[2] = {0};
    int64_t at;
    for (size_t i = 0; i < 10; i++) {
        plans[i] = PLAN(routing, .needs = 0);
        assert_int_equal(plan_next(plans[i], routing->now, &targets[i], &at), ERR_OK);
        counts[targets[i].index]++;
    }
    assert_int_equal(counts[0], 2);
    for (size_t i = 0; i < 10; i++) {
        const struct plan_outcome outcome = {.end = PLAN_SERVED,
            .status = 200,
            .retry_after_ms = -1,
            .first_event_ms = -1,
            .now_ns = routing->now};
        plan_ended(plans[i], &targets[i], &outcome);
        plan_free(plans[i]);
    }
    routing_free(routing);
}

/* A call that says nothing of a session has its project's. */
static void a_session_keeps_its_target(void **state)
{
    (void)state;
    struct routing *routing = routing_new(ROUTE_STICKY);
    routing_add(routing, "a/x");
    routing_add(routing, "b/x");
    size_t first = first_of(routing);
    for (int i = 0; i < 20; i++)
        assert_int_equal(first_of(routing), first);
    routing_free(routing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chance_follows_weights),
        cmocka_unit_test(without_a_target_only_its_sessions_move),
        cmocka_unit_test(the_fastest_is_asked_and_the_unknown_are_tried),
        cmocka_unit_test(the_cheapest_is_asked_and_the_unknown_last),
        cmocka_unit_test(the_least_loaded_is_asked),
        cmocka_unit_test(a_session_keeps_its_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
