"""Ending a generation, by request or by policy; and forgetting a recording."""

import json
import subprocess

import pytest

import programs
import wire


def test_stop_in_the_middle(server, mock, model):
    name = model("events=1000", "rate=50")
    with server.open(name) as one:
        stream = one.reader.header("tokenlog-stream-id")
        one.read_events(10)
        assert server.call("POST", f"/v1/streams/{stream}/stop").status in (200, 202)
        reply = one.finish()
    assert reply.end in ("cut", "reset")
    row = server.row_when(stream, "stopped")
    assert row["reason"]
    assert server.raw(stream) == reply.body
    numbered, end = wire.split_numbered(server.events(stream).body)
    assert (end["state"], end["events"]) == ("stopped", len(numbered))
    programs.eventually(lambda: mock.of(name)["aborted"] == 1)
    again = server.call("POST", f"/v1/streams/{stream}/stop")
    assert again.status in (200, 409)
    assert server.row(stream)["state"] == "stopped"


def test_stop_before_the_first_token(server, mock, model):
    name = model("events=3", "ttft=60000")
    with server.wire() as one:
        one.ask("POST", "/v1/chat/completions", programs.ask(name), {"Idempotency-Key": name})
        programs.eventually(lambda: mock.of(name)["requests"] == 1)
        key = name.replace("=", "%3D").replace(",", "%2C")
        stream = programs.eventually(lambda: server.rows(f"?idempotency_key={key}"))[0]["id"]
        assert server.call("POST", f"/v1/streams/{stream}/stop").status in (200, 202)
        reply = one.finish()
    assert reply.status != 200 or reply.end != "clean"
    assert server.row_when(stream, "stopped")["events"] == 0


def test_a_generation_goes_on_without_its_caller(server, mock, model):
    name = model("events=40", "rate=40")
    with server.open(name) as one:
        stream = one.reader.header("tokenlog-stream-id")
    row = server.row_when(stream, "completed")
    wire.assert_exact(server.raw(stream), 40)
    assert mock.of(name)["aborted"] == 0 and row["events"] >= 40


def test_on_disconnect_stop(serve, mock, model):
    server = serve("--on-disconnect", "stop")
    name = model("events=10000", "rate=50")
    one = server.open(name)
    stream = one.reader.header("tokenlog-stream-id")
    reader = server.wire()
    reader.ask("GET", f"/v1/streams/{stream}/events?from=0")
    reader.read_events(5)
    one.close()
    count = len(wire.split_events(reader.reader.body)[0])
    reader.read_events(count + 50)  # another one watches: it goes on
    reader.close()
    assert server.row_when(stream, "stopped")["reason"]
    programs.eventually(lambda: mock.of(name)["aborted"] == 1)


def test_on_disconnect_after_seconds(serve, mock, model):
    server = serve("--on-disconnect", "1s")
    name = model("events=10000", "rate=50")
    with server.open(name) as one:
        stream = one.reader.header("tokenlog-stream-id")
        one.read_events(2)
    with server.wire() as back:  # in time, or the state says otherwise
        back.ask("GET", f"/v1/streams/{stream}/events?from=0")
        back.read_events(100)
        assert server.row(stream)["state"] == "streaming"
    assert server.row_when(stream, "stopped")["reason"]


def test_delete(serve, mock, model):
    server = serve()
    reply = server.post(model("events=50"), {"Idempotency-Key": "gone"})
    stream = reply.header("tokenlog-stream-id")
    assert server.call("DELETE", f"/v1/streams/{stream}").status in (200, 204)
    wire.assert_error(programs.eventually(
        lambda: (gone := server.events(stream)).status != 200 and gone), 410)
    wire.assert_error(server.post("mock", {"Idempotency-Key": "gone"}), (410, 422))
    assert server.call("DELETE", f"/v1/streams/{stream}").status in (200, 204, 404, 410)
    server.kill()
    server.start()
    wire.assert_error(server.events(stream), 410)
    assert stream not in [row["id"] for row in server.rows() if row["state"] != "deleted"]


def test_a_live_stream_cannot_be_deleted(server, model):
    with server.open(model("events=30", "fault=stall@5")) as one:
        stream = one.reader.header("tokenlog-stream-id")
        wire.assert_error(server.call("DELETE", f"/v1/streams/{stream}"), 409)
        server.call("POST", f"/v1/streams/{stream}/stop")
        one.finish()


@pytest.fixture(scope="session")
def shifted_clock(tmp_path_factory):
    """A library that moves the wall clock by $CLOCK_SHIFT_S, for programs without a sanitizer."""
    library = tmp_path_factory.mktemp("clock") / "clock_shift.so"
    source = programs.ROOT / "tests/e2e/clock_shift.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return lambda seconds: {"LD_PRELOAD": str(library), "CLOCK_SHIFT_S": str(seconds),
                            "ASAN_OPTIONS": programs.SANITIZERS["ASAN_OPTIONS"]
                            + ":verify_asan_link_order=0"}


def test_what_a_client_writes_is_no_generation_to_stop(server):
    plain = {"Content-Type": "text/plain"}
    assert server.call("PUT", "/v1/stream/unstoppable", b"one", plain).status == 201
    listed = json.loads(server.call("GET", "/v1/streams?kind=appended").body)["data"]
    stream = next(row["id"] for row in listed if row["name"] == "unstoppable")
    refusal = server.call("POST", f"/v1/streams/{stream}/stop")
    wire.assert_error(refusal, 409)
    assert b"Stream-Closed" in refusal.body
    assert server.call("POST", "/v1/stream/unstoppable", b" two", plain).status == 204


def test_forks_are_deleted_by_name(server):
    plain = {"Content-Type": "text/plain"}
    assert server.call("PUT", "/v1/stream/source", b"one", plain).status == 201
    fork = {**plain, "Stream-Forked-From": "/v1/stream/source"}
    assert server.call("PUT", "/v1/stream/fork", None, fork).status == 201
    listed = json.loads(server.call("GET", "/v1/streams?kind=appended").body)["data"]
    for row in listed:
        if row["name"] in ("source", "fork"):
            wire.assert_error(server.call("DELETE", f"/v1/streams/{row['id']}"), 409)
    assert server.call("GET", "/v1/stream/fork").body == b"one"
    for name in ("source", "fork"):
        assert server.call("DELETE", f"/v1/stream/{name}").status == 204
    programs.eventually(lambda: server.call("GET", "/v1/stream/source").status == 404)


def test_recordings_expire(serve, mock, model, shifted_clock, tmp_path):
    server = serve("--keep-days", "30", "--retention-step-ms", "50", folder=tmp_path)
    old = server.post(model("events=30"), {"Idempotency-Key": "old"}).header("tokenlog-stream-id")
    assert server.row(old)["expires_at"]
    server.stop()
    later = serve("--keep-days", "30", "--retention-step-ms", "50", folder=tmp_path,
                  extra_environment=shifted_clock(31 * 86400))
    programs.eventually(lambda: later.events(old).status == 410)
    wire.assert_error(later.events(old), 410)
    young = later.post(model("events=3"))
    wire.assert_exact(later.raw(young.header("tokenlog-stream-id")), 3)


def test_recordings_kept_for_ever(serve, model, shifted_clock, tmp_path):
    server = serve("--keep-days", "0", folder=tmp_path)
    old = server.post(model("events=30")).header("tokenlog-stream-id")
    assert server.row(old)["expires_at"] is None
    server.stop()
    later = serve("--keep-days", "0", "--retention-step-ms", "50", folder=tmp_path,
                  extra_environment=shifted_clock(5000 * 86400))
    later.post(model("events=3"))
    wire.assert_exact(later.raw(old), 30)
