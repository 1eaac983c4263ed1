/* listener — addresses and their refusals, accepting, running out of descriptors, closing. */
#include "server/io/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/server/io/net.h"

static int setup(void **state)
{
    struct loop *loop;
    if (loop_new(&loop) != ERR_OK)
        return 1;
    *state = loop;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static struct listener *open_listener(struct loop *loop, const char *address)
{
    const char *why = "";
    struct listener *listener = NULL;
    assert_int_equal(listener_open(loop, slice_text(address), &why, &listener), ERR_OK);
    return listener;
}

struct acceptor {
    struct loop *loop;
    int fds[8];
    int count;
    int stop_at;
    bool is_closed;
};

static void accepted(void *context, int fd)
{
    struct acceptor *acceptor = context;
    acceptor->fds[acceptor->count++] = fd;
    if (acceptor->count == acceptor->stop_at)
        loop_stop(acceptor->loop);
}

static void closed(void *context)
{
    struct acceptor *acceptor = context;
    acceptor->is_closed = true;
    loop_stop(acceptor->loop);
}

static void close_and_wait(struct listener *listener, struct acceptor *acceptor)
{
    listener_close(listener, closed);
    assert_false(acceptor->is_closed);
    loop_run(acceptor->loop);
    assert_true(acceptor->is_closed);
}

static void test_bad_addresses(void **state)
{
    static const char *const addresses[] = {"", ":", ":80", "8080", "127.0.0.1",
        "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x", "localhost:80", "::1:80",
        "[::1]80", "[]:80", "[127.0.0.1]:80", "[::1:80", "*", "203.0.113.7:0",
        "0000000000000000000000000000000000000000000000000000000000000000000000000.1:80"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const char *why = NULL;
        struct listener *listener = NULL;
        assert_int_equal(
            listener_open(*state, slice_text(addresses[i]), &why, &listener), ERR_INVALID);
        assert_non_null(why);
    }
}

static void test_taken_port(void **state)
{
    struct listener *first = open_listener(*state, "127.0.0.1:0");
    const char *why = NULL;
    struct listener *second = NULL;
    assert_int_equal(
        listener_open(*state, slice_text(listener_address(first)), &why, &second), ERR_BUSY);
    assert_non_null(strstr(why, "port"));
    listener_close(first, NULL);
}

/* Several of ours on one port; and still nobody else. */
static void share(struct loop *loop, const char *address)
{
    struct listener *first = open_listener(loop, address), *second = NULL, *other = NULL;
    const char *why = NULL;
    assert_int_equal(listener_share(first, loop, &second), ERR_OK);
    assert_string_equal(listener_address(first), listener_address(second));
    struct slice taken = slice_text(listener_address(second));
    assert_int_equal(listener_open(loop, taken, &why, &other), ERR_BUSY);
    struct acceptor one = {.loop = loop}, two = {.loop = loop};
    listener_start(first, accepted, &one);
    listener_start(second, accepted, &two);
    close_and_wait(first, &one);
    assert_int_equal(listener_open(loop, taken, &why, &other), ERR_BUSY);
    close_and_wait(second, &two);
}

static void test_shared_port(void **state)
{
    share(*state, "127.0.0.1:0");
    share(*state, "*:0");
}

static void test_loopback_or_not(void **state)
{
    struct listener *v4 = open_listener(*state, "127.0.0.2:0");
    struct listener *any = open_listener(*state, "*:0");
    assert_true(listener_is_loopback(v4));
    assert_false(listener_is_loopback(any));
    assert_true(net_port(listener_address(any)) > 0);
    assert_memory_equal(listener_address(v4), "127.0.0.2:", 10);
    listener_close(v4, NULL);
    listener_close(any, NULL);
}

static void test_callers_queue_before_start(void **state)
{
    struct acceptor acceptor = {.loop = *state, .stop_at = 3};
    struct listener *listener = open_listener(*state, "127.0.0.1:0");
    int clients[3];
    for (int i = 0; i < 3; i++)
        assert_true((clients[i] = net_connect(net_port(listener_address(listener)), 0)) >= 0);
    listener_start(listener, accepted, &acceptor);
    assert_int_equal(acceptor.count, 0);
    loop_run(*state);
    for (int i = 0; i < 3; i++) {
        (void)close(clients[i]);
        (void)close(acceptor.fds[i]);
    }
    close_and_wait(listener, &acceptor);
}

struct restore {
    struct timer timer;
    struct rlimit limit;
    int accepted_before;
    struct acceptor *acceptor;
};

static void limit_restored(struct timer *timer)
{
    struct restore *restore = CONTAINER_OF(timer, struct restore, timer);
    restore->accepted_before = restore->acceptor->count;
    (void)setrlimit(RLIMIT_NOFILE, &restore->limit);
}

static void test_out_of_descriptors(void **state)
{
    struct acceptor acceptor = {.loop = *state, .stop_at = 1};
    struct restore restore = {.timer.fire = limit_restored, .acceptor = &acceptor};
    struct listener *listener = open_listener(*state, "127.0.0.1:0");
    int client = net_connect(net_port(listener_address(listener)), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &restore.limit), 0);
    struct rlimit none = {(rlim_t)client + 1, restore.limit.rlim_max};
    listener_start(listener, accepted, &acceptor);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    timer_set(*state, &restore.timer, loop_now_ns(*state) + 20 * 1000000);
    loop_run(*state);
    assert_int_equal(restore.accepted_before, 0);
    assert_int_equal(acceptor.count, 1);
    (void)close(client);
    (void)close(acceptor.fds[0]);
    close_and_wait(listener, &acceptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bad_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loopback_or_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_callers_queue_before_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_descriptors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
