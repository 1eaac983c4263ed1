/* exchange_upload — bodies that are handed on while they arrive, over a real socket. */
#include "server/http/exchange.h"

#include "tests/server/http/wire.h"

enum {
    STREAMED_BYTES = 2000,
    BODY_BYTES_MAX = 300000,
    PASSED_BYTES_MAX = 4000000,
    LONG_BYTES = 3000000,
    BODIES_BYTES_MAX = 5000000,
};

/* What the handler does with the beginning of a body, by the request's path: /stream lets it go on, /wait
 * holds it, /collect wants all of it, /no refuses. */
struct server {
    struct rig *rig;
    struct exchanges *exchanges;
    struct exchange *held;
    struct upload *upload; /* of the last /stream */
    struct buf taken;
    size_t partial, whole, closed;
};

static void closed(void *context)
{
    struct server *server = context;
    server->closed++;
    server->held = NULL;
}

static const struct responder responder = {NULL, closed};

static bool is_path(const struct exchange *exchange, const char *path)
{
    return slice_equal(exchange_target(exchange).path, slice_text(path));
}

static void admit(void *context, struct exchange *exchange)
{
    (void)context;
    if (!is_path(exchange, "/whole"))
        exchange_offer_stream(exchange);
}

static void let_go_on(struct server *server, struct exchange *exchange)
{
    upload_unref(server->upload);
    server->upload = NULL;
    enum err err = exchange_upload(exchange, &server->upload);
    if (err)
        exchange_error(exchange, 503, "overloaded", NULL, "%s", err_name(err));
}

static void handle(void *context, struct exchange *exchange)
{
    struct server *server = context;
    char text[32];
    if (!exchange_is_partial(exchange)) {
        server->whole++;
        (void)snprintf(text, sizeof text, "got %zu", exchange_body(exchange).size);
        exchange_reply(exchange, 200, "text/plain", slice_text(text));
        return;
    }
    server->partial++;
    if (is_path(exchange, "/collect")) {
        exchange_collect(exchange);
    } else if (is_path(exchange, "/no")) {
        exchange_error(exchange, 400, "no", NULL, "refused at its beginning");
    } else {
        exchange_hold(exchange, &responder, server);
        server->held = exchange;
        if (is_path(exchange, "/stream"))
            let_go_on(server, exchange);
    }
}

static struct server *server_new_with(int64_t timeout_ms, uint64_t rate_min)
{
    struct server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    server->rig = rig_new();
    buf_init(&server->taken, PASSED_BYTES_MAX);
    struct exchange_config config = {.loop = server->rig->loop,
        .metrics = server->rig->metrics,
        .log = server->rig->log,
        .header_timeout_ms = 60000,
        .body_timeout_ms = timeout_ms,
        .idle_timeout_ms = 60000,
        .send_timeout_ms = 60000,
        .body_bytes_max = BODY_BYTES_MAX,
        .bodies_bytes_max = BODIES_BYTES_MAX,
        .passed_body_bytes_max = PASSED_BYTES_MAX,
        .streamed_body_bytes = STREAMED_BYTES,
        .body_rate_min = rate_min,
        .connections_max = 4,
        .admit = admit,
        .handle = handle,
        .context = server};
    assert_int_equal(exchanges_new(&config, &server->exchanges), ERR_OK);
    return server;
}

static int server_new(void **state)
{
    *state = server_new_with(60000, 0);
    return 0;
}

static int server_free(void **state)
{
    struct server *server = *state;
    exchanges_close_all(server->exchanges);
    RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
    exchanges_free(server->exchanges);
    upload_unref(server->upload);
    buf_deinit(&server->taken);
    rig_free(server->rig);
    free(server);
    return 0;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static void dial(struct server *server, struct wire *wire, const char *head)
{
    wire_open(wire, exchanges_accept, server->exchanges, 0);
    wire_send(wire, head);
}

/* So many bytes of the body, from `at` on; turns are given to the server while the socket is full, and
 * what it takes is taken from it. */
static void take(struct server *server)
{
    uint8_t bytes[16384];
    size_t got;
    bool wants_room;
    enum err err;
    while ((err = upload_take(server->upload, bytes, sizeof bytes, &got, &wants_room)) == ERR_OK) {
        assert_int_equal(buf_append(&server->taken, slice_of(bytes, got)), ERR_OK);
        if (wants_room)
            upload_tell_room(server->upload);
    }
}

static size_t send_some(struct wire *wire, size_t at, size_t end)
{
    uint8_t piece[7001];
    size_t size = end - at < sizeof piece ? end - at : sizeof piece;
    for (size_t i = 0; i < size; i++)
        piece[i] = byte_at(at + i);
    ssize_t sent = send(wire->fd, piece, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent > 0 ? (size_t)sent : 0;
}

static void send_body(struct server *server, struct wire *wire, size_t at, size_t end)
{
    while (at < end) {
        at += send_some(wire, at, end);
        rig_turns(server->rig, 1);
        if (server->upload)
            take(server);
    }
}

static void expect(struct server *server, struct wire *wire, const char *text)
{
    RIG_UNTIL(server->rig, wire_has(wire, text));
}

static void expect_end(struct server *server, struct wire *wire)
{
    RIG_UNTIL(server->rig, wire_ended(wire));
    assert_int_equal(wire->error, 0);
    wire_close(wire);
}

static void check_taken(const struct server *server, size_t size)
{
    assert_int_equal(server->taken.size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(server->taken.data[i], byte_at(i));
}

static bool is_taken(struct server *server)
{
    if (server->upload)
        take(server);
    return server->upload && upload_is_taken(server->upload);
}

static void answer(struct server *server)
{
    struct exchange *exchange = server->held;
    assert_non_null(exchange);
    server->held = NULL;
    exchange_release(exchange);
    exchange_reply(exchange, 200, "text/plain", SLICE("thanks"));
}

#define HEAD(path, length)                                                                         \
    "POST " path " HTTP/1.1\r\nHost: h\r\nContent-Length: " #length "\r\n\r\n"

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_short_bodies_come_whole(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire, HEAD("/stream", 2000));
    send_body(server, &wire, 0, 2000); /* the threshold itself, and nothing is left */
    expect(server, &wire, "got 2000");
    assert_int_equal(server->partial, 0);
    wire_close(&wire);
}

static void test_a_long_one_goes_on(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire, HEAD("/stream", 3000000));
    send_body(server, &wire, 0, LONG_BYTES);
    RIG_UNTIL(server->rig, is_taken(server));
    check_taken(server, LONG_BYTES);
    assert_int_equal(upload_length(server->upload), LONG_BYTES);
    answer(server);
    expect(server, &wire, "thanks");
    assert_false(wire_has(&wire, "Connection: close"));
    wire_clear(&wire);
    wire_send(&wire, HEAD("/stream", 4) "next"); /* the connection goes on */
    expect(server, &wire, "got 4");
    wire_close(&wire);
}

static void test_chunked(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire,
        "POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
        "Expect: 100-continue\r\n\r\n");
    expect(server, &wire, "HTTP/1.1 100 Continue\r\n\r\n");
    for (size_t at = 0; at < 600000; at += 60000) {
        wire_send(&wire, "ea60\r\n");
        send_body(server, &wire, at, at + 60000);
        wire_send(&wire, "\r\n");
    }
    wire_send(&wire, "0\r\n\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n");
    RIG_UNTIL(server->rig, is_taken(server));
    check_taken(server, 600000);
    assert_int_equal(upload_length(server->upload), -1);
    answer(server);
    expect(server, &wire, "got 0"); /* what was pipelined behind it */
    wire_close(&wire);
}

/* What nobody takes is not received: the ring, what the connection keeps, and the kernel's. */
static void test_backpressure(void **state)
{
    struct server *server = *state;
    struct wire wire;
    size_t at = 0;
    dial(server, &wire, HEAD("/stream", 3000000));
    int small = 65536;
    assert_int_equal(setsockopt(wire.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (int idle = 0; idle < 50 && at < LONG_BYTES;) {
        size_t sent = send_some(&wire, at, LONG_BYTES);
        at += sent;
        idle = sent ? 0 : idle + 1;
        rig_turns(server->rig, 1);
    }
    assert_non_null(server->upload);
    if (at < LONG_BYTES) /* a kernel that keeps all of it proves nothing */
        assert_int_equal(upload_room(server->upload), 0);
    send_body(server, &wire, at, LONG_BYTES);
    RIG_UNTIL(server->rig, is_taken(server));
    check_taken(server, LONG_BYTES);
    answer(server);
    expect(server, &wire, "thanks");
    wire_close(&wire);
}

static void test_collected_after_all(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire, HEAD("/collect", 200000));
    send_body(server, &wire, 0, 200000);
    expect(server, &wire, "got 200000");
    assert_int_equal(server->partial, 1);
    wire_clear(&wire);
    wire_send(&wire, HEAD("/collect", 300001));
    send_body(server, &wire, 0, 2500);
    expect(server, &wire, "HTTP/1.1 413 ");
    assert_true(wire_has(&wire, "body_bytes_max"));
    expect_end(server, &wire);
}

static void test_too_long(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire, HEAD("/stream", 4000001));
    expect(server, &wire, "HTTP/1.1 413 ");
    expect_end(server, &wire);
    dial(server, &wire, HEAD("/whole", 300001)); /* it was not offered */
    expect(server, &wire, "HTTP/1.1 413 ");
    expect_end(server, &wire);
    dial(server, &wire,
        "POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n");
    send_body(server, &wire, 0, 3000);
    RIG_UNTIL(server->rig, server->upload);
    wire_send(&wire, "\r\n3d0900\r\n"); /* with what came before, too much */
    expect(server, &wire, "HTTP/1.1 413 ");
    assert_true(upload_was_cut(server->upload));
    assert_int_equal(server->closed, 1);
    expect_end(server, &wire);
}

static void test_malformed_in_its_middle(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire,
        "POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n");
    send_body(server, &wire, 0, 3000);
    RIG_UNTIL(server->rig, server->upload);
    wire_send(&wire, "\r\nzz\r\n");
    expect(server, &wire, "HTTP/1.1 400 ");
    assert_true(upload_was_cut(server->upload));
    expect_end(server, &wire);
}

static void test_the_caller_goes(void **state)
{
    struct server *server = *state;
    static const char *const paths[] = {HEAD("/stream", 100000), HEAD("/wait", 100000)};
    for (size_t i = 0; i < 2; i++) {
        struct wire wire;
        dial(server, &wire, paths[i]);
        send_body(server, &wire, 0, 3000);
        RIG_UNTIL(server->rig, server->held);
        assert_true(i == 1 || !upload_was_cut(server->upload));
        wire_close(&wire);
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
        assert_true(upload_was_cut(server->upload));
        assert_int_equal(server->closed, i + 1);
    }
}

static void test_answered_before_it_was_whole(void **state)
{
    struct server *server = *state;
    struct wire wire;
    dial(server, &wire, HEAD("/stream", 3000000));
    send_body(server, &wire, 0, 3000);
    RIG_UNTIL(server->rig, server->held);
    upload_close(server->upload); /* its reader has what it wants */
    send_body(server, &wire, 3000, 1000000);
    assert_true(server->taken.size < 1000000);
    answer(server);
    expect(server, &wire, "thanks");
    assert_true(wire_has(&wire, "Connection: close"));
    expect_end(server, &wire);
    dial(server, &wire, HEAD("/no", 3000000));
    send_body(server, &wire, 0, 3000);
    expect(server, &wire, "refused at its beginning");
    expect_end(server, &wire);
}

static void test_a_caller_that_stalls(void **state)
{
    server_free(state);
    struct server *server = server_new_with(300, 0);
    struct wire wire;
    *state = server;
    dial(server, &wire, HEAD("/stream", 100000));
    send_body(server, &wire, 0, 3000);
    expect(server, &wire, "HTTP/1.1 408 ");
    assert_true(upload_was_cut(server->upload));
    assert_int_equal(server->closed, 1);
    expect_end(server, &wire);
}

/* Each piece comes in time, and all of them too slowly: a whole body, and one that goes on. */
static void test_a_caller_that_drips(void **state)
{
    server_free(state);
    struct server *server = server_new_with(300, 1000000000);
    *state = server;
    static const char *const heads[] = {HEAD("/whole", 100000), HEAD("/stream", 100000)};
    for (size_t i = 0; i < 2; i++) {
        struct wire wire;
        dial(server, &wire, heads[i]);
        send_body(server, &wire, 0, 2500);
        for (size_t at = 2500; !wire_has(&wire, "HTTP/1.1 408 ") && at < 90000; at++) {
            (void)send_some(&wire, at, at + 1);
            rig_turns(server->rig, 1);
        }
        expect(server, &wire, "HTTP/1.1 408 ");
        wire_close(&wire);
        RIG_UNTIL(server->rig, exchanges_open_count(server->exchanges) == 0);
    }
    assert_true(upload_was_cut(server->upload));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, server_new, server_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_short_bodies_come_whole),
        TEST(test_a_long_one_goes_on),
        TEST(test_chunked),
        TEST(test_backpressure),
        TEST(test_collected_after_all),
        TEST(test_too_long),
        TEST(test_malformed_in_its_middle),
        TEST(test_the_caller_goes),
        TEST(test_answered_before_it_was_whole),
        TEST(test_a_caller_that_stalls),
        TEST(test_a_caller_that_drips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
