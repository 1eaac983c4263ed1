"""Answers with a tool's call, as the official clients make of them: {text, calls, finish, output}.

A job a line: {url, dialect, how, model}, dialect openai_chat | openai_responses | anthropic, how stream | whole.
"""

import json
import sys

import anthropic
import openai

MESSAGES = [{"role": "user", "content": "Hello?"}]
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}


def openai_chat(url, is_streamed, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=60)
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]
    members = {"model": model, "messages": MESSAGES, "tools": tools}
    if is_streamed:
        with client.chat.completions.stream(
                **members, stream_options={"include_usage": True}) as stream:
            answer = stream.get_final_completion()
    else:
        answer = client.chat.completions.create(**members)
    choice = answer.choices[0]
    calls = [(call.function.name, json.loads(call.function.arguments))
             for call in choice.message.tool_calls or []]
    return choice.message.content, calls, choice.finish_reason, answer.usage.completion_tokens


def openai_responses(url, is_streamed, model):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=60)
    tools = [{"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": False}]
    members = {"model": model, "input": "Hello?", "tools": tools}
    if is_streamed:
        with client.responses.stream(**members) as stream:
            answer = stream.get_final_response()
    else:
        answer = client.responses.create(**members)
    calls = [(item.name, json.loads(item.arguments)) for item in answer.output
             if item.type == "function_call"]
    return answer.output_text, calls, answer.status, answer.usage.output_tokens


def anthropic_messages(url, is_streamed, model):
    client = anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0, timeout=60)
    members = {"model": model, "messages": MESSAGES, "max_tokens": 1000,
               "tools": [{"name": "look_up", "input_schema": SCHEMA}]}
    if is_streamed:
        with client.messages.stream(**members) as stream:
            answer = stream.get_final_message()
    else:
        answer = client.messages.create(**members)
    text = "".join(block.text for block in answer.content if block.type == "text")
    calls = [(block.name, block.input) for block in answer.content if block.type == "tool_use"]
    return text, calls, answer.stop_reason, answer.usage.output_tokens


DIALECTS = {"openai_chat": openai_chat, "openai_responses": openai_responses,
            "anthropic": anthropic_messages}


def answer(url, dialect, how, model):
    try:
        text, calls, finish, output = DIALECTS[dialect](url, how == "stream", model)
        return {"text": text, "calls": calls, "finish": finish, "output": output}
    except Exception as error:  # whatever a program would meet
        return {"error": str(error), "status": getattr(error, "status_code", None)}


for line in sys.stdin:
    print(json.dumps(answer(**json.loads(line))), flush=True)
