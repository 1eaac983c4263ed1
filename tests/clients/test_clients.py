"""The official clients, unchanged, through tokenlog; and their own retry, which attaches.

    NODE_BIN       node, of tests/clients/js (npm ci)
    CLIENT_PYTHON  a Python that has tests/clients/python/requirements.txt
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

HERE = pathlib.Path(__file__).parent
NODE = os.environ.get("NODE_BIN", str(HERE / "js/node_modules/.bin/node"))
PYTHON = os.environ.get("CLIENT_PYTHON", str(HERE.parents[1] / "build/clients/bin/python"))
CLIENTS = {"js": [NODE, HERE / "js/ask.mjs"], "python": [PYTHON, HERE / "python/ask.py"]}
TIMEOUT_S = 180


class Cutter:
    """A relay to the server that resets its first connection when an answer's first bytes come, or
    when it has passed on `after` of them.

    By then the server has dispatched the call: whoever sends it again without a key pays again.
    """

    def __init__(self, place, after=0):
        self.place, self.after, self.count = place, after, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            far = socket.create_connection(self.place)
            threading.Thread(target=self._relay, args=(near, far), daemon=True).start()
            back = self._cut if self.count == 1 else self._relay
            threading.Thread(target=back, args=(far, near), daemon=True).start()

    @staticmethod
    def _relay(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _cut(self, far, near):
        passed = 0
        while passed < self.after and (data := far.recv(65536)):
            near.sendall(data)
            passed += len(data)
        far.recv(1)
        if passed:
            time.sleep(0.2)  # or the peer's kernel drops what it has not read yet
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.shutdown(socket.SHUT_RD)  # wakes the other direction, which holds the socket
        near.close()
        far.close()


def ask(client, url, kind, model, *key):
    done = subprocess.run([*map(str, CLIENTS[client]), f"{url}/v1", kind, model, *key],
                          capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def paid_tokens(mock, model, count):
    """The tokens of a generation that was paid for once."""
    assert mock.of(model)["generations"] == 1
    return [f"t{index}" for index in range(count)]


def tokens_of(text):
    return ["t" + word.partition("t")[2] for word in text.split()]


@pytest.fixture(params=sorted(CLIENTS))
def client(request):
    return request.param


@pytest.mark.parametrize("kind", ["chat", "chat-whole", "responses"])
def test_a_call(server, mock, model, client, kind):
    name = model("events=40", "rate=200")
    result = ask(client, server.url, kind, name, name)
    assert result["error"] is None
    assert tokens_of(result["text"]) == paid_tokens(mock, name, 40)


@pytest.mark.parametrize("kind", ["chat", "chat-whole", "responses"])
def test_the_clients_own_retry_attaches(server, mock, model, client, kind):
    name = model("events=40", "rate=100")
    cutter = Cutter(server.place)
    result = ask(client, cutter.url, kind, name, name)
    cutter.listener.close()
    assert result["error"] is None
    assert cutter.count >= 2
    assert tokens_of(result["text"]) == paid_tokens(mock, name, 40)


@pytest.fixture(scope="module")
def attaching(tmp_path_factory, mock):
    server = programs.Server(tmp_path_factory.mktemp("attaching"), mock.url,
                             "--attach-duplicates", "600")
    yield server
    server.stop()
    server.check_log()


@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_the_clients_own_retry_attaches_without_a_key(attaching, mock, model, client, kind):
    """It says itself that it is a retry (attach_duplicates)."""
    name = model("events=40", "rate=100")
    cutter = Cutter(attaching.place)
    result = ask(client, cutter.url, kind, name)
    cutter.listener.close()
    assert result["error"] is None
    assert cutter.count >= 2
    assert tokens_of(result["text"]) == paid_tokens(mock, name, 40)


def test_a_program_that_was_cut_off_asks_again_without_a_key(attaching, mock, model, client):
    """These clients do not retry in mid-answer; programs send the same once more."""
    name = model("events=40", "rate=100")
    cutter = Cutter(attaching.place, after=3000)
    first = ask(client, cutter.url, "chat", name)
    cutter.listener.close()
    assert first["error"] and first["text"]
    second = ask(client, attaching.url, "chat", name)
    assert second["error"] is None
    assert tokens_of(second["text"]) == paid_tokens(mock, name, 40)


def test_a_second_program_with_the_key_gets_the_same(server, mock, model, client):
    name = model("events=40")
    first, second = (ask(client, server.url, "chat", name, name) for _ in range(2))
    assert first == second and first["error"] is None
    assert mock.of(name)["requests"] == 1


@pytest.mark.parametrize("kind, fault", [("chat", "reset"), ("chat", "end"), ("responses", "end"),
                                         ("messages", "end"), ("messages", "truncate")])
def test_a_broken_stream_is_an_error_for_the_program(server, model, client, kind, fault):
    """Also one that the provider ended well, by HTTP, but without its dialect's own end: these clients
    take a clean end of the connection for the answer's."""
    name = model("events=40", f"fault={fault}@10")
    result = ask(client, server.url, kind, name, name)
    assert result["error"] and len(tokens_of(result["text"])) == 10
