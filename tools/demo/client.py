"""A client of the demonstration, run as a process of its own so that it can really be killed.

    client.py URL ask MODEL KEY [PROMPT]    start a streamed completion under an Idempotency-Key
    client.py URL resume STREAM N           read on, after N events
    client.py URL again MODEL KEY [PROMPT]  the same as ask: the server knows the key

It prints one JSON object a line, at once: first the response's head, then each event as it comes,
last how it ended. Whoever reads these lines knows what the client had received when it died.
"""

import http.client
import json
import sys
import urllib.parse

TIMEOUT_S = 120


def say(**members):
    print(json.dumps(members), flush=True)


def request_of(arguments):
    if arguments[0] == "resume":
        stream, received = arguments[1:]
        return "GET", f"/v1/streams/{stream}/events?from={received}", None, {}
    model, key, prompt = (*arguments[1:], "Hello?")[:3]
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": prompt}]}
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return "POST", "/v1/chat/completions", json.dumps(body), headers


def blocks(response):
    """The SSE events: lists of (field, value). Ends when the stream does, however it does."""
    block = []
    while line := response.readline():
        line = line.decode().rstrip("\r\n")
        if line:
            field, _, value = line.partition(":")
            block.append((field, value.removeprefix(" ")))
        elif block:
            yield dict(block)
            block = []


def text_of(data):
    """The text of an OpenAI chat chunk, if this is one that has some."""
    if data == "[DONE]":
        return ""
    choices = json.loads(data).get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def follow(response):
    """Prints the events. True if the stream ended as it should: its last event came."""
    whole = False
    for block in blocks(response):
        data = block.get("data", "")
        if block.get("event") == "tokenlog.end":
            say(end=json.loads(data))
            return True
        whole = data == "[DONE]"
        say(text=text_of(data))
    return whole


def main(url, *arguments):
    method, path, body, headers = request_of(arguments)
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=TIMEOUT_S)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    if response.status != 200:
        say(status=response.status, error=response.read().decode(errors="replace"))
        return 1
    say(status=200, stream=response.getheader("Tokenlog-Stream-Id"),
        state=response.getheader("Tokenlog-Stream-State"))
    try:
        whole = follow(response)
    except (http.client.HTTPException, OSError):
        whole = False
    say(whole=whole)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
