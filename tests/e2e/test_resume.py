"""Going away and coming back: at any event, by any of the ways, without a second generation."""

import concurrent.futures
import json

import pytest

import programs
import wire

KILLS = 200 if programs.LONG else 20


def by_offset(server, stream, received, _):
    reply = server.events(stream, f"?from={received}")
    return reply, wire.split_numbered(reply.body), received


def by_last_event_id(server, stream, received, _):
    reply = server.events(stream, headers={"Last-Event-ID": received})
    return reply, wire.split_numbered(reply.body), received


def by_key(server, stream, received, again):
    reply = again()
    assert reply.header("tokenlog-stream-id") == stream
    events, rest = wire.split_events(reply.body)
    assert rest == b""
    return reply, ([(seq + 1, event) for seq, event in enumerate(events)], None), 0


def test_client_killed_at_a_random_event_and_resumed(server, mock, model):
    chance = programs.random_of("killed clients")

    def one_life(number, kill_at, rate, way, abrupt):
        name, key = model("events=60", f"rate={rate}"), f"killed-{number}-{chance_seed}"
        one = server.open(name, {"Idempotency-Key": key})
        stream = one.reader.header("tokenlog-stream-id")
        received = one.read_events(kill_at)
        one.abort() if abrupt else one.close()
        again = lambda: server.post(name, {"Idempotency-Key": key})
        reply, (numbered, end), start = way(server, stream, len(received), again)
        assert reply.end == "clean"
        assert [seq for seq, _ in numbered] == list(range(start + 1, start + len(numbered) + 1))
        whole = received[:start] + [event for _, event in numbered]
        assert whole[: len(received)] == received
        wire.assert_exact(b"".join(whole), 60)
        assert end is None or (end["state"], end["events"]) == ("completed", len(whole))
        assert server.raw(stream) == b"".join(whole)
        count = mock.of(name)
        assert (count["generations"], count["completed"], count["aborted"]) == (1, 1, 0)

    chance_seed = chance.random()
    lives = [(number, chance.randrange(64), chance.choice([0, 100, 400]),
              chance.choice([by_offset, by_last_event_id, by_key]), chance.random() < 0.5)
             for number in range(KILLS)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for life in [pool.submit(one_life, *life) for life in lives]:
            life.result()


@pytest.fixture(scope="module")
def finished(shared_server):
    """(stream, its events)"""
    reply = shared_server.post("mock,events=17,id=finished")
    assert reply.end == "clean"
    return reply.header("tokenlog-stream-id"), wire.split_events(reply.body)[0]


def test_every_offset_of_a_finished_stream(server, finished):
    stream, events = finished
    for start in range(len(events) + 1):
        reply = server.events(stream, f"?from={start}")
        assert (reply.status, reply.end) == (200, "clean")
        assert reply.header("content-type").startswith("text/event-stream")
        numbered, end = wire.split_numbered(reply.body)
        assert numbered == [(seq + 1, events[seq]) for seq in range(start, len(events))]
        assert (end["state"], end["events"]) == ("completed", len(events))
        raw = server.events(stream, f"?from={start}&format=raw")
        assert raw.body == b"".join(events[start:]) and raw.end == "clean"


def test_without_an_offset_it_is_all(server, finished):
    numbered, _ = wire.split_numbered(server.events(finished[0]).body)
    assert [event for _, event in numbered] == finished[1]


@pytest.mark.parametrize("query", ["?from=999999", "?from=18446744073709551615",
                                   "?from=18446744073709551616", "?from=-1", "?from=", "?from=1x",
                                   "?from=%31%00", "?from=1&from=2", "?from=0x1", "?from=+1",
                                   "?from=1.0", "?format=xml", "?live=perhaps"])
def test_bad_offsets_are_refused(server, finished, query):
    wire.assert_error(server.events(finished[0], query), (400, 416))


@pytest.mark.parametrize("value", ["999999", "-1", "abc", "1,2"])
def test_bad_last_event_ids_are_refused(server, finished, value):
    wire.assert_error(server.events(finished[0], headers={"Last-Event-ID": value}), (400, 416))


def test_past_the_end_of_a_live_stream_is_refused(server, model):
    with server.open(model("events=5", "fault=stall@3")) as one:
        stream = one.reader.header("tokenlog-stream-id")
        one.read_events(4)
        wire.assert_error(server.events(stream, "?from=1000"), (400, 416))
    server.call("POST", f"/v1/streams/{stream}/stop")


@pytest.mark.parametrize("stream,status", [
    ("00000000-0000-7000-8000-000000000000", 404), ("nonsense", (400, 404)),
    ("a" * 5000, (400, 404)), ("..%2f..%2fetc", (400, 404)), ("%00", (400, 404))])
def test_unknown_ids(server, stream, status):
    for path in (stream, f"{stream}/events", f"{stream}/events?from=3"):
        wire.assert_error(server.call("GET", f"/v1/streams/{path}"), status)
    wire.assert_error(server.call("POST", f"/v1/streams/{stream}/stop"), status)
    wire.assert_error(server.call("DELETE", f"/v1/streams/{stream}"), status)


def test_a_snapshot_of_a_live_stream_ends(server, model):
    with server.open(model("events=30", "fault=stall@10")) as one:
        stream = one.reader.header("tokenlog-stream-id")
        events = one.read_events(11)
        reply = server.events(stream, "?live=false")
        numbered, end = wire.split_numbered(reply.body)
        assert reply.end == "clean"
        assert [event for _, event in numbered] == events
        assert end is None or end["state"] == "streaming"
        assert server.row(stream)["state"] == "streaming"
    server.call("POST", f"/v1/streams/{stream}/stop")


def test_readers_follow_a_live_stream_from_any_offset(server, model):
    with server.open(model("events=80", "rate=40")) as first, wire.Crowd() as crowd:
        stream = first.reader.header("tokenlog-stream-id")
        first.read_events(20)
        for start in range(20):
            crowd.add(server.place, "GET", f"/v1/streams/{stream}/events?from={start}")
        raws = [crowd.add(server.place, "GET", f"/v1/streams/{stream}/events?format=raw")
                for _ in range(5)]
        whole = first.finish()
        crowd.finish()
        events, _ = wire.split_events(whole.body)
        for start, reader in enumerate(crowd.readers[:20]):
            numbered, end = wire.split_numbered(reader.body)
            assert numbered == [(seq + 1, events[seq]) for seq in range(start, len(events))]
            assert end["state"] == "completed" and reader.end == "clean"
        assert all(reader.body == whole.body for reader in raws)


def test_a_body_that_was_not_streamed_is_read_again(server, model):
    reply = server.post(model("events=2000"), stream=False)
    stream = reply.header("tokenlog-stream-id")
    assert server.raw(stream) == reply.body
    body = server.events(stream).body
    assert body.count(b"event: tokenlog.bytes\n") == server.row(stream)["events"]
    assert wire.split_events(body)[0][-1].startswith(b"event: tokenlog.end\n")


def test_a_caller_without_an_id_finds_its_stream_by_key(server, model):
    key = model("key")
    reply = server.post(model("events=3"), {"Idempotency-Key": key})
    rows = server.rows("?idempotency_key=" + key.replace("=", "%3D").replace(",", "%2C"))
    assert [row["id"] for row in rows] == [reply.header("tokenlog-stream-id")]
    assert server.rows("?idempotency_key=never-used") == []


def test_listing_by_pages_and_filters(serve):
    server = serve()
    streams = [server.post(f"mock,events=1,id=list{number}").header("tokenlog-stream-id")
               for number in range(7)]
    failed = server.post("mock,events=4,fault=end,id=list").header("tokenlog-stream-id")
    seen, query = [], "?limit=3"
    while page := server.rows(query):
        assert len(page) <= 3
        seen += [row["id"] for row in page]
        query = f"?limit=3&before={seen[-1]}"
    assert seen == [failed, *reversed(streams)]
    assert [row["id"] for row in server.rows("?state=failed")] == [failed]
    assert [row["id"] for row in server.rows("?model=mock,events=1,id=list4")] == [streams[4]]
    for query in ("?limit=0", "?limit=x", "?limit=100000000", "?before=x", "?state=odd"):
        wire.assert_error(server.call("GET", "/v1/streams" + query), 400)


def test_the_row_tells_what_happened(server, model):
    name = model("events=5")
    reply = server.post(name, {"Tokenlog-Metadata": '{"run":"r1"}', "Idempotency-Key": name})
    row = server.row(reply.header("tokenlog-stream-id"))
    assert (row["state"], row["model"], row["provider"]) == ("completed", name, "mock")
    assert (row["method"], row["path"]) == ("POST", "/v1/chat/completions")
    assert (row["status"], row["idempotency_key"], row["attempt"]) == (200, name, 1)
    assert row["metadata"] == {"run": "r1"}
    times = [row[at] for at in ("accepted_at", "dispatched_at", "first_event_at", "last_event_at",
                                "ended_at")]
    assert all(times) and times == sorted(times)
    assert row["bytes"] == len(reply.body)
    json.dumps(row)


# ---- browsers ----


def test_who_has_received_the_end_is_sent_away(server, finished):
    stream, events = finished
    body = server.events(stream).body
    closing = wire.split_events(body)[0][-1]
    assert closing.startswith(b"event: tokenlog.end\nid: %d\n" % (len(events) + 1))
    reply = server.events(stream, headers={"Last-Event-ID": len(events) + 1})
    assert (reply.status, reply.body, reply.end) == (204, b"", "clean")
    reply = server.events(stream, headers={"Last-Event-ID": len(events)})
    assert bytes(reply.body) == closing
    for query in (f"?from={len(events) + 1}", f"?format=raw&from={len(events) + 1}"):
        wire.assert_error(server.events(stream, query), 416)


def test_a_snapshot_of_a_live_stream_has_no_last_id(server, model):
    with server.open(model("events=30", "fault=stall@10")) as one:
        stream = one.reader.header("tokenlog-stream-id")
        one.read_events(10)
        closing = wire.split_events(server.events(stream, "?live=false").body)[0][-1]
        assert closing.startswith(b"event: tokenlog.end\ndata: ")
    server.call("POST", f"/v1/streams/{stream}/stop")


def test_how_long_a_browser_waits(server, finished):
    stream, events = finished
    plain = server.events(stream, "?from=3").body
    assert bytes(server.events(stream, "?from=3&retry=250").body) == b"retry: 250\n\n" + plain
    raw = server.events(stream, "?format=raw&retry=250").body
    assert bytes(raw) == b"".join(events)
    for value in ("0", "x", "", "-1", "3600001", "1&retry=2"):
        wire.assert_error(server.events(stream, f"?retry={value}"), 400, "invalid_retry")


@pytest.mark.parametrize("path", ["/threads/any/runs/{}/stream", "/runs/{}/stream"])
def test_a_join_is_the_same_events(server, finished, path):
    stream, events = finished
    path = path.format(stream)
    reply = server.call("GET", path, headers={"Last-Event-ID": 2})
    assert bytes(reply.body) == bytes(server.events(stream, "?from=2").body)
    assert reply.header("location") == path
