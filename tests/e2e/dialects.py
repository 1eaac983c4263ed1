"""The three dialects of chats, from a client's side: a request, and what an answer says.

An answer, streamed or whole, is read into {text, calls, finish, usage}: calls are (name, arguments
as JSON), finish is Chat Completions' word, usage is (input, output). So the same answer reads the
same in each dialect. A broken stream reads as far as it goes: finish is None.
"""

import json

PATHS = {"openai_chat": "/v1/chat/completions", "openai_responses": "/v1/responses",
         "anthropic": "/v1/messages"}
CHATS = sorted(PATHS)
PAIRS = [(caller, provider) for caller in CHATS for provider in CHATS if caller != provider]
FINISHES = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}


def body(dialect, model, stream=True, **members):
    """A question, with a tool that may be called."""
    said = {"openai_responses": {"input": "Hello?"}}.get(
        dialect, {"messages": [{"role": "user", "content": "Hello?"}]})
    tool = {
        "openai_chat": {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}},
        "openai_responses": {"type": "function", "name": "look_up", "parameters": SCHEMA},
        "anthropic": {"name": "look_up", "input_schema": SCHEMA},
    }[dialect]
    more = {"max_tokens": 100} if dialect == "anthropic" else {}
    if dialect == "openai_chat" and stream:
        more["stream_options"] = {"include_usage": True}
    return {"model": model, **said, "tools": [tool], **more,
            **({"stream": True} if stream else {}), **members}


def events(data):
    """[(the event's name or None, its data as JSON)]; [DONE] is a text."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        text = fields["data"]
        found.append((fields.get("event"), text if text == "[DONE]" else json.loads(text)))
    return found


def answer(text, calls, finish, usage):
    return {"text": text, "calls": [(name, json.loads(arguments)) for name, arguments in calls],
            "finish": finish, "usage": usage}


def read(dialect, data, stream=True):
    reader = globals()[f"{dialect}_{'stream' if stream else 'whole'}"]
    return reader(events(data) if stream else json.loads(data))


def openai_chat_usage(usage):
    return usage and (usage["prompt_tokens"], usage["completion_tokens"])


def openai_chat_whole(body):
    choice = body["choices"][0]
    calls = [(call["function"]["name"], call["function"]["arguments"])
             for call in choice["message"].get("tool_calls") or []]
    return answer(choice["message"]["content"], calls, choice["finish_reason"],
                  openai_chat_usage(body["usage"]))


def openai_chat_stream(found):
    text, calls, finish, usage = "", [], None, None
    for _, chunk in found:
        if chunk == "[DONE]" or "error" in chunk:
            continue
        usage = openai_chat_usage(chunk.get("usage")) or usage
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or []:
                if call.get("id"):
                    calls.append([call["function"]["name"], ""])
                calls[-1][1] += call["function"]["arguments"]
    return answer(text, calls, finish, usage)


def openai_responses_whole(body):
    text = "".join(part["text"] for item in body["output"] if item["type"] == "message"
                   for part in item["content"])
    calls = [(item["name"], item["arguments"]) for item in body["output"]
             if item["type"] == "function_call"]
    finish = {"completed": "tool_calls" if calls else "stop"}.get(body["status"], "length")
    usage = body["usage"]
    return answer(text, calls, finish, (usage["input_tokens"], usage["output_tokens"]))


def openai_responses_stream(found):
    numbers = [event["sequence_number"] for _, event in found]
    assert numbers == list(range(len(found))), numbers
    assert all(name == event["type"] for name, event in found)
    text = "".join(event["delta"] for name, event in found if name.endswith("output_text.delta"))
    pieces = "".join(event["delta"] for name, event in found if name.endswith("arguments.delta"))
    last = found[-1][1] if found else {"type": ""}
    if last["type"] != "response.completed":
        return answer(text, [], None, None)
    whole = openai_responses_whole(last["response"])
    assert whole["text"] == text
    assert [arguments for _, arguments in whole["calls"]] == ([json.loads(pieces)] if pieces else [])
    return whole


def anthropic_usage(usage):
    return (usage["input_tokens"], usage["output_tokens"])


def anthropic_whole(body):
    text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
    calls = [(block["name"], json.dumps(block["input"])) for block in body["content"]
             if block["type"] == "tool_use"]
    return answer(text, calls, FINISHES[body["stop_reason"]], anthropic_usage(body["usage"]))


def anthropic_stream(found):
    text, calls, finish, usage, first = "", [], None, None, None
    for name, event in found:
        assert name == event["type"]
        if name == "message_start":
            first = event["message"]["usage"]
        elif name == "content_block_start" and event["content_block"]["type"] == "tool_use":
            calls.append([event["content_block"]["name"], ""])
        elif name == "content_block_delta":
            text += event["delta"].get("text", "")
            if "partial_json" in event["delta"]:
                calls[-1][1] += event["delta"]["partial_json"]
        elif name == "message_delta":
            finish = FINISHES[event["delta"]["stop_reason"]]
            usage = anthropic_usage(first | event["usage"])
    return answer(text, calls if finish else [], finish, usage)
