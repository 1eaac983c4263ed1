"""What a model's name leads to, GET /v1/models, and how providers are told who calls."""

import base64
import hashlib
import json
import socket
import subprocess
import threading
import urllib.parse

import programs
import sigv4

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def sent(canned, index=-1):
    head, body = canned.requests[index]
    first, *fields = head.split("\r\n")
    return first, {name.lower(): value.strip() for name, value in
                   (field.split(":", 1) for field in fields)}, body


def config(folder, text):
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


# ── names ──


def test_a_word_in_the_request_changes_the_provider(serve, canned, tmp_path):
    providers = {name: canned(programs.canned_json(b'{"choices":[]}'))
                 for name in ("groq", "deepseek", "local")}
    text = "providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {one.url}\n    key: k-{name}\n"
        for name, one in providers.items())
    server = serve("--config", config(tmp_path, text), provider=None)
    for name, provider, model in (
            ("deepseek/deepseek-chat", "deepseek", "deepseek-chat"),
            ("deepseek-chat", "deepseek", "deepseek-chat"),
            ("local/whatever/it/is", "local", "whatever/it/is"),
            ("llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
            ("groq/not-in-any-list", "groq", "not-in-any-list"),
            ("never-heard-of", "groq", "never-heard-of"),
            ("anthropic/claude-opus-4-5", "groq", "anthropic/claude-opus-4-5")):
        reply = server.post(name, stream=False)
        assert reply.status == 200, (name, reply.body)
        first, fields, body = sent(providers[provider])
        assert first == "POST /v1/chat/completions HTTP/1.1"
        assert json.loads(body)["model"] == model, name
        assert fields["authorization"] == f"Bearer k-{provider}"
        row = server.row(reply.header("tokenlog-stream-id"))
        assert (row["provider"], row["model"]) == (provider, model)
        assert (reply.header("tokenlog-provider"), reply.header("tokenlog-model")) == (
            provider, model)


def test_the_key_alone_is_enough_and_unknown_names_are_told_from_near_ones(serve):
    server = serve(provider=None, extra_environment={"DEEPSEEK_API_KEY": "d"})
    ids = [one["id"] for one in server.call("GET", "/v1/models").json()["data"]]
    assert "deepseek/deepseek-chat" in ids
    assert all(one.startswith("deepseek/") for one in ids)
    for path, body in (("/v1/chat/completions", None), ("/v1/messages", None)):
        reply = server.post("deepseek-caht", path=path, max_tokens=1)
        assert reply.status == 404
        error = reply.json()["error"]
        assert "deepseek-chat" in error["message"], error
    reply = server.post("openai/gpt-5-mini")
    assert reply.status == 404
    assert reply.json()["error"]["code"] == "model_not_found"
    assert "OPENAI_API_KEY" in reply.json()["error"]["message"]
    nothing = serve(provider=None)
    assert nothing.post("gpt-5-mini").status == 503
    assert nothing.call("GET", "/v1/models").json()["data"] == []


def test_unknown_models_may_be_refused(serve, canned):
    provider = canned(programs.canned_json(b"{}"))
    server = serve("--provider", f"groq={provider.url}", "--unknown-models", "refuse",
                   provider=None)
    reply = server.post("groq/llama-3.3-70b-versatil", stream=False)
    assert reply.status == 404 and "groq/llama-3.3-70b-versatile" in reply.json()["error"]["message"]
    assert server.post("groq/llama-3.3-70b-versatile", stream=False).status == 200
    assert len(provider.requests) == 1


# ── GET /v1/models ──


def test_models_are_listed_in_the_shape_of_openai(serve, canned):
    server = serve("--provider", f"openai={canned(b'').url}", provider=None)
    reply = server.call("GET", "/v1/models")
    models = reply.json()
    assert models["object"] == "list"
    by_id = {one["id"]: one for one in models["data"]}
    mini = by_id["openai/gpt-5-mini"]
    assert (mini["object"], mini["owned_by"], mini["available"]) == ("model", "openai", True)
    assert isinstance(mini["created"], int)
    assert mini["aliases"] == ["gpt-5-mini"]
    assert (mini["context_length"], mini["max_output_tokens"]) == (400000, 128000)
    assert {"chat", "tools", "vision", "reasoning"} <= set(mini["capabilities"])
    assert mini["pricing"]["input"] == {"nano_usd": 250000000, "per": 1000000, "unit": "token"}
    assert mini["source"] and mini["date"]
    assert by_id["openai/whisper-1"]["pricing"]["output"] is None
    everything = server.call("GET", "/v1/models?all=true").json()["data"]
    assert len(everything) >= 100
    assert len({one["owned_by"] for one in everything}) >= 20
    assert {one["available"] for one in everything} == {True, False}
    some = server.call("GET", "/v1/models?all=true&provider=mistral").json()["data"]
    assert some and all(one["owned_by"] == "mistral" for one in some)


def test_a_model_is_shown_by_any_of_its_names(serve, canned):
    server = serve("--provider", f"openai={canned(b'').url}", provider=None)
    for name in ("gpt-5-mini", "openai/gpt-5-mini", "openai%2Fgpt-5-mini"):
        reply = server.call("GET", f"/v1/models/{name}")
        assert reply.status == 200 and reply.json()["id"] == "openai/gpt-5-mini", name
    known = server.call("GET", "/v1/models/mistral/codestral-latest").json()
    assert (known["id"], known["available"]) == ("mistral/codestral-latest", False)
    reply = server.call("GET", "/v1/models/gpt-5-mimi")
    assert reply.status == 404
    assert reply.json()["error"]["code"] == "model_not_found"
    assert "gpt-5-mini" in reply.json()["error"]["message"]


def test_a_file_of_ones_own_takes_the_place_of_the_catalogue(serve, canned, tmp_path):
    provider = canned(programs.canned_json(b"{}"))
    (tmp_path / "own.json").write_text(json.dumps({
        "format": 1, "sources": {"us": {}},
        "providers": [{"name": "ours", "title": "Ours", "base_url": provider.url,
                       "dialect": "openai_chat", "auth": "?k={key}", "key_env": ["OUR_KEY"],
                       "api_prefix": "/deep/v9"}],
        "models": [{"id": "ours/a/b", "aliases": ["ab"], "context": 7, "output": None,
                    "capabilities": ["chat"], "prices": {"input": 1}, "source": ["us"],
                    "date": "2026-01-02"}]}))
    server = serve("--catalogue", str(tmp_path / "own.json"), provider=None,
                   extra_environment={"OUR_KEY": "s&cret"})
    assert [one["id"] for one in server.call("GET", "/v1/models").json()["data"]] == ["ours/a/b"]
    assert server.post("ab", stream=False).status == 200
    first, _, body = sent(provider)
    assert first == "POST /deep/v9/chat/completions?k=s%26cret HTTP/1.1"
    assert json.loads(body)["model"] == "a/b"


# ── AWS ──


def test_the_check_of_signatures_gives_what_aws_publishes():
    """get-vanilla of AWS's Signature Version 4 test suite."""
    headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    assert sigv4.sign(SECRET, "us-east-1", "service", "GET", "/", "", headers, sorted(headers),
                      b"") == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


def check_signature(request, token):
    first, fields, body = request
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    kind, _, rest = fields["authorization"].partition(" ")
    parts = dict(part.split("=", 1) for part in rest.split(", "))
    key_id, day, region, service, end = parts["Credential"].split("/")
    assert (kind, key_id, region, service, end) == (
        "AWS4-HMAC-SHA256", "AKID", "eu-west-3", "bedrock", "aws4_request")
    assert fields["x-amz-date"].startswith(day)
    assert fields.get("x-amz-security-token") == token
    signed = parts["SignedHeaders"].split(";")
    assert {"host", "x-amz-date"} <= set(signed)
    assert ("x-amz-security-token" in signed) == (token is not None)
    assert fields["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    assert parts["Signature"] == sigv4.sign(
        SECRET, region, service, method, path, query, fields, signed, body)


def test_calls_to_aws_are_signed(serve, canned):
    answer = (b'{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},'
              b'"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1}}')
    provider = canned(programs.canned_json(answer))
    aws = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": SECRET,
           "AWS_REGION": "eu-west-3"}
    plain = serve("--provider", f"aws-bedrock={provider.url}", provider=None, extra_environment=aws)
    assert plain.post("bedrock/openai.gpt-oss-20b-1:0", stream=False).status == 200
    check_signature(sent(provider), None)
    session = serve("--provider", f"aws-bedrock={provider.url}", provider=None,
                    extra_environment=aws | {"AWS_SESSION_TOKEN": "T/+="})
    for method, target, body in (
            ("POST", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream", b"{}"),
            ("POST", "/model/amazon.nova-lite-v1:0/converse", b'{"a": "\xc3\xa4"}'),
            ("GET", "/async-invoke?maxResults=3&statusEquals=In%20Progress&a=1", None)):
        assert session.call(method, "/aws-bedrock" + target, body,
                            {"Content-Type": "application/json"}).status == 200
        assert sent(provider)[0] == f"{method} {target} HTTP/1.1"
        check_signature(sent(provider), "T/+=")


# ── Google ──


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_account(folder, token_url):
    """A service account's file, and the key's public half to check signatures by."""
    private, public = folder / "private.pem", folder / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
                    "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    path = folder / "account.json"
    path.write_text(json.dumps({
        "type": "service_account", "project_id": "p1", "private_key_id": "kid-7",
        "private_key": private.read_text(), "client_email": "robot@p1.example",
        "token_uri": token_url}))
    return path, public


def check_assertion(request, public, folder, token_url):
    first, fields, body = request
    assert fields["content-type"] == "application/x-www-form-urlencoded"
    form = dict(urllib.parse.parse_qsl(body.decode()))
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    assert json.loads(unpadded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "kid-7"}
    claims_read = json.loads(unpadded(claims))
    assert (claims_read["iss"], claims_read["aud"]) == ("robot@p1.example", token_url)
    assert claims_read["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert claims_read["exp"] - claims_read["iat"] == 3600
    (folder / "signature").write_bytes(unpadded(signature))
    checked = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", public, "-signature", folder / "signature"],
        input=f"{head}.{claims}".encode(), capture_output=True)
    assert checked.returncode == 0, checked.stderr


def vertex(serve, provider, account):
    return serve("--provider", f"google-vertex-ai={provider.url}", provider=None,
                 extra_environment={"GOOGLE_APPLICATION_CREDENTIALS": str(account),
                                    "GOOGLE_VERTEX_LOCATION": "eu-1",
                                    "GOOGLE_VERTEX_PROJECT": "p1"})


def test_a_service_account_gets_a_token_once(serve, canned, tmp_path):
    tokens = canned(programs.canned_json(b'{"access_token":"ya29.one","expires_in":3599}'))
    provider = canned(programs.canned_json(b"{}"))
    account, public = make_account(tmp_path, tokens.url + "/token")
    server = vertex(serve, provider, account)
    replies = []
    threads = [threading.Thread(target=lambda key=key: replies.append(server.call(
        "POST", "/google-vertex-ai/v1/projects/p1/x", {"a": 1}, {"Idempotency-Key": key})))
        for key in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.status for reply in replies] == [200] * 4
    assert server.post("vertex/gemini-2.5-pro", stream=False).status == 200
    assert len(tokens.requests) == 1  # all waited for the one
    assert len(provider.requests) == 5
    assert all("\r\nauthorization: bearer ya29.one" in head.lower() for head, _ in provider.requests)
    check_assertion(sent(tokens), public, tmp_path, tokens.url + "/token")


def test_a_token_that_ends_soon_is_fetched_anew_while_the_old_one_serves(serve, canned, tmp_path):
    tokens = canned([programs.canned_json(b'{"access_token":"first","expires_in":2}'),
                     programs.canned_json(b'{"access_token":"second","expires_in":3599}')])
    provider = canned(programs.canned_json(b"{}"))
    account, _ = make_account(tmp_path, tokens.url)
    server = vertex(serve, provider, account)

    def token_sent():
        assert server.call("GET", "/google-vertex-ai/v1/x").status == 200
        return sent(provider)[1]["authorization"]

    assert token_sent() == "Bearer first"
    programs.eventually(lambda: token_sent() == "Bearer second")
    assert len(tokens.requests) == 2


def test_a_token_of_a_short_life_is_used_for_half_of_it(serve, canned, tmp_path):
    tokens = canned(programs.canned_json(b'{"access_token":"first","expires_in":250}'))
    account, _ = make_account(tmp_path, tokens.url)
    server = vertex(serve, canned(programs.canned_json(b"{}")), account)
    for _ in range(3):
        assert server.call("GET", "/google-vertex-ai/v1/x").status == 200
    assert len(tokens.requests) == 1


def test_a_refused_service_account_is_told_and_nothing_is_asked(serve, canned, tmp_path):
    refusal = programs.canned_json(
        b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}', "400 Bad Request")
    tokens = canned([refusal, refusal,
                     programs.canned_json(b'{"access_token":"late","expires_in":3599}')])
    provider = canned(programs.canned_json(b"{}"))
    account, _ = make_account(tmp_path, tokens.url)
    server = vertex(serve, provider, account)
    reply = server.call("GET", "/google-vertex-ai/v1/x")
    assert reply.status == 502
    assert reply.json()["error"]["details"][0]["reason"] == "provider_auth"
    assert "Invalid JWT Signature." in reply.json()["error"]["message"]
    assert provider.requests == [] and server.rows() == []
    # It is asked again, a little later.
    programs.eventually(lambda: server.call("GET", "/google-vertex-ai/v1/x").status == 200)
    assert sent(provider)[1]["authorization"] == "Bearer late"


def test_who_leaves_while_a_token_is_awaited_leaves_nothing_behind(serve, canned, tmp_path):
    """What is still held at the end is a leak, which the sanitizer's build tells of."""
    provider = canned(programs.canned_json(b"{}"))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        account, _ = make_account(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}")
        server = vertex(serve, provider, account)
        one = server.wire()
        one.ask("POST", "/google-vertex-ai/v1/x", {})
        token_call, _ = mute.accept()
        one.close()
        programs.eventually(lambda: server.metrics()["tokenlog_connections_open"] <= 1)
        server.stop()
        token_call.close()
    assert provider.requests == []
