"""A run's journal, written anew while the run is in use: nobody notices, but for what it takes no more."""

import concurrent.futures
import itertools
import json
import subprocess
import threading

import programs
import wire

STATE_BYTES = 256 * 1024
ENOUGH = 200  # states, 50 MiB; it takes some twenty
ROOM = ("--segment-count", "32")  # for all of them: none is refused because the archiver is slow


def step(run, name):
    return {"Tokenlog-Run": run, "Tokenlog-Step": name}


def path(run, name):
    return f"/v1/runs/{run}/checkpoints/{name}"


def state(number):
    return (b"%8d " % number) * (STATE_BYTES // 9)


def number_of(reply):
    assert reply.status == 200, reply.body
    number = int(bytes(reply.body[:8]))
    assert reply.body == state(number)
    return number


def put_until_rewritten(server, run, numbers):
    """Puts a state after the other until the run's journal is another one; the last that was put."""
    before = server.call("GET", f"/v1/runs/{run}").json()["id"]
    for number in itertools.islice(numbers, ENOUGH):
        reply = server.call("PUT", path(run, "state"), state(number))
        assert reply.status in (200, 201), reply.body
        if server.call("GET", f"/v1/runs/{run}").json()["id"] != before:
            return number, reply.header("etag")
    raise AssertionError("the journal was never written anew")


def test_nothing_is_lost_when_a_journal_is_written_anew(serve, mock, model):
    server, name = serve(*ROOM), model("events=6")
    server.call("PUT", "/v1/runs/long", {"team": "red"}, {"Tokenlog-TTL": "86400"})
    answer = server.post(name, step("long", "1")).body
    assert server.post(name, step("long", "1")).body == answer
    kept = server.call("PUT", path("long", "kept"), b"early", {"Tokenlog-Offsets": '{"a":7}'})
    old = server.call("GET", "/v1/runs/long").json()
    numbers = itertools.count()
    number, etag = put_until_rewritten(server, "long", numbers)
    gone = server.call("GET", f"/v1/streams/{old['id']}")
    wire.assert_error(gone, 410, "stream_deleted")

    def check():
        run = server.call("GET", "/v1/runs/long").json()
        assert run["metadata"] == {"team": "red"} and run["expires_at"]
        assert (run["created_at"], run["step_count"]) == (old["created_at"], 1)
        assert (run["steps"], run["saved"]) == (old["steps"], old["saved"])
        early = server.call("GET", path("long", "kept"))
        assert (early.body, early.header("etag")) == (b"early", kept.header("etag"))
        assert early.header("tokenlog-offsets") == '{"a":7}'
        latest = server.call("GET", path("long", "latest"))
        assert (number_of(latest), latest.header("etag")) == (number, etag)
        listed = server.call("GET", "/v1/runs/long/checkpoints").json()["data"]
        assert [one["seq"] for one in listed] == [number + 2, 1]
        runs = server.call("GET", "/v1/runs").json()["data"]
        assert [(row["name"], row["id"]) for row in runs] == [("long", run["id"])]

    check()
    for end in (server.kill, server.stop):
        end()
        server.start()
        check()
    number, etag = put_until_rewritten(server, "long", numbers)
    check()
    fork = server.call("POST", "/v1/runs/long/fork", {"at": "1", "run": "fork"})
    assert fork.status == 201 and fork.json()["forked_from"] == {"run": "long", "at": "1"}
    for run in ("long", "fork"):
        assert server.post(name, step(run, "1")).body == answer
    assert mock.of(name)["generations"] == 1
    condition = {"If-Match": kept.header("etag")}
    assert server.call("PUT", path("long", "kept"), b"late", condition).status == 200
    server.stop()
    done = subprocess.run([programs.TOKENLOG, "verify", "--data", str(server.data)],
                          capture_output=True, env=programs.environment())
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_readers_and_writers_of_a_journal_that_is_written_anew(serve, model):
    """Each sees states grow, is told of its own, and none is refused; a kill takes nothing back."""
    server, over = serve(*ROOM), threading.Event()
    assert server.call("PUT", path("busy", "state"), state(0)).status == 201
    ids = {server.call("GET", "/v1/runs/busy").json()["id"]}

    def read():
        seen = [0]
        while not over.is_set():
            seen.append(number_of(server.call("GET", path("busy", "state"))))
            assert seen[-1] >= seen[-2]

    def write(writer):
        for number in itertools.count(1):
            if over.is_set():
                return number - 1
            body = {"writer": writer, "number": number}
            reply = server.call("PUT", path("busy", f"w{writer}"), body)
            assert reply.status == (201 if number == 1 else 200)
            got = server.call("GET", path("busy", f"w{writer}"))
            assert got.json() == body and got.header("etag") == reply.header("etag")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(write, writer) for writer in range(2)]
        try:
            numbers = itertools.count(1)
            for _ in range(2):
                last, _ = put_until_rewritten(server, "busy", numbers)
                ids.add(server.call("GET", "/v1/runs/busy").json()["id"])
        finally:
            over.set()
        for reader in readers:
            reader.result()
        counts = [writer.result() for writer in writers]
    assert len(ids) == 3
    server.kill()
    server.start()
    assert number_of(server.call("GET", path("busy", "state"))) == last
    for writer, count in enumerate(counts):
        got = json.loads(bytes(server.call("GET", path("busy", f"w{writer}")).body))
        assert got == {"writer": writer, "number": count}


def test_what_is_held_is_not_written_anew(serve):
    server = serve(*ROOM)
    assert server.call("PUT", path("held", "state"), state(0)).status == 201
    run = server.call("GET", "/v1/runs/held").json()
    hold = f"/v1/streams/{run['id']}/hold"
    assert server.call("PUT", hold).status < 300
    for number in range(1, 30):
        assert server.call("PUT", path("held", "state"), state(number)).status == 200
    assert server.call("GET", "/v1/runs/held").json()["id"] == run["id"]
    assert server.row(run["id"])["events"] == 30
    assert server.call("DELETE", hold).status < 300
    number, _ = put_until_rewritten(server, "held", itertools.count(30))
    assert number_of(server.call("GET", path("held", "state"))) == number


def test_the_server_ends_while_a_journal_is_written_anew(serve):
    """It begins with the eighteenth state or so, and takes a moment."""
    server, last = serve(*ROOM), {}
    for count, end in ((18, server.kill), (19, server.stop), (19, server.kill), (20, server.stop)):
        run = f"r{len(last)}"
        for number in range(count):
            assert server.call("PUT", path(run, "state"), state(number)).status in (200, 201)
        last[run] = count - 1
        end()
        server.start()
        for run, number in last.items():
            assert number_of(server.call("GET", path(run, "state"))) == number
