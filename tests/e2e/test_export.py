"""Replay, export and import: what is taken out of a server is what was put in, whichever way."""

import base64
import hashlib
import json
import subprocess
import time

import pytest

import programs
import wire

EVENTS = 12


def run(*arguments, timeout=120):
    return subprocess.run([programs.TOKENLOG, *map(str, arguments)], capture_output=True,
                          timeout=timeout, env=programs.environment())


def ok(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, (arguments, done.stderr.decode(), done.stdout[-2000:])
    assert not programs.REPORT.search(done.stderr.decode()), done.stderr
    return done


def id_of(reply):
    return reply.header("tokenlog-stream-id")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, mock):
    """(server, replies): SSE, a failed one, a body that is no SSE, and ones with metadata."""
    server = programs.Server(tmp_path_factory.mktemp("export"), mock.url, "--archive-after-ms",
                             "50")
    replies = [
        server.post(f"mock,events={EVENTS},id=export"),
        server.post("mock,events=10,fault=reset@4,id=export"),
        server.post("mock,events=3,id=export", stream=False),
        server.post(f"mock,events={EVENTS},id=export",
                    {"Tokenlog-Metadata": '{"team":"red","try":2}', "Idempotency-Key": "again"}),
        server.post("mock,events=5,id=export", {"Tokenlog-Metadata": '{"team":"blue"}'}),
    ]
    yield server, replies
    if server.is_running():
        server.stop()
    server.check_log()


@pytest.fixture(params=["online", "killed", "offline"])
def place(request, recorded):
    """The flags that say where to look: the server, its folder after a kill, or after a stop."""
    server = recorded[0]
    if request.param == "online":
        if not server.is_running():
            server.start()
        return ("--server", server.url)
    if server.is_running():
        (server.kill if request.param == "killed" else server.stop)()
    elif request.param == "offline":
        server.start()
        server.stop()
    return ("--data", str(server.data))


# Events with their times.


def test_events_as_lines(recorded):
    server, replies = recorded
    if not server.is_running():
        server.start()
    reply = server.events(id_of(replies[0]), "?format=jsonl")
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert lines[0]["stream"]["id"] == id_of(replies[0]) and lines[0]["row"]
    events = lines[1:-1]
    assert [line["seq"] for line in events] == list(range(len(events)))
    assert "".join(line["data"] for line in events).encode() == bytes(replies[0].body)
    assert all(a["time"] <= b["time"] for a, b in zip(events, events[1:]))
    assert (lines[-1]["end"]["state"], lines[-1]["end"]["events"]) == ("completed", len(events))
    rest = server.events(id_of(replies[0]), "?format=jsonl&from=4").body.splitlines()
    assert [json.loads(line)["seq"] for line in rest[1:-1]] == list(range(4, len(events)))
    assert server.events(id_of(replies[0]), "?format=csv").status == 400


def test_an_event_that_is_long(serve, canned, mock):
    """It comes in parts, cut where it is cut in the store; put together it is the event."""
    event = b"data: " + b"\xc3\xa9" * 100000 + b"\n\n"
    provider = canned(programs.canned_sse(event + b"data: [DONE]\n\n"))
    server = serve(provider=provider.url)
    reply = server.post("mock")
    lines = [json.loads(line) for line in
             server.events(id_of(reply), "?format=jsonl").body.splitlines()][1:-1]
    parts = [base64.b64decode(line["base64"]) if "base64" in line else line["data"].encode()
             for line in lines if line["seq"] == 0]
    assert len(parts) > 5 and b"".join(parts) == event
    assert [line.get("more", False) for line in lines] == [True] * (len(parts) - 1) + [False] * 2
    assert ok("replay", id_of(reply), "--now", "--server", server.url).stdout == bytes(reply.body)


def test_the_request_of_a_stream(recorded):
    server, replies = recorded
    if not server.is_running():
        server.start()
    reply = server.call("GET", f"/v1/streams/{id_of(replies[3])}/request")
    assert reply.status == 200 and reply.header("content-type") == "application/json"
    assert json.loads(reply.body) == programs.ask(f"mock,events={EVENTS},id=export")
    missing = server.call("GET", "/v1/streams/00000000-0000-7000-8000-000000000000/request")
    assert missing.status == 404


def test_a_large_request(serve, model):
    server = serve()
    text = "long " * 100000
    name = model("events=1")
    reply = server.post(name, messages=[{"role": "user", "content": text}])
    body = server.call("GET", f"/v1/streams/{id_of(reply)}/request").body
    assert json.loads(body)["messages"][0]["content"] == text


# Replay.


def test_replay(recorded, place):
    _, replies = recorded
    for reply in (replies[0], replies[2]):
        assert ok("replay", id_of(reply), "--now", *place).stdout == bytes(reply.body)
    sse = ok("replay", id_of(replies[0]), "--sse", "--speed", "0", *place).stdout
    assert b"id: 1\n" in sse and b'event: tokenlog.end\ndata: {"state":"completed"' in sse
    cut = run("replay", id_of(replies[1]), "--now", *place)
    assert cut.returncode == 1 and b"failed" in cut.stderr
    assert wire.tokens(cut.stdout)[1] == [0, 1, 2, 3]
    assert run("replay", "00000000-0000-7000-8000-000000000000", *place).returncode == 3


def test_replay_keeps_order_and_pace(serve, model):
    server = serve()
    reply = server.post(model("events=20", "rate=20"))
    start = time.monotonic()
    replay = ok("replay", id_of(reply), "--speed", "2", "--server", server.url)
    assert replay.stdout == bytes(reply.body)
    assert time.monotonic() - start >= 0.4  # never sooner than it is due
    server.stop()
    assert ok("replay", id_of(reply), "--speed", "100", "--data", server.data).stdout == replay.stdout


def test_replay_usage():
    some = "00000000-0000-7000-8000-000000000000"
    assert run("replay", some, "--speed", "fast").returncode == 2
    assert run("replay", some, "--speed", "1", "--now").returncode == 2
    assert run("replay", some, "--text", "--sse").returncode == 2
