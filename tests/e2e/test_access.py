"""Who may call: loopback without keys, projects with them, browsers, and TLS."""

import hashlib
import ssl
import subprocess
import uuid

import pytest

import programs
import wire

KEYS = {"red": "tlk_red_0123456789", "blue": "tlk_blue_0123456789"}


def bearer(project):
    return {"Authorization": f"Bearer {KEYS[project]}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, mock):
    """A server with two projects."""
    folder = tmp_path_factory.mktemp("guarded")
    lines = ["projects:"]
    for project, key in KEYS.items():
        digest = hashlib.sha256(key.encode()).hexdigest()
        lines += [f"  - name: {project}", f'    keys: ["{digest}"]']
    config = folder / "tokenlog.yaml"
    config.write_text("\n".join(lines) + "\n")
    server = programs.Server(folder, mock.url, "--config", str(config))
    yield server
    server.stop()
    server.check_log()
    for key in KEYS.values():
        assert key not in server.log()


@pytest.fixture
def red_stream(guarded, model):
    reply = guarded.post(model("events=3"), bearer("red") | {"Idempotency-Key": "same"})
    assert reply.status in (200, 422)
    reply = reply if reply.status == 200 else guarded.post(model("events=3"), bearer("red"))
    return reply.header("tokenlog-stream-id")


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "},
    {"Authorization": "Basic YTpi"}, {"x-api-key": "wrong"},
    {"Authorization": "Bearer " + "x" * 9000}], ids=lambda headers: str(headers)[:40])
def test_without_a_key_there_is_nothing(guarded, mock, model, headers):
    name = model("events=3")
    wire.assert_error(guarded.post(name, headers), 401)
    for method, path in (("GET", "/v1/streams"), ("GET", "/metrics"),
                         ("GET", "/v1/streams/00000000-0000-7000-8000-000000000000/events")):
        wire.assert_error(guarded.call(method, path, headers=headers), 401)
    assert mock.of(name)["requests"] == 0


def test_probes_need_no_key(guarded):
    assert guarded.call("GET", "/healthz").status == 200
    assert guarded.call("GET", "/readyz").status == 200


@pytest.mark.parametrize("headers", [bearer("red"), {"x-api-key": KEYS["red"]},
                                     {"api-key": KEYS["red"]}])
def test_a_key_opens_its_project(guarded, model, headers):
    reply = guarded.post(model("events=3"), headers)
    wire.assert_exact(reply.body, 3)
    row = guarded.call("GET", f"/v1/streams/{reply.header('tokenlog-stream-id')}", headers=headers)
    assert row.json()["project"] == "red"


def test_another_projects_streams_are_not_found(guarded, red_stream):
    blue = bearer("blue")
    for method, path in (("GET", ""), ("GET", "/events"), ("GET", "/events?from=1"),
                         ("POST", "/stop"), ("DELETE", "")):
        reply = guarded.call(method, f"/v1/streams/{red_stream}{path}", headers=blue)
        wire.assert_error(reply, 404)
    rows = guarded.call("GET", "/v1/streams", headers=blue).json()["data"]
    assert all(row["project"] == "blue" for row in rows)
    assert guarded.call("GET", f"/v1/streams/{red_stream}", headers=bearer("red")).status == 200


def run_id(stream_id):
    number = uuid.UUID(stream_id).bytes
    return number.hex() + hashlib.sha256(b"cf-aig-run-id" + number).hexdigest()[:32]


def by_id(stream):
    """Every call that names a stream by its ID."""
    return [("GET", f"/v1/streams/{stream}"), ("GET", f"/v1/streams/{stream}/events"),
            ("GET", f"/v1/streams/{stream}/events?format=raw"),
            ("GET", f"/v1/streams/{stream}/request"), ("GET", f"/v1/streams/{stream}/proof"),
            ("POST", f"/v1/streams/{stream}/stop"), ("DELETE", f"/v1/streams/{stream}"),
            ("PUT", f"/v1/streams/{stream}/hold"), ("DELETE", f"/v1/streams/{stream}/hold"),
            ("GET", f"/runs/{stream}/stream"), ("GET", f"/threads/any/runs/{stream}/stream"),
            ("GET", f"/v1/responses/{stream}"), ("GET", f"/v1/responses/{stream}?stream=true"),
            ("GET", f"/v1/responses/resp_{stream.replace('-', '')}"),
            ("POST", f"/v1/responses/{stream}/cancel"), ("DELETE", f"/v1/responses/{stream}"),
            ("GET", f"/v1/stream/-/streams/{stream}"), ("HEAD", f"/v1/stream/-/streams/{stream}"),
            ("GET", f"/v1/stream/-/streams/{stream}?offset=-1&live=sse"),
            ("GET", f"/ai-gateway/gateways/gw/run/{run_id(stream)}/resume?from=0")]


def by_name(run, stream):
    """Every call that names what a client itself has named, and does not make it."""
    checkpoint = f"/v1/runs/{run}/checkpoints/one"
    return [("GET", f"/v1/runs/{run}"), ("DELETE", f"/v1/runs/{run}"),
            ("GET", f"/v1/runs/{run}/checkpoints"), ("GET", checkpoint), ("DELETE", checkpoint),
            ("GET", f"/v1/runs/{run}/checkpoints/latest"), ("GET", f"/v1/stream/{stream}"),
            ("HEAD", f"/v1/stream/{stream}"), ("POST", f"/v1/stream/{stream}"),
            ("GET", f"/v1/stream/{stream}?offset=-1&live=long-poll"),
            ("DELETE", f"/v1/stream/{stream}")]


def test_every_call_wants_a_key(guarded):
    account = "/v1/0123456789abcdef0123456789abcdef/gw"
    calls = by_id("00000000-0000-7000-8000-000000000000") + by_name("r", "s") + [
        ("PUT", "/v1/stream/s"), ("PUT", "/v1/runs/r"), ("PUT", "/v1/runs/r/checkpoints/one"),
        ("POST", "/v1/runs/r/fork"), ("GET", "/v1/runs"), ("GET", "/v1/routes"),
        ("GET", "/v1/models"), ("GET", "/v1/audit/head"), ("POST", "/v1/responses"),
        ("POST", "/ai-gateway/run"), ("POST", "/run"), ("POST", "/ai/run"),
        ("POST", "/ai/run/openai/m"), ("POST", "/ai/v1/chat/completions"),
        ("POST", "/ai-gateway/universal/run/gw"), ("POST", account), ("POST", f"{account}/run"),
        ("POST", f"{account}/compat/chat/completions"),
        ("POST", f"{account}/mock/chat/completions"), ("POST", "/mock/v1/chat/completions")]
    for method, path in calls:
        assert guarded.call(method, path).status == 401, (method, path)


def test_what_is_another_projects_is_as_if_it_were_not(guarded, model):
    """Not one word more than of what nobody has."""
    red, blue = bearer("red"), bearer("blue")
    name = uuid.uuid4().hex
    reply = guarded.call("POST", "/v1/responses", {
        "model": model("events=3"), "input": "x", "stream": True}, red)
    stream = reply.header("tokenlog-stream-id")
    text = {"Content-Type": "text/plain"}
    assert guarded.call("PUT", f"/v1/runs/{name}/checkpoints/one", b"x", red).status == 201
    assert guarded.call("PUT", f"/v1/stream/{name}", b"x", red | text).status == 201
    fork = {"Stream-Forked-From": f"/v1/stream/{name}"}
    assert guarded.call("PUT", f"/v1/stream/{name}-1", None, blue | fork).status == 404
    theirs = by_id(stream) + by_name(name, name)
    nobodys = by_id(str(uuid.UUID(int=uuid.UUID(stream).int ^ 1))) + by_name("none", "none")
    for (method, path), (_, other) in zip(theirs, nobodys):
        body = b"x" if path.startswith("/v1/stream/") and method == "POST" else None
        got, none = (guarded.call(method, at, body, blue | text) for at in (path, other))
        assert (got.status, got.body) == (404, none.body), (method, path)
        assert [field for field, _ in got.headers] == [field for field, _ in none.headers]
    assert guarded.call("GET", f"/v1/stream/{name}", headers=red).body == b"x"
    assert guarded.call("GET", f"/v1/runs/{name}/checkpoints/one", headers=red).body == b"x"
    assert guarded.call("GET", f"/v1/streams/{stream}", headers=red).json()["state"] == "completed"


def test_one_key_of_two_projects_is_two_keys(guarded, mock, model):
    name = model("events=3")
    replies = [guarded.post(name, bearer(project) | {"Idempotency-Key": name})
               for project in ("red", "blue")]
    assert replies[0].header("tokenlog-stream-id") != replies[1].header("tokenlog-stream-id")
    assert mock.of(name)["generations"] == 2


def test_a_made_key_works_at_once_and_is_stored_as_a_digest(serve, mock, model):
    server = serve()
    made = subprocess.run([server.binary, "key", "new", "search", "--data", str(server.data)],
                          capture_output=True, text=True, env=programs.environment(), check=True)
    key = next(word for word in made.stdout.split() if word.startswith("tlk_"))
    server.stop()
    assert key not in (server.data / "keys").read_text()
    server.start()
    assert server.post(model("events=1")).status == 401
    wire.assert_exact(server.post(model("events=2"), {"Authorization": f"Bearer {key}"}).body, 2)


# ---- open mode: whatever a website could do ----


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"},
    {"Host": "evil.example:8080"}, {"Host": "127.0.0.1.evil.example"},
    {"Origin": "http://localhost.evil.example"}])
def test_foreign_sites_are_refused(server, mock, model, headers):
    name = model("events=1")
    wire.assert_error(server.post(name, headers), 403)
    assert mock.of(name)["requests"] == 0


@pytest.mark.parametrize("headers", [
    {"Host": "localhost:1"}, {"Host": "127.0.0.1"}, {"Host": "[::1]:80"},
    {"Origin": "http://localhost:3000"}])
def test_local_ones_are_not(server, model, headers):
    wire.assert_exact(server.post(model("events=1"), headers).body, 1)


def test_cors_is_off(server):
    reply = server.call("GET", "/healthz", headers={"Origin": "http://localhost:3000"})
    assert reply.header("access-control-allow-origin") is None


def test_cors_for_a_listed_origin(serve, model):
    server = serve("--cors-origins", "https://app.example,http://localhost:3000")
    ours = {"Origin": "https://app.example"}
    before = server.call("OPTIONS", "/v1/chat/completions", headers=ours | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, idempotency-key"})
    assert before.status in (200, 204)
    assert before.header("access-control-allow-origin") == "https://app.example"
    assert "POST" in before.header("access-control-allow-methods")
    assert "idempotency-key" in before.header("access-control-allow-headers").lower()
    reply = server.post(model("events=1"), ours)
    wire.assert_exact(reply.body, 1)
    assert reply.header("access-control-allow-origin") == "https://app.example"
    assert "tokenlog-stream-id" in reply.header("access-control-expose-headers").lower()
    wire.assert_error(server.post(model("events=1"), {"Origin": "https://evil.example"}), 403)


def test_a_page_may_read_all_that_we_say(serve, mock, model):
    """Every field of ours, in each of the contracts."""
    server = serve("--cors-origins", "https://app.example", "--provider", f"openai={mock.url}",
                   "--long-poll-timeout-ms", "100", provider=None,
                   extra_environment={"OPENAI_API_KEY": "sk-test"})
    ours = {"Origin": "https://app.example"}
    text, producer = {"Content-Type": "text/plain"}, {
        "Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
    keyed = ours | {"Idempotency-Key": "k"}
    name = model("events=1")
    path = "/v1/0123456789abcdef0123456789abcdef/gw"
    call = {"provider": "openai", "endpoint": "chat/completions", "query": programs.ask(name)}
    replies = [server.post(name, keyed), server.post(name, keyed),
               server.call("POST", path, [call], ours),
               server.call("PUT", "/v1/stream/a", b"x", ours | text | {"Stream-TTL": "60"}),
               server.call("POST", "/v1/stream/a", b"x", ours | text | producer),
               server.call("HEAD", "/v1/stream/a", headers=ours),
               server.call("GET", "/v1/stream/a?offset=now&live=long-poll", headers=ours),
               server.call("PUT", "/v1/runs/r/checkpoints/c", b"x",
                           ours | {"Tokenlog-Offsets": "{}"}),
               server.call("GET", "/v1/runs/r/checkpoints/c", headers=ours)]
    for reply in replies:
        assert reply.status < 300, reply.body
        exposed = reply.header("access-control-expose-headers").lower().split(", ")
        told = {field.lower() for field, _ in reply.headers}
        beginnings = ("tokenlog-", "cf-", "stream-", "producer-", "idempotent", "etag", "location")
        assert {field for field in told if field.startswith(beginnings)} <= set(exposed)


# ---- beyond loopback ----


def refused(*flags, data):
    done = subprocess.run([programs.TOKENLOG, "serve", "--data", str(data), *flags],
                          capture_output=True, text=True, timeout=60, env=programs.environment())
    assert done.returncode == 2, done
    return done.stderr


def test_listening_beyond_loopback_needs_keys(tmp_path, mock):
    said = refused("--listen", "0.0.0.0:0", "--provider", f"mock={mock.url}", data=tmp_path / "d")
    assert "key" in said


def test_listening_beyond_loopback_needs_tls(tmp_path, mock):
    data = tmp_path / "d"
    subprocess.run([programs.TOKENLOG, "key", "new", "p", "--data", str(data)], check=True,
                   capture_output=True, env=programs.environment())
    said = refused("--listen", "0.0.0.0:0", "--provider", f"mock={mock.url}", data=data)
    assert "TLS" in said or "tls" in said
    assert "insecure" in said


# ---- TLS ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key, client's context)"""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", key, "-out", cert,
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    return cert, key, ssl.create_default_context(cafile=cert)


def test_tls_end_to_end(serve, tmp_path, model, certificate):
    cert, key, context = certificate
    provider = programs.Mock(tmp_path / "mock.log", "--tls-cert", cert, "--tls-key", key)
    config = tmp_path / "tokenlog.yaml"
    config.write_text(f"providers:\n  - name: secret\n    ca_file: {cert}\n"
                      f"    base_url: https://localhost:{provider.place[1]}\n")
    server = serve("--config", str(config), "--tls-cert", cert, "--tls-key", key, provider=None,
                   tls=context)
    reply = server.post(model("events=2000"))
    assert reply.end == "clean"
    wire.assert_exact(reply.body, 2000)
    stream = reply.header("tokenlog-stream-id")
    assert server.raw(stream) == reply.body
    cut = server.post(model("events=20", "fault=reset@5"))
    assert cut.end in ("cut", "reset") and wire.tokens(cut.body)[1] == list(range(5))
    provider.terminate()


def test_an_unknown_providers_certificate_is_refused(serve, tmp_path, model, certificate):
    cert, key, _ = certificate
    provider = programs.Mock(tmp_path / "mock.log", "--tls-cert", cert, "--tls-key", key)
    server = serve(provider=f"https://localhost:{provider.place[1]}")
    wire.assert_error(server.post(model("events=1")), 502)
    assert provider_requests(provider, context=ssl.create_default_context(cafile=cert)) == 0
    provider.terminate()


def provider_requests(provider, context):
    return wire.call(provider.place, "GET", "/mock/stats", tls=context).json()["generations"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_and_plain_http_are_refused(serve, certificate):
    cert, key, _ = certificate
    context = ssl.create_default_context(cafile=cert)
    server = serve("--tls-cert", cert, "--tls-key", key, tls=context)
    with wire.Wire(server.place) as plain:
        plain.ask("GET", "/healthz")
        assert plain.finish().status in (None, 400)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.load_verify_locations(cert)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        wire.Wire(server.place, old)
    assert server.call("GET", "/healthz").status == 200
