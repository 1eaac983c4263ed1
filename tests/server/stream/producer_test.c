/* producer — every way in which a transfer can go and end, and what is recorded of it. */
#include "tests/server/stream/server_rig.h"

#define CHUNK(text) "data: {\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define DONE        "data: [DONE]\n\n"

/* One generation, looked at by a reader from its beginning. */
struct run {
    struct rig *rig;
    struct stream *stream;
    struct upstream *upstream;
    struct rig_reader reader;
};

static void run_begin(struct run *run, const char *key)
{
    run->rig = rig_new();
    run->stream = rig_generate(run->rig, key);
    rig_reader_open(run->rig, run->stream, 0, true, &run->reader);
    if (key[0])
        RIG_UNTIL(run->rig, fake_last(run->rig->upstreams));
    run->upstream = fake_last(run->rig->upstreams);
    assert_non_null(run->upstream);
}

static void run_free(struct run *run)
{
    rig_reader_close(&run->reader);
    stream_unref(run->stream);
    rig_free(run->rig);
}

static const struct row *run_end(
    struct run *run, enum stream_state state, const char *reason, const char *bytes)
{
    RIG_UNTIL(run->rig, run->reader.err != ERR_AGAIN);
    assert_int_equal(run->reader.err, ERR_CLOSED);
    const struct row *row = stream_row(run->stream);
    assert_int_equal(row->state, state);
    assert_true(slice_equal(row->reason, slice_text(reason)));
    if (bytes)
        assert_true(slice_equal(buf_slice(&run->reader.bytes), slice_text(bytes)));
    assert_true(row->ended_ns >= row->accepted_ns);
    assert_int_equal(row->events, run->reader.events);
    return row;
}

static void test_completed(void **state)
{
    struct run run;
    (void)state;
    run_begin(&run, "");
    assert_string_equal(fake_url(run.upstream), "http://provider/v1/chat/completions");
    assert_true(fake_has_header(run.upstream, "Authorization: Bearer secret"));
    fake_sse(run.upstream);
    assert_true(fake_text(run.upstream, CHUNK("a") "data: {\"choices\":[{\"finish_rea"));
    RIG_UNTIL(run.rig, run.reader.events == 1);
    assert_true(fake_text(run.upstream, "son\":\"stop\",\"delta\":{}}]}\n\n" DONE));
    fake_end(run.upstream, UPSTREAM_COMPLETE);
    const struct row *row = run_end(&run, STREAM_COMPLETED, "",
        CHUNK("a") "data: {\"choices\":[{\"finish_reason\":\"stop\",\"delta\":{}}]}\n\n" DONE);
    assert_true(slice_equal(row->finish_reason, SLICE("stop")));
    assert_int_equal(row->status, 200);
    assert_true(row->is_sse);
    assert_true(slice_equal(row->head, SLICE("X-Request-Id: r1\r\n")));
    assert_true(row->dispatched_ns > 0 && row->first_event_ns >= row->dispatched_ns);
    run_free(&run);
}

/* The terminator and the final row are visible together: no reader sees one without the other. */
static void test_terminator_and_end_together(void **state)
{
    struct run run;
    (void)state;
    run_begin(&run, "");
    fake_sse(run.upstream);
    assert_true(fake_text(run.upstream, CHUNK("a")));
    RIG_UNTIL(run.rig, run.reader.events == 1);
    run.rig->is_disk_held = true;
    assert_true(fake_text(run.upstream, DONE));
    for (int i = 0; i < 20; i++) {
        rig_turn(run.rig);
        assert_int_equal(run.reader.events, 1);
        assert_false(stream_has_ended(run.stream));
        assert_int_equal(stream_visible_row(run.stream)->state, STREAM_STREAMING);
    }
    run.rig->is_disk_held = false;
    while (run.reader.err == ERR_AGAIN) {
        rig_turn(run.rig);
        assert_int_equal(stream_watermark(run.stream) == 2, stream_has_ended(run.stream));
    }
    fake_end(run.upstream, UPSTREAM_RESET); /* after the terminator: of no consequence */
    run_end(&run, STREAM_COMPLETED, "", CHUNK("a") DONE);
    run_free(&run);
}

/* A keyed request is dispatched only once its record is durable; an unkeyed one at once. */
static void test_order_of_dispatch(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    rig->is_disk_held = true;
    struct stream *keyed = rig_generate(rig, "k");
    rig_turns(rig, 10);
    assert_int_equal(fake_started(rig->upstreams), 0);
    struct stream *unkeyed = rig_generate(rig, "");
    assert_int_equal(fake_started(rig->upstreams), 1);
    rig->is_disk_held = false;
    RIG_UNTIL(rig, fake_started(rig->upstreams) == 2);
    stream_unref(keyed);
    stream_unref(unkeyed);
    rig_free(rig);
}

/* Every end of a transfer, before the head, after it, and after an event: never completed. */
static void test_bad_ends(void **state)
{
    (void)state;
    for (int how = UPSTREAM_REFUSED; how <= UPSTREAM_CANCELED; how++)
        for (int depth = 0; depth < 4; depth++) {
            struct run run;
            run_begin(&run, depth % 2 ? "k" : "");
            if (depth > 0)
                fake_sse(run.upstream);
            if (depth > 1)
                assert_true(fake_text(run.upstream, CHUNK("a")));
            if (depth > 2)
                assert_true(fake_text(run.upstream, "data: half an ev"));
            fake_end(run.upstream, (enum upstream_end)how);
            const struct row *row = run_end(&run, STREAM_FAILED,
                upstream_end_name((enum upstream_end)how), depth > 1 ? CHUNK("a") : "");
            assert_int_equal(row->status, depth > 0 ? 200 : 0);
            run_free(&run);
        }
}

static void test_clean_ends_without_terminator(void **state)
{
    static const struct {
        const char *text, *recorded, *reason;
        enum stream_state state;
    } cases[] = {
        {"", "", "upstream_truncated", STREAM_FAILED},
        {CHUNK("a"), CHUNK("a"), "upstream_truncated", STREAM_FAILED},
        {CHUNK("a") "data: [DO", CHUNK("a"), "upstream_truncated", STREAM_FAILED},
        {CHUNK("a") "data: [DONE]", CHUNK("a") "data: [DONE]", "", STREAM_COMPLETED},
        {CHUNK("a") "data: [DONE]\n", CHUNK("a") "data: [DONE]\n", "", STREAM_COMPLETED},
        {"data: [DONE]\r\r", "data: [DONE]\r\r", "", STREAM_COMPLETED},
        {"data: {\"error\":{\"message\":\"no\"}}\n\n", "data: {\"error\":{\"message\":\"no\"}}\n\n",
            "provider_error", STREAM_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run run;
        run_begin(&run, "");
        fake_sse(run.upstream);
        assert_true(fake_text(run.upstream, cases[i].text));
        fake_end(run.upstream, UPSTREAM_COMPLETE);
        run_end(&run, cases[i].state, cases[i].reason, cases[i].recorded);
        run_free(&run);
    }
}

static void test_opaque(void **state)
{
    static const struct {
        int status;
        enum upstream_end how;
        enum stream_state state;
        const char *reason;
    } cases[] = {{200, UPSTREAM_COMPLETE, STREAM_COMPLETED, ""},
        {429, UPSTREAM_COMPLETE, STREAM_FAILED, "upstream_status"},
        {200, UPSTREAM_RESET, STREAM_FAILED, "upstream_reset"},
        {500, UPSTREAM_RESET, STREAM_FAILED, "upstream_reset"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run run;
        run_begin(&run, "");
        fake_head(run.upstream, cases[i].status,
            "content-type: application/json\r\nContent-Length: 62\r\nRetry-After: 7\r\n"
            "Set-Cookie: no\r\nAccess-Control-Allow-Origin: *\r\n");
        assert_true(fake_text(run.upstream, "{\"choices\":[{\"finish_reason\":\"length\"}],"));
        assert_true(fake_text(run.upstream, "\"usage\":{}}"));
        fake_end(run.upstream, cases[i].how);
        const struct row *row = run_end(&run, cases[i].state, cases[i].reason, NULL);
        assert_int_equal(row->status, cases[i].status);
        assert_int_equal(row->content_length, 62);
        assert_false(row->is_sse);
        assert_true(slice_equal(row->head, SLICE("Retry-After: 7\r\n")));
        if (row->state == STREAM_COMPLETED)
            assert_true(slice_equal(row->finish_reason, SLICE("length")));
        run_free(&run);
    }
}

/* What a provider says of itself is checked before it is kept, and so before it is repeated. */
static void test_strange_heads(void **state)
{
    static const int statuses[] = {0, 99, 101, 199, 600, 999};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct run run;
        run_begin(&run, "");
        fake_head(run.upstream, statuses[i], "");
        assert_int_equal(run_end(&run, STREAM_FAILED, "upstream_malformed", "")->status, 0);
        run_free(&run);
    }
    struct run run;
    run_begin(&run, "");
    fake_head(run.upstream, 200,
        "Content-Type: text/html\x01\r\nContent-Length: 99999999999999999999\r\n"
        "X\x01: y\r\nnonsense\r\n: no\r\n");
    fake_end(run.upstream, UPSTREAM_COMPLETE);
    const struct row *row = run_end(&run, STREAM_COMPLETED, "", "");
    assert_int_equal(row->content_type.size, 0);
    assert_int_equal(row->head.size, 0);
    assert_int_equal(row->content_length, -1);
    run_free(&run);
}

/* A long path, much metadata and a long head: the row has room for its end all the same. */
static void test_row_has_room(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    static char path[8192], metadata[4096], head[20000];
    memset(path, 'p', sizeof path);
    memset(metadata, 'm', sizeof metadata);
    for (size_t i = 0; i + 100 < sizeof head; i += 100) {
        memset(head + i, 'h', 100);
        memcpy(head + i, "X-Long: ", 8);
        memcpy(head + i + 98, "\r\n", 2);
    }
    struct row row = rig_row(rig, "");
    struct stream *stream;
    static struct headers headers;
    const struct dialect *dialect;
    row.path = slice_of(path, sizeof path);
    row.metadata = slice_of(metadata, sizeof metadata);
    assert_int_equal(hub_create(rig->hub, &rig->project, &row, SLICE_NONE, &stream), ERR_OK);
    assert_int_equal(dialect_for_path(SLICE("/v1/chat/completions"), &dialect), ERR_OK);
    struct producer_request request = {
        .dialect = dialect, .url = "http://provider/v1", .headers = &headers};
    assert_int_equal(producer_start(&rig->producer, stream, &request), ERR_OK);
    fake_head(fake_last(rig->upstreams), 200, head);
    char large[300];
    memset(large, 'd', sizeof large - 1);
    large[sizeof large - 1] = 0;
    assert_true(stream_stop(stream, "stopped", large));
    RIG_UNTIL(rig, stream_has_ended(stream));
    assert_int_equal(stream_row(stream)->state, STREAM_STOPPED);
    assert_int_equal(stream_row(stream)->status, 200);
    stream_unref(stream);
    rig_free(rig);
}

/* The usage chunk that nobody asked for is read, kept aside, and not shown. */
static void test_usage_aside(void **state)
{
    struct run run;
    (void)state;
    run_begin(&run, "");
    fake_sse(run.upstream);
    assert_true(fake_text(run.upstream,
        CHUNK("a") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                   "\"completion_tokens\":4,\"total_tokens\":7}}\n\n" DONE));
    fake_end(run.upstream, UPSTREAM_COMPLETE);
    const struct row *row = run_end(&run, STREAM_COMPLETED, "", CHUNK("a") DONE);
    assert_int_equal(row->usage.input, 3);
    assert_int_equal(row->usage.output, 4);
    run_free(&run);
}

/* One that storage would never take must not stop the rest. */
static void test_large_aside(void **state)
{
    struct run run;
    (void)state;
    run_begin(&run, "");
    fake_sse(run.upstream);
    static char spaces[FRAGMENT_BYTES_MAX];
    memset(spaces, ' ', sizeof spaces - 1);
    assert_true(fake_text(run.upstream, "data: {\"choices\":[],"));
    assert_true(fake_text(run.upstream, spaces));
    assert_true(fake_text(run.upstream, "\"usage\":{\"prompt_tokens\":3}}\n\n" DONE));
    fake_end(run.upstream, UPSTREAM_COMPLETE);
    run_end(&run, STREAM_COMPLETED, "", DONE);
    run_free(&run);
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    (void)state;
    for (int depth = 0; depth < 4; depth++) {
        struct rig *rig = rig_new();
        rig->is_disk_held = depth == 0;
        struct stream *stream = rig_generate(rig, depth < 2 ? "k" : "");
        if (depth == 1)
            RIG_UNTIL(rig, fake_last(rig->upstreams));
        struct upstream *upstream = fake_last(rig->upstreams);
        if (depth >= 2)
            fake_sse(upstream);
        if (depth == 3)
            assert_true(fake_text(upstream, CHUNK("a") "data: hal"));
        assert_true(stream_stop(stream, "stopped", "by a test"));
        assert_false(stream_stop(stream, "stopped", "again"));
        assert_int_equal(upstream != NULL, depth > 0);
        if (upstream) {
            assert_true(fake_is_canceled(upstream));
            assert_true(fake_text(upstream, "too late"));
        }
        rig->is_disk_held = false;
        RIG_UNTIL(rig, stream_has_ended(stream) && fake_open(rig->upstreams) == 0);
        assert_int_equal(stream_row(stream)->state, STREAM_STOPPED);
        assert_int_equal(stream_row(stream)->events, depth == 3 ? 1 : 0);
        assert_int_equal(fake_started(rig->upstreams), depth > 0);
        stream_unref(stream);
        rig_free(rig);
    }
}

static void test_not_dispatched(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    fake_refuse(rig->upstreams, true);
    struct stream *stream = rig_generate(rig, "");
    RIG_UNTIL(rig, stream_has_ended(stream));
    assert_int_equal(stream_row(stream)->state, STREAM_FAILED);
    assert_true(slice_equal(stream_row(stream)->reason, SLICE("internal")));
    stream_unref(stream);
    rig_free(rig);
}

/* ---- when storage has no room ---------------------------------------------------------------- */

/* A chunk that is too large for the journal's fast way in, and so is refused by a full queue. */
static char *large_chunk(size_t size)
{
    char *chunk = malloc(size + 1);
    assert_non_null(chunk);
    memset(chunk, 'x', size);
    memcpy(chunk, "data: ", 6);
    memcpy(chunk + size - 2, "\n\n", 3);
    return chunk;
}

static void expect_large(struct run *run, const char *large, const char *rest)
{
    struct slice got = buf_slice(&run->reader.bytes);
    size_t size = strlen(large);
    assert_int_equal(got.size, size + strlen(rest));
    assert_memory_equal(got.data, large, size);
    assert_memory_equal(got.data + size, rest, strlen(rest));
}

enum ending { BY_TERMINATOR, BY_RESIDUE, BY_RESET, BY_FRAMING, BY_STOP, ENDINGS };

/* Blocked in the middle, with each kind of end on top of it: all that came is recorded, in order. */
static void test_blocked(void **state)
{
    (void)state;
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        struct run run;
        char *large = large_chunk(RIG_LARGE_BYTES);
        run_begin(&run, "");
        fake_sse(run.upstream);
        rig_turns(run.rig, 5);
        run.rig->is_disk_held = true;
        struct stream *filler = rig_fill_queue(run.rig);
        assert_true(fake_text(run.upstream, large)); /* it is kept */
        if (ending == BY_TERMINATOR) {
            assert_false(fake_text(run.upstream, CHUNK("b") DONE)); /* paused */
        } else if (ending == BY_STOP) {
            assert_true(stream_stop(run.stream, "stopped", "by a test"));
        } else {
            fake_end(run.upstream, ending == BY_RESET ? UPSTREAM_RESET : UPSTREAM_COMPLETE);
        }
        rig_turns(run.rig, 200);
        assert_int_equal(run.reader.events, 0);
        run.rig->is_disk_held = false;
        switch (ending) {
        case BY_TERMINATOR:
            run_end(&run, STREAM_COMPLETED, "", NULL);
            expect_large(&run, large, CHUNK("b") DONE);
            break;
        case BY_RESET:
            run_end(&run, STREAM_FAILED, "upstream_reset", NULL);
            expect_large(&run, large, "");
            break;
        case BY_RESIDUE:
        case BY_FRAMING:
            run_end(&run, STREAM_FAILED, "upstream_truncated", NULL);
            expect_large(&run, large, "");
            break;
        case BY_STOP: run_end(&run, STREAM_STOPPED, "stopped", ""); break;
        case ENDINGS: break;
        }
        rig_end_tail(run.rig, filler, STREAM_STOPPED);
        stream_unref(filler);
        free(large);
        run_free(&run);
    }
}

/* The end itself finds no room: the last event is too large for it. It is said when there is room. */
static void test_end_is_owed(void **state)
{
    (void)state;
    struct run run;
    size_t size = RIG_LARGE_BYTES;
    char *large = large_chunk(size);
    run_begin(&run, "");
    fake_sse(run.upstream);
    rig_turns(run.rig, 5);
    run.rig->is_disk_held = true;
    struct stream *filler = rig_fill_queue(run.rig);
    large[size - 2] = 0; /* a residue, that a clean end makes the terminator's event */
    char *residue = malloc(size + 100);
    assert_non_null(residue);
    (void)snprintf(residue, size + 100, ":%s\ndata: [DONE]", large);
    assert_true(fake_text(run.upstream, residue));
    fake_end(run.upstream, UPSTREAM_COMPLETE);
    rig_turns(run.rig, 200);
    assert_int_equal(run.reader.events, 0);
    run.rig->is_disk_held = false;
    run_end(&run, STREAM_COMPLETED, "", residue);
    rig_end_tail(run.rig, filler, STREAM_STOPPED);
    stream_unref(filler);
    free(residue);
    free(large);
    run_free(&run);
}

/* Storage's backlog pauses a transfer, and lets it go on: nothing is lost or doubled. */
static void test_paused(void **state)
{
    struct run run;
    (void)state;
    run_begin(&run, "");
    fake_sse(run.upstream);
    run.rig->is_disk_held = true;
    size_t given = 0, size = 60000;
    char *chunk = large_chunk(size);
    while (!hub_is_paused(run.rig->hub)) {
        assert_true(fake_text(run.upstream, chunk));
        given++;
        rig_turn(run.rig);
        assert_true(given < 10000);
    }
    assert_false(fake_text(run.upstream, chunk));
    given++;
    rig_turns(run.rig, 50);
    assert_int_equal(run.reader.events, 0);
    run.rig->is_disk_held = false;
    RIG_UNTIL(run.rig, run.reader.events == given);
    assert_true(fake_text(run.upstream, DONE));
    fake_end(run.upstream, UPSTREAM_COMPLETE);
    run_end(&run, STREAM_COMPLETED, "", NULL);
    assert_int_equal(run.reader.bytes.size, given * size + strlen(DONE));
    free(chunk);
    run_free(&run);
}

/* Storage gives up: the transfers end, and so does the waiting. */
static void test_stuck(void **state)
{
    struct run run;
    (void)state;
    run_begin(&run, "");
    fake_sse(run.upstream);
    assert_true(fake_text(run.upstream, CHUNK("a")));
    RIG_UNTIL(run.rig, run.reader.events == 1);
    sim_disk_fail(run.rig->disk, SIM_WRITE, 1, 1000000, ERR_IO);
    assert_true(fake_text(run.upstream, CHUNK("b")));
    RIG_UNTIL(run.rig, run.reader.err != ERR_AGAIN);
    assert_int_equal(run.reader.err, ERR_FULL);
    assert_int_equal(run.reader.events, 1);
    RIG_UNTIL(run.rig, fake_open(run.rig->upstreams) == 0);
    sim_disk_fail(run.rig->disk, SIM_WRITE, 0, 0, ERR_OK);
    rig_reader_close(&run.reader);
    stream_unref(run.stream);
    rig_abandon(run.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_completed),
        cmocka_unit_test(test_terminator_and_end_together),
        cmocka_unit_test(test_order_of_dispatch),
        cmocka_unit_test(test_bad_ends),
        cmocka_unit_test(test_clean_ends_without_terminator),
        cmocka_unit_test(test_opaque),
        cmocka_unit_test(test_strange_heads),
        cmocka_unit_test(test_row_has_room),
        cmocka_unit_test(test_usage_aside),
        cmocka_unit_test(test_large_aside),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_not_dispatched),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_end_is_owed),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
