"""Backups of a busy server: what was visible when one began is in it, and serves again."""

import json
import os
import signal
import struct
import subprocess

import pytest

import programs
import wire

# A ring that goes round many times, and an archiver that follows close behind.
BUSY = ("--segment-bytes", "4194304", "--segment-count", "3", "--archive-after-ms", "50",
        "--retention-step-ms", "50")
STREAMS = 50
BACKUPS = 3


def run(*arguments, timeout_s=120):
    done = subprocess.run([programs.TOKENLOG, *map(str, arguments)], capture_output=True,
                          timeout=timeout_s, env=programs.environment(), check=False)
    assert not programs.REPORT.search(done.stderr.decode()), done.stderr.decode()[-6000:]
    return done


def run_well(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done


def stream_of(reader):
    return reader.header("tokenlog-stream-id")


def add_streams(crowd, server, count, kind, name):
    return [crowd.add(server.place, "POST", "/v1/chat/completions",
                      programs.ask(f"mock,{kind},id={name}.{number}")) for number in range(count)]


def whole_events(reader):
    return b"".join(wire.split_events(reader.body)[0])


def test_backup_of_a_busy_server(serve, tmp_path):
    server = serve(*BUSY)
    seen = []  # of each backup: {stream: bytes a caller had when it began}
    with wire.Crowd() as crowd:
        readers = add_streams(crowd, server, STREAMS, "events=1200,rate=100,text=900", "backup")
        crowd.until(lambda reader: reader.status == 200 and len(reader.body) > 10000)
        for number in range(BACKUPS):
            short = add_streams(crowd, server, 5, "events=20,rate=200", f"short{number}")
            crowd.run_for(0.5)
            seen.append({stream_of(one): whole_events(one) for one in readers})
            backup = subprocess.Popen(
                [programs.TOKENLOG, "backup", tmp_path / f"backup{number}", "--json", "--data",
                 server.data, *(["--compact"] if number == 1 else [])],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=programs.environment())
            while backup.poll() is None:
                crowd.pump()
            out, err = backup.communicate()
            assert backup.returncode == 0, (out, err)
            assert json.loads(out)["is_checked"] is True
            for one in short:  # deletes keep the archiver busy, too
                if one.end is not None:
                    server.call("DELETE", f"/v1/streams/{stream_of(one)}")
        crowd.finish()
    server.stop()
    run_well("verify", "--data", server.data)
    for number in range(BACKUPS):
        check_backup(serve, tmp_path, number, seen[number], readers)


def check_backup(serve, tmp_path, number, seen, readers):
    backup, data = tmp_path / f"backup{number}", tmp_path / f"restored{number}"
    run_well("verify", "--data", backup)
    run_well("restore", backup, "--data", data)
    run_well("verify", "--data", data)
    copy = serve(*BUSY, data=data)
    whole = {stream_of(one): bytes(one.body) for one in readers}
    for stream, received in seen.items():
        raw = copy.raw(stream)
        assert raw.startswith(received), (stream, len(raw), len(received))
        assert whole[stream].startswith(raw)
        assert copy.row(stream)["state"] in ("interrupted", "completed")
    # It is a server like any other, once a ring as small as this one has room for new work.
    again = programs.eventually(
        lambda: (reply := copy.post("mock,events=30")).status == 200 and reply)
    wire.assert_exact(again.body, 30)
    assert copy.raw(stream_of(again)) == again.body
    copy.stop()
    run_well("verify", "--data", data)


def test_backup_killed_leaves_the_source_fine(serve, tmp_path):
    chance = programs.random_of("killed backups")
    server = serve(*BUSY)
    with wire.Crowd() as crowd:
        readers = add_streams(crowd, server, 10, "events=400,rate=100,text=900", "killed")
        for number in range(8):
            backup = subprocess.Popen(
                [programs.TOKENLOG, "backup", tmp_path / f"killed{number}", "--data", server.data],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=programs.environment())
            crowd.run_for(chance.uniform(0.02, 0.5))
            backup.send_signal(signal.SIGKILL)
            killed = backup.wait() == -signal.SIGKILL
            if killed and not (tmp_path / f"killed{number}" / "backup.json").exists():
                done = run("restore", tmp_path / f"killed{number}", "--data", tmp_path / "never")
                assert done.returncode == 1 and b"not finished" in done.stderr, done.stderr
                assert not (tmp_path / "never").exists()
        crowd.finish()
    for one in readers:
        assert one.end == "clean" and server.raw(stream_of(one)) == one.body
    run_well("backup", tmp_path / "after", "--data", server.data)
    server.stop()
    run_well("verify", "--data", server.data)
    run_well("verify", "--data", tmp_path / "after")


def test_compact_shrinks_after_deletes(serve, model):
    server = serve(*BUSY)
    kept = server.post(model("events=300", "text=400"))
    gone = []
    while len(gone) < 12:  # a ring as small as this one refuses new work now and then
        reply = server.post(model("events=1500", "text=900"))
        assert reply.status in (200, 503)
        gone += [stream_of(reply)] if reply.status == 200 else []
    programs.eventually(lambda: all(server.row(one)["state"] == "completed" for one in gone))
    for stream in gone:
        assert server.call("DELETE", f"/v1/streams/{stream}").status in (200, 204)
    held = run("compact", "--data", server.data)
    assert held.returncode == 4 and str(server.process.pid).encode() in held.stderr
    server.stop()
    store = server.data / "store.lmdb"
    before = store.stat().st_size
    report = json.loads(run_well("compact", "--json", "--data", server.data).stdout)
    after = store.stat().st_size
    assert (report["before_bytes"], report["after_bytes"]) == (before, after)
    assert after < before / 2, (before, after)
    assert oct(store.stat().st_mode & 0o777) == "0o600"
    assert not (server.data / "compact.new").exists()
    run_well("verify", "--data", server.data)
    server.start()
    assert server.raw(stream_of(kept)) == kept.body


def is_stored(server, reply):
    stream = bytes.fromhex(stream_of(reply).replace("-", ""))
    return stream in (server.data / "store.lmdb").read_bytes()


@pytest.fixture
def backup(serve, model, tmp_path):
    """(a stopped server, a backup of it, a recorded reply that is in its store)"""
    server = serve(*BUSY)
    reply = server.post(model("events=50"))
    programs.eventually(lambda: is_stored(server, reply))
    (server.data / "keys").write_text("# no keys yet\n")
    run_well("backup", tmp_path / "backup", "--data", server.data)
    server.stop()
    return server, tmp_path / "backup", reply


def test_backup_without_a_server_and_what_is_refused(backup, tmp_path):
    server, path, _ = backup
    assert run("backup", path, "--data", server.data).returncode == 1  # it is not empty
    run_well("backup", tmp_path / "offline", "--data", server.data)
    assert (tmp_path / "offline" / "keys").read_text() == "# no keys yet\n"
    assert {oct(one.stat().st_mode & 0o777) for one in (tmp_path / "offline").iterdir()} == {"0o600"}
    assert run("backup", tmp_path / "none", "--data", tmp_path / "nowhere").returncode == 4
    assert not (tmp_path / "none").exists()
    full = run("restore", path, "--data", server.data)
    assert full.returncode == 1 and b"is not empty" in full.stderr
    assert run("restore", server.data, "--data", tmp_path / "new").returncode == 1
    run_well("restore", path, "--data", tmp_path / "new")


def test_restore_checks_first(backup, tmp_path):
    _, path, reply = backup
    store = bytearray((path / "store.lmdb").read_bytes())
    stream = bytes.fromhex(stream_of(reply).replace("-", ""))
    found = [at for at in range(len(store) - 16) if store[at : at + 16] == stream]
    assert found
    for at in found:
        store[at] ^= 0xFF
    (path / "store.lmdb").write_bytes(store)
    done = run("restore", path, "--data", tmp_path / "new")
    assert done.returncode == 1 and done.stderr, done
    assert not (tmp_path / "new").exists()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def newer_journal(data):
    for path in data.glob("journal-??"):
        block = bytearray(path.read_bytes())
        if block[:8] == b"tlogjrnl":
            block[8:12] = struct.pack("<I", 99)
            block[64:68] = struct.pack("<I", crc32c(block[:64]))
            path.write_bytes(block)


def newer_store(data):
    """The value of `format`: version 1, CRC-32C, u32 big-endian."""
    path = data / "store.lmdb"
    store = path.read_bytes()
    formats = {value: b"\1" + pack_crc(struct.pack(">I", value)) + struct.pack(">I", value)
               for value in (*range(1, 20), 99)}
    found = [value for value in range(1, 20) if b"format" + formats[value] in store]
    assert found
    for value in found:
        store = store.replace(b"format" + formats[value], b"format" + formats[99])
    path.write_bytes(store)


def pack_crc(content):
    return struct.pack(">I", crc32c(content))


@pytest.mark.parametrize("alter, names", [(newer_journal, b"journal segment of format 99"),
                                          (newer_store, b"store has format 99")])
def test_newer_formats_are_refused_by_name(backup, tmp_path, alter, names):
    server, path, _ = backup
    alter(server.data)
    alter(path)
    listen = ("--listen", "127.0.0.1:0")
    for arguments in (("serve", "--data", server.data, *listen),
                      ("verify", "--data", server.data),
                      ("backup", tmp_path / "of it", "--data", server.data),
                      ("restore", path, "--data", tmp_path / "new")):
        done = run(*arguments)
        assert done.returncode == 1, (arguments, done)
        assert names in done.stdout + done.stderr, (arguments, done)
    assert not (tmp_path / "new").exists()


def test_a_newer_backup_is_refused_by_name(backup, tmp_path):
    _, path, _ = backup
    note = json.loads((path / "backup.json").read_text())
    (path / "backup.json").write_text(json.dumps(note | {"format": 99}))
    done = run("restore", path, "--data", tmp_path / "new")
    assert done.returncode == 1 and b"backup has format 99" in done.stderr
    (path / "backup.json").write_text("{")
    assert b"damaged" in run("restore", path, "--data", tmp_path / "new").stderr


def test_one_server_a_directory(serve):
    """Whoever comes second is told who was first."""
    server = serve(*BUSY)
    second = run("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    assert second.returncode != 0 and str(server.process.pid).encode() in second.stderr
    for command in ("verify", "compact"):
        held = run(command, "--data", server.data)
        assert held.returncode == 4 and str(server.process.pid).encode() in held.stderr
    assert run("restore", server.data, "--data", server.data).returncode != 0


def test_little_address_space(serve, model, tmp_path):
    """Where a terabyte of map cannot be reserved, a smaller one is, and it is said."""
    wrapper = tmp_path / "limited"
    probe = subprocess.run([programs.TOKENLOG, "version"], capture_output=True, check=True)
    assert probe.stdout
    wrapper.write_text(f'#!/bin/sh\nulimit -v 4194304\nexec "{programs.TOKENLOG}" "$@"\n')
    os.chmod(wrapper, 0o700)
    if subprocess.run([wrapper, "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a sanitizer needs the whole address space")
    server = serve(*BUSY, binary=str(wrapper))
    reply = server.post(model("events=50"))
    assert server.raw(stream_of(reply)) == reply.body
    assert "address space" in server.log()
