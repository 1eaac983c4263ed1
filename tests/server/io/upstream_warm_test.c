/* Warming up begins a handshake with a socket of our own, and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/io/timer.h"
#include "server/io/upstream_warm.h"

static struct loop *loop;

static void stop(struct timer *timer)
{
    (void)timer;
    loop_stop(loop);
}

static void warm_for_a_second(struct upstreams *upstreams)
{
    struct timer timer = {.fire = stop};
    upstreams_warm(upstreams);
    timer_set(loop, &timer, loop_now_ns(loop) + 1000000000);
    loop_run(loop);
}

/* The poll of all sockets stays; nothing of a handshake does. */
static void test_it_ends_by_itself(void **state)
{
    (void)state;
    struct upstreams *upstreams;
    assert_int_equal(loop_new(&loop), ERR_OK);
    assert_int_equal(upstreams_new(loop, NULL, &upstreams), ERR_OK);
    struct loop_status before, after;
    warm_for_a_second(upstreams);
    loop_status(loop, &before);
    warm_for_a_second(upstreams);
    loop_status(loop, &after);
    assert_int_equal(after.in_flight, before.in_flight);
    upstreams_free(upstreams);
    loop_free(loop);
}

static void test_it_may_be_cut_short(void **state)
{
    (void)state;
    struct upstreams *upstreams;
    assert_int_equal(loop_new(&loop), ERR_OK);
    assert_int_equal(upstreams_new(loop, NULL, &upstreams), ERR_OK);
    upstreams_warm(upstreams);
    struct timer timer = {.fire = stop};
    timer_set(loop, &timer, loop_now_ns(loop) + 50000000);
    loop_run(loop);
    upstreams_free(upstreams);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_ends_by_itself),
        cmocka_unit_test(test_it_may_be_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
