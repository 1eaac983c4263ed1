"""Routes in the configuration: shown, reloaded all or nothing, and refused with the line that is wrong."""

import hashlib
import json
import os

import programs
from test_reload import reload, run

PROVIDERS = """providers:
  - name: one
    base_url: http://127.0.0.1:1
    keys: [sk-first-secret, sk-second-secret]
  - name: two
    base_url: http://127.0.0.1:1
"""
ROUTE = """routes:
  - model: smart
    strategy: cheapest
    targets:
      - model: one/large
        weight: 3
        when: {project: [red], needs: [tools]}
      - two/small
    retries: 1
    on_death: continue
"""


def write(path, text):
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


def start(serve, tmp_path, text=PROVIDERS + ROUTE, more=""):
    path = tmp_path / "config.yaml"
    write(path, text + more)
    return path, serve("--config", str(path), provider=None)


def routes(server, headers=None):
    reply = server.call("GET", "/v1/routes", headers=headers)
    assert reply.status == 200, reply.body
    listing = reply.json()
    assert listing["object"] == "list"
    return listing["data"]


def test_a_route_is_shown_with_its_targets_and_how_they_are(serve, tmp_path):
    _, server = start(serve, tmp_path)
    (route,) = routes(server)
    assert (route["model"], route["strategy"], route["retries"], route["on_death"]) == (
        "smart", "cheapest", 1, "continue")
    large, small = route["targets"]
    assert (large["model"], large["weight"], large["priority"]) == ("one/large", 3, 0)
    assert [key["key"] for key in large["keys"]] == ["key 1", "key 2"]
    assert {key["state"] for key in large["keys"]} == {"ready"}
    assert small["model"] == "two/small" and small["keys"] == []
    for target in (large, small):
        assert target["state"] == "closed" and target["open_for_ms"] is None
        assert target["busy"] == target["requests"] == target["failures"] == 0
        assert target["first_event_ms"] is target["p50_ms"] is target["p95_ms"] is None
    assert b"secret" not in server.call("GET", "/v1/routes").body
    assert server.call("POST", "/v1/routes", b"{}").status == 405


def test_a_route_is_a_model_too(serve, tmp_path):
    _, server = start(serve, tmp_path)
    first = server.call("GET", "/v1/models").json()["data"][0]
    assert first["id"] == "smart" and first["object"] == "model"
    assert first["owned_by"] == "tokenlog" and first["targets"] == ["one/large", "two/small"]
    assert server.call("GET", "/v1/models/smart").json() == first
    own = server.call("GET", "/v1/models?provider=tokenlog").json()["data"]
    assert own == [first]
    assert first not in server.call("GET", "/v1/models?provider=one").json()["data"]


def test_targets_are_measured(serve, tmp_path):
    _, server = start(serve, tmp_path)
    text = server.call("GET", "/metrics").body.decode()
    assert '\ntokenlog_target_breaker{target="one/large"} 0\n' in text
    assert '\ntokenlog_target_busy{target="two/small"} 0\n' in text
    assert '\ntokenlog_target_attempts_total{target="two/small",outcome="failed"} 0\n' in text
    assert "\ntokenlog_target_first_event_seconds{" not in text  # nothing is known of it yet


def test_a_target_that_fails_is_left_alone_and_seen_to_be(serve, mock, model, tmp_path):
    name = model("events=3")
    text = PROVIDERS.replace("127.0.0.1:1\n", f"{mock.url[7:]}\n", 1) + (
        f"routes:\n  - model: smart\n    targets: [two/small, \"one/{name}\"]\n")
    _, server = start(serve, tmp_path, text)
    for _ in range(5):
        reply = server.post("smart")
        assert reply.status == 200 and reply.end == "clean"
    # The last one's transfer may outlast its answer.
    programs.eventually(lambda: not routes(server)[0]["targets"][1]["busy"])
    dead, live = routes(server)[0]["targets"]
    assert (dead["state"], dead["requests"], dead["failures"]) == ("open", 5, 5)
    assert (live["state"], live["requests"], live["failures"]) == ("closed", 5, 0)
    assert live["first_event_ms"] is not None
    text = server.call("GET", "/metrics").body.decode()
    assert '\ntokenlog_target_breaker{target="two/small"} 2\n' in text
    assert f'\ntokenlog_target_attempts_total{{target="one/{name}",outcome="well"}} 5\n' in text
    assert f'\ntokenlog_target_first_event_seconds{{target="one/{name}"}} ' in text
    assert reload(server).returncode == 0  # what is known of targets outlives it
    assert routes(server)[0]["targets"][0]["failures"] == 5
    programs.eventually(lambda: mock.of(name)["completed"] == 5)


def test_without_routes_there_are_none(serve, tmp_path):
    _, server = start(serve, tmp_path, PROVIDERS)
    assert routes(server) == []
    assert b"tokenlog_target_" not in server.call("GET", "/metrics").body


def test_routes_are_reloaded_or_refused_whole(serve, tmp_path):
    path, server = start(serve, tmp_path)
    for text, line, said in (
            (ROUTE.replace("cheapest", "best"), 9, "`strategy` is order, weighted, fastest"),
            (ROUTE.replace("one/large", "three/large"), 11, "target `three/large`: no model is"),
            (ROUTE.replace("[tools]", "[wings]"), 11, "target `one/large`: needs names capab"),
            (ROUTE.replace("retries: 1", "retries: 9"), 15, "`retries` takes a number from 0 to 5"),
            (ROUTE.replace("on_death", "on_dead"), 16, "unknown key `on_dead`")):
        write(path, PROVIDERS + text)
        done = reload(server)
        assert done.returncode == 1 and "nothing was changed" in done.stderr
        assert f"config.yaml:{line}: route `smart`: {said}" in done.stderr, done.stderr
        assert routes(server)[0]["strategy"] == "cheapest"
    write(path, PROVIDERS + ROUTE.replace("smart", "clever").replace("cheapest", "order"))
    assert reload(server).returncode == 0
    assert [(route["model"], route["strategy"]) for route in routes(server)] == [
        ("clever", "order")]
    write(path, PROVIDERS)
    assert reload(server).returncode == 0
    assert routes(server) == []


def test_only_those_with_a_key_may_look(serve, tmp_path):
    digest = hashlib.sha256(b"let-me-in").hexdigest()
    _, server = start(serve, tmp_path,
                      more=f"projects:\n  - name: red\n    keys: [{digest}]\n")
    assert server.call("GET", "/v1/routes").status == 401
    assert len(routes(server, {"Authorization": "Bearer let-me-in"})) == 1


def test_what_is_printed_is_read_back(tmp_path):
    path, again = tmp_path / "config.yaml", tmp_path / "again.yaml"
    write(path, PROVIDERS + ROUTE)
    printed = run("serve", "--config", str(path), "--print-config")
    assert printed.returncode == 0, printed.stderr
    assert "secret" not in printed.stdout
    write(again, printed.stdout)
    second = run("serve", "--config", str(again), "--print-config")
    assert second.returncode == 0, second.stderr

    def told(text):  # without where it came from
        lines = text[text.index("\nroutes:"):].splitlines()
        return [line.split(" # ")[0] for line in lines]

    assert told(printed.stdout) == told(second.stdout)
    assert json.dumps(told(printed.stdout)).count("one/large") == 1
