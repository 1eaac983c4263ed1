"""HTTP/1.1 as such: keep-alive, pipelining, expectations, methods, and HTTP/1.0."""

import json

import pytest

import programs
import wire

POST = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\n")


def test_keep_alive(server, model):
    with server.wire() as one:
        for count in range(1, 4):
            one.ask("POST", "/v1/chat/completions", programs.ask(model(f"events={count}")))
            assert one.finish().end == "clean"
            wire.assert_exact(one.reader.body, count)
        one.ask("GET", "/healthz", headers={"Connection": "close"})
        assert one.finish().header("connection") == "close"
        assert one.how_it_closes() == "cut"


def test_pipelined_requests_are_answered_in_order(server, model):
    requests = [wire.request("POST", "/v1/chat/completions",
                             programs.ask(model(f"events={count}", "rate=100"), count % 2 == 0))
                for count in range(1, 9)]
    with server.wire() as one:
        one.send(b"".join(requests) + wire.request("GET", "/healthz"))
        for count in range(1, 9):
            wire.assert_exact(one.finish().body, count)
            one.next_reply()
        assert one.finish().status == 200


def test_a_request_in_single_bytes(server, model):
    with server.wire() as one:
        one.socket.setsockopt(programs.socket.IPPROTO_TCP, programs.socket.TCP_NODELAY, 1)
        for byte in wire.request("POST", "/v1/chat/completions", programs.ask(model("events=2"))):
            one.send(bytes([byte]))
        wire.assert_exact(one.finish().body, 2)


def test_a_chunked_request_body(server, model):
    body = json.dumps(programs.ask(model("events=2"))).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with server.wire() as one:
        one.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n")
        wire.assert_exact(one.finish().body, 2)


def test_expect_continue(server, model):
    body = json.dumps(programs.ask(model("events=2"))).encode()
    with server.wire() as one:
        one.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        while not one.reader.interim:
            one.pump()
        assert one.reader.interim == [100]
        one.send(body)
        wire.assert_exact(one.finish().body, 2)


def test_expect_continue_of_what_is_refused(server):
    with server.wire() as one:
        one.send(POST + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n")
        wire.assert_error(one.finish(), 413)
        assert one.reader.interim == []


@pytest.mark.parametrize("method,path,status", [
    ("PUT", "/v1/streams", 405), ("GET", "/v1/chat/completions", 405),
    ("DELETE", "/v1/streams", 405), ("POST", "/healthz", 405),
    ("PATCH", "/v1/chat/completions", 405), ("GET", "/nowhere", 404), ("GET", "/v1/streams/", 404)])
def test_methods_and_paths(server, method, path, status):
    reply = server.call(method, path, b"" if method != "GET" else None)
    wire.assert_error(reply, status)
    assert status != 405 or reply.header("allow")


def test_head(server, model):
    stream = server.post(model("events=2")).header("tokenlog-stream-id")
    for path in ("/healthz", f"/v1/streams/{stream}", "/metrics"):
        with server.wire() as one:
            one.ask("HEAD", path)
            assert one.finish().status == 200
            assert one.reader.end == "clean"
            one.ask("GET", "/healthz")  # nothing of a body is in the way
            assert one.finish().status == 200


def test_options(server):
    reply = server.call("OPTIONS", "/v1/chat/completions")
    assert reply.status in (200, 204, 405) and reply.end == "clean"
    assert reply.header("access-control-allow-origin") is None


def test_http_1_0(server, model):
    body = programs.ask(model("events=5"))
    reply = server.call("POST", "/v1/chat/completions", body, version="1.0")
    assert (reply.status, reply.end) == (200, "clean")
    assert reply.header("transfer-encoding") is None
    wire.assert_exact(reply.body, 5)


def test_http_1_0_unclean_end_is_a_reset(server, model):
    body = programs.ask(model("events=20", "fault=reset@5"))
    reply = server.call("POST", "/v1/chat/completions", body, version="1.0")
    assert reply.end == "reset"
    assert wire.tokens(reply.body)[1] == list(range(5))


def test_http_1_1_unclean_end_is_a_fin_without_the_last_chunk(server, model):
    reply = server.post(model("events=20", "fault=reset@5"))
    assert reply.end == "cut"
    assert 0 not in reply.chunk_sizes


def test_http_1_0_needs_no_host(server):
    reply = server.call("GET", "/healthz", headers={"Host": None}, version="1.0")
    assert reply.status in (200, 403)


def test_half_closed_callers_get_their_answer(server, model):
    """A caller that will send nothing more may still read; one that is gone does no harm."""
    with server.wire() as one:
        one.ask("POST", "/v1/chat/completions", programs.ask(model("events=5")))
        one.socket.shutdown(programs.socket.SHUT_WR)
        reply = one.finish()
    assert reply.status in (200, None)
