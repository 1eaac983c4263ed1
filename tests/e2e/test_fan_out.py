"""One live stream, a thousand readers: who reads gets every byte; who does not is cut, and comes back.

The rule: a reader costs its own send queue and nothing more, and one that takes nothing for
`send_timeout_ms` is dropped. Where to come back to it knows itself: the number of events received.
"""

import json
import threading

import programs
import wire

MIB = 1 << 20
READERS, STALLED = 950, 50
# The kernel takes some 3 MiB for a reader that has stopped; only then it is seen.
BEFORE, LIVE = 2000, 60
FLAGS = ("--send-timeout-ms", "1500", "--segment-bytes", str(64 * MIB), "--segment-count", "4")


def event(number):
    return b'data: {"choices":[{"delta":{"content":"%d"}}],"padding":"%s"}\n\n' % (
        number, b"x" * 2900)


class Gated(programs.Canned):
    """Its answer's second part comes when `gate` is set."""

    def __init__(self, first, second):
        self.first, self.second, self.gate = first, second, threading.Event()
        super().__init__(b"")

    def _answer(self, one):
        with one:
            if self._read_request(one) is None:
                return
            one.sendall(self.first)
            self.gate.wait()
            for piece in self.second:
                one.sendall(piece)


def most_memory(server):
    """What the server said at its start."""
    line = next(line for line in server.log().splitlines() if '"event":"serving"' in line)
    return json.loads(line)["memory_bytes_max"]


def test_a_thousand_readers_of_one_live_stream(serve):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    events = [event(number) for number in range(BEFORE + LIVE)] + [b"data: [DONE]\n\n"]
    provider = Gated(head + b"".join(events[:BEFORE]), events[BEFORE:])
    server = serve(*FLAGS, provider=provider.url, binary=programs.TOKENLOG_FAST)
    begun = server.open("m")
    stream = begun.reader.header("tokenlog-stream-id")
    begun.read_events(BEFORE)
    path = f"/v1/streams/{stream}/events"
    stalled = [server.wire(receive_buffer=4096) for _ in range(STALLED)]
    for one in stalled:
        one.ask("GET", path)
    with wire.Crowd(0.05) as crowd:
        for number in range(READERS):
            query = f"?from={BEFORE}" + ("" if number % 2 else "&format=raw")
            crowd.add(server.place, "GET", path + query)
        crowd.until(lambda reader: reader.status, 300)
        provider.gate.set()
        readers = crowd.finish(300)
    assert bytes(begun.finish().body) == b"".join(events) and begun.reader.end == "clean"
    numbered = [bytes(server.events(stream, f"?from={start}").body) for start in (0, BEFORE)]
    for number, reader in enumerate(readers):
        assert (reader.status, reader.end) == (200, "clean")
        assert bytes(reader.body) == (numbered[1] if number % 2 else b"".join(events[BEFORE:]))
    programs.eventually(lambda: server.metrics()["tokenlog_readers_dropped_total"] >= STALLED)
    for one in stalled:
        assert one.finish().end in ("cut", "reset")
        received = wire.split_events(one.reader.body)[0]
        rest = server.events(stream, f"?from={len(received)}")
        assert len(received) < len(events) and rest.end == "clean"
        assert b"".join(received) + bytes(rest.body) == numbered[0]
        one.close()
    begun.close()
    provider.close()
    assert server.rss_bytes() < most_memory(server)
    programs.eventually(lambda: server.metrics()["tokenlog_readers_attached"] == 0)
