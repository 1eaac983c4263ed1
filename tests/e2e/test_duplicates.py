"""Requests without a key that are sent again since their answer was cut off (attach_duplicates)."""

import threading

import pytest

import programs
import wire

RETRY = {"x-stainless-retry-count": "1"}


@pytest.fixture
def attaching(serve):
    return serve("--attach-duplicates", "600")


def drop(server, name, events, **more):
    """Begins the call, takes some of its answer and hangs up; the stream's ID."""
    one = server.wire()
    one.ask("POST", "/v1/chat/completions", programs.ask(name, **more))
    stream = one.head().header("tokenlog-stream-id")
    one.read_events(events)
    readers = server.metrics()["tokenlog_readers_attached"]
    one.abort()
    programs.eventually(
        lambda: server.metrics()["tokenlog_readers_attached"] < readers)
    return stream


def test_off_unless_it_is_wanted(server, mock, model):
    name = model("events=30", "rate=60")
    drop(server, name, 3)
    again = server.post(name, RETRY)
    assert again.header("tokenlog-attached") is None
    assert mock.of(name)["generations"] == 2


@pytest.mark.parametrize("headers", [None, RETRY])
def test_a_dropped_one_is_gone_on_with(attaching, mock, model, headers):
    name = model("events=60", "rate=60")
    stream = drop(attaching, name, 5)
    again = attaching.post(name, headers)
    assert (again.header("tokenlog-stream-id"), again.header("tokenlog-attached")) == (stream, "live")
    wire.assert_exact(again.body, 60)
    after = attaching.post(name)  # its first caller was dropped, and so it stays
    assert after.header("tokenlog-attached") == "finished"
    assert after.header("idempotent-replayed") == "true"
    assert bytes(after.body) == bytes(again.body)
    assert mock.of(name)["generations"] == 1


def test_a_dropped_one_that_has_finished(attaching, mock, model):
    name = model("events=40", "rate=400")
    stream = drop(attaching, name, 2)
    attaching.row_when(stream, "completed")
    again = attaching.post(name)
    assert again.header("tokenlog-attached") == "finished"
    wire.assert_exact(again.body, 40)
    assert mock.of(name)["generations"] == 1


def test_not_while_the_first_caller_is_there(attaching, mock, model):
    name = model("events=40", "rate=40")
    with attaching.open(name) as first:
        second = attaching.post(name)
        assert second.header("tokenlog-attached") is None
        first.finish()
    assert mock.of(name)["generations"] == 2


def test_readers_that_leave_are_no_callers(attaching, mock, model):
    """Who reads the recording, or attached beside the first caller, and goes, drops nothing."""
    name = model("events=80", "rate=40")
    ask = lambda one, headers=None: one.ask("POST", "/v1/responses", {
        "model": name, "input": "x", "stream": True}, headers)
    with attaching.wire() as first:
        ask(first)
        stream = first.head().header("tokenlog-stream-id")
        for begin in (lambda one: ask(one, RETRY),
                      lambda one: one.ask("GET", f"/v1/responses/{stream}?stream=true")):
            with attaching.wire() as reader:
                begin(reader)
                assert reader.head().header("tokenlog-stream-id") == stream
                readers = attaching.metrics()["tokenlog_readers_attached"]
                reader.abort()
            programs.eventually(
                lambda: attaching.metrics()["tokenlog_readers_attached"] < readers)
        with attaching.wire() as second:
            ask(second)
            assert second.head().header("tokenlog-attached") is None
        first.finish()


def test_a_retry_attaches_to_a_caller_that_seems_to_be_there(attaching, mock, model):
    """The client knows that its connection is dead before we do."""
    name = model("events=40", "rate=60")
    with attaching.open(name) as first:
        second = attaching.post(name, RETRY)
        assert second.header("tokenlog-attached") == "live"
        assert bytes(second.body) == bytes(first.finish().body)
    assert mock.of(name)["generations"] == 1


def test_who_got_all_of_it_gets_another_one(attaching, mock, model):
    name = model("events=3")
    assert attaching.post(name).end == "clean"
    assert attaching.post(name, {"x-stainless-retry-count": "0"}).header("tokenlog-attached") is None
    assert mock.of(name)["generations"] == 2


def test_only_the_same_request(attaching, mock, model):
    name = model("events=60", "rate=60")
    drop(attaching, name, 3)
    other = attaching.post(name, RETRY, temperature=1)
    assert other.header("tokenlog-attached") is None
    never = attaching.post(name, {"Tokenlog-Attach": "never"})
    assert never.header("tokenlog-attached") is None
    keyed = attaching.post(name, {"Idempotency-Key": name})
    assert keyed.header("tokenlog-attached") is None
    assert mock.of(name)["generations"] == 4


@pytest.mark.parametrize("setting", ["status=500", "fault=reset@5", "fault=refuse"])
def test_nothing_of_what_failed(attaching, mock, model, setting):
    name = model("events=20", setting)
    first = attaching.post(name)
    attaching.row_when(first.header("tokenlog-stream-id"), "failed")
    again = attaching.post(name, RETRY)
    assert again.header("tokenlog-attached") is None
    assert mock.of(name)["requests"] == 2


def test_a_thousand_at_once(attaching, mock, model):
    name = model("events=50", "rate=25")
    stream = drop(attaching, name, 2)
    count = min(1000, programs.FILES // 4) if programs.LONG else 200
    with wire.Crowd() as crowd:
        for _ in range(count):
            crowd.add(attaching.place, "POST", "/v1/chat/completions", programs.ask(name))
        for reply in crowd.finish():
            assert (reply.status, reply.header("tokenlog-stream-id")) == (200, stream)
            wire.assert_exact(reply.body, 50)
    assert mock.of(name)["generations"] == 1


def test_an_answer_that_is_no_stream(attaching, mock, model):
    name = model("events=30", "rate=30")
    with attaching.wire() as one:
        one.ask("POST", "/v1/chat/completions", programs.ask(name, stream=False))
        programs.eventually(lambda: mock.of(name)["requests"] == 1)
        one.abort()
    again = attaching.post(name, RETRY, stream=False)
    assert again.header("tokenlog-attached") in ("live", "finished")
    assert again.json()["choices"] and mock.of(name)["generations"] == 1


def test_the_window(serve, mock, model):
    server = serve("--attach-duplicates", "1")
    name = model("events=5", "rate=400")
    stream = drop(server, name, 1)
    server.row_when(stream, "completed")
    threading.Event().wait(2.5)
    assert server.post(name, RETRY).header("tokenlog-attached") is None


def test_a_projects_own_setting(serve, mock, model, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("attach_duplicates: 0\nprojects:\n  - name: default\n"
                      "    attach_duplicates: 600\n")
    server = serve("--config", str(config))
    name = model("events=40", "rate=60")
    stream = drop(server, name, 2)
    assert server.post(name).header("tokenlog-stream-id") == stream
    assert mock.of(name)["generations"] == 1
