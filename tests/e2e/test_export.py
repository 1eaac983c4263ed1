"""Replay, export and import: what is taken out of a server is what was put in, whichever way."""

import base64
import hashlib
import json
import subprocess
import time

import pytest

import programs
import wire

EVENTS = 12


def run(*arguments, timeout=120):
    return subprocess.run([programs.TOKENLOG, *map(str, arguments)], capture_output=True,
                          timeout=timeout, env=programs.environment())


def ok(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, (arguments, done.stderr.decode(), done.stdout[-2000:])
    assert not programs.REPORT.search(done.stderr.decode()), done.stderr
    return done


def id_of(reply):
    return reply.header("tokenlog-stream-id")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, mock):
    """(server, replies): SSE, a failed one, a body that is no SSE, and ones with metadata."""
    server = programs.Server(tmp_path_factory.mktemp("export"), mock.url, "--archive-after-ms",
                             "50")
    replies = [
        server.post(f"mock,events={EVENTS},id=export"),
        server.post("mock,events=10,fault=reset@4,id=export"),
        server.post("mock,events=3,id=export", stream=False),
        server.post(f"mock,events={EVENTS},id=export",
                    {"Tokenlog-Metadata": '{"team":"red","try":2}', "Idempotency-Key": "again"}),
        server.post("mock,events=5,id=export", {"Tokenlog-Metadata": '{"team":"blue"}'}),
    ]
    yield server, replies
    if server.is_running():
        server.stop()
    server.check_log()


@pytest.fixture(params=["online", "killed", "offline"])
def place(request, recorded):
    """The flags that say where to look: the server, its folder after a kill, or after a stop."""
    server = recorded[0]
    if request.param == "online":
        if not server.is_running():
            server.start()
        return ("--server", server.url)
    if server.is_running():
        (server.kill if request.param == "killed" else server.stop)()
    elif request.param == "offline":
        server.start()
        server.stop()
    return ("--data", str(server.data))


# Events with their times.


def test_events_as_lines(recorded):
    server, replies = recorded
    if not server.is_running():
        server.start()
    reply = server.events(id_of(replies[0]), "?format=jsonl")
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert lines[0]["stream"]["id"] == id_of(replies[0]) and lines[0]["row"]
    events = lines[1:-1]
    assert [line["seq"] for line in events] == list(range(len(events)))
    assert "".join(line["data"] for line in events).encode() == bytes(replies[0].body)
    assert all(a["time"] <= b["time"] for a, b in zip(events, events[1:]))
    assert (lines[-1]["end"]["state"], lines[-1]["end"]["events"]) == ("completed", len(events))
    rest = server.events(id_of(replies[0]), "?format=jsonl&from=4").body.splitlines()
    assert [json.loads(line)["seq"] for line in rest[1:-1]] == list(range(4, len(events)))
    assert server.events(id_of(replies[0]), "?format=csv").status == 400


def test_an_event_that_is_long(serve, canned, mock):
    """It comes in parts, cut where it is cut in the store; put together it is the event."""
    event = b"data: " + b"\xc3\xa9" * 100000 + b"\n\n"
    provider = canned(programs.canned_sse(event + b"data: [DONE]\n\n"))
    server = serve(provider=provider.url)
    reply = server.post("mock")
    lines = [json.loads(line) for line in
             server.events(id_of(reply), "?format=jsonl").body.splitlines()][1:-1]
    parts = [base64.b64decode(line["base64"]) if "base64" in line else line["data"].encode()
             for line in lines if line["seq"] == 0]
    assert len(parts) > 5 and b"".join(parts) == event
    assert [line.get("more", False) for line in lines] == [True] * (len(parts) - 1) + [False] * 2
    assert ok("replay", id_of(reply), "--now", "--server", server.url).stdout == bytes(reply.body)


def test_the_request_of_a_stream(recorded):
    server, replies = recorded
    if not server.is_running():
        server.start()
    reply = server.call("GET", f"/v1/streams/{id_of(replies[3])}/request")
    assert reply.status == 200 and reply.header("content-type") == "application/json"
    assert json.loads(reply.body) == programs.ask(f"mock,events={EVENTS},id=export")
    missing = server.call("GET", "/v1/streams/00000000-0000-7000-8000-000000000000/request")
    assert missing.status == 404


def test_a_large_request(serve, model):
    server = serve()
    text = "long " * 100000
    name = model("events=1")
    reply = server.post(name, messages=[{"role": "user", "content": text}])
    body = server.call("GET", f"/v1/streams/{id_of(reply)}/request").body
    assert json.loads(body)["messages"][0]["content"] == text


# Replay.


def test_replay(recorded, place):
    _, replies = recorded
    for reply in (replies[0], replies[2]):
        assert ok("replay", id_of(reply), "--now", *place).stdout == bytes(reply.body)
    sse = ok("replay", id_of(replies[0]), "--sse", "--speed", "0", *place).stdout
    assert b"id: 1\n" in sse and b'event: tokenlog.end\ndata: {"state":"completed"' in sse
    cut = run("replay", id_of(replies[1]), "--now", *place)
    assert cut.returncode == 1 and b"failed" in cut.stderr
    assert wire.tokens(cut.stdout)[1] == [0, 1, 2, 3]
    assert run("replay", "00000000-0000-7000-8000-000000000000", *place).returncode == 3


def test_replay_keeps_order_and_pace(serve, model):
    server = serve()
    reply = server.post(model("events=20", "rate=20"))
    start = time.monotonic()
    replay = ok("replay", id_of(reply), "--speed", "2", "--server", server.url)
    assert replay.stdout == bytes(reply.body)
    assert time.monotonic() - start >= 0.4  # never sooner than it is due
    server.stop()
    assert ok("replay", id_of(reply), "--speed", "100", "--data", server.data).stdout == replay.stdout


def test_replay_usage():
    some = "00000000-0000-7000-8000-000000000000"
    assert run("replay", some, "--speed", "fast").returncode == 2
    assert run("replay", some, "--speed", "1", "--now").returncode == 2
    assert run("replay", some, "--text", "--sse").returncode == 2


# Export and import.


def export(path, *flags, code=0):
    done = run("export", "--out", path, "--json", *flags)
    assert done.returncode == code, (done.stdout, done.stderr.decode())
    assert not programs.REPORT.search(done.stderr.decode()), done.stderr
    return json.loads(done.stdout) if done.stdout else done


def manifest_of(path):
    return json.loads(path.with_name(path.name + ".manifest.json").read_text())


@pytest.mark.parametrize("form", ["jsonl", "msgpack"])
def test_round_trip(recorded, place, form, tmp_path, serve):
    """Export, import elsewhere, serve that: the replays are the same bytes."""
    _, replies = recorded
    path = tmp_path / "all"
    assert export(path, "--format", form, *place)["streams"] == len(replies)
    manifest = manifest_of(path)
    assert [one["id"] for one in manifest["streams"]] == [id_of(one) for one in reversed(replies)]
    assert manifest["totals"]["size"] == path.stat().st_size
    ok("export", "--verify", path)
    data = tmp_path / "data"
    first = json.loads(ok("import", path, "--data", data, "--json").stdout)
    assert first == {"imported": len(replies), "present": 0}
    again = json.loads(ok("import", path, "--data", data, "--json").stdout)
    assert again == {"imported": 0, "present": len(replies)}
    ok("verify", "--data", data)
    server = serve(folder=tmp_path, data=data)
    for reply in replies:
        assert server.raw(id_of(reply)) == bytes(reply.body)
    row = server.row(id_of(replies[3]))
    assert (row["metadata"], row["idempotency_key"]) == ({"team": "red", "try": 2}, "again")
    request = server.call("GET", f"/v1/streams/{id_of(replies[3])}/request")
    assert json.loads(request.body) == programs.ask(f"mock,events={EVENTS},id=export")
    repeated = server.post(f"mock,events={EVENTS},id=export", {"Idempotency-Key": "again"})
    assert id_of(repeated) == id_of(replies[3]) and repeated.body == replies[3].body
    server.stop()
    ok("verify", "--data", data)
    copy = tmp_path / "copy"
    export(copy, "--format", form, "--data", data, "--state", "completed")
    assert manifest_of(copy)["totals"]["streams"] == len(replies) - 1


def test_a_line_is_what_the_digest_says(recorded, tmp_path):
    """The manifest can be checked without us."""
    server, _ = recorded
    if not server.is_running():
        server.start()
    path = tmp_path / "all"
    export(path, "--server", server.url)
    data = path.read_bytes()
    for one in manifest_of(path)["streams"]:
        lines = data[one["offset"] : one["offset"] + one["size"]].splitlines(keepends=True)
        assert len(lines) == one["records"]
        assert hashlib.sha256(b"".join(lines[:-1])).hexdigest() == one["sha256"]
        assert json.loads(lines[-1])["end"]["sha256"] == one["sha256"]


def test_the_same_from_a_server_and_from_its_folder(recorded, tmp_path):
    server, _ = recorded
    if not server.is_running():
        server.start()
    export(tmp_path / "online", "--server", server.url)
    server.stop()
    export(tmp_path / "offline", "--data", server.data)
    assert (tmp_path / "online").read_bytes() == (tmp_path / "offline").read_bytes()


def test_filters(recorded, place, tmp_path):
    _, replies = recorded
    ids = [id_of(reply) for reply in replies]

    def exported(*flags):
        path = tmp_path / f"f{len(list(tmp_path.iterdir()))}"
        export(path, *flags, *place)
        return [one["id"] for one in manifest_of(path)["streams"]]

    assert exported("--metadata", "team=red") == [ids[3]]
    assert exported("--metadata", "try=2") == [ids[3]]
    assert exported("--metadata", "team=green") == []
    assert exported("--state", "failed") == [ids[1]]
    assert exported("--project", "default") in (ids[::-1], [])
    assert exported("--project", "nobodys") == []
    assert exported("--from", "-24h") == ids[::-1]
    assert exported("--to", "-1h") == []
    usage = run("export", "--out", tmp_path / "x", "--from", "yesterday", *place)
    assert usage.returncode == 2


@pytest.mark.parametrize("form", ["jsonl", "msgpack"])
def test_resume_after_a_cut(recorded, place, form, tmp_path):
    path = tmp_path / "cut"
    flags = ("--format", form, *place)
    export(path, *flags)
    whole, manifest = path.read_bytes(), manifest_of(path)
    assert run("export", "--out", path, *flags).returncode == 2  # it is there
    streams = manifest["streams"]
    for cut in (0, 10, streams[1]["offset"], streams[2]["offset"] + 100, len(whole) - 1, len(whole)):
        path.write_bytes(whole[:cut])
        path.with_name("cut.manifest.json").unlink()
        assert run("export", "--verify", path).returncode == 1
        export(path, "--resume", *flags)
        assert path.read_bytes() == whole and manifest_of(path) == manifest


@pytest.mark.parametrize("form", ["jsonl", "msgpack"])
def test_a_damaged_export_is_refused(recorded, form, tmp_path):
    server, replies = recorded
    if not server.is_running():
        server.start()
    path = tmp_path / "all"
    export(path, "--format", form, "--server", server.url)
    whole, one = path.read_bytes(), manifest_of(path)["streams"][2]
    for at in (one["offset"] + 60, one["offset"] + one["size"] // 2,
               one["offset"] + one["size"] - 20):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        for command in (("export", "--verify", path), ("import", path, "--data", tmp_path / "d")):
            done = run(*command)
            assert done.returncode == 1 and one["id"].encode() in done.stderr, done.stderr
            assert not programs.REPORT.search(done.stderr.decode())
        assert not (tmp_path / "d").exists()
    for wrong in (whole[:-1], whole + b"x", whole[: one["offset"]] + whole[one["offset"] + 9 :]):
        path.write_bytes(wrong)
        assert run("import", path, "--data", tmp_path / "d").returncode == 1
    path.write_bytes(whole)
    ok("import", path, "--data", tmp_path / "d", "--project", "other")
    assert ok("replay", id_of(replies[0]), "--now", "--data", tmp_path / "d").stdout == bytes(
        replies[0].body)


def test_import_beside_a_server_is_refused(recorded, tmp_path):
    server, _ = recorded
    if not server.is_running():
        server.start()
    export(tmp_path / "all", "--server", server.url)
    done = run("import", tmp_path / "all", "--data", server.data)
    assert done.returncode == 4 and str(server.process.pid).encode() in done.stderr


def test_live_streams_are_left_out(serve, model, tmp_path):
    server = serve()
    done = server.post(model("events=3"))
    with server.open(model("events=200", "rate=40")) as one:
        said = export(tmp_path / "all", "--server", server.url)
        assert (said["streams"], said["live"]) == (1, 1)
        assert [row["id"] for row in manifest_of(tmp_path / "all")["streams"]] == [id_of(done)]
        server.call("POST", f"/v1/streams/{id_of(one.reader)}/stop")


def test_what_a_kill_leaves_in_the_journal(serve, canned, tmp_path):
    """Nothing is archived yet: events, long ones, bodies and a stream that was live."""
    event = b"data: " + b"\xc3\xa9" * 100000 + b"\n\n"
    provider = canned(programs.canned_sse(event + b"data: [DONE]\n\n"))
    server = serve("--archive-after-ms", "60000", provider=provider.url)
    reply = server.post("mock", padding="x" * 100000)
    server.kill()
    assert export(tmp_path / "all", "--data", server.data)["streams"] == 1
    ok("export", "--verify", tmp_path / "all")
    refused = run("import", tmp_path / "all", "--data", server.data)
    assert refused.returncode == 1 and b"stop it once" in refused.stderr
    ok("import", tmp_path / "all", "--data", tmp_path / "data")
    ok("verify", "--data", tmp_path / "data")
    replayed = ok("replay", id_of(reply), "--now", "--data", tmp_path / "data").stdout
    assert replayed == bytes(reply.body)
    lines = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    request = "".join(line["data"] for line in lines if "request" in line)
    assert json.loads(request)["padding"] == "x" * 100000
    server.start()
    export(tmp_path / "later", "--server", server.url)
    assert (tmp_path / "later").read_bytes() == (tmp_path / "all").read_bytes()


def test_a_stream_that_a_kill_interrupted(serve, model, tmp_path):
    server = serve("--archive-after-ms", "60000")
    with server.open(model("events=200", "rate=100")) as one:
        stream = id_of(one.reader)
        programs.eventually(lambda: server.row(stream)["events"] > 20)
        server.kill()
    assert export(tmp_path / "all", "--data", server.data, "--state", "interrupted")["streams"] == 1
    ok("import", tmp_path / "all", "--data", tmp_path / "data")
    ok("verify", "--data", tmp_path / "data")
    here = run("replay", stream, "--now", "--data", server.data)
    there = run("replay", stream, "--now", "--data", tmp_path / "data")
    assert here.returncode == there.returncode == 1
    assert here.stdout == there.stdout and len(wire.tokens(here.stdout)[1]) > 15
    server.start()


def test_replay_as_lines(recorded, place):
    """With --json: what the server's lines say."""
    lines = [json.loads(line) for line in
             ok("replay", id_of(recorded[1][0]), "--json", "--now", *place).stdout.splitlines()]
    assert "stream" in lines[0] and lines[-1]["end"]["state"] == "completed"
    assert "".join(line["data"] for line in lines[1:-1]).encode() == bytes(recorded[1][0].body)
