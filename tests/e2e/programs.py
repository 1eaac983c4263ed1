"""The programs under test as processes of their own, and a provider that says what it is told to.

Each has its own port and folder, and is ended by its own process. What the server wrote on standard
error is kept, and looked through for what sanitizers and broken claims print.

    TOKENLOG_BIN, MOCK_BIN            the programs; by default those of build/asan
    TOKENLOG_FAST_BIN, MOCK_FAST_BIN  for tests of many connections; by default the same
    TOKENLOG_LONG=1                   long loops and large crowds
    TOKENLOG_REACTORS=N               what the servers run with; else as many as processors
    TOKENLOG_SEED                     of the random choices; each test prints the one it took
"""

import json
import os
import pathlib
import queue
import random
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKENLOG = os.environ.get("TOKENLOG_BIN", str(ROOT / "build/asan/tokenlog"))
MOCK = os.environ.get("MOCK_BIN", str(ROOT / "build/asan/tools/mock/mock_provider"))
TOKENLOG_FAST = os.environ.get("TOKENLOG_FAST_BIN", TOKENLOG)
MOCK_FAST = os.environ.get("MOCK_FAST_BIN", MOCK)
LONG = os.environ.get("TOKENLOG_LONG") == "1"

FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # what each process may have open
FILES_BESIDE = 600  # those of a server, or of a test, that are not its crowd's
START_S = 60
STOP_S = 90
REPORT = re.compile(
    r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer|bug: this does not hold")
# A small ring: it is made quickly, and goes round within a test. Nothing is refused because the
# machine is slow: that has tests of its own.
SMALL = ("--segment-bytes", "8388608", "--segment-count", "4", "--lag-max-ms", "0")
SANITIZERS = {
    # Freed memory is kept for so long only, or the tests of bounded memory would measure that.
    "ASAN_OPTIONS": "quarantine_size_mb=8:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def environment(extra=None):
    """Ours, without what would configure the server, but for the number of its threads: all of them
    get work, however little there is."""
    kept = {name: value for name, value in os.environ.items()
            if name == "TOKENLOG_REACTORS"
            or not name.startswith("TOKENLOG_") and not name.endswith("_API_KEY")}
    return {"TOKENLOG_CORE_BUSY_PERCENT": "0"} | kept | SANITIZERS | (extra or {})


def random_of(test):
    seed = int(os.environ.get("TOKENLOG_SEED", time.time_ns() % 1000000))
    print(f"TOKENLOG_SEED={seed}")
    return random.Random(f"{test}{seed}")


def eventually(claim, timeout_s=wire.TIMEOUT_S):
    """Waits for what another process needs its turn for; the claim's value."""
    end = time.monotonic() + timeout_s
    while not (value := claim()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
    return value


def crowd_of(most):
    """(how many connections a test can hold at once here, the flags of a server that takes them):
    on both sides each is a file."""
    count = min(most, FILES - FILES_BESIDE)
    return count, ("--connections-max", str(count + 100), "--streams-max", "50")


class Program:
    """A process that says `listening …` on its first line."""

    def __init__(self, command, log_path, extra_environment=None):
        self.log_path = pathlib.Path(log_path)
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log_file,
            env=environment(extra_environment))
        line = self._first_line()
        word, _, address = line.partition(" ")
        assert word == "listening", f"said {line!r} and logged:\n{self.log()[-4000:]}"
        host, port = re.fullmatch(r"(?:https?://)?(.+):(\d+)\s*", address).groups()
        self.place = (host.strip("[]"), int(port))

    def _first_line(self):
        lines = queue.Queue()
        reader = threading.Thread(
            target=lambda: lines.put(self.process.stdout.readline().decode()), daemon=True)
        reader.start()
        try:
            return lines.get(timeout=START_S)
        except queue.Empty:
            self.process.kill()
            return ""

    @property
    def url(self):
        return f"http://{self.place[0]}:{self.place[1]}"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def is_running(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self._reap()

    def terminate(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self):
        status = self.process.wait(STOP_S)
        self.process.stdout.close()
        self.log_file.close()
        return status

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Mock(Program):
    def __init__(self, log_path, *flags, binary=MOCK):
        super().__init__([binary, "--listen", "127.0.0.1:0", *flags], log_path)

    def stats(self):
        return wire.call(self.place, "GET", "/mock/stats").json()

    def calls(self):
        """Inference calls so far, refused ones too."""
        stats = self.stats()
        return stats["generations"] + stats["rejected"]

    def of(self, model):
        """The counters of one model name."""
        none = dict.fromkeys(("requests", "generations", "tokens", "completed", "aborted",
                              "failed"), 0)
        return self.stats()["by_model"].get(model, none)

    def last(self):
        return wire.call(self.place, "GET", "/mock/last").json()


class Server(Program):
    """`tokenlog serve` in front of one provider; `start` again after `kill` on the same data."""

    def __init__(self, folder, provider, *flags, binary=TOKENLOG, extra_environment=None,
                 data=None, tls=None):
        self.folder = pathlib.Path(folder)
        self.data = pathlib.Path(data or self.folder / "data")
        self.binary, self.flags, self.tls = binary, flags, tls
        self.provider, self.extra_environment = provider, extra_environment
        self.start()

    def start(self, *more_flags):
        command = [self.binary, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data)]
        if self.provider:
            command += ["--provider", f"mock={self.provider}"]
        super().__init__([*command, *SMALL, *self.flags, *more_flags],
                         self.folder / "server.log", self.extra_environment)

    def stop(self):
        """Ends it as an operator would; a leak shows in the status, too."""
        status = self.terminate()
        assert status == 0, f"status {status}, log:\n{self.log()[-4000:]}"

    def check_log(self):
        report = REPORT.search(self.log())
        assert not report, self.log()[report.start() - 200 : report.start() + 6000]

    # What clients do.

    def wire(self, **options):
        return wire.Wire(self.place, self.tls, **options)

    def call(self, method, path, body=None, headers=None, version="1.1"):
        return wire.call(self.place, method, path, body, headers, version, self.tls)

    def post(self, model, headers=None, path="/v1/chat/completions", stream=True, **members):
        """One inference call to its end."""
        return self.call("POST", path, ask(model, stream, **members), headers)

    def open(self, model, headers=None, path="/v1/chat/completions", stream=True, **members):
        """One inference call, begun: a Wire that has the reply's head."""
        one = self.wire()
        one.ask("POST", path, ask(model, stream, **members), headers)
        one.head()
        return one

    def row(self, stream_id):
        reply = self.call("GET", f"/v1/streams/{stream_id}")
        assert reply.status == 200, reply.body
        return reply.json()

    def rows(self, query=""):
        reply = self.call("GET", f"/v1/streams{query}")
        assert reply.status == 200, reply.body
        return reply.json()["data"]

    def row_when(self, stream_id, *states):
        return eventually(lambda: (row := self.row(stream_id))["state"] in states and row)

    def events(self, stream_id, query="", headers=None):
        return self.call("GET", f"/v1/streams/{stream_id}/events{query}", headers=headers)

    def raw(self, stream_id, query=""):
        """The provider's bytes as recorded so far. A part is never passed off as the whole."""
        reply = self.events(stream_id, f"?format=raw&live=false{query}")
        assert reply.status == 200, reply.body
        row = self.row(stream_id)
        assert row["state"] != "completed" or reply.end == "clean", (reply.end, len(reply.body), row)
        return bytes(reply.body)

    def metrics(self):
        """{name with labels: value}"""
        text = self.call("GET", "/metrics").body.decode()
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def ask(model, stream=True, **members):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello?"}]}
    return body | ({"stream": True} if stream else {}) | members


class Canned:
    """A provider that answers every call with the same bytes, in pieces of a given size.

    `answers` is one reply, head and all, or a list: the n-th call gets the n-th, and the last one is
    for all that follow. It then closes by FIN, or by RST with `reset`.
    """

    def __init__(self, answers, piece_bytes=1 << 20, reset=False):
        self.answers = answers if isinstance(answers, list) else [answers]
        self.piece_bytes, self.reset = piece_bytes, reset
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def answer_to(self, request):
        """Called once it is among `requests`."""
        return self.answers[min(len(self.requests), len(self.answers)) - 1]

    def _serve(self):
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one):
        with one:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = self._read_request(one)
            if request is None:
                return
            self.requests.append(request)
            answer = self.answer_to(request)
            for at in range(0, len(answer), self.piece_bytes):
                one.sendall(answer[at : at + self.piece_bytes])
            if self.reset:
                time.sleep(0.2)  # or the peer's kernel drops what it has not read yet
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    @staticmethod
    def _read_request(one):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = one.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += one.recv(65536)
        return head.decode(), body


def canned_sse(events, framing="chunked"):
    """The bytes of a streamed reply."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    if framing == "chunked":
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(events), events)
    return head + b"Connection: close\r\n\r\n" + events


def canned_json(body, status="200 OK"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body

