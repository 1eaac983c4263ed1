"""How long recordings live, what a full disk does, and what rots: against the running server.

A full disk needs a file system of its own: a tmpfs and a loop-mounted ext4, which only root can
mount; without that these tests are skipped."""

import contextlib
import json
import os
import pathlib
import subprocess
import time

import pytest

import programs
import wire

FAST = ("--retention-step-ms", "50", "--archive-after-ms", "20")
MIB = 1024 * 1024


def record(server, model, *settings, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = server.post(model(*settings), headers=named)
    assert reply.status == 200 and reply.end == "clean", (reply.status, reply.body[:300])
    return reply.header("tokenlog-stream-id"), reply


def status_of(server, stream_id):
    return server.call("GET", f"/v1/streams/{stream_id}").status


def code_of(reply):
    return reply.json()["error"]["code"]


# ---- time to live ----


def test_a_recording_lives_as_long_as_its_caller_said(serve, model):
    server = serve(*FAST)
    short, _ = record(server, model, "events=5", Tokenlog_TTL="1")
    long, reply = record(server, model, "events=5", Tokenlog_TTL="3600")
    forever, _ = record(server, model, "events=5", Tokenlog_TTL="0")
    assert server.row(long)["expires_at"] and server.row(forever)["expires_at"] is None
    programs.eventually(lambda: status_of(server, short) == 410)
    wire.assert_error(server.events(short), 410, "stream_expired")
    assert server.raw(long) == reply.body
    assert server.metrics()["tokenlog_streams_expired_total"] == 1


@pytest.mark.parametrize("ttl", ["", "x", "-1", "1.5", "2h", "86401", "0"])
def test_a_ttl_that_is_not_allowed(serve, model, ttl):
    server = serve("--ttl-max-days", "1")
    reply = server.post(model("events=2"), headers={"Tokenlog-TTL": ttl})
    wire.assert_error(reply, 400, "invalid_ttl")
    assert server.rows() == []


def test_reading_extends_a_sliding_life(serve, model):
    server = serve(*FAST)
    sliding = {"Tokenlog_TTL": "3", "Tokenlog_TTL_Mode": "sliding"}
    by_id, reply = record(server, model, "events=5", **sliding)
    name = model("events=5")
    asked = {"Idempotency-Key": "k", "Tokenlog-TTL": "3", "Tokenlog-TTL-Mode": "sliding"}
    first = server.post(name, headers=asked)
    by_key = first.header("tokenlog-stream-id")
    unread, _ = record(server, model, "events=5", **sliding)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert server.raw(by_id) == reply.body
        again = server.post(name, headers=asked)
        assert again.status == 200 and again.body == first.body
        assert again.header("tokenlog-stream-id") == by_key
        time.sleep(0.2)
    assert status_of(server, by_id) == 200 and status_of(server, by_key) == 200
    assert status_of(server, unread) == 410
    programs.eventually(lambda: status_of(server, by_id) == status_of(server, by_key) == 410)


# ---- holds ----


def test_a_hold_keeps_a_recording(serve, model):
    server = serve(*FAST)
    stream, reply = record(server, model, "events=5", Tokenlog_TTL="1")
    held = server.call("PUT", f"/v1/streams/{stream}/hold")
    assert held.status == 200 and held.json()["held"] is True and held.json()["expires_at"] is None
    time.sleep(2)
    wire.assert_error(server.call("DELETE", f"/v1/streams/{stream}"), 423, "stream_held")
    server.kill()
    server.start()
    assert server.row(stream)["held"] is True
    assert server.raw(stream) == reply.body
    wire.assert_error(server.call("DELETE", f"/v1/streams/{stream}"), 423, "stream_held")
    lifted = server.call("DELETE", f"/v1/streams/{stream}/hold")
    assert lifted.status == 200 and lifted.json()["held"] is False
    programs.eventually(lambda: status_of(server, stream) == 410)
    assert server.call("PUT", f"/v1/streams/{stream}/hold").status == 410


def test_a_live_stream_is_held_through_a_crash(serve, model):
    server = serve(*FAST)
    live = server.open(model("events=2000", "rate=100"))
    stream = live.reader.header("tokenlog-stream-id")
    assert server.call("PUT", f"/v1/streams/{stream}/hold").json()["held"] is True
    server.kill()
    live.close()
    server.start()
    row = server.row_when(stream, "interrupted")
    assert row["held"] is True
    wire.assert_error(server.call("DELETE", f"/v1/streams/{stream}"), 423, "stream_held")


# ---- size ----


def test_the_oldest_go_past_a_size(serve, model):
    limit = 2 * MIB
    server = serve(*FAST, "--keep-bytes-max", str(limit), "--tombstone-days", "1")
    first, _ = record(server, model, "events=200", "size=1000")
    kept, held_reply = record(server, model, "events=200", "size=1000")
    assert server.call("PUT", f"/v1/streams/{kept}/hold").status == 200
    for _ in range(12):
        noise = os.urandom(300000).hex()  # requests are kept, too
        reply = server.post(model("events=5"), messages=[{"role": "user", "content": noise}])
        assert reply.status == 200
    last = reply.header("tokenlog-stream-id")
    programs.eventually(lambda: server.metrics()["tokenlog_streams_evicted_total"] > 2)
    programs.eventually(lambda: server.metrics()["tokenlog_store_used_bytes"] <= limit)
    wire.assert_error(server.events(first), 410, "stream_evicted")
    assert server.raw(kept) == held_reply.body
    assert status_of(server, last) == 200


# ---- a full disk ----


@contextlib.contextmanager
def mounted(folder, *command):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    done = subprocess.run(["mount", *command, str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(kind, tmp_path, size):
    folder = tmp_path / "disk"
    folder.mkdir()
    if kind == "tmpfs":
        with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
            yield folder
        return
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(size)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], capture_output=True)
    if made.returncode != 0:
        pytest.skip("no mkfs.ext4")
    with mounted(folder, "-o", "loop", str(image)):
        yield folder


def free_bytes(folder):
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def fill(path):
    """Takes all that is left."""
    with open(path, "ab", buffering=0) as file:
        size = MIB
        while size >= 4096:
            try:
                file.write(b"\xff" * size)
            except OSError:
                size //= 2


def noisy(server, model, settings=("events=5",), size=800000):
    """A request that takes room: bytes that do not compress."""
    return server.post(model(*settings), messages=[
        {"role": "user", "content": os.urandom(size // 2).hex()}])


def until_refused(server, model):
    taken = []
    for _ in range(2000):
        reply = noisy(server, model)
        if reply.status != 200:
            if reply.status == 507:  # waiting does not help
                assert code_of(reply) == "storage_full" and not reply.header("retry-after")
                return taken
            assert reply.status == 503 and int(reply.header("retry-after")) > 0, reply.body
            assert code_of(reply) == "overloaded", reply.body
            time.sleep(0.05)
            continue
        if reply.end == "clean":
            taken.append((reply.header("tokenlog-stream-id"), bytes(reply.body)))
    raise AssertionError("the disk never filled up")


def check_all(server, recordings):
    for stream, body in recordings:
        assert server.raw(stream) == body


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_filled_by_others(serve, model, tmp_path, kind):
    with small_disk(kind, tmp_path, 160 * MIB) as disk:
        server = serve(*FAST, data=disk / "data")
        before = [record(server, model, "events=50") for _ in range(3)]
        live = server.open(model("events=400", "rate=50"))
        time.sleep(0.5)
        fill(disk / "others")
        taken = until_refused(server, model)
        programs.eventually(lambda: server.metrics()["tokenlog_store_full"] == 1)
        assert server.call("GET", "/readyz").status == 503
        assert server.call("GET", "/healthz").status == 200
        check_all(server, [(stream, reply.body) for stream, reply in before] + taken)
        reply = live.finish()  # the journal has room for what is under way
        assert reply.status == 200
        row = server.row_when(reply.header("tokenlog-stream-id"), "completed", "failed")
        assert (row["state"] == "completed") == (reply.end == "clean"), row
        # Nothing was restarted: room is all that is wanted.
        (disk / "others").unlink()
        programs.eventually(lambda: server.call("GET", "/readyz").status == 200)
        stream, reply = record(server, model, "events=50")
        assert server.raw(stream) == reply.body
        check_all(server, taken)
        server.stop()
        server.start()
        check_all(server, taken + [(stream, reply.body)])
        server.stop()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_filled_by_recordings(serve, model, tmp_path, kind):
    with small_disk(kind, tmp_path, 128 * MIB) as disk:
        server = serve(*FAST, "--keep-days", "0", data=disk / "data")
        taken = until_refused(server, model)
        check_all(server, taken[-3:])
        half = len(taken) // 2
        for stream, _ in taken[:half]:
            assert server.call("DELETE", f"/v1/streams/{stream}").status in (202, 204)
        programs.eventually(lambda: server.call("GET", "/readyz").status == 200)
        again, reply = record(server, model, "events=50")
        check_all(server, [*taken[half:][-3:], (again, reply.body)])
        assert all(status_of(server, stream) == 410 for stream, _ in taken[:half])
        server.stop()


# ---- bit rot ----


def rot(path, wanted):
    """One bit of each stored copy of these bytes; how many there were."""
    data = bytearray(path.read_bytes())
    at, count = data.find(wanted), 0
    while at >= 0:
        data[at + len(wanted) // 2] ^= 1
        count += 1
        at = data.find(wanted, at + 1)
    with open(path, "r+b") as file:
        file.write(data)
    return count


def test_rot_fails_the_stream_that_has_it(serve, model):
    server = serve(*FAST, "--scrub-bytes-per-s", "100000000")
    others = [record(server, model, "events=20") for _ in range(3)]
    noise = os.urandom(3000).hex()  # stored as it is, or nearly: hexadecimal digits do compress
    bad, _ = record(server, model, "events=300", "size=500")
    others += [record(server, model, "events=20") for _ in range(3)]
    del noise
    server.stop()
    block = first_block(server.data / "store.lmdb", bad)
    assert rot(server.data / "store.lmdb", block) >= 1
    done = subprocess.run([server.binary, "verify", "--json", "--data", str(server.data)],
                          capture_output=True, text=True, env=programs.environment())
    found = json.loads(done.stdout)
    assert done.returncode != 0 and not found["ok"]
    assert {finding["stream"] for finding in found["findings"]} == {bad}, found
    server.start()
    row = programs.eventually(lambda: (row := server.row(bad))["damaged"] and row)
    assert row["state"] == "completed" and row["damage"].startswith("blocks from 0.0")
    wire.assert_error(server.events(bad), 500, "stream_damaged")
    assert f"stream {bad} is damaged" in server.log()
    assert server.metrics()["tokenlog_damaged_streams_total"] == 1
    for stream, reply in others:
        assert server.raw(stream) == reply.body
        assert not server.row(stream)["damaged"]
    record(server, model, "events=20")
    assert server.call("DELETE", f"/v1/streams/{bad}").status in (202, 204)


def first_block(path, stream):
    """The beginning of the stream's first stored block: its key is project, number, seq 0 and part 0,
    and the number lies in the table of numbers beside the ID."""
    data = pathlib.Path(path).read_bytes()
    identity = bytes.fromhex(stream.replace("-", ""))
    at = -1
    while (at := data.find(identity, at + 1)) >= 0:
        key = data[at - 5 - 12 : at - 5]  # … key 12 | version 1 | crc 4 | ID
        block = data.find(key + bytes(12) + b"\x01") if key[:3] == bytes(3) else -1
        if block >= 0:
            return data[block + 24 : block + 24 + 64]
    raise AssertionError("no block of this stream was found")
