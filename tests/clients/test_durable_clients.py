"""Durable Streams by others: the protocol's conformance suite, its official client, TanStack AI's chat.

    NODE_BIN  node, of tests/clients/js (npm ci)
"""

import json
import os
import subprocess

import programs
from test_clients import HERE, NODE

JS = HERE / "js"
TIMEOUT_S = 180
PASSED = 332  # of 338, six of which are about subscriptions


def run(*arguments):
    done = subprocess.run([NODE, JS / "durable.mjs", *arguments], capture_output=True, text=True,
                          timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_conformance(serve, tmp_path):
    server = serve("--long-poll-timeout-ms", "500", "--cors-origins", "*",
                   binary=programs.TOKENLOG_FAST)
    report = tmp_path / "report.json"
    done = subprocess.run(
        [NODE, "node_modules/vitest/vitest.mjs", "run", "--reporter=json",
         f"--outputFile={report}", "durable_conformance.test.mjs"], cwd=JS, capture_output=True,
        text=True, timeout=TIMEOUT_S, env=os.environ | {"DURABLE_URL": server.url})
    assert report.exists(), done.stderr
    counts = json.loads(report.read_text())
    failures = [test["fullName"] for file in counts["testResults"]
                for test in file["assertionResults"] if test["status"] == "failed"]
    assert not failures, (failures, server.log()[-2000:])
    assert counts["numPassedTests"] == PASSED


def test_a_chat_of_tanstack(serve):
    seen = run("chat", f"{serve().url}/v1/stream/chats/1")
    assert seen["status"] == 200
    assert "".join(chunk for chunk in seen["chunks"] if not chunk.isupper()) == "HiHello, world"
    assert seen["chunks"][-1] == "RUN_FINISHED" and seen["roles"] == ["user", "assistant"]
