"""Replicate, which answers a request by the place of its answer, and Cog containers, which answer it."""

import json
import urllib.parse

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


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A provider whose answers each test sets, and a server in front of it."""
    far = programs.Canned(b"")
    server = programs.Server(tmp_path_factory.mktemp("pair"), None, "--provider", f"replicate={far.url}",
                             "--provider", f"cog={far.url}",
                             extra_environment={"REPLICATE_API_TOKEN": "r8_secret"})
    yield server, far
    far.close()
    server.stop()
    server.check_log()


@pytest.fixture
def start(pair):
    def answered(*answers):
        far = pair[1]
        far.requests.clear()
        far.answers = list(answers)
        return pair

    return answered


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
def test_a_stream_is_read_at_its_place(start, caller):
    server, far = start()
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
def test_an_answer_is_asked_for_until_it_is_there(start, caller):
    server, far = start()
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


def test_an_answer_that_never_comes(serve, canned):
    far = canned(b"")
    far.answers = [prediction(far.url, "starting", False)]
    server = serve("--provider", f"replicate={far.url}", "--first-byte-timeout-ms", "800",
                   provider=None, extra_environment={"REPLICATE_API_TOKEN": "r8_secret"})
    reply = ask(server, "openai_chat", stream=False)
    wire.assert_error(reply, 504)
    assert len(far.requests) > 1 and row_of(server, reply)["state"] == "failed"


def test_an_answer_that_is_there_at_once(start):
    server, far = start()
    far.answers = [prediction(far.url, "succeeded", output="all of it")]
    assert ask(server, "openai_chat", stream=False).json()["choices"][0]["message"]["content"] == "all of it"
    assert len(far.requests) == 1


def test_a_model_that_cannot_stream(start):
    """What comes whole is told as a stream."""
    server, far = start()
    far.answers = [prediction(far.url, "starting", False),
                   prediction(far.url, "succeeded", False, output=OUTPUTS, metrics=METRICS)]
    reply = ask(server, "anthropic")
    said = dialects.read("anthropic", bytes(reply.body))
    assert (reply.end, said["text"], said["usage"][1]) == ("clean", "".join(OUTPUTS), 5)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_place_that_fails_is_asked_again(start, stream):
    """The answer is paid for."""
    server, far = start()
    busy = programs.canned_json(b'{"detail":"Busy."}', "503 Service Unavailable")
    last = programs.canned_sse(STREAM) if stream else prediction(
        far.url, "succeeded", output=OUTPUTS, metrics=METRICS)
    far.answers = [prediction(far.url, "starting"), b"", busy, last]
    reply = ask(server, "anthropic", stream=stream)
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    assert wire.assert_exact(bytes(reply.body), 5)
    lines = [line for line, _ in sent(far)]
    assert [line.split(" ")[0] for line in lines] == ["POST", "GET", "GET", "GET"]
    assert len(set(lines[1:])) == 1 and row_of(server, reply)["state"] == "completed"


def test_a_place_that_goes_on_failing(start):
    server, far = start()
    far.answers = [prediction(far.url, "starting"),
                   programs.canned_json(b'{"detail":"No such prediction."}', "404 Not Found")]
    reply = ask(server, "openai_chat")
    assert reply.status == 404 and len(far.requests) == 2


def test_an_answer_that_is_large(start):
    server, far = start()
    large = [f" g1t{i}" for i in range(50000)]
    for stream in (False, True):
        far.answers = [prediction(far.url, "starting", False),
                       prediction(far.url, "succeeded", False, output=large, metrics=METRICS)]
        far.requests.clear()
        reply = ask(server, "openai_chat", stream=stream)
        assert (reply.status, reply.end) == (200, "clean"), reply.body[:300]
        assert dialects.read("openai_chat", bytes(reply.body), stream)["text"] == "".join(large)
    far.answers = [prediction(far.url, "succeeded", output="x" * (9 << 20))]
    reply = ask(server, "openai_chat", stream=False)
    assert reply.status == 502 and "too large" in reply.json()["error"]["message"]


@pytest.mark.parametrize("place", ["http://127.0.0.2:9/stream", "https://stream.replicate.com/p1",
                                   "http://{own}@127.0.0.2/", "ftp://{own}/p1", "/stream/p1"])
def test_the_key_goes_nowhere_else(start, place):
    server, far = start()
    url = place.format(own=far.url.partition("//")[2])
    body = {"id": "p1", "status": "starting", "urls": {"stream": url}}
    far.answers = [programs.canned_json(json.dumps(body).encode(), "201 Created")]
    reply = ask(server, "openai_chat")
    assert reply.status == 502 and len(far.requests) == 1
    assert "not its own" in reply.json()["error"]["message"]


@pytest.mark.parametrize("caller", ["openai_chat", "anthropic"])
def test_a_prediction_that_fails(start, caller):
    server, far = start()
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


def test_a_stream_that_breaks_off(start):
    server, far = start()
    far.answers = [prediction(far.url, "starting"), programs.canned_sse(OUTPUT)]
    reply = ask(server, "openai_chat")
    assert reply.end == "cut" and wire.tokens(reply.body)[1] == list(range(5))
    assert row_of(server, reply)["reason"] == "upstream_truncated"


@pytest.mark.parametrize("is_own", [True, False])
def test_a_stop_while_it_is_waited_for(serve, canned, is_own):
    """The provider is told, at its own place."""
    far, stranger = canned(b""), canned(b"")
    place = f"{(far if is_own else stranger).url}/cancel/p1"
    far.answers = [prediction(far.url, "starting", urls={"get": f"{far.url}/p1", "cancel": place})]
    server = serve("--provider", f"replicate={far.url}",
                   extra_environment={"REPLICATE_API_TOKEN": "r8_secret"})
    one = server.wire()
    one.ask("POST", "/v1/chat/completions", {"model": "replicate/a/b", "messages": [
        {"role": "user", "content": "Hello?"}]}, {"Idempotency-Key": "stopped"})
    programs.eventually(lambda: len(far.requests) >= 2)
    stream_id = server.rows("?idempotency_key=stopped")[0]["id"]
    assert server.call("POST", f"/v1/streams/{stream_id}/stop").status == 200
    assert server.row_when(stream_id, "stopped")
    one.close()

    def cancels():
        return [fields for line, fields in sent(far) if line == "POST /cancel/p1 HTTP/1.1"]

    if is_own:
        (fields,) = programs.eventually(cancels)
        assert fields["authorization"] == "Bearer r8_secret" and "prefer" not in fields
    else:
        server.stop()
        assert cancels() == [] and stranger.requests == []


# ---- Cog ----


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@CALLERS
def test_a_cog_container(start, caller, stream):
    done = {"id": "p1", "status": "succeeded", "output": OUTPUTS, "metrics": METRICS}
    events = b'event: start\ndata: {"id":"p1","status":"processing"}\n\n' + b"".join(
        b'event: output\ndata: {"chunk":"%s","index":%d}\n\n' % (text.encode(), index)
        for index, text in enumerate(OUTPUTS)) + b"event: completed\ndata: %s\n\n" % json.dumps(done).encode()
    server, far = start(programs.canned_sse(events) if stream
                        else programs.canned_json(json.dumps(done).encode()))
    reply = ask(server, caller, "any", stream, "cog")
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    said = dialects.read(caller, bytes(reply.body), stream)
    assert (said["text"], said["finish"], said["usage"]) == ("".join(OUTPUTS), "stop", (7, 5))
    head, body = far.requests[0]
    assert head.startswith("POST /predictions HTTP/1.1")
    assert json.loads(body)["input"]["prompt"] == "Hello?"
    assert ("text/event-stream" in head) == stream


def test_a_cog_container_that_cannot_stream(start):
    server, _ = start(programs.canned_json(b'{"status":"succeeded","output":"all of it"}'))
    reply = ask(server, "openai_chat", "any", provider="cog")
    said = dialects.read("openai_chat", bytes(reply.body))
    assert (reply.end, said["text"], said["finish"]) == ("clean", "all of it", "stop")


def test_a_native_stream_of_a_cog_container(start):
    events = b'event: start\ndata: {"id":"p1"}\n\nevent: completed\ndata: {"status":"succeeded"}\n\n'
    server, _ = start(programs.canned_sse(events))
    reply = server.call("POST", "/cog/predictions", {"input": {"prompt": "hi"}})
    assert (reply.end, bytes(reply.body)) == ("clean", events)
    row = row_of(server, reply)
    assert (row["state"], row["dialect"], row["finish_reason"]) == ("completed", "cog", "succeeded")


# ---- against the mock, by config alone ----

KEY = "r8_mock"
# A container is one model: what it does is in its address.
CONTAINERS = ["events=7", "status=402"] + [f"events=9,fault={fault}" for fault in (
    "error@3", "end@3", "truncate@3", "first_error", "end@0", "reset@2")]
STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
PROVIDERS = pytest.mark.parametrize("provider", ["replicate", "cog"])


def config(url):
    places = [("replicate", url)] + [
        (f"cog{index}", f"{url}/{urllib.parse.quote(f'mock,{container}', safe='')}")
        for index, container in enumerate(CONTAINERS)]
    return "providers:\n" + "".join(
        f"  - {{name: {name}, dialect: {name.rstrip('0123456789')}, base_url: '{place}', key: {KEY}}}\n"
        for name, place in places)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    """A mock that answers nobody without the key."""
    mock = programs.Mock(tmp_path_factory.mktemp("keeper") / "mock.log", "--require-key", KEY)
    yield mock
    mock.terminate()
    assert not programs.REPORT.search(mock.log()), mock.log()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, keeper):
    folder = tmp_path_factory.mktemp("predictions")
    path = folder / "config.yaml"
    path.write_text(config(keeper.url))
    server = programs.Server(folder, None, "--config", str(path))
    yield server
    server.stop()
    server.check_log()


def predict(server, model, caller, provider, setting, stream=True):
    """The reply, and the name under which the mock counts it."""
    if provider == "cog":
        provider, name = f"cog{CONTAINERS.index(setting)}", f"mock,{setting}"
        return ask(server, caller, "any", stream, provider), name
    name = f"meta/{model(setting, 'poll=1')}"
    return ask(server, caller, name, stream, provider), name


@CALLERS
@PROVIDERS
@STREAMS
def test_an_answer_says_the_same(gateway, keeper, model, caller, provider, stream):
    before = keeper.of("mock,events=7")["generations"] if provider == "cog" else 0
    reply, name = predict(gateway, model, caller, provider, "events=7", stream)
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    is_counted = provider == "cog" or not stream  # Replicate's events say no usage
    if is_counted or caller != "openai_responses":
        said = dialects.read(caller, bytes(reply.body), stream)
        assert wire.assert_exact(said["text"].encode(), 7) and said["finish"] == "stop"
        assert not is_counted or said["usage"][1] == 7
    row = row_of(gateway, reply)
    assert (row["state"], row["dialect"], row["provider_dialect"]) == ("completed", caller, provider)
    assert gateway.raw(row["id"]) == bytes(reply.body)
    assert keeper.of(name)["generations"] == before + 1


@PROVIDERS
@pytest.mark.parametrize("fault, tokens, reason", [
    ("error@3", 3, "provider_error"), ("end@3", 3, "upstream_truncated"),
    ("truncate@3", 3, "upstream_reset"), ("first_error", 0, "provider_error"),
    ("end@0", 0, "upstream_truncated"), ("reset@2", 2, "upstream_reset")])
def test_a_stream_that_dies(gateway, model, provider, fault, tokens, reason):
    reply, _ = predict(gateway, model, "openai_chat", provider, f"events=9,fault={fault}")
    assert (reply.status, reply.end) == (200, "cut"), reply.body
    assert wire.tokens(reply.body)[1] == list(range(tokens))
    row = row_of(gateway, reply)
    assert (row["state"], row["reason"]) == ("failed", reason)


@PROVIDERS
@pytest.mark.parametrize("setting, status, said", [
    ("events=9,fault=error@3", 500, "The mock was asked to fail here."),
    ("status=402", 402, "The mock was asked to fail.")])
def test_an_answer_that_fails(gateway, model, provider, setting, status, said):
    reply, _ = predict(gateway, model, "anthropic", provider, setting, stream=False)
    assert (reply.status, reply.json()["error"]["message"]) == (status, said)


def test_an_answer_that_breaks_off(gateway, model):
    reply, _ = predict(gateway, model, "openai_chat", "cog", "events=9,fault=reset@2", False)
    assert reply.status == 502 and row_of(gateway, reply)["reason"] == "upstream_reset"


def test_native_calls_are_byte_exact(gateway, keeper, model):
    name = model("events=7", "poll=1")
    body = b'{ "input" : {"prompt": "hi"} }'
    made = gateway.call("POST", f"/replicate/v1/models/meta/{urllib.parse.quote(name)}/predictions", body)
    assert made.status == 201 and keeper.last()["body"].encode() == body
    place = f"/v1/predictions/{made.json()['id']}"
    assert made.json()["urls"]["get"] == keeper.url + place  # as the provider said it
    stream = gateway.call("GET", f"/replicate{place}/stream", headers={"Accept": "text/event-stream"})
    direct = wire.call(keeper.place, "GET", f"{place}/stream", headers={"Authorization": f"Bearer {KEY}"})
    assert stream.end == "clean" and bytes(stream.body) == bytes(direct.body)
    states = [gateway.call("GET", f"/replicate{place}").json()["status"] for _ in range(2)]
    assert states == ["processing", "succeeded"]
    assert keeper.of(f"meta/{name}")["generations"] == 1


@pytest.mark.parametrize("how, status", [("wait", 200), ("respond-async", 202)])
def test_native_calls_of_a_cog_container(gateway, keeper, how, status):
    reply = gateway.call("POST", "/cog0/predictions", b'{"input":{}}', {"Prefer": how})
    assert reply.status == status and keeper.last()["headers"]["prefer"] == how
    assert reply.json()["status"] == ("starting" if status == 202 else "succeeded")
    assert row_of(gateway, reply)["state"] == "completed"
