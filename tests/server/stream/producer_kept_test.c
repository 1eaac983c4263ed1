/* producer_kept — a provider that keeps its response: lost connections and servers that die leave the caller
 * with the bytes that the provider has, each once. */
#include "protocol/base/own.h"
#include "tests/server/stream/server_rig.h"

#define EVENT(type, number, more)                                                                  \
    "event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":" number more "}\n\n"
#define CREATED   EVENT("response.created", "0", ",\"response\":{\"id\":\"resp_1\"}")
#define DELTA(n)  EVENT("response.output_text.delta", n, ",\"delta\":\"t" n "\"")
#define FAILED(n) EVENT("error", n, ",\"message\":\"no more\"")
#define COMPLETED(n)                                                                               \
    EVENT("response.completed", n,                                                                 \
        ",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"usage\":{\"input_tokens\":1," \
        "\"output_tokens\":2}}")

enum { COMMENTS = 200 /* more than are looked at first */ };

struct run {
    const char *dialect;
    struct rig *rig;
    struct stream *stream;
    struct rig_reader reader;
};

static struct producer_request request_of(const char *name, bool is_reopened)
{
    const struct dialect *dialect;
    assert_int_equal(dialect_by_name(slice_text(name), &dialect), ERR_OK);
    static const struct headers none;
    static const char *const lines[] = {"Authorization: Bearer secret", "Accept: */*", NULL};
    return (struct producer_request){.dialect = dialect,
        .url = "http://provider/v1/responses?api-version=1",
        .credentials = lines,
        .headers = &none,
        .body = is_reopened ? SLICE_NONE : SLICE("{}"),
        .target = "openai/m",
        .key_name = "key 1",
        .is_kept = true,
        .is_reopened = is_reopened};
}

static struct row row_of(const struct run *run)
{
    struct row row = rig_row(run->rig, "");
    row.path = SLICE("/v1/responses");
    row.dialect = slice_text(run->dialect);
    return row;
}

static void begin_of(struct run *run, const char *dialect)
{
    run->dialect = dialect;
    run->rig = rig_new();
    struct row row = row_of(run);
    assert_int_equal(
        hub_create(run->rig->hub, &run->rig->project, &row, SLICE("{}"), &run->stream), ERR_OK);
    struct producer_request request = request_of(dialect, false);
    assert_int_equal(producer_start(&run->rig->producer, run->stream, &request), ERR_OK);
    rig_reader_open(run->rig, run->stream, 0, true, &run->reader);
    fake_sse(fake_last(run->rig->upstreams));
}

static void begin(struct run *run)
{
    begin_of(run, "openai_responses");
}

static void finish(struct run *run)
{
    rig_reader_close(&run->reader);
    stream_unref(run->stream);
    rig_free(run->rig);
}

static const struct row *expect_end(
    struct run *run, enum stream_state state, const char *reason, const char *bytes)
{
    RIG_UNTIL(run->rig, run->reader.err != ERR_AGAIN);
    const struct row *row = stream_row(run->stream);
    assert_int_equal(row->state, state);
    assert_true(slice_equal(row->reason, slice_text(reason)));
    assert_true(slice_equal(buf_slice(&run->reader.bytes), slice_text(bytes)));
    return row;
}

/* The next request, once it is there. */
static struct upstream *expect_asked_by(struct run *run, const char *query)
{
    char url[256];
    (void)snprintf(
        url, sizeof url, "http://provider/v1/responses/resp_1?stream=true%s&api-version=1", query);
    RIG_UNTIL(run->rig, fake_last(run->rig->upstreams) &&
                            strcmp(fake_url(fake_last(run->rig->upstreams)), url) == 0);
    struct upstream *upstream = fake_last(run->rig->upstreams);
    assert_true(fake_has_header(upstream, "Authorization: Bearer secret"));
    assert_true(fake_has_header(upstream, "Accept: text/event-stream"));
    assert_false(fake_has_header(upstream, "Accept: */*"));
    assert_false(fake_has_header(upstream, "Content-Type: application/json"));
    assert_int_equal(fake_body(upstream).size, 0);
    return upstream;
}

/* It is for what comes after this event. */
static struct upstream *expect_asked(struct run *run, const char *after)
{
    char query[64];
    (void)snprintf(query, sizeof query, "&starting_after=%s", after);
    return expect_asked_by(run, query);
}

static void expect_attempts(const struct row *row, const char *const *reasons, size_t count)
{
    struct slice rest = row->attempts;
    for (size_t i = 0; i < count; i++) {
        struct attempt attempt;
        assert_int_equal(attempt_decode(&rest, &attempt), ERR_OK);
        assert_int_equal(attempt.number, i + 1);
        assert_int_equal(attempt.kind, i ? ATTEMPT_RESUMPTION : ATTEMPT_FIRST);
        assert_true(attempt.is_shown && attempt.ended_ns >= attempt.started_ns);
        assert_true(slice_equal(attempt.why, slice_text(reasons[i])));
        assert_true(slice_equal(attempt.key, SLICE("key 1")));
        assert_int_equal(attempt.usage.output, i + 1 == count ? 2 : -1);
    }
    assert_int_equal(rest.size, 0);
}

static bool take(void *context, struct stream *stream);
static void die(struct run *run, bool is_kill, bool (*next)(void *, struct stream *));

/* Wherever it is lost, what came of an event is dropped, and what comes twice is too. */
static void test_lost(void **state)
{
    static const enum upstream_end ends[] = {UPSTREAM_RESET, UPSTREAM_COMPLETE, UPSTREAM_MALFORMED};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct run run;
        begin(&run);
        assert_true(fake_text(fake_last(run.rig->upstreams), CREATED DELTA("1") "event: respon"));
        fake_end(fake_last(run.rig->upstreams), ends[i]);
        struct upstream *second = expect_asked(&run, "1");
        fake_sse(second);
        assert_true(fake_text(second, DELTA("1") DELTA("2") ": half"));
        fake_end(second, ends[i]);
        struct upstream *third = expect_asked(&run, "2");
        fake_sse(third);
        assert_true(fake_text(third, DELTA("3") COMPLETED("4")));
        fake_end(third, UPSTREAM_COMPLETE);
        const struct row *row = expect_end(
            &run, STREAM_COMPLETED, "", CREATED DELTA("1") DELTA("2") DELTA("3") COMPLETED("4"));
        const char *why =
            ends[i] == UPSTREAM_COMPLETE ? "upstream_truncated" : upstream_end_name(ends[i]);
        expect_attempts(row, (const char *const[]){why, why, ""}, 3);
        assert_int_equal(row->usage.output, 2);
        assert_true(slice_equal(row->upstream_id, SLICE("resp_1")));
        finish(&run);
    }
}

/* What is no answer is asked for again; what is one, and not what was asked for, ends it. */
static void test_refused(void **state)
{
    (void)state;
    struct run run;
    begin(&run);
    assert_true(fake_text(fake_last(run.rig->upstreams), CREATED));
    fake_end(fake_last(run.rig->upstreams), UPSTREAM_RESET);
    fake_end(expect_asked(&run, "0"), UPSTREAM_REFUSED);
    struct upstream *busy = expect_asked(&run, "0");
    fake_head(busy, 503, "Retry-After: 0\r\n");
    assert_true(fake_text(busy, "come later"));
    fake_end(busy, UPSTREAM_COMPLETE);
    struct upstream *refused = expect_asked(&run, "0");
    fake_head(refused, 404, "Content-Type: application/json\r\n");
    assert_true(fake_text(refused, "{}"));
    fake_end(refused, UPSTREAM_COMPLETE);
    const struct row *row = expect_end(&run, STREAM_FAILED, "upstream_reset", CREATED);
    assert_true(slice_find(row->detail, SLICE("404")) > 0);
    finish(&run);
}

#define STARTED                                                                                    \
    "event: interaction.created\ndata: {\"interaction\":{\"id\":\"resp_1\"}}\n\n"                  \
    "event: step.start\ndata: {\"index\":0}\n\n"
#define STEP(text, id) "event: step.delta\ndata: {\"delta\":\"" text "\"" id "}\n\n"
#define STEP_A         STEP("a", ",\"event_id\":\"x+/1\"")
#define STEP_B         STEP("b", "")
#define STEP_C         STEP("c", "")
#define FINISHED                                                                                   \
    "event: interaction.completed\ndata: {\"interaction\":{\"id\":\"resp_1\",\"status\":"          \
    "\"completed\",\"usage\":{\"total_input_tokens\":1,\"total_output_tokens\":2}}}\n\n"

/* Where not all events can be asked by, what comes again is known by its bytes; comments are nobody's. */
static void test_without_numbers(void **state)
{
    (void)state;
    for (int is_kill = 0; is_kill < 2; is_kill++) {
        struct run run;
        begin_of(&run, "gemini_interactions");
        assert_true(fake_text(fake_last(run.rig->upstreams), STARTED "data: {\"del"));
        fake_end(fake_last(run.rig->upstreams), UPSTREAM_RESET);
        struct upstream *upstream = expect_asked_by(&run, "");
        fake_sse(upstream);
        assert_true(fake_text(upstream, STARTED STEP_A ": ping\n\n" STEP_B));
        RIG_UNTIL(run.rig, run.reader.events == 5);
        if (is_kill)
            die(&run, true, take);
        else
            fake_end(upstream, UPSTREAM_COMPLETE);
        upstream = expect_asked_by(&run, "&last_event_id=x%2B%2F1");
        fake_sse(upstream);
        assert_true(fake_text(upstream, STEP_B STEP_C FINISHED));
        fake_end(upstream, UPSTREAM_COMPLETE);
        const struct row *row = expect_end(
            &run, STREAM_COMPLETED, "", STARTED STEP_A ": ping\n\n" STEP_B STEP_C FINISHED);
        assert_int_equal(row->usage.output, 2);
        assert_true(slice_equal(row->finish_reason, SLICE("completed")));
        finish(&run);
    }
}

static void test_given_out_otherwise(void **state)
{
    struct run run;
    (void)state;
    begin_of(&run, "gemini_interactions");
    assert_true(fake_text(fake_last(run.rig->upstreams), STARTED STEP_B));
    fake_end(fake_last(run.rig->upstreams), UPSTREAM_RESET);
    struct upstream *upstream = expect_asked_by(&run, "");
    fake_sse(upstream);
    assert_true(fake_text(upstream, STARTED STEP_C FINISHED));
    const struct row *row = expect_end(&run, STREAM_FAILED, "upstream_reset", STARTED STEP_B);
    assert_true(slice_find(row->detail, SLICE("other events")) > 0);
    finish(&run);
}

static void test_not_kept(void **state)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "upstream_reset"}, /* its ID is not known yet */
        {DELTA("0"), "upstream_reset"}, {CREATED FAILED("1"), "provider_error"},
        {"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":"
         "\"resp_1\"}}\n\n",
            "upstream_reset"}, /* no number */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct run run;
        begin(&run);
        assert_true(fake_text(fake_last(run.rig->upstreams), cases[i].text));
        fake_end(fake_last(run.rig->upstreams), UPSTREAM_RESET);
        expect_end(&run, STREAM_FAILED, cases[i].reason, cases[i].text);
        assert_int_equal(fake_started(run.rig->upstreams), 1);
        finish(&run);
    }
}

/* A connection that is lost while storage takes nothing: what came over it is recorded first. */
static void test_lost_while_blocked(void **state)
{
    size_t size = RIG_LARGE_BYTES;
    CLEANUP(buf_deinit) struct buf text;
    struct run run;
    (void)state;
    begin(&run);
    assert_true(fake_text(fake_last(run.rig->upstreams), CREATED));
    RIG_UNTIL(run.rig, run.reader.events == 1);
    run.rig->is_disk_held = true;
    struct stream *filler = rig_fill_queue(run.rig);
    buf_init(&text, size * 2);
    assert_int_equal(buf_append_text(&text, "data: {\"sequence_number\":7,\"delta\":\""), ERR_OK);
    while (text.size < size)
        assert_int_equal(buf_append_text(&text, "................................"), ERR_OK);
    assert_int_equal(buf_append_text(&text, "\"}\n\n"), ERR_OK);
    size = text.size;
    assert_int_equal(buf_append_text(&text, "data: {\"seq"), ERR_OK);
    assert_true(fake_data(fake_last(run.rig->upstreams), buf_slice(&text)));
    fake_end(fake_last(run.rig->upstreams), UPSTREAM_RESET);
    rig_turns(run.rig, 20);
    assert_null(fake_last(run.rig->upstreams));
    run.rig->is_disk_held = false;
    struct upstream *second = expect_asked(&run, "7");
    fake_sse(second);
    assert_true(fake_text(second, COMPLETED("8")));
    fake_end(second, UPSTREAM_COMPLETE);
    RIG_UNTIL(run.rig, run.reader.err == ERR_CLOSED);
    assert_int_equal(stream_row(run.stream)->state, STREAM_COMPLETED);
    assert_int_equal(run.reader.events, 3);
    assert_int_equal(run.reader.bytes.size, sizeof CREATED COMPLETED("8") - 1 + size);
    rig_end_tail(run.rig, filler, STREAM_STOPPED);
    stream_unref(filler);
    finish(&run);
}

/* With a connection, without one, and while one is looked for: the provider is told, and nothing else is asked. */
static void test_stopped(void **state)
{
    (void)state;
    for (int depth = 0; depth < 3; depth++) {
        struct run run;
        begin(&run);
        assert_true(fake_text(fake_last(run.rig->upstreams), CREATED));
        if (depth > 0)
            fake_end(fake_last(run.rig->upstreams), UPSTREAM_RESET);
        if (depth > 1)
            (void)expect_asked(&run, "0");
        assert_true(stream_stop(run.stream, "stopped", "by a test"));
        struct upstream *cancel = fake_last(run.rig->upstreams);
        assert_string_equal(
            fake_url(cancel), "http://provider/v1/responses/resp_1/cancel?api-version=1");
        fake_head(cancel, 200, "Content-Type: application/json\r\n");
        assert_true(fake_text(cancel, "{}"));
        fake_end(cancel, UPSTREAM_COMPLETE);
        expect_end(&run, STREAM_STOPPED, "stopped", CREATED);
        size_t started = fake_started(run.rig->upstreams);
        RIG_UNTIL(run.rig, fake_open(run.rig->upstreams) == 0);
        rig_turns(run.rig, 200); /* longer than it would wait before it asks */
        assert_int_equal(fake_started(run.rig->upstreams), started);
        finish(&run);
    }
}

/* ---- servers that die ---- */

static bool take(void *context, struct stream *stream)
{
    struct run *run = context;
    struct producer_request request = request_of(run->dialect, true);
    run->stream = stream_ref(stream);
    return producer_start(&run->rig->producer, stream, &request) == ERR_OK;
}

static bool take_none(void *context, struct stream *stream)
{
    struct run *run = context;
    run->stream = stream_ref(stream);
    return false;
}

static void die(struct run *run, bool is_kill, bool (*next)(void *, struct stream *))
{
    rig_reader_close(&run->reader);
    run->stream = stream_unref(run->stream);
    rig_reopen(run->rig, is_kill);
    hub_take_up(run->rig->hub, next, run);
    assert_non_null(run->stream);
    rig_reader_open(run->rig, run->stream, 0, true, &run->reader);
}

static void test_died(void **state)
{
    (void)state;
    for (int is_kill = 0; is_kill < 2; is_kill++) {
        struct run run;
        begin(&run);
        assert_true(fake_text(fake_last(run.rig->upstreams), CREATED DELTA("1") "data: {"));
        RIG_UNTIL(run.rig, run.reader.events == 2);
        die(&run, is_kill, take);
        assert_int_equal(stream_row(run.stream)->state, STREAM_STREAMING);
        (void)expect_asked(&run, "1");
        die(&run, is_kill, take); /* before it has come */
        struct upstream *upstream = expect_asked(&run, "1");
        fake_sse(upstream);
        assert_true(fake_text(upstream, DELTA("2")));
        RIG_UNTIL(run.rig, run.reader.events == 3);
        die(&run, is_kill, take);
        upstream = expect_asked(&run, "2");
        fake_sse(upstream);
        assert_true(fake_text(upstream, COMPLETED("3")));
        fake_end(upstream, UPSTREAM_COMPLETE);
        const struct row *row =
            expect_end(&run, STREAM_COMPLETED, "", CREATED DELTA("1") DELTA("2") COMPLETED("3"));
        assert_int_equal(row->status, 200);
        assert_true(row->first_event_ns >= row->dispatched_ns && row->dispatched_ns > 0);
        assert_true(slice_equal(row->head, SLICE("X-Request-Id: r1\r\n")));
        expect_attempts(row, (const char *const[]){"server_died", "server_died", ""}, 3);
        finish(&run);
    }
}

/* Of a recording that says so much and no more. */
static void begin_dead(struct run *run, const char *const *events, size_t comments)
{
    run->dialect = "openai_responses";
    run->rig = rig_new();
    struct row row = row_of(run);
    assert_int_equal(
        hub_create(run->rig->hub, &run->rig->project, &row, SLICE("{}"), &run->stream), ERR_OK);
    struct tail *tail = stream_tail(run->stream);
    for (; *events; events++)
        assert_int_equal(tail_append(tail, slice_text(*events), 1), ERR_OK);
    while (comments-- > 0)
        assert_int_equal(tail_append(tail, SLICE(": nothing\n\n"), 1), ERR_OK);
    struct row kept = *stream_row(run->stream);
    kept.state = STREAM_STREAMING;
    kept.status = 200;
    kept.is_sse = kept.is_kept_upstream = true;
    kept.upstream_id = SLICE("resp_1");
    kept.content_type = SLICE("text/event-stream");
    assert_int_equal(tail_update(tail, &kept), ERR_OK);
    rig_turns(run->rig, 20);
    rig_reader_open(run->rig, run->stream, 0, true, &run->reader);
}

static void test_died_long_after_a_number(void **state)
{
    struct run run;
    (void)state;
    begin_dead(&run, (const char *const[]){CREATED, DELTA("1"), NULL}, COMMENTS);
    die(&run, true, take);
    (void)expect_asked(&run, "1");
    finish(&run);
}

/* A response that ends cleanly before it is complete was cut, whoever asked for its beginning. */
static void test_died_and_cut_after(void **state)
{
    struct run run;
    (void)state;
    begin_of(&run, "gemini_interactions");
    assert_true(fake_text(fake_last(run.rig->upstreams), STARTED STEP_A));
    RIG_UNTIL(run.rig, run.reader.events == 3);
    for (size_t i = 0; i < COMMENTS; i++)
        assert_true(fake_text(fake_last(run.rig->upstreams), ": ping\n\n"));
    RIG_UNTIL(run.rig, run.reader.events == 3 + COMMENTS);
    die(&run, true, take);
    for (int i = 0; i < 2; i++) {
        struct upstream *upstream = expect_asked_by(&run, "&last_event_id=x%2B%2F1");
        fake_sse(upstream);
        fake_end(upstream, UPSTREAM_COMPLETE);
        rig_turns(run.rig, 3);
        assert_int_equal(stream_row(run.stream)->state, STREAM_STREAMING);
    }
    struct upstream *upstream = expect_asked_by(&run, "&last_event_id=x%2B%2F1");
    fake_head(upstream, 404, "");
    fake_end(upstream, UPSTREAM_COMPLETE);
    RIG_UNTIL(run.rig, run.reader.err == ERR_CLOSED);
    assert_int_equal(stream_row(run.stream)->state, STREAM_FAILED);
    assert_true(slice_equal(stream_row(run.stream)->reason, SLICE("upstream_truncated")));
    finish(&run);
}

static void test_died_for_good(void **state)
{
    static const struct {
        const char *events[3];
        enum stream_state state;
        const char *reason;
    } cases[] = {
        {{CREATED, FAILED("1"), NULL}, STREAM_FAILED, "provider_error"},
        {{": no number\n\n", NULL}, STREAM_INTERRUPTED, "server_died"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct run run;
        begin_dead(&run, cases[i].events, 0);
        die(&run, true, take);
        RIG_UNTIL(run.rig, run.reader.err == ERR_CLOSED);
        assert_int_equal(stream_row(run.stream)->state, cases[i].state);
        assert_true(slice_equal(stream_row(run.stream)->reason, slice_text(cases[i].reason)));
        assert_int_equal(fake_started(run.rig->upstreams), 0);
        finish(&run);
    }
}

static void test_died_and_nobody_is_left_to_ask(void **state)
{
    struct run run;
    (void)state;
    begin_dead(&run, (const char *const[]){CREATED, NULL}, 0);
    die(&run, true, take_none);
    expect_end(&run, STREAM_INTERRUPTED, "server_died", CREATED);
    finish(&run);
}

/* Readers of what is left to the next start are told that nothing more comes here. */
static void test_left(void **state)
{
    struct run run;
    (void)state;
    begin(&run);
    assert_true(fake_text(fake_last(run.rig->upstreams), CREATED));
    RIG_UNTIL(run.rig, run.reader.events == 1);
    hub_interrupt_all(run.rig->hub, "shutdown");
    assert_true(stream_is_left(run.stream));
    assert_int_equal(run.reader.err, ERR_FULL);
    assert_int_equal(hub_live_count(run.rig->hub), 0);
    assert_int_equal(stream_row(run.stream)->state, STREAM_STREAMING);
    finish(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without_numbers),
        cmocka_unit_test(test_given_out_otherwise),
        cmocka_unit_test(test_not_kept),
        cmocka_unit_test(test_lost_while_blocked),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_died),
        cmocka_unit_test(test_died_long_after_a_number),
        cmocka_unit_test(test_died_and_cut_after),
        cmocka_unit_test(test_died_for_good),
        cmocka_unit_test(test_died_and_nobody_is_left_to_ask),
        cmocka_unit_test(test_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
