"""Clients that come back, unchanged, each by what it has itself: OpenAI's background responses, a
browser's EventSource, LangGraph's join, the AI SDK's resume; over connections that are cut, and a
server that is killed.

    NODE_BIN       node, of tests/clients/js (npm ci)
    CLIENT_PYTHON  a Python that has tests/clients/python/requirements.txt
"""

import json
import os
import pathlib
import socket
import subprocess
import threading

import pytest

import programs
import wire

HERE = pathlib.Path(__file__).parent
NODE = os.environ.get("NODE_BIN", str(HERE / "js/node_modules/.bin/node"))
PYTHON = os.environ.get("CLIENT_PYTHON", str(HERE.parents[1] / "build/clients/bin/python"))
PROGRAMS = {"js": [NODE, HERE / "js/resume.mjs"], "ai-sdk": [NODE, HERE / "js/ai_resume.mjs"],
            "python": [PYTHON, HERE / "python/resume.py"]}
TIMEOUT_S = 180


def start(program, *arguments):
    return subprocess.Popen([*map(str, PROGRAMS[program]), *map(str, arguments)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process):
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    return json.loads(output)


def run(program, *arguments):
    return result_of(start(program, *arguments))


class Relay:
    """One address in front of a server that moves; `cut` ends what is open. `answered` rises when
    something was passed on to the client."""

    def __init__(self, place):
        self.place, self.count, self.answered, self.open = place, 0, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.place)
            except OSError:
                near.close()
                continue
            self.count += 1
            self.open += [near, far]
            for way in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._relay, args=way, daemon=True).start()

    def _relay(self, source, target, is_answer):
        try:
            while data := source.recv(65536):
                target.sendall(data)
                self.answered += is_answer
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for one in self.open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()

    def close(self):
        self.listener.close()
        self.cut()


@pytest.fixture
def relay():
    relays = []

    def start_relay(place):
        relays.append(Relay(place))
        return relays[-1]

    yield start_relay
    for one in relays:
        one.close()


@pytest.fixture
def gateway(serve, mock, tmp_path):
    """Serves `native/…`, which speaks Responses, and `translated/…`, which speaks Messages."""
    path = tmp_path / "config.yaml"
    path.write_text("providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {mock.url}\n    dialect: {dialect}\n"
        for name, dialect in (("native", "openai_responses"), ("translated", "anthropic"))))
    return serve("--config", str(path), provider=None)


BOTH = pytest.mark.parametrize("client, provider", [
    ("js", "native"), ("js", "translated"), ("python", "native")])


def exact(text, count):
    wire.assert_exact(text.encode(), count)


@BOTH
def test_a_background_response_is_come_back_to(gateway, mock, model, client, provider):
    name = model("events=40", "rate=100")
    begun = run(client, "begin", gateway.url, f"{provider}/{name}", 12)
    assert begun["numbers"] == list(range(12)) and begun["error"] is None
    rest = run(client, "follow", gateway.url, begun["id"], 11)
    assert rest["error"] is None
    assert rest["numbers"] == list(range(12, 12 + len(rest["numbers"])))
    exact(begun["text"] + rest["text"], 40)
    assert rest["status"] == "completed"
    exact(rest["whole"], 40)
    assert mock.of(name)["generations"] == 1


@BOTH
def test_a_background_response_is_ended(gateway, mock, model, client, provider):
    begun = run(client, "begin", gateway.url, f"{provider}/{model('events=4000', 'rate=20')}", 6)
    assert run(client, "end", gateway.url, begun["id"]) == {
        "statuses": ["cancelled", "cancelled"], "gone": 410}


@BOTH
def test_a_background_response_of_a_killed_server(gateway, model, client, provider):
    begun = run(client, "begin", gateway.url, f"{provider}/{model('events=4000', 'rate=50')}", 8)
    gateway.kill()
    gateway.start()
    rest = run(client, "follow", gateway.url, begun["id"], 7)
    assert rest["error"], "a broken stream is an error for the program"
    text = begun["text"] + rest["text"]
    generation, tokens = wire.tokens(text.encode())
    assert tokens == list(range(len(tokens))) and len(tokens) >= 4
    assert (rest["status"], rest["why"]) == ("failed", "server_died")
    assert rest["whole"] == text


def events_of(server, stream):
    """[(id, data)], as an EventSource tells them."""
    numbered, end = wire.split_numbered(server.events(stream).body)
    return [(seq, event.partition(b"data: ")[2].rstrip().decode()) for seq, event in numbered], end


def test_an_event_source_gets_every_event_once(gateway, relay, model):
    way = relay(gateway.place)
    with gateway.open(f"native/{model('events=80', 'rate=25')}") as one:
        stream = one.reader.header("tokenlog-stream-id")
        source = start("js", "eventsource", f"{way.url}/v1/streams/{stream}/events?retry=100")
        for _ in range(3):
            seen = way.answered
            programs.eventually(lambda: way.answered > seen or source.poll() is not None)
            one.read_events(len(wire.split_events(one.reader.body)[0]) + 5)
            way.cut()
        one.finish()
    result = result_of(source)
    events, end = events_of(gateway, stream)
    assert list(zip(result["ids"], result["data"])) == events
    assert result["end"] == end and end["state"] == "completed"
    assert way.count >= 2  # the last of them was told 204


def test_an_event_source_outlives_the_server(gateway, relay, model):
    way = relay(gateway.place)
    one = gateway.open(f"native/{model('events=4000', 'rate=50')}")
    stream = one.reader.header("tokenlog-stream-id")
    source = start("js", "eventsource", f"{way.url}/v1/streams/{stream}/events?retry=100")
    programs.eventually(lambda: way.answered)
    one.read_events(20)
    gateway.kill()
    way.cut()
    one.close()
    gateway.start()
    way.place = gateway.place
    result = result_of(source)
    events, end = events_of(gateway, stream)
    assert list(zip(result["ids"], result["data"])) == events and len(events) >= 20
    assert result["end"] == end and end["state"] == "interrupted"


def test_langgraph_joins_a_stream(gateway, relay, model):
    way = relay(gateway.place)
    begun = gateway.wire()
    begun.ask("POST", "/v1/responses", {"model": f"native/{model('events=80', 'rate=25')}",
                                        "input": "Hello?", "stream": True})
    stream = begun.head().header("tokenlog-stream-id")
    begun.read_events(10)
    joined = start("js", "join", way.url, stream, 5)
    programs.eventually(lambda: way.answered)  # by its head it knows where to come back to
    begun.read_events(25)
    way.cut()
    begun.finish()
    result = result_of(joined)
    events, end = events_of(gateway, stream)
    assert list(zip(result["ids"], result["data"])) == [
        (seq, json.loads(data)) for seq, data in events[5:]]
    assert result["end"] == end


def test_a_chat_of_the_ai_sdk_is_resumed(gateway, mock, model):
    name = model("events=40", "rate=100")
    result = run("ai-sdk", gateway.url, f"native/{name}")
    exact(result["after"], 40)
    assert result["after"].startswith(result["before"]) and len(result["before"]) > 0
    assert result["done"] is None
    assert mock.of(name)["generations"] == 1
