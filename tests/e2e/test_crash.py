"""SIGKILL at a random moment, with clients attached: what anyone received is there afterwards."""

import concurrent.futures
import hashlib
import json
import random

import pytest

import programs
import wire

ROUNDS = 200 if programs.LONG else 10
LIVES = 4  # servers at once: each waits for most of a round


class Witness:
    """One client of one round: what it asked, and what it has received."""

    def __init__(self, reader, key=None, stream=None, numbered=False):
        self.reader, self.key, self.numbered = reader, key, numbered
        self._stream = stream

    def stream(self, server):
        if self._stream is None and self.reader.status == 200:
            self._stream = self.reader.header("tokenlog-stream-id")
        if self._stream is None and self.key:
            rows = server.rows(f"?idempotency_key={self.key}")
            self._stream = rows[0]["id"] if rows else None
        return self._stream

    def check(self, server):
        """The recording, after everything received was found in it."""
        stream = self.stream(server)
        if stream is None:
            assert self.reader.status in (None, 503) or not self.reader.body
            return None
        row, raw = server.row(stream), server.raw(stream)
        assert row["state"] in ("completed", "interrupted"), row
        assert row["bytes"] == len(raw)
        if self.numbered:
            self._check_numbered(server, stream)
        else:
            received = bytes(self.reader.body)
            assert raw[: len(received)] == received
            assert self.reader.end != "clean" or (row["state"], raw) == ("completed", received)
        return stream, raw

    def _check_numbered(self, server, stream):
        received = wire.split_events(self.reader.body)[0]
        if received and received[-1].startswith(b"event: tokenlog.end"):
            received.pop()
        replay = wire.split_events(server.events(stream).body)[0]
        assert replay[: len(received)] == received


def begin(crowd, server, round_number, chance):
    """Streams of several kinds, and after a while readers of some of them."""
    witnesses = []
    kinds = ["events=400,rate=300", "events=40,rate=60", "events=5", "events=30,rate=50,text=90000",
             "events=100,rate=200,sse=crlf", "events=200,burst=20,rate=400"]
    for number, kind in enumerate(kinds):
        key = f"crash-{round_number}-{number}" if number % 2 else None
        is_streamed = number != 2 or chance.random() < 0.5
        body = programs.ask(f"mock,{kind},id=crash{round_number}", is_streamed)
        reader = crowd.add(server.place, "POST", "/v1/chat/completions", body,
                           {"Idempotency-Key": key})
        witnesses.append(Witness(reader, key))
    crowd.run_for(chance.uniform(0, 0.5))
    for witness in witnesses[:]:
        if witness.reader.status == 200 and chance.random() < 0.7:
            stream = witness.reader.header("tokenlog-stream-id")
            reader = crowd.add(server.place, "GET", f"/v1/streams/{stream}/events?from=0")
            witnesses.append(Witness(reader, stream=stream, numbered=True))
    crowd.run_for(chance.uniform(0, 0.4))
    return witnesses


def digest(server, stream):
    return hashlib.sha256(server.raw(stream)).digest()


def live(server, chance, rounds):
    """One server that is killed again and again."""
    kept = {}
    for round_number in rounds:
        with wire.Crowd() as crowd:
            witnesses = begin(crowd, server, round_number, chance)
            server.kill()
            crowd.finish()
        server.start()
        checked = [found for witness in witnesses if (found := witness.check(server))]
        kept |= {stream: hashlib.sha256(raw).digest() for stream, raw in checked}
        for stream in chance.sample(sorted(kept), min(5, len(kept))):
            assert digest(server, stream) == kept[stream]
    assert len(kept) > len(rounds)
    for stream in kept:
        assert digest(server, stream) == kept[stream]


def test_server_killed_with_clients_attached(serve):
    chance = programs.random_of("killed server")
    with concurrent.futures.ThreadPoolExecutor(LIVES) as pool:
        lives = [pool.submit(live, serve(), random.Random(chance.random()),
                             range(number, ROUNDS, LIVES)) for number in range(LIVES)]
        for one in lives:
            one.result()


def test_killed_while_it_starts(serve):
    """Recovery that is itself cut short loses nothing."""
    chance = programs.random_of("killed starts")
    server = serve()
    reply = server.post("mock,events=500")
    stream = reply.header("tokenlog-stream-id")
    server.kill()
    for _ in range(20 if programs.LONG else 5):
        process = programs.subprocess.Popen(
            [server.binary, "serve", "--listen", "127.0.0.1:0", "--data", str(server.data),
             *programs.SMALL], stdout=programs.subprocess.DEVNULL,
            stderr=programs.subprocess.DEVNULL, env=programs.environment())
        programs.time.sleep(chance.uniform(0, 0.4))
        process.kill()
        process.wait()
    server.start()
    assert server.raw(stream) == reply.body


@pytest.fixture
def interrupted(serve, mock, model):
    """(server after a kill and a restart, model, key, stream, what was received)"""
    server = serve()
    name = model("events=100", "rate=50")
    one = server.open(name, {"Idempotency-Key": name})
    stream = one.reader.header("tokenlog-stream-id")
    one.read_events(10)
    server.kill()
    received = bytes(one.finish().body)
    assert one.reader.end in ("cut", "reset")
    one.close()
    server.start()
    return server, name, stream, received


def test_interrupted_says_so_and_is_not_dispatched_again(interrupted, mock):
    server, name, stream, received = interrupted
    row = server.row(stream)
    assert row["state"] == "interrupted" and row["reason"]
    reply = server.post(name, {"Idempotency-Key": name})
    assert reply.status == 200
    assert reply.header("tokenlog-stream-id") == stream
    assert reply.header("tokenlog-stream-state") == "interrupted"
    assert reply.end in ("cut", "reset")
    assert reply.body.startswith(received) and reply.body == server.raw(stream)
    numbered, end = wire.split_numbered(server.events(stream).body)
    assert (end["state"], end["events"]) == ("interrupted", len(numbered))
    assert mock.of(name)["generations"] == 1


def test_interrupted_is_dispatched_anew_only_if_asked(interrupted, mock):
    server, name, stream, _ = interrupted
    headers = {"Idempotency-Key": name, "Tokenlog-On-Interrupted": "restart"}
    reply = server.post(name, headers)
    again = reply.header("tokenlog-stream-id")
    assert again != stream and reply.end == "clean"
    wire.assert_exact(reply.body, 100)
    assert mock.of(name)["generations"] == 2
    row = server.row(again)
    assert (row["attempt"], row["previous"], row["state"]) == (2, stream, "completed")
    assert server.row(stream)["state"] == "interrupted"
    for more in (headers, {"Idempotency-Key": name}):
        reply = server.post(name, more)
        assert reply.header("tokenlog-stream-id") == again
    assert mock.of(name)["generations"] == 2


def test_interrupted_call_that_was_not_streamed(serve, mock, model):
    server = serve()
    name = model("events=100", "rate=10")
    with server.wire() as one:
        one.ask("POST", "/v1/chat/completions", programs.ask(name, False),
                {"Idempotency-Key": name})
        programs.eventually(lambda: mock.of(name)["generations"] == 1)
        server.kill()
        assert one.finish().end in ("cut", "reset")
    server.start()
    reply = server.post(name, {"Idempotency-Key": name}, stream=False)
    error = wire.assert_error(reply, 409, "stream_interrupted")
    stream = server.rows(f"?idempotency_key={name.replace('=', '%3D')}")[0]["id"]
    assert stream in json.dumps(error) + json.dumps(reply.headers)
    assert mock.of(name)["generations"] == 1


def test_no_event_is_visible_before_it_is_durable(serve, mock, model):
    """At the seam each commit's completion is held back: nothing may be seen meanwhile."""
    server = serve("--test-commit-delay-ms", "4000")
    name = model("events=20")
    with server.wire() as one:
        one.ask("POST", "/v1/chat/completions", programs.ask(name))
        programs.eventually(lambda: mock.of(name)["completed"] == 1)
        assert not one.has_bytes()
        server.kill()
        assert one.finish().status is None
    server.flags = ()
    server.start()
    assert all(row["state"] in ("completed", "interrupted") for row in server.rows())


def test_held_commits_delay_events_and_lose_none(serve, model):
    server = serve("--test-commit-delay-ms", "500")
    began = programs.time.monotonic()
    with server.open(model("events=300", "rate=100")) as one:
        stream = one.reader.header("tokenlog-stream-id")
        assert programs.time.monotonic() - began >= 0.5
        one.read_events(100)
        server.kill()
        received = bytes(one.finish().body)
    server.flags = ()
    server.start()
    raw = server.raw(stream)
    assert raw.startswith(received)
    generation, indexes = wire.tokens(raw)
    assert generation and indexes == list(range(len(indexes))) and len(indexes) >= 99
