"""Durable Streams: what is refused, what a crash leaves, forks, crowds, and recordings read as streams.

What is right and ordinary is the conformance suite's (tests/clients/test_durable_clients.py).
"""

import base64
import concurrent.futures
import itertools
import json
import threading

import pytest

import programs
import wire

ROOT = "/v1/stream/"
ZERO = "0000000000000000_0000000000000000"
TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}
NEXT, CLOSED, UP_TO_DATE = "stream-next-offset", "stream-closed", "stream-up-to-date"
CROWD, ROOM = programs.crowd_of(10000 if programs.LONG else 300)
KILLS = 30 if programs.LONG else 3


class Streams:
    """The calls, at a server."""

    def __init__(self, server, headers=None):
        self.server, self.headers = server, headers or {}

    def call(self, method, name, body=None, headers=None):
        """Again while the server says that it is behind: nothing was done then."""
        def once():
            return self.server.call(method, ROOT + name, body, self.headers | (headers or {}))

        return programs.eventually(lambda: (reply := once()).status != 503 and reply)

    def put(self, name, body=None, **fields):
        return self.call("PUT", name, body, TEXT | of(fields))

    def post(self, name, body=None, **fields):
        return self.call("POST", name, body, TEXT | of(fields))

    def get(self, name, query="", **fields):
        return self.call("GET", name + query, headers=of(fields))

    def status(self, name):
        return self.call("HEAD", name).status

    def delete(self, name):
        return self.call("DELETE", name).status

    def fork(self, source, name, **fields):
        return self.put(name, stream_forked_from=ROOT + source, **fields)

    def read(self, name, offset="-1"):
        """All of it, page by page; (bytes, the offset behind it)."""
        data, pages = b"", 0
        while True:
            page = self.get(name, f"?offset={offset}")
            assert page.status == 200 and page.end == "clean", page.body
            data, offset, pages = data + page.body, page.header(NEXT), pages + 1
            if page.header(UP_TO_DATE):
                return data, offset


def of(fields):
    return {name.replace("_", "-"): value for name, value in fields.items()}


@pytest.fixture
def streams(server):
    return Streams(server)


NUMBERS = itertools.count(1)


@pytest.fixture
def name(request):
    return f"{request.node.originalname}/{next(NUMBERS)}"


def refused(reply, status, code):
    assert reply.status == status, (reply.status, reply.body)
    assert reply.json()["error"]["code"] == code
    assert reply.header("x-content-type-options") == "nosniff"


# What is refused.

@pytest.mark.parametrize("query", [
    "offset=", "offset=0", "offset=-2", "offset=+1", "offset=1,2", "offset=1%202", "offset=NOW",
    f"offset={ZERO[:-1]}", f"offset={ZERO}0", f"offset={ZERO[:-1]}1", f"offset={'f' * 16}_{'0' * 16}",
    f"offset={'F' * 16}_{'0' * 16}", f"offset={'0' * 16}_{'0' * 15}%00", "offset=" + "9" * 3000,
    f"offset={ZERO}&offset={ZERO}", "offset=-1&live=", "offset=-1&live=ws", "live=sse",
    "live=long-poll", "offset=-1&live=sse&live=sse", "offset=-1&live=sse&cursor=1&cursor=2"])
def test_a_query_that_says_nothing_is_refused(streams, name, query):
    assert streams.put(name, b"x").status == 201
    assert streams.get(name, "?" + query).status == 400
    assert streams.get(name, f"?offset={ZERO}&other=%41").body == b"x"


@pytest.mark.parametrize("fields", [
    {"stream_ttl": ttl} for ttl in ("", "-1", "+1", "01", "1.0", "1e3", "x", "9" * 17)] + [
    {"stream_expires_at": time} for time in ("", "soon", "2026-13-01T00:00:00Z", "1", "9" * 40)] + [
    {"stream_ttl": "1", "stream_expires_at": "2030-01-01T00:00:00Z"},
    {"stream_forked_from": "/v1/streams/x"}, {"stream_forked_from": ROOT},
    {"stream_forked_from": ROOT + "__ds/x"}, {"stream_fork_offset": ZERO},
    {"stream_fork_sub_offset": "0"}, {"Content_Type": "x" * 300}], ids=str)
def test_a_creation_that_says_nonsense_is_refused(streams, name, fields):
    assert streams.put(name, **fields).status == 400
    assert streams.status(name) == 404


@pytest.mark.parametrize("time", ["1677-09-21T00:12:44Z", "1700-01-01T00:00:00Z",
                                  "2020-01-01T00:00:00Z"])
def test_a_time_that_is_long_past(streams, name, time):
    """Created, and over: nobody finds it, and its name is free."""
    assert streams.put(name, b"x", stream_expires_at=time).status == 201
    assert streams.status(name) == 404
    assert streams.put(name, b"y").status == 201


def test_names(streams):
    for bad in ("", "x" * 255, "__ds/subscriptions/1", "__ds", "-", "-/other", "%5F%5Fds/x"):
        refused(streams.put(bad), 400, "invalid_name")
    longest = "y" * 254
    assert streams.put(longest, b"1").status == 201
    assert streams.put("same/%7Ename%2fx", b"2").status == 201
    assert streams.get("same/~name%2Fx").body == b"2"
    assert streams.status("same/~name/x") == 404
    assert streams.get(longest).body == b"1"


@pytest.mark.parametrize("fields", [
    {"Producer_Id": "p"}, {"Producer_Epoch": "0", "Producer_Seq": "0"},
    {"Producer_Id": "", "Producer_Epoch": "0", "Producer_Seq": "0"},
    {"Producer_Id": "p" * 256, "Producer_Epoch": "0", "Producer_Seq": "0"},
    {"Producer_Id": "p", "Producer_Epoch": "-1", "Producer_Seq": "0"},
    {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "0x0"},
    {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": str(2**53)},
    {"Stream_Seq": ""}, {"Stream_Seq": "s" * 256}], ids=str)
def test_an_append_that_says_nonsense_is_refused(streams, name, fields):
    assert streams.put(name).status == 201
    assert streams.post(name, b"x", **fields).status == 400
    assert streams.read(name)[0] == b""


def producer(epoch, seq, name="p"):
    return {"Producer_Id": name, "Producer_Epoch": str(epoch), "Producer_Seq": str(seq)}


def test_stale_epochs_and_gaps(streams, name):
    streams.put(name)
    gap = streams.post(name, b"x", **producer(0, 1))
    assert (gap.status, gap.header("producer-expected-seq")) == (409, "0")
    assert streams.post(name, b"a", **producer(4, 0)).status == 200
    assert streams.post(name, b"b", **producer(4, 1)).status == 200
    again = streams.post(name, b"other", **producer(4, 0))
    assert (again.status, again.header("producer-seq")) == (204, "1")
    stale = streams.post(name, b"x", **producer(3, 2))
    assert (stale.status, stale.header("producer-epoch")) == (403, "4")
    gap = streams.post(name, b"x", **producer(4, 7))
    assert (gap.status, gap.header("producer-expected-seq"), gap.header("producer-received-seq")) \
        == (409, "2", "7")
    assert streams.post(name, b"x", **producer(5, 1)).status == 400
    assert streams.post(name, b"c", **producer(5, 0)).status == 200
    assert streams.read(name)[0] == b"abc"


def test_more_producers_than_are_remembered(streams, name):
    """Those that wrote least recently are new again; whoever writes is remembered."""
    streams.put(name)
    for number in range(60):
        assert streams.post(name, b".", **producer(0, 0, f"{number:0255}")).status == 200
        assert streams.post(name, b"b", **producer(0, number, "busy")).status == 200
    assert streams.post(name, b"x", **producer(0, 0, f"{59:0255}")).status == 204
    assert streams.post(name, b"x", **producer(0, 0, f"{0:0255}")).status == 200
    assert streams.read(name)[0] == b".b" * 60 + b"x"


def test_an_append_after_the_end(streams, name):
    streams.put(name, b"all")
    assert streams.post(name, stream_closed="true").header(CLOSED) == "true"
    late = streams.post(name, b"x", Content_Type="application/json")
    assert (late.status, late.header(CLOSED), late.header(NEXT)) == (
        409, "true", f"{1:016x}_{0:016x}")
    assert streams.post(name, stream_closed="true").status == 204
    assert streams.post(name, b"x", stream_closed="true").status == 409
    assert streams.put(name).status == 409
    assert streams.put(name, stream_closed="true").status == 200


def test_a_body_that_is_too_large_changes_nothing(serve, name):
    streams = Streams(serve("--body-bytes-max", "1024"))
    streams.put(name, b"a")
    assert streams.post(name, b"x" * 1025).status == 413
    assert streams.read(name)[0] == b"a"


def test_methods(streams, name):
    reply = streams.call("PATCH", name)
    assert reply.status == 405 and "POST" in reply.header("allow")


# Who may.

@pytest.fixture
def two(serve, tmp_path):
    """Two projects' streams on one server."""
    import hashlib
    lines = ["projects:"]
    for key in ("red", "blue"):
        lines += [f"  - name: {key}", f'    keys: ["{hashlib.sha256(key.encode()).hexdigest()}"]']
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines) + "\n")
    server = serve("--config", str(path))
    return [Streams(server, {"Authorization": f"Bearer {key}"}) for key in ("red", "blue")]


def test_a_project_has_names_of_its_own(two, model):
    red, blue = two
    assert Streams(red.server).put("a").status == 401
    assert red.put("a", b"red").status == 201
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert blue.call(method, "a", headers=TEXT).status == 404
    refused(blue.fork("a", "b"), 404, "source_not_found")
    assert blue.put("a", b"blue").status == 201
    assert red.get("a").body == b"red" and blue.get("a").body == b"blue"
    assert "private" in red.get("a").header("cache-control")
    reply = red.server.post(model("events=2"), red.headers)
    recording = "-/streams/" + reply.header("tokenlog-stream-id")
    assert red.status(recording) == 200 and blue.status(recording) == 404


# What is read.

def test_large_appends_and_pages(streams, name):
    """A page has whole appends; one that is larger than a page comes alone, and whole."""
    streams.put(name)
    sizes = [1, 300_000, 10, 3_000_001, 16_000, 200_000, 100_000, 7]
    parts = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    offsets = [streams.post(name, part).header(NEXT) for part in parts]
    assert streams.read(name)[0] == b"".join(parts)
    for index, offset in enumerate(offsets):
        assert streams.read(name, offset) == (b"".join(parts[index + 1:]), offsets[-1])
    page = streams.get(name, f"?offset={offsets[2]}")
    assert (page.body, page.header(NEXT), page.header(UP_TO_DATE)) == (parts[3], offsets[3], None)


def test_a_delete_beside_a_large_append(serve):
    """It is done, or is to be tried again: waiting makes room for it."""
    server = serve("--test-commit-delay-ms", "300")
    assert Streams(server).put("large").status == 201
    row = server.rows("?kind=appended")[0]
    with server.wire() as one:
        one.ask("POST", ROOT + "large", b"x" * (3 << 20), TEXT)
        path = f"/v1/streams/{row['id']}"
        reply = server.call("DELETE", path)
        assert reply.status in (204, 503), reply.body
        assert reply.status == 204 or reply.header("retry-after") == "1"
        assert one.finish().status in (204, 404, 410, 503)
    programs.eventually(lambda: server.call("DELETE", path).status in (204, 410))


def test_large_messages(streams, name):
    streams.call("PUT", name, headers=JSON)
    messages = [{"n": 1}, "x" * 400_000, [[1], 2], "y\n\r" * 100_000, None]
    for message in messages:
        assert streams.call("POST", name, [message]).status == 204
    got, offset = [], "-1"
    while True:
        page = streams.get(name, f"?offset={offset}")
        got += page.json()
        offset = page.header(NEXT)
        if page.header(UP_TO_DATE):
            break
    assert got == messages


def sse(body):
    """[(name, data)] of whole events."""
    events = []
    for event in wire.split_events(body)[0]:
        lines = event.decode().strip("\n").split("\n")
        assert lines[0].startswith("event: ") and all(one.startswith("data:") for one in lines[1:])
        data = "\n".join(one[5:].removeprefix(" ") for one in lines[1:])
        events.append((lines[0][7:], data))
    return events


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
def test_events_of_any_size(streams, name, kind):
    streams.put(name, Content_Type=kind)
    parts = [b"a", b" b\n c", b"x" * 500_000, b"\r\n", b"yz"]
    for part in parts:
        streams.post(name, part, Content_Type=kind)
    streams.post(name, stream_closed="true")
    reply = streams.get(name, "?offset=-1&live=sse")
    assert reply.end == "clean" and reply.header("content-type") == "text/event-stream"
    events = sse(reply.body)
    assert [name for name, _ in events] == ["data", "control"] * (len(events) // 2)
    is_binary = kind != "text/plain"
    data = [base64.b64decode(one, validate=True) if is_binary else one.encode()
            for kind, one in events if kind == "data"]
    whole = b"".join(parts)
    assert b"".join(data) == (whole if is_binary else whole.replace(b"\r\n", b"\n"))
    last = json.loads(events[-1][1])
    assert last == {"streamNextOffset": f"{5:016x}_{0:016x}", "upToDate": True,
                    "streamClosed": True}


def test_what_is_known_is_not_sent_again(streams, name):
    streams.put(name, b"one")
    tag = streams.get(name).header("etag")
    reply = streams.get(name, If_None_Match=f'"x", W/{tag}')
    assert (reply.status, reply.body, reply.header("etag")) == (304, b"", tag)
    streams.post(name, stream_closed="true")
    assert streams.get(name, If_None_Match=tag).header(CLOSED) == "true"


def test_a_recording_is_read_as_a_stream(server, streams, model):
    reply = server.post(model("events=20"))
    path = "-/streams/" + reply.header("tokenlog-stream-id")
    page = streams.get(path)
    assert page.body == reply.body and page.header(CLOSED) == "true"
    assert page.header("content-type") == "application/octet-stream"
    assert page.header("upstream-content-type").startswith("text/event-stream")
    rest = streams.get(path, f"?offset={5:016x}_{0:016x}")
    assert rest.body == b"".join(wire.split_events(reply.body)[0][5:])
    data = [base64.b64decode(data) for kind, data in
            sse(streams.get(path, "?offset=-1&live=sse").body) if kind == "data"]
    assert b"".join(data) == reply.body
    for method in ("PUT", "POST", "DELETE"):
        assert streams.call(method, path, b"x", TEXT).status == 405
    assert streams.status("-/streams/no-such-id") == 404
    refused(streams.get("-/streams/01890a5d-ac96-774b-bcce-b302099a8057"), 404, "stream_not_found")


def test_a_recording_is_followed(server, streams, model):
    with server.open(model("events=8", "rate=10")) as caller:
        path = "-/streams/" + caller.reader.header("tokenlog-stream-id")
        followed = streams.get(path, "?offset=-1&live=sse")
        assert json.loads(sse(followed.body)[-1][1])["streamClosed"] is True
        data = [base64.b64decode(data) for kind, data in sse(followed.body) if kind == "data"]
        assert b"".join(data) == caller.finish().body


# Waiting.

def test_a_crowd_waits_for_one_append(serve):
    """Parked, each costs its connection, bounded memory and nothing of the server's time; all are
    answered."""
    streams = Streams(serve("--long-poll-timeout-ms", "600000", *ROOM,
                            binary=programs.TOKENLOG_FAST))
    created = streams.put("crowd", b"old")
    before = streams.server.rss_bytes()
    with wire.Crowd() as crowd:
        path = f"{ROOT}crowd?offset={created.header(NEXT)}&live=long-poll"
        readers = [crowd.add(streams.server.place, "GET", path) for _ in range(CROWD)]
        programs.eventually(lambda: crowd.pump() or streams.server.metrics()[
            "tokenlog_readers_attached"] >= CROWD, 300)
        assert not any(reader.status for reader in readers)
        assert (streams.server.rss_bytes() - before) / CROWD < 48 * 1024
        assert streams.post("crowd", b"new").status == 204
        crowd.finish(300)
        assert {(reader.status, bytes(reader.body)) for reader in readers} == {(200, b"new")}
    assert streams.server.metrics()["tokenlog_readers_attached"] == 0


def test_a_wait_ends(serve):
    streams = Streams(serve("--long-poll-timeout-ms", "50"))
    at = streams.put("w", b"x").header(NEXT)
    reply = streams.get("w", f"?offset={at}&live=long-poll&cursor=7")
    assert (reply.status, reply.header(NEXT), reply.header(UP_TO_DATE)) == (204, at, "true")
    cursor = reply.header("stream-cursor")
    again = streams.get("w", f"?offset=now&live=long-poll&cursor={cursor}")
    assert int(again.header("stream-cursor")) > int(cursor)


@pytest.mark.parametrize("live", ["long-poll", "sse"])
@pytest.mark.parametrize("end", ["close", "delete"])
def test_who_waits_learns_of_the_end(serve, live, end):
    streams = Streams(serve("--long-poll-timeout-ms", "600000"))
    at = streams.put("w", b"x").header(NEXT)
    with streams.server.wire() as one:
        one.ask("GET", f"{ROOT}w?offset={at}&live={live}")
        programs.eventually(
            lambda: streams.server.metrics()["tokenlog_readers_attached"] == 1)
        if end == "close":
            streams.post("w", b"last", stream_closed="true")
        else:
            assert streams.delete("w") == 204
        reply = one.finish()
        assert reply.end == "clean"
        if end == "delete":
            assert reply.status == (404 if live == "long-poll" else 200)
        elif live == "long-poll":
            assert (reply.body, reply.header(CLOSED)) == (b"last", "true")
        else:
            assert b"data:last\n" in reply.body and b'"streamClosed":true' in reply.body


# Time.

def test_time_goes_on_while_the_server_is_down(serve, tmp_path):
    streams = Streams(serve())
    assert streams.put("short", b"x", stream_ttl="1").status == 201
    assert streams.put("fork-of-nobody", b"x", stream_ttl="3600").status == 201
    assert streams.fork("short", "fork", stream_ttl="3600").status == 201
    streams.server.kill()
    streams.server.start()
    programs.eventually(lambda: streams.status("short") in (404, 410))
    assert streams.get("short").status == 410  # kept for its fork
    assert streams.put("short").status == 409
    assert streams.get("fork").body == b"x"
    head = streams.call("HEAD", "fork-of-nobody")
    assert (head.status, head.header("stream-ttl")) == (200, "3600")
    assert streams.delete("fork") == 204
    programs.eventually(lambda: streams.status("short") == 404)
    assert streams.put("short", b"new").status == 201
    assert streams.get("short").body == b"new"


def test_what_nobody_asks_for_goes_too(serve):
    """No call by its name takes it away: it goes by itself, from the store too."""
    server = serve("--archive-after-ms", "50")
    streams = Streams(server)
    streams.put("idle", b"x", stream_ttl="1")
    streams.put("kept", b"x", stream_ttl="3600")
    ids = [streams.get(name).header("etag").strip('"').split(":")[0] for name in ("idle", "kept")]

    def status(index):
        return server.call("GET", f"/v1/streams/{ids[index]}").status

    programs.eventually(lambda: status(0) in (404, 410))
    assert status(1) == 200 and streams.status("kept") == 200


# Forks.

def family(streams):
    """a ─▶ b ─▶ c, b ─▶ d: each with the events before its fork and one of its own."""
    streams.put("a", b"a1")
    streams.post("a", b"a2")
    streams.fork("a", "b")
    streams.post("b", b"b1")
    streams.fork("b", "c")
    streams.fork("b", "d", stream_fork_offset=f"{1:016x}_{0:016x}", stream_fork_sub_offset="1")
    for name in "abcd":
        assert streams.post(name, name.upper().encode()).status == 204
    return {"a": b"a1a2A", "b": b"a1a2b1B", "c": b"a1a2b1C", "d": b"a1aD"}


@pytest.mark.parametrize("order", ["".join(order) for order in itertools.permutations("abcd")])
def test_a_family_is_deleted_in_any_order(streams, name, order):
    """What is left reads on as before; names of what is kept for others are gone, and not free."""
    inside = Streams(streams.server)
    inside.call = lambda method, path, body=None, headers=None: streams.call(
        method, f"{name}/{path}", body, {key: value.replace(ROOT, f"{ROOT}{name}/") for key, value in
                                         (headers or {}).items()})
    expected = family(inside)
    left = set("abcd")
    parents = {"a": "", "b": "a", "c": "b", "d": "b"}
    for gone in order:
        assert inside.delete(gone) == 204
        left.remove(gone)
        for each in "abcd":
            if each in left:
                assert inside.read(each)[0] == expected[each]
                continue
            kept = any(each in (parents[one], parents[parents[one] or one]) for one in left)
            assert inside.status(each) == (410 if kept else 404), (each, left)
            assert inside.delete(each) == (410 if kept else 404)
    assert inside.put("b", b"free").status == 201


def test_counts_of_forks_survive_crashes(serve):
    """SIGKILL between every two steps: a source lives exactly as long as its last fork."""
    streams = Streams(serve())
    expected = family(streams)

    def crash():
        streams.server.kill()
        streams.server.start()

    crash()
    for gone, there in (("a", "bcd"), ("b", "cd"), ("c", "d")):
        assert streams.delete(gone) == 204
        crash()
        for each in there:
            assert streams.read(each)[0] == expected[each]
    assert [streams.status(each) for each in "abcd"] == [410, 410, 404, 200]
    assert streams.delete("d") == 204
    crash()
    assert [streams.status(each) for each in "abcd"] == [404] * 4


def test_forks_of_forks_are_bounded(streams, name):
    streams.put(f"{name}/0", b"x")
    replies = [streams.fork(f"{name}/{depth}", f"{name}/{depth + 1}") for depth in range(65)]
    assert {reply.status for reply in replies[:64]} == {201}
    refused(replies[64], 400, "fork_too_deep")
    assert streams.get(f"{name}/64").body == b"x"


# Crashes.

class Writer(threading.Thread):
    """A producer that appends numbered lines, and sends again what was not acknowledged."""

    def __init__(self, streams, number):
        super().__init__(daemon=True)
        self.streams, self.number = streams, number
        self.acknowledged, self.is_stopped = 0, False
        self.error = None

    def run(self):
        try:
            while not self.is_stopped:
                self._append()
        except (OSError, AssertionError) as error:
            self.error = error

    def line(self, seq):
        return f"{self.number}:{seq}\n".encode()

    def _append(self):
        fields = producer(0, self.acknowledged, f"writer-{self.number}")
        reply = self.streams.post("log", self.line(self.acknowledged), **fields)
        if reply.status is None or reply.end != "clean":
            raise OSError("the server died")
        assert reply.status in (200, 204), (reply.status, reply.body)
        self.acknowledged += 1


def test_every_acknowledged_append_is_there_once(serve):
    random = programs.random_of("durable")
    streams = Streams(serve())
    assert streams.put("log").status == 201
    counts = [0] * 6
    for _ in range(KILLS):
        writers = [Writer(streams, number) for number in range(len(counts))]
        for writer, count in zip(writers, counts):
            writer.acknowledged = count
            writer.start()
        least = sum(counts) + random.randrange(20, 200)
        programs.eventually(
            lambda: sum(writer.acknowledged for writer in writers) >= least
            or any(writer.error for writer in writers))
        streams.server.kill()
        for writer in writers:
            writer.is_stopped = True
            writer.join(wire.TIMEOUT_S)
            assert writer.error is None or isinstance(writer.error, OSError), writer.error
        streams.server.start()
        counts = [writer.acknowledged for writer in writers]
        lines = streams.read("log")[0].decode().split()
        for number, count in enumerate(counts):
            seqs = [int(line.split(":")[1]) for line in lines if line.startswith(f"{number}:")]
            assert seqs == list(range(len(seqs))) and count <= len(seqs) <= count + 1
    last = [streams.post("log", b"again", **producer(0, 0, f"writer-{number}"))
            for number in range(len(counts))]
    assert {reply.status for reply in last} == {204}


def test_writers_of_many_streams_at_once(streams, name):
    """Created once, and appended to in some order, by whoever comes."""
    def write(number):
        reply = streams.put(f"{name}/{number % 10}")
        return reply.status, streams.post(f"{name}/{number % 10}", b"%03d," % number).status

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(write, range(200)))
    assert [created for created, _ in statuses].count(201) == 10
    assert {appended for _, appended in statuses} == {204}
    for number in range(10):
        lines = streams.read(f"{name}/{number}")[0].decode().split(",")[:-1]
        assert sorted(map(int, lines)) == list(range(number, 200, 10))
