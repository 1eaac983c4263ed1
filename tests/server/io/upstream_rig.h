/* upstream_rig — for the tests of transfers: a small blocking server in a thread, which behaves well
 * or badly as each test says, and transfers to it that note what they are told.
 *
 *   provider_start ─▶ flight_init ─▶ call_launch* ─▶ call_fly ─▶ call_land* ─▶ flight_deinit
 *                                                                             ─▶ provider_stop
 *
 * FLIGHT_MAIN runs a program's tests with both carriages, on the loop and on another one. */
#ifndef TOKENLOG_TESTS_SERVER_IO_UPSTREAM_RIG_H
#define TOKENLOG_TESTS_SERVER_IO_UPSTREAM_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/io/reactor.h"
#include "server/io/upstream.h"
#include "tests/server/io/net.h"

enum {
    REQUEST_BYTES_MAX = 64 * 1024,    /* what provider_read keeps of one */
    BODY_BYTES_MAX = 4 * 1024 * 1024, /* what no socket's buffer holds */
    PARALLEL = 200,                   /* transfers: of a test that has many */
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
    atomic_int closed_count; /* of provider_answer_each: its connections */
    int release[2];          /* a pipe: the test lets go of a provider that waits */
};

/* provider_start — `behave` runs in a thread, and may use what follows up to provider_say. */
void provider_start(struct provider *provider, void (*behave)(struct provider *provider));
/* provider_stop — `behave` is waited for; provider_wait and provider_accept (-1) return. */
void provider_stop(struct provider *provider);
void provider_wait(struct provider *provider); /* until a release, or the stop */
int provider_accept(struct provider *provider);
/* provider_read — one request with its Content-Length body; false: the end. */
bool provider_read(struct provider *provider, int fd);
void provider_say(int fd, const char *text);
/* provider_answer_each — behaves: one request a connection, answered and closed, as often as asked. */
void provider_answer_each(struct provider *provider);

/* A timer that lets the provider go: .timer.fire = release_fired. */
struct release {
    struct timer timer;
    struct provider *provider;
};
void release_fired(struct timer *timer);

/* ---- the transfers --------------------------------------------------------------------------- */

struct flight;

/* One transfer: what it shall do, and what it was told. */
struct call {
    struct flight *flight;
    struct upstream *upstream;
    struct timer timer;
    int status;
    int head_count;
    int ended_count;
    int pauses_left; /* data() answers ERR_AGAIN so often */
    int pause_count;
    bool pauses_each; /* … and once before each part that it takes, for a turn of the loop */
    bool has_paused;
    bool cancels_in_head;
    bool cancels_in_data;
    enum upstream_end how;
    char message[256];
    struct buf head;
    struct buf body;
};

/* All transfers of a test. */
struct flight {
    struct loop *loop;
    struct reactor *reactor; /* NULL: the transfers are on `loop` */
    struct upstreams *upstreams;
    const char *url; /* for an owner that begins the next */
    int left;
};

/* Notes all in its context, a struct call. */
extern const struct upstream_owner call_owner;

void flight_init(struct flight *flight);
void flight_deinit(struct flight *flight);
bool flight_is_curl(void); /* libcurl carries what would go the plain way */
/* flight_request — a POST with a few headers, a small body and long timeouts. */
struct upstream_request flight_request(const char *url);

/* call_launch — `transfer` is zero but for what it shall do. Its timer resumes it, unless it is set
 * to do something else. */
void call_launch(struct flight *flight, struct call *transfer, const char *url);
void call_launch_request(
    struct flight *flight, struct call *transfer, const struct upstream_request *request);
/* call_fly — until all have ended. */
void call_fly(struct flight *flight, struct call *transfer);
void call_land(struct call *transfer);
bool call_body_is(const struct call *transfer, const char *text);

/* flight_one — a whole test that is one transfer to a provider; then call_land. */
void flight_one(
    void (*behave)(struct provider *provider), struct call *transfer, enum upstream_end expected);

/* flight_run_all — the tests, four ways. FLIGHT_MAIN: a program that is `tests`. */
int flight_run_all(const struct CMUnitTest *tests, size_t count);
#define FLIGHT_MAIN(...)                                                                           \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return flight_run_all(tests, sizeof tests / sizeof *tests);                                \
    }

#endif
