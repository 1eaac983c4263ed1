"""Many at once: exact streams, slow readers, idle readers, long streams. Counts, never clocks."""

import pytest

import programs
import wire

MIB = 1 << 20
STREAMS, EVENTS = (min(1000, programs.FILES // 4), 500) if programs.LONG else (200, 100)
IDLE, ROOM = programs.crowd_of(10000 if programs.LONG else 500)
LARGE = ("--segment-bytes", str(64 * MIB), "--segment-count", "4")


@pytest.fixture
def fast(serve, fast_mock):
    return serve(*LARGE, provider=fast_mock.url, binary=programs.TOKENLOG_FAST)


def test_concurrent_streams_are_each_exact(fast, fast_mock):
    with wire.Crowd(0.1) as crowd:
        for number in range(STREAMS):
            body = programs.ask(f"mock,events={EVENTS},rate=50,id=crowd{number}")
            crowd.add(fast.place, "POST", "/v1/chat/completions", body)
        replies = crowd.finish(600)
    assert {(reply.status, reply.end) for reply in replies} == {(200, "clean")}
    generations = {wire.assert_exact(reply.body, EVENTS) for reply in replies}
    assert len(generations) == STREAMS
    for reply in replies[:: STREAMS // 50]:
        assert fast.raw(reply.header("tokenlog-stream-id")) == reply.body


def test_a_reader_that_stops_reading(fast, fast_mock):
    """It neither slows the others nor is held in memory; and it gets everything when it goes on."""
    count, size = 2000, 10000
    with wire.Crowd(0) as crowd:
        stream = fast.post(f"mock,events={count},size={size},id=slow").header("tokenlog-stream-id")
        whole = fast.raw(stream)
        before = fast.rss_bytes()
        slow = [fast.wire(receive_buffer=16384) for _ in range(100)]
        for one in slow:
            one.ask("GET", f"/v1/streams/{stream}/events?format=raw")
        live = fast.open(f"mock,events={count},size={size},rate=1000,id=slow2")
        also = [fast.wire(receive_buffer=16384) for _ in range(20)]
        for one in also:
            one.ask("GET", f"/v1/streams/{live.reader.header('tokenlog-stream-id')}/events")
        assert live.finish().end == "clean"
        wire.assert_exact(live.reader.body, count)
        assert fast.raw(stream) == whole
        # 100 × 20 MB, were each to be kept whole.
        assert fast.rss_bytes() - before < 400 * MIB
        for one in slow[:3]:
            assert one.finish().body == whole and one.reader.end == "clean"
        numbered, end = wire.split_numbered(also[0].finish().body)
        assert b"".join(event for _, event in numbered) == live.reader.body
        for one in [live, *slow, *also]:
            one.close()


def test_a_caller_that_stops_reading_does_not_slow_its_generation(fast, fast_mock):
    name = "mock,events=3000,size=10000,id=stopped-reading"
    with fast.wire(receive_buffer=16384) as one:
        one.ask("POST", "/v1/chat/completions", programs.ask(name))
        one.head()
        programs.eventually(lambda: fast_mock.of(name)["completed"] == 1)
        wire.assert_exact(one.finish().body, 3000)


def test_a_reader_that_takes_nothing_is_dropped(serve, mock, model):
    server = serve("--send-timeout-ms", "500", *LARGE)
    with server.wire(receive_buffer=4096) as one:
        one.ask("POST", "/v1/chat/completions", programs.ask(model("events=3000", "size=10000")))
        programs.eventually(lambda: server.metrics()["tokenlog_readers_dropped_total"] >= 1)
        assert one.finish().end in ("cut", "reset")
        stream = one.reader.header("tokenlog-stream-id")
    server.row_when(stream, "completed")
    wire.assert_exact(server.raw(stream), 3000)


def test_idle_readers_cost_bounded_memory(serve, fast_mock):
    fast = serve(*LARGE, *ROOM, provider=fast_mock.url, binary=programs.TOKENLOG_FAST)
    with fast.open("mock,events=30,fault=stall@5,id=idle") as one:
        stream = one.reader.header("tokenlog-stream-id")
        one.read_events(6)
        before = fast.rss_bytes()
        with wire.Crowd(0.05) as crowd:
            for _ in range(IDLE):
                crowd.add(fast.place, "GET", f"/v1/streams/{stream}/events")
            crowd.until(lambda reader: len(wire.split_events(reader.body)[0]) == 6, 300)
            assert fast.metrics()["tokenlog_readers_attached"] >= IDLE
            assert (fast.rss_bytes() - before) / IDLE < 48 * 1024
            wire.assert_exact(fast.post("mock,events=9,id=besides").body, 9)
            fast.call("POST", f"/v1/streams/{stream}/stop")
            for reader in crowd.finish(300):
                numbered, end = wire.split_numbered(reader.body)
                assert (len(numbered), end["state"]) == (6, "stopped")
        one.finish()
    programs.eventually(lambda: fast.metrics()["tokenlog_readers_attached"] == 0)


def test_replay_of_a_long_stream(fast):
    reply = fast.post("mock,events=100000,burst=100,id=long")
    assert reply.end == "clean"
    wire.assert_exact(reply.body, 100000)
    stream = reply.header("tokenlog-stream-id")
    events = wire.split_events(reply.body)[0]
    for start in (0, 1, 63999, 99999, len(events)):
        numbered, end = wire.split_numbered(fast.events(stream, f"?from={start}").body)
        assert numbered == [(seq + 1, events[seq]) for seq in range(start, len(events))]
        assert end["events"] == len(events)
    fast.stop()
    fast.start()
    assert fast.raw(stream) == reply.body


def test_one_large_event(fast):
    reply = fast.post("mock,events=3,text=8000000,id=large")
    assert reply.end == "clean" and len(reply.body) > 24_000_000
    assert fast.raw(reply.header("tokenlog-stream-id")) == reply.body


def test_many_short_calls_leave_nothing_behind(server, mock):
    for number in range(20):
        with wire.Crowd(0.01) as crowd:
            for _ in range(10):
                crowd.add(server.place, "POST", "/v1/chat/completions",
                          programs.ask("mock,events=3,id=short", number % 2 == 0))
            assert {reply.end for reply in crowd.finish()} == {"clean"}
    programs.eventually(lambda: server.metrics()["tokenlog_streams_live"] == 0)
    programs.eventually(lambda: server.metrics()["tokenlog_readers_attached"] == 0)
