/* inference — one generation per key, whoever asks, how often, and whatever becomes of it. */
#include "tests/server/api/gateway.h"

#define KEY "Idempotency-Key: k\r\n"

static size_t started(struct gateway *gateway)
{
    return fake_started(gateway->rig->upstreams);
}

static void finish(struct gateway *gateway, const char *text, enum upstream_end how)
{
    fake_sse(provider(gateway));
    assert_true(fake_text(provider(gateway), text));
    fake_end(provider(gateway), how);
}

static void test_crowd_of_one_key(void **state)
{
    enum { CROWD = 200 };
    struct gateway *gateway = *state;
    struct wire *wires = calloc(CROWD, sizeof *wires);
    assert_non_null(wires);
    for (int i = 0; i < CROWD; i++)
        ask(gateway, &wires[i], KEY);
    RIG_UNTIL(gateway->rig, provider(gateway));
    rig_turns(gateway->rig, 20);
    finish(gateway, CHUNK("a") DONE, UPSTREAM_COMPLETE);
    char id[ID_TEXT_BYTES], other[ID_TEXT_BYTES];
    for (int i = 0; i < CROWD; i++) {
        RIG_UNTIL(gateway->rig, wire_has(&wires[i], "0\r\n\r\n"));
        assert_string_equal(body_of(&wires[i]), CHUNK("a") DONE);
        stream_id(&wires[i], i ? other : id);
        assert_true(i == 0 || strcmp(id, other) == 0);
        wire_close(&wires[i]);
    }
    assert_int_equal(started(gateway), 1);
    free(wires);
}

static void test_the_request_that_goes_out(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    ask_with(gateway, &wire, "POST /v1/chat/completions?x=1 HTTP/1.1",
        "Authorization: Bearer caller\r\nCookie: c\r\nX-Stainless-Lang: js\r\n"
        "Tokenlog-Metadata: {}\r\n",
        "{\"model\":\"fake/gpt\",\"stream\":true}");
    RIG_UNTIL(gateway->rig, provider(gateway));
    struct upstream *upstream = provider(gateway);
    assert_string_equal(fake_url(upstream), "http://provider/v1/chat/completions?x=1");
    assert_true(fake_has_header(upstream, "Authorization: Bearer secret"));
    assert_true(fake_has_header(upstream, "X-Stainless-Lang: js"));
    assert_false(fake_has_header(upstream, "Authorization: Bearer caller"));
    assert_false(fake_has_header(upstream, "Cookie: c"));
    assert_true(slice_find(fake_body(upstream), SLICE("\"model\":\"gpt\"")) > 0);
    assert_true(slice_find(fake_body(upstream), SLICE("include_usage")) > 0);
    wire_close(&wire);
}

/* As many fields as a request may have reach the provider. */
static void test_many_fields(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    char fields[4096] = "";
    for (int i = 0; i < 95; i++)
        (void)snprintf(
            fields + strlen(fields), sizeof fields - strlen(fields), "X-%d: %d\r\n", i, i);
    ask(gateway, &wire, fields);
    RIG_UNTIL(gateway->rig, provider(gateway));
    assert_true(fake_has_header(provider(gateway), "X-0: 0"));
    assert_true(fake_has_header(provider(gateway), "X-94: 94"));
    wire_close(&wire);
}

/* The caller's wish, within what the server allows. */
static void test_ttl(void **state)
{
    static const struct {
        int64_t max_days;
        const char *fields, *expected;
    } cases[] = {{0, "Tokenlog-TTL: 3600\r\n", "HTTP/1.1 200"},
        {0, "Tokenlog-TTL: 0\r\n", "HTTP/1.1 200"},
        {1, "Tokenlog-TTL: 86400\r\nTokenlog-TTL-Mode: sliding\r\n", "HTTP/1.1 200"},
        {1, "Tokenlog-Attach: Always\r\nTokenlog-On-Interrupted: Replay\r\n", "HTTP/1.1 200"},
        {1, "Tokenlog-TTL: 86401\r\n", "invalid_ttl"}, {1, "Tokenlog-TTL: 0\r\n", "invalid_ttl"}};
    struct gateway *gateway = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire wire;
        bool is_refused = strstr(cases[i].expected, "invalid") != NULL;
        size_t before = started(gateway);
        gateway->config.ttl_max_days = cases[i].max_days;
        ask(gateway, &wire, cases[i].fields);
        if (!is_refused) {
            RIG_UNTIL(gateway->rig, started(gateway) == before + 1);
            fake_sse(provider(gateway));
            assert_true(fake_text(provider(gateway), CHUNK("a") DONE));
        }
        expect(gateway, &wire, cases[i].expected);
        wire_close(&wire);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *fields, *body, *expected;
    } cases[] = {{"", "{", "invalid_body"}, {"", "[]", "invalid_body"}, {"", "", "invalid_body"},
        {"Idempotency-Key: \r\n", ASK, "invalid_idempotency_key"},
        {"Idempotency-Key: a b\r\n", ASK, "invalid_idempotency_key"},
        {"Idempotency-Key: a\r\nIdempotency-Key: a\r\n", ASK, "invalid_idempotency_key"},
        {"Tokenlog-Metadata: 7\r\n", ASK, "invalid_metadata"},
        {"Tokenlog-TTL: 1h\r\n", ASK, "invalid_ttl"}, {"Tokenlog-TTL: -1\r\n", ASK, "invalid_ttl"},
        {"Tokenlog-TTL: 1\r\nTokenlog-TTL: 1\r\n", ASK, "invalid_ttl"},
        {"Tokenlog-TTL: 18446744073709551616\r\n", ASK, "invalid_ttl"},
        {"Tokenlog-TTL: 3153600001\r\n", ASK, "invalid_ttl"},
        {"Tokenlog-TTL-Mode: x\r\n", ASK, "invalid_ttl_mode"},
        {"Tokenlog-Attach: no\r\n", ASK, "Tokenlog-Attach is `always`"},
        {"Tokenlog-Attach: \r\n", ASK, "invalid_attach"},
        {"Tokenlog-Attach: never\r\nTokenlog-Attach: never\r\n", ASK, "invalid_attach"},
        {"Tokenlog-On-Interrupted: again\r\n", ASK,
            "`replay` (as without it), `restart` or `continue`"},
        {"Tokenlog-On-Interrupted: \r\n", ASK, "invalid_on_interrupted"}};
    struct gateway *gateway = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire wire;
        ask_with(
            gateway, &wire, "POST /v1/chat/completions HTTP/1.1", cases[i].fields, cases[i].body);
        expect(gateway, &wire, "HTTP/1.1 400 ");
        expect(gateway, &wire, cases[i].expected);
        wire_close(&wire);
    }
    assert_int_equal(started(gateway), 0);
}

static void test_a_key_is_for_one_request(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    char id[ID_TEXT_BYTES];
    record(gateway, KEY, CHUNK("a") DONE, id);
    ask_with(gateway, &wire, "POST /v1/chat/completions HTTP/1.1", KEY, "{\"model\":\"n\"}");
    expect(gateway, &wire, "HTTP/1.1 422 ");
    assert_true(wire_has(&wire, id));
    wire_close(&wire);
    ask(gateway, &wire, KEY "Tokenlog-Attach: never\r\n");
    expect(gateway, &wire, "HTTP/1.1 409 ");
    wire_close(&wire);
    ask(gateway, &wire, "Idempotency-Key: \"k\"\r\n"); /* the quoted form is the same key */
    expect(gateway, &wire, "Tokenlog-Attached: finished\r\n");
    wire_close(&wire);
    assert_int_equal(started(gateway), 1);
}

/* What the provider refused was not delivered: the key is free for the next attempt. */
static void test_errors_are_not_pinned(void **state)
{
    struct gateway *gateway = *state;
    for (int i = 0; i < 3; i++) {
        struct wire wire;
        ask(gateway, &wire, KEY);
        RIG_UNTIL(gateway->rig, started(gateway) == (size_t)i + 1);
        if (i == 0) {
            fake_end(provider(gateway), UPSTREAM_REFUSED);
            expect(gateway, &wire, "HTTP/1.1 502 ");
        } else if (i == 1) {
            fake_head(provider(gateway), 500, "Content-Type: text/plain\r\n");
            assert_true(fake_text(provider(gateway), "oops"));
            fake_end(provider(gateway), UPSTREAM_COMPLETE);
            expect(gateway, &wire, "HTTP/1.1 500 ");
        } else {
            finish(gateway, CHUNK("a") DONE, UPSTREAM_COMPLETE);
            expect(gateway, &wire, "[DONE]");
        }
        wire_close(&wire);
    }
    struct wire wire;
    get(gateway, &wire, "GET /v1/streams?idempotency_key=k");
    expect(gateway, &wire, "\"attempt\":3");
    wire_close(&wire);
}

/* A broken one is shown as it is; a new attempt is made only if asked for, and once for all who ask. */
static void test_restart(void **state)
{
    struct gateway *gateway = *state;
    struct wire wires[3];
    ask(gateway, &wires[0], KEY);
    RIG_UNTIL(gateway->rig, provider(gateway));
    finish(gateway, CHUNK("a"), UPSTREAM_RESET);
    expect_end(gateway, &wires[0], 0);
    wire_close(&wires[0]);
    ask(gateway, &wires[0], KEY);
    expect(gateway, &wires[0], "Tokenlog-Stream-State: failed\r\n");
    expect_end(gateway, &wires[0], 0);
    assert_int_equal(started(gateway), 1);
    wire_close(&wires[0]);
    for (int i = 0; i < 3; i++)
        ask(gateway, &wires[i], KEY "Tokenlog-On-Interrupted: restart\r\n");
    RIG_UNTIL(gateway->rig, started(gateway) == 2);
    rig_turns(gateway->rig, 20);
    finish(gateway, CHUNK("b") DONE, UPSTREAM_COMPLETE);
    for (int i = 0; i < 3; i++) {
        expect(gateway, &wires[i], "[DONE]");
        assert_false(wire_has(&wires[i], "\"a\""));
        wire_close(&wires[i]);
    }
    assert_int_equal(started(gateway), 2);
}

/* The caller is gone while its key is looked up: nothing is asked, nothing is paid for. */
static void test_gone_during_the_look_up(void **state)
{
    struct gateway *gateway = *state;
    for (int turns = 0; turns < 4; turns++) {
        struct wire wire;
        ask(gateway, &wire, KEY);
        rig_turns(gateway->rig, turns);
        net_reset(wire.fd);
        wire.fd = -1;
        wire_close(&wire);
        RIG_UNTIL(gateway->rig, exchanges_open_count(gateway->exchanges) == 0);
        rig_turns(gateway->rig, 20);
    }
    assert_true(started(gateway) <= 1);
}

/* No new work once the server drains: also not for one whose key was being looked up. */
static void test_draining(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    gateway->api.is_draining = true;
    ask(gateway, &wire, "");
    expect(gateway, &wire, "shutting_down");
    assert_true(wire_has(&wire, "HTTP/1.1 503 "));
    wire_close(&wire);
    ask(gateway, &wire, KEY);
    expect(gateway, &wire, "shutting_down");
    wire_close(&wire);
    assert_int_equal(started(gateway), 0);
}

static void test_no_room(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    gateway->rig->is_disk_held = true;
    struct stream *filler = rig_fill_queue(gateway->rig);
    ask(gateway, &wire, "");
    expect(gateway, &wire, "HTTP/1.1 503 ");
    assert_true(wire_has(&wire, "Retry-After: 1\r\n"));
    wire_close(&wire);
    gateway->rig->is_disk_held = false;
    rig_end_tail(gateway->rig, filler, STREAM_STOPPED);
    stream_unref(filler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_crowd_of_one_key),
        TEST(test_the_request_that_goes_out),
        TEST(test_many_fields),
        TEST(test_ttl),
        TEST(test_refusals),
        TEST(test_a_key_is_for_one_request),
        TEST(test_errors_are_not_pinned),
        TEST(test_restart),
        TEST(test_gone_during_the_look_up),
        TEST(test_draining),
        TEST(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
