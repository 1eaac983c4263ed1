"""Agents whose states are kept as checkpoints of a run: LangGraph's own cases for checkpoint savers, and an
agent that is killed and started again.

tokenlog-sdk is installed from tools/sdk/js as a user would install it: after a change there, npm ci.

    NODE_BIN       node, of tests/clients/js (npm ci)
    CLIENT_PYTHON  a Python that has tests/clients/python/requirements.txt
"""

import json
import os
import pathlib
import subprocess

import pytest

import programs
import wire

JS = pathlib.Path(__file__).parent / "js"
NODE = os.environ.get("NODE_BIN", str(JS / "node_modules/.bin/node"))
AGENTS = {"js": [NODE, JS / "node_modules/tokenlog-sdk/examples/agent.mjs"]}
TIMEOUT_S = 180
LANGGRAPH_CASES = 718 + 8  # its savers' cases, and those of delta channels


def test_every_case_of_langgraph_passes(serve, tmp_path):
    server, report = serve(binary=programs.TOKENLOG_FAST), tmp_path / "report.json"
    done = subprocess.run(
        [NODE, "node_modules/vitest/vitest.mjs", "run", "--globals", "--reporter=json",
         f"--outputFile={report}", "checkpoint_validation.test.mjs"], cwd=JS, capture_output=True,
        text=True, timeout=TIMEOUT_S, env=os.environ | {"TOKENLOG_URL": server.url})
    assert report.exists(), done.stderr
    counts = json.loads(report.read_text())
    failures = [test["fullName"] for file in counts["testResults"]
                for test in file["assertionResults"] if test["status"] != "passed"]
    assert not failures, failures
    assert counts["numPassedTests"] == LANGGRAPH_CASES


class Agent:
    """A process that prints `STEP: piece` for each piece of an answer, and at last its answers."""

    def __init__(self, client, server, model, name):
        self.process = subprocess.Popen(
            [*map(str, AGENTS[client]), server.url, model, name], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def kill_in(self, step, pieces):
        """SIGKILL once so many pieces of a step's answer have come; how many there were."""
        seen = 0
        for line in self.process.stdout:
            seen += line.startswith(f"{step}: ")
            if seen == pieces:
                break
        self.process.kill()
        self.process.communicate(timeout=TIMEOUT_S)
        return seen

    def result(self):
        """(the steps that it asked for, its answers)"""
        output, errors = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0, errors
        *lines, answers = output.splitlines()
        return {int(line.partition(":")[0]) for line in lines}, json.loads(answers)


@pytest.mark.parametrize("client", AGENTS)
def test_an_agent_is_killed_and_goes_on(serve, mock, model, client):
    server, name = serve(), model("events=12", "rate=40")
    assert Agent(client, server, name, "night").kill_in(7, 4) == 4
    steps, answers = Agent(client, server, name, "night").result()
    assert steps == {7, 8, 9, 10}  # 1 to 6 are not even asked for
    assert len(answers) == 10
    for answer in answers:
        wire.assert_exact(answer.encode(), 12)
    assert mock.of(name)["generations"] == 10
    run = server.call("GET", "/v1/runs/night").json()
    assert [one["step"] for one in run["steps"]] == [str(step) for step in range(1, 11)]
    assert [one["replays"] for one in run["steps"]] == [0] * 6 + [1] + [0] * 3
