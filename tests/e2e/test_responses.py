"""OpenAI's Responses: come back by the response's own ID, whoever answered it.

`native` speaks Responses itself: the ID is the provider's. `translated` speaks Messages: it is ours.
"""

import hashlib
import json

import pytest

import programs
import wire

STATUSES = {"completed", "failed", "incomplete", "cancelled", "queued", "in_progress"}


def flags(folder, url):
    path = folder / "config.yaml"
    path.write_text("providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {url}\n    dialect: {dialect}\n"
        for name, dialect in (("native", "openai_responses"), ("translated", "anthropic"))))
    return "--config", str(path)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("responses")
    server = programs.Server(folder, None, *flags(folder, mock.url))
    yield server
    server.stop()
    server.check_log()


@pytest.fixture(params=["native", "translated"])
def provider(request):
    return request.param


def ask(provider, model, stream=True, background=True, **members):
    body = {"model": f"{provider}/{model}", "input": "Hello?", "stream": stream}
    return body | ({"background": True} if background else {}) | members


def begin(server, *arguments, headers=None, **members):
    """(the wire, the response's ID), once the first event is there."""
    one = server.wire()
    one.ask("POST", "/v1/responses", ask(*arguments, **members), headers)
    first = one.read_events(1)
    assert one.reader.status == 200, bytes(one.reader.body)
    return one, data_of(first[0])["response"]["id"]


def data_of(event):
    return json.loads(event.partition(b"data: ")[2])


def get(server, response, query=""):
    return server.call("GET", f"/v1/responses/{response}{query}")


def shown(server, response):
    reply = get(server, response)
    assert (reply.status, reply.end) == (200, "clean"), bytes(reply.body)
    one = reply.json()
    assert one["id"] == response and one["object"] == "response" and one["status"] in STATUSES
    return one


def text_of(response):
    return "".join(part["text"] for item in response["output"] for part in item["content"])


def ended(server, response):
    return programs.eventually(lambda: (one := shown(server, response))["status"] not in (
        "queued", "in_progress") and one)


# ---- in the background ----


def test_a_stream_goes_on_without_its_caller(gateway, mock, model, provider):
    name = model("events=30", "rate=100")
    one, response = begin(gateway, provider, name)
    received = one.read_events(6)
    one.abort()
    live = shown(gateway, response)
    assert live["status"] in ("in_progress", "completed")
    rest = get(gateway, response, f"?stream=true&starting_after={data_of(received[-1])['sequence_number']}")
    assert rest.end == "clean" and rest.header("content-type").startswith("text/event-stream")
    whole = b"".join(received) + bytes(rest.body)
    wire.assert_exact(b"".join(e for e in wire.split_events(whole)[0] if b".delta" in e), 30)
    assert gateway.raw(rest.header("tokenlog-stream-id")) == whole
    done = ended(gateway, response)
    assert done["status"] == "completed" and done["usage"]["output_tokens"] == 30
    wire.assert_exact(text_of(done).encode(), 30)
    assert mock.of(name)["generations"] == 1


def test_no_stream_is_answered_at_once(gateway, mock, model, provider):
    name = model("events=20", "rate=40")
    reply = gateway.call("POST", "/v1/responses", ask(provider, name, stream=False))
    assert (reply.status, reply.end) == (200, "clean")
    begun = reply.json()
    assert begun["status"] in ("queued", "in_progress") and len(text_of(begun)) < 20
    done = ended(gateway, begun["id"])
    assert done["status"] == "completed"
    wire.assert_exact(text_of(done).encode(), 20)
    assert json.loads(mock.last()["body"]).get("stream") is True
    events = get(gateway, begun["id"], "?stream=true")
    assert events.end == "clean" and data_of(wire.split_events(events.body)[0][-1])["type"] == (
        "response.completed")


def test_the_object_grows(gateway, model, provider):
    name = model("events=12", "fault=stall@5")
    one, response = begin(gateway, provider, name)
    with one:
        while one.reader.body.count(b"output_text.delta\n") < 5:
            one.pump()
        live = shown(gateway, response)
        assert live["status"] == "in_progress"
        wire.assert_exact(text_of(live).encode(), 5)
    done = gateway.call("POST", f"/v1/responses/{response}/cancel").json()
    assert (done["id"], done["status"]) == (response, "cancelled")
    assert done["output"][0]["status"] == "incomplete"
    wire.assert_exact(text_of(done).encode(), 5)


def test_cancelled_twice_is_cancelled_once(gateway, mock, model, provider):
    name = model("events=50", "rate=50")
    one, response = begin(gateway, provider, name)
    one.abort()
    first, second = (gateway.call("POST", f"/v1/responses/{response}/cancel") for _ in range(2))
    assert first.status == second.status == 200
    assert first.json() == second.json() == shown(gateway, response)
    assert first.json()["status"] == "cancelled"
    programs.eventually(lambda: mock.of(name)["aborted"] == 1)


def test_what_is_done_is_not_cancelled(gateway, model, provider):
    response = ended(gateway, begin(gateway, provider, model("events=3"))[1])
    reply = gateway.call("POST", f"/v1/responses/{response['id']}/cancel")
    assert reply.status == 200 and reply.json() == response


def test_the_key_finds_the_same(gateway, mock, model, provider):
    name = model("events=10", "rate=50")
    replies = [gateway.call("POST", "/v1/responses", ask(provider, name, stream=False),
                            {"Idempotency-Key": name}) for _ in range(2)]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    assert replies[1].header("tokenlog-stream-id") == replies[0].header("tokenlog-stream-id")
    assert mock.of(name)["generations"] == 1


def test_on_disconnect_does_not_end_it(serve, mock, model, tmp_path):
    server = serve("--on-disconnect", "stop", *flags(tmp_path, mock.url), provider=None)
    name = model("events=10", "rate=20")
    one, response = begin(server, "native", name)
    one.abort()
    assert ended(server, response)["status"] == "completed"
    one, response = begin(server, "native", model("events=1000", "rate=20"), background=False)
    one.abort()
    assert ended(server, response)["status"] == "cancelled"


# ---- how the provider is asked ----


@pytest.mark.parametrize("stream", [True, False, None])
def test_others_are_asked_without_background(gateway, mock, model, stream):
    body = ask("native", model("events=2"))
    if stream is None:
        del body["stream"]
    else:
        body["stream"] = stream
    reply = gateway.call("POST", "/v1/responses", body)
    assert reply.status == 200
    asked = json.loads(mock.last()["body"])
    assert asked["background"] is False and asked["stream"] is True
    assert asked["input"] == "Hello?"


@pytest.mark.parametrize("store, background", [(None, True), (True, True), (False, False)])
def test_openai_is_asked_as_the_caller_asks(serve, mock, model, store, background):
    server = serve("--provider", f"openai={mock.url}", provider=None,
                   extra_environment={"OPENAI_API_KEY": "sk-x"})
    members = {} if store is None else {"store": store}
    body = json.dumps(ask("openai", model("events=2"), **members))
    reply = server.call("POST", "/v1/responses", body.encode(), {"Content-Type": "application/json"})
    assert reply.status == 200 and reply.end == "clean"
    asked = json.loads(mock.last()["body"])
    assert asked["background"] is background and asked["stream"] is True
    assert not background or mock.last()["body"] == body.replace("openai/", "")


def test_a_provider_that_does_not_stream(serve, canned):
    """…though it was asked to: its whole answer is the object."""
    body = json.dumps({"id": "resp_whole", "object": "response", "status": "completed", "output": []}
                      ).encode()
    server = serve(provider=canned(programs.canned_json(body)).url)
    asked = {"model": "m", "input": "x", "background": True}
    assert bytes(server.call("POST", "/v1/responses", asked).body) == body
    assert ended(server, "resp_whole") == json.loads(body)


def test_a_completion_that_does_not_say_what_it_completes(serve, canned):
    events = b"".join(b"event: %s\ndata: %s\n\n" % (name, data) for name, data in (
        (b"response.created", b'{"response":{"id":"resp_terse","object":"response","status":"queued"}}'),
        (b"response.output_item.done", b'{"output_index":0,"item":{"content":[{"text":"a"}]}}'),
        (b"response.completed", b"{}")))
    server = serve(provider=canned(programs.canned_sse(events)).url)
    asked = {"model": "m", "input": "x", "background": True}
    assert server.call("POST", "/v1/responses", asked).status == 200
    done = ended(server, "resp_terse")
    assert (done["status"], text_of(done)) == ("completed", "a")


# ---- by sequence_number ----


def test_every_number(gateway, model, provider):
    one, response = begin(gateway, provider, model("events=9", "tool=1"))
    events = wire.split_events(one.finish().body)[0]
    numbers = [data_of(event)["sequence_number"] for event in events]
    assert numbers == list(range(len(events)))
    assert bytes(get(gateway, response, "?stream=true").body) == b"".join(events)
    for number in numbers:
        reply = get(gateway, response, f"?stream=true&starting_after={number}")
        assert (reply.status, reply.end) == (200, "clean")
        assert bytes(reply.body) == b"".join(events[number + 1 :])
    wire.assert_error(get(gateway, response, f"?stream=true&starting_after={len(events)}"), 416)


@pytest.mark.parametrize("numbers", [[1, 2, 3, 4], [0, 5, 6, 20], [None, 0, None, 1, 2]])
def test_numbers_that_are_no_places(serve, canned, model, numbers):
    names = ["response.created", *["response.output_text.delta"] * (len(numbers) - 2),
             "response.completed"]
    events = [b": ping\n\n" if number is None else b"event: %s\ndata: %s\n\n" % (
        name.encode(), json.dumps({"type": name, "sequence_number": number, "response": {
            "id": f"resp_{len(numbers)}.{numbers[0]}", "status": "completed"}}).encode())
        for name, number in zip(names, numbers)]
    server = serve(provider=canned(programs.canned_sse(b"".join(events))).url)
    reply = server.call("POST", "/v1/responses", {"model": "m", "input": "x", "stream": True})
    response = f"resp_{len(numbers)}.{numbers[0]}"
    assert reply.status == 200
    for number in (number for number in numbers if number is not None):
        rest = get(server, response, f"?stream=true&starting_after={number}")
        expected = events[numbers.index(number) + 1 :]
        assert (rest.status, rest.end) == (200, "clean")
        if b": ping" in b"".join(expected[:1]):  # what has no number belongs to what comes before
            expected.pop(0)
        assert bytes(rest.body) == b"".join(expected)


@pytest.mark.parametrize("query", [
    "?stream=perhaps", "?stream=true&starting_after=-1", "?stream=true&starting_after=",
    "?stream=true&starting_after=1&starting_after=2", "?starting_after=1",
    "?stream=true&starting_after=18446744073709551615", "?stream=true&starting_after=0x1"])
def test_bad_queries(gateway, model, query):
    response = begin(gateway, "native", model("events=1"))[1]
    wire.assert_error(get(gateway, response, query), 400)


# ---- IDs ----


def test_unknown_ids(gateway, model):
    chat = gateway.call("POST", "/v1/chat/completions", programs.ask(f"native/{model('events=1')}"))
    for name in ("resp_nobody", "resp_" + "0" * 32, "x" * 5000, "%00", "resp_%41",
                 "01890a5d-ac96-774b-bcce-b302099a8057", chat.header("tokenlog-stream-id")):
        wire.assert_error(get(gateway, name), (404, 400))
        wire.assert_error(get(gateway, name, "?stream=true"), (404, 400))
        wire.assert_error(gateway.call("POST", f"/v1/responses/{name}/cancel"), (404, 400))
        wire.assert_error(gateway.call("DELETE", f"/v1/responses/{name}"), (404, 400))


def test_deleted(gateway, model, provider):
    one, response = begin(gateway, provider, model("events=40", "rate=40"))
    one.close()
    wire.assert_error(gateway.call("DELETE", f"/v1/responses/{response}"), 409, "stream_live")
    gateway.call("POST", f"/v1/responses/{response}/cancel")
    reply = gateway.call("DELETE", f"/v1/responses/{response}")
    assert (reply.status, reply.json()) == (
        200, {"id": response, "object": "response", "deleted": True})
    wire.assert_error(get(gateway, response), (404, 410))


def test_another_projects_are_not_found(serve, mock, model, tmp_path):
    keys = {name: f"tlk_{name}_0123456789" for name in ("red", "blue")}
    option, path = flags(tmp_path, mock.url)
    with open(path, "a") as config:
        config.write("projects:\n" + "".join(
            f'  - name: {name}\n    keys: ["{hashlib.sha256(key.encode()).hexdigest()}"]\n'
            for name, key in keys.items()))
    server = serve(option, path, provider=None)
    red, blue = ({"Authorization": f"Bearer {keys[name]}"} for name in ("red", "blue"))
    for provider in ("native", "translated"):
        response = server.call("POST", "/v1/responses", ask(provider, model("events=2"), False), red
                               ).json()["id"]
        path = f"/v1/responses/{response}"
        assert server.call("GET", path, headers=red).status == 200
        for method, place in (("GET", path), ("GET", path + "?stream=true"), ("DELETE", path),
                              ("POST", path + "/cancel")):
            wire.assert_error(server.call(method, place, headers=blue), 404)


def test_methods(gateway):
    assert gateway.call("HEAD", "/v1/responses/resp_x").status == 405
    wire.assert_error(gateway.call("PUT", "/v1/responses/resp_x"), 405)
    wire.assert_error(gateway.call("GET", "/v1/responses/resp_x/cancel"), 405)


# ---- without background, and without a stream ----


def test_any_response_can_be_asked_for_again(gateway, model, provider):
    body = ask(provider, model("events=6"), stream=False, background=False)
    reply = gateway.call("POST", "/v1/responses", body)
    response = reply.json()["id"]
    assert shown(gateway, response) == reply.json()
    wire.assert_error(get(gateway, response, "?stream=true"), 400, "not_streamed")


def test_what_fails_says_why(gateway, model, provider):
    one, response = begin(gateway, provider, model("events=20", "fault=reset@4"))
    assert one.finish().end != "clean"
    done = ended(gateway, response)
    assert done["status"] == "failed" and done["error"]["code"] and done["error"]["message"]
    wire.assert_exact(text_of(done).encode(), 4)
    assert get(gateway, response, "?stream=true").end != "clean"


def test_an_error_instead_of_a_response(gateway, model, provider):
    body = ask(provider, model("status=429"), stream=False)
    reply = gateway.call("POST", "/v1/responses", body)
    if provider == "native" or reply.status != 200:  # it came before the answer did
        wire.assert_error(reply, 429)
        return
    done = ended(gateway, reply.json()["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "upstream_status")


# ---- after a crash ----


def test_a_killed_server(serve, mock, model, tmp_path, provider):
    server = serve(*flags(tmp_path, mock.url), provider=None)
    cut, response = begin(server, provider, model("events=400", "rate=40"))
    received = b"".join(cut.read_events(8))
    over, finished = begin(server, provider, model("events=4"))
    whole = bytes(over.finish().body)
    server.kill()
    server.start()
    done = shown(server, response)
    assert (done["status"], done["error"]["code"]) == ("failed", "server_died")
    again = get(server, response, "?stream=true")
    assert again.end != "clean" and bytes(again.body).startswith(received)
    assert again.header("tokenlog-stream-state") == "interrupted"
    after = data_of(wire.split_events(received)[0][-1])["sequence_number"]
    rest = get(server, response, f"?stream=true&starting_after={after}")
    assert received + bytes(rest.body) == bytes(again.body)
    assert shown(server, finished)["status"] == "completed"
    assert bytes(get(server, finished, "?stream=true").body) == whole
    server.stop()
    server.start()  # nothing is in memory: the store finds it
    assert shown(server, finished)["status"] == "completed"
    assert shown(server, response)["status"] == "failed"
    assert bytes(get(server, finished, "?stream=true").body) == whole


def test_a_long_one(serve, mock, model, tmp_path, provider):
    """More than is gathered in one turn, from memory and from the store, without its last event."""
    server = serve(*flags(tmp_path, mock.url), provider=None)
    one, response = begin(server, provider, model("events=3000", "burst=50", "fault=stall@3000"))
    with one:
        while one.reader.body.count(b"output_text.delta\n") < 3000:
            one.pump()
        received = bytes(one.reader.body)
        live = shown(server, response)
        wire.assert_exact(text_of(live).encode(), 3000)
        cancelled = server.call("POST", f"/v1/responses/{response}/cancel").json()
    for _ in range(2):
        assert shown(server, response) == cancelled
        assert cancelled["output"][0]["content"] == live["output"][0]["content"]
        rest = get(server, response, "?stream=true&starting_after=2500")
        assert received.endswith(bytes(rest.body)) and bytes(rest.body).count(b"\n\n") > 500
        server.stop()
        server.start()
