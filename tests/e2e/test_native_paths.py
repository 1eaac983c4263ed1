"""/PROVIDER/…: a provider's own calls are passed on as they are, byte for byte, and recorded."""

import json
import subprocess

import programs

SSE = b"data: {\"candidates\":[1]}\r\n\r\n: a comment\n\nevent: odd\ndata: x\n\ndata: no blank line"
GEMINI = "google-ai-studio"


def config(folder, text):
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def sent(canned, index=-1):
    """The head's lines and the body of a request that a canned provider got."""
    head, body = canned.requests[index]
    first, *fields = head.split("\r\n")
    return first, {name.lower(): value.strip() for name, value in
                   (field.split(":", 1) for field in fields)}, body


def test_a_call_goes_to_the_provider_as_it_came(serve, canned):
    provider = canned(programs.canned_sse(SSE))
    server = serve("--provider", f"{GEMINI}={provider.url}",
                   extra_environment={"GOOGLE_AI_STUDIO_API_KEY": "goog"})
    target = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&x=%2F"
    body = b'{ "contents" : [ 1.50 ] }'
    reply = server.call("POST", f"/{GEMINI}{target}", body,
                        {"Content-Type": "application/json; charset=utf-8", "X-Mine": "yes",
                         "x-goog-api-key": "callers"})
    assert (reply.status, reply.end, bytes(reply.body)) == (200, "clean", SSE)
    first, fields, got = sent(provider)
    assert first == f"POST {target} HTTP/1.1"
    assert got == body
    assert fields["x-goog-api-key"] == "goog"
    assert fields["content-type"] == "application/json; charset=utf-8"
    assert fields["x-mine"] == "yes"
    row = server.row(reply.header("tokenlog-stream-id"))
    assert (row["provider"], row["model"], row["state"]) == (GEMINI, "gemini-2.5-pro", "completed")
    assert server.raw(row["id"]) == SSE


def test_a_key_in_the_query_stays_here(serve, canned):
    provider = canned(programs.canned_json(b"{}"))
    server = serve("--provider", f"{GEMINI}={provider.url}",
                   extra_environment={"GOOGLE_AI_STUDIO_API_KEY": "goog"})
    for query, passed in (("?key=callers", ""), ("?a=%2F&key=callers&b", "?a=%2F&b"),
                          ("?keys=1&&c", "?keys=1&&c"), ("?", ""),
                          ("?%6bey=callers&%00=1", "?%00=1")):
        reply = server.call("GET", f"/{GEMINI}/v1beta/models{query}")
        assert reply.status == 200
        assert sent(provider)[0] == f"GET /v1beta/models{passed} HTTP/1.1"
        row = server.row(reply.header("tokenlog-stream-id"))
        assert row["path"] == f"/{GEMINI}/v1beta/models{passed}"
    assert server.call("POST", "/v1/embeddings?key=callers&a",
                       {"model": f"{GEMINI}/gemini-embedding-001", "input": "x"}).status == 200
    assert sent(provider)[0].endswith("embeddings?a HTTP/1.1")


def test_any_method_and_an_answer_of_any_kind(serve, canned):
    pixels = bytes(range(256)) * 300
    provider = canned([
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nX-Theirs: 1\r\nContent-Length: %d\r\n\r\n"
        % len(pixels) + pixels,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"])
    server = serve("--provider", f"fal={provider.url}", extra_environment={"FAL_API_KEY": "f"})
    reply = server.call("GET", "/fal/files/1?raw")
    assert (reply.status, bytes(reply.body), reply.header("x-theirs")) == (200, pixels, "1")
    assert sent(provider)[0] == "GET /files/1?raw HTTP/1.1"
    assert sent(provider)[1]["authorization"] == "Key f"
    assert "content-type" not in sent(provider)[1]
    assert server.raw(reply.header("tokenlog-stream-id")) == pixels
    assert server.call("DELETE", "/fal/files/1").status == 204
    assert sent(provider)[0] == "DELETE /files/1 HTTP/1.1"
    reply = server.call("PUT", "/fal/files/1", b"\0\1\2", {"Content-Type": "application/x-any"})
    assert (reply.status, bytes(reply.body)) == (404, b"no")
    assert sent(provider)[1]["content-type"] == "application/x-any"
    assert sent(provider)[2] == b"\0\1\2"
    reply = server.call("HEAD", "/fal/files/1")
    assert (reply.status, reply.end) == (200, "clean")


def test_a_dialect_of_ours_is_read_under_its_provider(serve, mock, model):
    server = serve("--provider", f"openai={mock.url}")
    name = model("events=4")
    body = programs.ask(name, stream_options={"include_usage": True})
    reply = server.call("POST", "/openai/v1/chat/completions", body)
    assert reply.end == "clean" and reply.body.endswith(b"data: [DONE]\n\n")
    row = server.row(reply.header("tokenlog-stream-id"))
    assert (row["dialect"], row["model"], row["finish_reason"]) == ("openai_chat", name, "stop")
    assert row["usage"]["output_tokens"] == 4
    # A generation that ends without the terminator is not taken for a whole one.
    reply = server.call("POST", "/openai/v1/chat/completions",
                        programs.ask(model("events=4", "fault=end@2")))
    assert reply.end == "cut"
    assert server.row(reply.header("tokenlog-stream-id"))["state"] == "failed"


def test_a_key_asks_once_here_too(serve, canned):
    provider = canned(programs.canned_json(b'{"id":"p1"}', "201 Created"))
    server = serve("--provider", f"replicate={provider.url}")
    key = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    first = server.call("POST", "/replicate/v1/predictions", b'{"input":1}', key)
    again = server.call("POST", "/replicate/v1/predictions", b'{"input":1}', key)
    other = server.call("POST", "/replicate/v1/predictions", b'{"input":2}', key)
    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert first.body == again.body == b'{"id":"p1"}'
    assert len(provider.requests) == 1


def test_cog_and_its_stream_work_by_config_alone(serve, canned, tmp_path):
    """POST /predictions answers where the stream is; the caller reads it there."""
    events = b"event: output\nid: 1\ndata: Once\n\nevent: done\ndata: {}\n\n"
    provider = canned([
        programs.canned_json(b'{"id":"p","status":"starting","urls":{"stream":"/stream/p"}}',
                             "201 Created"),
        programs.canned_sse(events),
        programs.canned_json(b'{"id":"p","status":"succeeded","output":["Once"]}')])
    path = config(tmp_path, f"""
providers:
  - name: pictures
    type: cog
    base_url: {provider.url}
    native: my-cog
""")
    server = serve("--config", str(path), provider=None)
    made = server.call("POST", "/my-cog/predictions", {"input": {"prompt": "x"}, "stream": True})
    assert made.status == 201
    stream = server.call("GET", "/my-cog" + made.json()["urls"]["stream"],
                         headers={"Accept": "text/event-stream"})
    assert (stream.end, bytes(stream.body)) == ("clean", events)
    poll = server.call("GET", "/my-cog/predictions/p")
    assert poll.json()["status"] == "succeeded"
    assert "authorization" not in sent(provider)[1]


def test_a_path_may_be_named_and_may_be_closed(serve, canned, tmp_path):
    provider = canned(programs.canned_json(b"{}"))
    text = f"""
providers:
  - name: gpu
    base_url: {provider.url}
    native: hidden-7
"""
    server = serve("--config", str(config(tmp_path, text)), provider=None)
    assert server.call("POST", "/hidden-7/x", {}).status == 200
    assert server.call("POST", "/gpu/x", {}).status == 404
    assert server.call("POST", "/groq/x", {}).status == 404  # known, and nobody gave its key
    closed = serve("--config", str(config(tmp_path, text)), "--no-native-paths", provider=None)
    assert closed.call("POST", "/hidden-7/x", {}).status == 404


def test_a_browser_may_ask_first(serve, canned):
    provider = canned(programs.canned_json(b"{}"))
    server = serve("--provider", f"openai={provider.url}", "--cors-origins", "https://app")
    reply = server.call("OPTIONS", "/openai/v1/files", headers={
        "Origin": "https://app", "Access-Control-Request-Method": "DELETE"})
    assert reply.status == 204 and "DELETE" in reply.header("access-control-allow-methods")
    assert provider.requests == []


def test_a_call_that_no_provider_of_the_kind_has_says_where(serve, canned):
    provider = canned(programs.canned_json(b"{}"))
    server = serve("--config", "/dev/null", provider=None, extra_environment={
        "ELEVENLABS_API_KEY": "e"})
    reply = server.post("elevenlabs/eleven_v3")
    assert reply.status == 400 and "/elevenlabs/" in reply.json()["error"]["message"]
    assert provider.requests == []
    assert json.loads(reply.body)["error"]["code"] == "unsupported_call"


def test_a_caller_without_a_key_is_told_in_its_own_language(serve, canned):
    provider = canned(programs.canned_json(b"{}"))
    server = serve("--provider", f"anthropic={provider.url}", "--provider", f"fal={provider.url}")
    made = subprocess.run(
        [programs.TOKENLOG, "key", "new", "one", "--data", str(server.data)], check=True,
        capture_output=True, text=True, env=programs.environment())
    programs.eventually(lambda: server.call("POST", "/fal/x", {}).status == 401)
    refused = server.call("POST", "/anthropic/v1/messages", {})
    assert refused.status == 401 and refused.json()["type"] == "error"
    assert refused.json()["error"]["type"] == "authentication_error"
    assert provider.requests == []
    key = made.stdout.split()[0]
    for header in ("x-api-key", "api-key", "x-goog-api-key", "xi-api-key"):
        assert server.call("POST", "/fal/x", {}, {header: key}).status == 200
        assert header not in sent(provider)[1]
    for scheme in ("Bearer", "Token", "Key"):
        reply = server.call("POST", "/fal/x", {}, {"Authorization": f"{scheme} {key}"})
        assert reply.status == 200 and "authorization" not in sent(provider)[1]


def test_what_would_echo_the_providers_key_is_not_asked(serve, canned):
    provider = canned(programs.canned_json(b"{}"))
    server = serve("--provider", f"fal={provider.url}", extra_environment={"FAL_API_KEY": "f"})
    reply = server.call("TRACE", "/fal/x", headers={"Max-Forwards": "0"})
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD, POST, PUT, PATCH, DELETE")
    assert server.call("TRACE", "/nobody/x").status == 404
    assert not provider.requests


def test_a_provider_gets_one_key_however_its_header_is_called(serve, canned, tmp_path):
    provider = canned(programs.canned_json(b"{}"))
    path = config(tmp_path, f"""
providers:
  - name: mine
    base_url: {provider.url}
    auth: "X-Mine-Key: {{key}}"
    key: ours
""")
    server = serve("--config", str(path), provider=None)
    for target in ("/mine/x", "/v1/chat/completions"):
        reply = server.call("POST", target, programs.ask("mine/m"), {"x-mine-key": "callers"})
        assert reply.status == 200
        head = provider.requests[-1][0].lower()
        assert head.count("x-mine-key:") == 1 and "x-mine-key: ours" in head


def test_a_foreign_page_spends_nothing_by_a_get(serve, canned):
    """An image or a script of another site is asked for without an Origin."""
    provider = canned(programs.canned_json(b"{}"))
    server = serve("--provider", f"fal={provider.url}", extra_environment={"FAL_API_KEY": "f"})
    for site, status in (("cross-site", 403), ("same-site", 200), ("none", 200)):
        reply = server.call("GET", "/fal/x", headers={"Sec-Fetch-Site": site})
        assert reply.status == status
    assert len(provider.requests) == 2
    assert server.call("GET", "/v1/models", headers={"Sec-Fetch-Site": "cross-site"}).status == 200
