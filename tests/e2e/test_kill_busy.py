"""SIGKILL while everything moves: streams are written and archived, recordings expire, are deleted,
held, and make room for newer ones. What a caller was told is so afterwards, and the store is sound."""

import dataclasses
import hashlib
import os
import subprocess

import programs
import wire

ROUNDS = 60 if programs.LONG else 6
KEEP_BYTES = 2 << 20
BUSY = ("--retention-step-ms", "50", "--archive-after-ms", "20", "--tombstone-days", "1",
        "--keep-bytes-max", str(KEEP_BYTES))


@dataclasses.dataclass
class Known:
    """A recording that some caller has seen to its end, and what was promised of it since."""

    digest: bytes
    may_expire: bool
    is_held: bool = False
    is_deleted: bool = False


def digest(body):
    return hashlib.sha256(body).digest()


class Life:
    def __init__(self, server, chance):
        self.server, self.chance, self.known = server, chance, {}
        self.gone = 0

    def record(self, number):
        """A recording; every other has a large request, so that the oldest must go."""
        noise = os.urandom(100000).hex() if number % 2 else "Hello?"
        may_expire = number % 5 == 0
        headers = {"Tokenlog-TTL": "1"} if may_expire else None
        reply = self.server.post(f"mock,events={self.chance.randint(5, 120)},id=busy{number}",
                                 headers, messages=[{"role": "user", "content": noise}])
        if reply.status == 200:
            assert reply.end == "clean"
            stream = reply.header("tokenlog-stream-id")
            self.known[stream] = Known(digest(reply.body), may_expire)

    def promise(self):
        """Deletes and holds that were answered count from then on."""
        free = [stream for stream, one in self.known.items() if not one.is_held | one.is_deleted]
        for stream in self.chance.sample(free, min(4, len(free))):
            known = self.known[stream]
            if self.chance.random() < 0.5:
                reply = self.server.call("DELETE", f"/v1/streams/{stream}")
                known.is_deleted = reply.status in (200, 204)
            else:
                reply = self.server.call("PUT", f"/v1/streams/{stream}/hold")
                known.is_held = reply.status == 200
            assert reply.status in (200, 204, 410), (reply.status, reply.body)

    def release_most(self):
        """Or what is held would soon be all that there is room for."""
        held = [stream for stream, one in self.known.items() if one.is_held]
        for stream in held[:-4]:
            assert self.server.call("DELETE", f"/v1/streams/{stream}/hold").status == 200
            self.known[stream].is_held = False

    def begin(self, crowd, round_number):
        """What is being written when the end comes; some of it at once deleted or read."""
        for number in range(6):
            body = programs.ask(f"mock,events=400,rate={50 + 100 * number},id=live{round_number}")
            crowd.add(self.server.place, "POST", "/v1/chat/completions", body)
        for stream in self.chance.sample(sorted(self.known), min(4, len(self.known))):
            crowd.add(self.server.place, "GET", f"/v1/streams/{stream}/events?from=0")

    def check(self):
        for stream, known in self.known.items():
            row = self.server.call("GET", f"/v1/streams/{stream}")
            if row.status == 200:
                assert not known.is_deleted, stream
                assert row.json()["held"] is known.is_held
                reply = self.server.events(stream, "?format=raw&live=false")
                # It may go between one question and the next.
                assert reply.status == 200 and digest(reply.body) == known.digest or (
                    reply.status == 410 and not known.is_held), (reply.status, stream)
            else:
                wire.assert_error(row, 410)
                assert not known.is_held, (stream, row.body)
                self.gone += not known.is_deleted


def test_killed_with_the_archiver_and_retention_busy(serve):
    chance = programs.random_of("killed while busy")
    server = serve(*BUSY)
    life = Life(server, chance)
    for round_number in range(ROUNDS):
        with wire.Crowd() as crowd:
            life.begin(crowd, round_number)
            for number in range(12):
                life.record(round_number * 12 + number)
                crowd.run_for(chance.uniform(0, 0.02))
            life.release_most()
            life.promise()
            crowd.run_for(chance.uniform(0, 0.3))
            server.kill()
            crowd.finish()
        server.start()
        life.check()
    assert life.gone > 0 and any(known.is_held for known in life.known.values())
    server.stop()
    verified = subprocess.run([server.binary, "verify", "--data", str(server.data)],
                              capture_output=True, text=True, check=False,
                              env=programs.environment())
    assert verified.returncode == 0, verified.stdout + verified.stderr
