"""Each bad request gets a precise answer or a timeout, and harms nobody else."""

import json
import time

import pytest

import programs
import wire

POST = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\n")
BODY = json.dumps(programs.ask("mock,events=2")).encode()


def length(body):
    return b"Content-Length: %d\r\n" % len(body)


def send(server, data):
    with server.wire() as one:
        one.send(data)
        return one.finish()


@pytest.fixture(scope="module")
def strict(tmp_path_factory, mock):
    """A server of small limits and little patience."""
    server = programs.Server(
        tmp_path_factory.mktemp("strict"), mock.url, "--header-timeout-ms", "700",
        "--body-timeout-ms", "700", "--idle-timeout-ms", "700", "--body-bytes-max", "100000")
    yield server
    server.stop()
    server.check_log()


@pytest.mark.parametrize("data,statuses", [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70000 + b"\r\n\r\n", (431,)),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", (431,)),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (414,)),
    (POST + length(BODY) * 2 + b"\r\n" + BODY, (400,)),
    (POST + length(BODY) + b"Content-Length: 1\r\n\r\n" + BODY, (400,)),
    (POST + length(BODY) + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    (POST + b"Transfer-Encoding: gzip\r\n\r\n", (400, 501)),
    (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", (400, 501)),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", (400,)),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefg\r\n0\r\n\r\n", (400,)),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", (400, 413)),
    (POST + b"Content-Length: -1\r\n\r\n", (400,)),
    (POST + b"Content-Length: 1e3\r\n\r\n", (400,)),
    (POST + b"Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
    (POST + b"Content-Length : 5\r\n\r\nabcde", (400,)),
    (POST + b"X: a\r\n folded\r\n" + length(BODY) + b"\r\n" + BODY, (400,)),
    (POST + b"X: a\nY: b\r\n" + length(BODY) + b"\r\n" + BODY, (400,)),
    (POST + b"X: a\0b\r\n" + length(BODY) + b"\r\n" + BODY, (400,)),
    (b"GET /healthz HTTP/1.1\r\n\r\n", (400,)),
    (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", (400,)),
    (b"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n", (400, 505)),
    (b"NONSENSE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 501)),
    (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n", (400, 405, 501)),
    (b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    (b"GET /v1/../healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 404)),
    (b"GET /v1/streams?from=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n", (400,)),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 501, 505)),
], ids=lambda value: str(value[:60]))
def test_malformed_requests(server, data, statuses):
    reply = send(server, data)
    assert reply.status in statuses, (reply.status, bytes(reply.body))
    assert reply.end == "clean"
    assert reply.header("connection") == "close"
    assert reply.json()["error"]["code"]


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"\"x\"", b'{"model":1}', b'{"model":""}', b'{"model":"m"',
    b'{"model":"m","model":"n"}', b'{"model":"m"} x', b'{"model":"\xff\xfe"}', b"\xff\xfe{\0}\0",
    b'{"model":"m","stream":"yes"}', b'{"model":"a\\u0000b"}', b'{"model":"m","x":"\x01"}',
    b'{"model":"m\\ud800"}', b"[" * 100000, b'{"a":' * 50000, b'{"model":"' + b"m" * 5000 + b'"}'],
    ids=lambda body: str(body[:30]))
def test_bodies_that_are_no_request(server, mock, body):
    before = mock.calls()
    reply = server.call("POST", "/v1/chat/completions", body)
    wire.assert_error(reply, 400)
    assert mock.calls() == before


def test_errors_in_the_callers_dialect(server):
    reply = server.call("POST", "/v1/messages", b"{")
    assert reply.status == 400
    answer = reply.json()
    assert answer["type"] == "error" and answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_too_large(strict, framing):
    body = b"x" * 200000
    if framing == "length":
        reply = send(strict, POST + length(body) + b"\r\n" + body)
    else:
        chunks = b"".join(b"3e8\r\n" + body[at : at + 1000] + b"\r\n"
                          for at in range(0, len(body), 1000))
        reply = send(strict, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    wire.assert_error(reply, 413)


def test_a_body_that_stops_half_way(strict):
    wire.assert_error(send(strict, POST + length(BODY) + b"\r\n" + BODY[:10]), 408)


def test_a_head_that_stops_half_way(strict):
    reply = send(strict, b"GET /healthz HTTP/1.1\r\nHost: loc")
    assert reply.status in (408, None) and reply.end in ("clean", "cut")


def test_a_head_that_trickles(strict):
    """Bytes now and then do not keep a half request alive for ever."""
    with strict.wire() as one:
        end = time.monotonic() + wire.TIMEOUT_S
        try:
            while not one.has_bytes():
                one.send(b"X")
                time.sleep(0.05)
                assert time.monotonic() < end
        except (ConnectionResetError, BrokenPipeError):
            return
        assert one.finish().status in (408, 400, 431)


def test_a_body_that_stops_and_a_caller_that_leaves(server, mock):
    before = mock.calls()
    for _ in range(20):
        with server.wire() as one:
            one.send(POST + length(BODY) + b"\r\n" + BODY[:10])
    assert server.call("GET", "/healthz").status == 200
    assert mock.calls() == before


def test_connections_that_send_nothing(serve, model):
    count, room = programs.crowd_of(10000 if programs.LONG else 500)
    server = serve("--header-timeout-ms", "4000", "--idle-timeout-ms", "4000", *room,
                   binary=programs.TOKENLOG_FAST)
    silent = [programs.socket.create_connection(server.place) for _ in range(count)]
    wire.assert_exact(server.post(model("events=5")).body, 5)
    for one in silent:
        one.settimeout(wire.TIMEOUT_S)
        assert not one.recv(65536) or one.recv(65536) == b""  # 408, or just the end
        one.close()
    programs.eventually(lambda: server.metrics()["tokenlog_connections_open"] <= 2)


def test_too_many_connections(serve):
    server = serve("--connections-max", "50")
    held = [programs.socket.create_connection(server.place) for _ in range(50)]
    programs.eventually(lambda: b"" == programs.socket.create_connection(server.place).recv(1))
    for one in held:
        one.close()
    programs.eventually(lambda: can_call(server))
    assert server.metrics()["tokenlog_connections_refused_total"] >= 1


def can_call(server):
    try:
        return server.call("GET", "/healthz").status == 200
    except (ConnectionError, OSError):
        return False


def test_too_many_streams(serve, model):
    server = serve("--streams-max", "3")
    held = [server.open(model("events=9", "fault=stall@3")) for _ in range(3)]
    wire.assert_error(server.post(model("events=3")), 429)
    for one in held:
        server.call("POST", f"/v1/streams/{one.reader.header('tokenlog-stream-id')}/stop")
        one.finish()
        one.close()
    wire.assert_exact(server.post(model("events=3")).body, 3)


@pytest.mark.parametrize("metadata", ["{", "[1]", "x" * 20000, '{"a":1} 2', '"x"'])
def test_bad_metadata(server, metadata):
    reply = server.post("mock,events=1", {"Tokenlog-Metadata": metadata})
    wire.assert_error(reply, (400, 431))

