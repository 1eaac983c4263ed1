"""Providers whose streams are no SSE: Ollama's lines of JSON, Bedrock's binary messages. Chats of all callers
are translated; calls on their native paths are passed on byte for byte, and recorded frame by frame.
"""

import base64
import struct

import pytest

import dialects
import programs
import wire

CALLERS = pytest.mark.parametrize("caller", dialects.CHATS)
STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
PROVIDERS = pytest.mark.parametrize("provider", ["ollama", "bedrock"])

CONFIG = """
providers:
  - name: ollama
    base_url: {url}
    dialect: ollama
  - name: bedrock
    type: aws-bedrock
    base_url: {url}
    key: AKIDEXAMPLE:secret
    options: {{region: eu-west-1}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("framings")
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(url=mock.url))
    server = programs.Server(folder, None, "--config", str(path))
    yield server
    server.stop()
    server.check_log()


def ask(server, caller, provider, model, stream=True, **members):
    body = dialects.body(caller, f"{provider}/{model}", stream, **members)
    return server.call("POST", dialects.PATHS[caller], body)


def row_of(server, reply):
    return server.row(reply.header("tokenlog-stream-id"))


def place(provider, model, stream):
    if provider == "ollama":
        return "/api/chat"
    name = model.replace(",", "%2C").replace("=", "%3D")
    return f"/model/{name}/converse" + ("-stream" if stream else "")


# ---- translated ----


@CALLERS
@PROVIDERS
@STREAMS
@pytest.mark.parametrize("tool", [(), ("tool=1",)], ids=["text", "tool"])
def test_an_answer_says_the_same(gateway, mock, model, caller, provider, stream, tool):
    name = model("events=7", *tool)
    reply = ask(gateway, caller, provider, name, stream)
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    last = mock.last()
    assert last["path"].lower() == place(provider, name, stream).lower()
    said = dialects.read(caller, bytes(reply.body), stream)
    assert wire.assert_exact(said["text"].encode(), 7)
    generation, _ = wire.tokens(said["text"].encode())
    wanted = {"generation": generation, "place": 'Hütte "2"'}
    assert said["calls"] == ([("look_up", wanted)] if tool else [])
    assert said["finish"] == ("tool_calls" if tool else "stop")
    assert said["usage"] == (len(last["body"].encode()) // 4, 7)
    row = row_of(gateway, reply)
    assert (row["state"], row["dialect"], row["provider_dialect"]) == ("completed", caller, provider)
    assert row["usage"]["output_tokens"] == 7
    assert row["content_type"] == ("text/event-stream" if stream else "application/json")
    assert gateway.raw(row["id"]) == bytes(reply.body)


@CALLERS
@PROVIDERS
def test_an_error_status(gateway, model, caller, provider):
    reply = ask(gateway, caller, provider, model("status=429", "retry_after=7"))
    assert (reply.status, reply.header("retry-after")) == (429, "7")
    assert reply.json()["error"]["message"] == "The mock was asked to fail."
    assert row_of(gateway, reply)["reason"] == "upstream_status"


@CALLERS
@PROVIDERS
@pytest.mark.parametrize("fault, tokens, reason", [
    ("error@3", 3, "provider_error"), ("end@3", 3, "upstream_truncated"),
    ("truncate@3", 3, "upstream_reset"), ("first_error", 0, "provider_error"),
    ("end@0", 0, "upstream_truncated")])
def test_a_stream_that_breaks_off(gateway, model, caller, provider, fault, tokens, reason):
    reply = ask(gateway, caller, provider, model("events=9", f"fault={fault}"))
    assert reply.status == 200 and reply.end == "cut", (reply.status, reply.end)
    assert wire.tokens(reply.body)[1] == list(range(tokens))
    row = row_of(gateway, reply)
    assert (row["state"], row["reason"]) == ("failed", reason)


@PROVIDERS
def test_byte_by_byte(gateway, model, provider):
    reply = ask(gateway, "openai_chat", provider, model("events=9", "write=1", "tool=1"))
    assert reply.end == "clean" and wire.assert_exact(bytes(reply.body), 9)


def test_what_ollama_cannot_be_told(gateway, mock, model):
    before = mock.calls()
    reply = ask(gateway, "openai_chat", "ollama", model(), tool_choice="required")
    assert (reply.status, reply.json()["error"]["param"]) == (400, "tool_choice")
    assert mock.calls() == before


def test_ollama_itself_is_asked_in_openais_words_where_it_takes_them(serve, mock, model):
    """Unless the configuration says that it speaks its own alone, as above."""
    server = serve("--provider", f"ollama={mock.url}", provider=None)
    assert ask(server, "openai_chat", "ollama", model("events=2")).end == "clean"
    assert mock.last()["path"] == "/v1/chat/completions"
    assert ask(server, "anthropic", "ollama", model("events=2")).end == "clean"
    assert mock.last()["path"] == "/api/chat"


# ---- passed on ----


def native(server, provider, model, stream=True, headers=None, **members):
    if provider == "ollama":
        body = {"model": model, "messages": [], **({} if stream else {"stream": False}), **members}
        return server.call("POST", "/ollama/api/chat", body, headers)
    return server.call("POST", "/bedrock" + place(provider, model, stream),
                       {"messages": [], **members}, headers)


def count_frames(provider, data):
    if provider == "ollama":
        assert data.endswith(b"\n")
        return data.count(b"\n")
    count = 0
    while data:
        data = data[struct.unpack(">I", data[:4])[0]:]
        count += 1
    return count


@PROVIDERS
def test_a_native_stream_is_recorded_frame_by_frame(gateway, mock, model, provider):
    name = model("events=9", "tool=1")
    reply = native(gateway, provider, name)
    assert (reply.status, reply.end) == (200, "clean")
    assert reply.header("content-type") == {
        "ollama": "application/x-ndjson", "bedrock": "application/vnd.amazon.eventstream"}[provider]
    row = row_of(gateway, reply)
    assert (row["state"], row["dialect"]) == ("completed", provider)
    assert row["finish_reason"] == {"ollama": "stop", "bedrock": "tool_use"}[provider]
    assert row["usage"]["output_tokens"] == 9
    data = bytes(reply.body)
    assert gateway.raw(row["id"]) == data
    assert row["events"] == count_frames(provider, data)
    # Read again, each frame is an event of its own.
    numbered, end = wire.split_numbered(gateway.events(row["id"]).body)
    assert (len(numbered), end["state"]) == (row["events"], "completed")
    assert b"".join(base64.b64decode(event.split(b"data: ")[1]) for _, event in numbered) == data


@PROVIDERS
def test_a_native_answer_that_is_no_stream(gateway, model, provider):
    reply = native(gateway, provider, model("events=3"), stream=False)
    assert (reply.status, reply.end) == (200, "clean") and reply.json()
    row = row_of(gateway, reply)
    assert (row["state"], row["usage"]["output_tokens"]) == ("completed", 3)


@PROVIDERS
@pytest.mark.parametrize("fault, reason", [
    ("error@3", "provider_error"), ("end@3", "upstream_truncated"), ("truncate@3", "upstream_reset")])
def test_a_native_stream_that_breaks_off(gateway, model, provider, fault, reason):
    reply = native(gateway, provider, model("events=9", f"fault={fault}"))
    assert (reply.status, reply.end) == (200, "cut")
    row = row_of(gateway, reply)
    assert (row["state"], row["reason"]) == ("failed", reason)
    assert gateway.raw(row["id"]) == bytes(reply.body)


@PROVIDERS
def test_a_part_of_a_native_stream_comes_again(gateway, mock, model, provider):
    name, key = model("events=9", "fault=reset@3"), {"Idempotency-Key": model()}
    first, again = (native(gateway, provider, name, headers=key) for _ in range(2))
    assert first.end == again.end == "cut" and bytes(first.body) == bytes(again.body)
    assert again.header("tokenlog-attached") == "finished" and mock.of(name)["requests"] == 1
    name, key = model("events=9"), {"Idempotency-Key": model()}
    first, again = (native(gateway, provider, name, headers=key) for _ in range(2))
    assert first.end == again.end == "clean" and bytes(first.body) == bytes(again.body)
    assert mock.of(name)["requests"] == 1


def test_other_streams_of_lines_end_where_http_ends_them(serve, canned):
    """A model being pulled: no line of it says done."""
    lines = b'{"status":"pulling manifest"}\n{"status":"success"}\n'
    head = (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
            % len(lines))
    server = serve("--provider", f"ollama={canned(head + lines).url}", provider=None)
    reply = server.call("POST", "/ollama/api/pull", {"model": "llama3.2"})
    assert (reply.status, reply.end, bytes(reply.body)) == (200, "clean", lines)
    row = row_of(server, reply)
    assert (row["state"], row["dialect"]) == ("completed", "opaque")


def test_a_stream_that_is_not_what_it_says(serve, canned):
    """What is no message has no end to be found; what came before is not lost."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\r\n"
    provider = canned(head + b'{"message": "this is JSON"}')
    server = serve("--provider", f"aws-bedrock={provider.url}", provider=None,
                   extra_environment={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
                                      "AWS_REGION": "eu-west-1"})
    reply = server.call("POST", "/aws-bedrock/model/m/converse-stream", {"messages": []})
    assert reply.end == "cut"
    assert row_of(server, reply)["reason"] == "upstream_malformed"
