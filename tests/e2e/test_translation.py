"""Caller and provider speak different dialects: every pair, every way to end, and the recording."""

import json

import pytest

import dialects
import programs
import wire

PAIRS = pytest.mark.parametrize("caller, provider", dialects.PAIRS)
STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def config(folder, url, dialect_of=None):
    """A provider for each dialect, all at one address."""
    path = folder / "config.yaml"
    lines = [f"  - name: {dialect}\n    base_url: {url}\n    dialect: {dialect}\n"
             for dialect in dialect_of or dialects.CHATS]
    path.write_text("providers:\n" + "".join(lines))
    return "--config", str(path)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("translating")
    server = programs.Server(folder, None, *config(folder, mock.url))
    yield server
    server.stop()
    server.check_log()


def ask(server, caller, provider, model, stream=True, headers=None, **members):
    body = dialects.body(caller, f"{provider}/{model}", stream, **members)
    return server.call("POST", dialects.PATHS[caller], body, headers)


def row_of(server, reply):
    return server.row(reply.header("tokenlog-stream-id"))


def error_of(caller, reply):
    """(type, code or None, param, message), in the caller's shape."""
    body = reply.json()
    error = body["error"]
    assert (body.get("type") == "error") == (caller == "anthropic"), body
    return error["type"], error.get("code"), error.get("param"), error["message"]


# ---- answers ----


@PAIRS
@STREAMS
@pytest.mark.parametrize("tool", [(), ("tool=1",)], ids=["text", "tool"])
def test_an_answer_says_the_same(gateway, mock, model, caller, provider, stream, tool):
    name = model("events=7", *tool)
    reply = ask(gateway, caller, provider, name, stream)
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    last = mock.last()
    assert last["path"] == dialects.PATHS[provider]
    said = dialects.read(caller, bytes(reply.body), stream)
    assert wire.assert_exact(said["text"].encode(), 7)
    generation, _ = wire.tokens(said["text"].encode())
    wanted = {"generation": generation, "place": 'Hütte "2"'}
    assert said["calls"] == ([("look_up", wanted)] if tool else [])
    assert said["finish"] == ("tool_calls" if tool else "stop")
    assert said["usage"] == (len(last["body"].encode()) // 4, 7)
    row = row_of(gateway, reply)
    assert (row["state"], row["dialect"], row["provider_dialect"]) == (
        "completed", caller, provider)
    assert row["usage"]["output_tokens"] == 7
    assert row["content_type"] == ("text/event-stream" if stream else "application/json")
    assert reply.header("content-type") == row["content_type"]
    assert gateway.raw(row["id"]) == bytes(reply.body)


def test_translations_are_counted(gateway, model):
    def count():
        return gateway.metrics()["tokenlog_translated_total"]

    before = count()
    assert ask(gateway, "anthropic", "anthropic", model()).status == 200
    assert count() == before
    assert ask(gateway, "anthropic", "openai_chat", model()).status == 200
    assert count() == before + 1


@pytest.mark.parametrize("dialect", dialects.CHATS)
def test_the_same_dialect_is_passed_on(gateway, mock, model, dialect):
    name = model("events=3")
    body = json.dumps(dialects.body(dialect, f"{dialect}/{name}")).replace('"stream"', '  "stream"')
    reply = gateway.call("POST", dialects.PATHS[dialect], body.encode(),
                         {"Content-Type": "application/json"})
    row = row_of(gateway, reply)
    assert (row["dialect"], row["provider_dialect"]) == (dialect, dialect)
    assert mock.last()["body"] == body.replace(f"{dialect}/{name}", name)


def test_a_provider_that_speaks_several(serve, mock, model, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"providers:\n  - name: two\n    base_url: {mock.url}\n"
                    "    dialects: [openai_responses, anthropic]\n")
    server = serve("--config", str(path), provider=None)
    for caller, asked in (("openai_responses", "openai_responses"), ("anthropic", "anthropic"),
                          ("openai_chat", "openai_responses")):
        reply = ask(server, caller, "two", model("events=2"))
        assert reply.end == "clean" and mock.last()["path"] == dialects.PATHS[asked]
        assert row_of(server, reply)["provider_dialect"] == asked
    path.write_text(path.read_text().replace("anthropic", "opaque"))
    done = programs.subprocess.run([programs.TOKENLOG, "serve", "--config", str(path), "--data",
                                    str(tmp_path / "data")], capture_output=True, text=True)
    assert done.returncode and "dialects: opaque" in done.stderr


def test_what_the_catalogue_says_of_a_provider(serve, mock, model):
    server = serve("--provider", f"openai={mock.url}", "--provider", f"anthropic={mock.url}",
                   "--provider", f"mistral={mock.url}", provider=None)
    for caller, provider, asked in (
            ("openai_responses", "openai", "openai_responses"),
            ("anthropic", "openai", "openai_chat"), ("openai_chat", "anthropic", "anthropic"),
            ("openai_responses", "mistral", "openai_chat")):
        assert ask(server, caller, provider, model("events=2")).end == "clean"
        assert mock.last()["path"] == dialects.PATHS[asked]
    fields = mock.last()["headers"]
    assert "x-stainless-lang" not in fields
    # A limit that the model's catalogue entry names, where the caller gave none.
    ask(server, "openai_chat", "anthropic", "claude-opus-4-1")
    assert json.loads(mock.last()["body"])["max_tokens"] == 32000
    assert mock.last()["headers"]["anthropic-version"] == "2023-06-01"


def test_fields_of_one_dialect_stay_here(gateway, mock, model):
    ask(gateway, "openai_chat", "anthropic", model("events=1"), headers={
        "OpenAI-Organization": "org", "X-Stainless-Lang": "python", "X-Mine": "yes",
        "Accept": "text/event-stream", "anthropic-version": "1999"})
    fields = mock.last()["headers"]
    assert fields["x-mine"] == "yes" and fields["anthropic-version"] == "2023-06-01"
    assert not {"openai-organization", "x-stainless-lang"} & set(fields)


def test_usage_is_hidden_from_who_did_not_ask(gateway, model):
    reply = ask(gateway, "openai_chat", "anthropic", model("events=2"), stream_options=None)
    assert b'"usage"' not in bytes(reply.body) and reply.end == "clean"
    assert row_of(gateway, reply)["usage"]["output_tokens"] == 2
    numbered, end = wire.split_numbered(
        gateway.events(reply.header("tokenlog-stream-id")).body)
    assert end["events"] == len(numbered) == row_of(gateway, reply)["events"]


# ---- what cannot be said ----


@PAIRS
def test_a_refusal_names_the_field(gateway, mock, model, caller, provider):
    before = mock.calls()
    reply = ask(gateway, caller, provider, model(), no_such_member=1)
    kind, code, param, message = error_of(caller, reply)
    assert reply.status == 400 and kind == "invalid_request_error"
    assert "no_such_member" in (param or message)
    assert caller == "anthropic" or code == "untranslatable"
    assert mock.calls() == before
    assert not reply.header("tokenlog-stream-id")


def test_a_refusal_does_not_use_up_the_key(gateway, model):
    name, headers = model("events=2"), {"Idempotency-Key": model()}
    assert ask(gateway, "openai_chat", "anthropic", name, headers=headers, seed=1).status == 400
    assert ask(gateway, "openai_chat", "anthropic", name, headers=headers).status == 200


def test_what_is_left_out_is_said_again_by_a_replay(gateway, model):
    name, headers = model("events=2"), {"Idempotency-Key": model()}
    for stream in (True, False):
        headers = {"Idempotency-Key": model()}
        replies = [ask(gateway, "openai_chat", "anthropic", name, stream, headers,
                       metadata={"a": "b"}, store=True) for _ in range(2)]
        assert [reply.header("tokenlog-left-out") for reply in replies] == ["metadata, store"] * 2
        assert bytes(replies[0].body) == bytes(replies[1].body)
        assert replies[1].header("tokenlog-attached") == "finished"


# ---- errors ----


@PAIRS
@STREAMS
def test_an_error_status(gateway, model, caller, provider, stream):
    name = model("status=429", "retry_after=7")
    reply = ask(gateway, caller, provider, name, stream)
    kind, _, _, message = error_of(caller, reply)
    assert (reply.status, reply.header("retry-after")) == (429, "7")
    assert message == "The mock was asked to fail."
    if caller == "anthropic":
        assert kind == "rate_limit_error"
    row = row_of(gateway, reply)
    assert (row["state"], row["reason"], row["status"]) == ("failed", "upstream_status", 429)


def test_an_overloaded_provider(gateway, model):
    assert ask(gateway, "openai_chat", "anthropic", model("status=529")).status == 503
    assert ask(gateway, "anthropic", "openai_chat", model("status=529")).status == 529


@PAIRS
@pytest.mark.parametrize("fault", ["error@3", "first_error"])
def test_an_error_in_the_stream(gateway, model, caller, provider, fault):
    reply = ask(gateway, caller, provider, model("events=9", f"fault={fault}"))
    assert reply.status == 200 and reply.end != "clean"
    tokens = wire.tokens(reply.body)[1]
    assert tokens == list(range(3 if fault == "error@3" else 0))
    name, last = dialects.events(bytes(reply.body))[-1]
    said = "Overloaded" if provider == "anthropic" else "The mock was asked to fail here."
    assert said in json.dumps(last), last
    row = row_of(gateway, reply)
    assert (row["state"], row["reason"], row["detail"]) == ("failed", "provider_error", said)


@PAIRS
@pytest.mark.parametrize("fault", ["reset@4", "close@4", "end@4", "truncate@4"])
def test_a_provider_that_dies(gateway, model, caller, provider, fault):
    reply = ask(gateway, caller, provider, model("events=9", "rate=300", f"fault={fault}"))
    assert reply.status == 200 and reply.end != "clean"
    assert wire.tokens(reply.body)[1] == list(range(4))
    said = dialects.read(caller, bytes(reply.body))
    assert said["finish"] is None
    row = row_of(gateway, reply)
    assert row["state"] == "failed" and row["reason"].startswith("upstream_")
    assert gateway.raw(row["id"]) == bytes(reply.body)


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_a_provider_that_dies_in_a_body(gateway, model, fault):
    reply = ask(gateway, "openai_chat", "anthropic", model("events=9", f"fault={fault}"), False)
    assert error_of("openai_chat", reply)[1] == "upstream_reset" and reply.status == 502
    assert row_of(gateway, reply)["state"] == "failed"


@STREAMS
def test_an_answer_of_another_kind(serve, canned, tmp_path, stream):
    provider = canned([programs.canned_json(b"<html>"), programs.canned_json(b'{"id":1}'),
                       b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: x\r\n\r\nno"])
    server = serve(*config(tmp_path, provider.url), provider=None)
    for _ in range(3):
        reply = ask(server, "openai_chat", "anthropic", "any", stream)
        assert reply.status == 502 and reply.header("content-encoding") is None
        assert error_of("openai_chat", reply)[1] == "upstream_malformed"


def test_what_cannot_be_translated_ends_the_stream(serve, canned, tmp_path):
    start = ('event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":'
             '"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,'
             '"output_tokens":1}}}\n\n')
    block = ('event: content_block_start\ndata: {"type":"content_block_start","index":0,'
             '"content_block":{"type":"from_the_future"}}\n\n')
    stop = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    provider = canned(programs.canned_sse((start + block + stop).encode()))
    server = serve(*config(tmp_path, provider.url), provider=None)
    reply = ask(server, "openai_chat", "anthropic", "any")
    assert reply.end != "clean" and b"from_the_future" in bytes(reply.body)
    assert row_of(server, reply)["state"] == "failed"


# ---- the recording ----


@PAIRS
def test_a_resume_has_the_same_bytes(gateway, model, caller, provider):
    reply = ask(gateway, caller, provider, model("events=20", "tool=1"))
    row = row_of(gateway, reply)
    events, rest = wire.split_events(reply.body)
    assert rest == b"" and row["events"] == len(events)
    for start in (0, 1, 9, len(events) - 1, len(events)):
        numbered, end = wire.split_numbered(gateway.events(row["id"], f"?from={start}").body)
        assert [event for _, event in numbered] == events[start:]
        assert [number for number, _ in numbered] == list(range(start + 1, len(events) + 1))
        assert end["state"] == "completed"
    numbered, _ = wire.split_numbered(
        gateway.events(row["id"], headers={"Last-Event-ID": "5"}).body)
    assert [event for _, event in numbered] == events[5:]


@PAIRS
@STREAMS
def test_a_key_replays(gateway, mock, model, caller, provider, stream):
    name, headers = model("events=5"), {"Idempotency-Key": model()}
    first, second = (ask(gateway, caller, provider, name, stream, headers) for _ in range(2))
    assert bytes(first.body) == bytes(second.body) and second.end == "clean"
    assert first.header("content-type") == second.header("content-type")
    assert first.header("tokenlog-stream-id") == second.header("tokenlog-stream-id")
    assert mock.of(name)["requests"] == 1


@pytest.mark.parametrize("caller, provider", [("openai_chat", "anthropic"),
                                              ("anthropic", "openai_responses"),
                                              ("openai_responses", "openai_chat")])
def test_a_crash_in_the_middle(serve, mock, model, tmp_path, caller, provider):
    server = serve(*config(tmp_path, mock.url), provider=None)
    body = dialects.body(caller, f"{provider}/{model('events=400', 'rate=100')}")
    headers = {"Idempotency-Key": model()}
    with server.wire() as one:
        one.ask("POST", dialects.PATHS[caller], body, headers)
        seen = b"".join(one.read_events(30))
        stream_id = one.reader.header("tokenlog-stream-id")
        server.kill()
    server.start()
    row = server.row(stream_id)
    recorded = server.raw(stream_id)
    assert (row["state"], row["provider_dialect"]) == ("interrupted", provider)
    assert recorded.startswith(seen) and wire.split_events(recorded)[1] == b""
    tokens = wire.tokens(recorded)[1]
    assert tokens == list(range(len(tokens))) and len(tokens) > 20
    reply = server.call("POST", dialects.PATHS[caller], body, headers)
    assert bytes(reply.body) == recorded and reply.end != "clean"


@pytest.mark.parametrize("caller, provider", [("openai_chat", "openai_responses"),
                                              ("openai_responses", "anthropic")])
def test_a_slow_disk_loses_and_doubles_nothing(serve, mock, model, tmp_path, caller, provider):
    """Storage is full again and again, in the middle of what was made of one frame, too."""
    server = serve(*config(tmp_path, mock.url), "--test-commit-delay-ms", "30", provider=None)
    name = model("events=1000", "text=1000", "size=0", "burst=50", "tool=1")
    reply = ask(server, caller, provider, name)
    assert reply.end == "clean"
    said = dialects.read(caller, bytes(reply.body))
    assert wire.assert_exact(said["text"].encode(), 1000)
    assert said["finish"] == "tool_calls" and len(said["calls"]) == 1
    assert server.raw(reply.header("tokenlog-stream-id")) == bytes(reply.body)


@pytest.mark.parametrize("caller", ["openai_responses", "openai_chat"])
def test_an_event_that_storage_never_takes(serve, mock, model, tmp_path, caller):
    """The terminator of the Responses holds the whole text; an eighth of the ring is the most."""
    server = serve(*config(tmp_path, mock.url), "--test-commit-delay-ms", "1", provider=None)
    asked = model("events=50" if caller == "openai_responses" else "events=1",
                  "text=100000" if caller == "openai_responses" else "text=5000000", "size=0")
    reply = ask(server, caller, "anthropic", asked)
    assert reply.end != "clean"
    row = server.row_when(reply.header("tokenlog-stream-id"), "failed")
    assert row["reason"] == "event_too_large"
