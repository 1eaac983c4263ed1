"""What a provider can do wrong, and what the caller, the recording and the metrics then say."""

import pytest

import programs
import wire

PATIENCE = ("--stall-timeout-ms", "700", "--first-byte-timeout-ms", "1500",
            "--connect-timeout-ms", "1500")


@pytest.fixture(scope="module")
def impatient(tmp_path_factory, mock):
    server = programs.Server(tmp_path_factory.mktemp("faults"), mock.url, *PATIENCE)
    yield server
    server.stop()
    server.check_log()


def assert_failed(server, reply, tokens):
    """The events that came are there, the end is not clean, and a later reader is told."""
    assert reply.status == 200 and reply.end in ("cut", "reset")
    generation, indexes = wire.tokens(reply.body)
    assert indexes == list(range(tokens))
    stream = reply.header("tokenlog-stream-id")
    row = server.row(stream)
    assert row["state"] == "failed" and row["reason"] and row["detail"], row
    assert server.raw(stream) == reply.body
    numbered, end = wire.split_numbered(server.events(stream).body)
    assert b"".join(event for _, event in numbered) == reply.body
    assert (end["state"], end["events"], end["reason"]) == ("failed", len(numbered), row["reason"])
    again = server.events(stream, "?format=raw")
    assert again.body == reply.body and again.end in ("cut", "reset")
    return row


@pytest.mark.parametrize("fault", ["reset", "close", "end", "truncate", "stall", "garbage"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_fault_in_the_middle(impatient, mock, model, fault, path):
    name = model("events=20", f"fault={fault}@8")
    body = programs.ask(name, input="x", max_tokens=99)
    row = assert_failed(impatient, impatient.call("POST", path, body), 8)
    assert mock.of(name)["generations"] == 1
    assert row["events"] >= 8


def test_an_error_event_in_the_middle_is_passed_and_is_no_clean_end(impatient, model):
    reply = impatient.post(model("events=20", "fault=error@8"))
    assert b'"error"' in wire.split_events(reply.body)[0][-1]
    assert_failed(impatient, reply, 8)


def test_an_error_event_before_all_others(impatient, model):
    reply = impatient.post(model("fault=first_error"))
    assert b'"error"' in reply.body
    row = impatient.row(reply.header("tokenlog-stream-id"))
    assert row["state"] == "failed"


@pytest.mark.parametrize("setting,status", [
    ("fault=refuse", 502), ("drop=head", 502), ("ttft=10000", 504)])
def test_no_answer_at_all(impatient, mock, model, setting, status):
    name = model(setting)
    reply = impatient.post(name, stream=False)
    wire.assert_error(reply, status)
    stream = reply.header("tokenlog-stream-id")
    assert impatient.row(stream)["state"] == "failed"


def test_a_head_and_then_nothing(impatient, model):
    assert_failed(impatient, impatient.post(model("fault=stall@0")), 0)


def test_no_such_provider_is_listening(serve):
    with programs.socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    server = serve(provider=f"http://127.0.0.1:{port}")
    error = wire.assert_error(server.post("m"), 502)
    assert "mock" in error["message"] or "connect" in error["message"].lower()


def test_a_name_that_cannot_be_resolved(serve):
    server = serve("--connect-timeout-ms", "3000", provider="http://no-such-host.invalid")
    wire.assert_error(server.post("m"), (502, 504))
    assert server.call("GET", "/healthz").status == 200


@pytest.mark.parametrize("fault", ["stall", "reset", "close"])
def test_a_fault_in_a_body_that_is_not_streamed(impatient, model, fault):
    reply = impatient.post(model("events=3000", f"fault={fault}"), stream=False)
    stream = reply.header("tokenlog-stream-id")
    assert impatient.row(stream)["state"] == "failed"
    assert reply.end != "clean" or reply.status >= 500
    if reply.status == 200:
        assert impatient.raw(stream) == reply.body


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529])
def test_error_statuses_pass(impatient, mock, model, status):
    name = model(f"status={status}")
    reply = impatient.post(name)
    assert (reply.status, reply.end) == (status, "clean")
    assert reply.json()["error"]["message"]
    assert mock.of(name)["generations"] == 0


def test_a_healthy_stream_may_take_longer_than_any_timeout(impatient, model):
    reply = impatient.post(model("events=30", "rate=10"))
    assert reply.end == "clean"
    wire.assert_exact(reply.body, 30)


def test_a_reset_by_a_strange_provider_keeps_whole_events_only(serve, canned):
    data = b"data: {\"a\":1}\n\ndata: {\"a\":2}\n\ndata: {\"a\""
    provider = canned(programs.canned_sse(data, "close"), reset=True)
    server = serve(provider=provider.url)
    reply = server.post("m")
    assert reply.body == data[:30] and reply.end in ("cut", "reset")
    assert server.row(reply.header("tokenlog-stream-id"))["state"] == "failed"


@pytest.mark.parametrize("answer", [
    b"not http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
    programs.canned_sse(b"")[:-5] + b"zz\r\n",
    b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300000 + b"\r\n\r\n"],
    ids=["text", "short", "bad chunk", "nothing", "large head"])
def test_what_is_no_http(serve, canned, answer):
    server = serve(provider=canned(answer).url)
    reply = server.post("m")
    assert reply.end != "clean" or reply.status == 502
    assert server.row(reply.header("tokenlog-stream-id"))["state"] == "failed"


def test_errors_by_kind_are_counted(impatient, model):
    before = impatient.metrics()
    impatient.post(model("events=4", "fault=reset@2"))
    after = impatient.metrics()
    changed = {name for name in after if name.startswith("tokenlog_upstream_errors_total")
               and after[name] > before.get(name, 0)}
    assert len(changed) == 1
