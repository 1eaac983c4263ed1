/* upstream_rig — see upstream_rig.h. */
#include "tests/server/io/upstream_rig.h"

#include <poll.h>
#include <errno.h>
#include <fcntl.h>

/* ---- the provider ---------------------------------------------------------------------------- */

static void *provider_main(void *argument)
{
    struct provider *provider = argument;
    provider->behave(provider);
    return NULL;
}

void provider_start(struct provider *provider, void (*behave)(struct provider *provider))
{
    *provider = (struct provider){.behave = behave};
    provider->listen_fd = net_listen(&provider->port);
    assert_int_equal(pipe2(provider->release, O_CLOEXEC), 0);
    (void)snprintf(
        provider->url, sizeof provider->url, "http://127.0.0.1:%u/v1", (unsigned)provider->port);
    assert_int_equal(pthread_create(&provider->thread, NULL, provider_main, provider), 0);
}

void provider_stop(struct provider *provider)
{
    (void)close(provider->release[1]);
    (void)shutdown(provider->listen_fd, SHUT_RDWR);
    (void)pthread_join(provider->thread, NULL);
    (void)close(provider->release[0]);
    (void)close(provider->listen_fd);
}

void provider_wait(struct provider *provider)
{
    char byte;
    (void)!read(provider->release[0], &byte, 1);
}

int provider_accept(struct provider *provider)
{
    int fd;
    while ((fd = accept(provider->listen_fd, NULL, NULL)) < 0 && errno == EMFILE)
        (void)poll(NULL, 0, 1); /* a test has taken all descriptors away, for a moment */
    return fd;
}

bool provider_read(struct provider *provider, int fd)
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

void provider_say(int fd, const char *text)
{
    (void)net_write(fd, text, strlen(text));
}

void provider_answer_each(struct provider *provider)
{
    int fd;
    while ((fd = provider_accept(provider)) >= 0) {
        if (provider_read(provider, fd))
            provider_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        (void)close(fd);
        provider->closed_count++;
    }
}

void release_fired(struct timer *timer)
{
    (void)!write(CONTAINER_OF(timer, struct release, timer)->provider->release[1], "x", 1);
}

/* ---- the transfers --------------------------------------------------------------------------- */

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
    if (transfer->pauses_each && (transfer->has_paused = !transfer->has_paused)) {
        transfer->pause_count++;
        timer_set(loop, &transfer->timer, loop_now_ns(loop));
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

const struct upstream_owner call_owner = {
    .head = call_head,
    .data = call_data,
    .ended = call_ended,
};

static bool is_far;  /* the transfers are on another loop */
static bool is_curl; /* libcurl carries what would go the plain way */

bool flight_is_curl(void)
{
    return is_curl;
}

void flight_init(struct flight *flight)
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

void flight_deinit(struct flight *flight)
{
    if (flight->reactor)
        reactor_stop(flight->reactor);
    upstreams_free(flight->upstreams);
    loop_free(flight->loop);
    reactor_free(flight->reactor);
}

static const char *const headers[] = {
    "Content-Type: application/json", "X-Empty:", "X-One: 1", NULL};

struct upstream_request flight_request(const char *url)
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

void call_launch_request(
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

void call_launch(struct flight *flight, struct call *transfer, const char *url)
{
    struct upstream_request request = flight_request(url);
    call_launch_request(flight, transfer, &request);
}

void call_fly(struct flight *flight, struct call *transfer)
{
    loop_run(flight->loop);
    assert_int_equal(transfer->ended_count, 1);
}

void call_land(struct call *transfer)
{
    buf_deinit(&transfer->head);
    buf_deinit(&transfer->body);
}

/* A whole test that is one transfer to a provider. */
void flight_one(
    void (*behave)(struct provider *provider), struct call *transfer, enum upstream_end expected)
{
    struct provider provider;
    struct flight flight;
    provider_start(&provider, behave);
    flight_init(&flight);
    call_launch(&flight, transfer, provider.url);
    call_fly(&flight, transfer);
    if (transfer->how != expected)
        print_message("%s: %s\n", upstream_end_name(transfer->how), transfer->message);
    assert_int_equal(transfer->how, expected);
    flight_deinit(&flight);
    provider_stop(&provider);
}

bool call_body_is(const struct call *transfer, const char *text)
{
    return slice_equal(buf_slice(&transfer->body), slice_text(text));
}

/* ---- four ways ------------------------------------------------------------------------------- */

int flight_run_all(const struct CMUnitTest *tests, size_t count)
{
    static const struct {
        const char *name;
        bool is_far, is_curl;
    } ways[] = {
        {"plain, on this loop", false, false},
        {"plain, on another loop", true, false},
        {"libcurl, on another loop", true, true},
        {"libcurl, on this loop", false, true},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        is_far = ways[i].is_far;
        is_curl = ways[i].is_curl;
        failed += _cmocka_run_group_tests(ways[i].name, tests, count, NULL, NULL);
    }
    return failed;
}
