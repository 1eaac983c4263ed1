"""An agent of ten steps that may be killed at any time: its state is kept by LangGraph's checkpoints, its
answers by tokenlog. Started again with the same name, it goes on where it was, re-attaches to the answer that
was being given, and nothing is paid for twice.

    python agent.py URL MODEL NAME        e.g. http://127.0.0.1:8080 gpt-4o-mini nightly-2026-11-23

Prints "STEP: piece" for every piece of an answer, and at last all answers as JSON.
"""

import json
import operator
import os
import sys
from typing import Annotated, TypedDict

import openai
from langgraph.graph import END, START, StateGraph

from tokenlog_sdk.langgraph import TokenlogSaver

url, model, name = sys.argv[1:]
STEPS = 10
client = openai.OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("TOKENLOG_API_KEY", "none"))
checkpointer = TokenlogSaver(url)


class State(TypedDict):
    answers: Annotated[list[str], operator.add]


def work(state):
    step, answer = len(state["answers"]) + 1, ""
    before = state["answers"][-1] if state["answers"] else None
    stream = client.chat.completions.create(
        model=model, stream=True,
        messages=[{"role": "user", "content": f"Step {step}, after: {before}"}],
        extra_headers={"Tokenlog-Run": checkpointer.run_of(name), "Tokenlog-Step": str(step)})
    for chunk in stream:
        piece = chunk.choices[0].delta.content or "" if chunk.choices else ""
        answer += piece
        print(f"{step}: {piece}", flush=True)
    return {"answers": [answer]}


graph = (
    StateGraph(State)
    .add_node("work", work)
    .add_edge(START, "work")
    .add_conditional_edges(
        "work", lambda state: "work" if len(state["answers"]) < STEPS else END)
    .compile(checkpointer=checkpointer)
)

config = {"configurable": {"thread_id": name}, "recursion_limit": 2 * STEPS}
is_begun = checkpointer.get_tuple(config) is not None
state = graph.invoke(None if is_begun else {"answers": []}, config, durability="sync")
print(json.dumps(state["answers"]))
