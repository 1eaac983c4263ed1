"""The processes of the demonstration: the server, the mock provider, and clients to be killed.

A server and its mock that stay behind are noted in `running.json` in the state folder, so that a
second run can name them.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKENLOG = ROOT / "build/release/tokenlog"
MOCK = ROOT / "build/release/tools/mock/mock_provider"
CLIENT = pathlib.Path(__file__).with_name("client.py")
START_S = 60
STOP_S = 60


class Failure(Exception):
    """Something that the user has to know, in words for the user."""


def get_json(url, path):
    place = urllib.parse.urlsplit(url).netloc
    connection = http.client.HTTPConnection(place, timeout=10)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def is_port_free(port):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Service:
    """A program that says `listening …` once it serves; its log goes to a file."""

    def __init__(self, name, command, log):
        self.name, self.log = name, pathlib.Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        log_start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as output:
            # A session of its own: Ctrl-C in this terminal is not for those that stay behind.
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=output, start_new_session=True)
        self.url = self._wait_for_line(log_start)

    def _wait_for_line(self, log_start):
        line = self.process.stdout.readline().decode()
        word, _, address = line.partition(" ")
        if word != "listening":
            self.process.wait(START_S)
            raise Failure(f"{self.name} did not start:\n{self._said_since(log_start)}")
        self.process.stdout.close()
        return "http://" + address.strip().removeprefix("http://")

    def _said_since(self, start):
        with open(self.log, "rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace").strip() or "(it said nothing)"

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()


class Client:
    """client.py in a process of its own. `lines` yields what it prints, as it does."""

    def __init__(self, url, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, CLIENT, url, *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE)

    def lines(self):
        for line in self.process.stdout:
            if line.endswith(b"\n"):  # one that was being written when it was killed is none
                yield json.loads(line)
        self.process.stdout.close()
        self.process.wait()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)


# ---- those that stay behind ----


def note_path(state):
    return pathlib.Path(state) / "running.json"


def write_note(state, **members):
    note_path(state).write_text(json.dumps(members) + "\n")


def read_note(state):
    """What runs since an earlier run, or None. A note of processes that are gone is none."""
    try:
        note = json.loads(note_path(state).read_text())
        command = pathlib.Path(f"/proc/{note['pid']}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError):
        return None
    return note if b"tokenlog" in command and is_healthy(note["url"]) else None


def is_healthy(url):
    place = urllib.parse.urlsplit(url).netloc
    for _ in range(3):
        try:
            connection = http.client.HTTPConnection(place, timeout=5)
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            time.sleep(0.2)
    return False


def end_mock_of_gone_server(state):
    """A mock whose server was stopped by hand has no one left to serve."""
    try:
        pid = json.loads(note_path(state).read_text())["mock_pid"]
        if b"mock_provider" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError, KeyError, TypeError):
        pass
