"""HTTP/1.1 as a client sees it on the wire: how the body was framed, and how it ended.

Libraries hide what these tests are about. A Reader takes bytes and knows nothing of sockets; a
Wire is one connection with its Reader; a Crowd drives many of them from one thread.

    end of a reply:  "clean"  the framing said so (last chunk, Content-Length, a close if that is it)
                     "cut"    FIN before that
                     "reset"  RST, whenever
"""

import collections
import json
import re
import selectors
import socket
import ssl
import struct
import time

TIMEOUT_S = 60
RECEIVE_BYTES = 1 << 18
CHUNK_HEAD_BYTES = 20
BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
ID_LINE = re.compile(rb"id: (\d+)(\r\n|\n|\r)")
TOKEN = re.compile(rb" g(\d+)t(\d+)")


class Reader:
    """One reply, fed with bytes as they come."""

    def __init__(self, method="GET"):
        self.method = method
        self.unread = bytearray()
        self.interim = []  # statuses of 1xx replies
        self.status = None
        self.version = None
        self.headers = []  # (lower-case name, value), in order
        self.body = bytearray()
        self.chunk_sizes = []
        self.end = None
        self._framing = None  # "chunked", "close", or the bytes that are still to come
        self._chunk_left = None

    def header(self, name):
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def feed(self, data):
        self.unread += data
        while self.status is None and self._take_head():
            pass
        if self.status is not None and self.end is None:
            self._take_body()

    def closed(self, end):
        """The peer sent FIN ("cut") or RST ("reset")."""
        if self.end is None or end == "reset":
            whole = self.status is not None and self._framing == "close" and end == "cut"
            self.end = "clean" if whole else end

    def _take_head(self):
        blank = self.unread.find(b"\r\n\r\n")
        if blank < 0:
            return False
        first, *fields = self.unread[:blank].decode("latin-1").split("\r\n")
        version, status, _ = (first + " ").split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        del self.unread[: blank + 4]
        if status.startswith("1"):
            self.interim.append(int(status))
            return True
        self.version, self.status = version, int(status)
        self.headers = [(name.lower(), value.strip()) for name, value in
                        (field.split(":", 1) for field in fields)]
        self._framing = self._framing_of_head()
        return False

    def _framing_of_head(self):
        if self.method == "HEAD" or self.status in (204, 304):
            return 0
        if self.header("transfer-encoding") == "chunked":
            assert self.header("content-length") is None
            return "chunked"
        length = self.header("content-length")
        return "close" if length is None else int(length)

    def _take_body(self):
        if self._framing == "chunked":
            while self._take_chunk():
                pass
        elif self._framing == "close":
            self.body += self.unread
            self.unread.clear()
        else:
            part = self.unread[: self._framing]
            self.body += part
            del self.unread[: len(part)]
            self._framing -= len(part)
            if self._framing == 0:
                self.end = "clean"

    def _take_chunk(self):
        """True if something was taken and more may follow."""
        if self._chunk_left is None and not self._take_chunk_head():
            return False
        if self._chunk_left > 0:
            part = self.unread[: self._chunk_left]
            self.body += part
            del self.unread[: len(part)]
            self._chunk_left -= len(part)
        if self._chunk_left > 0 or len(self.unread) < 2:
            return False
        assert self.unread[:2] == b"\r\n", "a chunk without its CRLF"
        del self.unread[:2]
        self._chunk_left = None
        if self.chunk_sizes[-1] == 0:
            self.end = "clean"
        return self.end is None

    def _take_chunk_head(self):
        newline = self.unread.find(b"\r\n", 0, CHUNK_HEAD_BYTES)
        if newline < 0:
            assert len(self.unread) < CHUNK_HEAD_BYTES, f"chunk size {self.unread[:40]!r}"
            return False
        line = bytes(self.unread[:newline])
        assert re.fullmatch(rb"[0-9a-f]+", line), f"chunk size {line!r}"
        self._chunk_left = int(line, 16)
        self.chunk_sizes.append(self._chunk_left)
        del self.unread[: newline + 2]
        return True


def request(method, path, body=None, headers=None, version="1.1"):
    """The bytes of a request. A header whose value is None is left out."""
    fields = {"Host": "localhost"}
    if body is not None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields |= {"Content-Type": "application/json", "Content-Length": len(body)}
    fields |= headers or {}
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


class Wire:
    """One connection, blocking, with the reader of the reply under way."""

    def __init__(self, place, tls=None, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT_S)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(place)
        if tls:
            self.socket = tls.wrap_socket(
                self.socket, server_hostname="localhost", suppress_ragged_eofs=False)
        self.reader = Reader()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def abort(self):
        """RST, as when a process dies with unread bytes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, method, path, body=None, headers=None, version="1.1"):
        """Sends a request; what comes next is its reply."""
        left = self.reader.unread
        self.reader = Reader(method)
        self.send(request(method, path, body, headers, version))
        self.reader.feed(left)
        return self.reader

    def next_reply(self, method="GET"):
        """The reply that follows the one that has ended: pipelining."""
        left = self.reader.unread
        self.reader = Reader(method)
        self.reader.feed(left)
        return self.reader

    def pump(self):
        """One receive; False once the reply has ended."""
        if self.reader.end is None:
            try:
                data = self.socket.recv(RECEIVE_BYTES)
            except (ConnectionResetError, BrokenPipeError):
                self.reader.closed("reset")
            except ssl.SSLError as error:
                assert "EOF" in str(error), error
                self.reader.closed("cut")
            else:
                self.reader.feed(data) if data else self.reader.closed("cut")
        return self.reader.end is None

    def head(self):
        while self.reader.status is None and self.pump():
            pass
        return self.reader

    def finish(self):
        while self.pump():
            pass
        return self.reader

    def read_events(self, count):
        """Until `count` events are there, or the reply has ended; the events."""
        while len(split_events(self.reader.body)[0]) < count and self.pump():
            pass
        return split_events(self.reader.body)[0][:count]

    def how_it_closes(self):
        """After a reply, or instead of one: "cut" (FIN) or "reset"; other bytes are an error."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except ConnectionResetError:
            return "reset"
        assert data == b"", data[:200]
        return "cut"

    def has_bytes(self):
        """Whether anything at all has come that was not read yet."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(TIMEOUT_S)


def call(place, method, path, body=None, headers=None, version="1.1", tls=None):
    with Wire(place, tls) as wire:
        wire.ask(method, path, body, headers, version)
        return wire.finish()


class Crowd:
    """Many requests at once, from one thread: each a connection of its own.

    It looks at all sockets every `pause_s`, so that many events cost one receive.
    """

    def __init__(self, pause_s=0.02):
        self.pause_s = pause_s
        self.selector = selectors.DefaultSelector()
        self.readers = []
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()
        self.selector.close()

    def add(self, place, method, path, body=None, headers=None):
        one = socket.create_connection(place, TIMEOUT_S)
        one.sendall(request(method, path, body, headers))
        one.setblocking(False)
        reader = Reader(method)
        self.selector.register(one, selectors.EVENT_READ, reader)
        self.sockets.append(one)
        self.readers.append(reader)
        return reader

    def pump(self):
        for key, _ in self.selector.select(self.pause_s):
            self._receive(key.fileobj, key.data)
        time.sleep(self.pause_s)

    def _receive(self, one, reader):
        try:
            data = one.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = None
        if data:
            reader.feed(data)
        else:
            reader.closed("reset" if data is None else "cut")
        if reader.end is not None:
            self.selector.unregister(one)

    def finish(self, timeout_s=TIMEOUT_S):
        return self.until(lambda reader: reader.end is not None, timeout_s)

    def until(self, claim, timeout_s=TIMEOUT_S):
        """Pumps until the claim holds of every reader."""
        end = time.monotonic() + timeout_s
        while not all(claim(reader) for reader in self.readers):
            counts = collections.Counter(
                (reader.status, reader.end) for reader in self.readers if not claim(reader))
            assert time.monotonic() < end, f"still waiting for (status, end): {counts}"
            self.pump()
        return self.readers

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()


def split_events(body):
    """(whole events with their blank lines, the rest)."""
    events, at = [], 0
    for blank in BLANK_LINE.finditer(body):
        events.append(bytes(body[at : blank.end()]))
        at = blank.end()
    return events, bytes(body[at:])


def split_numbered(body):
    """Of a resume route: ([(id, event as the provider sent it)], the end as JSON or None)."""
    events, rest = split_events(body)
    end = None
    if events and events[-1].startswith(b"event: tokenlog.end\n"):
        end = json.loads(events.pop().partition(b"data: ")[2])
    numbered = []
    for event in events:
        line = ID_LINE.match(event)
        assert line, f"no id: line in {event[:80]!r}"
        numbered.append((int(line[1]), event[line.end() :]))
    assert end is None or rest == b"", rest[:80]
    return numbered, end


def tokens(data):
    """(generation, [token, …]) of the mock's text; all must be of one generation."""
    found = TOKEN.findall(data)
    generations = {int(generation) for generation, _ in found}
    assert len(generations) <= 1, generations
    return (generations.pop() if generations else None), [int(index) for _, index in found]


def assert_exact(data, count):
    """Nothing lost, doubled or mixed up: `count` tokens of one generation, in order."""
    generation, indexes = tokens(data)
    assert indexes == list(range(count))
    return generation


def assert_error(reply, status, code=None):
    """A clear JSON error in OpenAI's shape, ended cleanly. `status` may be several."""
    statuses = status if isinstance(status, tuple) else (status,)
    assert reply.status in statuses, (reply.status, bytes(reply.body[:500]))
    assert reply.end == "clean"
    assert reply.header("content-type").startswith("application/json")
    error = reply.json()["error"]
    assert error["message"] and error["type"] and error["code"]
    assert code is None or error["code"] == code, error
    return error
