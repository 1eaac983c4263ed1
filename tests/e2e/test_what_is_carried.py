"""The table of protocol/dialect/README.md, line by line: what of a request each provider is told, what is refused,
and what is left out and said so.
"""

import pytest

import dialects
import programs

PROVIDERS = ["openai_chat", "openai_responses", "anthropic", "gemini", "cohere", "ollama", "bedrock",
             "replicate"]
CALL = {"name": "look_up", "parameters": dialects.SCHEMA}
PIXEL = "iVBORw0KGgo="
FAR_IMAGE = "https://example.com/image"


def chat(**members):
    return "openai_chat", {"messages": [{"role": "user", "content": "Hello?"}], **members}


def chat_tool(**members):
    return {"type": "function", "function": {**CALL, **members}}


def chat_call(id="call_1", arguments="{}"):
    call = {"id": id, "type": "function", "function": {"name": "look_up", "arguments": arguments}}
    return chat(messages=[{"role": "user", "content": "Hello?"},
                          {"role": "assistant", "content": None, "tool_calls": [call]},
                          {"role": "tool", "tool_call_id": id, "content": "found"}])


def chat_image(**image):
    return chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": image}]}])


def responses(**members):
    return "openai_responses", {"input": "Hello?", **members}


def responses_call(arguments="{}"):
    return responses(input=[
        {"role": "user", "content": "Hello?"},
        {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": arguments},
        {"type": "function_call_output", "call_id": "call_1", "output": "found"}])


def messages(*turns, **members):
    turns = turns or ({"role": "user", "content": "Hello?"},)
    return "anthropic", {"max_tokens": 100, "messages": list(turns), **members}


def messages_result(*after_call, content="found", **result):
    return messages(
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {}}, *after_call]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": content, **result}]})


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
SCHEMA = {"name": "answer", "description": "said of it", "schema": {"type": "object"}}
JSON = {"type": "json_object"}
LATE = [{"role": "user", "content": "Hello?"}, {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Well?"}]

# What is asked for, by callers in whose dialects it can be said; what becomes of it, a letter for each of
# PROVIDERS: c carried, r refused, l left out, - nobody can say it to that one; what the provider's body then has.
ROWS = {
    "stop": ([chat(stop=["ENOUGH"]), messages(stop_sequences=["ENOUGH"])], "crcccccc", "ENOUGH"),
    "stop with a comma": ([chat(stop=["a,b"]), messages(stop_sequences=["a,b"])], "crcccccr", "a,b"),
    "top_k": ([messages(top_k=37)], "rr-cccrc", "37"),
    "seed": ([chat(seed=4711)], "-rrcccrc", "4711"),
    "penalties": ([chat(presence_penalty=0.53)], "-rrcccrc", "0.53"),
    "no penalties": ([chat(presence_penalty=0)], "-ccccccc", ""),
    "verbosity": ([chat(verbosity="low"), responses(text={"verbosity": "low"})], "ccrrrrrr", '"low"'),
    "medium verbosity": ([chat(verbosity="medium")], "-ccccccc", ""),
    "high temperature": ([chat(temperature=1.53), responses(temperature=1.53)], "ccrccccc", "1.53"),
    "a JSON object": ([chat(response_format=JSON), responses(text={"format": JSON})], "ccrcccrr", "json"),
    "a JSON object, with tools": ([chat(response_format=JSON, tools=[chat_tool()])], "-crcrcrr", ""),
    "one call at a time": ([chat(tools=[chat_tool()], parallel_tool_calls=False),
                            responses(tools=[{"type": "function", **CALL}], parallel_tool_calls=False)],
                           "cccrrrrr", "parallel"),
    "a late system message": ([chat(messages=LATE), responses(input=LATE)], "ccrrccrr", "Be brief."),
    "text after a call": ([messages_result({"type": "text", "text": "Behind."})], "rc-crrcr", "Behind."),
    "an image in a result": ([messages_result(content=[IMAGE])], "rc-crccr", PIXEL),
    "an image's URL": ([chat_image(url=FAR_IMAGE), messages({"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": FAR_IMAGE}}]})], "cccrcrrr", FAR_IMAGE),
    "a result without its call": ([chat(messages=[
        {"role": "user", "content": "Hello?"},
        {"role": "tool", "tool_call_id": "call_1", "content": "found"}]), messages({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "found"}]})], "cccrcccr", "found"),
    "arguments of no object": ([chat_call(arguments="[1]"), responses_call(arguments="[1]")], "ccrrcrrr", "[1]"),
    "an odd ID": ([chat_call(id="call.1")], "-crccccr", ""),
    "is_error": ([messages_result(is_error=True)], "ll-cllcr", ""),
    "cache_control": ([messages(system=[{"type": "text", "text": "Be brief.",
                                         "cache_control": {"type": "ephemeral"}}])], "ll-lllll", "Be brief."),
    "the user's ID": ([chat(user="user-4711"), responses(user="user-4711")], "ccclllll", "user-4711"),
    "an image's detail": ([chat_image(url=f"data:image/png;base64,{PIXEL}", detail="low")], "-cllcllr", PIXEL),
    "a schema's description": ([chat(response_format={"type": "json_schema", "json_schema": SCHEMA}),
                                responses(text={"format": {"type": "json_schema", **SCHEMA}})],
                               "ccllllcr", ""),
    "a summary of reasoning": ([responses(reasoning={"effort": "low", "summary": "detailed"})], "l-llllll", ""),
    "an automatic summary": ([responses(reasoning={"effort": "low", "summary": "auto"})], "l-lcllll", ""),
    "a strict tool": ([chat(tools=[chat_tool(strict=True)]),
                       responses(tools=[{"type": "function", **CALL, "strict": True}])], "ccccclcr", "look_up"),
    "a tool that must be called": ([chat(tools=[chat_tool()], tool_choice="required"),
                                    messages(tools=[{"name": "look_up", "input_schema": dialects.SCHEMA}],
                                             tool_choice={"type": "any"})], "cccccrcr", "look_up"),
    "no tool may be called": ([chat(tools=[chat_tool()], tool_choice="none"),
                               messages(tools=[{"name": "look_up", "input_schema": dialects.SCHEMA}],
                                        tool_choice={"type": "none"})], "ccccccrr", ""),
    "metadata": ([chat(metadata={"team": "red"})], "-lllllll", ""),
    "log-probabilities": ([chat(logprobs=True)], "-rrrrrrr", ""),
    "several choices": ([chat(n=2)], "-rrrrrrr", ""),
    "a member nobody knows": ([chat(surprise=1), responses(surprise=1), messages(surprise=1)], "rrrrrrrr", ""),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("carrying")
    path = folder / "config.yaml"
    path.write_text("providers:\n" + "".join(
        f"  - {{name: to-{name}, base_url: '{mock.url}', dialect: {name}, key: none}}\n" for name in PROVIDERS))
    server = programs.Server(folder, None, "--config", str(path))
    yield server
    server.stop()
    server.check_log()


def fate(server, mock, caller, body, provider, mark):
    name = "meta/mock,id=carried" if provider == "replicate" else "mock,id=carried"
    before = mock.calls()
    reply = server.call("POST", dialects.PATHS[caller], {"model": f"to-{provider}/{name}", **body})
    if reply.status == 400:
        assert mock.calls() == before and reply.json()["error"]["message"]
        return "r"
    assert reply.status == 200, reply.body
    is_left_out = reply.header("tokenlog-left-out") is not None
    assert is_left_out or mark in mock.last()["body"], mock.last()["body"]
    return "l" if is_left_out else "c"


@pytest.mark.parametrize("what", ROWS)
def test_the_table_is_true(gateway, mock, what):
    asked, wanted, mark = ROWS[what]
    got = ""
    for provider in PROVIDERS:
        callers = [one for one in asked if one[0] != provider]
        fates = {fate(gateway, mock, caller, body, provider, mark) for caller, body in callers}
        assert len(fates) < 2, (provider, fates)
        got += fates.pop() if fates else "-"
    assert got == wanted
