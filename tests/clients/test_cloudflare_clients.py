"""Cloudflare's published clients of its AI Gateway, unmodified, with only the host changed.

Their own cases (https://github.com/cloudflare/ai, 917c0243, packages/workers-ai-provider/test/
resumable-stream.test.ts and packages/ai-gateway-provider/test/resume.test.ts) stub the gateway; here
the same things happen to them over connections that are really cut, in front of the real server.

    NODE_BIN  node, of tests/clients/js (npm ci)
"""

import json
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

import pytest

import programs
import wire

HERE = pathlib.Path(__file__).parent
NODE = os.environ.get("NODE_BIN", str(HERE / "js/node_modules/.bin/node"))
TIMEOUT_S = 180


class Cutter:
    """A relay that resets the first `cuts` of its streamed answers in mid-event."""

    def __init__(self, place, cuts, events=4, bytes_more=25):
        self.place, self.cuts = place, cuts
        self.events, self.bytes_more = events, bytes_more
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.place)
            threading.Thread(target=self._up, args=(near, far), daemon=True).start()
            threading.Thread(target=self._down, args=(far, near), daemon=True).start()

    @staticmethod
    def _up(near, far):
        try:
            while data := near.recv(65536):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _down(self, far, near):
        seen = b""
        try:
            while data := far.recv(65536):
                seen += data
                place = self._place_of_cut(seen)
                if place is not None and self.cuts > 0 and len(seen) >= place:
                    self.cuts -= 1
                    near.sendall(data[: len(data) - (len(seen) - place)])
                    self._reset(near)
                    far.close()
                    return
                near.sendall(data)
            near.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _place_of_cut(self, seen):
        if b"text/event-stream" not in seen:
            return None
        place = 0
        for _ in range(self.events):
            place = seen.find(b"\n\n", place) + 2
            if place < 2:
                return None
        return place + self.bytes_more

    @staticmethod
    def _reset(near):
        time.sleep(0.2)  # or the peer's kernel drops what it has not read yet
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.shutdown(socket.SHUT_RD)  # wakes the other direction, which holds the socket
        near.close()


def ask(url, kind, *arguments):
    done = subprocess.run([NODE, str(HERE / "js/cloudflare.mjs"), kind, url,
                           *map(str, arguments)], capture_output=True, text=True,
                          timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def words(text):
    return wire.tokens((" " + text).encode())[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory, mock):
    server = programs.Server(tmp_path_factory.mktemp("cloudflare"), None,
                             "--provider", f"openai={mock.url}",
                             extra_environment={"OPENAI_API_KEY": "sk-test"})
    yield server
    server.stop()
    server.check_log()


@pytest.mark.parametrize("kind", ["universal", "run"])
def test_nothing_is_cut(server, mock, model, kind):
    name = model("events=20", "rate=400")
    result = ask(server.url, kind, name)
    assert result["error"] is None and result["resumed"] == []
    assert words(result["text"]) == list(range(20))
    assert mock.of(name)["generations"] == 1


@pytest.mark.parametrize("kind", ["universal", "run"])
def test_cut_in_mid_event_twice(server, mock, model, kind):
    """One generation, the whole text, and its usage; what was half received is not repeated."""
    name = model("events=60", "rate=60")
    result = ask(Cutter(server.place, 2).url, kind, name)
    assert result["error"] is None
    assert words(result["text"]) == list(range(60))
    assert len(result["resumed"]) == 2 and result["resumed"] == sorted(set(result["resumed"]))
    assert result["usage"]["outputTokens"] == 60
    assert mock.of(name)["generations"] == 1
    if kind == "run":
        assert result["progress"] == sorted(set(result["progress"]))


def test_a_fallback_is_resumed_too(server, mock, model):
    """Cloudflare's own gateway has no run ID where it falls back."""
    broken, good = model("status=500"), model("events=40", "rate=60")
    result = ask(Cutter(server.place, 2).url, "universal", broken, good)
    assert result["error"] is None and len(result["resumed"]) == 2
    assert words(result["text"]) == list(range(40))
    assert (mock.of(broken)["requests"], mock.of(good)["generations"]) == (1, 1)


def test_it_gives_up(server, mock, model):
    """"gives up after maxReconnects"."""
    name = model("events=40", "rate=100")
    result = ask(Cutter(server.place, 100).url, "universal", name)
    assert result["error"], result
    assert (result["kind"], len(result["resumed"])) == ("resume-expired", 3)
    assert mock.of(name)["generations"] == 1


@pytest.mark.parametrize("policy", ["error", "accept-partial"])
def test_expired(server, model, policy):
    """"errors with resume-expired on a 404", "ends cleanly with partial output"."""
    name = model("events=30", "rate=200")
    result = ask(Cutter(server.place, 1).url, "expired", name, policy)
    assert len(result["resumed"]) == 1
    got = words(result["text"])
    assert got == list(range(len(got))) and len(got) < 30
    assert result["kind"] == ("resume-expired" if policy == "error" else None)


def test_a_broken_generation_is_an_error(server, model):
    """It never ends cleanly, however often it is resumed: the client would take that for all of it."""
    result = ask(server.url, "universal", model("events=30", "fault=reset@10"))
    assert result["error"] and words(result["text"]) == list(range(10))


def test_attach_anew(server, model):
    """"re-attaches with no initial body by resuming from fromEvent", "absolute index"."""
    body = {"inputs": {"messages": [{"role": "user", "content": "Hello?"}], "stream": True}}
    reply = server.call("POST", "/ai-gateway/run", body,
                        {"cf-consn-model-id": "openai/" + model("events=30")})
    run, events = reply.header("cf-aig-run-id"), wire.split_events(reply.body)[0]
    result = ask(server.url, "attach", run, 7)
    assert result["text"].encode() == b"".join(events[7:]) and result["resumed"] == [7]
    assert result["progress"][-1] == len(events)
    cut = ask(Cutter(server.place, 1, events=2).url, "attach", run, 7)
    assert cut["text"] == result["text"] and cut["resumed"][0] == 7 < cut["resumed"][1]
    assert ask(server.url, "attach", run, 999999)["text"] == ""


@pytest.mark.parametrize("run,kind", [("0" * 64, "dispatch"), ("gone", "resume-expired")])
def test_attach_to_nothing(server, model, run, kind):
    """"treats an initial-attach 404 as terminal", "errors with kind dispatch"."""
    if run == "gone":
        reply = server.call("POST", "/ai-gateway/universal/run/g", [
            {"provider": "openai", "endpoint": "v1/chat/completions", "headers": {},
             "query": programs.ask(model("events=2"))}])
        run = reply.header("cf-aig-run-id")
        stream = reply.header("tokenlog-stream-id")
        server.row_when(stream, "completed")
        assert server.call("DELETE", f"/v1/streams/{stream}").status == 204
    result = ask(server.url, "attach", run, 3)
    assert (result["kind"], result["resumed"]) == (kind, [3])
