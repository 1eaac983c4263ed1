"""Answers that break off in their middle, gone on with by another provider (`on_death: continue`).

One server has a route for each case: its first provider breaks off, its second is there to go on.
"""

import json
import pathlib
import re

import pytest

import dialects
import programs
import wire
from test_failover import broken, provider, route

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden/continue"
# Providers of the catalogue that speak a dialect, and no other one.
TYPES = {"openai_chat": ("openai", "dialects: [openai_chat]"),
         "openai_responses": ("openai", "dialects: [openai_responses]"),
         "anthropic": ("anthropic",), "gemini": ("google-ai-studio", "dialect: gemini")}
# The rig of the unit test says itself that calls are held; a route that holds them shows none.
GOLDENS = sorted(path.stem for path in GOLDEN.glob("*.txt") if path.stem != "chat_held_calls")
TAKES_PREFILL = "claude-haiku-4-5"
POLICY = {"on_death": "continue", "retries": 1, "backoff_ms": 1}
THIRD_ID = "0198c0de000070008000000000000001"  # of the stream, in the goldens


def golden(name):
    """A case of tests/golden/continue: its head's lines, and its parts."""
    head, *parts = re.split(r"^== (\w+)\n", (GOLDEN / f"{name}.txt").read_text(), flags=re.M)
    lines = dict(line.split(": ", 1) for line in head.splitlines())
    return lines, dict(zip(parts[::2], parts[1::2]))


def chat(text, finish=None, **delta):
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
        {"index": 0, "delta": {"content": text, **delta} if text else delta,
         "finish_reason": finish}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def call(arguments, **members):
    return chat(None, tool_calls=[{"index": 0, **members, "function": {"arguments": arguments}}])


DONE = b"data: [DONE]\n\n"
FIRST = chat("Hello ", role="assistant")
SECOND = chat("world", role="assistant") + chat(None, "stop") + DONE
ERROR = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
CALL = chat(None, tool_calls=[{"index": 0, "id": "c1", "type": "function",
                               "function": {"name": "f", "arguments": '{"a":'}}])
WHOLE_CALL = CALL + call("1}") + chat(None, "tool_calls") + DONE
JSON = {"response_format": {"type": "json_object"}}

DEATHS = {"reset": broken(FIRST), "error": broken(FIRST + ERROR),
          "no-end": programs.canned_sse(FIRST)}
# What the first one says before it dies, what is asked, the policy: nobody is asked to go on.
HOPELESS = {"fail": (FIRST, {}, {"on_death": "fail"}),
            "restart": (FIRST, {}, {"on_death": "restart"}),
            "in-a-call": (FIRST + CALL, {}, {}), "json": (FIRST, JSON, {}),
            "audio": (FIRST, {"audio": {"voice": "alloy"}}, {})}
CASES = {
    **{f"death-{name}": ([death, programs.canned_sse(SECOND)], {})
       for name, death in DEATHS.items()},
    **{f"hopeless-{name}": ([broken(said), programs.canned_sse(SECOND)], policy)
       for name, (said, _, policy) in HOPELESS.items()},
    "held": ([broken(FIRST + CALL), programs.canned_sse(SECOND)], {"hold": "tools"}),
    "held-whole": ([programs.canned_sse(FIRST + WHOLE_CALL)], {"hold": "tools"}),
    "terminator": ([broken(FIRST + chat(None, "stop")), programs.canned_sse(SECOND)], {}),
    "three": ([broken(FIRST), broken(chat("wor", role="assistant")),
               programs.canned_sse(chat("ld", role="assistant") + chat(None, "stop") + DONE)],
              {"retries": 2}),
    "nobody": ([broken(FIRST), programs.canned_json(ERROR, "500 Sorry")], {}),
}
DYING = "mock,events=20,fault=reset@8,id=continue"
LIVING = "mock,events=5,id=continue"
STALLING = "mock,events=20,fault=stall@8,id=continue"
LONG = "mock,events=4000,size=600,fault=reset@3000,id=continue"
PAIRS = [(caller, one, two) for caller in dialects.CHATS for one in dialects.CHATS
         for two in dialects.CHATS]


def of_type(name, url, dialect):
    kind, *lines = TYPES[dialect]
    return provider(name, url, f"type: {kind}", "key: k", *lines)


class World:
    def __init__(self, folder, mock):
        self.providers, self.lines, self.routes = {}, [], []
        for name in GOLDENS:
            self.add_golden(name)
        for name, (answers, policy) in CASES.items():
            targets = [f"{self.add(f'{name}-{i}', answer, 'openai_chat')}/m{i}"
                       for i, answer in enumerate(answers)]
            self.routes.append(route(*targets, name=name, **{**POLICY, **policy}))
        for dialect in dialects.CHATS:
            self.lines.append(of_type(f"mock-{dialect}", mock.url, dialect))
        for number, (_, one, two) in enumerate(PAIRS):
            self.routes.append(route(f"mock-{one}/{DYING}{number}", f"mock-{two}/{LIVING}{number}",
                                     name=f"pair-{number}", **POLICY))
        self.routes.append(route(f"mock-openai_chat/{STALLING}", f"mock-anthropic/{LIVING}",
                                 name="stall", **POLICY, idle_timeout_ms=2000))
        self.add("long", programs.canned_sse(SECOND), "openai_chat")
        self.routes.append(route(f"mock-openai_chat/{LONG}", "long/m", name="long", **POLICY))
        config = folder / "config.yaml"
        config.write_text(
            "providers:\n" + "".join(self.lines) + "routes:\n" + "".join(self.routes))
        self.server = programs.Server(folder, None, "--config", str(config))

    def add(self, name, answer, dialect):
        self.providers[name] = programs.Canned(answer)
        self.lines.append(of_type(name, self.providers[name].url, dialect))
        return name

    def add_golden(self, name):
        head, parts = golden(name)
        self.add(f"{name}-0", broken(parts["first"].encode()), head["caller"])
        self.add(f"{name}-1", programs.canned_sse(parts["second"].encode()), head["provider"])
        model = TAKES_PREFILL if head.get("prefill") else "their-model"
        policy = {}
        if "message" in head:
            policy["continue"] = "{message: %s}" % head["message"]
        if "by" in head:
            policy["continue"] = "{by: %s}" % head["by"]
        self.routes.append(
            route(f"{name}-0/x", f"{name}-1/{model}", name=name, **POLICY, **policy))

    def requests(self, name):
        return [json.loads(body) for _, body in self.providers[name].requests]

    def close(self):
        self.server.stop()
        self.server.check_log()
        for one in self.providers.values():
            one.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory, mock):
    world = World(tmp_path_factory.mktemp("continue"), mock)
    yield world
    world.close()


def attempts(server, reply):
    """The stream's row, and of its attempts (target, kind, why, from)."""
    row = server.row(reply.header("tokenlog-stream-id"))
    return row, [(one["target"], one["kind"], one["why"], one["from"]) for one in row["attempts"]]


def events_of(data):
    return len(wire.split_events(data)[0])


# ── byte for byte ─────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("name", GOLDENS)
def test_each_dialect_goes_on_as_the_goldens_say(world, name):
    """What the second provider is asked, what the caller gets, where the record has the seam."""
    head, parts = golden(name)
    request = {**json.loads(parts["request"]), "model": name}
    if head.get("usage") == "yes":
        request["stream_options"] = {"include_usage": True}
    reply = world.server.call("POST", dialects.PATHS[head["caller"]], json.dumps(request).encode())
    row, found = attempts(world.server, reply)
    first = (f"{name}-0/x", "first", "upstream_reset", 0)
    shown = parts["first"].encode()
    if head.get("way") == "ends":
        assert bytes(reply.body) == shown + parts["results"].encode()
        assert (reply.end, row["state"]) == ("clean", "completed")
        assert not world.requests(f"{name}-1")
        return
    if "refused" in head or head.get("way") == "cannot":
        assert (bytes(reply.body), reply.end) == (shown, "cut")
        assert (row["state"], row["reason"], found) == ("failed", "upstream_reset", [first])
        assert not world.requests(f"{name}-1")
        return
    model = TAKES_PREFILL if head.get("prefill") else "their-model"
    asked, appended = parts["results"].split("\n\n", 1)
    if "usage" not in head:  # it was not asked for
        appended = re.sub(r'data: \{[^\n]*"choices":\[\],[^\n]*\n\n', "", appended)
    place, wanted = asked.replace("their-model", model).split("\n", 1)
    assert world.requests(f"{name}-1") == [json.loads(wanted)]
    line, _, _ = world.providers[f"{name}-1"].requests[0][0].partition(" HTTP")
    assert line == place.replace("/models", "/v1beta/models")
    stream = row["id"].replace("-", "")
    assert bytes(reply.body) == shown + appended.replace(THIRD_ID, stream).encode()
    assert (reply.end, row["state"]) == ("clean", "completed")
    assert found == [first, (f"{name}-1/{model}", "continuation", None, events_of(shown))]
    assert world.server.raw(row["id"]) == bytes(reply.body)


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_across_dialects(world, mock, number):
    """One well-formed answer of the caller's, and each provider bills what it said."""
    caller, one, two = PAIRS[number]
    reply = world.server.call("POST", dialects.PATHS[caller],
                              dialects.body(caller, f"pair-{number}"))
    said = dialects.read(caller, bytes(reply.body))
    assert (reply.status, reply.end, said["finish"]) == (200, "clean", "stop")
    words = re.findall(r"t(\d+)", said["text"])
    assert words == [str(i) for i in range(8)] + [str(i) for i in range(5)]
    row, found = attempts(world.server, reply)
    assert [(target, kind, why) for target, kind, why, _ in found] == [
        (f"mock-{one}/{DYING}{number}", "first", "upstream_reset"),
        (f"mock-{two}/{LIVING}{number}", "continuation", None)]
    first, second = mock.of(f"{DYING}{number}"), mock.of(f"{LIVING}{number}")
    assert (first["requests"], first["tokens"], first["failed"]) == (1, 8, 1)
    assert (second["requests"], second["tokens"], second["completed"]) == (1, 5, 1)
    assert row["attempts"][1]["usage"]["output_tokens"] == 5
    before = wire.split_events(reply.body)[0][: found[1][3]]
    assert re.findall(r"t(\d+)", text_of(caller, b"".join(before))) == words[:8]


def text_of(caller, data):
    """As far as it was said: of a part that is no answer by itself."""
    if caller == "openai_responses":
        return "".join(event["delta"] for name, event in dialects.events(data)
                       if name == "response.output_text.delta")
    return dialects.read(caller, data)["text"]


@pytest.mark.parametrize("name", DEATHS)
def test_the_caller_sees_one_answer(world, name):
    """However it dies; an error that the provider has sent is not shown."""
    name = f"death-{name}"
    reply = world.server.post(name, messages=[{"role": "user", "content": "hi"}])
    assert (reply.status, reply.end) == (200, "clean")
    seam = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",' \
           b'"choices":[{"index":0,"delta":{"content":"world"},"logprobs":null,' \
           b'"finish_reason":null}]}\n\n'
    assert bytes(reply.body).startswith(FIRST + seam) and reply.body.endswith(DONE)
    said = dialects.read("openai_chat", bytes(reply.body))
    assert (said["text"], said["finish"]) == ("Hello world", "stop")
    (asked,) = world.requests(f"{name}-1")
    assert [one["role"] for one in asked["messages"]] == ["user", "assistant", "user"]
    assert asked["messages"][1]["content"] == "Hello"
    row, found = attempts(world.server, reply)
    assert [one[3] for one in found] == [0, 1]
    assert world.server.raw(row["id"]) == bytes(reply.body)


def test_one_that_falls_silent_is_dead_too(world, mock):
    reply = world.server.post("stall")
    words = re.findall(r"t(\d+)", dialects.read("openai_chat", bytes(reply.body))["text"])
    assert reply.end == "clean" and words == [str(i) for i in [*range(8), *range(5)]]
    _, found = attempts(world.server, reply)
    assert [one[1:3] for one in found] == [
        ("first", "upstream_timeout_idle"), ("continuation", None)]
    assert mock.of(STALLING)["tokens"] == 8 and mock.of(LIVING)["completed"] == 1
    programs.eventually(lambda: mock.of(STALLING)["aborted"] == 1)


def test_a_third_goes_on_where_the_second_died(world):
    reply = world.server.post("three")
    assert dialects.read("openai_chat", bytes(reply.body))["text"] == "Hello world"
    _, found = attempts(world.server, reply)
    assert [one[1:] for one in found] == [
        ("first", "upstream_reset", 0), ("continuation", "upstream_reset", 1),
        ("continuation", None, 2)]
    assert [len(world.requests(f"three-{i}")) for i in range(3)] == [1, 1, 1]


# ── where it cannot ───────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("name", HOPELESS)
def test_what_is_not_gone_on_with_fails_honestly(world, name):
    said, members, _ = HOPELESS[name]
    reply = world.server.post(f"hopeless-{name}", **members)
    assert (reply.status, bytes(reply.body), reply.end) == (200, said, "cut")
    assert not world.requests(f"hopeless-{name}-1")
    row, found = attempts(world.server, reply)
    assert (row["state"], row["reason"]) == ("failed", "upstream_reset")
    assert found == [(f"hopeless-{name}-0/m0", "first", "upstream_reset", 0)]


def test_where_nobody_else_answers_it_ends_as_it_died(world):
    reply = world.server.post("nobody")
    assert (reply.status, bytes(reply.body), reply.end) == (200, FIRST, "cut")
    row, found = attempts(world.server, reply)
    assert (row["state"], row["reason"]) == ("failed", "upstream_reset")
    assert found == [("nobody-0/m0", "first", "upstream_reset", 0),
                     ("nobody-1/m1", "continuation", "upstream_status", None)]


# ── tool calls that are held ──────────────────────────────────────────────────────────────────

def test_a_held_call_costs_nothing(world):
    reply = world.server.post("held")
    said = dialects.read("openai_chat", bytes(reply.body))
    assert (said["text"], said["calls"], said["finish"]) == ("Hello world", [], "stop")
    assert b'"tool_calls"' not in reply.body and bytes(reply.body).startswith(FIRST)
    assert len(world.requests("held-1")) == 1


def test_a_held_call_is_shown_byte_for_byte(world):
    reply = world.server.post("held-whole")
    assert (bytes(reply.body), reply.end) == (FIRST + WHOLE_CALL, "clean")


def test_only_the_terminator_was_missing(world):
    reply = world.server.post("terminator")
    assert (bytes(reply.body), reply.end) == (FIRST + chat(None, "stop") + DONE, "clean")
    assert not world.requests("terminator-1")


# ── a long one ────────────────────────────────────────────────────────────────────────────────

def test_a_long_answer_is_read_back_from_the_store(world, mock):
    """What the archiver has taken away is a part of what the next one is told."""
    reply = world.server.post("long")
    said = dialects.read("openai_chat", bytes(reply.body))
    assert reply.end == "clean" and said["text"].endswith("t2999world")
    (asked,) = world.requests("long")
    assert asked["messages"][1]["content"] == said["text"][:-5]
    assert mock.of(LONG)["tokens"] == 3000
