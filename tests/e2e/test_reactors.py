"""Several reactors: callers and transfers are spread over threads, and nobody can tell."""

import pathlib
import subprocess

import programs
import pytest
import wire

REACTORS = 3
MANY = 40  # the chance that one of the three gets none of so many is one in four million
MIB = 1 << 20


@pytest.fixture
def spread(serve):
    return serve("--reactors", str(REACTORS))


def post_many(server, model, count=MANY):
    """Streams that run side by side, each by a connection of its own."""
    with wire.Crowd(0.02) as crowd:
        for _ in range(count):
            crowd.add(server.place, "POST", "/v1/chat/completions", programs.ask(model))
        return crowd.finish()


def threads(server):
    folder = pathlib.Path(f"/proc/{server.process.pid}/task")
    return {name.read_text().strip() for name in folder.glob("*/comm")}


def test_work_is_spread_and_exact(spread, model):
    replies = post_many(spread, model("events=100", "rate=100"))
    assert {(reply.status, reply.end) for reply in replies} == {(200, "clean")}
    assert len({wire.assert_exact(reply.body, 100) for reply in replies}) == MANY
    for reply in replies[::4]:
        assert spread.raw(reply.header("tokenlog-stream-id")) == reply.body
    metrics = spread.metrics()
    assert metrics["tokenlog_reactors"] == REACTORS
    assert {"reactor 1", "reactor 2"} <= threads(spread)
    far, all_of_them = (metrics[f"tokenlog_connections_{name}"] for name in ("far_total", "total"))
    assert 0 < far < all_of_them
    # They go to the one that has the fewest.
    assert metrics["tokenlog_upstream_far_total"] >= MANY // 2


def test_a_core_that_has_time_keeps_all(serve, model):
    server = serve("--reactors", str(REACTORS), "--core-busy-percent", "100")

    def keeps_all():
        metrics = server.metrics()
        before = [metrics[f"tokenlog_{name}_far_total"] for name in ("connections", "upstream")]
        for _ in range(MANY // 2):
            wire.assert_exact(server.post(model("events=2")).body, 2)
        metrics = server.metrics()
        return before == [
            metrics[f"tokenlog_{name}_far_total"] for name in ("connections", "upstream")]

    programs.eventually(keeps_all)  # a machine that has no time for it makes it busy


def test_one_reactor_has_no_threads_beside_it(serve, model):
    server = serve("--reactors", "1")
    wire.assert_exact(server.post(model("events=5")).body, 5)
    assert server.metrics()["tokenlog_reactors"] == 1
    assert not any(name.startswith("reactor") for name in threads(server))


def test_readers_on_all_reactors_get_the_same(spread, model):
    with spread.open(model("events=200", "rate=200")) as live, wire.Crowd(0.02) as crowd:
        stream = live.reader.header("tokenlog-stream-id")
        live.read_events(2)  # no reader asks for more than there is
        for number in range(MANY):
            crowd.add(spread.place, "GET", f"/v1/streams/{stream}/events?from={number % 3}")
        readers = crowd.finish()
        body = live.finish().body
    wire.assert_exact(body, 200)
    events = wire.split_events(body)[0]
    for number, reader in enumerate(readers):
        assert (reader.status, reader.end) == (200, "clean")
        numbered, end = wire.split_numbered(reader.body)
        assert numbered == [(seq + 1, events[seq]) for seq in range(number % 3, len(events))]
        assert end["state"] == "completed"


def test_slow_readers_cost_their_own_bound(spread, mock, model):
    whole = spread.raw(
        stream := spread.post(model("events=2000", "size=5000")).header("tokenlog-stream-id"))
    before = spread.rss_bytes()
    slow = [spread.wire(receive_buffer=16384) for _ in range(MANY)]
    for one in slow:
        one.ask("GET", f"/v1/streams/{stream}/events?format=raw")
    replies = post_many(spread, model("events=50", "rate=100"))
    for reply in replies:
        wire.assert_exact(reply.body, 50)
    # 40 × 10 MB, were each to be kept whole.
    assert spread.rss_bytes() - before < 150 * MIB
    for one in slow[:6]:
        assert one.finish().body == whole and one.reader.end == "clean"
    for one in slow:
        one.close()


def test_large_requests_arrive_whole(spread, model):
    text = "0123456789abcdef" * 50000
    for number in range(12):
        body = programs.ask(model("events=2"), metadata={"text": text, "number": number})
        reply = spread.call("POST", "/v1/chat/completions", body)
        wire.assert_exact(reply.body, 2)
        sent = spread.call(
            "GET", f"/v1/streams/{reply.header('tokenlog-stream-id')}/request").json()
        assert sent["metadata"] == {"text": text, "number": number}


def test_callers_that_go_end_their_generations(serve, mock, model):
    server = serve("--reactors", str(REACTORS), "--on-disconnect", "stop")
    name = model("events=100000", "rate=20")
    callers = [server.open(name) for _ in range(MANY // 2)]
    for caller in callers:
        caller.read_events(1)
        caller.abort()
    programs.eventually(lambda: mock.of(name)["aborted"] == len(callers))
    for caller in callers:
        server.row_when(caller.reader.header("tokenlog-stream-id"), "stopped")


def test_stops_and_deaths_of_the_server_lose_nothing(spread, mock, model):
    name = model("events=100000", "rate=50")
    callers = [spread.open(name) for _ in range(MANY // 2)]
    seen = {}
    for caller in callers:
        caller.read_events(3)
        seen[caller.reader.header("tokenlog-stream-id")] = caller
    stopped = list(seen)[:5]
    for stream in stopped:
        assert spread.call("POST", f"/v1/streams/{stream}/stop").status == 200
        spread.row_when(stream, "stopped")
    spread.kill()
    for caller in callers:
        caller.finish()
    spread.start()
    for stream, caller in seen.items():
        state = "stopped" if stream in stopped else "interrupted"
        assert spread.row(stream)["state"] == state
        assert spread.raw(stream).startswith(bytes(caller.reader.body))
    wire.assert_exact(spread.post(model("events=5")).body, 5)


def test_another_server_on_the_port_is_refused(spread, tmp_path):
    port = spread.place[1]
    refused = subprocess.run(
        [programs.TOKENLOG, "serve", "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "data"),
         "--reactors", "3", *programs.SMALL],
        capture_output=True, text=True, env=programs.environment(), timeout=programs.START_S)
    assert refused.returncode == 1
    assert "another program listens there" in refused.stderr


def test_a_drain_lets_all_of_them_finish(spread, model):
    callers = [spread.open(model("events=40", "rate=40")) for _ in range(MANY // 2)]
    spread.stop()
    for caller in callers:
        wire.assert_exact(caller.finish().body, 40)
        assert caller.reader.end == "clean"
