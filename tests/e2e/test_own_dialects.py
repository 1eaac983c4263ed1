"""Providers that callers do not speak like: asked in their own dialect, at its own place, under its own names.

What they answer is the golden transcripts' first part, what callers get is the second: so the server
is held to the same words as the codecs are.
"""

import json
import pathlib
import re

import pytest

import dialects
import programs

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "translate"
CASES = ["gemini_to_anthropic_text_stream", "gemini_to_anthropic_thought_stream", "gemini_to_anthropic_body",
         "gemini_to_responses_call_stream", "gemini_to_responses_body", "cohere_to_anthropic_tools_stream",
         "cohere_to_anthropic_body", "cohere_to_responses_thinking_stream", "cohere_to_responses_body"]
TYPES = {"gemini": "google-ai-studio", "cohere": "cohere"}
KEYS = {"GEMINI_API_KEY": "k1", "CO_API_KEY": "k1"}
CALLERS = {"anthropic": "anthropic", "responses": "openai_responses"}
PLACES = {("gemini", True): "/v1beta/models/our-model:streamGenerateContent?alt=sse",
          ("gemini", False): "/v1beta/models/our-model:generateContent",
          ("cohere", True): "/v2/chat", ("cohere", False): "/v2/chat"}


def golden(case):
    """What the provider sends, what the caller gets."""
    text = (GOLDEN / f"{case}.txt").read_text()
    _, sent, got = re.split(r"^== .*\n", text, flags=re.M)
    return sent.encode(), got.encode()


def without_names(text):
    """Without what differs from stream to stream: its ID, the time, the name that the caller gave."""
    text = re.sub(rb"_[0-9a-f]{32}", b"_ID", bytes(text))
    text = re.sub(rb'"(created_at|completed_at)":\d+', rb'"\1":0', text)
    return re.sub(rb'"model":"[^"]*"', b'"model":""', text).strip()


def start(serve, canned, provider, answer):
    far = canned(answer)
    server = serve("--provider", f"{TYPES[provider]}={far.url}", extra_environment=KEYS)
    return server, far


def ask(server, provider, caller, stream):
    body = dialects.body(caller, f"{TYPES[provider]}/our-model", stream)
    return server.call("POST", dialects.PATHS[caller], body)


@pytest.mark.parametrize("case", CASES)
def test_a_call_in_the_providers_own_words(serve, canned, case):
    provider, caller = case.split("_")[0], CALLERS[case.split("_")[2]]
    stream = case.endswith("_stream")
    sent, wanted = golden(case)
    answer = programs.canned_sse(sent) if stream else programs.canned_json(sent)
    server, far = start(serve, canned, provider, answer)
    reply = ask(server, provider, caller, stream)
    assert (reply.status, reply.end) == (200, "clean"), reply.body
    assert without_names(reply.body) == without_names(wanted)
    head, body = far.requests[0]
    assert head.startswith(f"POST {PLACES[provider, stream]} HTTP/1.1\r\n")
    asked = json.loads(body)
    assert ("contents" if provider == "gemini" else "messages") in asked
    row = server.row(reply.header("tokenlog-stream-id"))
    assert (row["state"], row["dialect"], row["provider_dialect"]) == ("completed", caller, provider)
    assert server.raw(row["id"]) == bytes(reply.body)


@pytest.mark.parametrize("provider", TYPES)
def test_chat_completions_go_where_the_provider_takes_them(serve, canned, provider):
    server, far = start(serve, canned, provider, programs.canned_json(b'{"object":"chat.completion"}'))
    reply = ask(server, provider, "openai_chat", False)
    assert (reply.status, bytes(reply.body)) == (200, b'{"object":"chat.completion"}')
    assert far.requests[0][0].startswith("POST /v1/chat/completions HTTP/1.1")


def test_a_gemini_that_breaks_off_is_no_answer(serve, canned):
    sent, _ = golden("gemini_to_anthropic_text_stream")
    first = sent.split(b"\n\n")[0] + b"\n\n"
    server, _ = start(serve, canned, "gemini", programs.canned_sse(first))
    reply = ask(server, "gemini", "anthropic", True)
    assert reply.end == "cut" and b"There are" in reply.body
    assert server.row(reply.header("tokenlog-stream-id"))["state"] == "failed"
