"""Several attempts: what the caller sees byte for byte, what providers bill, what is recorded."""

import datetime
import json
import signal
import socket
import subprocess

import pytest

import programs
import wire

ERROR = b'{"error":{"message":"busy","type":"server_error","code":null,"param":null}}'
GOOD = (b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"good"}}]}\n\n'
        b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: [DONE]\n\n')
CLAUDE_START = (b'event: message_start\ndata: {"type":"message_start","message":{"id":"m",'
                b'"usage":{"input_tokens":5,"output_tokens":1}}}\n\n'
                b'event: ping\ndata: {"type":"ping"}\n\n')
CLAUDE_ERROR = (b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
                b'"message":"Overloaded"}}\n\n')
CLAUDE_GOOD = CLAUDE_START + (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"good"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":3}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def failing(status, more=""):
    head = f"HTTP/1.1 {status} Sorry\r\nContent-Type: application/json\r\n{more}"
    return (head + f"Content-Length: {len(ERROR)}\r\n\r\n").encode() + ERROR


def broken(events):
    """A stream whose transfer ends before its framing says so."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n" % (len(events), events) if events else head


FAILOVERS = 'tokenlog_attempts_total{attempt="failover"}'
# Provider, its answer, and the first attempt's status and why.
FAULTS = [
    ("down", None, None, "upstream_refused"),
    ("full", None, None, "upstream_timeout_connect"),
    ("one", failing(500), 500, "upstream_status"),
    ("one", failing(529), 529, "upstream_status"),
    ("one", failing(408), 408, "upstream_status"),
    ("limited", failing(429, "Retry-After: 30\r\n"), 429, "upstream_status"),
    ("one", programs.canned_sse(b'data: {"error":{"message":"busy"}}\n\n'), 200,
     "provider_error"),
    ("one", programs.canned_json(ERROR), 200, "provider_error"),
    ("one", programs.canned_sse(b""), 200, "upstream_truncated"),
    ("one", broken(b""), 200, "upstream_reset"),
    ("one", broken(b": wait\n\n"), 200, "upstream_reset"),
    ("one", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
     200, "upstream_reset"),
]


def unused_url():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


class Full:
    """A provider whose queue of connections is full: those that come are not answered at all."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.waiting = [socket.socket() for _ in range(4)]
        for one in self.waiting:
            one.setblocking(False)
            one.connect_ex(self.listener.getsockname())

    def close(self):
        for one in [self.listener, *self.waiting]:
            one.close()


class Scripted(programs.Canned):
    """The n-th call of a model gets the n-th of its answers, the last one all that follow."""

    def __init__(self):
        self.script, self.seen = {}, {}
        super().__init__([])

    def answer_to(self, request):
        model = json.loads(request[1])["model"]
        self.seen.setdefault(model, []).append(request)
        answers = self.script[model]
        return answers[min(len(self.seen[model]), len(answers)) - 1]

    def bodies(self, model):
        return [json.loads(body) for _, body in self.seen.get(model, [])]


def provider(name, url, *lines):
    return f"  - name: {name}\n    base_url: {url}\n" + "".join(f"    {line}\n" for line in lines)


def route(*targets, name="smart", **policy):
    lines = [f"  - model: {name}\n"]
    lines += [f"    {key}: {value}\n" for key, value in policy.items()]
    return "".join(lines) + "    targets: [" + ", ".join(f'"{one}"' for one in targets) + "]\n"


@pytest.fixture
def routed(serve, tmp_path):
    """routed(providers, routes): a server of that configuration."""

    def start(providers, routes=""):
        path = tmp_path / "config.yaml"
        text = "providers:\n" + "".join(providers) + ("routes:\n" + routes if routes else "")
        path.write_text(text)
        return serve("--config", str(path), provider=None)

    return start


SLOW = "mock,ttft=60000,id=failover"
ROUTES = {
    "quick": (["mock/" + SLOW + "1", "two/quick"], {"first_byte_timeout_ms": 300}),
    "silent": (["mock/mock,fault=stall@0,id=failover2", "two/silent"],
               {"first_byte_timeout_ms": 400}),
    "dialects": (["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"], {}),
    "unfit": (["anthropic/claude-haiku-4-5", "two/unfit"], {}),
    "early": (["anthropic/early", "claude/early"], {}),
    "early-restart": (["anthropic/early-restart", "claude/early-restart"],
                      {"on_death": "restart"}),
    "dying": (["mock/mock,events=20,fault=reset@8,id=failover3", "two/dying"], {}),
    "dying-restart": (["mock/mock,events=20,fault=reset@8,id=failover4", "two/dying"],
                      {"on_death": "restart"}),
    "keys": (["keyed/keys"], {}),
    "hedge-wins": (["mock/" + SLOW + "5", "two/hedge"], {"hedge": "{after_ms: 100}"}),
    "hedge-loses": (["mock/mock,ttft=1500,events=5,id=failover6", "mock/" + SLOW + "7"],
                    {"hedge": "{after_ms: 100}"}),
    "hedge-alone": (["one/hedge-alone", "mock/mock,ttft=1500,events=5,id=failover8"],
                    {"hedge": "{after_ms: 100}", "retries": 1}),
}


class World:
    """One server for all tests that leave its targets' health alone: each has models of its own."""

    def __init__(self, folder, mock):
        (self.one, self.two, self.limited, self.busy, self.keyed, self.claude, self.anthropic,
         self.openai) = self.providers = [Scripted() for _ in range(8)]
        self.full = Full()
        config = folder / "config.yaml"
        config.write_text("providers:\n" + "".join([
            provider("one", self.one.url), provider("two", self.two.url),
            provider("limited", self.limited.url), provider("busy", self.busy.url),
            provider("mock", mock.url),
            provider("down", unused_url()), provider("full", self.full.url),
            provider("keyed", self.keyed.url, "keys: [alpha, beta]"),
            provider("claude", self.claude.url, "type: anthropic", "key: k"),
            provider("anthropic", self.anthropic.url, "key: k"),
            provider("openai", self.openai.url, "key: k"),
        ]) + "routes:\n" + "".join(
            route(*targets, name=name, **policy) for name, (targets, policy) in ROUTES.items()
        ) + "".join(route(f"{name}/pair{i}", f"two/pair{i}", name=f"pair{i}",
                          **({"connect_timeout_ms": 300} if name == "full" else {}))
                    for i, (name, *_) in enumerate(FAULTS)))
        self.server = programs.Server(folder, None, "--config", str(config))

    def close(self):
        self.server.stop()
        self.server.check_log()
        for one in [*self.providers, self.full]:
            one.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory, mock):
    world = World(tmp_path_factory.mktemp("failover"), mock)
    yield world
    world.close()


def attempts(server, reply, *wanted):
    """The stream's attempts, each (target, kind, status, why)."""
    row = server.row(reply.header("tokenlog-stream-id"))
    found = [(one["target"], one["kind"], one["status"], one["why"]) for one in row["attempts"]]
    assert found == list(wanted), row["attempts"]
    assert [one["number"] for one in row["attempts"]] == list(range(1, len(wanted) + 1))
    assert [one["shown"] for one in row["attempts"]].count(True) == 1
    for one in row["attempts"]:
        assert one["started_at"] and one["ended_at"]
    return row


def assert_good(reply, target, attempt, body=GOOD):
    assert (reply.status, reply.end, bytes(reply.body)) == (200, "clean", body)
    assert reply.header("tokenlog-target") == target
    assert reply.header("tokenlog-attempt") == str(attempt)


# ── what fails before anything is shown ───────────────────────────────────────────────────────

@pytest.mark.parametrize("index", range(len(FAULTS)))
def test_another_target_answers(world, index):
    name, fault, status, why = FAULTS[index]
    if fault:
        getattr(world, name).script[f"pair{index}"] = [fault]
    world.two.script[f"pair{index}"] = [programs.canned_sse(GOOD)]
    before = world.server.metrics()[FAILOVERS]
    reply = world.server.post(f"pair{index}")
    assert_good(reply, f"two/pair{index}", 2)
    row = attempts(world.server, reply, (f"{name}/pair{index}", "first", status, why),
                   (f"two/pair{index}", "failover", 200, None))
    assert (row["provider"], row["model"], row["state"]) == ("two", f"pair{index}", "completed")
    assert len(world.two.bodies(f"pair{index}")) == 1
    assert world.server.raw(row["id"]) == GOOD
    assert world.server.metrics()[FAILOVERS] == before + 1


def test_a_slow_first_byte(world, mock):
    world.two.script["quick"] = [programs.canned_sse(GOOD)]
    reply = world.server.post("quick")
    assert_good(reply, "two/quick", 2)
    attempts(world.server, reply,
             ("mock/" + SLOW + "1", "first", None, "upstream_timeout_first_byte"),
             ("two/quick", "failover", 200, None))
    programs.eventually(lambda: mock.of(SLOW + "1")["aborted"] == 1)


def test_a_head_and_then_nothing(world):
    world.two.script["silent"] = [programs.canned_sse(GOOD)]
    reply = world.server.post("silent")
    assert_good(reply, "two/silent", 2)
    attempts(world.server, reply,
             (ROUTES["silent"][0][0], "first", 200, "upstream_timeout_first_byte"),
             ("two/silent", "failover", 200, None))


def test_an_error_behind_anthropics_preamble(world):
    world.claude.script["behind"] = [programs.canned_sse(CLAUDE_START + CLAUDE_ERROR),
                                     programs.canned_sse(CLAUDE_GOOD)]
    headers = {"Tokenlog-Retries": "1", "Tokenlog-Backoff-Ms": "1"}
    reply = world.server.post("claude/behind", headers, "/v1/messages", max_tokens=9)
    assert_good(reply, "claude/behind", 2, CLAUDE_GOOD)
    row = attempts(world.server, reply, ("claude/behind", "first", 200, "provider_error"),
                   ("claude/behind", "retry", 200, None))
    assert row["attempts"][0]["usage"]["input_tokens"] == 5
    assert len(world.claude.bodies("behind")) == 2


def test_a_target_of_another_dialect(world):
    world.openai.script["gpt-4o-mini"] = [failing(503)]
    world.anthropic.script["claude-haiku-4-5"] = [programs.canned_sse(CLAUDE_GOOD)]
    reply = world.server.post("dialects")
    assert reply.status == 200 and reply.end == "clean"
    assert b'"content":"good"' in reply.body and reply.body.endswith(b"data: [DONE]\n\n")
    assert reply.header("tokenlog-target") == "anthropic/claude-haiku-4-5"
    row = world.server.row(reply.header("tokenlog-stream-id"))
    assert row["provider_dialect"] == "anthropic" and row["dialect"] == "openai_chat"
    head, _ = world.anthropic.seen["claude-haiku-4-5"][0]
    assert "x-api-key: k" in head and "/v1/messages" in head
    shown = row["attempts"][1]
    assert shown["usage"]["input_tokens"] == 5 and shown["cost"] > 0
    assert row["cost"] == shown["cost"]


def test_a_target_that_cannot_be_told_the_call_is_passed_by(world):
    world.two.script["unfit"] = [programs.canned_sse(GOOD)]
    reply = world.server.post("unfit", logit_bias={"1": 5})
    assert_good(reply, "two/unfit", 1)
    attempts(world.server, reply, ("two/unfit", "first", 200, None))


# ── retries ───────────────────────────────────────────────────────────────────────────────────

def test_without_a_route_nothing_is_tried_twice(world):
    world.one.script["once"] = [failing(500), programs.canned_sse(GOOD)]
    reply = world.server.post("one/once")
    assert (reply.status, bytes(reply.body)) == (500, ERROR)
    assert reply.header("tokenlog-attempt") == "1" and len(world.one.bodies("once")) == 1
    attempts(world.server, reply, ("one/once", "first", 500, "upstream_status"))


@pytest.mark.parametrize("path", ["/one/v1/chat/completions", "/one/v1/anything?a=1"])
def test_what_is_passed_on_as_it_is_may_be_tried_again(world, path):
    """Where the call asks for it, and byte for byte the same."""
    name = f"native{len(path)}"
    world.one.script[name] = [failing(500), failing(502), programs.canned_sse(GOOD)]
    assert world.server.post(name, None, path).status == 500  # without a wish: once
    wish = {"Tokenlog-Retries": "1", "Tokenlog-Backoff-Ms": "1", "X-Mine": "yes"}
    reply = world.server.post(name, wish, path)
    assert (reply.status, bytes(reply.body)) == (200, GOOD)
    attempts(world.server, reply, (f"one/{name}", "first", 502, "upstream_status"),
             (f"one/{name}", "retry", 200, None))
    _, second, third = world.one.seen[name]
    assert second == third and second[0].startswith(f"POST {path[4:]} HTTP")
    assert "x-mine: yes" in second[0].lower()


def test_retries_used_up_leave_the_last_answer(world):
    last = failing(503, "Retry-After: 0\r\nX-Last: yes\r\n")
    world.one.script["thrice"] = [failing(500), failing(502), last]
    reply = world.server.post("one/thrice", {"Tokenlog-Retries": "2", "Tokenlog-Backoff-Ms": "1"})
    assert (reply.status, bytes(reply.body), reply.header("x-last")) == (503, ERROR, "yes")
    assert reply.header("tokenlog-attempt") == "3"
    bodies = world.one.bodies("thrice")
    assert len(bodies) == 3 and bodies == [bodies[0]] * 3
    row = attempts(world.server, reply, ("one/thrice", "first", 500, "upstream_status"),
                   ("one/thrice", "retry", 502, "upstream_status"),
                   ("one/thrice", "retry", 503, "upstream_status"))
    assert (row["state"], row["reason"]) == ("failed", "upstream_status")
    shown = subprocess.run(
        [programs.TOKENLOG, "show", row["id"], "--data", str(world.server.data), "--server",
         world.server.url], capture_output=True, text=True, timeout=60,
        env=programs.environment())
    assert "3 retry one/thrice: 503 upstream_status, shown\n" in shown.stdout, shown


def test_a_wait_that_the_provider_names_is_kept(world):
    world.busy.script["wait"] = [failing(429, "Retry-After: 1\r\n"), programs.canned_sse(GOOD)]
    reply = world.server.post("busy/wait", {"Tokenlog-Retries": "1", "Tokenlog-Backoff-Ms": "1"})
    assert_good(reply, "busy/wait", 2)
    row = attempts(world.server, reply, ("busy/wait", "first", 429, "upstream_status"),
                   ("busy/wait", "retry", 200, None))
    first, second = row["attempts"]
    times = [datetime.datetime.fromisoformat(one[:-1])
             for one in (first["ended_at"], second["started_at"])]
    assert (times[1] - times[0]).total_seconds() >= 0.9  # by the clock of the wall
    assert len(world.busy.bodies("wait")) == 2


def test_a_wait_that_is_too_long_is_the_callers(world):
    world.busy.script["long"] = [failing(429, "Retry-After: 600\r\n")]
    reply = world.server.post("busy/long", {"Tokenlog-Retries": "5", "Tokenlog-Backoff-Ms": "1"})
    assert (reply.status, bytes(reply.body), reply.header("retry-after")) == (429, ERROR, "600")
    assert len(world.busy.bodies("long")) == 1


def test_a_callers_own_fault_is_not_repeated(world):
    world.one.script["fault"] = [failing(400), programs.canned_sse(GOOD)]
    reply = world.server.post("one/fault", {"Tokenlog-Retries": "5"})
    assert (reply.status, bytes(reply.body), len(world.one.bodies("fault"))) == (400, ERROR, 1)


@pytest.mark.parametrize("name,value", [
    ("Tokenlog-Retries", "6"), ("Tokenlog-Retries", "many"), ("Tokenlog-Backoff-Ms", "-1"),
    ("Tokenlog-First-Byte-Timeout-Ms", "1.5")])
def test_a_wish_that_cannot_be_read_is_refused(world, name, value):
    error = wire.assert_error(world.server.post("one/x", {name: value}), 400)
    assert name in error["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_held_answer_is_passed_whole(world, mock, model, stream):
    name = model("events=30", "size=20000")
    first = world.server.post(f"mock/{name}", {"Tokenlog-Retries": "3"}, stream=stream)
    assert first.end == "clean"
    assert bytes(first.body) == world.server.raw(first.header("tokenlog-stream-id"))
    if stream:
        wire.assert_exact(first.body, 30)
    assert mock.of(name)["requests"] == mock.of(name)["completed"] == 1


# ── a death in mid-stream ─────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("name", ["dying", "dying-restart"])
def test_a_death_after_something_was_shown_is_said_honestly(world, mock, name):
    reply = world.server.post(name)
    assert reply.status == 200 and reply.end in ("cut", "reset")
    _, indexes = wire.tokens(reply.body)
    assert indexes == list(range(8)) and not world.two.bodies("dying")
    target = ROUTES[name][0][0]
    row = attempts(world.server, reply, (target, "first", 200, "upstream_reset"))
    assert row["state"] == "failed"
    assert mock.of(target.partition("/")[2])["generations"] == 1


@pytest.mark.parametrize("name", ["early", "early-restart"])
def test_a_death_before_anything_was_shown(world, name):
    world.anthropic.script[name] = [broken(CLAUDE_START)]
    world.claude.script[name] = [programs.canned_sse(CLAUDE_GOOD)]
    reply = world.server.post(name, None, "/v1/messages", max_tokens=9)
    assert_good(reply, f"claude/{name}", 2, CLAUDE_GOOD)
    attempts(world.server, reply, (f"anthropic/{name}", "first", 200, "upstream_reset"),
             (f"claude/{name}", "failover", 200, None))


# ── keys, hedges (breakers: test_routes.py) ───────────────────────────────────────────────────

def test_a_key_that_is_used_up_rests(world):
    world.keyed.script["keys"] = [failing(429, "Retry-After: 600\r\n"),
                                  programs.canned_sse(GOOD)]
    replies = [world.server.post("keys") for _ in range(3)]
    assert_good(replies[0], "keyed/keys", 2)
    assert_good(replies[1], "keyed/keys", 1)
    assert_good(replies[2], "keyed/keys", 1)
    used = [next(line for line in head.lower().split("\r\n") if line.startswith("authorization"))
            for head, _ in world.keyed.seen["keys"]]
    assert len(set(used)) == 2 and len(set(used[1:])) == 1
    row = attempts(world.server, replies[0], ("keyed/keys", "first", 429, "upstream_status"),
                   ("keyed/keys", "retry", 200, None))
    assert {key["key"] for key in row["attempts"]} == {"key 1", "key 2"}
    assert "alpha" not in json.dumps(row) and "beta" not in json.dumps(row)


def test_a_hedge_wins_and_the_other_is_given_up(world, mock):
    world.two.script["hedge"] = [programs.canned_sse(GOOD)]
    reply = world.server.post("hedge-wins", {"Idempotency-Key": "hedge"})
    assert_good(reply, "two/hedge", 2)
    attempts(world.server, reply, ("mock/" + SLOW + "5", "first", None, "hedge_lost"),
             ("two/hedge", "hedge", 200, None))
    programs.eventually(lambda: mock.of(SLOW + "5")["aborted"] == 1)
    assert mock.of(SLOW + "5")["generations"] == len(world.two.bodies("hedge")) == 1


def test_a_hedge_loses(world, mock):
    reply = world.server.post("hedge-loses")
    wire.assert_exact(reply.body, 5)
    assert reply.header("tokenlog-attempt") == "1"
    row = world.server.row(reply.header("tokenlog-stream-id"))
    assert {(one["kind"], one["why"]) for one in row["attempts"]} == \
        {("first", None), ("hedge", "hedge_lost")}
    programs.eventually(lambda: mock.of(SLOW + "7")["aborted"] == 1)
    winner = mock.of("mock,ttft=1500,events=5,id=failover6")
    assert winner["completed"] == winner["generations"] == mock.of(SLOW + "7")["generations"] == 1


def test_a_hedge_is_what_is_left_when_the_first_fails(world, mock):
    world.one.script["hedge-alone"] = [failing(500)]
    reply = world.server.post("hedge-alone")
    wire.assert_exact(reply.body, 5)
    assert mock.of("mock,ttft=1500,events=5,id=failover8")["requests"] == 1


# ── reload ───────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("way", ["SIGHUP", "tokenlog reload"])
def test_a_route_is_reloaded_under_load(routed, mock, model, tmp_path, way):
    first, second = model("events=40", "rate=40"), model("events=10", "rate=40")
    one = provider("one", mock.url)
    server = routed([one], route(f"one/{first}"))
    with wire.Crowd(0.01) as crowd:
        for _ in range(20):
            crowd.add(server.place, "POST", "/v1/chat/completions", programs.ask("smart"), None)
        programs.eventually(lambda: mock.of(first)["requests"] > 0)
        (tmp_path / "config.yaml").write_text(
            "providers:\n" + one + "routes:\n" + route(f"one/{second}"))
        if way == "SIGHUP":
            server.process.send_signal(signal.SIGHUP)
            programs.eventually(lambda: '"event":"reloaded"' in server.log())
        else:
            done = subprocess.run([programs.TOKENLOG, "reload", "--data", str(server.data)],
                                  capture_output=True, text=True, timeout=60,
                                  env=programs.environment())
            assert done.returncode == 0, done.stderr
        wire.assert_exact(server.post("smart").body, 10)
        replies = crowd.finish()
    assert {reply.end for reply in replies} == {"clean"}
    for reply in replies:
        wire.assert_exact(reply.body, 40 if len(wire.tokens(reply.body)[1]) > 10 else 10)
        assert server.raw(reply.header("tokenlog-stream-id")) == bytes(reply.body)
    billed = [mock.of(name) for name in (first, second)]
    assert sum(one["completed"] for one in billed) == len(replies) + 1  # each is paid for once
    assert sum(one["generations"] for one in billed) == len(replies) + 1
