"""The cases for LangGraph's checkpoint savers, against a server; what they leave out, too. Prints JSON.

checkpoints.py URL      {CAPABILITY: [passed, failures]}
"""

import asyncio
import json
import operator
import sys
import uuid
from typing import Annotated, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import ERROR
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from tokenlog_sdk.calls import TokenlogError
from tokenlog_sdk.langgraph import TokenlogSaver

URL = sys.argv[1]


def new_saver():
    """It sees an empty store."""
    return TokenlogSaver(URL, prefix=f"{uuid.uuid4().hex[:8]}/")


class Plain(BaseCheckpointSaver):
    """A saver whose coroutines are its plain methods."""

    def __init__(self):
        self.saver = new_saver()

    async def aput(self, *arguments):
        return self.saver.put(*arguments)

    async def aput_writes(self, *arguments, **named):
        return self.saver.put_writes(*arguments, **named)

    async def aget_tuple(self, config):
        return self.saver.get_tuple(config)

    async def alist(self, config, **named):
        for one in self.saver.list(config, **named):
            yield one

    async def adelete_thread(self, thread_id):
        self.saver.delete_thread(thread_id)

    async def acopy_thread(self, *threads):
        self.saver.copy_thread(*threads)

    async def aprune(self, thread_ids, **named):
        self.saver.prune(thread_ids, **named)

    async def adelete_for_runs(self, run_ids):
        self.saver.delete_for_runs(run_ids)


@checkpointer_test(name="coroutines")
async def coroutines():
    yield new_saver()


@checkpointer_test(name="plain")
async def plain():
    yield Plain()


def put(saver, config, values, step=0, **metadata):
    checkpoint = generate_checkpoint(
        channel_values=values, channel_versions={channel: f"{step}.0" for channel in values})
    return saver.put(config, checkpoint, generate_metadata(step=step, **metadata),
                     checkpoint["channel_versions"])


def check_names():
    """Threads, namespaces and tasks of any letters, and deep graphs."""
    saver = new_saver()
    for thread in ("a b", "ä/ö?%2F", 'q"', "x" * 100):
        for ns in ("", "deep:1|" * 40, "ns ü"):
            config = put(saver, generate_config(thread, checkpoint_ns=ns), {"ch": [thread, ns]})
            saver.put_writes(config, [("ch", ns)], "task / ü")
            found = saver.get_tuple(config)
            assert found.config == config and found.checkpoint["channel_values"]["ch"] == [thread, ns]
            assert found.pending_writes == [("task / ü", "ch", ns)]
    assert {one.config["configurable"]["thread_id"] for one in saver.list(None)} == {
        "a b", "ä/ö?%2F", 'q"', "x" * 100}
    assert len([*saver.list(None)]) == 12 and len([*saver.list(None, limit=5)]) == 5


def check_writes():
    """The first of a number stays; of errors the last; all in the order of (path, task, number)."""
    saver = new_saver()
    config = put(saver, generate_config("t"), {})
    saver.put_writes(config, [("a", 1), ("b", 2)], "t2", "~2")
    saver.put_writes(config, [("a", 9), ("b", 9), ("c", 3), (ERROR, "old")], "t2", "~2")
    saver.put_writes(config, [(ERROR, "new")], "t2", "~2")
    saver.put_writes(config, [("a", 0)], "t1", "~3")
    assert saver.get_tuple(config).pending_writes == [
        ("t2", ERROR, "new"), ("t2", "a", 1), ("t2", "b", 2), ("t2", "c", 3), ("t1", "a", 0)]


def check_branches():
    """Two branches of a thread have the same count of versions, and not the same values."""
    saver = new_saver()
    first, second = (saver.get_next_version(f"{7:016}.5") for _ in range(2))
    assert first != second and first.startswith("0000000000000008.") and first > f"{7:016}.5"
    root = put(saver, generate_config("t"), {"ch": "root"})
    for version, value in ((first, "one"), (second, "two")):
        checkpoint = generate_checkpoint(
            channel_values={"ch": value}, channel_versions={"ch": version})
        config = saver.put(root, checkpoint, generate_metadata(), {"ch": version})
        assert saver.get_tuple(config).parent_config == root
    values = [one.checkpoint["channel_values"]["ch"] for one in saver.list(generate_config("t"))]
    assert values == ["two", "one", "root"]


def check_prune_of_deltas():
    """A channel whose value is some checkpoints back keeps these."""
    saver, config = new_saver(), generate_config("t")
    for step in range(4):
        config = put(saver, config, {"log": [0]} if step == 1 else {}, step,
                     counters_since_delta_snapshot={"log": [step, step]})
        saver.put_writes(config, [("log", [step])], "task")
    before = saver.get_delta_channel_history(config=config, channels=["log"])
    assert before["log"]["seed"] == [0] and len(before["log"]["writes"]) == 2
    saver.prune(["t"])
    assert saver.get_delta_channel_history(config=config, channels=["log"]) == before
    assert len([*saver.list(generate_config("t"))]) == 3


def check_refusals():
    saver = new_saver()
    try:
        put(saver, generate_config("t"), {"large": b"x" * (1 << 20)})
    except TokenlogError as error:
        assert (error.status, error.code) == (413, "checkpoint_too_large")
    else:
        raise AssertionError("it was taken")
    assert saver.get_tuple(generate_config("t")) is None


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def said(word):
    return lambda state: {"log": [word]}


def graph_of(saver):
    """Tasks at once, a barrier, a graph in the graph, and a question."""
    inner = (StateGraph(State).add_node("deep", said("deep"))
             .add_node("ask", lambda state: {"log": [interrupt("what?")]})
             .add_edge(START, "deep").add_edge("deep", "ask").compile())
    return (StateGraph(State).add_node("a", said("a")).add_node("b", said("b"))
            .add_node("each", lambda one: {"log": [f"each {one['n']}"]})
            .add_node("inner", inner).add_node("end", said("end"))
            .add_edge(START, "a").add_edge(START, "b")
            .add_conditional_edges("a", lambda state: [Send("each", {"n": n}) for n in range(3)],
                                   ["each"])
            .add_edge(["b", "each"], "inner").add_edge("inner", "end").compile(checkpointer=saver))


def shown(state):
    place = {key: state.metadata[key] for key in ("source", "step")}
    return state.values, state.next, place, [
        (task.name, [one.value for one in task.interrupts], task.result) for task in state.tasks]


def story(saver):
    """A graph is asked, answered, taken back to an earlier state, and goes another way."""
    graph, config = graph_of(saver), generate_config("story")
    history = lambda **query: [*graph.get_state_history(config, **query)]
    go = lambda given, config=config: graph.invoke(given, config, durability="sync")
    go({"log": ["begin"]})
    waiting = graph.get_state(config, subgraphs=True)
    seen = [waiting, waiting.tasks[0].state]
    go(Command(resume="so"))
    seen += history()
    early = next(one for one in seen if one.next == ("inner",))
    branch = graph.update_state(early.config, {"log": ["other"]}, as_node="b")
    go(None, branch)
    go(Command(resume="else"))
    seen += history() + history(filter={"source": "update"}) + history(limit=2, before=early.config)
    return [shown(one) for one in seen]


def check_graphs():
    """What a graph says of itself is what it says over the store in memory."""
    told = story(new_saver())
    assert told == story(InMemorySaver()) and len(told) > 15


async def main():
    seen = {}
    for registered in (coroutines, plain):
        report = await validate(registered)
        for name, result in report.results.items():
            seen[f"{registered.name} {name}"] = [result.tests_passed, result.failures]
    for check in (check_names, check_writes, check_branches, check_prune_of_deltas, check_refusals,
                  check_graphs):
        check()
    print(json.dumps(seen))


asyncio.run(main())
