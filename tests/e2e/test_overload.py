"""Past what the machine can carry: new generations are refused at once, readers never.

The machine is made slow by stopping the server for a moment, which it cannot tell from being late.
"""

import signal
import time

import pytest

import programs
import wire

OPEN = 80  # more than the number below which none is refused (overload.h)
LATECOMERS = 40


@pytest.fixture(name="server")
def server_of_open_streams(serve):
    """With so many generations under way, all of them slow."""
    server = serve("--lag-max-ms", "25")
    streams = [server.open(f"mock,events=1000,rate=2,id=open{number}") for number in range(OPEN)]
    server.open_ids = [one.reader.header("tokenlog-stream-id") for one in streams]
    yield server
    for one in streams:
        one.close()
    for stream in server.open_ids:
        server.call("POST", f"/v1/streams/{stream}/stop")


def stall(server, meanwhile):
    server.process.send_signal(signal.SIGSTOP)
    try:
        done = meanwhile()
        time.sleep(1)
    finally:
        server.process.send_signal(signal.SIGCONT)
    return done


def begin(server, count):
    """So many calls, under way."""
    calls = [server.wire() for _ in range(count)]
    for one in calls:
        one.ask("POST", "/v1/chat/completions", programs.ask("mock,events=1"))
    return calls


def finish(calls):
    replies = [one.finish() for one in calls]
    for one in calls:
        one.close()
    return replies


def test_new_generations_are_refused_at_once(server):
    replies = finish(stall(server, lambda: begin(server, LATECOMERS)))
    refused = [reply for reply in replies if reply.status != 200]
    assert refused
    for reply in refused:
        wire.assert_error(reply, 503, "overloaded")
        assert reply.header("retry-after") == "1"
    programs.eventually(lambda: server.post("mock,events=1").status == 200)


def test_readers_are_not(server):
    def read():
        readers = [server.wire() for _ in server.open_ids]
        for one, stream in zip(readers, server.open_ids):
            one.ask("GET", f"/v1/streams/{stream}/events?live=false")
        return readers

    assert {reply.status for reply in finish(stall(server, read))} == {200}


def test_few_are_always_taken(serve):
    server = serve("--lag-max-ms", "1")
    replies = finish(stall(server, lambda: begin(server, LATECOMERS)))
    assert {reply.status for reply in replies} == {200}
