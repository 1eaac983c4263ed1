/* upstream — both carriages on the loop against a small blocking server in a thread, which behaves well
 * or badly as each test says; and all over again with the transfers on another loop. */
#include "server/io/upstream.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/io/conn.h"
#include "server/io/listener.h"
#include "server/io/reactor.h"
#include "tests/protocol/tls/certificate.h"
#include "tests/server/io/net.h"

enum {
    REQUEST_BYTES_MAX = 64 * 1024,
    BODY_BYTES_MAX = 4 * 1024 * 1024,
    LARGE_BYTES = 1024 * 1024,
    PARALLEL = 200,
    URL_BYTES = 64,
    NS_PER_MS = 1000000,
};

/* ---- the provider ---------------------------------------------------------------------------- */

struct provider {
    pthread_t thread;
    int listen_fd;
    uint16_t port;
    char url[URL_BYTES];
    void (*behave)(struct provider *provider);
    char request[REQUEST_BYTES_MAX]; /* the last one */
    int request_count;
    int release[2]; /* a pipe: the test lets go of a provider that waits */
};

static void *provider_main(void *argument)
{
    struct provider *provider = argument;
    provider->behave(provider);
    return NULL;
}

static void provider_start(struct provider *provider, void (*behave)(struct provider *provider))
{
    *provider = (struct provider){.behave = behave};
    provider->listen_fd = net_listen(&provider->port);
    assert_int_equal(pipe2(provider->release, O_CLOEXEC), 0);
    (void)snprintf(
        provider->url, sizeof provider->url, "http://127.0.0.1:%u/v1", (unsigned)provider->port);
    assert_int_equal(pthread_create(&provider->thread, NULL, provider_main, provider), 0);
}

static void provider_stop(struct provider *provider)
{
    (void)close(provider->release[1]);
    (void)pthread_join(provider->thread, NULL);
    (void)close(provider->release[0]);
    (void)close(provider->listen_fd);
}

static void wait_release(struct provider *provider)
{
    char byte;
    (void)!read(provider->release[0], &byte, 1);
}

static int provider_accept(struct provider *provider)
{
    return accept(provider->listen_fd, NULL, NULL);
}

/* One request with its Content-Length body; false: the end. */
static bool read_request(struct provider *provider, int fd)
{
    size_t size = 0, body = 0;
    char *blank = NULL;
    while (!blank || size < (size_t)(blank - provider->request) + 4 + body) {
        ssize_t got = recv(fd, provider->request + size, sizeof provider->request - 1 - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
        provider->request[size] = '\0';
        blank = strstr(provider->request, "\r\n\r\n");
        const char *length = strstr(provider->request, "Content-Length: ");
        body = length ? strtoul(length + 16, NULL, 10) : 0;
    }
    provider->request_count++;
    return true;
}

static void say(int fd, const char *text)
{
    (void)net_write(fd, text, strlen(text));
}

/* ---- the transfers --------------------------------------------------------------------------- */

struct flight; /* all transfers of a test */

struct call {
    struct flight *flight;
    struct upstream *upstream;
    struct timer timer;
    int status;
    int head_count;
    int ended_count;
    int pauses_left; /* data() answers ERR_AGAIN so often */
    int pause_count;
    bool cancels_in_head;
    bool cancels_in_data;
    enum upstream_end how;
    char message[256];
    struct buf head;
    struct buf body;
};

struct flight {
    struct loop *loop;
    struct reactor *reactor; /* NULL: the transfers are on `loop` */
    struct upstreams *upstreams;
    const char *url; /* of again_owner */
    int left;
};

static void call_head(void *context, int status, struct slice head)
{
    struct call *transfer = context;
    assert_int_equal(transfer->body.size, 0);
    transfer->status = status;
    transfer->head_count++;
    assert_int_equal(buf_append(&transfer->head, head), ERR_OK);
    if (transfer->cancels_in_head)
        upstream_cancel(transfer->upstream);
}

static enum err call_data(void *context, struct slice bytes)
{
    struct call *transfer = context;
    struct loop *loop = transfer->flight->loop;
    assert_int_equal(transfer->head_count, 1);
    assert_int_equal(transfer->ended_count, 0);
    if (transfer->pauses_left > 0) {
        transfer->pauses_left--;
        transfer->pause_count++;
        timer_set(loop, &transfer->timer, loop_now_ns(loop) + 2 * NS_PER_MS);
        return ERR_AGAIN;
    }
    if (transfer->cancels_in_data)
        upstream_cancel(transfer->upstream);
    return buf_append(&transfer->body, bytes);
}

static void call_resume(struct timer *timer)
{
    upstream_resume(CONTAINER_OF(timer, struct call, timer)->upstream);
}

static void call_cancel(struct timer *timer)
{
    struct call *transfer = CONTAINER_OF(timer, struct call, timer);
    upstream_cancel(transfer->upstream);
    upstream_cancel(transfer->upstream);
    assert_int_equal(transfer->ended_count, 0); /* never from inside the call */
}

static void call_ended(void *context, enum upstream_end how, const char *message)
{
    struct call *transfer = context;
    transfer->how = how;
    transfer->ended_count++;
    (void)snprintf(transfer->message, sizeof transfer->message, "%s", message);
    timer_cancel(transfer->flight->loop, &transfer->timer);
    if (--transfer->flight->left == 0)
        loop_stop(transfer->flight->loop);
}

static const struct upstream_owner call_owner = {
    .head = call_head,
    .data = call_data,
    .ended = call_ended,
};

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

static bool is_far;  /* the transfers are on another loop */
static bool is_curl; /* libcurl carries what would go the plain way */

static void flight_init(struct flight *flight)
{
    *flight = (struct flight){0};
    assert_int_equal(loop_new(&flight->loop), ERR_OK);
    assert_int_equal(upstreams_new(flight->loop, NULL, &flight->upstreams), ERR_OK);
    if (!is_far)
        return;
    struct reactor_config config = {.core = flight->loop, .index = 1};
    assert_int_equal(reactor_new(&config, &flight->reactor), ERR_OK);
    upstreams_add(
        flight->upstreams, reactor_crossing(flight->reactor), reactor_transfers(flight->reactor));
    upstreams_far_only(flight->upstreams);
}

static void flight_deinit(struct flight *flight)
{
    if (flight->reactor)
        reactor_stop(flight->reactor);
    upstreams_free(flight->upstreams);
    loop_free(flight->loop);
    reactor_free(flight->reactor);
}

static const char *const headers[] = {
    "Content-Type: application/json", "X-Empty:", "X-One: 1", NULL};

static struct upstream_request request_to(const char *url)
{
    return (struct upstream_request){
        .url = url,
        .method = "POST",
        .headers = headers,
        .body = SLICE("{\"stream\":true}"),
        .connect_timeout_ms = 10000,
        .first_byte_timeout_ms = 10000,
        .idle_timeout_ms = 10000,
        .resolve = is_curl ? "elsewhere.invalid:1:127.0.0.1" : NULL,
    };
}

static void launch_request(
    struct flight *flight, struct call *transfer, const struct upstream_request *request)
{
    transfer->flight = flight;
    if (!transfer->timer.fire)
        transfer->timer.fire = call_resume;
    buf_init(&transfer->head, BODY_BYTES_MAX);
    buf_init(&transfer->body, BODY_BYTES_MAX);
    flight->left++;
    assert_int_equal(
        upstream_start(flight->upstreams, request, &call_owner, transfer, &transfer->upstream),
        ERR_OK);
    assert_int_equal(transfer->ended_count, 0);
}

static void launch(struct flight *flight, struct call *transfer, const char *url)
{
    struct upstream_request request = request_to(url);
    launch_request(flight, transfer, &request);
}

static void fly(struct flight *flight, struct call *transfer)
{
    loop_run(flight->loop);
    assert_int_equal(transfer->ended_count, 1);
}

static void land(struct call *transfer)
{
    buf_deinit(&transfer->head);
    buf_deinit(&transfer->body);
}

/* A whole test that is one transfer to a provider. */
static void one(
    void (*behave)(struct provider *provider), struct call *transfer, enum upstream_end expected)
{
    struct provider provider;
    struct flight flight;
    provider_start(&provider, behave);
    flight_init(&flight);
    launch(&flight, transfer, provider.url);
    fly(&flight, transfer);
    if (transfer->how != expected)
        print_message("%s: %s\n", upstream_end_name(transfer->how), transfer->message);
    assert_int_equal(transfer->how, expected);
    flight_deinit(&flight);
    provider_stop(&provider);
}

static bool body_is(const struct call *transfer, const char *text)
{
    return slice_equal(buf_slice(&transfer->body), slice_text(text));
}

/* ---- good responses -------------------------------------------------------------------------- */

static void answer_twice(struct provider *provider)
{
    int fd = provider_accept(provider);
    for (int i = 0; i < 2 && read_request(provider, fd); i++)
        say(fd, "HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello");
    wait_release(provider);
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
        launch(&flight, &transfer, provider.url);
        fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        assert_int_equal(transfer.status, 201);
        assert_true(
            slice_equal(buf_slice(&transfer.head), SLICE("X-A: b\r\nContent-Length: 5\r\n")));
        assert_true(body_is(&transfer, "hello"));
        land(&transfer);
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
    (void)read_request(provider, fd);
    for (const char *at = response; *at; at++)
        (void)net_write(fd, at, 1);
    (void)close(fd);
}

static void test_chunked_in_small_writes(void **state)
{
    (void)state;
    struct call transfer = {0};
    one(answer_chunked, &transfer, UPSTREAM_COMPLETE);
    assert_int_equal(transfer.status, 200);
    assert_int_equal(transfer.head_count, 1);
    /* A name that is no token is left out; libcurl's users get it. */
    struct slice odd = is_curl ? SLICE("HTTP/odd: yes\r\n") : SLICE("");
    assert_true(slice_has_prefix(buf_slice(&transfer.head), odd));
    assert_true(slice_equal(slice_sub(buf_slice(&transfer.head), odd.size, transfer.head.size),
        SLICE("Transfer-Encoding: chunked\r\n")));
    assert_true(body_is(&transfer, "hello world"));
    land(&transfer);
}

static void answer_until_close(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    (void)close(fd);
}

static void test_close_delimited(void **state)
{
    (void)state;
    struct call transfer = {0};
    one(answer_until_close, &transfer, UPSTREAM_COMPLETE);
    assert_true(body_is(&transfer, "until the end"));
    land(&transfer);
}

static void answer_large(struct provider *provider)
{
    int fd = provider_accept(provider);
    uint8_t *bytes = malloc(LARGE_BYTES);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
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
    one(answer_large, &transfer, UPSTREAM_COMPLETE);
    assert_int_equal(transfer.pause_count, 5);
    assert_int_equal(transfer.body.size, LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        assert_int_equal(transfer.body.data[i], (uint8_t)(i * 31 + i / 251));
    land(&transfer);
}

static void answer_chunks_at_once(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n");
    (void)close(fd);
}

static void test_pause_between_chunks(void **state)
{
    (void)state;
    struct call transfer = {.pauses_left = 4};
    one(answer_chunks_at_once, &transfer, UPSTREAM_COMPLETE);
    assert_int_equal(transfer.pause_count, 4);
    assert_true(body_is(&transfer, "hello world"));
    land(&transfer);
}

static void answer_many(struct provider *provider)
{
    static int fds[PARALLEL];
    for (int i = 0; i < PARALLEL; i++)
        fds[i] = provider_accept(provider); /* all are open at once */
    for (int i = 0; i < PARALLEL; i++) {
        (void)read_request(provider, fds[i]);
        say(fds[i], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n");
    }
    for (int i = 0; i < PARALLEL; i++) {
        say(fds[i], "3\r\nllo\r\n0\r\n\r\n");
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
        launch(&flight, &transfers[i], provider.url);
    loop_run(flight.loop);
    for (size_t i = 0; i < PARALLEL; i++) {
        assert_int_equal(transfers[i].how, UPSTREAM_COMPLETE);
        assert_int_equal(transfers[i].ended_count, 1);
        assert_true(body_is(&transfers[i], "hello"));
        land(&transfers[i]);
    }
    free(transfers);
    flight_deinit(&flight);
    provider_stop(&provider);
}

struct release {
    struct timer timer;
    struct provider *provider;
};

static void release_provider(struct timer *timer)
{
    (void)!write(CONTAINER_OF(timer, struct release, timer)->provider->release[1], "x", 1);
}

/* Each connection answers so many requests, and stays open. */
static void answer_on_two_connections(struct provider *provider)
{
    int fds[2], requests[] = {1, 2};
    for (int i = 0; i < 2; i++) {
        fds[i] = provider_accept(provider);
        for (int k = 0; k < requests[i] && read_request(provider, fds[i]); k++)
            say(fds[i], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    wait_release(provider);
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
    if (is_curl)
        return;
    provider_start(&provider, answer_on_two_connections);
    (void)snprintf(url, sizeof url, "http://LocalHost:%u?q", (unsigned)provider.port);
    flight_init(&flight);
    for (int i = 0; i < 3; i++) {
        struct call transfer = {0};
        launch(&flight, &transfer, url);
        fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        assert_true(body_is(&transfer, "ok"));
        land(&transfer);
    }
    assert_non_null(strstr(provider.request, "POST /?q HTTP/1.1\r\n"));
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, 3);
}

static void answer_once(struct provider *provider)
{
    int fd = provider_accept(provider);
    if (read_request(provider, fd))
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (void)close(fd);
}

/* What our own client does not read is libcurl's: the rarer forms of a URL work, whoever reads them. */
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
        launch(&flight, &transfer, url);
        fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        land(&transfer);
        flight_deinit(&flight);
        provider_stop(&provider);
        assert_non_null(strstr(provider.request, cases[i].has));
    }
}

static void answer_and_go(struct provider *provider)
{
    for (int i = 0; i < 2; i++) {
        int fd = provider_accept(provider);
        (void)read_request(provider, fd);
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        (void)close(fd);
        wait_release(provider);
    }
}

/* A kept connection that the provider closed while nobody used it is not used again. */
static void test_closed_while_idle(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    provider_start(&provider, answer_and_go);
    flight_init(&flight);
    for (int i = 0; i < 2; i++) {
        struct call transfer = {0};
        launch(&flight, &transfer, provider.url);
        fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        land(&transfer);
        (void)!write(provider.release[1], "x", 1);
    }
    flight_deinit(&flight);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, 2);
}

static void answer_once_each(struct provider *provider)
{
    int fd;
    while ((fd = provider_accept(provider)) >= 0) {
        if (read_request(provider, fd))
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        (void)close(fd);
    }
}

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
    struct upstream_request request = request_to(flight->url);
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
    provider_start(&provider, answer_once_each);
    flight_init(&flight);
    flight.url = provider.url;
    flight.left = PARALLEL;
    struct upstream_request request = request_to(provider.url);
    transfer.flight = &flight;
    assert_int_equal(
        upstream_start(flight.upstreams, &request, &again_owner, &transfer, &transfer.upstream),
        ERR_OK);
    loop_run(flight.loop);
    flight_deinit(&flight);
    (void)shutdown(provider.listen_fd, SHUT_RDWR);
    provider_stop(&provider);
    assert_int_equal(provider.request_count, transfer.head_count);
    assert_int_equal(provider.request_count, transfer.ended_count);
    assert_in_range(transfer.ended_count, 1, PARALLEL);
}

static void answer_the_head(struct provider *provider)
{
    int fd = provider_accept(provider);
    for (int i = 0; i < 2; i++) {
        (void)read_request(provider, fd);
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    }
    wait_release(provider);
    (void)close(fd);
}

static void test_head(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    provider_start(&provider, answer_the_head);
    struct upstream_request request = request_to(provider.url);
    request.method = "HEAD";
    request.body = SLICE_NONE;
    flight_init(&flight);
    for (int i = 0; i < 2; i++) {
        struct call transfer = {0};
        launch_request(&flight, &transfer, &request);
        fly(&flight, &transfer);
        assert_int_equal(transfer.how, UPSTREAM_COMPLETE);
        assert_int_equal(transfer.body.size, 0);
        land(&transfer);
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
    wait_release(provider); /* meanwhile the sender is stuck */
    while (count < BODY_BYTES_MAX && got > 0) {
        got = recv(fd, provider->request, sizeof provider->request, 0);
        for (ssize_t i = 0; i < got; i++)
            count += provider->request[i] == 'x';
    }
    provider->request_count = count == BODY_BYTES_MAX;
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)close(fd);
}

static void answer_early(struct provider *provider)
{
    int fd = provider_accept(provider);
    say(fd, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch");
    wait_release(provider);
    net_reset(fd);
}

static void send_large(
    void (*behave)(struct provider *provider), struct call *transfer, int *request_count)
{
    struct provider provider;
    struct flight flight;
    struct release release = {{.fire = release_provider}, &provider};
    char *body = malloc(BODY_BYTES_MAX);
    assert_non_null(body);
    memset(body, 'x', BODY_BYTES_MAX);
    provider_start(&provider, behave);
    struct upstream_request request = request_to(provider.url);
    request.body = slice_of(body, BODY_BYTES_MAX);
    flight_init(&flight);
    launch_request(&flight, transfer, &request);
    timer_set(flight.loop, &release.timer, loop_now_ns(flight.loop) + 50 * NS_PER_MS);
    fly(&flight, transfer);
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
    land(&transfer);
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
    assert_true(body_is(&transfer, "much"));
    land(&transfer);
}

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
    launch(&flight, &transfer, url);
    fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_REFUSED);
    assert_true(transfer.message[0] != '\0');
    land(&transfer);
    struct call file = {0};
    launch(&flight, &file, "file:///etc/passwd");
    fly(&flight, &file);
    assert_int_equal(file.how, UPSTREAM_REFUSED);
    assert_int_equal(file.body.size, 0);
    land(&file);
    flight_deinit(&flight);
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
    struct upstream_request request = request_to(url);
    request.connect_timeout_ms = 100;
    flight_init(&flight);
    launch_request(&flight, &transfer, &request);
    fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_TIMEOUT_CONNECT);
    land(&transfer);
    flight_deinit(&flight);
    for (int i = 0; i < 4; i++)
        (void)close(fds[i]);
    (void)close(listen_fd);
}

static void answer_and_reset(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much");
    wait_release(provider);
    net_reset(fd);
}

static void test_reset_in_the_body(void **state)
{
    (void)state;
    struct provider provider;
    struct flight flight;
    struct call transfer = {0};
    struct release release = {{.fire = release_provider}, &provider};
    provider_start(&provider, answer_and_reset);
    flight_init(&flight);
    launch(&flight, &transfer, provider.url);
    timer_set(flight.loop, &release.timer, loop_now_ns(flight.loop) + 100 * NS_PER_MS);
    fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_RESET);
    assert_true(body_is(&transfer, "only so much"));
    land(&transfer);
    flight_deinit(&flight);
    provider_stop(&provider);
}

static void answer_cut_off(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    (void)close(fd);
}

static void test_cut_off_chunks(void **state)
{
    (void)state;
    struct call transfer = {0};
    one(answer_cut_off, &transfer, UPSTREAM_RESET);
    assert_true(body_is(&transfer, "hello"));
    land(&transfer);
}

static void answer_nothing(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    (void)close(fd);
}

static void test_closed_without_a_response(void **state)
{
    (void)state;
    struct call transfer = {0};
    one(answer_nothing, &transfer, UPSTREAM_RESET);
    assert_int_equal(transfer.head_count, 0);
    land(&transfer);
}

static void answer_once_then_nothing(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (void)read_request(provider, fd);
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
        launch(&flight, &transfer, provider.url);
        fly(&flight, &transfer);
        assert_int_equal(transfer.how, i == 0 ? UPSTREAM_COMPLETE : UPSTREAM_RESET);
        land(&transfer);
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

static void answer_garbage(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "220 mail.example ESMTP\r\n");
    (void)close(fd);
}

static void answer_bad_chunk(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n");
    wait_release(provider);
    (void)close(fd);
}

static void answer_endless_head(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1000; i++)
        say(fd, "X-Filler: 0123456789012345678901234567890123456789012345678901234567890123456789"
                "01234567890123456789\r\n");
    wait_release(provider);
    (void)close(fd);
}

static void test_malformed(void **state)
{
    (void)state;
    static void (*const behaviors[])(struct provider *) = {
        answer_garbage, answer_bad_chunk, answer_endless_head};
    for (size_t i = 0; i < sizeof behaviors / sizeof *behaviors; i++) {
        struct call transfer = {0};
        one(behaviors[i], &transfer, UPSTREAM_MALFORMED);
        assert_int_equal(transfer.body.size, 0);
        land(&transfer);
    }
}

static void answer_and_stall(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much");
    wait_release(provider);
    (void)close(fd);
}

static void stall(struct provider *provider)
{
    int fd = provider_accept(provider);
    (void)read_request(provider, fd);
    say(fd, "HTTP/1.1 102 Processing\r\n\r\n"); /* is not the response */
    wait_release(provider);
    (void)close(fd);
}

static void timeout(void (*behave)(struct provider *provider), enum upstream_end expected)
{
    struct provider provider;
    struct flight flight;
    struct call transfer = {0};
    provider_start(&provider, behave);
    struct upstream_request request = request_to(provider.url);
    if (expected == UPSTREAM_TIMEOUT_IDLE)
        request.idle_timeout_ms = 50;
    else
        request.first_byte_timeout_ms = 50;
    flight_init(&flight);
    launch_request(&flight, &transfer, &request);
    fly(&flight, &transfer);
    assert_int_equal(transfer.how, expected);
    land(&transfer);
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

static void test_cancel(void **state)
{
    (void)state;
    struct call in_head = {.cancels_in_head = true}, in_data = {.cancels_in_data = true};
    one(answer_and_stall, &in_head, UPSTREAM_CANCELED);
    assert_int_equal(in_head.body.size, 0);
    land(&in_head);
    one(answer_and_stall, &in_data, UPSTREAM_CANCELED);
    assert_int_equal(in_data.status, 200);
    land(&in_data);
}

static void cancel_after(void (*behave)(struct provider *provider), int64_t delay_ns)
{
    struct provider provider;
    struct flight flight;
    struct call transfer = {.timer.fire = call_cancel};
    provider_start(&provider, behave);
    flight_init(&flight);
    launch(&flight, &transfer, provider.url);
    if (delay_ns > 0)
        timer_set(flight.loop, &transfer.timer, loop_now_ns(flight.loop) + delay_ns);
    else
        upstream_cancel(transfer.upstream);
    fly(&flight, &transfer);
    assert_int_equal(transfer.how, UPSTREAM_CANCELED);
    land(&transfer);
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
    launch(&flight, &paused, provider.url);
    loop_run(flight.loop); /* until it has paused */
    launch(&flight, &queued, provider.url);
    flight_deinit(&flight);
    assert_int_equal(paused.ended_count + queued.ended_count, 0);
    land(&paused);
    land(&queued);
    provider_stop(&provider);
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
        struct upstream_request request = request_to("http://127.0.0.1:1/");
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

/* ---- TLS: against a conn on the same loop ---------------------------------------------------- */

struct secure {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *tls;
    struct conn *conn;
};

static void secure_received(void *context, struct slice bytes, size_t *consumed)
{
    *consumed = bytes.size;
    conn_wake(((struct secure *)context)->conn);
}

static void secure_writable(void *context)
{
    struct secure *secure = context;
    static const char response[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsecret";
    assert_int_equal(conn_push_copy(secure->conn, slice_text(response)), ERR_OK);
    conn_close(secure->conn, CONN_CLOSE_FLUSH);
}

static void secure_ended(void *context, bool is_broken)
{
    (void)is_broken;
    conn_close(((struct secure *)context)->conn, CONN_CLOSE_FLUSH);
}

static void secure_closed(void *context)
{
    (void)context;
}

static const struct conn_owner secure_owner = {
    secure_received, secure_writable, secure_ended, secure_closed};

static void secure_accepted(void *context, int fd)
{
    struct secure *secure = context;
    assert_int_equal(conn_new(secure->loop, (struct arrival){fd, NULL}, secure->tls, &secure_owner,
                         secure, &secure->conn),
        ERR_OK);
}

static void fly_secure(struct flight *flight, const struct secure *secure, const char *ca_file,
    enum upstream_end expected)
{
    struct call transfer = {0};
    char url[URL_BYTES];
    (void)snprintf(url, sizeof url, "https://localhost:%u/",
        (unsigned)net_port(listener_address(secure->listener)));
    struct upstream_request request = request_to(url);
    request.ca_file = ca_file;
    launch_request(flight, &transfer, &request);
    fly(flight, &transfer);
    assert_int_equal(transfer.how, expected);
    assert_true(body_is(&transfer, expected == UPSTREAM_COMPLETE ? "secret" : ""));
    land(&transfer);
}

static void test_certificates_are_verified(void **state)
{
    (void)state;
    struct flight flight;
    struct certificate certificate;
    const char *why = "";
    flight_init(&flight);
    struct secure secure = {.loop = flight.loop};
    assert_true(certificate_make(&certificate));
    assert_int_equal(
        tls_context_new(certificate.certificate_path, certificate.key_path, &why, &secure.tls),
        ERR_OK);
    assert_int_equal(
        listener_open(flight.loop, SLICE("127.0.0.1:0"), &why, &secure.listener), ERR_OK);
    listener_start(secure.listener, secure_accepted, &secure);
    fly_secure(&flight, &secure, certificate.certificate_path, UPSTREAM_COMPLETE);
    fly_secure(&flight, &secure, NULL, UPSTREAM_REFUSED);
    listener_close(secure.listener, NULL);
    flight_deinit(&flight);
    tls_context_free(secure.tls);
    certificate_remove(&certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response_and_reuse),
        cmocka_unit_test(test_chunked_in_small_writes),
        cmocka_unit_test(test_close_delimited),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_pause_between_chunks),
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_a_name_is_learned),
        cmocka_unit_test(test_forms_of_urls),
        cmocka_unit_test(test_closed_while_idle),
        cmocka_unit_test(test_closed_under_the_next_request),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_large_request),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_reset_in_the_body),
        cmocka_unit_test(test_cut_off_chunks),
        cmocka_unit_test(test_closed_without_a_response),
        cmocka_unit_test(test_never_sent_twice),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_before_the_head),
        cmocka_unit_test(test_free_with_transfers_under_way),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_certificates_are_verified),
    };
    int failed = cmocka_run_group_tests_name("plain, on this loop", tests, NULL, NULL);
    is_far = true;
    failed += cmocka_run_group_tests_name("plain, on another loop", tests, NULL, NULL);
    is_curl = true;
    failed += cmocka_run_group_tests_name("libcurl, on another loop", tests, NULL, NULL);
    is_far = false;
    return failed + cmocka_run_group_tests_name("libcurl, on this loop", tests, NULL, NULL);
}
