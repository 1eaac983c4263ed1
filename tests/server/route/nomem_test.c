/* nomem — a call's way through its route when the n-th allocation fails, for n = 1, 2, … until none does:
 * it is told, or it does not matter; nothing leaks and nobody stays busy. */
#include "tests/server/route/routing.h"

enum { ALLOCATIONS_MAX = 1000 };

static size_t fails_at; /* counts down; 0: never */
static bool has_failed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

static bool is_failing(void)
{
    bool is_now = fails_at == 1;
    fails_at -= fails_at > 0;
    has_failed |= is_now;
    return is_now;
}

void *__wrap_malloc(size_t size)
{
    return is_failing() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_failing() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    return is_failing() ? NULL : __real_realloc(pointer, size);
}

/* Every attempt is limited, so that all keys come to rest, and waits are taken. */
static enum err live(struct routing *routing, struct health *health, struct slice model)
{
    struct plan_target target;
    struct plan *plan;
    int64_t at, now = routing->now;
    struct plan_policy wish = plan_policy_unsaid;
    wish.continue_message = "go on";
    wish.retries = PLAN_RETRIES_MAX;
    const struct plan_ask ask = {.model = model, .wish = &wish, .now_ns = now};
    TRY(plan_make(routing->catalogue, health, &ask, &plan, &routing->why));
    enum err err;
    while ((err = plan_next(plan, now, &target, &at)) == ERR_OK || err == ERR_AGAIN) {
        const struct plan_outcome outcome = {.end = PLAN_STATUS,
            .status = 429,
            .retry_after_ms = -1,
            .first_event_ms = 5,
            .now_ns = now};
        if (err == ERR_OK)
            plan_ended(plan, &target, &outcome);
        else
            now = at;
    }
    plan_free(plan);
    return err == ERR_CLOSED ? ERR_OK : err;
}

static enum err begin_and_live(struct routing *routing, struct slice model)
{
    struct health *health;
    TRY(health_new(&health));
    enum err err = live(routing, health, model);
    health_free(health);
    return err;
}

static void any_allocation_may_fail(void **state)
{
    static const char *const models[] = {"smart", "b/x", "c"};
    (void)state;
    struct routing *routing = routing_new(ROUTE_STICKY);
    routing_add(routing, "a/x");
    routing_add(routing, "b/y");
    routing_add(routing, "c/z")->when.needs[0] = "vision";
    assert_int_equal(routing_build(routing), ERR_OK);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        size_t n = 0;
        do {
            assert_true(++n < ALLOCATIONS_MAX);
            has_failed = false;
            fails_at = n;
            enum err err = begin_and_live(routing, slice_text(models[i]));
            fails_at = 0;
            if (err)
                assert_true(err == ERR_NOMEM && has_failed);
        } while (has_failed);
        assert_true(n > 5);
    }
    routing_free(routing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
