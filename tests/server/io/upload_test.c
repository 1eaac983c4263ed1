/* upload — a body that is written on one side and read on the other: by hand, by two threads, and by a
 * transfer to a small blocking server in a thread; that all over again on another loop. */
#include "server/io/upload.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
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
    BODY_BYTES = 3 * 1024 * 1024 + 17,
    FIRST_BYTES = 70001,
    FILLING_BYTES = 16 * BODY_BYTES, /* more than the kernel keeps for one connection */
    PIECE_BYTES = 5003,
    HEAD_BYTES_MAX = 64 * 1024,
    NS_PER_MS = 1000000,
};

static uint8_t *pattern_new(void)
{
    uint8_t *bytes = malloc(BODY_BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < BODY_BYTES; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    return bytes;
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void count_call(void *context)
{
    ++*(size_t *)context;
}

/* What can be taken now, to `at`: so much. */
static size_t drain(struct upload *upload, uint8_t *at, size_t piece, bool *wants_room)
{
    size_t all = 0, got;
    bool wants = false;
    *wants_room = false;
    while (upload_take(upload, at + all, piece, &got, &wants) == ERR_OK) {
        all += got;
        *wants_room |= wants;
    }
    return all;
}

static void test_bytes_and_digest(void **state)
{
    (void)state;
    static const size_t firsts[] = {0, 1, FIRST_BYTES};
    uint8_t *bytes = pattern_new(), *out = malloc(BODY_BYTES), digest[32], expected[32];
    sha256(slice_of(bytes, BODY_BYTES), expected);
    for (size_t i = 0; i < 6; i++) {
        size_t first = firsts[i % 3], at = first, got = 0;
        struct upload *upload;
        int64_t length = i < 3 ? BODY_BYTES : -1;
        bool wants;
        assert_int_equal(upload_new(slice_of(bytes, first), length, &upload), ERR_OK);
        while (at < BODY_BYTES) {
            size_t room = upload_room(upload), left = BODY_BYTES - at;
            size_t size = room < left ? room : left;
            upload_put(upload, slice_of(bytes + at, size < PIECE_BYTES ? size : PIECE_BYTES));
            at += size < PIECE_BYTES ? size : PIECE_BYTES;
            if (at % 3 == 0 || upload_room(upload) == 0)
                got += drain(upload, out + got, 4099, &wants);
        }
        upload_end(upload);
        got += drain(upload, out + got, 65536, &wants);
        assert_int_equal(got, BODY_BYTES);
        assert_memory_equal(out, bytes, BODY_BYTES);
        assert_int_equal(upload_taken(upload), BODY_BYTES);
        assert_int_equal(upload_length(upload), length);
        assert_true(upload_digest(upload, digest));
        assert_memory_equal(digest, expected, 32);
        assert_int_equal(upload_take(upload, out, 1, &got, &wants), ERR_CLOSED);
        upload_unref(upload);
    }
    free(out);
    free(bytes);
}

static void test_room_is_told_once_half_is_free(void **state)
{
    (void)state;
    struct upload *upload;
    uint8_t *bytes = pattern_new(), out[UPLOAD_BYTES / 2];
    size_t told = 0, fed = 0, got;
    bool wants;
    assert_int_equal(upload_new(SLICE_NONE, -1, &upload), ERR_OK);
    upload_on_room(upload, count_call, &told);
    upload_on_fed(upload, count_call, &fed);
    assert_int_equal(upload_room(upload), UPLOAD_BYTES);
    upload_put(upload, slice_of(bytes, UPLOAD_BYTES));
    assert_int_equal(fed, 1);
    assert_int_equal(upload_room(upload), 0);
    assert_int_equal(upload_take(upload, out, sizeof out - 1, &got, &wants), ERR_OK);
    assert_false(wants);
    assert_int_equal(upload_take(upload, out, 1, &got, &wants), ERR_OK);
    assert_true(wants);
    assert_int_equal(upload_take(upload, out, 1, &got, &wants), ERR_OK);
    assert_false(wants); /* once */
    upload_tell_room(upload);
    assert_int_equal(told, 1);
    assert_int_equal(upload_room(upload), UPLOAD_BYTES / 2 + 1);
    upload_close(upload); /* from now on all of it is thrown away */
    assert_int_equal(told, 2);
    assert_int_equal(upload_room(upload), SIZE_MAX);
    upload_put(upload, slice_of(bytes, BODY_BYTES));
    assert_int_equal(fed, 1);
    upload_unref(upload);
    free(bytes);
}

static void test_cut(void **state)
{
    (void)state;
    struct upload *upload;
    uint8_t out[8], digest[32];
    size_t got;
    bool wants;
    assert_int_equal(upload_new(SLICE("abc"), 8, &upload), ERR_OK);
    upload_put(upload, SLICE("de"));
    upload_cut(upload);
    upload_end(upload); /* the first word counts */
    assert_true(upload_was_cut(upload));
    assert_int_equal(upload_take(upload, out, 8, &got, &wants), ERR_CANCELED);
    assert_false(upload_digest(upload, digest));
    upload_unref(upload);
    assert_int_equal(upload_new(SLICE("abc"), 3, &upload), ERR_OK);
    upload_end(upload);
    upload_cut(upload);
    assert_false(upload_was_cut(upload));
    assert_int_equal(upload_take(upload, out, 8, &got, &wants), ERR_OK);
    assert_true(upload_is_taken(upload)); /* of a known length: nobody asks again */
    upload_unref(upload);
}

/* ---- by two threads -------------------------------------------------------------------------- */

struct pair {
    struct upload *upload;
    uint8_t *bytes, *out;
    size_t got;
};

static void *read_all(void *argument)
{
    struct pair *pair = argument;
    enum err err;
    do {
        size_t got = 0;
        bool wants;
        err = upload_take(pair->upload, pair->out + pair->got, 4099, &got, &wants);
        pair->got += err ? 0 : got;
        if (err)
            (void)sched_yield();
    } while (!err || err == ERR_AGAIN);
    return NULL;
}

static void test_two_threads(void **state)
{
    (void)state;
    struct pair pair = {.bytes = pattern_new(), .out = malloc(BODY_BYTES)};
    pthread_t reader;
    assert_int_equal(upload_new(SLICE_NONE, -1, &pair.upload), ERR_OK);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &pair), 0);
    for (size_t at = 0; at < BODY_BYTES;) {
        size_t room = upload_room(pair.upload);
        struct slice part = slice_sub(
            slice_of(pair.bytes, BODY_BYTES), at, room < PIECE_BYTES ? room : PIECE_BYTES);
        upload_put(pair.upload, part);
        at += part.size;
        if (part.size == 0)
            (void)sched_yield();
    }
    upload_end(pair.upload);
    (void)pthread_join(reader, NULL);
    assert_int_equal(pair.got, BODY_BYTES);
    assert_memory_equal(pair.bytes, pair.out, BODY_BYTES);
    upload_unref(pair.upload);
    free(pair.bytes);
    free(pair.out);
}

/* ---- by a transfer --------------------------------------------------------------------------- */

static bool is_far;

enum behavior { TAKES_ALL, ANSWERS_EARLY, TAKES_NOTHING };

struct flight {
    struct loop *loop;
    struct reactor *reactor;
    struct upstreams *upstreams;
    struct upstream *upstream;
    struct upload *upload;
    struct task task;
    uint8_t *bytes;
    size_t put, cut_at, all;
    bool is_over, is_queued;
    enum upstream_end how;
    int status;
    /* The server's. */
    enum behavior behavior;
    pthread_t thread;
    int listen_fd, release[2];
    uint16_t port;
    char head[HEAD_BYTES_MAX];
    uint8_t *got;
    size_t got_bytes;
};

static bool is_whole(const struct flight *flight, size_t head_bytes)
{
    if (strstr(flight->head, "Transfer-Encoding: chunked"))
        return flight->got_bytes >= 5 &&
               memcmp(flight->got + flight->got_bytes - 5, "0\r\n\r\n", 5) == 0;
    (void)head_bytes;
    return flight->got_bytes >= BODY_BYTES;
}

static void read_head(struct flight *flight, int fd)
{
    size_t size = 0;
    while (!strstr(flight->head, "\r\n\r\n") && recv(fd, flight->head + size, 1, 0) == 1)
        size++;
}

static void *serve(void *argument)
{
    struct flight *flight = argument;
    int fd = accept(flight->listen_fd, NULL, NULL);
    ssize_t got = 1;
    char byte;
    read_head(flight, fd);
    if (flight->behavior == TAKES_NOTHING)
        (void)!read(flight->release[0], &byte, 1);
    while (flight->behavior == TAKES_ALL && got > 0 && !is_whole(flight, 0)) {
        got = recv(fd, flight->got + flight->got_bytes, 2 * BODY_BYTES - flight->got_bytes, 0);
        flight->got_bytes += got > 0 ? (size_t)got : 0;
    }
    static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char bad[] = "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno";
    (void)net_write(fd, flight->behavior == TAKES_ALL ? good : bad, sizeof good - 1);
    if (flight->behavior == ANSWERS_EARLY)
        (void)!read(flight->release[0], &byte, 1);
    (void)close(fd);
    return NULL;
}

static void on_head(void *context, int status, struct slice head)
{
    (void)head;
    ((struct flight *)context)->status = status;
}

static enum err on_data(void *context, struct slice bytes)
{
    (void)context, (void)bytes;
    return ERR_OK;
}

static void on_ended(void *context, enum upstream_end how, const char *message)
{
    struct flight *flight = context;
    (void)message;
    flight->how = how;
    flight->is_over = true;
    upload_close(flight->upload);
    loop_stop(flight->loop);
}

static const struct upstream_owner owner = {on_head, on_data, on_ended, NULL};

static void feed(void *context)
{
    upstream_feed(((struct flight *)context)->upstream);
}

/* A piece a turn, as a connection brings them. */
static void put_more(struct task *task)
{
    struct flight *flight = CONTAINER_OF(task, struct flight, task);
    flight->is_queued = false;
    if (flight->is_over)
        return;
    size_t room = upload_room(flight->upload);
    struct slice part = slice_sub(slice_of(flight->bytes, BODY_BYTES), flight->put % BODY_BYTES,
        room < PIECE_BYTES ? room : PIECE_BYTES);
    if (room == 0)
        return; /* `room` tells */
    flight->put += part.size;
    upload_put(flight->upload, part);
    if (flight->cut_at && flight->put >= flight->cut_at) {
        upload_cut(flight->upload);
    } else if (flight->put == flight->all) {
        upload_end(flight->upload);
    } else {
        flight->is_queued = true;
        loop_defer(flight->loop, &flight->task);
    }
}

static void on_room(void *context)
{
    struct flight *flight = context;
    if (flight->is_queued || flight->is_over)
        return;
    flight->is_queued = true;
    loop_defer(flight->loop, &flight->task);
}

static void fly(struct flight *flight, int64_t length)
{
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    char url[64];
    flight->bytes = pattern_new();
    flight->got = malloc(2 * BODY_BYTES);
    flight->task.run = put_more;
    assert_int_equal(loop_new(&flight->loop), ERR_OK);
    assert_int_equal(upstreams_new(flight->loop, NULL, &flight->upstreams), ERR_OK);
    if (is_far) {
        struct reactor_config config = {.core = flight->loop, .index = 1};
        assert_int_equal(reactor_new(&config, &flight->reactor), ERR_OK);
        upstreams_add(flight->upstreams, reactor_crossing(flight->reactor),
            reactor_transfers(flight->reactor));
        upstreams_far_only(flight->upstreams);
    }
    flight->listen_fd = net_listen(&flight->port);
    assert_int_equal(pipe(flight->release), 0);
    assert_int_equal(pthread_create(&flight->thread, NULL, serve, flight), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/up", (unsigned)flight->port);
    assert_int_equal(
        upload_new(slice_of(flight->bytes, FIRST_BYTES), length, &flight->upload), ERR_OK);
    flight->put = FIRST_BYTES;
    flight->all = flight->behavior == TAKES_NOTHING ? FILLING_BYTES : BODY_BYTES;
    const struct upstream_request request = {.url = url,
        .method = "PUT",
        .headers = headers,
        .upload = flight->upload,
        .first_byte_timeout_ms = 60000,
        .idle_timeout_ms = flight->behavior == TAKES_NOTHING ? 200 : 60000};
    assert_int_equal(
        upstream_start(flight->upstreams, &request, &owner, flight, &flight->upstream), ERR_OK);
    upload_on_fed(flight->upload, feed, flight);
    upload_on_room(flight->upload, on_room, flight);
    on_room(flight);
    loop_run(flight->loop);
    (void)close(flight->release[1]);
    (void)pthread_join(flight->thread, NULL);
}

static void land(struct flight *flight)
{
    if (flight->reactor)
        reactor_stop(flight->reactor);
    upload_on_room(flight->upload, NULL, NULL);
    upload_unref(flight->upload);
    upstreams_free(flight->upstreams);
    loop_free(flight->loop);
    reactor_free(flight->reactor);
    (void)close(flight->release[0]);
    (void)close(flight->listen_fd);
    free(flight->bytes);
    free(flight->got);
    free(flight);
}

static struct flight *flight_new(enum behavior behavior)
{
    struct flight *flight = calloc(1, sizeof *flight);
    assert_non_null(flight);
    flight->behavior = behavior;
    return flight;
}

static void test_with_a_length(void **state)
{
    (void)state;
    struct flight *flight = flight_new(TAKES_ALL);
    uint8_t digest[32], expected[32];
    char line[64];
    fly(flight, BODY_BYTES);
    assert_int_equal(flight->how, UPSTREAM_COMPLETE);
    assert_int_equal(flight->status, 200);
    (void)snprintf(line, sizeof line, "\r\nContent-Length: %d\r\n", BODY_BYTES);
    assert_non_null(strstr(flight->head, line));
    assert_non_null(strstr(flight->head, "PUT /up HTTP/1.1\r\n"));
    assert_null(strstr(flight->head, "Expect"));
    assert_null(strstr(flight->head, "Transfer-Encoding"));
    assert_int_equal(flight->got_bytes, BODY_BYTES);
    assert_memory_equal(flight->got, flight->bytes, BODY_BYTES);
    sha256(slice_of(flight->bytes, BODY_BYTES), expected);
    assert_true(upload_digest(flight->upload, digest));
    assert_memory_equal(digest, expected, 32);
    land(flight);
}

/* In place: what is between the chunks' heads. */
static size_t dechunk(uint8_t *bytes)
{
    size_t from = 0, to = 0;
    for (;;) {
        char *end;
        size_t size = strtoul((char *)bytes + from, &end, 16);
        from = (size_t)((uint8_t *)end + 2 - bytes);
        if (size == 0)
            return to;
        memmove(bytes + to, bytes + from, size);
        to += size;
        from += size + 2;
    }
}

static void test_without_a_length(void **state)
{
    (void)state;
    struct flight *flight = flight_new(TAKES_ALL);
    fly(flight, -1);
    assert_int_equal(flight->how, UPSTREAM_COMPLETE);
    assert_non_null(strstr(flight->head, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_int_equal(dechunk(flight->got), BODY_BYTES);
    assert_memory_equal(flight->got, flight->bytes, BODY_BYTES);
    assert_true(upload_is_taken(flight->upload));
    land(flight);
}

static void test_cut_on_the_way(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct flight *flight = flight_new(TAKES_ALL);
        flight->cut_at = BODY_BYTES / 2;
        fly(flight, i ? -1 : BODY_BYTES);
        assert_int_equal(flight->how, UPSTREAM_CUT);
        assert_int_equal(flight->status, 0);
        assert_true(flight->got_bytes < BODY_BYTES);
        assert_memory_equal(upstream_end_name(flight->how), "request_cut", 12);
        land(flight);
    }
}

static void test_answered_before_it_was_whole(void **state)
{
    (void)state;
    struct flight *flight = flight_new(ANSWERS_EARLY);
    fly(flight, BODY_BYTES);
    assert_int_equal(flight->status, 413);
    assert_int_equal(flight->how, UPSTREAM_COMPLETE);
    assert_false(upload_is_taken(flight->upload));
    land(flight);
}

static void test_a_provider_that_takes_nothing(void **state)
{
    (void)state;
    struct flight *flight = flight_new(TAKES_NOTHING);
    fly(flight, INT64_C(1) << 40);
    assert_int_equal(flight->how, UPSTREAM_TIMEOUT_IDLE);
    assert_int_equal(flight->status, 0);
    land(flight);
}

int main(void)
{
    const struct CMUnitTest by_hand[] = {
        cmocka_unit_test(test_bytes_and_digest),
        cmocka_unit_test(test_room_is_told_once_half_is_free),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_two_threads),
    };
    const struct CMUnitTest by_transfer[] = {
        cmocka_unit_test(test_with_a_length),
        cmocka_unit_test(test_without_a_length),
        cmocka_unit_test(test_cut_on_the_way),
        cmocka_unit_test(test_answered_before_it_was_whole),
        cmocka_unit_test(test_a_provider_that_takes_nothing),
    };
    int failed = cmocka_run_group_tests(by_hand, NULL, NULL);
    failed += cmocka_run_group_tests_name("transfers on this loop", by_transfer, NULL, NULL);
    is_far = true;
    return failed +
           cmocka_run_group_tests_name("transfers on another loop", by_transfer, NULL, NULL);
}
