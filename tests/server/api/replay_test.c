/* replay — what callers get of a recording: live, again, from an offset, whole and cut. */
#include "tests/server/api/gateway.h"

/* Nothing leaves before the first event is durable; then the provider's bytes, and a clean end. */
static void test_live(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    ask(gateway, &wire, "");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_sse(provider(gateway));
    rig_turns(gateway->rig, 10);
    gateway->rig->is_disk_held = true;
    assert_true(fake_text(provider(gateway), CHUNK("a")));
    rig_turns(gateway->rig, 20);
    wire_pull(&wire);
    assert_int_equal(wire.got.size, 0);
    gateway->rig->is_disk_held = false;
    expect(gateway, &wire, "\"a\"");
    assert_true(wire_has(&wire, "HTTP/1.1 200 OK\r\n"));
    assert_true(wire_has(&wire, "X-Request-Id: r1\r\n"));
    assert_true(wire_has(&wire, "Tokenlog-Stream-State: streaming\r\n"));
    assert_false(wire_has(&wire, "Tokenlog-Attached"));
    assert_true(fake_text(provider(gateway), DONE));
    fake_end(provider(gateway), UPSTREAM_COMPLETE);
    RIG_UNTIL(gateway->rig, wire_has(&wire, "0\r\n\r\n"));
    assert_string_equal(body_of(&wire), CHUNK("a") DONE);
    wire_close(&wire);
}

/* Invariant 5, for each way of framing and each bad end, live and again: nobody takes it for whole. */
static void test_honest_ends(void **state)
{
    struct gateway *gateway = *state;
    static const enum upstream_end ends[] = {
        UPSTREAM_RESET, UPSTREAM_COMPLETE, UPSTREAM_TIMEOUT_IDLE, UPSTREAM_MALFORMED};
    for (size_t i = 0; i < 16; i++) {
        struct wire wires[2];
        char fields[64], line[64];
        bool is_10 = i & 1, is_opaque = i & 2;
        enum upstream_end how = is_opaque ? UPSTREAM_RESET : ends[i / 4];
        (void)snprintf(fields, sizeof fields, "Idempotency-Key: k%zu\r\n", i);
        (void)snprintf(line, sizeof line, "POST /v1/chat/completions HTTP/1.%d", is_10 ? 0 : 1);
        for (int again = 0; again < 2; again++) {
            struct wire *wire = &wires[again];
            ask_with(gateway, wire, line, fields, ASK);
            if (!again) {
                RIG_UNTIL(gateway->rig, provider(gateway));
                if (is_opaque)
                    fake_head(provider(gateway), 200, "Content-Type: application/json\r\n");
                else
                    fake_sse(provider(gateway));
                assert_true(fake_text(provider(gateway), CHUNK("a")));
                RIG_UNTIL(gateway->rig, wire_has(wire, "\"a\""));
                fake_end(provider(gateway), how);
            } else if (is_opaque) {
                expect(gateway, wire, "HTTP/1.1 409 ");
                assert_true(wire_has(wire, "stream_failed"));
                continue;
            }
            expect_end(gateway, wire, is_10 ? ECONNRESET : 0);
            assert_int_equal(wire_count(wire, CHUNK("a")), 1);
            assert_false(has_last_chunk(wire));
            assert_int_equal(again, wire_has(wire, "Idempotent-Replayed: true\r\n"));
            if (again)
                assert_true(wire_has(wire, "Tokenlog-Stream-State: failed\r\n"));
        }
        wire_close(&wires[0]);
        wire_close(&wires[1]);
    }
    assert_int_equal(fake_started(gateway->rig->upstreams), 16);
}

/* No response at all: an error in its place, which names the stream. */
static void test_headless(void **state)
{
    struct gateway *gateway = *state;
    static const struct {
        enum upstream_end how;
        const char *status;
    } cases[] = {{UPSTREAM_REFUSED, "HTTP/1.1 502 "},
        {UPSTREAM_TIMEOUT_FIRST_BYTE, "HTTP/1.1 504 "}, {UPSTREAM_RESET, "HTTP/1.1 502 "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire wire;
        ask(gateway, &wire, "");
        RIG_UNTIL(gateway->rig, provider(gateway));
        fake_end(provider(gateway), cases[i].how);
        expect(gateway, &wire, cases[i].status);
        assert_true(wire_has(&wire, upstream_end_name(cases[i].how)));
        assert_true(wire_has(&wire, "Tokenlog-Stream-Id: "));
        wire_close(&wire);
    }
}

static void test_a_provider_error_passes_through(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    ask(gateway, &wire, "");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_head(provider(gateway), 429,
        "Content-Type: application/json\r\nContent-Length: 14\r\nRetry-After: 9\r\n");
    assert_true(fake_text(provider(gateway), "{\"error\":\"no\"}"));
    fake_end(provider(gateway), UPSTREAM_COMPLETE);
    expect(gateway, &wire, "{\"error\":\"no\"}");
    assert_true(wire_has(&wire, "HTTP/1.1 429 "));
    assert_true(wire_has(&wire, "Retry-After: 9\r\n"));
    assert_true(wire_has(&wire, "Content-Length: 14\r\n"));
    rig_turns(gateway->rig, 10);
    assert_false(wire_ended(&wire)); /* a whole response: the connection is kept */
    wire_close(&wire);
}

/* ---- by ID ----------------------------------------------------------------------------------- */

static void test_offsets(void **state)
{
    static const char *const events[] = {CHUNK("a"), CHUNK("b"), DONE};
    struct gateway *gateway = *state;
    struct wire wire;
    char id[ID_TEXT_BYTES];
    record(gateway, "", CHUNK("a") CHUNK("b") DONE, id);
    for (size_t from = 0; from <= 3; from++) {
        char sse[1000] = "", raw[1000] = "", line[100];
        for (size_t i = from; i < 3; i++) {
            (void)snprintf(
                sse + strlen(sse), sizeof sse - strlen(sse), "id: %zu\n%s", i + 1, events[i]);
            (void)strncat(raw, events[i], sizeof raw - strlen(raw) - 1);
        }
        (void)strncat(sse,
            "event: tokenlog.end\nid: 4\ndata: "
            "{\"state\":\"completed\",\"events\":3,\"reason\":null}\n\n",
            sizeof sse - strlen(sse) - 1);
        get(gateway, &wire, "GET /v1/streams/%s/events?from=%zu", id, from);
        RIG_UNTIL(gateway->rig, has_last_chunk(&wire));
        assert_string_equal(body_of(&wire), sse);
        wire_close(&wire);
        get(gateway, &wire, "GET /v1/streams/%s/events?format=raw&from=%zu", id, from);
        RIG_UNTIL(gateway->rig, wire_has(&wire, "0\r\n\r\n"));
        assert_string_equal(body_of(&wire), raw);
        wire_close(&wire);
        (void)snprintf(line, sizeof line, "Last-Event-ID: %zu\r\n", from);
        char path[100];
        (void)snprintf(path, sizeof path, "GET /v1/streams/%s/events?from=1 HTTP/1.1", id);
        ask_with(gateway, &wire, path, line, "");
        RIG_UNTIL(gateway->rig, has_last_chunk(&wire));
        assert_string_equal(body_of(&wire), sse);
        wire_close(&wire);
    }
}

static void test_bad_offsets(void **state)
{
    static const struct {
        const char *query, *status;
    } cases[] = {{"from=4", "416"}, {"from=18446744073709551615", "416"},
        {"from=18446744073709551616", "400"}, {"from=-1", "400"}, {"from=", "400"},
        {"from=1&from=2", "400"}, {"from=x", "400"}, {"format=xml", "400"}, {"live=maybe", "400"}};
    struct gateway *gateway = *state;
    char id[ID_TEXT_BYTES];
    record(gateway, "", CHUNK("a") CHUNK("b") DONE, id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire wire;
        char status[32];
        (void)snprintf(status, sizeof status, "HTTP/1.1 %s ", cases[i].status);
        get(gateway, &wire, "GET /v1/streams/%s/events?%s", id, cases[i].query);
        expect(gateway, &wire, status);
        expect(gateway, &wire, "\"error\":");
        wire_close(&wire);
    }
}

/* An attached reader follows; a snapshot of the same moment ends, and says that it goes on. */
static void test_follow_and_snapshot(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, follower, snapshot, raw;
    char id[ID_TEXT_BYTES];
    ask(gateway, &first, "");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_sse(provider(gateway));
    assert_true(fake_text(provider(gateway), CHUNK("a")));
    expect(gateway, &first, "\"a\"");
    stream_id(&first, id);
    get(gateway, &follower, "GET /v1/streams/%s/events?from=1", id);
    expect(gateway, &follower, "HTTP/1.1 200 ");
    get(gateway, &snapshot, "GET /v1/streams/%s/events?live=false", id);
    RIG_UNTIL(gateway->rig, has_last_chunk(&snapshot));
    assert_true(wire_has(&snapshot, "{\"state\":\"streaming\",\"events\":1,"));
    get(gateway, &raw, "GET /v1/streams/%s/events?live=false&format=raw", id);
    RIG_UNTIL(gateway->rig, wire_has(&raw, "0\r\n\r\n"));
    assert_string_equal(body_of(&raw), CHUNK("a"));
    wire_close(&first); /* the generation goes on */
    assert_true(fake_text(provider(gateway), CHUNK("b") "data: [DONE]"));
    fake_end(provider(gateway), UPSTREAM_COMPLETE);
    RIG_UNTIL(gateway->rig, has_last_chunk(&follower));
    assert_string_equal(body_of(&follower),
        "id: 2\n" CHUNK("b") "id: 3\ndata: [DONE]\n\nevent: tokenlog.end\nid: 4\n"
                             "data: {\"state\":\"completed\",\"events\":3,\"reason\":null}\n\n");
    wire_close(&follower);
    wire_close(&snapshot);
    wire_close(&raw);
}

/* A stream that is only on its way to its end is not said to have reached it. */
static void test_the_end_is_shown_when_durable(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, show, late;
    char id[ID_TEXT_BYTES];
    ask(gateway, &first, "Idempotency-Key: k\r\n");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_sse(provider(gateway));
    assert_true(fake_text(provider(gateway), CHUNK("a")));
    expect(gateway, &first, "\"a\"");
    stream_id(&first, id);
    rig_turns(gateway->rig, 10);
    gateway->rig->is_disk_held = true;
    assert_true(fake_text(provider(gateway), DONE));
    get(gateway, &show, "GET /v1/streams/%s", id);
    expect(gateway, &show, "\"state\":\"streaming\"");
    assert_false(wire_has(&show, "completed"));
    ask(gateway, &late, "Idempotency-Key: k\r\n");
    expect(gateway, &late, "Tokenlog-Stream-State: streaming\r\n");
    expect(gateway, &late, "Tokenlog-Attached: live\r\n");
    gateway->rig->is_disk_held = false;
    RIG_UNTIL(gateway->rig, has_last_chunk(&late));
    assert_string_equal(body_of(&late), CHUNK("a") DONE);
    wire_close(&first);
    wire_close(&show);
    wire_close(&late);
}

/* One event that nearly fills a send: the closing event waits for the next one if there is not room
 * enough, and is never cut. */
static void test_large(void **state)
{
    struct gateway *gateway = *state;
    char id[ID_TEXT_BYTES];
    for (size_t size = CONN_SEND_BYTES_MAX - 1000; size < CONN_SEND_BYTES_MAX - 400; size += 6) {
        struct wire wire;
        char *text = malloc(size + 1);
        assert_non_null(text);
        memset(text, 'x', size);
        memcpy(text, "data: ", 6);
        memcpy(text + size - 2, "\n\n", 3);
        record(gateway, "", text, id);
        get(gateway, &wire, "GET /v1/streams/%s/events", id);
        RIG_UNTIL(gateway->rig, wire_ended(&wire) || has_last_chunk(&wire));
        assert_true(has_last_chunk(&wire));
        const char *body = body_of(&wire);
        assert_memory_equal(body, "id: 1\n", 6);
        assert_memory_equal(body + 6, text, size);
        assert_string_equal(body + 6 + size,
            "event: tokenlog.end\nid: 2\ndata: {\"state\":\"failed\",\"events\":1,"
            "\"reason\":\"upstream_truncated\"}\n\n");
        wire_close(&wire);
        free(text);
    }
}

/* More than a send holds: the first ends at each place in an event, or just before or behind it, as its
 * beginning is moved by the offset. */
static void test_many_sends(void **state)
{
    enum { EVENT_BYTES = 64, EVENTS = (CONN_SEND_BYTES_MAX + 64 * 1024) / EVENT_BYTES };
    struct gateway *gateway = *state;
    char id[ID_TEXT_BYTES];
    size_t size = 0, starts[EVENT_BYTES];
    char *text = calloc(EVENTS + EVENT_BYTES, EVENT_BYTES);
    assert_non_null(text);
    for (size_t i = 0; i < EVENTS; i++) {
        size_t more = i < EVENT_BYTES ? i : 0;
        if (i < EVENT_BYTES)
            starts[i] = size;
        memset(text + size, 'x', EVENT_BYTES + more);
        (void)snprintf(text + size, EVENT_BYTES, "data: %zu", i);
        text[size + strlen(text + size)] = ' ';
        size += EVENT_BYTES + more;
        memcpy(text + size - 2, "\n\n", 2);
    }
    memcpy(text + size, DONE, sizeof DONE);
    record(gateway, "", text, id);
    for (size_t from = 0; from < EVENT_BYTES; from++) {
        struct wire wire;
        get(gateway, &wire, "GET /v1/streams/%s/events?format=raw&from=%zu", id, from);
        RIG_UNTIL(gateway->rig, wire_ended(&wire) || wire_has(&wire, "0\r\n\r\n"));
        assert_string_equal(body_of(&wire), text + starts[from]);
        wire_close(&wire);
    }
    free(text);
}

/* An opaque body as events: base64, in whole fragments; raw: as it was. */
static void test_opaque(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    char id[ID_TEXT_BYTES];
    enum { BYTES = 200000 };
    char *body = malloc(BYTES + 1);
    assert_non_null(body);
    memset(body, 'A', BYTES);
    body[BYTES] = 0;
    ask_with(gateway, &wire, "POST /v1/audio/speech HTTP/1.1", "", "{\"model\":\"m\"}");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_head(provider(gateway), 200, "Content-Type: audio/mpeg\r\nContent-Length: 200000\r\n");
    assert_true(fake_text(provider(gateway), body));
    fake_end(provider(gateway), UPSTREAM_COMPLETE);
    RIG_UNTIL(gateway->rig, (wire_pull(&wire), wire.got.size > BYTES));
    assert_true(wire_has(&wire, "Content-Length: 200000\r\n"));
    assert_string_equal(body_of(&wire), body);
    stream_id(&wire, id);
    wire_close(&wire);
    get(gateway, &wire, "GET /v1/streams/%s/events?from=1", id);
    RIG_UNTIL(gateway->rig, has_last_chunk(&wire));
    assert_int_equal(wire_count(&wire, "event: tokenlog.bytes\ndata: QUFBQUFB"), 3);
    assert_true(wire_has(&wire, "id: 4\n"));
    wire_close(&wire);
    get(gateway, &wire, "GET /v1/streams/%s/events?format=raw", id);
    RIG_UNTIL(gateway->rig, wire_has(&wire, "0\r\n\r\n"));
    assert_string_equal(body_of(&wire), body);
    wire_close(&wire);
    free(body);
}

/* Nothing can be recorded any more: who waits for a head gets an error, who has one gets no clean end. */
static void test_stuck(void **state)
{
    struct gateway *gateway = *state;
    struct wire waiting, reading, events;
    char id[ID_TEXT_BYTES];
    ask(gateway, &reading, "");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_sse(provider(gateway));
    assert_true(fake_text(provider(gateway), CHUNK("a")));
    expect(gateway, &reading, "\"a\"");
    stream_id(&reading, id);
    get(gateway, &events, "GET /v1/streams/%s/events", id);
    expect(gateway, &events, "\"a\"");
    ask(gateway, &waiting, "");
    RIG_UNTIL(gateway->rig, fake_open(gateway->rig->upstreams) == 2);
    hub_stuck(gateway->rig->hub);
    expect(gateway, &waiting, "storage_full");
    expect_end(gateway, &reading, 0);
    (void)events;
    wire_close(&waiting);
    wire_close(&reading);
    wire_close(&events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_live),
        TEST(test_honest_ends),
        TEST(test_headless),
        TEST(test_a_provider_error_passes_through),
        TEST(test_offsets),
        TEST(test_bad_offsets),
        TEST(test_follow_and_snapshot),
        TEST(test_the_end_is_shown_when_durable),
        TEST(test_large),
        TEST(test_many_sends),
        TEST(test_opaque),
        TEST(test_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
