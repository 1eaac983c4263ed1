"""One call by the official client. Prints {text, events, error} as JSON: what a program got.

    ask.py BASE_URL KIND MODEL [KEY]     KIND: chat | chat-whole | responses | messages
"""

import json
import sys

import anthropic
import openai

MESSAGES = [{"role": "user", "content": "Hello?"}]


def chat(client, model, headers):
    for chunk in client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True, extra_headers=headers):
        yield chunk.choices[0].delta.content if chunk.choices else ""


def chat_whole(client, model, headers):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, extra_headers=headers)
    yield answer.choices[0].message.content


def responses(client, model, headers):
    for event in client.responses.create(
            model=model, input="Hello?", stream=True, extra_headers=headers):
        yield event.delta if event.type == "response.output_text.delta" else ""


def messages(client, model, headers):
    client = anthropic.Anthropic(base_url=str(client.base_url).removesuffix("/v1/"),
                                 api_key="unused", max_retries=2, timeout=60)
    for event in client.messages.create(model=model, messages=MESSAGES, max_tokens=1000,
                                        stream=True, extra_headers=headers):
        yield event.delta.text if event.type == "content_block_delta" else ""


KINDS = {"chat": chat, "chat-whole": chat_whole, "responses": responses, "messages": messages}


def main(base_url, kind, model, key=None):
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=2, timeout=60)
    headers = {"Idempotency-Key": key} if key else {}
    result = {"text": "", "events": 0, "error": None}
    try:
        for text in KINDS[kind](client, model, headers):
            result["events"] += 1
            result["text"] += text or ""
    except Exception as error:  # whatever a program would meet
        result["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(result))


main(*sys.argv[1:])
