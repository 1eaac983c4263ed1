"""Durable Streams by others: the protocol's conformance suite, its official client, TanStack AI's chat.

    NODE_BIN  node, of tests/clients/js (npm ci)
"""

import json
import os
import subprocess
import threading

import pytest

import programs
import wire
from test_clients import HERE, NODE

JS = HERE / "js"
TIMEOUT_S = 180
PATIENCE = ("--testTimeout=60000", "--retry=2")  # some count on a quick machine: TTLs of 2 s
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
        [NODE, "node_modules/vitest/vitest.mjs", "run", *PATIENCE, "--reporter=json",
         f"--outputFile={report}", "durable_conformance.test.mjs"], cwd=JS, capture_output=True,
        text=True, timeout=TIMEOUT_S, env=os.environ | {"DURABLE_URL": server.url})
    assert report.exists(), done.stderr
    counts = json.loads(report.read_text())
    failures = [(test["fullName"], test["failureMessages"]) for file in counts["testResults"]
                for test in file["assertionResults"] if test["status"] == "failed"]
    assert not failures, (failures, server.log()[-2000:])
    assert counts["numPassedTests"] == PASSED


def test_the_client_follows_over_a_killed_server(serve):
    """What its producer sends again is there once; its readers go on where they were."""
    server = serve()
    url, count = f"{server.url}/v1/stream/client", 2000
    results = {}

    def start(key, *arguments):
        thread = threading.Thread(target=lambda: results.update({key: run(*arguments)}))
        thread.start()
        return thread

    threads = [start("write", "write", url, str(count))]
    path = "/v1/stream/client"
    programs.eventually(lambda: server.call("HEAD", path).status == 200)
    threads += [start(live, "read", url, live) for live in ("sse", "long-poll")]
    programs.eventually(lambda: len(server.call("GET", path).body) > 2000)
    server.kill()
    server.start("--listen", f"127.0.0.1:{server.place[1]}")
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert results["write"] == {"errors": [], "closed": True}
    whole = {"messages": list(range(count + 1)), "closed": True}
    for live in ("sse", "long-poll"):
        assert {key: results[live][key] for key in whole} == whole
    assert run("read", url, "sse", results["sse"]["offset"])["messages"] == []


@pytest.mark.parametrize("live", ["false", "sse", "long-poll"])
def test_the_client_reads_recordings_and_proxied_calls(server, mock, model, live):
    name = model("events=40", "rate=100")
    call = server.open(name)
    recording = "/v1/stream/-/streams/" + call.reader.header("tokenlog-stream-id")
    if live == "false":
        call.finish()
    seen = run("text", server.url + recording, live)
    assert seen == {"text": call.finish().body.decode(), "closed": True}
    proxied = server.call("POST", "/v1/proxy", programs.ask(name), {
        "Host": f"127.0.0.1:{server.place[1]}", "Upstream-Method": "POST",
        "Upstream-URL": f"{mock.url}/v1/chat/completions"})
    assert proxied.status == 201, proxied.body
    if live == "false":
        programs.eventually(lambda: mock.of(name)["completed"] == 2)
    seen = run("text", proxied.header("location"), live)
    wire.assert_exact(seen["text"].encode(), 40)


def test_a_chat_of_tanstack(serve):
    seen = run("chat", f"{serve().url}/v1/stream/chats/1")
    assert seen["status"] == 200
    assert "".join(chunk for chunk in seen["chunks"] if not chunk.isupper()) == "HiHello, world"
    assert seen["chunks"][-1] == "RUN_FINISHED" and seen["roles"] == ["user", "assistant"]
