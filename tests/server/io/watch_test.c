/* watch — what may be done to all watches while some are told. */
#include "server/io/watch.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/io/timer.h"

enum {
    SOCKETS = 3,
    IN_FLIGHT_IDLE = 1, /* the loop's own wake-up */
    TICK_NS = 1000000,
};

static struct loop *loop;
static struct watches *watches;
static struct watch watched[SOCKETS];
static int told_count;

static uint64_t in_flight(void)
{
    struct loop_status status;
    loop_status(loop, &status);
    return status.in_flight;
}

/* Until all was told, and the poll of the set has ended: else the program hangs. */
static void tick(struct timer *timer)
{
    if (told_count > 0 && in_flight() == IN_FLIGHT_IDLE)
        loop_stop(loop);
    else
        timer_set(loop, timer, loop_now_ns(loop) + TICK_NS);
}

/* The first one told changes what is wanted, which has the set polled again, and ends all. */
static void end_all(struct watch *watch, short events)
{
    assert_true(events & POLLIN);
    told_count++;
    assert_int_equal(watch_want(watch, POLLIN | POLLOUT), ERR_OK);
    for (int i = 0; i < SOCKETS; i++)
        watch_remove(&watched[i]);
    watches = watches_free(watches);
}

static void test_freed_while_told(void **state)
{
    (void)state;
    static const struct watch_owner owner = {.ready = end_all};
    int pairs[SOCKETS][2];
    assert_int_equal(loop_new(&loop), ERR_OK);
    assert_int_equal(watches_new(loop, &owner, &watches), ERR_OK);
    for (int i = 0; i < SOCKETS; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]), 0);
        assert_int_equal(write(pairs[i][1], "x", 1), 1);
        watch_init(&watched[i], watches, pairs[i][0]);
        assert_int_equal(watch_want(&watched[i], POLLIN), ERR_OK);
    }
    struct timer timer = {.fire = tick};
    timer_set(loop, &timer, loop_now_ns(loop) + TICK_NS);
    loop_run(loop);
    assert_int_equal(told_count, 1);
    for (int i = 0; i < SOCKETS; i++)
        for (int k = 0; k < 2; k++)
            (void)close(pairs[i][k]);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed_while_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
