"""Runs and checkpoints: an agent that dies and starts over, what the provider billed, forks, states kept."""

import concurrent.futures
import hashlib
import os
import threading
import urllib.parse

import pytest

import programs
import wire

STEPS = [str(number) for number in range(1, 11)]


def step(run, name, **more):
    return {"Tokenlog-Run": run, "Tokenlog-Step": name, **more}


def run_of(server, run, query=""):
    reply = server.call("GET", f"/v1/runs/{run}{query}")
    assert reply.status == 200, reply.body
    return reply.json()


def generations(mock, names):
    return [mock.of(name)["generations"] for name in names]


def test_agent_starts_over_and_pays_nothing_twice(server, mock, model):
    names = {name: model("events=60", "rate=25") if name == "7" else model("events=12")
             for name in STEPS}
    bodies = {}
    for name in STEPS[:6]:
        bodies[name] = server.post(names[name], step("night", name)).body
    one = server.open(names["7"], step("night", "7"))
    stream, received = one.reader.header("tokenlog-stream-id"), one.read_events(10)
    one.abort()  # the agent dies in the middle of step 7

    again = {name: server.post(names[name], step("night", name)) for name in STEPS[:6]}
    assert {name: reply.body for name, reply in again.items()} == bodies
    seventh = server.post(names["7"], step("night", "7"))
    assert seventh.header("tokenlog-stream-id") == stream
    events, rest = wire.split_events(seventh.body)
    assert rest == b"" and events[:10] == received
    wire.assert_exact(seventh.body, 60)
    for name in STEPS[7:]:
        wire.assert_exact(server.post(names[name], step("night", name)).body, 12)
    assert generations(mock, names.values()) == [1] * 10

    run = run_of(server, "night")
    assert [one["step"] for one in run["steps"]] == STEPS
    assert [one["replays"] for one in run["steps"]] == [1] * 7 + [0] * 3
    assert {one["state"] for one in run["steps"]} == {"completed"}
    assert run["saved"]["calls"] == 7
    assert run["saved"]["output_tokens"] == sum(
        one["usage"]["output_tokens"] for one in run["steps"][:7])
    assert run["steps"][6]["stream_id"] == stream
    assert run["steps"][6]["offset"] == len(events)
    rows = server.rows("?run=night&limit=100")
    assert sorted(int(row["step"]) for row in rows) == list(range(1, 11))
    assert [one["step"] for one in run_of(server, "night", "?limit=2&after=3")["steps"]] == ["4", "5"]


def test_server_dies_between_steps(serve, mock, model):
    server = serve()
    names = [model("events=8") for _ in range(4)]
    first = [server.post(name, step("r", str(at))).body for at, name in enumerate(names[:3])]
    server.kill()
    server.start()
    assert [server.post(name, step("r", str(at))).body
            for at, name in enumerate(names[:3])] == first
    server.post(names[3], step("r", "3"))
    assert generations(mock, names) == [1] * 4
    server.stop()  # all of it is archived
    server.start()
    run = run_of(server, "r")
    assert [one["state"] for one in run["steps"]] == ["completed"] * 4
    assert [one["replays"] for one in run["steps"]] == [1, 1, 1, 0]
    assert server.post(names[0], step("r", "0")).body == first[0]
    assert generations(mock, names) == [1] * 4


def test_a_step_is_one_request(server, mock, model):
    name, other = model("events=3"), model("events=3")
    stream = server.post(name, step("one", "a")).header("tokenlog-stream-id")
    wire.assert_error(server.post(other, step("one", "a")), 422, "idempotency_key_reused")
    key = run_of(server, "one")["steps"][0]["idempotency_key"]
    assert key.startswith("run-") and server.row(stream)["idempotency_key"] == key
    keyed = {"Idempotency-Key": "mine"}
    wire.assert_error(server.post(name, step("one", "a", **keyed)), 422, "step_reused")
    server.post(other, step("one", "b", **keyed))
    wire.assert_error(server.post(name, step("one", "b", **{"Idempotency-Key": "not"})), 422,
                      "step_reused")
    assert server.post(other, step("one", "b")).header("tokenlog-stream-id") == server.rows(
        "?idempotency_key=mine")[0]["id"]
    # The same step of another run, and of a run that was begun anew, is another.
    assert server.post(name, step("two", "a")).header("tokenlog-stream-id") != stream
    assert server.call("DELETE", "/v1/runs/one").status == 204
    wire.assert_error(server.call("GET", "/v1/runs/one"), 404, "run_not_found")
    assert server.post(name, step("one", "a")).header("tokenlog-stream-id") != stream
    assert mock.of(name)["generations"] == 3
    wire.assert_error(server.post(name, {"Tokenlog-Run": "r"}), 400, "invalid_step")
    wire.assert_error(server.post(name, {"Tokenlog-Step": "r"}), 400, "invalid_run")
    wire.assert_error(server.post(name, step("r" * 129, "s")), 400, "invalid_run")
    wire.assert_error(server.post(name, step("r", 's"')), 400, "invalid_step")


def test_forks(serve, mock, model):
    server = serve()
    names = [model("events=4") for _ in range(5)]
    old = [server.post(name, step("old", str(at))).body for at, name in enumerate(names[:4])]
    fork = lambda run, body: server.call("POST", f"/v1/runs/{run}/fork", body)
    reply = fork("old", {"at": "1", "run": "new"})
    assert reply.status == 201 and reply.json()["forked_from"] == {"run": "old", "at": "1"}
    wire.assert_error(fork("old", {"at": "9", "run": "newer"}), 404, "step_not_found")
    wire.assert_error(fork("old", {"at": "1", "run": "new"}), 409, "run_exists")
    wire.assert_error(fork("none", {"at": "1", "run": "new"}), 404, "run_not_found")
    wire.assert_error(fork("old", {"at": 1}), 400, "invalid_body")
    assert server.call("DELETE", "/v1/runs/old").status == 204  # a fork outlives what it is from
    server.kill()
    server.start()
    for at in range(2):
        assert server.post(names[at], step("new", str(at))).body == old[at]
    assert generations(mock, names[:4]) == [1] * 4
    server.post(names[2], step("new", "2"))  # its own from here on
    assert generations(mock, names[:3]) == [1, 1, 2]
    assert fork("new", {"at": "2", "run": "newer"}).status == 201
    assert server.post(names[2], step("newer", "2")).body == server.post(
        names[2], step("new", "2")).body
    assert generations(mock, names[:3]) == [1, 1, 2]
    assert [(one["step"], one["inherited"]) for one in run_of(server, "new")["steps"]] == [
        ("0", True), ("1", True), ("2", False)]


def test_what_a_provider_says_it_counted_may_be_anything(serve, canned):
    usage = b'{"prompt_tokens":2000000000000000,"completion_tokens":10}'
    provider = canned(programs.canned_json(
        b'{"object":"chat.completion","choices":[],"usage":' + usage + b"}"))
    server = serve("--provider", f"openai={provider.url}", provider=None,
                   extra_environment={"OPENAI_API_KEY": "sk-test"})
    for _ in range(4):
        assert server.post("gpt-4o", step("dear", "1"), stream=False).status == 200
    saved = run_of(server, "dear")["saved"]
    assert saved["input_tokens"] == 6000000000000000
    assert float(saved["cost_usd"]) > 9e9  # nano-dollars end there


def checkpoint(server, method, name, body=None, headers=None, run="states"):
    return server.call(method, f"/v1/runs/{run}/checkpoints/{name}", body, headers)


def test_checkpoints(serve):
    server = serve()
    large = os.urandom(1 << 20)
    offsets = {"Tokenlog-Offsets": '{"a":7}', "Content-Type": "application/x-state"}
    first = checkpoint(server, "PUT", "a", b"one", offsets)
    assert (first.status, first.json()["offsets"]) == (201, {"a": 7})
    assert checkpoint(server, "PUT", "large", large).status == 201
    assert checkpoint(server, "PUT", "empty", b"").status == 201
    wire.assert_error(checkpoint(server, "PUT", "a", b"x", {"If-None-Match": "*"}), 412,
                      "precondition_failed")
    wire.assert_error(checkpoint(server, "PUT", "b", b"x", {"If-Match": "*"}), 412,
                      "precondition_failed")
    second = checkpoint(server, "PUT", "a", b"two", {"If-Match": first.header("etag")})
    assert second.status == 200
    wire.assert_error(checkpoint(server, "PUT", "a", b"x", {"If-Match": first.header("etag")}), 412,
                      "precondition_failed")
    wire.assert_error(checkpoint(server, "PUT", "latest", b"x"), 400, "invalid_checkpoint")
    wire.assert_error(checkpoint(server, "PUT", "c", b"x", {"Tokenlog-Offsets": "[]"}), 400,
                      "invalid_offsets")
    wire.assert_error(checkpoint(server, "PUT", "c", large + b"x"), 413, "checkpoint_too_large")
    for end in (server.kill, server.stop):
        got = checkpoint(server, "GET", "a")
        assert (got.body, got.header("etag")) == (b"two", second.header("etag"))
        assert checkpoint(server, "GET", "latest").body == b"two"
        assert checkpoint(server, "GET", "large").body == large
        assert checkpoint(server, "GET", "empty").body == b""
        assert checkpoint(server, "GET", "a", None,
                          {"If-None-Match": second.header("etag")}).status == 304
        end()
        server.start()
    listed = server.call("GET", "/v1/runs/states/checkpoints?limit=2").json()
    assert [one["name"] for one in listed["data"]] == ["a", "empty"] and listed["has_more"]
    rest = server.call("GET", f"/v1/runs/states/checkpoints?before={listed['next']}").json()
    assert [one["name"] for one in rest["data"]] == ["large"] and not rest["has_more"]
    assert checkpoint(server, "DELETE", "a").status == 204
    wire.assert_error(checkpoint(server, "GET", "a"), 404, "checkpoint_not_found")
    wire.assert_error(checkpoint(server, "DELETE", "a"), 404, "checkpoint_not_found")
    assert checkpoint(server, "GET", "latest").body == b""
    assert checkpoint(server, "PUT", "a", b"three").status == 201


def test_checkpoints_that_are_put_and_deleted_at_once(serve):
    """Each answer is of what its own call has put, whatever has come behind it before it was durable."""
    server = serve("--test-commit-delay-ms", "200")
    path = "/v1/runs/crowd/checkpoints/a"
    assert server.call("PUT", "/v1/runs/crowd").status == 201
    calls = [("PUT", b"x" * size) for size in range(1, 5)] + [("DELETE", None), ("PUT", b"x" * 5)]
    wires = [server.wire() for _ in calls]
    for one, (method, body) in zip(wires, calls):
        one.ask(method, path, body)
    replies = [one.finish() for one in wires]
    puts = [reply for reply, (method, _) in zip(replies, calls) if method == "PUT"]
    assert {reply.status for reply in puts} <= {200, 201} and replies[4].status in (204, 404)
    assert [reply.json()["size"] for reply in puts] == [1, 2, 3, 4, 5]
    assert len({reply.header("etag") for reply in puts}) == 5
    last = max(puts, key=lambda reply: reply.json()["seq"])
    assert checkpoint(server, "GET", "a", run="crowd").header("etag") in (None, last.header("etag"))


def test_what_was_answered_is_there_after_a_kill(serve):
    """Also what is more than one commit takes: a checkpoint, and an append to a stream."""
    server = serve("--test-commit-delay-ms", "300")
    state, text = os.urandom(1 << 20), os.urandom(3 << 20)
    plain = {"Content-Type": "text/plain"}
    assert checkpoint(server, "PUT", "a", state).status == 201
    server.kill()
    server.start("--test-commit-delay-ms", "0")
    assert checkpoint(server, "GET", "a").body == state
    server.stop()
    server.start()
    assert server.call("PUT", "/v1/stream/large", None, plain).status == 201
    assert server.call("POST", "/v1/stream/large", text, plain).status == 204
    server.kill()
    server.start("--test-commit-delay-ms", "0")
    reply = server.call("GET", "/v1/stream/large?offset=-1")
    assert bytes(reply.body) == text and reply.header("stream-up-to-date") == "true"


def test_runs_themselves(serve, model):
    server = serve()
    name = urllib.parse.quote("a/b %c".replace(" ", "-"), safe="")
    made = server.call("PUT", f"/v1/runs/{name}", {"team": "red"}, {"Tokenlog-TTL": "3600"})
    assert made.status == 201 and made.json()["run"] == "a/b-%c"
    assert server.call("PUT", f"/v1/runs/{name}").json()["metadata"] == {"team": "red"}
    assert server.call("PUT", f"/v1/runs/{name}", {"team": "blue"}).status == 200
    server.kill()
    server.start()
    run = run_of(server, name)
    assert run["metadata"] == {"team": "blue"} and run["id"] == made.json()["id"]
    assert run["steps"] == [] and run["expires_at"]
    server.post(model("events=2"), step("other", "1"))
    listed = server.call("GET", "/v1/runs").json()["data"]
    assert [row["name"] for row in listed] == ["other", "a/b-%c"]
    assert len(server.rows()) == 1 and len(server.rows("?kind=appended")) == 2
    assert server.rows("?idempotency_key=run") == []
    wire.assert_error(server.call("GET", "/v1/streams?idempotency_key=%02other"), 400,
                      "invalid_parameter")
    wire.assert_error(server.call("PUT", "/v1/runs/x", b"[]"), 400, "invalid_metadata")
    wire.assert_error(server.call("PUT", "/v1/runs/x", None, {"Tokenlog-TTL": "x"}), 400,
                      "invalid_ttl")
    wire.assert_error(server.call("PUT", "/v1/runs/a%20b"), 400, "invalid_run")
    wire.assert_error(server.call("GET", f"/v1/runs/{name}?limit=0"), 400, "invalid_parameter")


def test_a_run_expires(server):
    made = server.call("PUT", "/v1/runs/brief", None, {"Tokenlog-TTL": "1"})
    assert made.status == 201
    programs.eventually(lambda: server.call("GET", "/v1/runs/brief").status == 404)
    again = server.call("PUT", "/v1/runs/brief")
    assert again.status == 201 and again.json()["id"] != made.json()["id"]


@pytest.mark.parametrize("ttl", ["", "-1", "1.5", "x", "0x10", "1 2", "99999999999999999999"])
def test_a_life_that_is_none(server, ttl):
    wire.assert_error(server.call("PUT", "/v1/runs/odd", None, {"Tokenlog-TTL": ttl}), 400,
                      "invalid_ttl")
    wire.assert_error(server.call("GET", "/v1/runs/odd"), 404, "run_not_found")


def test_usage_cost_and_what_replay_saved(serve, mock, model):
    server = serve("--provider", f"openai={mock.url}")
    prices = server.call("GET", "/v1/models/gpt-5-mini").json()["pricing"]
    server.post("gpt-5-mini", step("bill", "a"))
    server.post(f"mock/{model('events=4')}", step("bill", "b"))
    for _ in range(3):
        server.post("gpt-5-mini", step("bill", "a"))
    run = run_of(server, "bill")
    a, b = run["steps"]
    usage = a["usage"]
    cost = sum(usage[f"{way}_tokens"] * prices[way]["nano_usd"] / prices[way]["per"] / 1e9
               for way in ("input", "output"))
    assert cost > 0 and a["cost_usd"] == pytest.approx(cost, abs=2e-9)
    assert b["cost_usd"] is None and b["usage"]["output_tokens"] == 4
    assert (run["saved"]["calls"], a["replays"]) == (3, 3)
    assert run["saved"]["output_tokens"] == 3 * usage["output_tokens"]
    assert run["saved"]["cost_usd"] == pytest.approx(3 * a["cost_usd"], abs=2e-9)
    assert a["url"] == f"/v1/streams/{a['stream_id']}"
    assert len(wire.split_numbered(server.events(a["stream_id"]).body)[0]) == a["offset"]


def test_the_server_dies_in_mid_step(serve, mock, model):
    server = serve()
    names = [model("events=6"), model("events=4000", "rate=50")]
    first = server.post(names[0], step("r", "1")).body
    assert checkpoint(server, "PUT", "c", b"before", run="r").status == 201
    with server.open(names[1], step("r", "2")) as one:
        one.read_events(8)
        stream = one.reader.header("tokenlog-stream-id")
        server.kill()
        received = wire.split_events(one.finish().body)[0]
    server.start()
    assert server.post(names[0], step("r", "1")).body == first
    second = run_of(server, "r")["steps"][1]
    assert (second["state"], second["stream_id"]) == ("interrupted", stream)
    assert second["offset"] >= len(received)
    # It is never asked again silently; the part is there, and is cut off as a broken answer is.
    part = server.post(names[1], step("r", "2"))
    assert part.header("tokenlog-stream-state") == "interrupted" and part.end == "cut"
    assert wire.split_events(part.body)[0][:len(received)] == received
    assert generations(mock, names) == [1, 1]
    with server.open(names[1], step("r", "2", **{"Tokenlog-On-Interrupted": "restart"})) as one:
        assert one.reader.header("tokenlog-stream-id") != stream
        one.read_events(4)
        assert server.call("POST", f"/v1/streams/{one.reader.header('tokenlog-stream-id')}/stop"
                           ).status == 200
    assert generations(mock, names) == [1, 2]
    assert checkpoint(server, "GET", "latest", run="r").body == b"before"


def test_forks_of_forks_go_in_any_order(server, mock, model):
    name = model("events=4")
    names = ["t0", "t1", "t2", "t3"]
    body = server.post(name, step("t0", "1")).body
    for older, newer in zip(names, names[1:]):
        made = server.call("POST", f"/v1/runs/{older}/fork", {"at": "1", "run": newer})
        assert made.status == 201
        server.post(name, step(newer, "2"))
    left = list(names)
    for gone in ("t1", "t3", "t0", "t2"):
        assert server.call("DELETE", f"/v1/runs/{gone}").status == 204
        left.remove(gone)
        for run in left:
            assert server.post(name, step(run, "1")).body == body
        wire.assert_error(server.call("GET", f"/v1/runs/{gone}"), 404, "run_not_found")
        wire.assert_error(server.call("DELETE", f"/v1/runs/{gone}"), 404, "run_not_found")
    assert mock.of(name)["generations"] == 1 + 3  # the first step, and a second one of each fork


KEYS = {"red": "tlk_red_0123456789", "blue": "tlk_blue_0123456789"}


def test_another_projects_runs_do_not_exist(serve, mock, model, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("projects:\n" + "".join(
        f"  - name: {project}\n    keys: [\"{hashlib.sha256(key.encode()).hexdigest()}\"]\n"
        for project, key in KEYS.items()))
    server = serve("--config", str(path))
    as_ = lambda project, **more: {"Authorization": f"Bearer {KEYS[project]}", **more}
    name = model("events=3")
    server.post(name, as_("red", **step("r", "1")))
    assert server.call("PUT", "/v1/runs/r/checkpoints/c", b"red", as_("red")).status == 201
    absent = server.call("GET", "/v1/runs/none", None, as_("blue"))
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/checkpoints"),
                         ("GET", "/checkpoints/c"), ("GET", "/checkpoints/latest"),
                         ("DELETE", "/checkpoints/c")):
        reply = server.call(method, f"/v1/runs/r{path}", None, as_("blue"))
        wire.assert_error(reply, 404, "run_not_found")
        assert reply.body == absent.body  # nothing tells that it is another one's
    fork = server.call("POST", "/v1/runs/r/fork", {"at": "1", "run": "s"}, as_("blue"))
    wire.assert_error(fork, 404, "run_not_found")
    assert server.call("GET", "/v1/runs", None, as_("blue")).json()["data"] == []
    server.post(name, as_("blue", **step("r", "1")))  # a run of their own
    assert mock.of(name)["generations"] == 2
    assert server.call("GET", "/v1/runs/r/checkpoints/c", None, as_("red")).body == b"red"


def listing(server, query, run="pages"):
    reply = server.call("GET", f"/v1/runs/{run}/checkpoints{query}")
    assert reply.status == 200, reply.body
    return [one["name"] for one in reply.json()["data"]], reply.json()["next"]


def test_pages_of_checkpoints_by_name(server):
    names = ["a/2", "b/1", "a/10", "a/3", "b", "a/1", "c%/x"]
    for name in names:
        quoted = urllib.parse.quote(name, safe="")
        assert checkpoint(server, "PUT", quoted, b"x", run="pages").status == 201
    checkpoint(server, "PUT", "b", b"again", run="pages")
    newest = ["b", "c%/x", "a/1", "a/3", "a/10", "b/1", "a/2"]
    assert listing(server, "") == (newest, None)
    assert listing(server, "?prefix=a/") == (["a/1", "a/3", "a/10", "a/2"], None)
    assert listing(server, "?order=name") == (sorted(names, reverse=True), None)
    assert listing(server, "?order=name&prefix=a%2F&limit=1") == (["a/3"], "a/3")
    seen, before = [], ""
    while before is not None:
        page, before = listing(server, "?order=name&limit=2" + (
            f"&before={urllib.parse.quote(before, safe='')}" if before else ""))
        seen += page
    assert seen == sorted(names, reverse=True)
    assert listing(server, "?order=name&before=a/2&prefix=a") == (["a/10", "a/1"], None)
    assert listing(server, "?prefix=z") == ([], None)
    for query in ("order=size", "order=name&order=name", "prefix=%zz", f"prefix={'p' * 129}",
                  "before=x", "limit=1001", f"order=name&before={'p' * 129}"):
        wire.assert_error(server.call("GET", f"/v1/runs/pages/checkpoints?{query}"), 400)


def test_an_etag_never_comes_again(serve):
    """Neither after the run was deleted and begun again, with as many checkpoints as it had."""
    server = serve()
    old = [checkpoint(server, "PUT", "a", b"%d" % at).header("etag") for at in range(3)]
    assert server.call("DELETE", "/v1/runs/states").status == 204
    new = [checkpoint(server, "PUT", "a", b"%d" % at).header("etag") for at in range(3)]
    assert len(set(old + new)) == 6
    for etag in old:
        condition = {"If-Match": etag}
        wire.assert_error(checkpoint(server, "PUT", "a", b"lost", condition), 412)
        wire.assert_error(checkpoint(server, "DELETE", "a", None, condition), 412)
        assert checkpoint(server, "GET", "a", None, {"If-None-Match": etag}).status == 200
    server.kill()
    server.start()
    assert checkpoint(server, "GET", "a").header("etag") == new[-1]
    assert checkpoint(server, "PUT", "a", b"next", {"If-Match": new[-1]}).status == 200


def test_states_are_all_there_or_not_at_all(serve):
    """Writers that count in one checkpoint under its condition, while the server is killed."""
    server = serve()
    count, etag = 0, None
    for _ in range(3):
        for _ in range(20):
            condition = {"If-Match": etag} if etag else {"If-None-Match": "*"}
            body = (b"%d " % (count + 1)) * 500
            reply = checkpoint(server, "PUT", "counter", body, condition)
            assert reply.status in (200, 201)
            count, etag = count + 1, reply.header("etag")
        cut = server.wire()
        cut.ask("PUT", "/v1/runs/states/checkpoints/counter", (b"%d " % (count + 1)) * 500)
        server.kill()
        cut.close()
        server.start()
        got = checkpoint(server, "GET", "counter")
        number = int(bytes(got.body).split()[0])
        assert number in (count, count + 1) and got.body == (b"%d " % number) * 500
        count, etag = number, got.header("etag")


def test_what_was_read_is_not_taken_back(serve):
    """Readers of a run that is being written to see it grow; a crash takes nothing from them."""
    server = serve()
    checkpoint(server, "PUT", "c", b"first")
    stop, put = threading.Event(), {}

    def write():
        while not stop.is_set():
            reply = checkpoint(server, "PUT", "c", b"more")
            assert reply.status == 200
            put[reply.header("etag")] = reply.json()["seq"]

    def newest():
        return server.call("GET", "/v1/runs/states/checkpoints").json()["data"][0]["seq"]

    with concurrent.futures.ThreadPoolExecutor() as pool:
        writers = [pool.submit(write) for _ in range(4)]
        read = [checkpoint(server, "GET", name).header("etag") for name in ["c", "latest"] * 40]
        listed = newest()
        server.process.kill()
        stop.set()
        concurrent.futures.wait(writers)
    seen = [put[etag] for etag in read if etag in put]  # of some PUTs the answer was cut off
    assert seen == sorted(seen) and seen[-1] > seen[0]
    server.kill()
    server.start()
    assert newest() >= max(listed, seen[-1])


def test_names_that_are_none(server):
    for name in ("a%20b", "a%22b", "%ff", "%00", "p" * 129):
        wire.assert_error(server.call("PUT", f"/v1/runs/{name}"), 400)
        wire.assert_error(checkpoint(server, "PUT", name, b"x", run="names"), 400)
    wire.assert_error(server.call("GET", "/v1/runs/names"), 404, "run_not_found")
    wire.assert_error(checkpoint(server, "GET", "c", run="names"), 404, "run_not_found")
    wire.assert_error(server.call("POST", "/v1/runs/names/fork", b"{"), 400, "invalid_body")
    long = "p" * 128
    assert server.call("PUT", f"/v1/runs/{long}").status == 201
    assert checkpoint(server, "PUT", long, b"x", run=long).status == 201
    wire.assert_error(checkpoint(server, "PUT", "c", b"x", {"Content-Type": "t" * 257}, long), 400,
                      "invalid_content_type")
    wire.assert_error(checkpoint(server, "PUT", "c", b"x", {
        "Tokenlog-Offsets": '{"a":"%s"}' % ("o" * 4096)}, long), 400, "invalid_offsets")
    wire.assert_error(server.call("PUT", f"/v1/runs/{long}", {"m": "m" * 4096}), 400,
                      "invalid_metadata")
