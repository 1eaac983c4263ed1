"""Replicate, which answers a request by the place of its answer, and Cog containers, which answer it."""

import json

import pytest

import dialects
import programs
import wire

CALLERS = pytest.mark.parametrize("caller", dialects.CHATS)
OUTPUT = "".join(f"event: output\nid: 1:{i}\ndata:  g1t{i}\n\n" for i in range(5)).encode()
STREAM = OUTPUT + b"event: done\nid: 1:5\ndata: {}\n\n"
OUTPUTS = [f" g1t{i}" for i in range(5)]
METRICS = {"input_token_count": 7, "output_token_count": 5}


def prediction(url, status, stream=True, **members):
    places = {"get": f"{url}/v1/predictions/p1", "cancel": f"{url}/v1/predictions/p1/cancel"}
    if stream:
        places["stream"] = f"{url}/stream/p1"
    answer = {"id": "p1", "status": status, "output": None, "error": None, "urls": places, **members}
    return programs.canned_json(json.dumps(answer, indent=1).encode(), "201 Created")


def ask(server, caller, name="meta/llama", stream=True, provider="replicate", **members):
    body = dialects.body(caller, f"{provider}/{name}", stream, **members)
    del body["tools"]
    return server.call("POST", dialects.PATHS[caller], body)


def start(serve, canned, *flags):
    """A provider whose answers are set once its address is known."""
    far = canned(b"")
    server = serve("--provider", f"replicate={far.url}", *flags,
                   extra_environment={"REPLICATE_API_TOKEN": "r8_secret"})
    return server, far


def sent(far):
    """[(request line, fields)]"""
    found = []
    for head, _ in far.requests:
        first, *fields = head.split("\r\n")
        found.append((first, {name.lower(): value.strip() for name, value in
                              (field.split(":", 1) for field in fields)}))
    return found


def row_of(server, reply):
    return server.row(reply.header("tokenlog-stream-id"))


@CALLERS
def test_a_stream_is_read_at_its_place(serve, canned, caller):
    server, far = start(serve, canned)
    far.answers = [prediction(far.url, "starting"), programs.canned_sse(STREAM)]
    reply = ask(server, caller)
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    assert wire.assert_exact(bytes(reply.body).partition(b"output_text.done")[0], 5)
    if caller != "openai_responses":  # which must say its usage, or null
        assert dialects.read(caller, bytes(reply.body))["finish"] == "stop"
    (first, asked), (second, followed) = sent(far)
    assert first == "POST /v1/models/meta/llama/predictions HTTP/1.1"
    assert second == "GET /stream/p1 HTTP/1.1"
    assert followed["accept"] == "text/event-stream" and "content-type" not in followed
    assert asked["authorization"] == followed["authorization"] == "Bearer r8_secret"
    row = row_of(server, reply)
    assert (row["state"], row["provider_dialect"]) == ("completed", "replicate")
    assert server.raw(row["id"]) == bytes(reply.body)


@CALLERS
def test_an_answer_is_asked_for_until_it_is_there(serve, canned, caller):
    server, far = start(serve, canned)
    far.answers = [prediction(far.url, "starting"), prediction(far.url, "processing"),
                   prediction(far.url, "succeeded", output=OUTPUTS, metrics=METRICS)]
    reply = ask(server, caller, stream=False)
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    said = dialects.read(caller, bytes(reply.body), False)
    assert (said["text"], said["usage"]) == ("".join(OUTPUTS), (7, 5))
    lines = [line for line, _ in sent(far)]
    assert lines[1:] == ["GET /v1/predictions/p1 HTTP/1.1"] * 2
    assert sent(far)[0][1]["prefer"] == "wait"
    assert row_of(server, reply)["usage"]["output_tokens"] == 5


def test_an_answer_that_is_there_at_once(serve, canned):
    server, far = start(serve, canned)
    far.answers = [prediction(far.url, "succeeded", output="all of it")]
    assert ask(server, "openai_chat", stream=False).json()["choices"][0]["message"]["content"] == "all of it"
    assert len(far.requests) == 1


def test_a_model_that_cannot_stream(serve, canned):
    """What comes whole is told as a stream."""
    server, far = start(serve, canned)
    far.answers = [prediction(far.url, "starting", False),
                   prediction(far.url, "succeeded", False, output=OUTPUTS, metrics=METRICS)]
    reply = ask(server, "anthropic")
    said = dialects.read("anthropic", bytes(reply.body))
    assert (reply.end, said["text"], said["usage"][1]) == ("clean", "".join(OUTPUTS), 5)


@pytest.mark.parametrize("place", ["http://127.0.0.2:9/stream", "https://stream.replicate.com/p1",
                                   "http://{own}@127.0.0.2/", "ftp://{own}/p1", "/stream/p1"])
def test_the_key_goes_nowhere_else(serve, canned, place):
    server, far = start(serve, canned)
    url = place.format(own=far.url.partition("//")[2])
    body = {"id": "p1", "status": "starting", "urls": {"stream": url}}
    far.answers = [programs.canned_json(json.dumps(body).encode(), "201 Created")]
    reply = ask(server, "openai_chat")
    assert reply.status == 502 and len(far.requests) == 1
    assert "not its own" in reply.json()["error"]["message"]


@pytest.mark.parametrize("caller", ["openai_chat", "anthropic"])
def test_a_prediction_that_fails(serve, canned, caller):
    server, far = start(serve, canned)
    far.answers = [prediction(far.url, "starting"), programs.canned_sse(
        OUTPUT + b'event: error\ndata: Out of memory\n\nevent: done\ndata: {"reason":"error"}\n\n')]
    reply = ask(server, caller)
    assert (reply.status, reply.end) == (200, "cut") and b"Out of memory" in bytes(reply.body)
    assert wire.tokens(reply.body)[1] == list(range(5))
    assert row_of(server, reply)["reason"] == "provider_error"
    far.answers += [prediction(far.url, "failed", error="Out of memory")]
    failed = ask(server, caller, stream=False)
    assert failed.status == 500 and failed.json()["error"]["message"] == "Out of memory"
    far.answers += [programs.canned_json(b'{"title":"Unauthenticated","detail":"No key.","status":401}',
                                         "401 Unauthorized")]
    refused = ask(server, caller)
    assert refused.status == 401 and refused.json()["error"]["message"] == "No key."


def test_a_stream_that_breaks_off(serve, canned):
    server, far = start(serve, canned)
    far.answers = [prediction(far.url, "starting"), programs.canned_sse(OUTPUT)]
    reply = ask(server, "openai_chat")
    assert reply.end == "cut" and wire.tokens(reply.body)[1] == list(range(5))
    assert row_of(server, reply)["reason"] == "upstream_truncated"


def test_a_stop_while_it_is_waited_for(serve, canned):
    server, far = start(serve, canned)
    far.answers = [prediction(far.url, "starting")]
    one = server.wire()
    one.ask("POST", "/v1/chat/completions", {"model": "replicate/a/b", "messages": [
        {"role": "user", "content": "Hello?"}]}, {"Idempotency-Key": "stopped"})
    programs.eventually(lambda: len(far.requests) >= 2)
    stream_id = server.rows("?idempotency_key=stopped")[0]["id"]
    assert server.call("POST", f"/v1/streams/{stream_id}/stop").status == 200
    assert server.row_when(stream_id, "stopped")
    one.close()


# ---- Cog ----


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@CALLERS
def test_a_cog_container(serve, canned, caller, stream):
    done = {"id": "p1", "status": "succeeded", "output": OUTPUTS, "metrics": METRICS}
    events = b'event: start\ndata: {"id":"p1","status":"processing"}\n\n' + b"".join(
        b'event: output\ndata: {"chunk":"%s","index":%d}\n\n' % (text.encode(), index)
        for index, text in enumerate(OUTPUTS)) + b"event: completed\ndata: %s\n\n" % json.dumps(done).encode()
    far = canned(programs.canned_sse(events) if stream else programs.canned_json(json.dumps(done).encode()))
    server = serve("--provider", f"cog={far.url}")
    reply = ask(server, caller, "any", stream, "cog")
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    said = dialects.read(caller, bytes(reply.body), stream)
    assert (said["text"], said["finish"], said["usage"]) == ("".join(OUTPUTS), "stop", (7, 5))
    head, body = far.requests[0]
    assert head.startswith("POST /predictions HTTP/1.1")
    assert json.loads(body)["input"]["prompt"] == "Hello?"
    assert ("text/event-stream" in head) == stream


def test_a_cog_container_that_cannot_stream(serve, canned):
    done = programs.canned_json(b'{"status":"succeeded","output":"all of it"}')
    server = serve("--provider", f"cog={canned(done).url}")
    reply = ask(server, "openai_chat", "any", provider="cog")
    said = dialects.read("openai_chat", bytes(reply.body))
    assert (reply.end, said["text"], said["finish"]) == ("clean", "all of it", "stop")


def test_a_native_stream_of_a_cog_container(serve, canned):
    events = b'event: start\ndata: {"id":"p1"}\n\nevent: completed\ndata: {"status":"succeeded"}\n\n'
    server = serve("--provider", f"cog={canned(programs.canned_sse(events)).url}")
    reply = server.call("POST", "/cog/predictions", {"input": {"prompt": "hi"}})
    assert (reply.end, bytes(reply.body)) == ("clean", events)
    row = row_of(server, reply)
    assert (row["state"], row["dialect"], row["finish_reason"]) == ("completed", "cog", "succeeded")
