/* health — breakers, times and keys, in time that the test makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/route/health.h"

enum { MS = 1000000, SECOND = 1000 * MS };

struct world {
    struct health *health;
    struct health_target *target;
    int64_t now;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->now = 1000ll * SECOND;
    assert_int_equal(health_new(&world->health), ERR_OK);
    assert_int_equal(health_hold(world->health, "p", SLICE("m"), &world->target), ERR_OK);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    health_release(world->target);
    health_free(world->health);
    free(world);
    return 0;
}

static void attempt(struct world *world, enum health_end end, int64_t first_event_ms)
{
    struct health_attempt made = health_begin(world->target, world->now);
    world->now += MS;
    if (first_event_ms >= 0)
        health_shows(&made, first_event_ms, world->now);
    health_end(&made, end, world->now);
}

static void attempts(struct world *world, enum health_end end, int count)
{
    for (int i = 0; i < count; i++)
        attempt(world, end, -1);
}

static bool admits(const struct world *world)
{
    int64_t again;
    return health_admits(world->target, world->now, &again);
}

static enum breaker breaker(const struct world *world)
{
    return health_look(world->target, world->now).breaker;
}

static void failures_in_a_row_open_a_breaker(void **state)
{
    struct world *world = *state;
    int64_t again = 0;
    attempts(world, HEALTH_FAILED, BREAKER_FAILURES - 1);
    attempt(world, HEALTH_WELL, -1);
    attempts(world, HEALTH_FAILED, BREAKER_FAILURES - 1);
    assert_true(admits(world));
    attempts(world, HEALTH_UNKNOWN, 3); /* says nothing, and parts nothing */
    attempt(world, HEALTH_FAILED, -1);
    assert_false(health_admits(world->target, world->now, &again));
    assert_int_equal(again, world->now + (int64_t)BREAKER_PAUSE_MS * MS);
    assert_int_equal(breaker(world), BREAKER_OPEN);
    assert_int_equal(health_look(world->target, world->now).open_for_ms, BREAKER_PAUSE_MS);
}

static void a_large_part_of_failures_opens_it_too(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < BREAKER_WINDOW_MIN / 2 - 1; i++) {
        attempt(world, HEALTH_WELL, -1);
        attempt(world, HEALTH_FAILED, -1);
    }
    attempt(world, HEALTH_WELL, -1);
    assert_true(admits(world));
    attempt(world, HEALTH_FAILED, -1);
    assert_false(admits(world));
}

/* It shows something each time, and dies. */
static void one_that_always_dies_is_left_alone(void **state)
{
    struct world *world = *state;
    int count = 0;
    for (; admits(world) && count < 100; count++)
        attempt(world, HEALTH_FAILED, 5);
    assert_int_equal(count, BREAKER_WINDOW_MIN / 2);
}

static void a_probe_decides(void **state)
{
    struct world *world = *state;
    int64_t again, pause = BREAKER_PAUSE_MS;
    attempts(world, HEALTH_FAILED, BREAKER_FAILURES);
    for (int i = 0; i < 10; i++) { /* the pause doubles, up to its bound */
        assert_false(health_admits(world->target, world->now, &again));
        assert_int_equal(again - world->now, pause * MS);
        world->now = again;
        assert_true(admits(world));
        struct health_attempt probe = health_begin(world->target, world->now);
        assert_true(probe.is_probe);
        assert_false(admits(world)); /* one at a time */
        assert_int_equal(breaker(world), BREAKER_HALF_OPEN);
        health_end(&probe, HEALTH_FAILED, world->now);
        pause = pause * 2 < BREAKER_PAUSE_MS_MAX ? pause * 2 : BREAKER_PAUSE_MS_MAX;
    }
    world->now += pause * MS;
    struct health_attempt probe = health_begin(world->target, world->now);
    health_shows(&probe, 10, world->now); /* it need not end */
    assert_int_equal(breaker(world), BREAKER_CLOSED);
    assert_true(admits(world));
    health_end(&probe, HEALTH_FAILED, world->now);
    assert_true(admits(world));
}

static void a_probe_that_is_given_up_leaves_the_place_to_another(void **state)
{
    struct world *world = *state;
    attempts(world, HEALTH_FAILED, BREAKER_FAILURES);
    world->now += (int64_t)BREAKER_PAUSE_MS * MS;
    attempt(world, HEALTH_UNKNOWN, -1);
    assert_int_equal(breaker(world), BREAKER_HALF_OPEN);
    assert_true(admits(world));
    attempt(world, HEALTH_WELL, -1);
    assert_int_equal(breaker(world), BREAKER_CLOSED);
}

static void what_began_before_closes_nothing(void **state)
{
    struct world *world = *state;
    struct health_attempt old = health_begin(world->target, world->now);
    struct health_attempt other = health_begin(world->target, world->now);
    world->now += MS;
    attempts(world, HEALTH_FAILED, BREAKER_FAILURES);
    health_shows(&old, 3, world->now);
    health_end(&old, HEALTH_WELL, world->now);
    assert_false(admits(world));
    health_end(&other, HEALTH_FAILED, world->now); /* nor does it make the pause longer */
    assert_int_equal(health_look(world->target, world->now).open_for_ms, BREAKER_PAUSE_MS);
    attempt(world, HEALTH_WELL, -1); /* one that was made all the same */
    assert_true(admits(world));
}

static void the_latest_times_count_most(void **state)
{
    struct world *world = *state;
    assert_int_equal(health_first_event_us(world->target, world->now), -1);
    attempt(world, HEALTH_WELL, 100);
    assert_int_equal(health_first_event_us(world->target, world->now), 100000);
    world->now += (int64_t)HEALTH_HALF_LIFE_MS * MS - MS; /* attempt adds one */
    attempt(world, HEALTH_WELL, 200);
    assert_int_equal(health_first_event_us(world->target, world->now), 150000);
    attempt(world, HEALTH_WELL, 310); /* at once: counts 1/16 */
    assert_in_range(health_first_event_us(world->target, world->now), 159000, 161000);
    world->now += (int64_t)HEALTH_STALE_MS * MS + 1;
    assert_int_equal(health_first_event_us(world->target, world->now), -1);
    attempt(world, HEALTH_WELL, 7);
    assert_int_equal(health_first_event_us(world->target, world->now), 7000);
}

static void quantiles_are_of_the_last_times(void **state)
{
    struct world *world = *state;
    for (int i = 1; i < HEALTH_TIMES_MIN; i++)
        attempt(world, HEALTH_WELL, 9999);
    assert_int_equal(health_quantile_ms(world->target, 500), -1);
    for (int i = HEALTH_TIMES_MAX; i > 0; i--) /* these are all that is remembered */
        attempt(world, HEALTH_WELL, i);
    assert_int_equal(health_quantile_ms(world->target, 500), HEALTH_TIMES_MAX / 2);
    assert_int_equal(health_quantile_ms(world->target, 1), 1);
    assert_int_equal(health_quantile_ms(world->target, 1000), HEALTH_TIMES_MAX);
    assert_int_equal(
        health_look(world->target, world->now).p95_ms, (HEALTH_TIMES_MAX * 95 + 99) / 100);
}

static void what_is_known_outlives_its_holders(void **state)
{
    struct world *world = *state;
    struct health_target *again;
    attempts(world, HEALTH_FAILED, 3);
    health_release(world->target);
    assert_int_equal(health_hold(world->health, "p", SLICE("m"), &again), ERR_OK);
    assert_int_equal(health_look(again, world->now).failures, 3);
    assert_int_equal(health_look(again, world->now).requests, 3);
    assert_int_equal(health_hold(world->health, "p", SLICE("other"), &world->target), ERR_OK);
    assert_int_equal(health_look(world->target, world->now).failures, 0);
    health_release(again);
}

static void the_least_recent_is_forgotten(void **state)
{
    struct world *world = *state;
    struct health_target *target;
    char name[32];
    for (int i = 0; i <= HEALTH_TARGETS_MAX; i++) {
        (void)snprintf(name, sizeof name, "m%d", i);
        assert_int_equal(health_hold(world->health, "q", slice_text(name), &target), ERR_OK);
        struct health_attempt made = health_begin(target, world->now);
        health_end(&made, HEALTH_WELL, world->now);
        health_release(target);
    }
    assert_int_equal(health_hold(world->health, "q", SLICE("m0"), &target), ERR_OK);
    assert_int_equal(health_look(target, world->now).requests, 0);
    health_release(target);
    assert_int_equal(health_hold(world->health, "q", slice_text(name), &target), ERR_OK);
    assert_int_equal(health_look(target, world->now).requests, 1);
    health_release(target);
}

/* ── keys ───────────────────────────────────────────────────────────────────────────────────── */

static size_t next_key(struct world *world, const struct provider *provider)
{
    size_t key = 99;
    int64_t again;
    assert_int_equal(health_key(world->health, provider, world->now, &key, &again), ERR_OK);
    return key;
}

static void keys_take_turns_and_rest(void **state)
{
    struct world *world = *state;
    const struct provider provider = {.name = "p", .keys = {"a", "b", "c"}, .key_count = 3};
    size_t key;
    int64_t again;
    assert_int_equal(next_key(world, &provider), 0);
    assert_int_equal(next_key(world, &provider), 1);
    assert_int_equal(next_key(world, &provider), 2);
    health_key_limited(world->health, &provider, 0, 5000, world->now);
    assert_int_equal(next_key(world, &provider), 1);
    assert_int_equal(next_key(world, &provider), 2);
    assert_int_equal(next_key(world, &provider), 1);
    health_key_refused(world->health, &provider, 1, world->now);
    assert_int_equal(next_key(world, &provider), 2);
    health_key_limited(world->health, &provider, 2, 7000, world->now);
    assert_int_equal(health_key(world->health, &provider, world->now, &key, &again), ERR_AGAIN);
    assert_int_equal(again, world->now + 5ll * SECOND);
    assert_int_equal(key, 0);
    world->now = again;
    assert_int_equal(next_key(world, &provider), 0);
    world->now += 3600ll * SECOND;
    assert_int_equal(next_key(world, &provider), 2);
    assert_int_equal(next_key(world, &provider), 0); /* 1 was refused */
    health_forget_keys(world->health);
    bool is_seen[3] = {0};
    for (int i = 0; i < 3; i++)
        is_seen[next_key(world, &provider)] = true;
    assert_true(is_seen[0] && is_seen[1] && is_seen[2]);
}

static void a_pause_that_nobody_names_doubles(void **state)
{
    struct world *world = *state;
    const struct provider provider = {.name = "p"}; /* no key: it counts as one */
    int64_t again, pause = KEY_PAUSE_MS;
    size_t key;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(next_key(world, &provider), 0);
        health_key_limited(world->health, &provider, 0, -1, world->now);
        assert_int_equal(health_key(world->health, &provider, world->now, &key, &again), ERR_AGAIN);
        assert_int_equal(again - world->now, pause * MS);
        world->now = again;
        pause = pause * 2 < KEY_PAUSE_MS_MAX ? pause * 2 : KEY_PAUSE_MS_MAX;
    }
    health_key_works(world->health, &provider, 0, world->now);
    assert_int_equal(health_key_pause_ms(world->health, &provider, 0, -1), KEY_PAUSE_MS);
    assert_int_equal(health_key_pause_ms(world->health, &provider, 0, INT64_MAX), KEY_REST_MS_MAX);
}

/* It was sent before the key was limited. */
static void an_old_success_wakes_no_key(void **state)
{
    struct world *world = *state;
    const struct provider provider = {.name = "p", .keys = {"a"}, .key_count = 1};
    health_key_limited(world->health, &provider, 0, 60000, world->now);
    health_key_works(world->health, &provider, 0, world->now - 1);
    assert_true(health_key_again_ns(world->health, &provider, world->now) > world->now);
    health_key_works(world->health, &provider, 0, world->now + 1);
    assert_int_equal(health_key_again_ns(world->health, &provider, world->now), world->now);
}

static void a_key_is_known_by_what_it_is(void **state)
{
    struct world *world = *state;
    const struct provider before = {.name = "p", .keys = {"a", "b"}, .key_count = 2};
    const struct provider after = {.name = "p", .keys = {"b", "a"}, .key_count = 2};
    health_key_refused(world->health, &before, 0, world->now);
    for (int i = 0; i < 4; i++)
        assert_int_equal(next_key(world, &after), 0);
    assert_int_equal(health_key_until_ns(world->health, &after, 1), INT64_MAX);
    assert_int_equal(health_key_again_ns(world->health, &after, world->now), world->now);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(failures_in_a_row_open_a_breaker),
        TEST(a_large_part_of_failures_opens_it_too),
        TEST(one_that_always_dies_is_left_alone),
        TEST(a_probe_decides),
        TEST(a_probe_that_is_given_up_leaves_the_place_to_another),
        TEST(what_began_before_closes_nothing),
        TEST(the_latest_times_count_most),
        TEST(quantiles_are_of_the_last_times),
        TEST(what_is_known_outlives_its_holders),
        TEST(the_least_recent_is_forgotten),
        TEST(keys_take_turns_and_rest),
        TEST(a_pause_that_nobody_names_doubles),
        TEST(an_old_success_wakes_no_key),
        TEST(a_key_is_known_by_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
