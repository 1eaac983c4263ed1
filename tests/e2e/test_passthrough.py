"""The caller gets the provider's bytes, and every later reader the same ones."""

import itertools
import json
import re

import pytest

import programs
import wire

GOLDEN = programs.ROOT / "tests/golden"
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "opaque": "/v1/embeddings",
}
STREAMS = sorted(path.relative_to(GOLDEN) for path in GOLDEN.glob("*/*.sse"))
BODIES = sorted(path.relative_to(GOLDEN) for path in GOLDEN.glob("*/*.json"))
WANTS_USAGE = {"stream_options": {"include_usage": True}}


def path_of(golden):
    return "/v1/completions" if golden.name == "completions.sse" else PATHS[str(golden.parent)]


@pytest.fixture(scope="module")
def switchable(tmp_path_factory):
    """A server whose provider answers what the test puts into `provider.answers`."""
    provider = programs.Canned(b"")
    server = programs.Server(tmp_path_factory.mktemp("golden"), provider.url)
    server.canned = provider
    yield server
    server.stop()
    server.check_log()
    provider.close()


def answer(server, data, piece_bytes=1 << 20):
    server.canned.answers, server.canned.piece_bytes = [data], piece_bytes


@pytest.mark.parametrize("piece_bytes", [1 << 20, 7, 1])
@pytest.mark.parametrize("golden", STREAMS, ids=str)
def test_golden_stream(switchable, golden, piece_bytes):
    data = (GOLDEN / golden).read_bytes()
    answer(switchable, programs.canned_sse(data), piece_bytes)
    reply = switchable.post("m", path=path_of(golden), **WANTS_USAGE)
    assert reply.status == 200
    assert reply.header("content-type") == "text/event-stream"
    stream = reply.header("tokenlog-stream-id")
    row = switchable.row(stream)
    assert (reply.end == "clean") == (row["state"] == "completed"), row
    if golden.name == "cut_short.sse":
        assert row["state"] == "failed"
    events, rest = wire.split_events(data)
    if row["state"] == "completed":
        assert reply.body == data
    else:
        assert reply.body == b"".join(events)  # half an event is none
    assert switchable.raw(stream) == reply.body
    assert row["bytes"] == len(reply.body)
    assert row["events"] == len(events) + (rest != b"" and row["state"] == "completed")


@pytest.mark.parametrize("golden", BODIES, ids=str)
def test_golden_body(switchable, golden):
    data = (GOLDEN / golden).read_bytes()
    answer(switchable, programs.canned_json(data), 11)
    reply = switchable.post("m", path=path_of(golden), stream=False)
    assert (reply.status, reply.end) == (200, "clean")
    assert reply.body == data
    assert switchable.raw(reply.header("tokenlog-stream-id")) == data


def test_golden_stream_that_ends_with_its_connection(switchable):
    data = (GOLDEN / "openai_chat/text_usage.sse").read_bytes()
    answer(switchable, programs.canned_sse(data, "close"))
    reply = switchable.post("m", **WANTS_USAGE)
    assert (reply.body, reply.end) == (data, "clean")


def neutral(data):
    """Without what differs between two calls of the mock: numbers and times, digit by digit."""
    return re.sub(rb"\d+", lambda number: b"#" * len(number[0]), bytes(data))


def texts_of(body):
    """Without paddings too: a longer generation number makes them shorter."""
    paddings = re.compile(rb'"obfuscation":"[^"]*"|(?<! ) +(?=}?[\r\n])')
    return paddings.sub(b"", re.sub(rb"[\d.]+", b"#", bytes(body)))


TEXT_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
SETTINGS = ("size=300", "sse=crlf", "sse=cr", "sse=bom", "write=1", "burst=10", "frame=close",
            "size=5000", "text=200000")
WHOLE_SETTINGS = ("size=300", "write=1", "frame=close", "text=200000")


@pytest.mark.parametrize("path,stream,setting", [
    *itertools.product(TEXT_PATHS, [True], SETTINGS),
    *itertools.product(TEXT_PATHS, [False], WHOLE_SETTINGS),
    (PATHS["opaque"], False, "size=300")])
def test_same_as_the_mock(server, mock, model, path, stream, setting):
    name = model("events=12", setting)
    usage = WANTS_USAGE if stream else {}  # or it would be asked for on our behalf
    body = programs.ask(name, stream, input="x", prompt="x", max_tokens=99, **usage)
    direct = wire.call(mock.place, "POST", path, body)
    reply = server.call("POST", path, body)
    assert (reply.status, reply.end) == (200, "clean")
    assert reply.header("content-type") == direct.header("content-type")
    assert texts_of(reply.body) == texts_of(direct.body)
    assert wire.tokens(reply.body)[1] == wire.tokens(direct.body)[1]
    assert server.raw(reply.header("tokenlog-stream-id")) == reply.body


def test_head_has_id_and_url_before_the_first_event(server, model):
    with server.open(model("events=2", "rate=2")) as one:
        stream = one.reader.header("tokenlog-stream-id")
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", stream)
        assert one.reader.header("tokenlog-stream-url").endswith(f"/v1/streams/{stream}")
        assert one.finish().end == "clean"


def test_usage_is_recorded_and_hidden_from_those_who_did_not_ask(server, mock, model):
    hidden = server.post(model("events=9"))
    assert b'"usage":{' not in hidden.body
    assert wire.assert_exact(hidden.body, 9)
    row = server.row(hidden.header("tokenlog-stream-id"))
    assert row["usage"]["output_tokens"] == 9
    assert row["finish_reason"] == "stop"
    asked = server.post(model("events=9"), **WANTS_USAGE)
    assert b'"completion_tokens":9' in asked.body


def test_the_provider_gets_its_key_and_not_the_callers(serve, canned):
    provider = canned(programs.canned_json(b"{}"))
    server = serve(provider=provider.url, extra_environment={"MOCK_API_KEY": "sk-provider"})
    body = b'{ "model" : "m",\t"messages":[] , "odd": 1.50e3 }'
    server.call("POST", "/v1/chat/completions", body,
                {"Authorization": "Bearer sk-caller", "Cookie": "a=b", "X-Api-Key": "sk-caller"})
    head, sent = provider.requests[0]
    assert sent == body
    assert "Bearer sk-provider" in head
    assert "sk-caller" not in head and "a=b" not in head
    recorded = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
    assert b"sk-provider" not in recorded and b"sk-caller" not in recorded


def test_a_named_provider_is_chosen_by_the_models_prefix(serve, mock, canned):
    other = canned(programs.canned_json(b'{"other":1}'))
    server = serve("--provider", f"other={other.url}")
    assert server.post("other/m", stream=False).json() == {"other": 1}
    assert json.loads(other.requests[0][1])["model"] == "m"
    wire.assert_exact(server.post("mock,events=3", stream=True).body, 3)


@pytest.mark.parametrize("path", ["/v1/assistants", "/v1/threads/t/runs", "/v1/filesystem",
                                  "/v1/organization/usage", "/v1/chat/completions/x", "/v1"])
def test_what_is_no_inference_call_is_not_passed_on(server, path):
    wire.assert_error(server.call("POST", path, {"model": "mock"}), 404)


def test_bodies_of_errors_pass_too(server, mock, model):
    name = model("status=429", "retry_after=7")
    direct = wire.call(mock.place, "POST", "/v1/chat/completions", programs.ask(name))
    reply = server.post(name)
    assert (reply.status, reply.header("retry-after")) == (429, "7")
    assert neutral(reply.body) == neutral(direct.body)
    assert reply.header("tokenlog-stream-id")


def test_large_request_body_arrives_whole(server, mock):
    text = "x" * 3_000_000
    reply = server.post("mock,events=2", stream=True, messages=[{"role": "user", "content": text}])
    wire.assert_exact(reply.body, 2)
    assert json.loads(mock.last()["body"])["messages"][0]["content"] == text
