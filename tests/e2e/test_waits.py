"""Calls that wait, for a target that rests or to be tried again: for what, and what ends it.

What ends a wait at once is asked of waits that are far longer than a test may take.
"""

import json
import signal

import pytest

import programs
import wire
from test_catalogue import make_account
from test_continue import of_type
from test_failover import ERROR, GOOD, Scripted, failing, provider, route, routed  # noqa: F401

HOUR_MS = 3600 * 1000


class World:
    def __init__(self, folder):
        self.one = Scripted()
        config = folder / "config.yaml"
        config.write_text("providers:\n" + provider("one", self.one.url))
        self.server = programs.Server(folder, None, "--config", str(config))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("waits"))
    yield world
    world.server.stop()
    world.server.check_log()
    world.one.close()


def waiting(server, key, model="one/x"):
    """A call whose next attempt is half a minute away at least: its connection, its stream's ID."""
    one = server.wire()
    one.ask("POST", "/v1/chat/completions", programs.ask(model),
            {"Idempotency-Key": key, "Tokenlog-Retries": "5", "Tokenlog-Backoff-Ms": "60000"})
    row = programs.eventually(lambda: next(
        (row for row in server.rows(f"?idempotency_key={key}")
         if row["attempts"] and row["attempts"][0]["ended_at"]), None))
    return one, row["id"]


def test_a_stop_ends_a_backoff_at_once(world):
    world.one.script["stop"] = [failing(500)]
    caller, stream = waiting(world.server, "stop", "one/stop")
    assert world.server.call("POST", f"/v1/streams/{stream}/stop").status == 200
    reply = caller.finish()
    assert wire.assert_error(reply, 409)["code"] == "stream_stopped"
    row = world.server.row(stream)
    assert row["state"] == "stopped" and len(world.one.bodies("stop")) == 1
    assert [a["why"] for a in row["attempts"]] == ["upstream_status"]


def test_a_caller_who_goes_in_a_backoff_is_recorded_all_the_same(world):
    world.one.script["gone"] = [failing(500), programs.canned_sse(GOOD)]
    with world.server.wire() as caller:
        caller.ask("POST", "/v1/chat/completions", programs.ask("one/gone"), {
            "Idempotency-Key": "gone", "Tokenlog-Retries": "1", "Tokenlog-Backoff-Ms": "500"})
        programs.eventually(lambda: world.one.bodies("gone"))
    row = programs.eventually(lambda: next(
        (row for row in world.server.rows("?idempotency_key=gone")
         if row["state"] == "completed"), None))
    assert [one["kind"] for one in row["attempts"]] == ["first", "retry"]
    assert world.server.raw(row["id"]) == GOOD and len(world.one.bodies("gone")) == 2


def test_a_caller_who_goes_in_a_backoff_ends_it_where_that_is_wanted(serve, tmp_path, canned):
    one = canned(failing(500))
    path = tmp_path / "config.yaml"
    path.write_text("providers:\n" + provider("one", one.url))
    server = serve("--config", str(path), "--on-disconnect", "stop", provider=None)
    caller, stream = waiting(server, "gone")
    caller.close()
    row = server.row_when(stream, "stopped")
    assert [one["why"] for one in row["attempts"]] == ["upstream_status"]
    assert len(one.requests) == 1


def test_a_drain_does_not_wait_for_a_backoff(routed, canned):
    one = canned(failing(500))
    server = routed([provider("one", one.url)])
    caller, _ = waiting(server, "drain")
    server.process.send_signal(signal.SIGTERM)
    reply = caller.finish()
    assert (reply.status, bytes(reply.body)) == (500, ERROR)
    caller.close()
    server.stop()
    assert len(one.requests) == 1


def test_a_kill_in_a_backoff_leaves_it_interrupted_and_nothing_is_sent_again(routed, canned):
    one = canned(failing(500))
    server = routed([provider("one", one.url)])
    caller, stream = waiting(server, "kill")
    server.kill()
    caller.close()
    server.start()
    row = server.row_when(stream, "interrupted")
    assert [(a["status"], a["why"]) for a in row["attempts"]] == [(500, "upstream_status")]
    again = server.post("one/x", {"Idempotency-Key": "kill"})
    assert wire.assert_error(again, 409)["code"] == "stream_interrupted"
    assert len(one.requests) == 1


def test_a_kill_during_a_second_attempt_shows_that_it_was_sent(routed, canned, mock, model):
    slow = model("ttft=60000")
    server = routed([provider("one", canned(failing(500)).url), provider("two", mock.url)],
                    route("one/x", f"two/{slow}"))
    one = server.wire()
    one.ask("POST", "/v1/chat/completions", programs.ask("smart"), {"Idempotency-Key": "k"})
    programs.eventually(lambda: mock.of(slow)["requests"] == 1)
    stream = server.rows("?idempotency_key=k")[0]["id"]
    server.kill()
    one.close()
    server.start()
    row = server.row_when(stream, "interrupted")
    assert [(a["target"], a["why"]) for a in row["attempts"]] == \
        [("one/x", "upstream_status"), (f"two/{slow}", None)]
    assert mock.of(slow)["requests"] == 1


# ── before the first attempt ──────────────────────────────────────────────────────────────────

def limited(seconds):
    return failing(429, f"Retry-After: {seconds}\r\n")


def resting(routed, canned, seconds, *targets, **policy):
    """A server whose provider `one` rests for so long, and that provider."""
    one = canned([limited(seconds), programs.canned_sse(GOOD)])
    server = routed([provider("one", one.url), of_type("claude", one.url, "anthropic")],
                    route("one/m", name="alone", retries=0) + route(
                        *targets, retries=0, backoff_max_ms=HOUR_MS, **policy))
    assert (reply := server.post("alone")).status == 429 and bytes(reply.body) == ERROR
    return server, one


def test_a_target_that_rests_for_short_is_waited_for(routed, canned):
    server, one = resting(routed, canned, 1, "one/m")
    reply = server.post("smart")
    assert (bytes(reply.body), reply.header("tokenlog-attempt")) == (GOOD, "1")
    assert len(one.requests) == 2


def test_so_is_one_behind_another_that_cannot_be_told_the_call(routed, canned):
    server, one = resting(routed, canned, 1, "claude/m", "one/m")
    reply = server.post("smart", logit_bias={"1": 5})
    assert bytes(reply.body) == GOOD and reply.header("tokenlog-target") == "one/m"
    assert len(one.requests) == 2
    assert '"event":"target_skipped"' in server.log() and "logit_bias" in server.log()


def wait_before(server, key):
    """A call that waits for its first target: nothing is in the record yet."""
    caller = server.wire()
    call = wire.request("POST", "/v1/chat/completions", programs.ask("smart"),
                        {"Idempotency-Key": key})
    caller.send(wire.request("GET", "/healthz") + call)  # the answer to one: the other is there
    assert caller.finish().status == 200
    caller.next_reply("POST")
    server.metrics()
    assert not caller.has_bytes()
    return caller


def test_a_drain_ends_a_wait_for_a_target(routed, canned):
    server, one = resting(routed, canned, 600, "one/m")
    caller = wait_before(server, "drain")
    server.process.send_signal(signal.SIGTERM)
    error = wire.assert_error(caller.finish(), 503)
    assert error["code"] == "shutting_down"
    caller.close()
    server.stop()
    assert len(one.requests) == 1


def test_a_caller_who_goes_asks_for_nothing(routed, canned):
    server, one = resting(routed, canned, 1, "one/m")
    wait_before(server, "gone").close()
    assert bytes(server.post("smart").body) == GOOD
    assert len(one.requests) == 2 and server.rows("?idempotency_key=gone") == []


# ── for a token ───────────────────────────────────────────────────────────────────────────────

def test_a_hedge_waits_for_its_targets_token(routed, canned, mock, model, tmp_path):
    slow = model("ttft=60000")
    tokens = canned(programs.canned_json(b'{"access_token":"ya29.one","expires_in":3599}'))
    one = canned(programs.canned_sse(GOOD))
    account, _ = make_account(tmp_path, tokens.url + "/token")
    server = routed([provider("mock", mock.url), provider(
        "cloud", one.url, "auth: google-service-account", f"key_file: {account}")],
        route(f"mock/{slow}", "cloud/m", hedge="{after_ms: 100}"))
    reply = server.post("smart")
    assert (bytes(reply.body), reply.header("tokenlog-target")) == (GOOD, "cloud/m")
    row = server.row(reply.header("tokenlog-stream-id"))
    assert [(a["kind"], a["why"]) for a in row["attempts"]] == [
        ("first", "hedge_lost"), ("hedge", None)]
    assert len(tokens.requests) == len(one.requests) == 1
    programs.eventually(lambda: mock.of(slow)["aborted"] == 1)


# ── what is kept for it ───────────────────────────────────────────────────────────────────────

def test_past_the_bound_a_call_has_one_attempt(routed, canned, tmp_path, serve):
    """Kept requests and bodies that arrive have the same bound: one that fills it is not kept."""
    mega = 1 << 20
    one = canned([failing(500), programs.canned_sse(GOOD)])
    (tmp_path / "config.yaml").write_text("providers:\n" + provider("one", one.url))
    server = serve("--config", str(tmp_path / "config.yaml"), "--body-bytes-max", str(mega),
                   "--bodies-bytes-max", str(mega), provider=None)
    body = programs.ask("one/m")
    body["messages"][0]["content"] = "x" * (mega - len(json.dumps(body).encode()))
    reply = server.call("POST", "/v1/chat/completions", body, {"Tokenlog-Retries": "1"})
    assert (reply.status, bytes(reply.body), len(one.requests)) == (500, ERROR, 1)
    assert '"event":"single_attempt"' in server.log()
