"""`Tokenlog-On-Interrupted: continue`: what broke off is gone on with by the key's next call."""

import json
import re

import pytest

import dialects
import programs
import wire
from test_continue import CALL, DONE, ERROR, FIRST, broken, chat, of_type
from test_failover import route

AGAIN = {"Tokenlog-On-Interrupted": "continue"}
SECOND = chat("world", role="assistant") + chat(None, "stop") + DONE


def words(text):
    return re.findall(r"t(\d+)", text)


@pytest.fixture
def routed(serve, tmp_path):
    """routed(providers, routes): a server of that configuration, which can be written again."""

    def write(providers, routes=""):
        (tmp_path / "config.yaml").write_text("providers:\n" + "".join(providers) + routes)

    def start(providers, routes=""):
        write(providers, routes)
        return serve("--config", str(tmp_path / "config.yaml"), provider=None)

    start.write = write
    return start


def go_on(server, path, request, key="k"):
    """After a restart there may be no room for a moment: what is not archived fills the ring."""
    def reply():
        found = server.call("POST", path, request, {"Idempotency-Key": key} | AGAIN)
        return found if found.status != 503 else None
    return programs.eventually(reply)


@pytest.mark.parametrize("caller,other", [("openai_chat", "openai_chat"),
                                          ("openai_responses", "anthropic"),
                                          ("anthropic", "openai_responses")])
def test_a_kill_in_mid_answer_is_gone_on_from(routed, mock, model, caller, other):
    slow, quick = model("events=400", "rate=20"), model("events=5")
    providers = [of_type("one", mock.url, caller), of_type("two", mock.url, other)]
    server = routed(providers, "routes:\n" + route(f"one/{slow}", retries=1))
    path, request = dialects.PATHS[caller], dialects.body(caller, "smart")
    with server.wire() as one:
        one.ask("POST", path, request, {"Idempotency-Key": "k"})
        seen = b"".join(one.read_events(8))
        stream = one.reader.header("tokenlog-stream-id")
        server.kill()
    routed.write(providers, "routes:\n" + route(f"two/{quick}", retries=1))
    server.start()
    before = server.row_when(stream, "interrupted")
    recorded = server.raw(before["id"])
    assert recorded.startswith(seen) and seen
    reply = go_on(server, path, request)
    assert (reply.status, reply.end) == (200, "clean"), bytes(reply.body)
    assert bytes(reply.body).startswith(recorded)
    said = dialects.read(caller, bytes(reply.body))
    assert said["finish"] == "stop"
    count = len(words(said["text"])) - 5
    assert words(said["text"]) == [str(i) for i in range(count)] + [str(i) for i in range(5)]
    row = server.row(reply.header("tokenlog-stream-id"))
    assert (row["attempt"], row["previous"], row["state"]) == (2, before["id"], "completed")
    (seam,) = row["attempts"]
    assert (seam["kind"], seam["target"], seam["shown"]) == ("continuation", f"two/{quick}", True)
    assert seam["from"] == before["events"] == len(wire.split_events(recorded)[0])
    assert server.raw(row["id"]) == bytes(reply.body)
    assert server.raw(before["id"]) == recorded
    assert (mock.of(slow)["requests"], mock.of(quick)["completed"]) == (1, 1)
    again = server.call("POST", path, request, {"Idempotency-Key": "k"})
    assert bytes(again.body) == bytes(reply.body) and mock.of(quick)["requests"] == 1


@pytest.fixture
def dead(routed, canned):
    """dead(said): a key's stream whose provider died after that; the server, and the provider."""

    def start(said, **members):
        one = canned([broken(said), programs.canned_sse(SECOND)])
        server = routed([of_type("one", one.url, "openai_chat")])
        first = server.post("one/m", {"Idempotency-Key": "k"}, **members)
        assert (bytes(first.body), first.end) == (said, "cut")
        return server, one

    return start


def test_it_needs_no_route(dead):
    server, one = dead(FIRST)
    assert server.post("one/m", {"Idempotency-Key": "k"}).body == FIRST
    assert len(one.requests) == 1
    reply = server.post("one/m", {"Idempotency-Key": "k"} | AGAIN)
    said = dialects.read("openai_chat", bytes(reply.body))
    assert (reply.end, said["text"], said["finish"]) == ("clean", "Hello world", "stop")
    assert bytes(reply.body).startswith(FIRST) and len(one.requests) == 2
    roles = [one["role"] for one in json.loads(one.requests[1][1])["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_what_cannot_be_gone_on_with_is_said(dead):
    server, one = dead(FIRST + CALL)
    reply = server.post("one/m", {"Idempotency-Key": "k"} | AGAIN)
    assert (bytes(reply.body), reply.end) == (FIRST + CALL, "cut")
    row = server.row(reply.header("tokenlog-stream-id"))
    assert (row["attempt"], row["state"], row["reason"]) == (2, "failed", "not_gone_on_with")
    assert row["detail"].startswith("a tool call was under way") and row["attempts"] == []
    assert len(one.requests) == 1
    anew = server.post("one/m", {"Idempotency-Key": "k", "Tokenlog-On-Interrupted": "restart"})
    assert (bytes(anew.body), anew.end) == (SECOND, "clean")
    assert server.row(anew.header("tokenlog-stream-id"))["attempt"] == 3


def test_where_nothing_was_shown_it_is_asked_anew(routed, mock, model):
    slow, quick = model("ttft=60000"), model("events=5")
    providers = [of_type("mock", mock.url, "openai_chat")]
    server = routed(providers, "routes:\n" + route(f"mock/{slow}"))
    with server.wire() as caller:
        caller.ask("POST", "/v1/chat/completions", programs.ask("smart"), {"Idempotency-Key": "k"})
        programs.eventually(lambda: mock.of(slow)["requests"] == 1)
        server.kill()
    routed.write(providers, "routes:\n" + route(f"mock/{quick}"))
    server.start()
    reply = go_on(server, "/v1/chat/completions", programs.ask("smart"))
    wire.assert_exact(reply.body, 5)
    row = server.row(reply.header("tokenlog-stream-id"))
    assert row["attempt"] == 2 and [one["kind"] for one in row["attempts"]] == ["first"]
    assert mock.of(quick)["requests"] == 1


def test_only_chats_can_be_gone_on_with(routed, canned):
    one = canned(broken(FIRST))
    server = routed([of_type("one", one.url, "openai_chat")])
    path = "/one/v1/chat/completions"
    assert server.post("m", {"Idempotency-Key": "k"}, path).end == "cut"
    reply = server.post("m", {"Idempotency-Key": "k"} | AGAIN, path)
    error = wire.assert_error(reply, 409, "cannot_continue")
    assert "Tokenlog-On-Interrupted: restart" in error["message"] and len(one.requests) == 1


@pytest.mark.parametrize("name,word,told", [
    ("Tokenlog-On-Interrupted", "again", "`replay` (as without it), `restart` or `continue`"),
    ("Tokenlog-Attach", "sometimes", "`always` (as without it) or `never`")])
def test_another_word_is_refused(server, name, word, told):
    error = wire.assert_error(server.post("mock", {name: word}), 400)
    assert told in error["message"] and name in error["message"]


def test_an_error_that_was_shown_is_not_shown_again(routed, canned):
    """It was the end of the first answer; the second one goes on without it."""
    one = canned([broken(FIRST + ERROR), programs.canned_sse(SECOND)])
    server = routed([of_type("one", one.url, "openai_chat")])
    first = server.post("one/m", {"Idempotency-Key": "k"})
    assert (bytes(first.body), first.end) == (FIRST + ERROR, "cut")
    reply = server.post("one/m", {"Idempotency-Key": "k"} | AGAIN)
    assert (reply.end, ERROR in bytes(reply.body)) == ("clean", False)
    assert bytes(reply.body).startswith(FIRST)
    assert dialects.read("openai_chat", bytes(reply.body))["text"] == "Hello world"
    row = server.row(reply.header("tokenlog-stream-id"))
    assert [one["from"] for one in row["attempts"]] == [1]
