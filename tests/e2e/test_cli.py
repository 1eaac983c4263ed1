"""The subcommands, against a running server and against its data folder at rest."""

import json
import re
import subprocess

import pytest

import programs
import wire


def run(*arguments, timeout=120):
    return subprocess.run([programs.TOKENLOG, *arguments], capture_output=True, timeout=timeout,
                          env=programs.environment())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, mock):
    """(server, a completed stream's reply, a failed one's)"""
    server = programs.Server(tmp_path_factory.mktemp("cli"), mock.url)
    whole = server.post("mock,events=10,id=cli")
    cut = server.post("mock,events=10,fault=reset@4,id=cli")
    yield server, whole, cut
    if server.is_running():
        server.stop()
    server.check_log()


@pytest.fixture(params=["online", "offline"])
def place(request, recorded):
    """The flags that say where to look: the server, or its folder once it has stopped."""
    server = recorded[0]
    if request.param == "online":
        if not server.is_running():
            server.start()
        return ("--server", server.url)
    if server.is_running():
        server.stop()
    return ("--data", str(server.data))


def id_of(reply):
    return reply.header("tokenlog-stream-id")


def test_ls(recorded, place):
    _, whole, cut = recorded
    done = run("ls", *place)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert text.index(id_of(cut)) < text.index(id_of(whole))
    assert "completed" in text and "failed" in text
    lines = run("ls", "--json", *place).stdout.decode()
    assert id_of(whole) in lines and json.loads(lines.splitlines()[0])


def test_show(recorded, place):
    _, whole, _ = recorded
    done = run("show", id_of(whole), "--json", *place)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["id"], row["state"]) == (id_of(whole), "completed")
    assert run("show", id_of(whole), *place).returncode == 0


@pytest.mark.parametrize("start", [0, 3, 13])
def test_tail(recorded, place, start):
    _, whole, _ = recorded
    done = run("tail", id_of(whole), "--from", str(start), *place)
    assert done.returncode == 0, done.stderr
    events = wire.split_events(whole.body)[0]
    assert wire.tokens(done.stdout)[1] == wire.tokens(b"".join(events[start:]))[1]


def test_tail_of_a_failed_stream_says_so(recorded, place):
    done = run("tail", id_of(recorded[2]), *place)
    assert wire.tokens(done.stdout)[1] == [0, 1, 2, 3]
    assert b"failed" in done.stderr or done.returncode != 0


def test_unknown_and_malformed_ids(recorded, place):
    for command in ("show", "tail"):
        done = run(command, "00000000-0000-7000-8000-000000000000", *place)
        assert done.returncode == 3 and done.stderr
        assert run(command, "nonsense", *place).returncode == 2


def test_tail_follows_a_live_stream(recorded, mock):
    server = recorded[0]
    if not server.is_running():
        server.start()
    with server.open("mock,events=50,rate=40,id=clitail") as one:
        done = run("tail", id_of(one.reader), "--server", server.url)
        assert done.returncode == 0, done.stderr
        assert wire.tokens(done.stdout) == wire.tokens(one.finish().body)


def test_verify(recorded):
    server = recorded[0]
    if server.is_running():
        held = run("verify", "--data", str(server.data))
        assert held.returncode == 4 and str(server.process.pid).encode() in held.stderr
        server.stop()
    done = run("verify", "--data", str(server.data))
    assert done.returncode == 0, (done.stdout, done.stderr)


ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def test_verify_finds_damage(serve, model, tmp_path):
    """A flipped byte inside a stored block is found, and the stream is named."""
    server = serve("--archive-after-ms", "50", folder=tmp_path)
    stream = id_of(server.post(model("events=2000")))
    store = server.data / "store.lmdb"
    programs.eventually(lambda: ZSTD_MAGIC in store.read_bytes())
    server.stop()
    data = bytearray(store.read_bytes())
    at = data.find(ZSTD_MAGIC)
    while at >= 0:
        data[at + 40] ^= 0xFF
        at = data.find(ZSTD_MAGIC, at + 1)
    store.write_bytes(data)
    done = run("verify", "--data", str(server.data))
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert stream.encode() in done.stdout + done.stderr
    assert not programs.REPORT.search(done.stderr.decode())


def test_no_server_and_no_data(tmp_path):
    assert run("ls", "--server", "http://127.0.0.1:1").returncode == 4
    assert run("ls", "--data", str(tmp_path / "none")).returncode in (1, 2, 3, 4)


def test_help_version_and_usage():
    assert re.match(rb"tokenlog \d+\.\d+\.\d+", run("version").stdout)
    for command in ("serve", "ls", "show", "tail", "verify", "key"):
        done = run(command, "--help")
        assert done.returncode == 0 and b"--" in done.stdout, command
    assert run().returncode == 2
    assert run("nonsense").returncode == 2
    assert run("show").returncode == 2


def test_keys_cannot_be_made_for_odd_projects(tmp_path):
    assert run("key", "new", "../x", "--data", str(tmp_path / "d")).returncode == 2
