"""Cloudflare's AI Gateway: its paths, its header fields, universal calls, and runs that go on."""

import datetime
import hashlib
import uuid

import pytest

import programs
import wire

ACCOUNT = "0123456789abcdef0123456789abcdef"
GATEWAY = f"/v1/{ACCOUNT}/gw"
API = f"/client/v4/accounts/{ACCOUNT}"
KEYS = {"OPENAI_API_KEY": "sk-test", "ANTHROPIC_API_KEY": "sk-test"}


@pytest.fixture
def gateway(serve, mock):
    return serve("--provider", f"openai={mock.url}", "--provider", f"anthropic={mock.url}",
                 provider=None, extra_environment=KEYS)


def run_id(stream_id):
    number = uuid.UUID(stream_id).bytes
    return number.hex() + hashlib.sha256(b"cf-aig-run-id" + number).hexdigest()[:32]


def resume(server, run, seen, headers=None):
    return server.call("GET", f"/ai-gateway/gateways/gw/run/{run}/resume?from={seen}",
                       headers=headers)


def entry(model, **more):
    return {"provider": "openai", "endpoint": "v1/chat/completions", "headers": {},
            "query": programs.ask(model)} | more


def calls(model):
    """(path, body, headers) of every way to ask for a stream."""
    chat = programs.ask(model)
    named = programs.ask(f"openai/{model}")
    inputs = {name: value for name, value in chat.items() if name != "model"}
    run = {"inputs": inputs, "options": {"gateway": {"id": "gw"}, "returnRawResponse": True}}
    binding = {"cf-consn-model-id": f"openai/{model}", "cf-consn-sdk-version": "2.0.0"}
    messages = programs.ask(f"anthropic/{model}", max_tokens=100)
    return [
        ("/ai-gateway/run?version=3", run, binding),
        ("/run?version=3", run, binding),
        (f"{API}/ai-gateway/run", run, binding),
        ("/ai-gateway/universal/run/gw", [entry(model)], None),
        (GATEWAY, [entry(model)], None),
        (f"{GATEWAY}/", [entry(model, endpoint="chat/completions")], None),
        ("/v1/account/gw", [entry(model, provider="compat", endpoint="chat/completions",
                                  query=named)], None),
        (f"{GATEWAY}/run", {"model": f"openai/{model}", "input": inputs}, None),
        (f"{GATEWAY}/openai/chat/completions", chat, None),
        (f"{GATEWAY}/openai/v1/chat/completions", chat, None),
        ("/v1/account/gw/openai/chat/completions", chat, None),
        (f"{GATEWAY}/anthropic/v1/messages", programs.ask(model, max_tokens=100), None),
        (f"{GATEWAY}/compat/chat/completions", named, None),
        (f"{GATEWAY}/compat/messages", messages, None),
        (f"{API}/ai/run", {"model": f"openai/{model}", "input": inputs}, None),
        (f"{API}/ai/v1/chat/completions", named, None),
        (f"{API}/ai/v1/responses", named, None),
        ("/ai/v1/messages", messages, None),
        (f"/ai/run/anthropic/{model}", inputs | {"max_tokens": 100}, None),
    ]


def test_every_path_answers_a_stream_that_can_be_resumed(gateway, model):
    for index in range(len(calls(""))):
        path, body, headers = calls(model("events=6"))[index]
        reply = gateway.call("POST", path, body, headers)
        assert (reply.status, reply.end) == (200, "clean"), (path, reply.body)
        assert reply.header("cf-aig-run-id") == run_id(reply.header("tokenlog-stream-id")), path
        assert reply.header("cf-aig-cache-status") == "BYPASS"
        assert reply.header("cf-aig-log-id") == reply.header("tokenlog-stream-id")
        assert reply.header("cf-aig-provider") in ("openai", "anthropic")
        assert (reply.header("cf-aig-step") == "0") == isinstance(body, list), path
        assert wire.tokens(reply.body)[1][:6] == list(range(6))
        events = wire.split_events(reply.body)[0]
        for seen in (0, 3, len(events), len(events) + 1, 999999):
            again = resume(gateway, reply.header("cf-aig-run-id"), seen)
            assert (again.status, again.end) == (200, "clean")
            assert bytes(again.body) == b"".join(events[seen:]), (path, seen)


def test_a_run_that_is_cut_off_goes_on_live(gateway, mock, model):
    name = model("events=60", "rate=60")
    path, body, headers = calls(name)[0]
    one = gateway.wire()
    one.ask("POST", path, body, headers)
    run = one.head().header("cf-aig-run-id")
    first = one.read_events(10)
    one.abort()
    second = resume(gateway, run, 10)  # while the generation goes on, to its end
    assert second.end == "clean"
    assert wire.assert_exact(b"".join(first) + second.body, 60)
    assert mock.of(name)["generations"] == 1


def test_offsets_beyond_what_is_there_wait_for_it(gateway, model):
    path, body, headers = calls(model("events=30", "rate=60"))[0]
    with gateway.wire() as one:
        one.ask("POST", path, body, headers)
        run = one.head().header("cf-aig-run-id")
        late = resume(gateway, run, 20)
        whole = one.finish()
    assert bytes(late.body) == b"".join(wire.split_events(whole.body)[0][20:])


def test_what_the_client_counts_is_what_is_skipped(serve, canned):
    """Comments, CRLF and blank lines: the index is of "\\n\\n" in the bytes, not of our events."""
    sse = (b": hello\n\ndata: 1\r\n\r\ndata: 2\n\n\ndata: 3\n\n\n\n: ping\ndata: 4\n\n"
           b"data: [DONE]\n\n")
    provider = canned(programs.canned_sse(sse), piece_bytes=7)
    server = serve("--provider", f"openai={provider.url}", provider=None, extra_environment=KEYS)
    reply = server.call("POST", f"{GATEWAY}/openai/chat/completions", programs.ask("m"))
    assert bytes(reply.body) == sse
    place, seen = 0, 0
    while place >= 0:
        again = resume(server, reply.header("cf-aig-run-id"), seen)
        assert bytes(again.body) == sse[place:], seen
        seen += 1
        place = sse.find(b"\n\n", place)
        place = place + 2 if place >= 0 else -1


def test_a_broken_run_never_ends_cleanly(gateway, model):
    path, body, headers = calls(model("events=20", "fault=reset@8"))[0]
    reply = gateway.call("POST", path, body, headers)
    assert reply.end != "clean"
    for seen in (0, 5, 999):
        again = resume(gateway, reply.header("cf-aig-run-id"), seen)
        assert again.status == 200 and again.end != "clean"


def test_runs_that_cannot_be_resumed(gateway, model):
    path, body, headers = calls(model("events=3"))[0]
    reply = gateway.call("POST", path, body, headers)
    run, stream = reply.header("cf-aig-run-id"), reply.header("tokenlog-stream-id")
    unknown = resume(gateway, run_id("01890a5d-ac96-774b-bcce-b302099a8057"), 0)
    assert unknown.status == 404 and unknown.json() == {"error": "Request not found"}
    for malformed in ("0" * 64, run[:-1], run + "0", run.upper(), run[:32] + "0" * 32, "%20",
                      stream):
        reply = resume(gateway, malformed, 0)
        assert reply.status == 500 and reply.json()["errors"][0]["code"] == 2002, malformed
    path = f"/client/v4/accounts/any/ai-gateway/gateways/gw/run/{'0' * 64}/resume"
    assert gateway.call("GET", path).json()["errors"][0]["code"] == 2002
    for offset in ("-1", "", "1.0", "x", "1&from=1", "99999999999999999999"):
        reply = resume(gateway, run, offset)
        assert (reply.status, reply.json()["errors"][0]["name"]) == (400, "invalid_offset"), offset
    assert gateway.call("GET", f"/ai-gateway/gateways/gw/run/{run}/resume").status == 200
    assert gateway.call("POST", f"/ai-gateway/gateways/gw/run/{run}/resume").status == 405
    assert gateway.call("DELETE", f"/v1/streams/{stream}").status == 204
    gone = resume(gateway, run, 0)
    assert gone.status == 404 and gone.json() == {"error": "Request not found"}


def test_the_fields(gateway, model):
    path, body, headers = calls(model("events=2"))[0]
    body["options"]["gateway"] |= {"metadata": {"team": "red", "n": 1}, "eventId": "event-1",
                                   "skipCache": True, "collectLog": False, "cacheTtl": 60}
    reply = gateway.call("POST", path, body, headers)
    row = gateway.row(reply.header("tokenlog-stream-id"))
    assert (reply.header("cf-aig-event-id"), row["metadata"]) == ("event-1", {"team": "red", "n": 1})
    row = gateway.row_when(row["id"], "completed")
    kept = (datetime.datetime.fromisoformat(row[name].rstrip("Z"))
            for name in ("expires_at", "ended_at"))
    assert round(next(kept).timestamp() - next(kept).timestamp()) == 330
    reply = gateway.call("POST", GATEWAY, [entry(model("events=2"), headers={
        "cf-aig-metadata": '{"inner": true}', "cf-aig-event-id": "inner"})],
        {"cf-aig-metadata": '{"outer": true}', "cf-aig-event-id": "outer"})
    assert reply.header("cf-aig-event-id") == "inner"
    assert gateway.row(reply.header("tokenlog-stream-id"))["metadata"] == {"inner": True}


def test_retries(gateway, mock, model):
    """One run, one stream; Cloudflare has no run ID where it retries."""
    retries = {"maxAttempts": 3, "retryDelayMs": 10, "backoff": "constant"}
    name = model("events=5", "fail=2")
    path, body, headers = calls(name)[0]
    body["options"]["gateway"] |= {"retries": retries}
    reply = gateway.call("POST", path, body, headers)
    assert reply.status == 200 and mock.of(name)["requests"] == 3
    wire.assert_exact(reply.body, 5)
    assert resume(gateway, reply.header("cf-aig-run-id"), 0).body == reply.body
    name = model("events=5", "fail=2")
    reply = gateway.call("POST", f"{API}/ai/v1/chat/completions", programs.ask(f"openai/{name}"),
                         {"cf-aig-max-attempts": "2", "cf-aig-retry-delay": "10"})
    assert reply.status == 500 and mock.of(name)["requests"] == 2
    name = model("events=5", "fail=1")
    reply = gateway.call("POST", f"{GATEWAY}/openai/chat/completions", programs.ask(name),
                         {"cf-aig-max-attempts": "2", "cf-aig-retry-delay": "10"})
    wire.assert_exact(reply.body, 5)
    assert mock.of(name)["requests"] == 2


@pytest.mark.parametrize("field", [
    ("cf-aig-max-attempts", "6"), ("cf-aig-max-attempts", "0"), ("cf-aig-retry-delay", "-1"),
    ("cf-aig-backoff", "random"), ("cf-aig-request-timeout", "1s"), ("cf-aig-skip-cache", "yes"),
    ("cf-aig-cache-ttl", "x"), ("cf-aig-metadata", "[1]")])
def test_bad_fields(gateway, model, field):
    reply = gateway.call("POST", f"{GATEWAY}/openai/chat/completions", programs.ask(model()),
                         dict([field]))
    wire.assert_error(reply, 400)


def test_provider_gets_no_field_of_these(gateway, mock, model):
    reply = gateway.call("POST", "/ai-gateway/universal/run/gw", [entry(model("events=2"), headers={
        "authorization": "Bearer callers", "x-mine": "yes", "cf-aig-metadata": "{}"})])
    assert reply.status == 200
    sent = {name.lower(): value for name, value in mock.last()["headers"].items()}
    assert sent["x-mine"] == "yes" and sent["authorization"] == "Bearer sk-test"
    assert not [name for name in sent if name.startswith("cf-")]


def test_fallbacks(gateway, mock, model):
    """Whatever goes wrong before the first byte: the next one is asked, and the answer says which."""
    broken = model("status=500")
    good = model("events=4")
    reply = gateway.call("POST", GATEWAY, [
        entry("x", provider="nobody"), entry("x", endpoint="../x"), entry(broken),
        entry("x", provider="compat", endpoint="threads"), entry(good)])
    assert (reply.status, reply.header("cf-aig-step")) == (200, "4")
    wire.assert_exact(reply.body, 4)
    assert mock.of(broken)["requests"] == 1
    states = {row["model"]: row["state"] for row in gateway.rows()}
    assert (states[broken], states[good]) == ("failed", "completed")
    again = resume(gateway, reply.header("cf-aig-run-id"), 2)
    assert bytes(again.body) == b"".join(wire.split_events(reply.body)[0][2:])


def test_fallbacks_with_a_key(gateway, mock, model):
    """The key is of the whole call: what failed has not pinned it, and what answered is what comes again."""
    broken, good = model("status=500"), model("events=4")
    first, second = (gateway.call("POST", GATEWAY, [entry(broken), entry(good)],
                                  {"Idempotency-Key": good}) for _ in range(2))
    assert (first.status, first.header("cf-aig-step"), second.header("cf-aig-step")) == (200, "1", "1")
    assert second.body == first.body and second.header("tokenlog-attached") == "finished"
    assert (mock.of(broken)["requests"], mock.of(good)["requests"]) == (1, 1)


def test_the_last_failure_is_the_answer(gateway, model):
    reply = gateway.call("POST", GATEWAY, [entry(model("status=500")),
                                           entry(model("status=429"))])
    assert (reply.status, reply.header("cf-aig-step")) == (429, "1")
    reply = gateway.call("POST", GATEWAY, [entry(model("status=500")),
                                           entry("x", provider="nobody")])
    assert (reply.status, reply.json()["error"][0]["name"]) == (404, "provider_not_found")


def test_a_caller_who_leaves_between_two(gateway, mock, model):
    name = model("events=3")
    body = [entry("x", provider="nobody")] * 15 + [entry(name)]
    for _ in range(5):
        with gateway.wire() as one:
            one.ask("POST", GATEWAY, body)
            one.abort()
    assert gateway.call("POST", GATEWAY, body).status == 200


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b"null", b"[1]", b"[{}]", b"[", b'[{"provider":"openai"}]',
    b'[{"provider":"openai","endpoint":"x","query":[]}]',
    b'[{"provider":"openai","endpoint":"x","query":{},"headers":{"a b":"c"}}]',
    b'[{"provider":"openai","endpoint":"x","query":{},"headers":{"a":"b\\nc"}}]'])
def test_bad_bodies(gateway, body):
    for path in (GATEWAY, "/ai-gateway/universal/run/gw"):
        reply = gateway.call("POST", path, body)
        assert reply.status in (400, 431) and reply.json()["success"] is False, (path, reply.body)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"inputs":{}}', b'{"model":1,"input":{}}',
                                  b'{"model":"","input":{}}', b'{"inputs":{},"options":1}'])
def test_bad_runs(gateway, body):
    reply = gateway.call("POST", "/ai-gateway/run", body)
    assert reply.status == 400 and reply.json()["error"][0]["code"] == 2002, reply.body


def test_what_it_does_not_take(gateway):
    wire.assert_error(gateway.call("POST", "/v1/threads/runs", {}), 404, "not_found")
    wire.assert_error(gateway.call("POST", "/v1/streams/x/openai/chat/completions", {}), 404)
    wire.assert_error(gateway.call("POST", f"{GATEWAY}/nobody/x", {}), 404, "not_found")
    wire.assert_error(gateway.call("POST", f"{GATEWAY}/compat/files", {}), 404, "not_found")
    assert gateway.call("GET", "/ai-gateway/run").status == 405
    assert gateway.call("TRACE", f"{GATEWAY}/openai/models").status == 405


def test_it_can_be_turned_off(serve, mock, model):
    server = serve("--no-cloudflare-paths", "--provider", f"openai={mock.url}", provider=None,
                   extra_environment=KEYS)
    for path, body, headers in calls(model("events=2")):
        wire.assert_error(server.call("POST", path, body, headers), 404, "not_found")


def test_keys_and_other_projects(serve, mock, model, tmp_path):
    keys = tmp_path / "keys"
    texts = {"red": "tlk_red", "blue": "tlk_blue"}
    keys.write_text("".join(f"{hashlib.sha256(text.encode()).hexdigest()} {project}\n"
                            for project, text in texts.items()))
    server = serve("--keys-file", str(keys), "--provider", f"openai={mock.url}", provider=None,
                   extra_environment=KEYS)
    path, body, headers = calls(model("events=3"))[4]
    reply = server.call("POST", path, body)
    assert reply.status == 401 and reply.json()["error"][0]["code"] == 2009
    red = {"cf-aig-authorization": "Bearer tlk_red", "Authorization": "Bearer sk-the-providers"}
    reply = server.call("POST", path, body, red)
    assert reply.status == 200
    run = reply.header("cf-aig-run-id")
    assert resume(server, run, 0, red).status == 200
    other = resume(server, run, 0, {"cf-aig-authorization": "Bearer tlk_blue"})
    assert other.status == 404 and other.json() == {"error": "Request not found"}
    assert resume(server, run, 0).status == 401
