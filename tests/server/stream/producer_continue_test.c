/* producer_continue — a provider dies in mid-stream, a source has another one: what the caller reads is one
 * response; where nobody can be asked, it ends as it died. */
#include "protocol/base/own.h"
#include "tests/server/stream/server_rig.h"

#define CHUNK(delta, finish)                                                                       \
    "data: "                                                                                       \
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\","   \
    "\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]}\n\n"
#define CALL(arguments) "\"tool_calls\":[{\"index\":0," arguments "}]"

static const char hello[] = CHUNK("\"role\":\"assistant\",\"content\":\"Hello \"", "null");
static const char greeting[] = CHUNK("\"role\":\"assistant\",\"content\":\"world\"", "null");
static const char stop[] = CHUNK("", "\"stop\"");
static const char done[] = "data: [DONE]\n\n";
static const char call_begin[] =
    CHUNK(CALL("\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}"), "null");
static const char call_more[] = CHUNK(CALL("\"function\":{\"arguments\":\"{}\"}"), "null");
static const char broken[] =
    "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n";

/* A route of as many targets as the test says. */
struct source {
    struct producer_source source;
    size_t left; /* that may be asked to go on */
    bool goes_on, holds;
    size_t asked, deaths, closed;
    struct buf body;
    struct producer_translate translate;
    struct headers headers;
};

static struct source *of(struct producer_source *source)
{
    return CONTAINER_OF(source, struct source, source);
}

static enum err none(struct producer_source *source, struct producer_request *out, int64_t *at_ns)
{
    (void)source, (void)out, (void)at_ns;
    return ERR_CLOSED;
}

static bool is_more(struct producer_source *source)
{
    return of(source)->left > 0 && of(source)->asked > 0;
}

static void shows(struct producer_source *source, uint32_t attempt, int64_t first_event_ms)
{
    (void)source, (void)attempt, (void)first_event_ms;
}

static void ended(
    struct producer_source *source, uint32_t attempt, const struct producer_outcome *outcome)
{
    (void)attempt;
    of(source)->deaths += outcome->end == PRODUCER_DIED;
}

static int64_t cost(struct producer_source *source, uint32_t attempt, const struct usage *usage)
{
    (void)source, (void)attempt, (void)usage;
    return -1;
}

static void closed(struct producer_source *source)
{
    of(source)->closed++;
}

static bool holds(struct producer_source *source)
{
    return of(source)->holds;
}

static bool goes_on(struct producer_source *source)
{
    return of(source)->goes_on;
}

static enum err go_on(struct producer_source *producer_source, const struct continuation *shown,
    struct producer_request *out, int64_t *at_ns)
{
    CLEANUP(neutral_report_deinit) struct neutral_report report;
    CLEANUP(translated_request_deinit) struct translated_request sent;
    struct source *source = of(producer_source);
    const struct translate_target target = {.model = SLICE("other")};
    const struct codec *chat;
    (void)at_ns;
    neutral_report_init(&report);
    translated_request_init(&sent, 1 << 20);
    if (source->left == 0)
        return ERR_CLOSED;
    source->left--;
    source->asked++;
    assert_int_equal(translate_codec(SLICE("openai_chat"), &chat), ERR_OK);
    assert_int_equal(
        continuation_request(shown, chat,
            &(struct continuation_ask){
                .body = SLICE("{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\","
                              "\"content\":\"hi\"}]}"),
                .target = &target},
            &sent, &report),
        ERR_OK);
    buf_clear(&source->body);
    assert_int_equal(buf_append(&source->body, buf_slice(&sent.body)), ERR_OK);
    source->translate = (struct producer_translate){.provider = chat, .caller = chat};
    const struct dialect *dialect;
    assert_int_equal(dialect_by_name(SLICE("openai_chat"), &dialect), ERR_OK);
    *out = (struct producer_request){.dialect = dialect,
        .translate = &source->translate,
        .url = "http://other/v1/chat/completions",
        .headers = &source->headers,
        .body = buf_slice(&source->body),
        .hides_usage = true,
        .target = "other/m",
        .attempt = (uint32_t)source->asked};
    return ERR_OK;
}

static const struct producer_source_calls calls = {
    none, none, is_more, shows, ended, cost, closed, holds, goes_on, go_on};

/* ── a stream ───────────────────────────────────────────────────────────────────────────────── */

struct world {
    struct rig *rig;
    struct source source;
    struct stream *stream;
    struct rig_reader reader;
};

static void open_world(struct world *world, size_t left, bool goes_on_with, bool holds_calls)
{
    *world = (struct world){.rig = rig_new()};
    struct rig *rig = world->rig;
    world->source = (struct source){
        .source.calls = &calls, .left = left, .goes_on = goes_on_with, .holds = holds_calls};
    buf_init(&world->source.body, 1 << 20);
    struct row row = rig_row(rig, "");
    const struct dialect *dialect;
    assert_int_equal(dialect_by_name(SLICE("openai_chat"), &dialect), ERR_OK);
    assert_int_equal(
        hub_create(rig->hub, &rig->project, &row, SLICE("{}"), &world->stream), ERR_OK);
    assert_int_equal(producer_start(&rig->producer, world->stream,
                         &(struct producer_request){.dialect = dialect,
                             .url = "http://first/v1/chat/completions",
                             .headers = &world->source.headers,
                             .body = SLICE("{}"),
                             .target = "first/m",
                             .hides_usage = true,
                             .source = &world->source.source}),
        ERR_OK);
    rig_reader_open(rig, world->stream, 0, true, &world->reader);
    fake_sse(fake_last(rig->upstreams));
}

static void close_world(struct world *world)
{
    assert_int_equal(world->source.closed, 1);
    rig_reader_close(&world->reader);
    stream_unref(world->stream);
    buf_deinit(&world->source.body);
    rig_free(world->rig);
}

static void say(struct world *world, const char *text)
{
    assert_true(fake_text(fake_last(world->rig->upstreams), text));
    rig_turns(world->rig, 3);
}

static void die(struct world *world)
{
    fake_end(fake_last(world->rig->upstreams), UPSTREAM_RESET);
}

static void next_provider(struct world *world, size_t number)
{
    RIG_UNTIL(world->rig,
        fake_started(world->rig->upstreams) == number && fake_last(world->rig->upstreams));
    fake_sse(fake_last(world->rig->upstreams));
}

static const struct row *await_end(struct world *world)
{
    RIG_UNTIL(world->rig, world->reader.err != ERR_AGAIN);
    return stream_row(world->stream);
}

static bool was_shown(const struct world *world, const char *text)
{
    return slice_find(buf_slice(&world->reader.bytes), slice_text(text)) >= 0;
}

/* ── tests ──────────────────────────────────────────────────────────────────────────────────── */

static void test_another_goes_on(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, 2, true, false);
    say(&world, hello);
    die(&world);
    next_provider(&world, 2);
    assert_true(slice_find(buf_slice(&world.source.body), SLICE("\"content\":\"Hello\"")) > 0);
    say(&world, CHUNK("\"content\":\" wor\"", "null"));
    die(&world); /* and so does the second one */
    next_provider(&world, 3);
    assert_true(slice_find(buf_slice(&world.source.body), SLICE("\"content\":\"Hello wor\"")) > 0);
    say(&world, CHUNK("\"content\":\"ld\"", "null"));
    say(&world, stop);
    say(&world, done);
    const struct row *row = await_end(&world);
    assert_int_equal(row->state, STREAM_COMPLETED);
    assert_true(was_shown(&world, hello));
    assert_true(was_shown(&world, "\"content\":\"wor\""));
    assert_true(was_shown(&world, "\"content\":\"ld\""));
    assert_true(was_shown(&world, done));
    assert_int_equal(world.source.deaths, 2);
    struct slice rest = row->attempts;
    struct attempt attempt;
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(attempt_decode(&rest, &attempt), ERR_OK);
        assert_int_equal(attempt.number, i);
        assert_int_equal(attempt.kind, i == 1 ? ATTEMPT_FIRST : ATTEMPT_CONTINUATION);
        assert_true(attempt.is_shown && attempt.from == i - 1); /* of each one event */
    }
    assert_int_equal(rest.size, 0);
    close_world(&world);
}

static void test_nobody_goes_on(void **state)
{
    (void)state;
    for (int goes = 0; goes < 2; goes++) {
        struct world world;
        open_world(&world, 0, goes, false);
        say(&world, hello);
        die(&world);
        const struct row *row = await_end(&world);
        assert_int_equal(row->state, STREAM_FAILED);
        assert_true(slice_equal(row->reason, slice_text(upstream_end_name(UPSTREAM_RESET))));
        assert_true(slice_equal(buf_slice(&world.reader.bytes), slice_text(hello)));
        close_world(&world);
    }
}

/* What another one answers that fails too is no part of the response. */
static void test_the_next_fails(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, 1, true, false);
    say(&world, hello);
    die(&world);
    RIG_UNTIL(world.rig, fake_started(world.rig->upstreams) == 2);
    fake_head(fake_last(world.rig->upstreams), 500, "Content-Type: application/json\r\n");
    assert_true(fake_text(fake_last(world.rig->upstreams), "{\"error\":{\"message\":\"no\"}}"));
    fake_end(fake_last(world.rig->upstreams), UPSTREAM_COMPLETE);
    const struct row *row = await_end(&world);
    assert_int_equal(row->state, STREAM_FAILED);
    assert_int_equal(row->status, 200);
    assert_true(slice_equal(row->reason, slice_text(upstream_end_name(UPSTREAM_RESET))));
    assert_true(slice_equal(buf_slice(&world.reader.bytes), slice_text(hello)));
    close_world(&world);
}

/* An error in the stream is not shown if another goes on, and is if none does. */
static void test_an_error_event(void **state)
{
    (void)state;
    for (size_t left = 0; left < 2; left++) {
        struct world world;
        open_world(&world, left, true, false);
        say(&world, hello);
        say(&world, broken);
        if (left) {
            next_provider(&world, 2);
            say(&world, greeting);
            say(&world, stop);
            say(&world, done);
        }
        const struct row *row = await_end(&world);
        assert_int_equal(row->state, left ? STREAM_COMPLETED : STREAM_FAILED);
        assert_int_equal(was_shown(&world, broken), !left);
        assert_int_equal(was_shown(&world, "\"content\":\"world\""), left);
        if (!left)
            assert_true(slice_equal(row->detail, SLICE("overloaded")));
        close_world(&world);
    }
}

/* All was said, only the terminator is missing: nobody is asked. */
static void test_only_the_end_is_missing(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, 1, true, false);
    say(&world, hello);
    say(&world, stop);
    die(&world);
    const struct row *row = await_end(&world);
    assert_int_equal(row->state, STREAM_COMPLETED);
    assert_true(was_shown(&world, done));
    assert_int_equal(fake_started(world.rig->upstreams), 1);
    close_world(&world);
}

/* A call is shown once it is whole; one that a death cuts off never was. */
static void test_calls_are_held(void **state)
{
    (void)state;
    for (int is_whole = 0; is_whole < 2; is_whole++) {
        struct world world;
        open_world(&world, 1, true, true);
        say(&world, hello);
        say(&world, call_begin);
        RIG_UNTIL(world.rig, was_shown(&world, hello));
        if (is_whole) {
            say(&world, call_more);
            rig_turns(world.rig, 20);
            assert_false(was_shown(&world, call_begin));
            say(&world, CHUNK("", "\"tool_calls\""));
            say(&world, done);
        } else {
            die(&world);
            next_provider(&world, 2);
            say(&world, greeting);
            say(&world, stop);
            say(&world, done);
        }
        const struct row *row = await_end(&world);
        assert_int_equal(row->state, STREAM_COMPLETED);
        assert_int_equal(was_shown(&world, call_begin), is_whole);
        assert_int_equal(was_shown(&world, call_more), is_whole);
        close_world(&world);
    }
}

/* With nobody to go on, what is held is shown before the end. */
static void test_what_is_held_is_shown_at_the_end(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, 0, false, true);
    say(&world, hello);
    say(&world, call_begin);
    die(&world);
    assert_int_equal(await_end(&world)->state, STREAM_FAILED);
    assert_true(was_shown(&world, call_begin));
    close_world(&world);
}

/* A stop while another is awaited. */
static void test_a_stop(void **state)
{
    struct world world;
    (void)state;
    for (int turns = 0; turns < 8; turns++) {
        open_world(&world, 1, true, false);
        say(&world, hello);
        die(&world);
        rig_turns(world.rig, turns);
        assert_true(stream_stop(world.stream, "asked", NULL));
        assert_int_equal(await_end(&world)->state, STREAM_STOPPED);
        RIG_UNTIL(world.rig, world.source.closed == 1);
        close_world(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_goes_on),
        cmocka_unit_test(test_nobody_goes_on),
        cmocka_unit_test(test_the_next_fails),
        cmocka_unit_test(test_an_error_event),
        cmocka_unit_test(test_only_the_end_is_missing),
        cmocka_unit_test(test_calls_are_held),
        cmocka_unit_test(test_what_is_held_is_shown_at_the_end),
        cmocka_unit_test(test_a_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
