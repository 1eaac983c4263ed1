/* request — the recorded request, and the events as lines: what an export reads. */
#include "tests/server/api/gateway.h"

#include "protocol/base/own.h"
#include "protocol/data/transcript.h"

static const char body[] = ASK;

static void test_the_request_is_as_it_was(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    char id[ID_TEXT_BYTES];
    record(gateway, "", CHUNK("a") DONE, id);
    get(gateway, &wire, "GET /v1/streams/%s/request", id);
    expect(gateway, &wire, body);
    assert_true(wire_has(&wire, "HTTP/1.1 200 OK\r\n"));
    assert_true(wire_has(&wire, "Content-Type: application/json\r\n"));
    assert_string_equal(body_of(&wire), body);
    wire_close(&wire);
}

/* While its stream is live, too: it is waited for, and comes when it is archived. */
static void test_the_request_of_a_live_stream(void **state)
{
    struct gateway *gateway = *state;
    struct wire caller, wire, gone;
    char id[ID_TEXT_BYTES];
    ask(gateway, &caller, "");
    RIG_UNTIL(gateway->rig, provider(gateway));
    fake_sse(provider(gateway));
    assert_true(fake_text(provider(gateway), CHUNK("a")));
    expect(gateway, &caller, "\"a\"");
    stream_id(&caller, id);
    get(gateway, &gone, "GET /v1/streams/%s/request", id);
    rig_turn(gateway->rig);
    wire_close(&gone); /* whether it waits or is being answered */
    get(gateway, &wire, "GET /v1/streams/%s/request", id);
    expect(gateway, &wire, body);
    wire_close(&wire);
    assert_true(fake_text(provider(gateway), DONE));
    fake_end(provider(gateway), UPSTREAM_COMPLETE);
    RIG_UNTIL(gateway->rig, has_last_chunk(&caller));
    wire_close(&caller);
}

static void test_what_is_not_there(void **state)
{
    struct gateway *gateway = *state;
    struct wire wire;
    get(gateway, &wire, "GET /v1/streams/00000000-0000-7000-8000-000000000000/request");
    expect(gateway, &wire, "stream_not_found");
    wire_close(&wire);
    get(gateway, &wire, "GET /v1/streams/nonsense/request");
    expect(gateway, &wire, "stream_not_found");
    wire_close(&wire);
}

static const char *const events[] = {CHUNK("a"), CHUNK("b"), DONE};

static void check_lines(struct slice text, size_t from)
{
    struct transcript_record record;
    CLEANUP(buf_deinit) struct buf scratch;
    buf_init(&scratch, TRANSCRIPT_RECORD_BYTES_MAX);
    assert_int_equal(transcript_read(TRANSCRIPT_JSONL, &text, &scratch, &record), ERR_OK);
    assert_int_equal(record.kind, TRANSCRIPT_STREAM);
    for (size_t seq = from; seq < 3; seq++) {
        assert_int_equal(transcript_read(TRANSCRIPT_JSONL, &text, &scratch, &record), ERR_OK);
        assert_int_equal(record.kind, TRANSCRIPT_EVENT);
        assert_true(record.seq == seq && record.time_ns > 0 && !record.is_more);
        assert_true(slice_equal(record.bytes, slice_text(events[seq])));
    }
    assert_int_equal(transcript_read(TRANSCRIPT_JSONL, &text, &scratch, &record), ERR_OK);
    assert_int_equal(record.kind, TRANSCRIPT_END);
    assert_true(slice_equal(record.state, SLICE("completed")) && record.event_count == 3);
    assert_int_equal(text.size, 0);
}

static void test_lines(void **state)
{
    struct gateway *gateway = *state;
    char id[ID_TEXT_BYTES];
    record(gateway, "", CHUNK("a") CHUNK("b") DONE, id);
    for (size_t from = 0; from <= 3; from++) {
        struct wire wire;
        get(gateway, &wire, "GET /v1/streams/%s/events?format=jsonl&from=%zu", id, from);
        RIG_UNTIL(gateway->rig, has_last_chunk(&wire));
        check_lines(slice_text(body_of(&wire)), from);
        wire_close(&wire);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_request_is_as_it_was),
        TEST(test_the_request_of_a_live_stream),
        TEST(test_what_is_not_there),
        TEST(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
