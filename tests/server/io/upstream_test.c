/* upstream — good responses, as servers write them, and the requests that they answer. */
#include "tests/server/io/upstream_rig.h"

enum {
    LARGE_BYTES = 1024 * 1024,
    ODD_CHUNKS = 300,
};

/* ---- good responses -------------------------------------------------------------------------- */

static void answer_twice(struct provider *provider)
{
    int fd = provider_accept(provider);
    for (int i = 0; i < 2 && provider_read(provider, fd); i++)
        provider_say(fd, "HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello");
    provider_wait(provider);
    (void)close(fd);
}

static void check_request(const struct provider *provider)
{
    static const char *const has[] = {"POST /v1 HTTP/1.1\r\n", "X-One: 1\r\n",
        "X-Empty:", "Content-Type: application/json\r\n", "Accept-Encoding: identity\r\n",
        "\r\n\r\n{\"stream\":true}"};
    for (size_t i = 0; i < sizeof has / sizeof *has; i++)
        assert_non_null(strstr(provider->request, has[i]));
    assert_null(strstr(provider->request, "Expect"));
}

static void test_response_and_reuse(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    provider_start(&provider, answer_twice); /* it accepts only one connection */
    flight_init(&flight);
    for (int i = 0; i < 2; i++) {
        struct call transfer = {0};
        call_launch(&flight, &transfer, provider.url);
        call_fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        assert_int_equal(transfer.status, 201);
        assert_true(
            slice_equal(buf_slice(&transfer.head), SLICE("X-A: b\r\nContent-Length: 5\r\n")));
        assert_true(call_body_is(&transfer, "hello"));
        call_land(&transfer);
    }
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, 2);
    check_request(&provider);
}

static void answer_chunked(struct provider *provider)
{
    static const char response[] =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        "HTTP/1.1 200 OK\r\nHTTP/odd: yes\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
        "5;x=y\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nTrailer: t\r\n\r\n";
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    for (const char *at = response; *at; at++)
        (void)net_write(fd, at, 1);
    (void)close(fd);
}

static void test_chunked_in_small_writes(void **state)
{
    (void)state;
    struct call transfer = {0};
    flight_one(answer_chunked, &transfer, UPSTREAM_COMPLETE);
    assert_int_equal(transfer.status, 200);
    assert_int_equal(transfer.head_count, 1);
    /* A name that is no token is left out; libcurl's users get it. */
    struct slice odd = flight_is_curl() ? SLICE("HTTP/odd: yes\r\n") : SLICE("");
    assert_true(slice_has_prefix(buf_slice(&transfer.head), odd));
    assert_true(slice_equal(slice_sub(buf_slice(&transfer.head), odd.size, transfer.head.size),
        SLICE("Transfer-Encoding: chunked\r\n")));
    assert_true(call_body_is(&transfer, "hello world"));
    call_land(&transfer);
}

static void answer_until_close(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    (void)close(fd);
}

static void test_close_delimited(void **state)
{
    (void)state;
    struct call transfer = {0};
    flight_one(answer_until_close, &transfer, UPSTREAM_COMPLETE);
    assert_true(call_body_is(&transfer, "until the end"));
    call_land(&transfer);
}

static void answer_large(struct provider *provider)
{
    int fd = provider_accept(provider);
    uint8_t *bytes = malloc(LARGE_BYTES);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    for (size_t i = 0; bytes && i < LARGE_BYTES; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    (void)net_write(fd, bytes, LARGE_BYTES);
    free(bytes);
    (void)close(fd);
}

static void test_pause_and_resume(void **state)
{
    (void)state;
    struct call transfer = {.pauses_left = 5};
    flight_one(answer_large, &transfer, UPSTREAM_COMPLETE);
    assert_int_equal(transfer.pause_count, 5);
    assert_int_equal(transfer.body.size, LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        assert_int_equal(transfer.body.data[i], (uint8_t)(i * 31 + i / 251));
    call_land(&transfer);
}

static void answer_chunks_at_once(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n");
    (void)close(fd);
}

static void test_pause_between_chunks(void **state)
{
    (void)state;
    struct call transfer = {.pauses_left = 4};
    flight_one(answer_chunks_at_once, &transfer, UPSTREAM_COMPLETE);
    assert_int_equal(transfer.pause_count, 4);
    assert_true(call_body_is(&transfer, "hello world"));
    call_land(&transfer);
}

/* Chunks of all sizes up to some, in writes that end anywhere. */
static void answer_odd_chunks(struct provider *provider)
{
    static const uint8_t end[] = "0\r\n\r\n";
    struct buf wire;
    int fd = provider_accept(provider);
    buf_init(&wire, BODY_BYTES_MAX);
    (void)provider_read(provider, fd);
    provider_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (unsigned size = 1, at = 0; size < ODD_CHUNKS; size++) {
        (void)!buf_printf(&wire, "%x\r\n", size);
        for (unsigned i = 0; i < size; i++, at++)
            (void)!buf_append(&wire, slice_of(&(uint8_t){(uint8_t)(at * 7 + at / 253)}, 1));
        (void)!buf_append_text(&wire, "\r\n");
    }
    (void)!buf_append(&wire, slice_of(end, sizeof end - 1));
    for (size_t at = 0, part = 1; at < wire.size; at += part, part = part * 5 % 8191 + 1) {
        size_t left = wire.size - at;
        (void)net_write(fd, wire.data + at, part < left ? part : left);
    }
    buf_deinit(&wire);
    (void)close(fd);
}

static void test_each_part_is_held(void **state)
{
    (void)state;
    struct call transfer = {.pauses_each = true};
    flight_one(answer_odd_chunks, &transfer, UPSTREAM_COMPLETE);
    assert_true(transfer.pause_count > 0);
    assert_int_equal(transfer.body.size, ODD_CHUNKS * (ODD_CHUNKS - 1) / 2);
    for (size_t i = 0; i < transfer.body.size; i++)
        assert_int_equal(transfer.body.data[i], (uint8_t)(i * 7 + i / 253));
    call_land(&transfer);
}

static void answer_many(struct provider *provider)
{
    static int fds[PARALLEL];
    for (int i = 0; i < PARALLEL; i++)
        fds[i] = provider_accept(provider); /* all are open at once */
    for (int i = 0; i < PARALLEL; i++) {
        (void)provider_read(provider, fds[i]);
        provider_say(fds[i], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n");
    }
    for (int i = 0; i < PARALLEL; i++) {
        provider_say(fds[i], "3\r\nllo\r\n0\r\n\r\n");
        (void)close(fds[i]);
    }
}

static void test_parallel(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    struct call *transfers = calloc(PARALLEL, sizeof *transfers);
    assert_non_null(transfers);
    provider_start(&provider, answer_many);
    flight_init(&flight);
    for (size_t i = 0; i < PARALLEL; i++)
        call_launch(&flight, &transfers[i], provider.url);
    loop_run(flight.loop);
    for (size_t i = 0; i < PARALLEL; i++) {
        assert_int_equal(transfers[i].how, UPSTREAM_COMPLETE);
        assert_int_equal(transfers[i].ended_count, 1);
        assert_true(call_body_is(&transfers[i], "hello"));
        call_land(&transfers[i]);
    }
    free(transfers);
    flight_deinit(&flight);
    provider_stop(&provider);
}

static void answer_once(struct provider *provider)
{
    int fd = provider_accept(provider);
    if (provider_read(provider, fd))
        provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (void)close(fd);
}

/* What our own client does not read is libcurl's: the rarer forms of a URL work, whoever reads
 * them. */
static void test_forms_of_urls(void **state)
{
    (void)state;
    static const struct {
        const char *before, *behind; /* the port */
        const char *has;
    } cases[] = {
        {"http://127.0.0.1:", "", "POST / HTTP/1.1\r\n"},
        {"http://127.0.0.1:", "/", "POST / HTTP/1.1\r\n"},
        {"HTTP://127.0.0.1:", "?a=b/c", "POST /?a=b/c HTTP/1.1\r\n"},
        {"http://127.0.0.1:", "/a%20b?c=d&e", "POST /a%20b?c=d&e HTTP/1.1\r\n"},
        {"http://127.0.0.1:", "/a/../b", "POST /b HTTP/1.1\r\n"},
        {"http://127.0.0.1:", "/a#b", "POST /a HTTP/1.1\r\n"},
        {"http://user:pass@127.0.0.1:", "/", "\r\nAuthorization: Basic "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct provider provider;
        struct flight flight;
        struct call transfer = {0};
        char url[URL_BYTES];
        provider_start(&provider, answer_once);
        (void)snprintf(
            url, sizeof url, "%s%u%s", cases[i].before, (unsigned)provider.port, cases[i].behind);
        flight_init(&flight);
        call_launch(&flight, &transfer, url);
        call_fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        call_land(&transfer);
        flight_deinit(&flight);
        provider_stop(&provider);
        assert_non_null(strstr(provider.request, cases[i].has));
    }
}

static void answer_the_head(struct provider *provider)
{
    int fd = provider_accept(provider);
    for (int i = 0; i < 2; i++) {
        (void)provider_read(provider, fd);
        provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    }
    provider_wait(provider);
    (void)close(fd);
}

static void test_head(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    provider_start(&provider, answer_the_head);
    struct upstream_request request = flight_request(provider.url);
    request.method = "HEAD";
    request.body = SLICE_NONE;
    flight_init(&flight);
    for (int i = 0; i < 2; i++) {
        struct call transfer = {0};
        call_launch_request(&flight, &transfer, &request);
        call_fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        assert_int_equal(transfer.body.size, 0);
        call_land(&transfer);
    }
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_memory_equal(provider.request, "HEAD /v1 HTTP/1.1\r\n", 19);
    assert_int_equal(provider.request_count, 2);
}

/* Takes all of a body that no socket's buffer holds, or answers after a part of it. */
static void take_large_body(struct provider *provider)
{
    int fd = provider_accept(provider);
    size_t count = 0; /* of the body's bytes, which are in no head */
    ssize_t got = 1;
    provider_wait(provider); /* meanwhile the sender is stuck */
    while (count < BODY_BYTES_MAX && got > 0) {
        got = recv(fd, provider->request, sizeof provider->request, 0);
        for (ssize_t i = 0; i < got; i++)
            count += provider->request[i] == 'x';
    }
    provider->request_count = count == BODY_BYTES_MAX;
    provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)close(fd);
}

static void answer_early(struct provider *provider)
{
    int fd = provider_accept(provider);
    provider_say(fd, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch");
    provider_wait(provider);
    net_reset(fd);
}

static void send_large(
    void (*behave)(struct provider *provider), struct call *transfer, int *request_count)
{
    struct provider provider;
    struct flight flight;
    struct release release = {{.fire = release_fired}, &provider};
    char *body = malloc(BODY_BYTES_MAX);
    assert_non_null(body);
    memset(body, 'x', BODY_BYTES_MAX);
    provider_start(&provider, behave);
    struct upstream_request request = flight_request(provider.url);
    request.body = slice_of(body, BODY_BYTES_MAX);
    flight_init(&flight);
    call_launch_request(&flight, transfer, &request);
    timer_set(flight.loop, &release.timer, loop_now_ns(flight.loop) + 50 * NS_PER_MS);
    call_fly(&flight, transfer);
    flight_deinit(&flight);
    provider_stop(&provider);
    *request_count = provider.request_count;
    free(body);
}

static void test_large_request(void **state)
{
    (void)state;
    struct call transfer = {0};
    int request_count;
    send_large(take_large_body, &transfer, &request_count);
    assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
    assert_int_equal(request_count, 1);
    call_land(&transfer);
}

/* The answer that came before the request was taken counts. */
static void test_early_answer(void **state)
{
    (void)state;
    struct call transfer = {0};
    int request_count;
    send_large(answer_early, &transfer, &request_count);
    assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
    assert_int_equal(transfer.status, 413);
    assert_true(call_body_is(&transfer, "much"));
    call_land(&transfer);
}

/* ---- requests that are refused --------------------------------------------------------------- */

static void test_bad_headers(void **state)
{
    (void)state;
    static const char *const lists[][2] = {
        {"X-A: b\r\nX-C: d", NULL},
        {"X-A: b\n", NULL},
        {"no colon", NULL},
    };
    struct flight flight;
    flight_init(&flight);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct upstream_request request = flight_request("http://127.0.0.1:1/");
        struct upstream *upstream = NULL;
        request.headers = lists[i];
        assert_int_equal(
            upstream_start(flight.upstreams, &request, &call_owner, NULL, &upstream), ERR_INVALID);
        assert_null(upstream);
    }
    flight_deinit(&flight);
}

static void test_names(void **state)
{
    (void)state;
    for (int end = UPSTREAM_COMPLETE; end <= UPSTREAM_CANCELED; end++)
        assert_memory_equal(upstream_end_name((enum upstream_end)end), "upstream_", 9);
}

FLIGHT_MAIN(cmocka_unit_test(test_response_and_reuse),
    cmocka_unit_test(test_chunked_in_small_writes), cmocka_unit_test(test_close_delimited),
    cmocka_unit_test(test_pause_and_resume), cmocka_unit_test(test_pause_between_chunks),
    cmocka_unit_test(test_each_part_is_held), cmocka_unit_test(test_parallel),
    cmocka_unit_test(test_forms_of_urls), cmocka_unit_test(test_head),
    cmocka_unit_test(test_large_request), cmocka_unit_test(test_early_answer),
    cmocka_unit_test(test_bad_headers), cmocka_unit_test(test_names))
