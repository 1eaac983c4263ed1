"""Durable Streams' proxy protocol: a provider's call whose answer is read as a stream, by a URL that
stands for a key."""

import base64
import hashlib
import json
import urllib.parse

import pytest

import programs
import wire

KEY = {"Authorization": "Bearer red"}


@pytest.fixture
def gateway(serve, mock, tmp_path):
    """Two projects' keys; the mock is a provider of OpenAI's calls below /v1 of its address."""
    lines = ["projects:"]
    for key in ("red", "blue"):
        lines += [f"  - name: {key}", f'    keys: ["{hashlib.sha256(key.encode()).hexdigest()}"]']
    path = tmp_path / "config.yaml"
    path.write_text("\n".join([*lines, "providers:", "  - name: mock",
                               f"    base_url: {mock.url}", "    dialect: openai_chat", ""]))
    return serve("--config", str(path), provider=None)


def create(server, mock, model, headers=None, **fields):
    fields = {"Upstream-URL": f"{mock.url}/v1/chat/completions", "Upstream-Method": "POST"} | {
        name.replace("_", "-"): value for name, value in fields.items()}
    return server.call("POST", "/v1/proxy", programs.ask(model), (headers or KEY) | fields)


def path_of(server, reply):
    """What is behind the server's address in Location."""
    assert (reply.status, reply.body) == (201, b""), (reply.status, reply.body)
    root = "http://localhost"
    assert reply.header("location").startswith(f"{root}/v1/proxy/")
    return reply.header("location")[len(root):]


def code(reply):
    assert reply.header("x-content-type-options") == "nosniff"
    return reply.status, reply.json()["error"]["code"]


def read(server, path, query="&offset=-1&live=sse"):
    reply = server.call("GET", path + query)
    assert reply.status == 200, reply.body
    events = [event.decode().rstrip("\n").split("\n") for event in wire.split_events(reply.body)[0]]
    data = ["\n".join(line[5:].removeprefix(" ") for line in lines[1:]) for lines in events]
    parts = [base64.b64decode(one) for lines, one in zip(events, data) if lines[0] == "event: data"]
    return b"".join(parts), json.loads(data[-1])


def test_what_is_asked_is_read_by_its_url(gateway, mock, model):
    name = model("events=40", "rate=100")
    reply = create(gateway, mock, name, X_Trace="1")
    path = path_of(gateway, reply)
    assert reply.header("upstream-content-type").startswith("text/event-stream")
    text, end = read(gateway, path)
    wire.assert_exact(text, 40)
    assert end["streamClosed"] is True
    asked = {name.lower(): value for name, value in mock.last()["headers"].items()}
    assert not any(name.startswith("upstream-") for name in asked) and asked["x-trace"] == "1"
    assert "red" not in asked.get("authorization", "")
    whole = gateway.call("GET", path)
    assert whole.header("upstream-content-type").startswith("text/event-stream")
    wire.assert_exact(whole.body, 40)
    assert mock.of(name)["generations"] == 1


def test_it_outlives_its_callers_and_the_server(gateway, mock, model):
    name = model("events=40", "rate=100")
    path = path_of(gateway, create(gateway, mock, name))
    programs.eventually(lambda: mock.of(name)["completed"] == 1)
    gateway.kill()
    gateway.start()
    assert gateway.call("GET", path).status == 200


def test_the_same_key_is_the_same_stream(gateway, mock, model):
    name = model("events=5")
    first, second = (create(gateway, mock, name, Idempotency_Key='"k"') for _ in range(2))
    assert path_of(gateway, first).partition("?")[0] == path_of(gateway, second).partition("?")[0]
    assert mock.of(name)["generations"] == 1


@pytest.mark.parametrize("takes", [True, False])
def test_whose_key_is_asked_with(serve, canned, tmp_path, takes):
    provider = canned(programs.canned_sse(b"data: [DONE]\n\n"))
    path = tmp_path / "config.yaml"
    path.write_text(f"providers:\n  - name: one\n    base_url: {provider.url}\n    key: ours\n"
                    f"    callers_keys: {str(takes).lower()}\n")
    server = serve("--config", str(path), provider=None)
    for mine in ("Bearer theirs", "theirs", None):
        reply = create(server, provider, "m", Upstream_Authorization=mine)
        assert reply.status == (201 if takes or not mine else 403)
    heads = [head.lower() for head, _ in provider.requests]
    assert [head.count("authorization: bearer theirs") for head in heads] == [1] * 2 * takes + [0]
    assert [head.count("authorization: bearer ours") for head in heads] == [0] * 2 * takes + [1]
    assert "theirs" not in str(server.rows()) + server.log()


def test_an_abort(gateway, mock, model):
    name = model("events=4000", "rate=50")
    path = path_of(gateway, create(gateway, mock, name))
    programs.eventually(lambda: b" g" in gateway.call("GET", path).body)
    assert code(gateway.call("PATCH", path)) == (400, "INVALID_ACTION")
    assert code(gateway.call("PATCH", path + "&action=stop")) == (400, "INVALID_ACTION")
    for _ in range(2):
        assert gateway.call("PATCH", path + "&action=abort").status == 204
    text, end = read(gateway, path)
    _, indexes = wire.tokens(text)
    assert indexes == list(range(len(indexes))) and 0 < len(indexes) < 4000
    assert end["streamClosed"] is True
    programs.eventually(lambda: mock.of(name)["aborted"] == 1)


@pytest.mark.parametrize("settings", [("events=3",), ("events=4000", "rate=50")], ids=str)
def test_a_deletion(gateway, mock, model, settings):
    name = model(*settings)
    path = path_of(gateway, create(gateway, mock, name))
    bare = path.partition("?")[0]
    assert gateway.call("DELETE", path).status == 401  # the URL is not for that
    assert gateway.call("DELETE", bare, headers=KEY).status in (202, 204)
    assert gateway.call("DELETE", bare, headers=KEY).status == 204
    assert gateway.call("GET", path).status in (404, 410)
    assert gateway.call("DELETE", "/v1/proxy/nonsense", headers=KEY).status == 204


def test_who_may(gateway, mock, model):
    path = path_of(gateway, create(gateway, mock, model("events=3")))
    bare, _, query = path.partition("?")
    fields = dict(urllib.parse.parse_qsl(query))
    blue = {"Authorization": "Bearer blue"}
    assert create(gateway, mock, model("events=3"), {"X": "y"}).status == 401
    assert gateway.call("GET", bare).status == 401
    assert gateway.call("GET", bare, headers=KEY).status == 200
    assert gateway.call("GET", bare, headers=blue).status == 404
    assert gateway.call("HEAD", path).status == 401
    assert gateway.call("HEAD", bare, headers=KEY).status == 200
    assert gateway.call("HEAD", bare, headers=blue).status == 404
    assert code(gateway.call("PATCH", bare + "?action=abort", headers=KEY)) == (
        401, "MISSING_SIGNATURE")
    other = bare[:-1] + ("0" if bare[-1] != "0" else "1")
    signature = fields["signature"]
    for wrong in (
            f"{other}?{query}", path.replace("project=red", "project=blue"),
            path.replace(signature, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
            path.replace(signature, ""), path.replace(signature, signature + "00"),
            path.replace(f"expires={fields['expires']}", "expires=99999999999"),
            f"{bare}?signature={signature}", path + "&project=blue", path + f"&signature={signature}"):
        for method in ("GET", "PATCH"):
            reply = gateway.call(method, wrong + "&action=abort", headers=KEY)
            assert code(reply) == (401, "SIGNATURE_INVALID"), wrong


def test_what_may_be_asked(gateway, mock, model):
    ask = lambda **fields: code(create(gateway, mock, model("events=3"), **fields))  # noqa: E731
    before = mock.calls()
    assert ask(Upstream_URL=None) == (400, "MISSING_UPSTREAM_URL")
    assert ask(Upstream_Method=None) == (400, "MISSING_UPSTREAM_METHOD")
    for method in ("TRACE", "post", "HEAD", "POST x"):
        assert ask(Upstream_Method=method) == (400, "INVALID_UPSTREAM_METHOD")
    for url in ("http://127.0.0.1:1/v1/models", "file:///etc/passwd", "/v1/models", f"{mock.url}0/v1",
                f"{mock.url}@example.org/v1", f"{mock.url}.example.org/v1", "http://"):
        assert ask(Upstream_URL=url) == (403, "UPSTREAM_NOT_ALLOWED"), url
    for path in ("/v1/../x", "/v1/%2e%2e/x", "/v1/%zz"):
        assert ask(Upstream_URL=mock.url + path) == (400, "bad_request")
    assert mock.calls() == before


def test_what_fails(gateway, mock, model, canned):
    reply = create(gateway, mock, model("status=429"))
    assert (reply.status, reply.header("upstream-status")) == (502, "429")
    assert "The mock was asked to fail." in reply.json()["error"]["message"]
    assert create(gateway, mock, model("fault=refuse")).status == 502


def test_a_redirect_is_not_followed(serve, canned):
    provider = canned(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                      b"Content-Length: 0\r\n\r\n")
    server = serve(provider=provider.url)
    reply = create(server, provider, "m")
    assert code(reply) == (400, "REDIRECT_NOT_ALLOWED")
    assert len(provider.requests) == 1
