"""The mock provider, from outside: each endpoint, each fault, and 500 streams at once.

Standard library only; MOCK_PROVIDER names the program.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import selectors
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
import urllib.parse
import zlib

import pytest

PROGRAM = os.environ.get("MOCK_PROVIDER", "build/dev/tools/mock/mock_provider")
TIMEOUT_S = 30
CHUNK_SIZE = re.compile(rb"([0-9a-f]+)\r\n")
TOKEN = re.compile(r" g(\d+)t(\d+)")


class Mock:
    def __init__(self, *flags):
        self.process = subprocess.Popen([PROGRAM, *flags], stdout=subprocess.PIPE, text=True)
        word, self.address = self.process.stdout.readline().split()
        assert word == "listening"
        host, port = self.address.split(":")
        self.place = (host, int(port))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(TIMEOUT_S)
        self.process.stdout.close()
        return code

    def connect(self):
        return http.client.HTTPConnection(*self.place, timeout=TIMEOUT_S)

    def control(self, method, path):
        connection = self.connect()
        connection.request(method, path)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        assert response.status == 200
        return answer

    def stats(self):
        return self.control("GET", "/mock/stats")

    def wait_stats(self, **wanted):
        """The counters, once they are as wanted: the other side of a socket needs its turn."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            stats = self.stats()
            if all(stats[name] == value for name, value in wanted.items()):
                return stats
            assert time.monotonic() < end, (wanted, stats)
            time.sleep(0.005)

    def raw(self, model, path="/v1/chat/completions", stream=True, version="1.1", **extra):
        """Sends a call and hands back the socket."""
        sock = socket.create_connection(self.place, TIMEOUT_S)
        sock.sendall(call_bytes(model, path, stream, version, **extra))
        return sock

    def read(self, model, path="/v1/chat/completions", stream=True, **extra):
        """(head, body bytes as on the wire, how it ended)."""
        with self.raw(model, path, stream, **extra) as sock:
            return read_until_end(sock)

    def post(self, path, headers=None, **body):
        connection = self.connect()
        connection.request("POST", path, json.dumps(body), headers or {})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response, text


def call_bytes(model, path="/v1/chat/completions", stream=True, version="1.1", **extra):
    messages = [{"role": "user", "content": "Hello?"}]
    body = json.dumps({"model": model, "messages": messages, "stream": stream, **extra})
    head = f"POST {path} HTTP/{version}\r\nHost: mock\r\nContent-Length: {len(body)}\r\n"
    return (head + "Content-Type: application/json\r\n\r\n" + body).encode()


def read_until_end(sock):
    data, end = bytearray(), "fin"
    try:
        while piece := sock.recv(1 << 16):
            data += piece
            if data.endswith(b"\r\n0\r\n\r\n"):
                end = "whole"
                break
    except ConnectionResetError:
        end = "reset"
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    return head.decode(), body, end


def dechunk(body):
    """The chunks that are whole; it is the test's own reader of RFC 9112 section 7.1."""
    chunks, at = [], 0
    while size := CHUNK_SIZE.match(body, at):
        start, count = size.end(), int(size[1], 16)
        end = start + count
        if count == 0 or len(body) < end + 2:
            break
        assert body[end : end + 2] == b"\r\n"
        chunks.append(body[start:end])
        at = end + 2
    return chunks


def events_of(text):
    """[(event name or None, data)] of SSE with any line end."""
    text = text.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    events = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields.get("event"), fields["data"]))
    return events


def tokens_of(text):
    return [int(index) for _, index in TOKEN.findall(text)]


def chat_text(events):
    chunks = [json.loads(data) for _, data in events if data != "[DONE]"]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


@pytest.fixture(scope="module")
def shared():
    mock = Mock()
    yield mock
    assert mock.stop() == 0


@pytest.fixture
def mock(shared):
    shared.wait_stats(active=0)
    shared.control("POST", "/mock/reset")
    return shared


# ---- endpoints ----


def test_chat_stream(mock):
    model = "mock,events=120,size=400"
    response, body = mock.post(
        "/v1/chat/completions", model=model, stream=True, stream_options={"include_usage": True}
    )
    assert response.status == 200
    assert response.getheader("content-type").startswith("text/event-stream")
    events = events_of(body)
    chunks = [json.loads(data) for _, data in events[:-1]]
    assert events[-1] == (None, "[DONE]")
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {model}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert tokens_of(chat_text(events)) == list(range(120))
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 120
    sizes = {len(f"data: {data}\n\n") for _, data in events[1:121]}
    assert sizes == {400}


def test_chat_without_usage_and_long_name(mock):
    model = "lab/mock,events=3,id=" + "x" * 300
    _, body = mock.post("/v1/chat/completions", model=model, stream=True)
    events = events_of(body)
    assert len(events) == 1 + 3 + 1 + 1
    assert not any("usage" in data for _, data in events)


def test_chat_whole(mock):
    response, body = mock.post("/v1/chat/completions", model="mock,events=7")
    answer = json.loads(body)
    assert int(response.getheader("content-length")) == len(body)
    assert answer["object"] == "chat.completion"
    assert tokens_of(answer["choices"][0]["message"]["content"]) == list(range(7))
    usage = answer["usage"]
    assert usage["completion_tokens"] == 7
    assert usage["total_tokens"] == usage["prompt_tokens"] + 7


def test_completions(mock):
    _, body = mock.post("/v1/completions", model="mock,events=12", stream=True, prompt="x")
    events = events_of(body)
    text = "".join(json.loads(data)["choices"][0]["text"] for _, data in events[:-1])
    assert events[-1][1] == "[DONE]"
    assert tokens_of(text) == list(range(12))
    _, body = mock.post("/v1/completions", model="mock,events=2", prompt="x")
    assert tokens_of(json.loads(body)["choices"][0]["text"]) == [0, 1]


def test_embeddings(mock):
    _, body = mock.post("/v1/embeddings", model="any", input=["a", "b"])
    answer = json.loads(body)
    assert [item["index"] for item in answer["data"]] == [0, 1]
    assert all(isinstance(value, float) for value in answer["data"][1]["embedding"])


def test_responses(mock):
    _, body = mock.post("/v1/responses", model="mock,events=105", stream=True, input="x")
    events = [(name, json.loads(data)) for name, data in events_of(body)]
    assert [data["sequence_number"] for _, data in events] == list(range(4 + 105 + 4))
    assert all(name == data["type"] for name, data in events)
    assert events[0][0] == "response.created" and events[-1][0] == "response.completed"
    deltas = "".join(data["delta"] for name, data in events if name.endswith("text.delta"))
    assert tokens_of(deltas) == list(range(105))
    response = events[-1][1]["response"]
    assert response["output"][0]["content"][0]["text"] == deltas
    assert response["usage"]["output_tokens"] == 105
    _, body = mock.post("/v1/responses", model="mock,events=3", input="x")
    assert json.loads(body)["status"] == "completed"


def background(mock, model):
    """What came of it before its connection was cut, and its ID."""
    _, body, end = mock.read(model, "/v1/responses", background=True)
    events = events_of(b"".join(dechunk(body)))
    response = json.loads(events[0][1])["response"]
    assert response["background"] is True
    return events, response["id"], end


def again(mock, response, query="?stream=true", method="GET"):
    connection = mock.connect()
    connection.request(method, f"/v1/responses/{response}{query}")
    reply = connection.getresponse()
    try:
        body = reply.read()
    except http.client.IncompleteRead as cut:
        body = cut.partial
    connection.close()
    return reply.status, body


def test_background_goes_on_alone(mock):
    begun, response, end = background(mock, "mock,events=12,fault=close@5,cuts=2")
    assert (end, tokens_of(str(begun))) == ("fin", list(range(5)))
    last = json.loads(begun[-1][1])["sequence_number"]
    status, body = again(mock, response, f"?stream=true&starting_after={last}")
    assert (status, tokens_of(str(events_of(body)))) == (200, list(range(5, 10)))
    whole = events_of(again(mock, response)[1])
    assert [json.loads(data)["sequence_number"] for _, data in whole] == list(range(4 + 12 + 4))
    assert whole[: len(begun)] == begun
    for after in range(len(whole)):
        rest = again(mock, response, f"?starting_after={after}&stream=true")[1]
        assert events_of(rest) == whole[after + 1 :]
    stats = mock.wait_stats(active=0)
    assert (stats["generations"], stats["completed"], stats["tokens"]) == (1, 1, 12)


def test_interactions(mock):
    response, body = mock.post("/v1beta/interactions", model="mock,events=12", stream=True,
                               background=True, input="x")
    events = events_of(body)
    assert [name for name, _ in events[:3]] == [
        "interaction.created", "interaction.status_update", "step.start"]
    assert events[-1] == ("done", "[DONE]") and tokens_of(str(events)) == list(range(12))
    last = json.loads(events[-2][1])["interaction"]
    assert (last["status"], last["usage"]["total_output_tokens"]) == ("completed", 12)
    assert "event_id" not in events[3][1]
    after = urllib.parse.quote(json.loads(events[8][1])["event_id"], safe="")
    connection = mock.connect()
    connection.request("GET", f"/v1beta/interactions/{last['id']}?stream=true&last_event_id={after}")
    assert events_of(connection.getresponse().read()) == events[9:]
    connection.close()
    stats = mock.wait_stats(active=0)
    assert (stats["generations"], stats["completed"], stats["tokens"]) == (1, 1, 12)


def test_background_that_is_not_given_out(mock):
    _, response, _ = background(mock, "mock,events=2,forget=1")
    assert again(mock, response)[0] == 404
    _, response, _ = background(mock, "mock,events=2,busy=1")
    assert [again(mock, response)[0] for _ in range(2)] == [503, 200]
    assert again(mock, response, "")[0] == 400
    assert again(mock, "resp_mock0")[0] == again(mock, "x")[0] == 404
    status, body = again(mock, response, "/cancel", "POST")
    assert (status, json.loads(body)["status"]) == (200, "cancelled")
    assert again(mock, response, "?stream=true&starting_after=3") == (200, b"")
    assert mock.control("GET", "/mock/last")["path"].startswith(f"/v1/responses/{response}?")


def test_messages(mock):
    _, body = mock.post("/v1/messages", model="mock,events=15", stream=True, max_tokens=99)
    events = [(name, json.loads(data)) for name, data in events_of(body)]
    names = [name for name, _ in events]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    text = "".join(data["delta"]["text"] for name, data in events if name == names[3])
    assert tokens_of(text) == list(range(15))
    assert events[-2][1]["usage"]["output_tokens"] == 15
    _, body = mock.post("/v1/messages", model="mock,events=2", max_tokens=99)
    answer = json.loads(body)
    assert answer["stop_reason"] == "end_turn"
    assert tokens_of(answer["content"][0]["text"]) == [0, 1]


def test_gemini(mock):
    model = "g.mock%2Cevents%3D12%2Csize%3D350%2Ctool%3D1"
    _, body = mock.post(f"/v1beta/models/{model}:streamGenerateContent?alt=sse", contents=[])
    events = [json.loads(data) for _, data in events_of(body)]
    parts = [event["candidates"][0]["content"]["parts"][0] for event in events]
    assert tokens_of("".join(part["text"] for part in parts[:12])) == list(range(12))
    assert parts[12]["functionCall"]["args"]["place"] == 'H\u00fctte "2"'
    last = events[-1]
    assert (last["candidates"][0]["finishReason"], last["usageMetadata"]["candidatesTokenCount"]) == (
        "STOP", 12)
    assert last["modelVersion"] == "g.mock,events=12,size=350,tool=1"
    assert {len(f"data: {data}\n\n") for _, data in events_of(body)[:12]} == {350}
    path = "/v1beta/models/mock,events=2:generateContent"
    answer = json.loads(mock.post(path, contents=[])[1])
    assert tokens_of(answer["candidates"][0]["content"]["parts"][0]["text"]) == [0, 1]
    _, body = mock.post("/v1beta/models/mock,events=4,fault=error@2:streamGenerateContent")
    assert json.loads(events_of(body)[-1][1])["error"]["status"] == "UNAVAILABLE"
    response, body = mock.post("/v1beta/models/mock,status=429:generateContent")
    assert (response.status, json.loads(body)["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


def test_cohere(mock):
    _, body = mock.post("/v2/chat", model="mock,events=11,tool=1", stream=True, messages=[])
    events = [(name, json.loads(data)) for name, data in events_of(body)]
    assert all(name == data["type"] for name, data in events)
    text = "".join(data["delta"]["message"]["content"]["text"]
                   for name, data in events if name == "content-delta")
    assert tokens_of(text) == list(range(11))
    pieces = [data["delta"]["message"]["tool_calls"]["function"]["arguments"]
              for name, data in events if name.startswith("tool-call-") and "delta" in data]
    assert json.loads("".join(pieces))["place"] == 'H\u00fctte "2"'
    end = events[-1][1]["delta"]
    assert (end["finish_reason"], end["usage"]["tokens"]["output_tokens"]) == ("TOOL_CALL", 11)
    answer = json.loads(mock.post("/v2/chat", model="mock,events=2,tool=1", messages=[])[1])
    assert tokens_of(answer["message"]["content"][0]["text"]) == [0, 1]
    assert json.loads(answer["message"]["tool_calls"][0]["function"]["arguments"])["generation"]
    response, body = mock.post("/v2/chat", model="mock,status=500", messages=[])
    assert (response.status, bool(json.loads(body)["message"])) == (500, True)


def test_ollama(mock):
    """Lines of JSON, unless the body refuses a stream."""
    response, body = mock.post("/api/chat", model="mock,events=12,size=350,tool=1", messages=[])
    assert response.getheader("content-type") == "application/x-ndjson"
    assert {len(line) for line in body.splitlines(keepends=True)[:12]} == {350}
    lines = [json.loads(line) for line in body.splitlines()]
    assert tokens_of("".join(line["message"]["content"] for line in lines)) == list(range(12))
    call = lines[12]["message"]["tool_calls"][0]["function"]
    assert (call["name"], call["arguments"]["place"]) == ("look_up", 'H\u00fctte "2"')
    assert [line["done"] for line in lines] == [False] * 13 + [True]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("stop", 12)
    answer = json.loads(mock.post("/api/chat", model="mock,events=2,tool=1", stream=False)[1])
    assert tokens_of(answer["message"]["content"]) == [0, 1] and answer["message"]["tool_calls"]
    _, body = mock.post("/api/chat", model="mock,events=4,fault=error@2,sse=crlf")
    assert body.count(b"\r\n") == 3 and json.loads(body.splitlines()[-1])["error"]
    response, body = mock.post("/api/chat", model="mock,status=404")
    assert (response.status, list(json.loads(body))) == (404, ["error"])


def messages_of(body):
    """[(the event's name, its payload)] of a binary event stream; both checksums are right."""
    found = []
    while body:
        total, size, prelude = struct.unpack(">III", body[:12])
        assert prelude == zlib.crc32(body[:8])
        assert struct.unpack(">I", body[total - 4:total])[0] == zlib.crc32(body[:total - 4])
        headers, rest = {}, body[12:12 + size]
        while rest:
            end = 1 + rest[0]
            length = struct.unpack(">H", rest[end + 1:end + 3])[0]
            assert rest[end] == 7
            headers[rest[1:end].decode()] = rest[end + 3:end + 3 + length].decode()
            rest = rest[end + 3 + length:]
        kind = headers[":message-type"]
        found.append((headers[f":{kind}-type"], json.loads(body[12 + size:total - 4])))
        body = body[total:]
    return found


def test_bedrock(mock):
    path = "/model/b.mock%2Cevents%3D12%2Csize%3D350%2Ctool%3D1/converse-stream"
    response, body = mock.post(path, messages=[])
    assert response.getheader("content-type") == "application/vnd.amazon.eventstream"
    events = messages_of(body)
    deltas = [data["delta"] for name, data in events if name == "contentBlockDelta"]
    assert tokens_of("".join(delta.get("text", "") for delta in deltas)) == list(range(12))
    pieces = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
    assert json.loads(pieces)["place"] == 'H\u00fctte "2"'
    assert [name for name, _ in events[-2:]] == ["messageStop", "metadata"]
    assert events[-2][1]["stopReason"] == "tool_use"
    assert events[-1][1]["usage"]["outputTokens"] == 12
    answer = json.loads(mock.post("/model/mock,events=2,tool=1/converse", messages=[])[1])
    content = answer["output"]["message"]["content"]
    assert tokens_of(content[0]["text"]) == [0, 1] and content[1]["toolUse"]["input"]["generation"]
    _, body = mock.post("/model/mock,events=4,fault=error@2/converse-stream", messages=[])
    assert messages_of(body)[-1][0] == "modelStreamErrorException"
    response, body = mock.post("/model/mock,status=429/converse", messages=[])
    assert (response.status, list(json.loads(body))) == (429, ["message"])


def place_of(mock, place):
    """What a prediction's place answers: the response, and its body."""
    connection = mock.connect()
    connection.request("GET", place.partition(mock.address)[2])
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def predict(mock, model, headers=None, path="/v1/models/meta/{}/predictions"):
    headers = {"Host": mock.address, **(headers or {})}
    return mock.post(path.format(model.replace(",", "%2C")), headers, input={"prompt": "Hello?"})


def test_a_prediction_is_read_elsewhere(mock):
    response, body = predict(mock, "mock,events=12,poll=1")
    made = json.loads(body)
    assert (response.status, made["status"], made["output"]) == (201, "starting", None)
    response, body = place_of(mock, made["urls"]["stream"])
    events = body.decode().split("\n\n")
    assert [event.split("\n")[0] for event in events] == ["event: output"] * 12 + ["event: done", ""]
    assert events[1] == f"event: output\ndata:  g{made['id'][4:]}t1"
    states = [json.loads(place_of(mock, made["urls"]["get"])[1]) for _ in range(2)]
    assert [state["status"] for state in states] == ["processing", "succeeded"]
    assert tokens_of("".join(states[1]["output"])) == list(range(12))
    assert states[1]["metrics"]["output_token_count"] == 12
    stats = mock.wait_stats(active=0)
    assert (stats["generations"], stats["completed"], stats["tokens"]) == (1, 1, 12)
    assert place_of(mock, f"{mock.address}/v1/predictions/mock0")[0].status == 404


def test_a_prediction_that_is_waited_for(mock):
    response, body = predict(mock, "mock,events=3,rate=100", {"Prefer": "wait=5"})
    answer = json.loads(body)
    assert (response.status, answer["status"], len(answer["output"])) == (200, "succeeded", 3)
    made = json.loads(predict(mock, "mock,events=3,rate=0.001")[1])
    assert json.loads(place_of(mock, made["urls"]["get"])[1])["status"] == "processing"


def test_a_prediction_that_fails(mock):
    made = json.loads(predict(mock, "mock,events=4,fault=error@2")[1])
    answer = json.loads(place_of(mock, made["urls"]["get"])[1])
    assert (answer["status"], answer["output"], bool(answer["error"])) == ("failed", None, True)
    body = place_of(mock, made["urls"]["stream"])[1]
    assert body.count(b"event: output") == 2
    assert body.endswith(b'event: done\ndata: {"reason":"error"}\n\n') and b"event: error" in body
    stats = mock.wait_stats(active=0)
    assert (stats["generations"], stats["failed"], stats["tokens"]) == (1, 1, 2)
    response, body = predict(mock, "mock,status=402")
    assert (response.status, json.loads(body)["status"]) == (402, 402)


def test_a_cog_container(mock):
    stream = {"Accept": "text/event-stream"}
    response, body = predict(mock, "mock,events=12,size=90", stream, "/{}/predictions")
    names = [name for name, _ in events_of(body)]
    assert names == ["start"] + ["output"] * 12 + ["completed"]
    outputs = [json.loads(data) for _, data in events_of(body)][1:-1]
    assert [output["index"] for output in outputs] == list(range(12))
    assert tokens_of("".join(output["chunk"] for output in outputs)) == list(range(12))
    assert {len(event) + 2 for event in body.decode().split("\n\n")[1:-2]} == {90}
    answer = json.loads(predict(mock, "", path="/predictions")[1])
    assert (answer["status"], len(answer["output"])) == ("succeeded", 20)
    response, body = predict(mock, "", {"Prefer": "respond-async"}, "/predictions")
    assert (response.status, json.loads(body)["status"]) == (202, "starting")
    failed = predict(mock, "mock,events=4,fault=error@2", stream, "/{}/predictions")[1]
    assert json.loads(events_of(failed)[-1][1])["status"] == "failed"


def test_a_call_of_a_tool(mock):
    """Streamed in pieces that cut a number and an escape; whole, the same arguments."""
    def whole(path, **more):
        return json.loads(mock.post(path, model="mock,events=1,tool=1", **more)[1])

    def datas(path, **more):
        _, body = mock.post(path, model="mock,events=1,tool=1", stream=True, **more)
        return [json.loads(data) for _, data in events_of(body) if data != "[DONE]"]

    choice = whole("/v1/chat/completions")["choices"][0]
    function = choice["message"]["tool_calls"][0]["function"]
    assert (choice["finish_reason"], function["name"]) == ("tool_calls", "look_up")
    generation = int(TOKEN.search(choice["message"]["content"])[1])
    wanted = {"generation": generation, "place": 'H\u00fctte "2"'}
    assert json.loads(function["arguments"]) == wanted
    calls = [chunk["choices"][0]["delta"]["tool_calls"][0]
             for chunk in datas("/v1/chat/completions")[2:-1]]
    pieces = [call["function"]["arguments"] for call in calls]
    assert len(pieces) == 4 and json.loads("".join(pieces))["place"] == 'H\u00fctte "2"'

    item = whole("/v1/responses", input="x")["output"][1]
    assert (item["type"], json.loads(item["arguments"])["generation"]) == ("function_call", generation + 2)
    events = datas("/v1/responses", input="x")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    pieces = [event["delta"] for event in events if event["type"].endswith("arguments.delta")]
    assert "".join(pieces) == events[-1]["response"]["output"][1]["arguments"]

    block = whole("/v1/messages", max_tokens=9)["content"][1]
    assert (block["type"], block["input"]["generation"]) == ("tool_use", generation + 4)
    events = datas("/v1/messages", max_tokens=9)
    pieces = [event["delta"]["partial_json"] for event in events
              if event["type"] == "content_block_delta" and event["index"] == 1]
    assert json.loads("".join(pieces))["generation"] == generation + 5
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def pattern(count):
    period = bytes((31 * j + j // 251) % 256 for j in range(65521))
    return (period * (count // len(period) + 1))[:count]


def test_blobs_up(mock):
    for body, headers in ((b"", {}), (b"\0\xff" * 5, {}),
                          (pattern(70_000_000), {}),  # more than a chat may have
                          ([b"ab", b"c" * 100_000, b"d"], {"Transfer-Encoding": "chunked"})):
        connection = mock.connect()
        connection.request("POST", "/v1/files", body, headers, encode_chunked=bool(headers))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        whole = b"".join(body) if headers else body
        assert answer["bytes"] == len(whole)
        assert answer["sha256"] == hashlib.sha256(whole).hexdigest()
    assert mock.control("GET", "/mock/last")["body"] == "ab" + "c" * 100_000 + "d"


def test_blobs_down(mock):
    connection = mock.connect()
    for count in (0, 1, 65521, 3_000_001):
        connection.request("GET", f"/v1/files/bytes-{count}/content")
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.read() == pattern(count)
    connection.request("GET", "/v1/files/bytes-x/content")
    assert connection.getresponse().status == 404
    connection.close()


def test_unknown_paths_methods_and_bodies(mock):
    assert mock.post("/v1/nothing", model="mock")[0].status == 404
    connection = mock.connect()
    connection.request("GET", "/v1/messages")
    assert connection.getresponse().status == 405
    connection.close()
    assert mock.post("/v1/messages", nothing=1)[0].status == 400
    response, body = mock.post("/v1/chat/completions", model="mock,evnts=3")
    assert response.status == 400 and "evnts=3" in json.loads(body)["error"]["message"]
    for wrong in ("events=x", "burst=0", "fault=odd", "status=200", "sse=x", "write=2", "events"):
        assert mock.post("/v1/chat/completions", model="mock," + wrong)[0].status == 400
    assert mock.stats()["generations"] == 0


# ---- control ----


def test_last_shows_the_request(mock):
    assert mock.control("GET", "/mock/last") is None
    mock.post("/v1/chat/completions?a=b", {"X-Trace": 'q"1', "X-Empty": ""}, model="mock", n=1)
    last = mock.control("GET", "/mock/last")
    assert (last["method"], last["path"]) == ("POST", "/v1/chat/completions?a=b")
    assert last["headers"]["x-trace"] == 'q"1' and last["headers"]["x-empty"] == ""
    assert json.loads(last["body"]) == {"model": "mock", "n": 1}
    connection = mock.connect()
    connection.request("POST", "/v1/chat/completions", b'{"\xff\x00')
    assert connection.getresponse().status == 400
    connection.close()
    assert base64.b64decode(mock.control("GET", "/mock/last")["body_base64"]) == b'{"\xff\x00'


def test_stats_by_model_and_reset(mock):
    mock.post("/v1/chat/completions", model="mock,events=3,id=a", stream=True)
    mock.post("/v1/chat/completions", model="mock,events=4,id=b")
    stats = mock.stats()
    assert (stats["generations"], stats["completed"], stats["tokens"]) == (2, 2, 7)
    assert stats["events_sent"] == 1 + 3 + 2
    row = stats["by_model"]["mock,events=3,id=a"]
    assert (row["generations"], row["tokens"], row["completed"], row["aborted"]) == (1, 3, 1, 0)
    mock.control("POST", "/mock/reset")
    stats = mock.stats()
    assert stats["generations"] == 0 and stats["by_model"] == {}


def test_disconnect_is_aborted(mock):
    sock = mock.raw("mock,events=1000,rate=100,id=gone")
    assert sock.recv(100)
    assert mock.stats()["active"] == 1
    sock.close()
    row = mock.wait_stats(active=0, aborted=1)["by_model"]["mock,events=1000,rate=100,id=gone"]
    assert row["aborted"] == 1 and row["completed"] == 0


def test_reset_with_a_live_stream(mock):
    sock = mock.raw("mock,events=1000,rate=100")
    assert sock.recv(100)
    mock.control("POST", "/mock/reset")
    sock.close()
    stats = mock.wait_stats(active=0)
    assert (stats["generations"], stats["aborted"], stats["events_sent"]) == (0, 0, 0)


def test_key():
    mock = Mock("--require-key", "sk-1")
    ask = lambda **headers: mock.post("/v1/chat/completions", headers, model="mock")[0].status
    assert ask() == 401
    assert ask(Authorization="Bearer sk-2") == 401
    assert ask(Authorization="Bearer sk-1") == 200
    assert mock.post("/v1/messages", {"x-api-key": "sk-1"}, model="mock")[0].status == 200
    assert mock.stats()["generations"] == 2
    assert mock.stop() == 0


# ---- behavior ----


def test_errors_by_name(mock):
    model = "mock,status=429,retry_after=2"
    response, body = mock.post("/v1/chat/completions", model=model, stream=True)
    assert (response.status, response.getheader("retry-after")) == (429, "2")
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
    response, body = mock.post("/v1/messages", model="mock,status=529", stream=True)
    assert response.status == 529
    assert json.loads(body)["error"]["type"] == "overloaded_error"
    stats = mock.stats()
    assert (stats["generations"], stats["rejected"]) == (0, 2)


def test_fail_first(mock):
    ask = lambda: mock.post("/v1/chat/completions", model="mock,fail=2,id=f")[0].status
    assert [ask() for _ in range(4)] == [500, 500, 200, 200]


@pytest.mark.parametrize("sse,end", [("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r"), ("bom", "\n")])
def test_line_ends(mock, sse, end):
    _, body = mock.post("/v1/messages", model=f"mock,events=3,sse={sse}", stream=True)
    assert body.startswith(b"\xef\xbb\xbf") == (sse == "bom")
    assert body.endswith((end + end).encode())
    assert (b"\r" in body, b"\n" in body) == ("\r" in end, "\n" in end)
    assert len(events_of(body)) == 3 + 3 + 3


def test_one_byte_writes(mock):
    _, body, end = mock.read("mock,events=30,write=1")
    assert end == "whole"
    assert tokens_of(chat_text(events_of(b"".join(dechunk(body))))) == list(range(30))


def test_burst_size_and_text(mock):
    _, body = mock.post("/v1/chat/completions", model="mock,events=25,burst=10", stream=True)
    assert tokens_of(chat_text(events_of(body))) == list(range(25))
    _, body = mock.post("/v1/chat/completions", model="mock,events=2,size=5000", stream=True)
    assert len(body.split(b"\n\n")[1]) + 2 == 5000
    _, body = mock.post("/v1/chat/completions", model="mock,events=2,text=3000000", stream=True)
    text = chat_text(events_of(body))
    assert len(text) == 6000000 and tokens_of(text) == [0, 1]


def test_rate_is_kept(mock):
    start = time.monotonic()
    mock.read("mock,events=20,rate=200,ttft=50")
    assert time.monotonic() - start >= 0.050 + 20 / 200 - 0.002


def test_http10_and_close_framing(mock):
    for extra in ({"version": "1.0"}, {}):
        model = "mock,events=5" + ("" if extra else ",frame=close")
        head, body, end = mock.read(model, **extra)
        assert end == "fin" and "chunked" not in head and "Connection: close" in head
        assert tokens_of(chat_text(events_of(body))) == list(range(5))


def test_keep_alive_pipelining_and_chunked_body(mock):
    with socket.create_connection(mock.place, TIMEOUT_S) as sock:
        body = b'{"model":"mock,events=2"}'
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        head = b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall((head + chunks) * 3 + b"GET /mock/stats HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["completed"] == 3


def test_expect_continue(mock):
    call = call_bytes("mock,events=1", stream=False)
    head, _, body = call.partition(b"\r\n\r\n")
    with socket.create_connection(mock.place, TIMEOUT_S) as sock:
        sock.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_bad_requests(mock):
    for sent, status in (
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 70000 + b"\r\n\r\n", b"413"),
    ):
        with socket.create_connection(mock.place, TIMEOUT_S) as sock:
            sock.sendall(sent)
            answer = b""
            while piece := sock.recv(1 << 16):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 " + status)


def test_large_body(mock):
    prompt = "x" * (20 << 20)
    response, body = mock.post("/v1/completions", model="mock,events=1", prompt=prompt)
    assert json.loads(body)["usage"]["prompt_tokens"] > 5 << 20
    assert len(json.loads(mock.control("GET", "/mock/last")["body"])["prompt"]) == 20 << 20


# ---- faults ----


@pytest.mark.parametrize(
    "fault,ending",
    [
        ("reset@6", "reset"),
        ("close@6", "fin"),
        ("end@6", "whole"),
        ("truncate@6", "reset"),
        ("error@6", "whole"),
        ("garbage@6", "fin"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_faults(mock, fault, ending, path):
    head, body, end = mock.read(f"mock,events=9,fault={fault}", path)
    assert end == ending and "200 OK" in head
    text = b"".join(dechunk(body)).decode()
    assert tokens_of(text) == list(range(6))
    assert not re.search(r"\[DONE\]|message_stop|response\.completed", text)
    assert ("error" in events_of(text.encode())[-1][1]) == (fault == "error@6")
    assert (b"zz\r\n" in body) == (fault == "garbage@6")
    stats = mock.wait_stats(active=0)
    assert (stats["failed"], stats["completed"], stats["aborted"]) == (1, 0, 0)


def test_truncate_is_half_of_the_event(mock):
    _, body, _ = mock.read("mock,events=9,size=400,fault=truncate@6")
    rest = body[len(b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in dechunk(body))) :]
    assert rest.startswith(b"190\r\ndata: {") and len(rest) == (5 + 400 + 2) // 2


def test_stall(mock):
    with mock.raw("mock,events=9,fault=stall@4") as sock:
        data = b""
        while b"t3" not in data:
            data += sock.recv(1 << 16)
        sock.settimeout(0.1)
        with pytest.raises(socket.timeout):
            sock.recv(1)
        assert mock.stats()["active"] == 1
    mock.wait_stats(active=0, aborted=1)


def test_faults_before_the_first_event(mock):
    assert mock.read("mock,fault=refuse") == ("", b"", "reset")
    assert mock.read("mock,drop=head") == ("", b"", "fin")
    _, body, end = mock.read("mock,fault=first_error")
    assert end == "whole"
    (event,) = events_of(b"".join(dechunk(body)))
    assert "error" in json.loads(event[1])
    head, body, end = mock.read("mock,fault=reset@0")
    assert (body, end) == (b"", "reset") and "200 OK" in head
    mock.wait_stats(active=0, failed=4)


@pytest.mark.parametrize("fault,ending", [("reset", "reset"), ("close", "fin")])
def test_faults_of_a_whole_answer(mock, fault, ending):
    head, body, end = mock.read(f"mock,fault={fault}", stream=False)
    size = int(re.search(r"Content-Length: (\d+)", head)[1])
    assert end == ending and len(body) == size // 2


# ---- many, and slow ----


def test_slow_reader_loses_nothing(mock):
    with mock.raw("mock,events=40000") as sock:
        time.sleep(0.1)
        _, body, end = read_until_end(sock)
    assert end == "whole"
    assert tokens_of(b"".join(dechunk(body)).decode()) == list(range(40000))


def test_500_streams_are_exact(mock):
    count, events = 500, 40
    selector = selectors.DefaultSelector()
    texts = {}
    for i in range(count):
        sock = mock.raw(f"mock,events={events},rate=100,id={i}")
        texts[sock] = b""
        selector.register(sock, selectors.EVENT_READ)
    while selector.get_map():
        ready = selector.select(TIMEOUT_S)
        assert ready
        for key, _ in ready:
            texts[key.fileobj] += key.fileobj.recv(1 << 16)
            if texts[key.fileobj].endswith(b"\r\n0\r\n\r\n"):
                selector.unregister(key.fileobj)
    generations = set()
    for sock, data in texts.items():
        sock.close()
        text = b"".join(dechunk(data.partition(b"\r\n\r\n")[2])).decode()
        assert tokens_of(text) == list(range(events))
        (generation,) = {generation for generation, _ in TOKEN.findall(text)}
        generations.add(generation)
    assert len(generations) == count
    stats = mock.wait_stats(active=0)
    assert (stats["generations"], stats["completed"]) == (count, count)
    assert stats["tokens"] == count * events
    assert len(stats["by_model"]) == count


# ---- the program ----


def test_command_line():
    run = lambda *flags: subprocess.run(
        [PROGRAM, *flags], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert "--listen" in run("--help").stdout
    assert run("--odd").returncode == 2
    assert run("--tls-cert", "x").returncode == 2
    assert run("--listen", "nowhere").returncode == 1
    assert run("--tls-cert", "/nothing", "--tls-key", "/nothing").returncode == 1


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
def test_tls(tmp_path):
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    mock = Mock("--tls-cert", certificate, "--tls-key", key)
    context = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection(*mock.place, timeout=TIMEOUT_S, context=context)
    for events in (50, 20000):
        body = json.dumps({"model": f"mock,events={events}", "stream": True})
        connection.request("POST", "/v1/chat/completions", body)
        text = chat_text(events_of(connection.getresponse().read()))
        assert tokens_of(text) == list(range(events))
    connection.request("GET", "/mock/stats")
    assert json.loads(connection.getresponse().read())["completed"] == 2
    connection.close()
    assert mock.stop() == 0
