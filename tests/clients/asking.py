"""A client's program that stays: it reads a job a line, JSON, and answers each with a line of JSON.

Starting a client costs a second, asking by one a few milliseconds.
"""

import json
import select
import subprocess

TIMEOUT_S = 180


class Asker:
    def __init__(self, *command):
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def ask(self, **job):
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        line = self.process.stdout.readline() if ready else b""
        assert line, f"the client gave no answer to {job}"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(TIMEOUT_S)
        self.process.stdout.close()
        assert status == 0, f"the client ended with status {status}"
