/* streams — recordings looked at, listed, stopped and deleted. */
#include "tests/server/api/gateway.h"

static void begin(struct gateway *gateway, struct wire *wire, char id[ID_TEXT_BYTES])
{
    ask(gateway, wire, "Idempotency-Key: k\r\n");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_sse(provider(gateway));
    assert_true(fake_text(provider(gateway), CHUNK("a")));
    expect(gateway, wire, "\"a\"");
    stream_id(wire, id);
}

static void test_stop(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, stop, again;
    char id[ID_TEXT_BYTES];
    begin(gateway, &first, id);
    gateway->rig->is_disk_held = true;
    get(gateway, &stop, "POST /v1/streams/%s/stop", id);
    get(gateway, &again, "POST /v1/streams/%s/stop", id);
    rig_turns(gateway->rig, 20);
    wire_pull(&stop);
    assert_int_equal(stop.got.size, 0); /* nothing is said before it is durable */
    gateway->rig->is_disk_held = false;
    expect(gateway, &stop, "\"state\":\"stopped\"");
    expect(gateway, &again, "\"state\":\"stopped\"");
    expect_end(gateway, &first, 0);
    assert_false(has_last_chunk(&first));
    RIG_UNTIL(gateway->rig, fake_open(gateway->rig->upstreams) == 0);
    wire_close(&first);
    wire_close(&stop);
    wire_close(&again);
    get(gateway, &stop, "POST /v1/streams/%s/stop", id); /* of an ended one: what it is */
    expect(gateway, &stop, "\"state\":\"stopped\"");
    wire_close(&stop);
}

/* The stop finds no room at once: it is answered when it is done, and its caller may go meanwhile. */
static void test_stop_that_waits(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, stop, gone;
    char id[ID_TEXT_BYTES];
    begin(gateway, &first, id);
    rig_turns(gateway->rig, 10);
    gateway->rig->is_disk_held = true;
    char *large = malloc(BATCH_BYTES * 2 + 1);
    assert_non_null(large);
    memset(large, 'x', BATCH_BYTES * 2);
    memcpy(large, "data: ", 6);
    memcpy(large + BATCH_BYTES * 2 - 2, "\n\n", 3);
    assert_true(fake_text(provider(gateway), large)); /* waits for its share of the journal */
    free(large);
    get(gateway, &gone, "POST /v1/streams/%s/stop", id);
    get(gateway, &stop, "POST /v1/streams/%s/stop", id);
    rig_turns(gateway->rig, 20);
    wire_pull(&stop);
    assert_int_equal(stop.got.size, 0);
    wire_close(&gone);
    rig_turns(gateway->rig, 20);
    gateway->rig->is_disk_held = false;
    expect(gateway, &stop, "\"state\":\"stopped\"");
    assert_true(wire_has(&stop, "\"events\":2"));
    wire_close(&first);
    wire_close(&stop);
}

static void test_stop_when_stuck(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, stop;
    char id[ID_TEXT_BYTES];
    begin(gateway, &first, id);
    rig_turns(gateway->rig, 10);
    gateway->rig->is_disk_held = true;
    get(gateway, &stop, "POST /v1/streams/%s/stop", id);
    rig_turns(gateway->rig, 20);
    hub_stuck(gateway->rig->hub);
    expect(gateway, &stop, "HTTP/1.1 503 ");
    gateway->rig->is_disk_held = false;
    wire_close(&first);
    wire_close(&stop);
}

static void test_delete(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, wire;
    char id[ID_TEXT_BYTES];
    begin(gateway, &first, id);
    get(gateway, &wire, "DELETE /v1/streams/%s", id);
    expect(gateway, &wire, "HTTP/1.1 409 ");
    wire_close(&wire);
    assert_true(fake_text(provider(gateway), DONE));
    fake_end(provider(gateway), UPSTREAM_COMPLETE);
    RIG_UNTIL(gateway->rig, has_last_chunk(&first));
    wire_close(&first);
    get(gateway, &wire, "DELETE /v1/streams/%s", id);
    expect(gateway, &wire, "HTTP/1.1 204 ");
    wire_close(&wire);
    for (int i = 0; i < 20; i++) { /* in memory, being archived, and in the store */
        get(gateway, &wire, "GET /v1/streams/%s", id);
        expect(gateway, &wire, "HTTP/1.1 410 ");
        wire_close(&wire);
        get(gateway, &wire, "GET /v1/streams/%s/events", id);
        expect(gateway, &wire, "stream_deleted");
        wire_close(&wire);
        ask(gateway, &wire, "Idempotency-Key: k\r\n");
        expect(gateway, &wire, "HTTP/1.1 410 ");
        wire_close(&wire);
        get(gateway, &wire, "GET /v1/streams");
        expect(gateway, &wire, "\"data\":[]");
        wire_close(&wire);
    }
    get(gateway, &wire, "DELETE /v1/streams/%s", id);
    expect(gateway, &wire, "HTTP/1.1 410 ");
    wire_close(&wire);
}

static void test_not_found(void **state)
{
    static const char *const ids[] = {
        "x", "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-474b-bcce-b302099a8057", "%30"};
    struct gateway *gateway = *state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct wire wire;
        get(gateway, &wire, "GET /v1/streams/%s", ids[i]);
        expect(gateway, &wire, "HTTP/1.1 404 ");
        expect(gateway, &wire, "stream_not_found");
        wire_close(&wire);
    }
}

/* The newest first, page by page, whether in memory or in the store: each once. */
static void test_list(void **state)
{
    enum { COUNT = 25 };
    struct gateway *gateway = *state;
    char ids[COUNT][ID_TEXT_BYTES], path[200] = "GET /v1/streams?limit=7";
    for (int i = 0; i < COUNT; i++)
        record(gateway, "", CHUNK("a") DONE, ids[i]);
    size_t seen[COUNT] = {0}, pages = 0;
    for (bool has_more = true; has_more; pages++) {
        struct wire wire;
        get(gateway, &wire, "%s", path);
        expect(gateway, &wire, "}\n");
        const char *body = body_of(&wire);
        for (int i = 0; i < COUNT; i++) {
            char own[64];
            (void)snprintf(own, sizeof own, "\"id\":\"%s\"", ids[i]);
            seen[i] += strstr(body, own) != NULL;
        }
        has_more = strstr(body, "\"has_more\":true") != NULL;
        const char *next = strstr(body, "\"next\":\"");
        assert_int_equal(has_more, next != NULL);
        if (next)
            (void)snprintf(path, sizeof path, "GET /v1/streams?limit=7&before=%.36s", next + 8);
        wire_close(&wire);
    }
    assert_int_equal(pages, 4);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(seen[i], 1);
}

static void test_list_filters(void **state)
{
    static const struct {
        const char *query, *expected;
    } cases[] = {{"state=completed", "\"completed\""}, {"state=failed", "\"data\":[]"},
        {"model=m", "\"completed\""}, {"model=n", "\"data\":[]"},
        {"idempotency_key=k", "\"completed\""}, {"idempotency_key=l", "\"data\":[]"},
        {"limit=0", "HTTP/1.1 400"}, {"limit=x", "HTTP/1.1 400"}, {"before=x", "HTTP/1.1 400"},
        {"state=x", "HTTP/1.1 400"}, {"limit=1&limit=2", "HTTP/1.1 400"},
        {"model=%zz", "HTTP/1.1 400"}};
    struct gateway *gateway = *state;
    char id[ID_TEXT_BYTES];
    record(gateway, "Idempotency-Key: k\r\n", CHUNK("a") DONE, id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire wire;
        get(gateway, &wire, "GET /v1/streams?%s", cases[i].query);
        expect(gateway, &wire, cases[i].expected);
        wire_close(&wire);
    }
}

/* An ID that is not durable yet is nobody's to see. */
static void test_not_listed_before_it_is_durable(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, list;
    gateway->rig->is_disk_held = true;
    ask(gateway, &first, "");
    RIG_UNTIL(gateway->rig, provider(gateway));
    get(gateway, &list, "GET /v1/streams");
    expect(gateway, &list, "\"data\":[]");
    wire_close(&list);
    gateway->rig->is_disk_held = false;
    rig_turns(gateway->rig, 20);
    get(gateway, &list, "GET /v1/streams");
    expect(gateway, &list, "\"state\":\"accepted\"");
    wire_close(&list);
    wire_close(&first);
}

/* What was answered as deleted is so after a crash too, at once. */
static void test_deleted_for_good(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    char id[ID_TEXT_BYTES];
    struct id parsed;
    enum err err;
    record(gateway, "", CHUNK("a") DONE, id);
    get(gateway, &wire, "DELETE /v1/streams/%s", id);
    expect(gateway, &wire, "HTTP/1.1 204 ");
    wire_close(&wire);
    RIG_UNTIL(gateway->rig, exchanges_open_count(gateway->exchanges) == 0);
    rig_reopen(gateway->rig, true);
    gateway->api.hub = gateway->rig->hub;
    assert_int_equal(id_parse(slice_text(id), &parsed), ERR_OK);
    struct stream *stream = rig_find(gateway->rig, &parsed, &err);
    assert_int_equal(err, ERR_OK);
    assert_true(stream_is_deleted(stream));
    stream_unref(stream);
}

/* Held while live, when just ended and when archived: durable when answered, and not to be deleted. */
static void test_hold(void **state)
{
    struct gateway *gateway = *state;
    struct wire first, wire;
    char id[ID_TEXT_BYTES];
    begin(gateway, &first, id);
    get(gateway, &wire, "PUT /v1/streams/%s/hold", id);
    expect(gateway, &wire, "\"held\":true");
    wire_close(&wire);
    assert_true(fake_text(provider(gateway), DONE));
    expect(gateway, &first, "[DONE]");
    wire_close(&first);
    for (int i = 0; i < 20; i++) { /* from memory, and from the store */
        get(gateway, &wire, "DELETE /v1/streams/%s", id);
        expect(gateway, &wire, i % 2 ? "HTTP/1.1 423 Locked" : "stream_held");
        wire_close(&wire);
        get(gateway, &wire, "GET /v1/streams/%s", id);
        expect(gateway, &wire, "\"held\":true");
        wire_close(&wire);
        rig_turns(gateway->rig, 5);
    }
    get(gateway, &wire, "DELETE /v1/streams/%s/hold", id);
    expect(gateway, &wire, "\"held\":false");
    wire_close(&wire);
    get(gateway, &wire, "PUT /v1/streams/%s/hold", id);
    expect(gateway, &wire, "\"held\":true");
    wire_close(&wire);
    get(gateway, &wire, "DELETE /v1/streams/%s/hold", id);
    expect(gateway, &wire, "\"held\":false");
    wire_close(&wire);
    get(gateway, &wire, "DELETE /v1/streams/%s", id);
    expect(gateway, &wire, "HTTP/1.1 204 ");
    wire_close(&wire);
    get(gateway, &wire, "PUT /v1/streams/%s/hold", id);
    expect(gateway, &wire, "HTTP/1.1 410 ");
    wire_close(&wire);
    get(gateway, &wire, "PUT /v1/streams/x/hold");
    expect(gateway, &wire, "HTTP/1.1 404 ");
    wire_close(&wire);
}

static void count_stream(void *context, struct stream *stream)
{
    (void)stream;
    ++*(size_t *)context;
}

/* Streams that somebody still has to do with, or that are not archived. */
static size_t streams_in_memory(struct gateway *gateway)
{
    size_t count = 0;
    struct project *project;
    assert_int_equal(auth_check(gateway->auth, SLICE_NONE, &project), ERR_OK);
    hub_walk(gateway->rig->hub, project, count_stream, &count);
    return count;
}

/* The caller goes while its look-up, or its barrier, is under way. */
static void test_gone_callers(void **state)
{
    static const char *const calls[] = {"GET /v1/streams/%s", "GET /v1/streams/%s/events",
        "POST /v1/streams/%s/stop", "GET /v1/streams?model=%s", "PUT /v1/streams/%s/hold",
        "DELETE /v1/streams/%s/hold", "DELETE /v1/streams/%s"};
    struct gateway *gateway = *state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int turns = 0; turns < 4; turns++) {
            struct wire wire;
            char id[ID_TEXT_BYTES], path[100];
            record(gateway, "", CHUNK("a") DONE, id);
            const char *format = strstr(calls[i], "%s");
            (void)snprintf(
                path, sizeof path, "%.*s%s%s", (int)(format - calls[i]), calls[i], id, format + 2);
            get(gateway, &wire, "%s", path);
            rig_turns(gateway->rig, turns);
            net_reset(wire.fd);
            wire.fd = -1;
            wire_close(&wire);
            RIG_UNTIL(gateway->rig, exchanges_open_count(gateway->exchanges) == 0);
        }
    RIG_UNTIL(gateway->rig, streams_in_memory(gateway) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stop),
        TEST(test_stop_that_waits),
        TEST(test_stop_when_stuck),
        TEST(test_delete),
        TEST(test_hold),
        TEST(test_not_found),
        TEST(test_list),
        TEST(test_list_filters),
        TEST(test_not_listed_before_it_is_durable),
        TEST(test_deleted_for_good),
        TEST(test_gone_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
