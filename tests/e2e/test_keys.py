"""Idempotency-Key: one generation, whoever asks for it, and however often."""

import json

import pytest

import programs
import wire


def keyed(key, **more):
    return {"Idempotency-Key": key} | more


def test_two_clients_with_one_key_share_a_live_generation(server, mock, model):
    name = model("events=40", "rate=40")
    with server.open(name, keyed(name)) as first:
        first.read_events(10)
        with server.open(name, keyed(name)) as second:
            assert second.reader.header("tokenlog-attached") == "live"
            stream = first.reader.header("tokenlog-stream-id")
            assert second.reader.header("tokenlog-stream-id") == stream
            assert first.finish().end == second.finish().end == "clean"
        assert first.reader.body == second.reader.body
    wire.assert_exact(first.reader.body, 40)
    assert mock.of(name)["requests"] == 1


def test_a_finished_one_is_replayed(server, mock, model):
    name = model("events=10")
    first = server.post(name, keyed(name))
    assert first.header("idempotent-replayed") is None
    second = server.post(name, keyed(name))
    assert second.header("idempotent-replayed") == "true"
    assert (second.body, second.end) == (first.body, "clean")
    assert second.header("content-type") == first.header("content-type")
    assert mock.of(name)["requests"] == 1


def test_a_body_that_was_not_streamed_is_replayed(server, mock, model):
    name = model("events=10")
    first, second = (server.post(name, keyed(name), stream=False) for _ in range(2))
    assert second.header("idempotent-replayed") == "true"
    assert (second.status, second.body) == (200, first.body)
    assert second.header("content-type") == first.header("content-type")
    assert mock.of(name)["requests"] == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_crowd_at_once(server, mock, model, stream):
    name = model("events=30", "rate=100")
    with wire.Crowd(0.005) as crowd:
        for _ in range(1000 if programs.LONG else 100):
            crowd.add(server.place, "POST", "/v1/chat/completions", programs.ask(name, stream),
                      keyed(name))
        replies = crowd.finish()
    assert {reply.status for reply in replies} == {200}
    assert {reply.end for reply in replies} == {"clean"}
    assert len({bytes(reply.body) for reply in replies}) == 1
    assert len({reply.header("tokenlog-stream-id") for reply in replies}) == 1
    assert mock.of(name)["requests"] == 1


def test_another_body_with_the_same_key_is_refused(server, mock, model):
    name = model("events=3")
    server.post(name, keyed(name))
    wire.assert_error(server.post(name, keyed(name), temperature=1), 422, "idempotency_key_reused")
    reply = server.post(name, keyed(name), path="/v1/completions", prompt="x")
    wire.assert_error(reply, 422, "idempotency_key_reused")
    assert mock.of(name)["requests"] == 1


def test_a_caller_may_ask_never_to_attach(server, mock, model):
    name = model("events=3")
    first = server.post(name, keyed(name, **{"Tokenlog-Attach": "never"}))
    assert first.status == 200
    reply = server.post(name, keyed(name, **{"Tokenlog-Attach": "never"}))
    wire.assert_error(reply, 409, "stream_exists")
    assert first.header("tokenlog-stream-id") in json.dumps(reply.headers) + str(reply.body)


def test_a_failed_one_is_replayed_as_it_was(server, mock, model):
    name = model("events=10", "fault=reset@4")
    first, second = (server.post(name, keyed(name)) for _ in range(2))
    assert second.body == first.body
    assert first.end in ("cut", "reset") and second.end in ("cut", "reset")
    assert second.header("tokenlog-stream-id") == first.header("tokenlog-stream-id")
    assert mock.of(name)["requests"] == 1


def test_a_refusal_pins_nothing(server, mock, model):
    """Nothing was delivered, so the key is free for the next attempt; both are in the record."""
    name = model("events=5", "fail=1")
    first, second, third = (server.post(name, keyed(name)) for _ in range(3))
    assert (first.status, second.status) == (500, 200)
    wire.assert_exact(second.body, 5)
    row = server.row(second.header("tokenlog-stream-id"))
    assert (row["attempt"], row["previous"]) == (2, first.header("tokenlog-stream-id"))
    assert third.header("tokenlog-stream-id") == row["id"]
    assert mock.of(name)["requests"] == 2


def test_a_refused_request_may_be_mended(server, mock, model):
    """A refusal is no answer: the key is free for another body, and for who never attaches."""
    name, other = model("status=400"), model("events=5")
    assert server.post(name, keyed(name)).status == 400
    assert server.post(name, keyed(name, **{"Tokenlog-Attach": "never"})).status == 400
    mended = server.post(other, keyed(name))
    wire.assert_exact(mended.body, 5)
    assert server.row(mended.header("tokenlog-stream-id"))["attempt"] == 3
    wire.assert_error(server.post(name, keyed(name)), 422, "idempotency_key_reused")
    assert (mock.of(name)["requests"], mock.of(other)["requests"]) == (2, 1)


@pytest.mark.parametrize("key,status", [
    ("", 400), ("k" * 10240, 400), ("k" * 256, 400), ("k" * 255, 200), ("\x80\xff", (200, 400))])
def test_odd_keys(server, key, status):
    reply = server.post("mock,events=1", keyed(key))
    if reply.status == 200:
        assert status == 200 or 200 in status
        wire.assert_exact(reply.body, 1)
    else:
        wire.assert_error(reply, status)


def test_two_keys_in_one_request_are_refused(server):
    body = json.dumps(programs.ask("mock,events=1")).encode()
    with server.wire() as one:
        one.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\r\n"
                 b"Idempotency-Key: b\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        wire.assert_error(one.finish(), 400)


def test_keys_outlive_a_restart(serve, mock, model):
    server = serve()
    name = model("events=10")
    first = server.post(name, keyed(name))
    server.stop()
    server.start()
    second = server.post(name, keyed(name))
    assert second.header("idempotent-replayed") == "true" and second.body == first.body
    assert mock.of(name)["requests"] == 1
