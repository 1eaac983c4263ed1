/* exchange — requests over a real socket, answered in every way that a handler can. */
#include "server/http/exchange.h"

#include "tests/server/http/wire.h"

enum { BIG_BYTES = 3 * 1024 * 1024, PIECE_BYTES = 10000, BODY_BYTES_MAX = 100000 };

/* What the handler does, by the request's path. */
struct server {
    struct rig *rig;
    struct exchanges *exchanges;
    struct exchange *held; /* by /hold */
    size_t handled, closed, filled, released;
    size_t pieces, pieces_given; /* of a stream */
    bool is_ready;               /* /stream: more may be pushed */
    bool is_clean;
    char *big;
};

static void stream_release(void *owner)
{
    ((struct server *)owner)->released++;
}

static void stream_fill(void *context, struct exchange *exchange)
{
    struct server *server = context;
    server->filled++;
    while (server->is_ready && server->pieces_given < server->pieces &&
           exchange_room(exchange) >= PIECE_BYTES) {
        assert_int_equal(exchange_push(exchange, SLICE("<"), slice_of(server->big, PIECE_BYTES - 1),
                             stream_release, server),
            ERR_OK);
        server->pieces_given++;
    }
    if (server->is_ready && server->pieces_given == server->pieces)
        exchange_finish(exchange, server->is_clean);
}

static void stream_closed(void *context)
{
    struct server *server = context;
    server->closed++;
    server->held = NULL;
}

static const struct responder responder = {stream_fill, stream_closed};

static void admit(void *context, struct exchange *exchange)
{
    (void)context;
    struct slice path = exchange_target(exchange).path;
    if (slice_equal(path, SLICE("/refused")))
        exchange_error(exchange, 401, "no", NULL, "refused at the head");
}

static void begin_stream(struct server *server, struct exchange *exchange, int64_t length)
{
    exchange_hold(exchange, &responder, server);
    server->held = exchange;
    assert_int_equal(
        exchange_begin(exchange, 200, SLICE("text/plain"), length, SLICE("X: y\r\n")), ERR_OK);
}

static void handle(void *context, struct exchange *exchange)
{
    struct server *server = context;
    struct slice path = exchange_target(exchange).path;
    server->handled++;
    if (slice_equal(path, SLICE("/hold"))) {
        exchange_hold(exchange, &responder, server);
        server->held = exchange;
    } else if (slice_equal(path, SLICE("/stream"))) {
        begin_stream(server, exchange, -1);
    } else if (slice_equal(path, SLICE("/length"))) {
        begin_stream(server, exchange, (int64_t)server->pieces * PIECE_BYTES);
    } else if (slice_equal(path, SLICE("/big"))) {
        exchange_reply(exchange, 200, "text/plain", slice_of(server->big, BIG_BYTES));
    } else if (slice_equal(path, SLICE("/nothing"))) {
        exchange_reply(exchange, 204, NULL, SLICE_NONE);
    } else if (slice_equal(path, SLICE("*"))) {
        exchange_reply(exchange, 200, "text/plain", SLICE("star"));
    } else {
        exchange_reply(exchange, 200, "text/plain",
            exchange_body(exchange).size ? exchange_body(exchange) : path);
    }
}

static struct server *server_new_with(int64_t timeout_ms, uint64_t bodies_bytes_max)
{
    struct server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    server->rig = rig_new();
    server->pieces = 3;
    server->is_clean = true;
    server->big = malloc(BIG_BYTES);
    assert_non_null(server->big);
    memset(server->big, 'b', BIG_BYTES);
    struct exchange_config config = {.loop = server->rig->loop,
        .metrics = server->rig->metrics,
        .log = server->rig->log,
        .header_timeout_ms = timeout_ms,
        .body_timeout_ms = timeout_ms,
        .idle_timeout_ms = timeout_ms,
        .send_timeout_ms = timeout_ms,
        .body_bytes_max = BODY_BYTES_MAX,
        .bodies_bytes_max = bodies_bytes_max,
        .connections_max = 4,
        .admit = admit,
        .handle = handle,
        .context = server};
    assert_int_equal(exchanges_new(&config, &server->exchanges), ERR_OK);
    return server;
}

static int server_new(void **state)
{
    *state = server_new_with(60000, 1000000);
    return 0;
}

static int server_free(void **state)
{
    struct server *server = *state;
    exchanges_close_all(server->exchanges);
    RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
    exchanges_free(server->exchanges);
    rig_free(server->rig);
    free(server->big);
    free(server);
    return 0;
}

static void dial(struct server *server, struct wire *wire)
{
    wire_open(wire, exchanges_accept, server->exchanges, 0);
}

static void expect(struct server *server, struct wire *wire, const char *text)
{
    RIG_UNTIL(server->rig, wire_has(wire, text));
}

static void expect_end(struct server *server, struct wire *wire, int error)
{
    RIG_UNTIL(server->rig, wire_ended(wire));
    assert_int_equal(wire->error, error);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void test_bodies(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    expect(server, &wire, "\r\n\r\nhello");
    assert_true(wire_has(&wire, "Content-Length: 5\r\n"));
    wire_clear(&wire);
    wire_send(
        &wire, "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n");
    rig_turns(server->rig, 5);
    wire_send(&wire, "2\r\nlo\r\n0\r\n\r\n");
    expect(server, &wire, "\r\n\r\nhello");
    wire_clear(&wire);
    wire_send(&wire, "GET /path?x HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "\r\n\r\n/path");
    wire_close(&wire);
    RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
}

static void test_large_reply(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "/after");
    assert_int_equal(wire_count(&wire, "HTTP/1.1 200 OK"), 2);
    assert_true(wire.got.size > BIG_BYTES);
    wire_close(&wire);
}

static void test_too_large(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n");
    expect(server, &wire, "HTTP/1.1 413 ");
    assert_true(wire_has(&wire, "Connection: close"));
    expect_end(server, &wire, 0);
    wire_close(&wire);
    dial(server, &wire);
    wire_send(&wire, "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n");
    expect(server, &wire, "HTTP/1.1 413 ");
    expect_end(server, &wire, 0);
    wire_close(&wire);
    assert_int_equal(server->handled, 0);
}

/* What one body holds is given back when its request is over, however it ends. */
static void test_bodies_are_bounded(void **state)
{
    struct server *server = server_new_with(60000, 1000);
    struct wire first, second;
    *state = server;
    dial(server, &first);
    wire_send(&first, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n");
    char piece[901];
    memset(piece, 'x', 900);
    piece[900] = 0;
    wire_send(&first, piece);
    rig_turns(server->rig, 5);
    for (int i = 0; i < 2; i++) {
        dial(server, &second);
        wire_send(&second, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n");
        wire_send(&second, piece);
        expect(server, &second, i == 0 ? "HTTP/1.1 503 " : "HTTP/1.1 200 ");
        assert_true(i == 1 || wire_has(&second, "Retry-After: 1\r\n"));
        wire_close(&second);
        if (i == 0)
            wire_close(&first); /* gone in the middle of its body */
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) <= (i == 0 ? 1 : 0));
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
    }
    server_free(state);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_refused_at_the_head(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n"
                     "Expect: 100-continue\r\n\r\n");
    expect(server, &wire, "refused at the head");
    assert_false(wire_has(&wire, "100 Continue"));
    expect_end(server, &wire, 0);
    wire_close(&wire);
    assert_int_equal(server->handled, 0);
}

static void test_malformed(void **state)
{
    static const char *const requests[][2] = {{"GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"},
        {"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "501"}, {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505"},
        {"GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"}};
    struct server *server = *state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct wire wire;
        char status[32];
        (void)snprintf(status, sizeof status, "HTTP/1.1 %s ", requests[i][1]);
        dial(server, &wire);
        /* After a HEAD request, whose answer had no body: this one's has. */
        wire_send(&wire, "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(server, &wire, "HTTP/1.1 200 ");
        wire_clear(&wire);
        wire_send(&wire, requests[i][0]);
        expect(server, &wire, status);
        expect_end(server, &wire, 0);
        assert_true(wire_has(&wire, "\"error\":"));
        wire_close(&wire);
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
    }
}

static void test_timeouts(void **state)
{
    struct server *server = server_new_with(20, 1000000);
    struct wire wire;
    *state = server;
    dial(server, &wire);
    wire_send(&wire, "GET / HT");
    expect(server, &wire, "HTTP/1.1 408 ");
    expect_end(server, &wire, 0);
    wire_close(&wire);
    dial(server, &wire);
    wire_send(&wire, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    expect(server, &wire, "HTTP/1.1 408 ");
    expect_end(server, &wire, 0);
    wire_close(&wire);
    dial(server, &wire); /* sends nothing: nothing is owed to it */
    expect_end(server, &wire, 0);
    assert_int_equal(wire.got.size, 0);
    wire_close(&wire);
    assert_int_equal(server->handled, 0);
    server_free(state);
}

static void test_connections_are_bounded(void **state)
{
    struct server *server = *state;
    struct wire wires[5];
    for (int i = 0; i < 5; i++)
        dial(server, &wires[i]);
    expect_end(server, &wires[4], 0);
    for (int i = 0; i < 5; i++)
        wire_close(&wires[i]);
}

/* ---- the other forms of HTTP ----------------------------------------------------------------- */

static void test_expect(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(
        &wire, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect(server, &wire, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_clear(&wire);
    wire_send(&wire, "hello");
    expect(server, &wire, "\r\n\r\nhello");
    assert_false(wire_has(&wire, "100 Continue"));
    wire_close(&wire);
}

static void test_pipelining(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    for (int i = 0; i < 100; i++)
        wire_send(&wire, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabc.");
    wire_send(&wire, "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
                     "GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "/last");
    expect_end(server, &wire, 0);
    assert_int_equal(wire_count(&wire, "abc."), 100);
    assert_int_equal(server->handled, 101);
    wire_close(&wire);
}

/* OPTIONS * has no path, and the one of the request before is gone. */
static void test_options_star(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "GET /a/long/path/that/lies/in/the/head HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "/a/long/path");
    wire_send(&wire, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "star");
    wire_close(&wire);
}

static void test_version_10(void **state)
{
    struct server *server = *state;
    struct wire wire;
    server->is_ready = true;
    dial(server, &wire);
    wire_send(&wire, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(server, &wire, "\r\n\r\n/x");
    assert_true(wire_has(&wire, "Connection: keep-alive\r\n"));
    wire_clear(&wire);
    wire_send(&wire, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect_end(server, &wire, 0);
    assert_false(wire_has(&wire, "chunked"));
    assert_true(wire_has(&wire, "Connection: close\r\n"));
    assert_int_equal(wire_count(&wire, "<bbb"), 3);
    wire_close(&wire);
    assert_int_equal(server->closed, 1);
}

static void test_head_method(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "HEAD /big HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "\r\n\r\n/y");
    assert_true(wire_has(&wire, "Content-Length: 3145728\r\n"));
    assert_true(wire.got.size < 1000);
    wire_clear(&wire);
    wire_send(&wire, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "HTTP/1.1 204 ");
    assert_false(wire_has(&wire, "Content-Length"));
    wire_close(&wire);
}

/* ---- streaming, and honest ends -------------------------------------------------------------- */

static void stream_one(
    struct server *server, struct wire *wire, const char *path, const char *version, bool is_clean)
{
    char request[100];
    (void)snprintf(request, sizeof request, "GET %s HTTP/%s\r\nHost: h\r\n\r\n", path, version);
    server->pieces_given = 0;
    server->is_ready = false;
    server->is_clean = is_clean;
    dial(server, wire);
    wire_send(wire, request);
    expect(server, wire, "X: y\r\n");
    server->is_ready = true;
    exchange_wake(server->held);
}

static void test_stream(void **state)
{
    struct server *server = *state;
    struct wire wire;
    server->pieces = 100; /* of more than one send */
    stream_one(server, &wire, "/stream", "1.1", true);
    expect(server, &wire, "0\r\n\r\n");
    assert_int_equal(wire_count(&wire, "2710\r\n<bbb"), 100);
    wire_send(&wire, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "\r\n\r\n/next");
    assert_int_equal(server->closed, 1);
    assert_int_equal(server->released, 100);
    wire_close(&wire);
}

static void test_unclean_ends(void **state)
{
    struct server *server = *state;
    struct wire wire;
    stream_one(server, &wire, "/stream", "1.1", false);
    expect_end(server, &wire, 0); /* a FIN where a chunk is missing */
    assert_int_equal(wire_count(&wire, "<bbb"), 3);
    assert_true(wire_ends_with(&wire, "bbb\r\n"));
    wire_close(&wire);
    stream_one(server, &wire, "/stream", "1.0", false);
    expect_end(server, &wire, ECONNRESET);
    assert_int_equal(wire_count(&wire, "<bbb"), 3); /* all that was pushed came before it */
    wire_close(&wire);
    assert_int_equal(server->closed, 2);
}

/* Fewer bytes than were announced are no clean end, whatever the handler says. */
static void test_length(void **state)
{
    struct server *server = *state;
    struct wire wire;
    stream_one(server, &wire, "/length", "1.1", true);
    expect(server, &wire, "bbb");
    RIG_UNTIL(server->rig, server->closed == 1);
    wire_pull(&wire);
    assert_false(wire.is_ended);
    wire_close(&wire);
    dial(server, &wire);
    server->pieces_given = 0;
    server->is_ready = false;
    wire_send(&wire, "GET /length HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(server, &wire, "Content-Length: 30000\r\n");
    server->pieces_given = 1; /* one is lost */
    server->is_ready = true;
    exchange_wake(server->held);
    expect_end(server, &wire, 0);
    assert_int_equal(wire_count(&wire, "<bbb"), 2);
    wire_close(&wire);
}

/* A reader that takes nothing is dropped; if its body ends with the connection, not by a FIN. */
static void test_stalled_reader(void **state)
{
    static const char *const versions[] = {"1.1", "1.0"};
    struct server *server = server_new_with(50, 1000000);
    *state = server;
    server->pieces = 100000;
    for (size_t i = 0; i < 2; i++) {
        struct wire wire;
        char request[64];
        (void)snprintf(
            request, sizeof request, "GET /stream HTTP/%s\r\nHost: h\r\n\r\n", versions[i]);
        server->is_ready = true;
        server->pieces_given = 0;
        wire_open(&wire, exchanges_accept, server->exchanges, 4096);
        wire_send(&wire, request);
        if (i == 0) {
            RIG_UNTIL(server->rig, server->closed == 1);
            wire_close(&wire);
            continue;
        }
        RIG_UNTIL(server->rig, server->pieces_given > 0);
        rig_turns(server->rig, 500); /* it was given up by now, or will be */
        RIG_UNTIL(server->rig, wire_ended(&wire));
        assert_int_equal(wire.error, ECONNRESET);
        assert_true(wire.got.size > 0);
        wire_close(&wire);
        RIG_UNTIL(server->rig, server->closed == 2);
    }
    assert_int_equal(exchanges_open_count(server->exchanges), 0);
    server_free(state);
}

/* ---- holding --------------------------------------------------------------------------------- */

static void test_hold_and_release(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    RIG_UNTIL(server->rig, server->held);
    rig_turns(server->rig, 10);
    assert_int_equal(wire.got.size, 0);
    assert_int_equal(server->handled, 1);
    exchange_release(server->held);
    exchange_error(server->held, 404, "none", "id", "nothing of %d", 7);
    exchange_reply(server->held, 200, "text/plain", SLICE("ignored"));
    expect(server, &wire, "nothing of 7");
    expect(server, &wire, "\r\n\r\n/x");
    assert_false(wire_has(&wire, "ignored"));
    assert_int_equal(server->closed, 0);
    wire_close(&wire);
}

static void test_caller_gone_while_held(void **state)
{
    struct server *server = *state;
    struct wire wire;
    for (size_t i = 1; i <= 2; i++) {
        dial(server, &wire);
        wire_send(&wire, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
        RIG_UNTIL(server->rig, server->held);
        if (i == 1) {
            net_reset(wire.fd);
            wire.fd = -1;
        }
        wire_close(&wire);
        RIG_UNTIL(server->rig, server->closed == i);
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
        assert_int_equal(server->closed, i);
    }
}

struct answer {
    struct task task;
    struct server *server;
    bool was_held;
};

static void answer_run(struct task *task)
{
    struct answer *answer = CONTAINER_OF(task, struct answer, task);
    struct exchange *held = answer->server->held;
    answer->was_held = held != NULL;
    if (!held)
        return;
    exchange_release(held);
    exchange_reply(held, 200, "text/plain", SLICE("late"));
}

/* The look-up's answer is posted, and the half-close is seen just before it runs: who holds must know. */
static void test_caller_gone_as_the_answer_comes(void **state)
{
    struct server *server = *state;
    for (int i = 0; i < 50; i++) {
        struct wire wire;
        struct answer answer = {.task.run = answer_run, .server = server};
        dial(server, &wire);
        wire_send(&wire, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
        RIG_UNTIL(server->rig, server->held);
        (void)shutdown(wire.fd, SHUT_WR);
        loop_post(server->rig->loop, &answer.task);
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0 || answer.was_held);
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
        server->held = NULL;
        wire_close(&wire);
    }
    exchanges_close_all(server->exchanges);
}

/* As above, but it is the server that closes: exchanges_close_all tells those who hold at once. */
static void test_close_all_tells_holders(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire);
    wire_send(&wire, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    RIG_UNTIL(server->rig, server->held);
    exchanges_close_all(server->exchanges);
    assert_null(server->held);
    assert_int_equal(server->closed, 1);
    expect_end(server, &wire, 0);
    assert_int_equal(server->closed, 1);
    wire_close(&wire);
}

static void test_half_close(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire); /* between requests */
    wire_send(&wire, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)shutdown(wire.fd, SHUT_WR);
    expect(server, &wire, "\r\n\r\n/x");
    expect_end(server, &wire, 0);
    wire_close(&wire);
    dial(
        server, &wire); /* while a whole reply is on its way: it gets all of it, and then the end */
    wire_send(&wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    RIG_UNTIL(server->rig, server->handled == 2);
    (void)shutdown(wire.fd, SHUT_WR);
    expect_end(server, &wire, 0);
    assert_true(wire.got.size > BIG_BYTES);
    wire_close(&wire);
    dial(server, &wire); /* in the middle of a body */
    wire_send(&wire, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    (void)shutdown(wire.fd, SHUT_WR);
    expect(server, &wire, "incomplete_request");
    expect_end(server, &wire, 0);
    wire_close(&wire);
    assert_int_equal(server->handled, 2);
}

/* ---- draining -------------------------------------------------------------------------------- */

static void test_drain(void **state)
{
    struct server *server = *state;
    struct wire idle, busy;
    dial(server, &idle);
    dial(server, &busy);
    wire_send(&busy, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    RIG_UNTIL(server->rig, server->held);
    exchanges_drain(server->exchanges);
    expect_end(server, &idle, 0);
    exchange_release(server->held);
    exchange_reply(server->held, 200, "text/plain", SLICE("done"));
    expect(server, &busy, "Connection: close\r\n");
    expect_end(server, &busy, 0);
    wire_close(&idle);
    wire_close(&busy);
    dial(server, &idle);
    expect_end(server, &idle, 0);
    wire_close(&idle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, server_new, server_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bodies),
        TEST(test_large_reply),
        TEST(test_too_large),
        cmocka_unit_test(test_bodies_are_bounded),
        TEST(test_refused_at_the_head),
        TEST(test_malformed),
        cmocka_unit_test(test_timeouts),
        TEST(test_connections_are_bounded),
        TEST(test_expect),
        TEST(test_pipelining),
        TEST(test_options_star),
        TEST(test_version_10),
        TEST(test_head_method),
        TEST(test_stream),
        TEST(test_unclean_ends),
        TEST(test_length),
        cmocka_unit_test(test_stalled_reader),
        TEST(test_hold_and_release),
        TEST(test_caller_gone_while_held),
        TEST(test_caller_gone_as_the_answer_comes),
        TEST(test_close_all_tells_holders),
        TEST(test_half_close),
        TEST(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
