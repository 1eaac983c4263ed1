/* load — a thread that works is busy, one that sleeps is not; the bounds mean always and never. */
#include "server/io/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

enum { TRIES_MAX = 200, HALF = 50, NEVER = 100000 };

struct fixture {
    struct loop *loop;
    struct load load;
    struct timer timer;
    bool works, was_high, is_over;
    int tries_left;
};

static int64_t clock_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Windows of work until it is said to be busy, then of sleep until it is not: a machine that has no
 * time for a thread makes it busy, too. */
static void fire(struct timer *timer)
{
    struct fixture *fixture = CONTAINER_OF(timer, struct fixture, timer);
    bool is_high = load_is_high(&fixture->load);
    if (fixture->works == is_high) {
        fixture->was_high |= is_high;
        fixture->is_over = !is_high;
        fixture->works = false;
    }
    if (fixture->is_over || --fixture->tries_left == 0) {
        loop_stop(fixture->loop);
        return;
    }
    int64_t until_ns = clock_now_ns() + LOAD_WINDOW_NS;
    while (fixture->works && clock_now_ns() < until_ns) {
    }
    timer_set(fixture->loop, timer, until_ns);
}

static void work_is_told_from_sleep(void **state)
{
    (void)state;
    struct fixture fixture = {.timer.fire = fire, .works = true, .tries_left = TRIES_MAX};
    assert_int_equal(loop_new(&fixture.loop), ERR_OK);
    load_init(&fixture.load, fixture.loop, HALF);
    assert_false(load_is_high(&fixture.load));
    timer_set(fixture.loop, &fixture.timer, clock_now_ns());
    loop_run(fixture.loop);
    assert_true(fixture.was_high);
    assert_true(fixture.is_over);
    load_deinit(&fixture.load);
    loop_free(fixture.loop);
}

static void the_bounds_are_always_and_never(void **state)
{
    (void)state;
    struct loop *loop;
    assert_int_equal(loop_new(&loop), ERR_OK);
    struct load load;
    load_init(&load, loop, 0);
    assert_true(load_is_high(&load));
    load_deinit(&load);
    load_init(&load, loop, NEVER);
    assert_false(load_is_high(&load));
    load_deinit(&load);
    load_deinit(&load);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_told_from_sleep),
        cmocka_unit_test(the_bounds_are_always_and_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
