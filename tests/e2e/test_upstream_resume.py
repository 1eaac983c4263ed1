"""A provider keeps the response (OpenAI's background): connections are cut, and tokenlog is killed, and the
caller gets the bytes that the provider has, which are paid for once.

The mock's books show what was paid for; `again` asks it for all of a response, to compare bytes.
"""

import json
import signal
import subprocess

import pytest

import programs
import wire

STALLS = "fault=stall@20"  # the first connection: nothing more comes until another one asks
COME = 24  # so many events have by then, with those before the first token
CALLS = {"/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello?"}]},
         "/v1/messages": {"messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 100}}
NATIVE = {"openai": "/openai/v1/responses", "google": "/google/v1beta/interactions"}
KEPT = ("resumed", "refused", "unreachable")


def config(folder, url, *more):
    path = folder / "config.yaml"
    path.write_text("\n".join((
        "providers:", "  - name: openai", f"    base_url: {url}", "    key: one",
        "    callers_keys: true",
        "  - name: other", f"    base_url: {url}", "    dialect: openai_responses",
        "    resume: background", "  - name: google", "    type: google-ai-studio",
        f"    base_url: {url}", "    key: two", *more)) + "\n")
    return path


@pytest.fixture
def start(serve, mock, tmp_path):
    def one(*more, **options):
        path = config(tmp_path, mock.url, *more)
        return serve("--config", str(path), provider=None, **options)
    return one


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("resumed")
    server = programs.Server(folder, None, "--config", str(config(folder, mock.url)))
    yield server
    server.stop()
    server.check_log()


def ask(model, provider="openai", **members):
    return {"model": f"{provider}/{model}", "input": "Hello?", "stream": True,
            "background": True} | members


def begin(server, model, headers=None, events=1, path="/v1/responses", **members):
    """(the wire, the stream), once so many events are there."""
    one = server.wire()
    body = ask(model, **members)
    if path != "/v1/responses":  # the provider's own
        body["model"] = model
    one.ask("POST", path, body, headers)
    one.read_events(events)
    assert one.reader.status == 200, bytes(one.reader.body)
    return one, one.reader.header("tokenlog-stream-id")


def again(mock, body):
    """All of the response, as the provider gives it out by its ID."""
    first = json.loads(wire.split_events(body)[0][0].partition(b"data: ")[2])
    place = (f"responses/{first['response']['id']}" if "response" in first
             else f"interactions/{first['interaction']['id']}")
    version = "v1" if "response" in first else "v1beta"
    reply = wire.call(mock.place, "GET", f"/{version}/{place}?stream=true")
    assert (reply.status, reply.end) == (200, "clean")
    return bytes(reply.body)


def assert_paid_once(mock, model, count):
    books = mock.of(model)
    assert (books["requests"], books["generations"], books["tokens"]) == (1, 1, count), books


def kinds(row):
    return [(one["kind"], one["why"]) for one in row["attempts"]]


# ---- connections ----


@pytest.mark.parametrize("fault", ["truncate", "reset", "close", "end", "garbage"])
def test_a_connection_cut_twice_is_made_up_for(gateway, mock, model, fault):
    name = model("events=30", f"fault={fault}@8", "cuts=2", "burst=2")
    reply = gateway.call("POST", "/v1/responses", ask(name))
    assert (reply.status, reply.end) == (200, "clean")
    wire.assert_exact(wire.split_events(reply.body)[0] and b"".join(
        event for event in wire.split_events(reply.body)[0] if b"output_text.delta" in event), 30)
    assert bytes(reply.body) == again(mock, reply.body)
    assert_paid_once(mock, name, 30)
    row = gateway.row(reply.header("tokenlog-stream-id"))
    assert row["state"] == "completed" and row["usage"]["output_tokens"] == 30, row
    found = kinds(row)
    assert [kind for kind, _ in found] == ["first", "resumption", "resumption"]
    assert all(why for _, why in found[:2]) and found[2][1] is None
    assert [one["from"] for one in row["attempts"]] == [0, 12, 20], row["attempts"]
    assert gateway.raw(row["id"]) == bytes(reply.body)


def test_it_is_looked_for_again_while_the_provider_is_busy(gateway, mock, model):
    before = gateway.metrics()
    name = model("events=10", "fault=reset@4", "busy=2")
    reply = gateway.call("POST", "/v1/responses", ask(name))
    assert reply.end == "clean" and bytes(reply.body) == again(mock, reply.body)
    row = gateway.row(reply.header("tokenlog-stream-id"))
    assert kinds(row) == [("first", "upstream_reset"), ("resumption", None)]
    after = gateway.metrics()
    grown = [after[key] - before[key] for key in
             (f'tokenlog_resumptions_total{{outcome="{outcome}"}}' for outcome in KEPT)]
    assert grown == [1, 0, 2]


def test_what_the_provider_has_forgotten_ends_as_it_died(gateway, mock, model):
    name = model("events=10", "fault=reset@4", "forget=1")
    reply = gateway.call("POST", "/v1/responses", ask(name))
    assert reply.end != "clean"
    row = gateway.row_when(reply.header("tokenlog-stream-id"), "failed")
    assert row["reason"] == "upstream_reset" and "404" in row["detail"], row
    assert row["events"] == 8
    assert_paid_once(mock, name, 10)


def test_an_error_of_the_provider_is_its_end(gateway, model):
    name = model("events=10", "fault=error@4")
    reply = gateway.call("POST", "/v1/responses", ask(name))
    row = gateway.row_when(reply.header("tokenlog-stream-id"), "failed")
    assert (row["reason"], len(row["attempts"])) == ("provider_error", 1)


def test_only_what_is_kept_is_looked_for(gateway, mock, model):
    """Not asked for in the background, or with "store": false: it died with its connection."""
    for number, members in enumerate(({"background": False}, {"store": False})):
        name = model("events=10", "fault=reset@4", f"id={number}")
        reply = gateway.call("POST", "/v1/responses", ask(name, **members))
        row = gateway.row_when(reply.header("tokenlog-stream-id"), "failed")
        assert kinds(row) == [("first", "upstream_reset")]
        sent = json.loads(mock.last()["body"])
        assert (sent["background"], mock.last()["path"]) == (False, "/v1/responses")


def test_a_provider_that_is_configured_so_is_always_asked(gateway, mock, model):
    name = model("events=20", "fault=truncate@8")
    body = ask(name, "other")
    del body["background"]
    reply = gateway.call("POST", "/v1/responses", body)
    assert reply.end == "clean" and bytes(reply.body) == again(mock, reply.body)
    assert b'"background":true' in reply.body
    assert_paid_once(mock, name, 20)


@pytest.mark.parametrize("path", CALLS)
def test_a_translated_call(gateway, mock, model, path):
    """Made up for by the server that translates; what a caller sees is what it would have been."""
    bodies = []
    for cuts in ("", "fault=truncate@8,cuts=2"):
        name = model("events=30", *filter(None, [cuts]))
        reply = gateway.call("POST", path, CALLS[path] | {"model": f"other/{name}", "stream": True})
        assert (reply.status, reply.end) == (200, "clean"), bytes(reply.body)
        wire.assert_exact(reply.body, 30)
        assert_paid_once(mock, name, 30)
        bodies.append(len(wire.split_events(reply.body)[0]))
    assert bodies[0] == bodies[1]
    row = gateway.row(reply.header("tokenlog-stream-id"))
    assert [kind for kind, _ in kinds(row)] == ["first", "resumption", "resumption"]
    assert row["usage"]["output_tokens"] == 30


@pytest.mark.parametrize("provider", NATIVE)
def test_a_native_call_that_asks_for_it(gateway, mock, model, provider):
    name = model("events=20", "fault=truncate@8", "cuts=2")
    one, stream = begin(gateway, name, path=NATIVE[provider])
    assert one.finish().end == "clean"
    assert bytes(one.reader.body) == again(mock, one.reader.body)
    assert_paid_once(mock, name, 20)
    row = gateway.row(stream)
    assert [kind for kind, _ in kinds(row)] == ["first", "resumption", "resumption"]
    assert row["usage"]["output_tokens"] == 20


def test_an_interaction_cut_before_it_can_be_asked_for_by_an_event(gateway, mock, model):
    """Its first events have no event_id: all of it comes again, and is known."""
    name = model("events=5", "fault=reset@0")
    one, _ = begin(gateway, name, path=NATIVE["google"])
    assert one.finish().end != "clean"  # not even its ID was there
    name = model("events=5", "fault=end@1", "size=10")
    one, _ = begin(gateway, name, path=NATIVE["google"])
    assert one.finish().end == "clean"
    assert bytes(one.reader.body) == again(mock, one.reader.body)


THEIRS = {"Tokenlog-Provider-Key": "openai=theirs"}


def test_a_callers_own_key_asks_again(gateway, mock, model):
    name = model("events=20", "fault=truncate@8")
    reply = gateway.call("POST", "/v1/responses", ask(name), THEIRS)
    assert mock.last()["method"] == "GET"
    assert mock.last()["headers"]["authorization"] == "Bearer theirs"
    assert reply.end == "clean" and bytes(reply.body) == again(mock, reply.body)


def test_a_stop_is_told_to_the_provider(gateway, mock, model):
    name = model("events=100000", "rate=20")
    one, stream = begin(gateway, name)
    assert gateway.call("POST", f"/v1/streams/{stream}/stop").status == 200
    assert one.finish().end != "clean"
    assert programs.eventually(lambda: mock.last()["path"].endswith("/cancel"))
    assert mock.last()["headers"]["authorization"] == "Bearer one"
    assert gateway.row(stream)["state"] == "stopped"


# ---- a server that dies ----


def read_to_its_end(server, stream):
    """What a reader gets who comes to a stream that is going on."""
    reply = server.events(stream, "?format=raw")
    assert (reply.status, reply.end) == (200, "clean"), (reply.status, reply.end)
    return bytes(reply.body)


def assert_whole(server, mock, model, stream, count, received=b""):
    body = read_to_its_end(server, stream)
    row = server.row(stream)
    assert row["state"] == "completed" and row["reason"] is None, row
    assert body == again(mock, body) and body.startswith(received)
    assert row["usage"]["output_tokens"] == count
    assert_paid_once(mock, model, count)
    return row


@pytest.mark.parametrize("path", [
    "/v1/responses", "/v1/account/gw/openai/responses", NATIVE["google"]])
def test_killed_in_mid_generation(start, mock, model, path):
    name = model("events=60", STALLS)
    server = start()
    one, stream = begin(server, name, {"Idempotency-Key": "k"}, COME, path)
    server.kill()
    received = bytes(one.finish().body)
    server.start()
    assert server.row(stream)["state"] in ("streaming", "completed")
    row = assert_whole(server, mock, name, stream, 60, received)
    assert kinds(row) == [("first", "server_died"), ("resumption", None)]
    assert row["attempts"][1]["from"] == COME and row["first_event_at"] and row["attempt"] == 1
    body = ask(name) if path == "/v1/responses" else ask(name) | {"model": name}
    reply = server.call("POST", path, body, {"Idempotency-Key": "k"})
    assert reply.end == "clean" and bytes(reply.body).startswith(received)
    assert_paid_once(mock, name, 60)
    assert "stream_interrupted" not in server.log()
    server.stop()
    verified = subprocess.run([programs.TOKENLOG, "verify", "--data", str(server.data)],
                              capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_killed_again_and_again(start, mock, model):
    name = model("events=80", STALLS, "cuts=3")
    server = start()
    one, stream = begin(server, name, events=COME)
    for come in (COME, COME + 20, COME + 40):
        assert programs.eventually(lambda: server.row(stream)["events"] == come)
        server.kill()
        server.start()
        assert server.row(stream)["state"] in ("streaming", "completed")
    row = assert_whole(server, mock, name, stream, 80, bytes(one.finish().body))
    assert kinds(row) == [("first", "server_died"), ("resumption", "server_died"),
                          ("resumption", "server_died"), ("resumption", None)]


def test_killed_while_the_provider_is_busy(start, mock, model):
    """It dies again before it has got at the response, and after it was over upstream."""
    name = model("events=12", "fault=reset@6", "busy=5")
    server = start()
    one, stream = begin(server, name, events=10)
    for _ in range(2):
        assert programs.eventually(lambda: server.metrics()[
            'tokenlog_resumptions_total{outcome="unreachable"}'] >= 1)
        server.kill()
        server.start()
    one.finish()
    assert_whole(server, mock, name, stream, 12, bytes(one.reader.body))


def test_a_server_that_is_told_to_stop_leaves_it_to_the_next(start, mock, model):
    name = model("events=60", STALLS)
    server = start("drain_timeout_s: 0")
    one, stream = begin(server, name, events=COME)
    server.process.send_signal(signal.SIGTERM)
    received = bytes(one.finish().body)
    one.close()  # it waits for its callers to have gone
    server.stop()
    server.start()
    assert_whole(server, mock, name, stream, 60, received)


def test_forgotten_meanwhile(start, mock, model):
    name = model("events=60", STALLS, "forget=1")
    server = start()
    _, stream = begin(server, name, events=COME)
    server.kill()
    server.start()
    row = server.row_when(stream, "interrupted")
    assert row["reason"] == "server_died" and "404" in row["detail"], row
    assert row["events"] == COME
    assert_paid_once(mock, name, 60)


@pytest.mark.parametrize("change", ["provider", "key", "caller"])
def test_nobody_left_to_ask(start, mock, model, tmp_path, change):
    """The provider is not there any more, or its key, or the caller who had the key."""
    name = model("events=60", STALLS)
    server = start()
    _, stream = begin(server, name, THEIRS if change == "caller" else None, COME)
    server.kill()
    path = tmp_path / "config.yaml"
    before, after = {"provider": ("name: openai", "name: renamed"), "key": ("key: one", ""),
                     "caller": ("", "")}[change]
    path.write_text(path.read_text().replace(before, after))
    server.start()
    row = server.row(stream)
    assert (row["state"], row["reason"]) == ("interrupted", "server_died")
    assert "not_reopened" in server.log()
    assert_paid_once(mock, name, 60)


def test_others_that_were_under_way_are_interrupted(start, model):
    server = start()
    _, kept = begin(server, model("events=60", STALLS), events=COME)
    _, lost = begin(server, model("events=60", STALLS), events=COME,
                    background=False)
    server.kill()
    server.start()
    assert server.row(lost)["state"] == "interrupted"
    assert server.row_when(kept, "completed")
