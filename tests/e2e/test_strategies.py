"""Which target of a route is asked: what a call must be for it, in which order, and how much at a time."""

import collections
import hashlib

import pytest

import programs
import wire
from test_failover import provider

GOOD = (b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"hi"}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
RED, BLUE = ({"Authorization": f"Bearer {name}"} for name in ("red", "blue"))
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
DEAR, CHEAP = "openai/gpt-4o", "openai/gpt-4o-mini"
SLOW = "mock,ttft=1000,events=1,id=strategies"
ROUTES = f"""
  - model: conditions
    targets:
      - {{model: one/project, when: {{project: [blue]}}}}
      - {{model: one/metadata, when: {{metadata: {{tier: gold}}}}}}
      - {{model: one/header, when: {{headers: {{x-tier: gold}}}}}}
      - {{model: one/needs, when: {{needs: [tools]}}}}
      - {{model: one/short, when: {{prompt_bytes_max: 1000}}}}
      - one/else
  - model: nobody
    targets: [{{model: one/m, when: {{project: [blue]}}}}]
  - model: priority
    targets: [{{model: one/second, priority: 1}}, {{model: one/first}}]
  - model: cheapest
    strategy: cheapest
    targets: [{DEAR}, {CHEAP}]
  - model: weighted
    strategy: weighted
    targets: [{{model: one/never, weight: 1}}, {{model: one/always, weight: 1000000}}]
  - model: sticky
    strategy: sticky
    targets: [one/s0, one/s1, one/s2, one/s3]
  - model: fastest
    strategy: fastest
    targets: ["mock/{SLOW}", one/fast]
  - model: least
    strategy: least_loaded
    targets: ["mock/mock,ttft=60000,id=strategies", one/idle]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, mock):
    folder, one = tmp_path_factory.mktemp("strategies"), programs.Canned(programs.canned_sse(GOOD))
    projects = "".join(f"  - name: {name}\n    keys: [{hashlib.sha256(name.encode()).hexdigest()}]\n"
                       for name in ("red", "blue"))
    (folder / "config.yaml").write_text(
        "providers:\n" + provider("one", one.url) + provider("openai", one.url, "key: k") +
        provider("mock", mock.url) + "projects:\n" + projects + "routes:" + ROUTES)
    server = programs.Server(folder, None, "--config", str(folder / "config.yaml"))
    yield server
    server.stop()
    server.check_log()
    one.close()


def target(server, model, headers=None, **members):
    reply = server.post(model, RED | (headers or {}), **members)
    assert (reply.status, reply.end) == (200, "clean"), bytes(reply.body)
    return reply.header("tokenlog-target")


@pytest.mark.parametrize("headers,members,wanted", [
    (BLUE, {}, "project"),
    ({"Tokenlog-Metadata": '{"tier":"gold"}'}, {}, "metadata"),
    ({"X-Tier": "gold"}, {}, "header"),
    ({}, {"tools": [TOOL]}, "needs"),
    ({}, {}, "short"),
    ({"X-Tier": "silver", "Tokenlog-Metadata": '{"tier":"silver"}'}, {"user": "u" * 1000}, "else"),
])
def test_conditions(server, headers, members, wanted):
    assert target(server, "conditions", headers, **members) == f"one/{wanted}"


def test_where_no_target_fits_the_answer_says_why(server):
    error = wire.assert_error(server.post("nobody", RED), 404, "model_not_found")
    assert "`nobody`" in error["message"] and "one/m" in error["message"]


def test_priorities_and_prices_and_weights(server):
    assert target(server, "priority") == "one/first"
    assert target(server, "cheapest") == CHEAP
    found = collections.Counter(target(server, "weighted") for _ in range(20))
    assert found["one/always"] >= 19


def test_a_session_stays_where_it_is(server):
    """Sixteen sessions are not all in one place of four, and none moves."""
    places = [target(server, "sticky", {"Tokenlog-Session": f"s{n}"}) for n in range(16)]
    assert len(set(places)) > 1
    assert places == [target(server, "sticky", {"Tokenlog-Session": f"s{n}"}) for n in range(16)]
    assert len({target(server, "sticky") for _ in range(4)}) == 1  # the project's


def test_the_fastest_is_asked(server):
    """Each is tried once, since nothing is known of it; then the slow one is not asked any more."""
    tried = {target(server, "fastest") for _ in range(2)}
    assert tried == {f"mock/{SLOW}", "one/fast"}
    assert [target(server, "fastest") for _ in range(3)] == ["one/fast"] * 3


def test_the_least_loaded_is_asked(server, mock):
    busy = "mock,ttft=60000,id=strategies"
    with server.wire() as caller:
        caller.ask("POST", "/v1/chat/completions", programs.ask("least"), RED)
        programs.eventually(lambda: mock.of(busy)["requests"] == 1)
        assert [target(server, "least") for _ in range(2)] == ["one/idle"] * 2
        reply = server.call("GET", "/v1/streams?state=accepted", headers=RED)
        (row,) = reply.json()["data"]
        stopped = server.call("POST", f"/v1/streams/{row['id']}/stop", headers=RED)
        assert stopped.status == 200
