/* upstream — connections that are kept: which way leads to a provider, which of them is used again,
 * and that no request is sent twice. */
#include "tests/server/io/upstream_rig.h"

#include <fcntl.h>
#include <poll.h>

/* Each connection answers so many requests, and stays open. */
static void answer_on_two_connections(struct provider *provider)
{
    int fds[2], requests[] = {1, 2};
    for (int i = 0; i < 2; i++) {
        fds[i] = provider_accept(provider);
        for (int k = 0; k < requests[i] && provider_read(provider, fds[i]); k++)
            provider_say(fds[i], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    provider_wait(provider);
    for (int i = 0; i < 2; i++)
        (void)close(fds[i]);
}

/* libcurl finds where a name leads, and keeps its connection; then our own client goes there. */
static void test_a_name_is_learned(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    char url[URL_BYTES];
    if (flight_is_curl())
        return;
    provider_start(&provider, answer_on_two_connections);
    (void)snprintf(url, sizeof url, "http://LocalHost:%u?q", (unsigned)provider.port);
    flight_init(&flight);
    for (int i = 0; i < 3; i++) {
        struct call transfer = {0};
        call_launch(&flight, &transfer, url);
        call_fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        assert_true(call_body_is(&transfer, "ok"));
        call_land(&transfer);
    }
    assert_non_null(strstr(provider.request, "POST /?q HTTP/1.1\r\n"));
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, 3);
}

static void answer_and_stay(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    provider_wait(provider);
    (void)close(fd);
}

static void name_leads_to(
    struct flight *flight, const char *url, enum upstream_end how, bool is_plain)
{
    struct call transfer = {0};
    call_launch(flight, &transfer, url);
    call_fly(flight, &transfer);
    assert_int_equal(transfer.how, how);
    assert_int_equal(strncmp(transfer.message, "no connection to ", 17) == 0, is_plain);
    call_land(&transfer);
}

/* Where nobody answers any more, libcurl looks where the name leads now: over a connection that it kept
 * it would find the old place. */
static void test_a_name_is_forgotten(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    char url[URL_BYTES];
    if (flight_is_curl())
        return;
    provider_start(&provider, answer_and_stay);
    (void)snprintf(url, sizeof url, "http://localhost:%u/", (unsigned)provider.port);
    flight_init(&flight);
    name_leads_to(&flight, url, UPSTREAM_COMPLETE, false);
    assert_int_equal(shutdown(provider.listen_fd, SHUT_RDWR), 0);
    name_leads_to(&flight, url, UPSTREAM_REFUSED, true);
    name_leads_to(&flight, url, UPSTREAM_REFUSED, false);
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, 1);
}

static const char *const last_answers[] = {
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x\r\nConnection: y,close ,z\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\nok",
};

/* Each on a connection of its own, which stays open. */
static void answer_for_the_last_time(struct provider *provider)
{
    int fds[sizeof last_answers / sizeof *last_answers];
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        fds[i] = provider_accept(provider);
        (void)provider_read(provider, fds[i]);
        provider_say(fds[i], last_answers[i]);
    }
    provider_wait(provider);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        (void)close(fds[i]);
}

static void test_not_kept(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    if (flight_is_curl()) /* it has rules of its own */
        return;
    provider_start(&provider, answer_for_the_last_time);
    flight_init(&flight);
    for (size_t i = 0; i < sizeof last_answers / sizeof *last_answers; i++) {
        struct call transfer = {0};
        call_launch(&flight, &transfer, provider.url);
        call_fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        call_land(&transfer);
    }
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, sizeof last_answers / sizeof *last_answers);
}

/* A kept connection that the provider closed while nobody used it is not used again. */
static void test_closed_while_idle(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    provider_start(&provider, provider_answer_each);
    flight_init(&flight);
    for (int i = 0; i < 2; i++) {
        struct call transfer = {0};
        call_launch(&flight, &transfer, provider.url);
        call_fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        call_land(&transfer);
        while (provider.closed_count <= i) /* or the next one would be on its way already */
            (void)poll(NULL, 0, 1);
    }
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, 2);
}

static void launch_again(void *context, enum upstream_end how, const char *message);

static void count_head(void *context, int status, struct slice head)
{
    (void)status;
    (void)head;
    ((struct call *)context)->head_count++;
}

static enum err drop_data(void *context, struct slice bytes)
{
    (void)context;
    (void)bytes;
    return ERR_OK;
}

/* Begins the next as each ends. */
static const struct upstream_owner again_owner = {
    .head = count_head,
    .data = drop_data,
    .ended = launch_again,
};

static void launch_again(void *context, enum upstream_end how, const char *message)
{
    struct call *transfer = context;
    struct flight *flight = transfer->flight;
    (void)message;
    assert_true(how == UPSTREAM_COMPLETE || how == UPSTREAM_RESET);
    transfer->ended_count += how == UPSTREAM_COMPLETE;
    if (--flight->left == 0) {
        loop_stop(flight->loop);
        return;
    }
    struct upstream_request request = flight_request(flight->url);
    assert_int_equal(
        upstream_start(flight->upstreams, &request, &again_owner, transfer, &transfer->upstream),
        ERR_OK);
}

/* The provider closes as it answers, and so while the next request is on its way. That is sent again
 * only if it was not taken: each one that it read is answered, once. (With the request unread in its
 * buffer a close is a RST, and what became of that request cannot be told.) */
static void test_closed_under_the_next_request(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    struct call transfer = {0};
    provider_start(&provider, provider_answer_each);
    flight_init(&flight);
    flight.url = provider.url;
    flight.left = PARALLEL;
    struct upstream_request request = flight_request(provider.url);
    transfer.flight = &flight;
    assert_int_equal(
        upstream_start(flight.upstreams, &request, &again_owner, &transfer, &transfer.upstream),
        ERR_OK);
    loop_run(flight.loop);
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, transfer.head_count);
    assert_int_equal(provider.request_count, transfer.ended_count);
    assert_in_range(transfer.ended_count, 1, PARALLEL);
}

static void answer_once_then_nothing(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (void)provider_read(provider, fd);
    (void)close(fd);
}

/* libcurl by itself would send the second request again, on a new connection. */
static void test_never_sent_twice(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    provider_start(&provider, answer_once_then_nothing);
    flight_init(&flight);
    for (int i = 0; i < 2; i++) {
        struct call transfer = {0};
        call_launch(&flight, &transfer, provider.url);
        call_fly(&flight, &transfer);
        assert_int_equal(transfer.how, i == 0 ? UPSTREAM_COMPLETE : UPSTREAM_RESET);
        call_land(&transfer);
    }
    flight_deinit(&flight);
    (void)fcntl(provider.listen_fd, F_SETFL, O_NONBLOCK);
    int fd = provider_accept(&provider);
    char byte;
    if (fd >= 0) { /* connecting again is harmless; asking again is not */
        assert_true(recv(fd, &byte, 1, 0) <= 0);
        (void)close(fd);
    }
    provider_stop(&provider);
    assert_int_equal(provider.request_count, 2);
}

FLIGHT_MAIN(cmocka_unit_test(test_a_name_is_learned), cmocka_unit_test(test_a_name_is_forgotten),
    cmocka_unit_test(test_not_kept), cmocka_unit_test(test_closed_while_idle),
    cmocka_unit_test(test_closed_under_the_next_request), cmocka_unit_test(test_never_sent_twice))
