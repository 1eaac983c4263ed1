"""Keys that calls bring for a provider: used instead of ours, where the configuration lets them; never kept."""

import pytest

import programs
import wire
from test_failover import ERROR, GOOD, failing, provider, route, routed  # noqa: F401

FIELD = "Tokenlog-Provider-Key"


def keys_of(one):
    """Who called, call by call."""
    lines = [line.partition(": ") for head, _ in one.requests for line in head.split("\r\n")]
    return [value for name, _, value in lines if name.lower() == "authorization"]


@pytest.fixture
def two(routed, canned):
    """two(answers, …): a server, its provider that takes callers' keys, and one that does not."""

    def start(answers, *lines):
        one, other = canned(answers), canned(programs.canned_sse(GOOD))
        server = routed([provider("one", one.url, "keys: [ours-1, ours-2]", "callers_keys: true"),
                         provider("two", other.url, "key: ours-3")],
                        route("one/m", "two/m", backoff_ms=1))
        return server, one, other

    return start


def test_a_callers_key_takes_the_place_of_ours(two):
    server, one, _ = two(programs.canned_sse(GOOD))
    mine = {FIELD: "one=theirs=="}
    for model, path in (("one/m", "/v1/chat/completions"), ("smart", "/v1/chat/completions"),
                        ("m", "/one/v1/chat/completions")):
        reply = server.post(model, mine, path)
        assert (reply.status, bytes(reply.body)) == (200, GOOD)
        (attempt,) = server.row(reply.header("tokenlog-stream-id"))["attempts"]
        assert (attempt["target"], attempt["key"]) == ("one/m", "caller's")
    assert server.post("one/m").status == 200
    assert keys_of(one) == ["Bearer theirs=="] * 3 + ["Bearer ours-1"]
    heads = "".join(head for head, _ in one.requests)
    assert FIELD.lower() not in heads.lower()
    assert "theirs" not in server.log() and "theirs" not in str(server.rows())


def test_its_limits_are_not_ours(two):
    """A 429 or a 401 of a caller's key says nothing of ours, and leads to another target."""
    answers = [failing(429, "Retry-After: 600\r\n"), failing(401), programs.canned_sse(GOOD)]
    server, one, other = two(answers)
    for _ in range(2):
        reply = server.post("smart", {FIELD: "one=theirs"})
        assert (reply.header("tokenlog-target"), bytes(reply.body)) == ("two/m", GOOD)
    (listed,) = server.call("GET", "/v1/routes").json()["data"]
    assert {key["state"] for key in listed["targets"][0]["keys"]} == {"ready"}
    reply = server.post("smart", {FIELD: "one=theirs"})
    assert (reply.header("tokenlog-target"), bytes(reply.body)) == ("one/m", GOOD)
    assert keys_of(one) == ["Bearer theirs"] * 3 and keys_of(other) == ["Bearer ours-3"] * 2


def test_a_key_that_would_not_be_used_is_refused(two):
    server, one, other = two(programs.canned_sse(GOOD))
    for value in ("theirs", "one=", "=theirs", "one=a b"):
        error = wire.assert_error(server.post("smart", {FIELD: value}), 400, "invalid_provider_key")
        assert "NAME=KEY" in error["message"]
    for value in ("two=theirs", "three=theirs"):
        error = wire.assert_error(server.post("smart", {FIELD: value}), 403,
                                  "provider_key_not_taken")
        assert "callers_keys: true" in error["message"] and "theirs" not in error["message"]
    assert not one.requests and not other.requests


def test_it_is_not_for_providers_whose_key_signs(serve, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("providers:\n" + provider(
        "aws", "http://127.0.0.1:1", "auth: aws-sigv4", "key: a:b", "callers_keys: true",
        "options: {region: r, service: s}"))
    with pytest.raises(AssertionError) as refused:
        serve("--config", str(path), provider=None)
    assert "callers_keys" in str(refused.value)
