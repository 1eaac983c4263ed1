"""tools/sdk: LangGraph's own cases for checkpoint savers, agents that are killed and started again, and the
stores of assistant-ui's streams.

tokenlog-sdk is installed from tools/sdk as a user would install it: after a change there, npm ci, or pip.

    NODE_BIN       node, of tests/clients/js (npm ci)
    CLIENT_PYTHON  a Python that has tests/clients/python/requirements.txt
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess

import programs
import wire

HERE, ROOT = pathlib.Path(__file__).parent, pathlib.Path(__file__).parents[2]
JS = HERE / "js"
NODE = os.environ.get("NODE_BIN", str(JS / "node_modules/.bin/node"))
PYTHON = os.environ.get("CLIENT_PYTHON", str(ROOT / "build/clients/bin/python"))
AGENTS = {"js": [NODE, JS / "node_modules/tokenlog-sdk/examples/agent.mjs"],
          "python": [PYTHON, ROOT / "tools/sdk/python/examples/agent.py"]}
TIMEOUT_S = 180
JS_CASES = 718 + 8 + 5  # LangGraph's, of savers and of delta channels, and our own
ASSISTANT_CASES = 3 * 12  # its own store's, ours, and ours of two processes
PYTHON_CASES = {"put": 17, "put_writes": 10, "get_tuple": 10, "list": 16, "delete_thread": 5,
                "delete_for_runs": 7, "copy_thread": 8, "prune": 8}


def passed(server, report, *arguments):
    """How many cases of a vitest file passed; all of them."""
    done = subprocess.run(
        [NODE, "node_modules/vitest/vitest.mjs", "run", "--reporter=json", f"--outputFile={report}",
         *arguments], cwd=JS, capture_output=True, text=True, timeout=TIMEOUT_S,
        env=os.environ | {"TOKENLOG_URL": server.url})
    assert report.exists(), done.stderr
    counts = json.loads(report.read_text())
    failures = [test["fullName"] for file in counts["testResults"]
                for test in file["assertionResults"] if test["status"] != "passed"]
    assert not failures, (failures, done.stderr)
    return counts["numPassedTests"]


def javascript_cases(server, tmp_path):
    assert passed(server, tmp_path / "report.json", "--globals", "checkpoint_validation.test.mjs",
                  "checkpoint_saver.test.mjs") == JS_CASES


def python_cases(server, _):
    done = subprocess.run([PYTHON, HERE / "python/checkpoints.py", server.url],
                          capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        f"{way} {capability}": [count, []] for way in ("coroutines", "plain")
        for capability, count in PYTHON_CASES.items()}


def at_once(*calls):
    """What they do is mostly waiting: for the disk, for each other's processor."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        told = [pool.submit(*call) for call in calls]
    for one in told:
        one.result()


def test_every_case_of_langgraph_passes(serve, tmp_path):
    at_once(*((cases, serve(binary=programs.TOKENLOG_FAST), tmp_path)
              for cases in (javascript_cases, python_cases)))


def test_streams_of_assistant_ui_are_kept(serve, tmp_path):
    assert passed(serve(), tmp_path / "report.json", "assistant_ui.test.mjs") == ASSISTANT_CASES


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


def killed_and_gone_on(client, server, mock, name):
    assert Agent(client, server, name, client).kill_in(7, 4) == 4
    steps, answers = Agent(client, server, name, client).result()
    killed_in = min(steps)  # 7, or a later one where we were slow to kill it
    assert killed_in >= 7 and steps == set(range(killed_in, 11))  # the others are not even asked for
    assert len(answers) == 10
    for answer in answers:
        wire.assert_exact(answer.encode(), 12)
    assert mock.of(name)["generations"] == 10
    run = server.call("GET", f"/v1/runs/{client}").json()
    assert [one["step"] for one in run["steps"]] == [str(step) for step in range(1, 11)]
    replayed = [int(one["step"]) for one in run["steps"] if one["replays"]]
    assert replayed in ([killed_in], []) and run["saved"]["calls"] == len(replayed)


def test_agents_are_killed_and_go_on(serve, mock, model):
    server = serve()
    at_once(*((killed_and_gone_on, client, server, mock, model("events=12", "rate=40"))
              for client in AGENTS))
