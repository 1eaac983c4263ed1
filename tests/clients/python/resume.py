"""A client that goes away and comes back, by what it has itself. Prints JSON: what a program got.

    resume.py begin URL MODEL COUNT       a background response, left after COUNT events
    resume.py follow URL ID AFTER         its events beyond sequence_number AFTER, then the object
    resume.py end URL ID                  cancelled twice, then deleted, then asked for
"""

import json
import sys

import openai


def gather(stream, count=None):
    result = {"id": None, "numbers": [], "text": "", "error": None}
    try:
        for event in stream:
            result["numbers"].append(event.sequence_number)
            if event.type == "response.output_text.delta":
                result["text"] += event.delta
            if event.type == "response.created":
                result["id"] = event.response.id
            if len(result["numbers"]) == count:
                stream.close()  # hangs up
                break
    except Exception as error:  # whatever a program would meet
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def begin(responses, model, count):
    return gather(responses.create(model=model, input="Hello?", background=True, stream=True),
                  int(count))


def follow(responses, response, after):
    result = gather(responses.retrieve(response, stream=True, starting_after=int(after)))
    whole = responses.retrieve(response)
    return result | {"status": whole.status, "whole": whole.output_text,
                     "why": whole.error and whole.error.code}


def end(responses, response):
    statuses = [responses.cancel(response).status for _ in range(2)]
    responses.delete(response)
    try:
        gone = responses.retrieve(response).status
    except openai.APIStatusError as error:
        gone = error.status_code
    return {"statuses": statuses, "gone": gone}


def main(kind, url, *rest):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=60)
    kinds = {"begin": begin, "follow": follow, "end": end}
    print(json.dumps(kinds[kind](client.responses, *rest)))


main(*sys.argv[1:])
