"""Routes in the configuration: shown, reloaded all or nothing, and refused with the line that is wrong."""

import hashlib
import json
import os

import programs
from test_failover import GOOD, failing
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


# ── how targets are, while calls go on ────────────────────────────────────────────────────────

def health_of(server, target):
    """A target as the listing has it, and as the metrics have it: {name: value}."""
    (found,) = [one for route in routes(server) for one in route["targets"]
                if one["model"] == target]
    label = f'{{target="{target}"}}'
    measured = {name[len("tokenlog_target_"): -len(label)]: value
                for name, value in server.metrics().items() if name.endswith(label)}
    return found, measured


def two_targets(serve, tmp_path, one, two, *lines):
    text = "providers:\n" + f"  - name: one\n    base_url: {one.url}\n" + "".join(
        f"    {line}\n" for line in lines) + f"  - name: two\n    base_url: {two.url}\n"
    return start(serve, tmp_path, text + "routes:\n  - model: smart\n    targets: [one/m, two/m]\n")


def test_a_breaker_is_seen_to_open_and_to_close(serve, canned, tmp_path):
    one = canned([failing(500)] * 5 + [programs.canned_sse(GOOD)])
    _, server = two_targets(serve, tmp_path, one, canned(programs.canned_sse(GOOD)))
    states = []
    for _ in range(5):
        assert bytes(server.post("smart").body) == GOOD
        found, measured = health_of(server, "one/m")
        states.append((found["state"], measured["breaker"], found["failures"]))
    assert states == [("closed", 0, n) for n in (1, 2, 3, 4)] + [("open", 2, 5)]
    assert found["open_for_ms"] > 0
    assert found["first_event_ms"] is None and "first_event_seconds" not in measured
    # A pause, and one call may try: it closes.
    programs.eventually(lambda: server.post("smart").header("tokenlog-target") == "one/m")
    found, measured = programs.eventually(
        lambda: (seen := health_of(server, "one/m"))[0]["busy"] == 0 and seen)
    assert (found["state"], found["open_for_ms"], measured["breaker"]) == ("closed", None, 0)
    assert found["failures"] == 5 and found["requests"] == 6 == len(one.requests)
    # Measured, in whole milliseconds: 0 where it took less.
    assert found["first_event_ms"] is not None and measured["first_event_seconds"] >= 0


def test_a_breaker_is_seen_half_open(serve, mock, model, canned, tmp_path):
    name = model("fail=5", "ttft=60000")
    text = (f"providers:\n  - name: one\n    base_url: {mock.url}\n  - name: two\n"
            f"    base_url: {canned(programs.canned_sse(GOOD)).url}\n"
            f"routes:\n  - model: smart\n    targets: [\"one/{name}\", two/m]\n")
    _, server = start(serve, tmp_path, text)
    for _ in range(5):
        assert bytes(server.post("smart").body) == GOOD
    with server.wire() as probe:
        programs.eventually(lambda: health_of(server, f"one/{name}")[0]["open_for_ms"] == 0)
        probe.ask("POST", "/v1/chat/completions", programs.ask("smart"))
        found, measured = programs.eventually(
            lambda: (seen := health_of(server, f"one/{name}"))[0]["busy"] == 1 and seen)
        assert (found["state"], measured["breaker"]) == ("half_open", 1)
        assert bytes(server.post("smart").body) == GOOD  # one probes, the others go elsewhere
        assert mock.of(name)["requests"] == 6
        (row,) = server.rows("?state=accepted")
        assert server.call("POST", f"/v1/streams/{row['id']}/stop").status == 200


def test_keys_are_seen_to_rest(serve, canned, tmp_path):
    one = canned([failing(429, "Retry-After: 600\r\n"), programs.canned_sse(GOOD),
                  failing(401), programs.canned_sse(GOOD)])
    path, server = two_targets(serve, tmp_path, one, canned(programs.canned_sse(GOOD)),
                               "keys: [alpha, beta]")
    assert health_of(server, "one/m")[1]["keys_resting"] == 0
    reply = server.post("smart")
    assert (reply.header("tokenlog-target"), bytes(reply.body)) == ("one/m", GOOD)
    found, measured = health_of(server, "one/m")
    limited, ready = sorted(found["keys"], key=lambda key: key["state"])
    assert (limited["state"], ready["state"]) == ("limited", "ready")
    assert 0 < limited["for_ms"] <= 600000 and measured["keys_resting"] == 1
    assert (found["state"], found["failures"]) == ("closed", 0)  # the key's fault, not the target's
    reply = server.post("smart")  # the other one is refused: nothing is left there
    assert (reply.header("tokenlog-target"), bytes(reply.body)) == ("two/m", GOOD)
    found, measured = health_of(server, "one/m")
    assert sorted(key["state"] for key in found["keys"]) == ["limited", "refused"]
    assert measured["keys_resting"] == 2 and health_of(server, "two/m")[1]["keys_resting"] == 0
    assert len(one.requests) == 3
    assert reload(server).returncode == 0  # a refused key may have been mended
    assert sorted(key["state"] for key in health_of(server, "one/m")[0]["keys"]) == [
        "ready", "ready"]
    assert server.post("smart").header("tokenlog-target") == "one/m"
