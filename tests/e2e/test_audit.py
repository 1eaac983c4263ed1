"""The audit log through the command line: heads, proofs, and what shows against them."""

import json
import shutil
import subprocess

import pytest

import programs


def run(*arguments, timeout=120):
    return subprocess.run([programs.TOKENLOG, *map(str, arguments)], capture_output=True,
                          timeout=timeout, env=programs.environment())


def ok(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def fails(*arguments):
    done = run(*arguments)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert not programs.REPORT.search(done.stderr.decode())
    return (done.stdout + done.stderr).decode()


def logged(server, size):
    """The head, once the log has so many leaves: a stream is logged when it is archived."""
    def head():
        reply = server.call("GET", "/v1/audit/head")
        assert reply.status == 200, reply.body
        return reply.json()["size"] >= size and reply.json()
    return programs.eventually(head)


def id_of(reply):
    return reply.header("tokenlog-stream-id")


@pytest.fixture
def recorded(serve, model):
    """(server, the IDs of a streamed answer, a failed one and one that is not streamed)"""
    server = serve()
    replies = [server.post(model("events=30")), server.post(model("events=10", "fault=reset@4")),
               server.post(model("events=5"), stream=False)]
    logged(server, 3)
    return server, [id_of(reply) for reply in replies]


def places(server):
    """While it runs, and then its folder."""
    yield ("--server", server.url)
    server.stop()
    yield ("--data", server.data)


def test_proofs_of_all_kinds_of_streams(recorded, tmp_path):
    server, ids = recorded
    for place in places(server):
        ok("audit", "head", *place, "--out", tmp_path / "head")
        head = json.loads((tmp_path / "head").read_text())
        assert (head["project"], head["size"]) == ("default", 3)
        for stream in ids:
            ok("audit", "prove", stream, *place, "--head", tmp_path / "head", "--contents",
               "--out", tmp_path / "proof")
            done = json.loads(ok("audit", "verify", tmp_path / "proof", "--head",
                                 tmp_path / "head", "--public-key", head["key"], "--json"))
            assert done["ok"] and done["row"] and done["events"] and done["request"]
            ok("audit", "verify", tmp_path / "proof")
        assert "another key" in fails("audit", "verify", tmp_path / "proof", "--public-key",
                                      "00" * 32)


def test_a_proof_carries_what_was_received(recorded, tmp_path):
    server, ids = recorded
    proof = json.loads(ok("audit", "prove", ids[0], "--server", server.url, "--contents"))
    events = b"".join(bytes.fromhex(event["data"]) for event in proof["events"])
    assert events == server.raw(ids[0])
    assert json.loads(bytes.fromhex(proof["body"]))["messages"]


def test_a_changed_proof_proves_nothing(recorded, tmp_path):
    server, ids = recorded
    proof = json.loads(ok("audit", "prove", ids[0], "--server", server.url, "--contents"))
    assert len(proof["path"]) in (1, 2)

    def flipped(digits):
        return ("1" if digits[0] == "0" else "0") + digits[1:]

    def swap(events):
        return [events[1], events[0], *events[2:]]

    changes = [
        ("digest", flipped), ("statement", flipped),
        ("record", lambda text: flipped(text[::-1])[::-1]),
        ("body", flipped), ("index", lambda index: index + 1), ("path", lambda path: path[:-1]),
        ("events", swap), ("events", lambda events: events[:-1]),
        ("events", lambda events: [events[0] | {"time_ns": "5"}, *events[1:]]),
        ("events", lambda events: [events[0] | {"data": flipped(events[0]["data"])}, *events[1:]]),
        ("head", lambda head: head | {"size": head["size"] + 1}),
        ("head", lambda head: head | {"root": flipped(head["root"])}),
        ("stream", lambda _: ids[1]), ("ended_ns", lambda ns: str(int(ns) + 1)),
    ]
    for name, change in changes:
        changed = tmp_path / "changed"
        changed.write_text(json.dumps(proof | {name: change(proof[name])}))
        assert "proves nothing" in fails("audit", "verify", changed), name


def test_the_log_grows_and_says_so(recorded, model, tmp_path):
    server, ids = recorded
    old, new, proof = tmp_path / "old", tmp_path / "new", tmp_path / "proof"
    ok("audit", "head", "--server", server.url, "--out", old)
    for _ in range(4):
        server.post(model("events=3"))
    logged(server, 7)
    ok("audit", "prove", ids[1], "--server", server.url, "--head", old, "--out", proof)
    ok("audit", "verify", proof, "--head", old)
    ok("audit", "head", "--server", server.url, "--out", new)
    assert "proof is of a log of 3" in fails("audit", "verify", proof, "--head", new)
    for place in places(server):
        assert b"grew from 3 to 7" in ok("audit", "consistency", old, new, *place)
    head = json.loads(old.read_text())
    ok("audit", "verify", "--data", server.data, "--head", old)
    old.write_text(json.dumps(head | {"root": "00" * 32}))
    assert "signature" in fails("audit", "consistency", old, new, "--data", server.data)


def test_a_deleted_stream_was_there(recorded, tmp_path):
    server, ids = recorded
    before, proof = tmp_path / "before", tmp_path / "proof"
    ok("audit", "head", "--server", server.url, "--out", before)
    assert server.call("DELETE", f"/v1/streams/{ids[0]}").status == 204
    logged(server, 4)
    for place in places(server):
        ok("audit", "prove", ids[0], *place, "--out", proof)
        assert json.loads(ok("audit", "verify", proof, "--json"))["deleted"]
        kept = json.loads(proof.read_text())
        assert kept["statement"] is None and kept["deletion"]["reason"] == "deleted"
    ok("audit", "prove", ids[0], "--data", server.data, "--head", before, "--out", proof)
    ok("audit", "verify", proof, "--head", before)
    done = json.loads(ok("audit", "verify", "--data", server.data, "--head", before, "--json"))
    assert (done["finished"], done["deleted"]) == (3, 1)


def test_a_log_that_was_rolled_back_shows(recorded, model, tmp_path):
    server, _ = recorded
    head = tmp_path / "head"
    server.stop()
    shutil.copytree(server.data, tmp_path / "copy")
    server.start()
    server.post(model("events=3"))
    logged(server, 4)
    ok("audit", "head", "--server", server.url, "--out", head)
    server.stop()
    ok("audit", "verify", "--data", server.data, "--head", head)
    assert "saved head" in fails("audit", "verify", "--data", tmp_path / "copy", "--head", head)


def test_killed_servers_log_each_stream_once(serve, model, tmp_path):
    server = serve("--archive-after-ms", "50", "--segment-count", "16")
    for _ in range(4):
        assert server.post(model("events=20")).status == 200
        live = server.open(model("events=200", "rate=100"))
        server.kill()
        live.close()
        server.start()
    logged(server, 8)
    ok("audit", "head", "--server", server.url, "--out", tmp_path / "head")
    server.stop()
    done = json.loads(ok("audit", "verify", "--data", server.data, "--head", tmp_path / "head",
                         "--json"))
    assert done["finished"] == 8 and done["unlogged"] == 0


def test_what_is_not_there(recorded, tmp_path):
    server, ids = recorded
    none = "00000000-0000-7000-8000-000000000000"
    assert server.call("GET", f"/v1/streams/{none}/proof").status == 404
    assert server.call("GET", "/v1/streams/x/proof").status == 404
    assert server.call("GET", "/v1/audit/head?size=99").status == 400
    assert server.call("GET", "/v1/audit/head?size=x").status == 400
    assert server.call("GET", "/v1/audit/consistency?from=3&to=2").status == 400
    assert server.call("GET", f"/v1/streams/{ids[0]}/proof?contents=maybe").status == 400
    assert server.call("POST", "/v1/audit/head").status == 405
    assert run("audit", "prove", none, "--server", server.url).returncode == 3
    assert run("audit", "nonsense").returncode == 2
    assert run("audit").returncode == 2
    for command in ("head", "prove", "verify", "consistency"):
        assert run("audit", command, "--help").returncode == 0
    assert (server.data / "audit-key").stat().st_mode & 0o777 == 0o600
