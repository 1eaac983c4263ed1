/* upstream — responses that end badly or not at all, and transfers that are cancelled. */
#include "tests/server/io/upstream_rig.h"

#include <sys/resource.h>

/* ---- bad ends -------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    struct flight flight;
    struct call transfer = {0};
    char url[URL_BYTES];
    uint16_t port;
    (void)close(net_listen(&port)); /* free a moment ago */
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)port);
    flight_init(&flight);
    call_launch(&flight, &transfer, url);
    call_fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_REFUSED);
    assert_true(transfer.message[0] != '\0');
    call_land(&transfer);
    struct call file = {0};
    call_launch(&flight, &file, "file:///etc/passwd");
    call_fly(&flight, &file);
    assert_int_equal(file.how, UPSTREAM_REFUSED);
    assert_int_equal(file.body.size, 0);
    call_land(&file);
    flight_deinit(&flight);
}

/* What the system denies ends a transfer, and only that: the next one goes. */
static void test_no_descriptor_is_left(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    struct call denied = {0}, next = {0};
    struct rlimit limit, none_left;
    provider_start(&provider, provider_answer_each);
    flight_init(&flight);
    int first_free = dup(provider.listen_fd);
    assert_true(first_free > 0);
    (void)close(first_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none_left = (struct rlimit){(rlim_t)first_free, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
    call_launch(&flight, &denied, provider.url);
    call_fly(&flight, &denied);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(denied.how, UPSTREAM_REFUSED);
    const char *says = flight_is_curl() ? "" : "no connection to 127.0.0.1:"; /* and why */
    assert_memory_equal(denied.message, says, strlen(says));
    call_launch(&flight, &next, provider.url);
    call_fly(&flight, &next);
    assert_int_equal(next.how, UPSTREAM_COMPLETE);
    call_land(&denied);
    call_land(&next);
    flight_deinit(&flight);
    provider_stop(&provider);
}

static void test_connect_timeout(void **state)
{
    (void)state;
    struct flight flight;
    struct call transfer = {0};
    char url[URL_BYTES];
    uint16_t port;
    int fds[4], listen_fd = net_listen(&port);
    struct sockaddr_in address = net_address(port);
    assert_int_equal(listen(listen_fd, 0), 0); /* its queue of one is soon full: SYNs are dropped */
    for (int i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof address);
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)port);
    struct upstream_request request = flight_request(url);
    request.connect_timeout_ms = 100;
    flight_init(&flight);
    call_launch_request(&flight, &transfer, &request);
    call_fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_TIMEOUT_CONNECT);
    call_land(&transfer);
    flight_deinit(&flight);
    for (int i = 0; i < 4; i++)
        (void)close(fds[i]);
    (void)close(listen_fd);
}

static void answer_and_reset(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much");
    provider_wait(provider);
    net_reset(fd);
}

static void test_reset_in_the_body(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    struct call transfer = {0};
    struct release release = {{.fire = release_fired}, &provider};
    provider_start(&provider, answer_and_reset);
    flight_init(&flight);
    call_launch(&flight, &transfer, provider.url);
    timer_set(flight.loop, &release.timer, loop_now_ns(flight.loop) + 100 * NS_PER_MS);
    call_fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_RESET);
    assert_true(call_body_is(&transfer, "only so much"));
    call_land(&transfer);
    flight_deinit(&flight);
    provider_stop(&provider);
}

/* With the request not taken, and no length: only a FIN would be the response's end. */
static void answer_early_and_reset(struct provider *provider)
{
    int fd = provider_accept(provider);
    provider_say(fd, "HTTP/1.1 413 Content Too Large\r\n\r\nmuch");
    provider_wait(provider);
    net_reset(fd);
}

static void test_reset_is_no_end(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    struct call transfer = {0};
    struct release release = {{.fire = release_fired}, &provider};
    uint8_t *body = calloc(1, BODY_BYTES_MAX);
    assert_non_null(body);
    provider_start(&provider, answer_early_and_reset);
    struct upstream_request request = flight_request(provider.url);
    request.body = slice_of(body, BODY_BYTES_MAX);
    flight_init(&flight);
    call_launch_request(&flight, &transfer, &request);
    timer_set(flight.loop, &release.timer, loop_now_ns(flight.loop) + 50 * NS_PER_MS);
    call_fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_RESET);
    call_land(&transfer);
    flight_deinit(&flight);
    provider_stop(&provider);
    free(body);
}

static void answer_cut_off(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    (void)close(fd);
}

static void test_cut_off_chunks(void **state)
{
    (void)state;
    struct call transfer = {0};
    flight_one(answer_cut_off, &transfer, UPSTREAM_RESET);
    assert_true(call_body_is(&transfer, "hello"));
    call_land(&transfer);
}

static void answer_nothing(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    (void)close(fd);
}

static void test_closed_without_a_response(void **state)
{
    (void)state;
    struct call transfer = {0};
    flight_one(answer_nothing, &transfer, UPSTREAM_RESET);
    assert_int_equal(transfer.head_count, 0);
    call_land(&transfer);
}

static void answer_garbage(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "220 mail.example ESMTP\r\n");
    (void)close(fd);
}

static void answer_bad_chunk(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n");
    provider_wait(provider);
    (void)close(fd);
}

static void answer_endless_head(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1000; i++)
        provider_say(fd,
            "X-Filler: 0123456789012345678901234567890123456789012345678901234567890123456789"
            "01234567890123456789\r\n");
    provider_wait(provider);
    (void)close(fd);
}

static void test_malformed(void **state)
{
    (void)state;
    static void (*const behaviors[])(struct provider *) = {
        answer_garbage, answer_bad_chunk, answer_endless_head};
    for (size_t i = 0; i < sizeof behaviors / sizeof *behaviors; i++) {
        struct call transfer = {0};
        flight_one(behaviors[i], &transfer, UPSTREAM_MALFORMED);
        assert_int_equal(transfer.body.size, 0);
        call_land(&transfer);
    }
}

static void answer_and_stall(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much");
    provider_wait(provider);
    (void)close(fd);
}

static void stall(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 102 Processing\r\n\r\n"); /* is not the response */
    provider_wait(provider);
    (void)close(fd);
}

static void timeout(void (*behave)(struct provider *provider), enum upstream_end expected)
{
    struct provider provider;
    struct flight flight;
    struct call transfer = {0};
    provider_start(&provider, behave);
    struct upstream_request request = flight_request(provider.url);
    if (expected == UPSTREAM_TIMEOUT_IDLE)
        request.idle_timeout_ms = 50;
    else
        request.first_byte_timeout_ms = 50;
    flight_init(&flight);
    call_launch_request(&flight, &transfer, &request);
    call_fly(&flight, &transfer);
    assert_int_equal(transfer.how, expected);
    call_land(&transfer);
    flight_deinit(&flight);
    provider_stop(&provider);
}

static void test_timeouts(void **state)
{
    (void)state;
    timeout(stall, UPSTREAM_TIMEOUT_FIRST_BYTE);
    timeout(answer_and_stall, UPSTREAM_TIMEOUT_IDLE);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void call_cancel(struct timer *timer)
{
    struct call *transfer = CONTAINER_OF(timer, struct call, timer);
    upstream_cancel(transfer->upstream);
    upstream_cancel(transfer->upstream);
    assert_int_equal(transfer->ended_count, 0); /* never from inside the call */
}

static void test_cancel(void **state)
{
    (void)state;
    struct call in_head = {.cancels_in_head = true}, in_data = {.cancels_in_data = true};
    flight_one(answer_and_stall, &in_head, UPSTREAM_CANCELED);
    assert_int_equal(in_head.body.size, 0);
    call_land(&in_head);
    flight_one(answer_and_stall, &in_data, UPSTREAM_CANCELED);
    assert_int_equal(in_data.status, 200);
    call_land(&in_data);
}

static void cancel_after(void (*behave)(struct provider *provider), int64_t delay_ns)
{
    struct provider provider;
    struct flight flight;
    struct call transfer = {.timer.fire = call_cancel};
    provider_start(&provider, behave);
    flight_init(&flight);
    call_launch(&flight, &transfer, provider.url);
    if (delay_ns > 0)
        timer_set(flight.loop, &transfer.timer, loop_now_ns(flight.loop) + delay_ns);
    else
        upstream_cancel(transfer.upstream);
    call_fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_CANCELED);
    call_land(&transfer);
    (void)close(net_connect(provider.port, 0)); /* it may still wait for somebody */
    flight_deinit(&flight);
    provider_stop(&provider);
}

static void test_cancel_before_the_head(void **state)
{
    (void)state;
    cancel_after(stall, 20 * NS_PER_MS);
    cancel_after(stall, 0); /* before it was begun */
}

static void stop_loop(struct timer *timer)
{
    loop_stop(CONTAINER_OF(timer, struct call, timer)->flight->loop);
}

static void test_free_with_transfers_under_way(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    struct call paused = {.pauses_left = 1, .timer.fire = stop_loop}, queued = {0};
    provider_start(&provider, answer_and_stall);
    flight_init(&flight);
    call_launch(&flight, &paused, provider.url);
    loop_run(flight.loop); /* until it has paused */
    call_launch(&flight, &queued, provider.url);
    flight_deinit(&flight);
    assert_int_equal(paused.ended_count + queued.ended_count, 0);
    call_land(&paused);
    call_land(&queued);
    provider_stop(&provider);
}

FLIGHT_MAIN(cmocka_unit_test(test_refused), cmocka_unit_test(test_no_descriptor_is_left),
    cmocka_unit_test(test_connect_timeout), cmocka_unit_test(test_reset_in_the_body),
    cmocka_unit_test(test_reset_is_no_end), cmocka_unit_test(test_cut_off_chunks),
    cmocka_unit_test(test_closed_without_a_response), cmocka_unit_test(test_malformed),
    cmocka_unit_test(test_timeouts), cmocka_unit_test(test_cancel),
    cmocka_unit_test(test_cancel_before_the_head),
    cmocka_unit_test(test_free_with_transfers_under_way))
