"""Bodies that are not held: uploads that go to the provider while they arrive, forms of any size, and
large answers; what is recorded of them, and what becomes of them when somebody dies on the way."""

import hashlib
import json
import os
import re
import socket
import threading

import pytest

import programs
import wire

MIB = 1 << 20
LARGE = (256 if programs.LONG else 48) * MIB
STREAMED = ("--streamed-body-bytes", "65536")
BLOCK = bytes((31 * j + j // 251) % 256 for j in range(65521))  # as the mock makes them
# What the kernel keeps of one connection, both ways and twice, is less than this.
KERNEL_BYTES = 48 * MIB


def pattern(size):
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def peak_bytes(server):
    status = open(f"/proc/{server.process.pid}/status", encoding="ascii").read()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def head(path, headers, method="POST"):
    return wire.request(method, path, headers={"Content-Type": "application/octet-stream"} | headers)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Taker:
    """A provider that takes any body, and says how it came: all of it, and then `answer`.

    It reads nothing while `gate` is closed; with `early` it answers before it has read the body.
    """

    def __init__(self, answer=None, early=False):
        self.gate = threading.Event()
        self.gate.set()
        self.answer, self.early = answer or programs.canned_json(b'{"text":"taken"}'), early
        self.seen = []  # {"head", "body": up to 8 MiB of it, "bytes", "whole"}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def _serve(self):
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(one,), daemon=True).start()

    def _take(self, one):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = one.recv(1)
            if not piece:
                return
            data += piece
        seen = {"head": data.decode(), "body": b"", "bytes": 0}
        length = re.search(r"(?i)\r\ncontent-length: (\d+)", seen["head"])
        seen["whole"] = not length and "chunked" not in seen["head"]
        self.seen.append(seen)
        if self.early:
            one.sendall(self.answer)
            self.gate.wait(wire.TIMEOUT_S)
        self.gate.wait(wire.TIMEOUT_S)
        try:
            while not seen["whole"]:
                piece = one.recv(MIB)
                if not piece:
                    break
                seen["bytes"] += len(piece)
                seen["body"] += piece[: 8 * MIB - len(seen["body"])]
                seen["whole"] = (seen["bytes"] == int(length[1]) if length
                                 else piece.endswith(b"0\r\n\r\n"))
        except OSError:
            pass
        if seen["whole"] and not self.early:
            one.sendall(self.answer)
        seen["over"] = True
        one.close()


@pytest.fixture
def taker():
    takers = []

    def start(**options):
        takers.append(Taker(**options))
        return takers[-1]

    yield start
    for one in takers:
        one.close()


def form(*fields, boundary="b0undary"):
    """A multipart body; a field is (name, value) or (name, filename, bytes)."""
    body = b""
    for name, *rest in fields:
        disposition = f'form-data; name="{name}"'
        if len(rest) == 2:
            disposition += f'; filename="{rest[0]}"\r\nContent-Type: application/octet-stream'
        value = rest[-1] if isinstance(rest[-1], bytes) else rest[-1].encode()
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        body += value + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


FORM = {"Content-Type": "multipart/form-data; boundary=b0undary"}


# ---- up ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_is_passed_on_while_it_arrives(serve, framing):
    server = serve()
    before = peak_bytes(server)
    piece = pattern(MIB)
    digest = hashlib.sha256()
    with server.wire() as one:
        one.send(head("/v1/files", {"Content-Length": LARGE} if framing == "length" else
                      {"Transfer-Encoding": "chunked"}))
        for _ in range(LARGE // MIB):
            digest.update(piece)
            one.send(piece if framing == "length" else chunk(piece))
        if framing == "chunked":
            one.send(b"0\r\n\r\n")
        reply = one.finish()
        assert reply.status == 200, reply.body
        answer = reply.json()
        one.ask("GET", "/v1/streams?limit=1")  # the connection goes on
        assert one.finish().status == 200
    assert (answer["bytes"], answer["sha256"]) == (LARGE, digest.hexdigest())
    assert peak_bytes(server) - before < LARGE - 16 * MIB
    row = server.row_when(reply.header("tokenlog-stream-id"), "completed")
    assert (row["upload_bytes"], row["upload_sha256"]) == (LARGE, digest.hexdigest())
    assert (row["request_bytes"], row["path"], row["provider"]) == (0, "/v1/files", "mock")
    asked = server.call("GET", f"/v1/streams/{row['id']}/request")
    assert digest.hexdigest() in wire.assert_error(asked, 404, "request_not_recorded")["message"]


def test_a_short_one_is_recorded_as_ever(serve, mock):
    server = serve()
    body = os.urandom(100_000)
    reply = server.call("POST", "/v1/files", body, {"Content-Type": "application/octet-stream"})
    assert reply.json()["sha256"] == hashlib.sha256(body).hexdigest()
    row = server.row_when(reply.header("tokenlog-stream-id"), "completed")
    assert (row["request_bytes"], row["upload_bytes"]) == (len(body), None)
    assert server.call("GET", f"/v1/streams/{row['id']}/request").body == body


def test_native_paths_too(serve, taker):
    other = taker()
    server = serve(*STREAMED, "--provider", f"other={other.url}")
    body = pattern(3 * MIB)
    reply = server.call("PUT", "/other/any/where?x=%2F", body, {"Content-Type": "video/mp4"})
    assert reply.json() == {"text": "taken"}
    seen = other.seen[0]
    assert seen["head"].startswith("PUT /any/where?x=%2F HTTP/1.1\r\n")
    assert "Content-Type: video/mp4" in seen["head"] and "Expect" not in seen["head"]
    assert seen["body"] == body
    assert server.row(reply.header("tokenlog-stream-id"))["upload_bytes"] == len(body)


def test_json_is_read_unless_it_is_too_long_for_that(serve, taker):
    other = taker()
    server = serve(*STREAMED, "--body-bytes-max", "300000", "--provider", f"other={other.url}")
    short, long = ({"model": "m", "input": "x" * size} for size in (200_000, 500_000))
    first = server.call("POST", "/other/v1/embeddings", short)
    second = server.call("POST", "/other/v1/embeddings", long)
    rows = [server.row(reply.header("tokenlog-stream-id")) for reply in (first, second)]
    assert [json.loads(seen["body"]) for seen in other.seen] == [short, long]
    assert [(row["model"], row["upload_bytes"] is None) for row in rows] == [
        ("m", True), (None, False)]
    wire.assert_error(server.call("POST", "/v1/embeddings", long), 413, "body_too_large")


def test_expect_is_answered(serve):
    with serve(*STREAMED).wire() as one:
        one.send(head("/v1/files", {"Content-Length": 2 * MIB, "Expect": "100-continue"}))
        while not one.reader.interim:
            one.pump()
        one.send(pattern(2 * MIB))
        assert one.finish().json()["sha256"] == hashlib.sha256(pattern(2 * MIB)).hexdigest()
        assert one.reader.interim == [100]


# ---- forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order,size", [
    ("model first", 1000), ("model first", 3 * MIB), ("model last", 1000), ("model last", 3 * MIB)])
def test_a_forms_model_leads_to_its_provider(serve, taker, order, size):
    """The Python SDK sends fields first; JavaScript's as they were named. The name is put in the
    provider's words, and nothing else is changed."""
    other = taker()
    server = serve(*STREAMED, "--provider", f"other={other.url}")
    fields = [("model", "other/whisper"), ("file", 'a;"b.mp3', os.urandom(size)), ("language", "is")]
    if order == "model last":
        fields.reverse()
    reply = server.call("POST", "/v1/audio/transcriptions", form(*fields), FORM)
    assert reply.json() == {"text": "taken"}
    expected = form(*[("model", "whisper") if name == "model" else (name, *rest)
                      for name, *rest in fields])
    seen = other.seen[0]
    assert seen["head"].startswith("POST /v1/audio/transcriptions HTTP/1.1\r\n")
    assert seen["body"] == expected
    row = server.row(reply.header("tokenlog-stream-id"))
    assert (row["provider"], row["model"]) == ("other", "whisper")
    is_streamed = order == "model first" and size > 100_000
    assert row["upload_bytes"] == (len(expected) if is_streamed else None)


def test_who_is_asked(serve, taker):
    other = taker()
    server = serve(*STREAMED, "--provider", f"other={other.url}")
    wanted = {"Tokenlog-Provider": "other"}
    body = form(("purpose", "batch"), ("file", "lines.jsonl", pattern(200_000)))
    assert server.call("POST", "/v1/files", body, FORM | wanted).json() == {"text": "taken"}
    assert other.seen[0]["body"] == body and "tokenlog" not in other.seen[0]["head"].lower()
    assert server.call("POST", "/v1/files", body, FORM).json()["bytes"] == len(body)
    assert server.call("GET", "/v1/files/file-7?a=b", headers=wanted).status == 200
    assert server.call("DELETE", "/v1/vector_stores/v/files/f", headers=wanted).status == 200
    assert server.call("POST", "/v1/batches", {"input_file_id": "f"}, wanted).status == 200
    assert server.call("POST", "/v1/videos", {"model": "other/sora"}).status == 200
    lines = [seen["head"].split("\r\n")[0] for seen in other.seen[1:]]
    assert lines == ["GET /v1/files/file-7?a=b HTTP/1.1", "DELETE /v1/vector_stores/v/files/f HTTP/1.1",
                     "POST /v1/batches HTTP/1.1", "POST /v1/videos HTTP/1.1"]
    assert json.loads(other.seen[4]["body"]) == {"model": "sora"}
    assert server.call("GET", "/v1/files/none").status == 404  # the mock's own
    reply = server.call("POST", "/v1/files", body, FORM | {"Tokenlog-Provider": "nobody"})
    wire.assert_error(reply, 400, "unknown_provider")


def test_a_foreign_page_may_not_ask_by_an_image(serve):
    site = {"Sec-Fetch-Site": "cross-site"}
    reply = serve().call("GET", "/v1/files/bytes-9/content", headers=site)
    wire.assert_error(reply, 403, "foreign_origin")


# ---- bounds --------------------------------------------------------------------------------------


def test_too_large(serve):
    server = serve(*STREAMED, "--body-bytes-max", "200000", "--passed-body-bytes-max", "1000000")
    with server.wire() as one:
        one.send(head("/v1/files", {"Content-Length": 1_000_001}))
        wire.assert_error(one.finish(), 413, "body_too_large")
    with server.wire() as one:
        one.send(head("/v1/files", {"Content-Length": 200_001, "Idempotency-Key": "k"}))
        error = wire.assert_error(one.finish(), 413, "body_too_large")
        assert "without an Idempotency-Key" in error["message"]
    with server.wire() as one:  # its length is not known before it is there
        one.send(head("/v1/files", {"Transfer-Encoding": "chunked"}))
        one.send(chunk(pattern(900_000)) + b"%x\r\n" % 200_000)
        wire.assert_error(one.finish(), 413, "body_too_large")
    rows = server.rows()
    assert [row["state"] for row in rows if row["path"] == "/v1/files"].count("completed") == 0


def test_with_a_key_it_is_whole_first(serve, taker):
    other = taker()
    server = serve(*STREAMED, "--provider", f"other={other.url}")
    body, key = pattern(3 * MIB), {"Idempotency-Key": "upload-1", "Content-Type": "image/png"}
    replies = [server.call("POST", "/other/v1/images", body, key) for _ in range(2)]
    assert [reply.json() for reply in replies] == [{"text": "taken"}] * 2
    assert len(other.seen) == 1 and other.seen[0]["body"] == body
    assert replies[1].header("idempotent-replayed") == "true"
    wire.assert_error(
        server.call("POST", "/other/v1/images", body[1:], key), 422, "idempotency_key_reused")


def test_what_is_not_taken_is_not_received(serve, taker):
    slow = taker()
    slow.gate.clear()
    server = serve(*STREAMED, "--provider", f"slow={slow.url}")
    before = peak_bytes(server)
    size = KERNEL_BYTES + 16 * MIB
    piece, sent = pattern(MIB), 0
    with server.wire() as one:
        one.send(head("/slow/up", {"Content-Length": size}))
        one.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            while sent < size:
                sent += one.socket.send(piece[sent % MIB:])
        assert sent < KERNEL_BYTES
        assert peak_bytes(server) - before < 32 * MIB
        slow.gate.set()
        one.socket.settimeout(wire.TIMEOUT_S)
        while sent < size:
            sent += one.socket.send(piece[sent % MIB:])
        assert one.finish().json() == {"text": "taken"}
    assert slow.seen[0]["bytes"] == size
    assert slow.seen[0]["body"] == (piece * 8)


def test_a_body_that_drips_is_not_waited_for(serve):
    server = serve(*STREAMED, "--body-timeout-ms", "500", "--body-rate-min", "1000000000")
    for path in ("/v1/files", "/v1/chat/completions"):
        with server.wire() as one:
            one.send(head(path, {"Content-Length": 10 * MIB}) + pattern(100_000))
            one.socket.settimeout(0.02)
            while one.reader.end is None:  # each byte comes in time
                try:
                    one.send(b"x")
                    one.pump()
                except (TimeoutError, BrokenPipeError, ConnectionResetError):
                    continue
            wire.assert_error(one.reader, 408, "request_timeout")


# ---- on the way ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["FIN", "RST", "malformed"])
def test_a_caller_that_dies_takes_its_upload_with_it(serve, taker, how):
    other = taker()
    server = serve(*STREAMED, "--provider", f"other={other.url}")
    one = server.wire()
    framing = {"Transfer-Encoding": "chunked"} if how == "malformed" else {"Content-Length": 9 * MIB}
    one.send(head("/other/up", framing))
    one.send(chunk(pattern(MIB)) if how == "malformed" else pattern(MIB))
    programs.eventually(lambda: other.seen and other.seen[0]["bytes"] > 0)
    if how == "malformed":
        one.send(b"zz\r\n")
        wire.assert_error(one.finish(), 400, "bad_request")
    (one.abort if how == "RST" else one.close)()
    seen = other.seen[0]
    programs.eventually(lambda: seen.get("over"))
    assert not seen["whole"]
    row = programs.eventually(lambda: [row for row in server.rows() if row["state"] == "failed"])[0]
    assert (row["reason"], row["status"], row["upload_sha256"]) == ("request_cut", None, None)
    assert 0 < row["upload_bytes"] <= MIB


def test_it_is_sent_once(serve, taker):
    """An answer that would be asked for again, had the body been kept, is the caller's."""
    busy = taker(answer=programs.canned_json(b'{"error":{"message":"busy"}}', "503 No"))
    server = serve(*STREAMED, "--provider", f"busy={busy.url}")
    body = form(("model", "busy/m"), ("file", "f", pattern(500_000)))
    reply = server.call("POST", "/v1/images/edits", body, FORM | {"Tokenlog-Retries": "3"})
    assert (reply.status, len(busy.seen)) == (503, 1)
    row = server.row(reply.header("tokenlog-stream-id"))
    assert [attempt["status"] for attempt in row["attempts"]] == [503]


def test_a_provider_that_answers_before_it_has_all_of_it(serve, taker):
    early = taker(answer=programs.canned_json(b'{"error":{"message":"no"}}', "413 No"), early=True)
    early.gate.clear()
    server = serve(*STREAMED, "--provider", f"early={early.url}")
    with server.wire() as one:
        one.send(head("/early/up", {"Content-Length": 64 * MIB}) + pattern(MIB))
        reply = one.finish()
        assert (reply.status, reply.json()) == (413, {"error": {"message": "no"}})
        assert reply.header("connection") == "close"
    early.gate.set()
    assert server.row_when(reply.header("tokenlog-stream-id"), "failed")["status"] == 413


def test_a_provider_that_is_not_there(serve):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    server = serve(*STREAMED, "--provider", f"gone=http://127.0.0.1:{port}")
    with server.wire() as one:
        one.send(head("/gone/up", {"Content-Length": 64 * MIB}) + pattern(MIB))
        wire.assert_error(one.finish(), 502, "upstream_refused")


# ---- down ----------------------------------------------------------------------------------------


def test_a_large_answer_is_recorded_while_it_passes(serve):
    """More than the journal's ring holds."""
    server = serve()
    digest, size = hashlib.sha256(), 0
    with server.wire() as one:
        reply = one.ask("GET", f"/v1/files/bytes-{LARGE}/content")
        while one.pump():
            digest.update(reply.body)
            size += len(reply.body)
            reply.body.clear()
        digest.update(reply.body)
    assert (reply.status, reply.end, size + len(reply.body)) == (200, "clean", LARGE)
    expected = hashlib.sha256()
    for at in range(0, LARGE, 8 * len(BLOCK)):
        expected.update((BLOCK * 8)[: LARGE - at])
    assert digest.digest() == expected.digest()
    row = server.row_when(reply.header("tokenlog-stream-id"), "completed")
    assert (row["bytes"], row["content_type"]) == (LARGE, "application/octet-stream")
    half = row["events"] // 2
    rest = server.raw(row["id"], f"&from={half}")
    assert 0 < len(rest) < LARGE
    assert rest == (BLOCK * (LARGE // len(BLOCK) + 1))[LARGE - len(rest):LARGE]


def test_who_reads_a_part_of_it_reads_on_later(serve):
    server = serve()
    size = 5 * MIB
    with server.wire(receive_buffer=4096) as one:
        reply = one.ask("GET", f"/v1/files/bytes-{size}/content")
        while len(reply.body) < 300_000:
            one.pump()
        one.abort()
    stream_id = reply.header("tokenlog-stream-id")
    server.row_when(stream_id, "completed")
    assert server.raw(stream_id) == pattern(size)
