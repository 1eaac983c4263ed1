"""The demonstration that tools/run shows: tokenlog's main job, with real processes really killed.

    1  a client is killed in the middle of a completion, another reads on: one generation is paid
    2  the server is killed in the middle of another, and started again: what was received is there

Exit status: 0 if all that it promises held.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

import processes
import screen
from processes import Client, Failure, Service
from screen import Speaker

PORT = 8080
EVENTS = 48
RATE = 24  # tokens a second: to be followed by eye
KILL_CLIENT_AFTER = 16
KILL_SERVER_AFTER = 20
PROMPT = "Count from 1 to 60 in English words, separated by commas. Nothing else."
PROVIDER_URLS = {"openai": "https://api.openai.com"}
KEY_VARIABLES = {"openai": "OPENAI_API_KEY"}


class Stage:
    """What both acts play on."""

    def __init__(self, options, state, data):
        self.options, self.state, self.data = options, state, data
        self.run = f"{os.getpid()}-{int(time.time())}"  # makes keys and model names this run's own
        self.mock = None if options.provider != "mock" else self._start_mock()
        self.server = None
        self.port = self._choose_port()

    def _start_mock(self):
        return Service("The mock provider", [processes.MOCK, "--listen", "127.0.0.1:0"],
                       self.state / "mock.log")

    def _choose_port(self):
        if self.options.demo_only:
            return 0
        if processes.is_port_free(self.options.port):
            return self.options.port
        screen.say(f"Port {self.options.port} is taken by something else: taking a free one.")
        return 0

    def start_server(self):
        url = self.mock.url if self.mock else PROVIDER_URLS[self.options.provider]
        self.server = Service(
            "tokenlog", [processes.TOKENLOG, "serve", "--listen", f"127.0.0.1:{self.port}",
                         "--data", self.data, "--provider", f"{self.options.provider}={url}"],
            self.state / "server.log")
        self.port = int(self.server.url.rsplit(":", 1)[1])  # and so it stays over a restart

    def model(self, act):
        if self.mock:
            return f"mock,events={EVENTS},rate={RATE},id={self.run}.{act}"
        return self.options.model

    def ask(self, act, verb="ask"):
        """A client that starts (or comes back to) the completion of an act."""
        return Client(self.server.url, verb, self.model(act), f"demo-{self.run}.{act}", PROMPT)

    def provider_counts(self, act):
        """What the mock says of one act: a witness that shares nothing with the server."""
        return processes.get_json(self.mock.url, "/mock/stats")["by_model"][self.model(act)]

    def stop(self):
        for service in (self.server, self.mock):
            if service:
                service.stop()


class Received:
    """What one client has got, shown as it comes."""

    def __init__(self, client, speaker=None):
        self.client, self.speaker = client, speaker or screen.Silence()
        self.stream = self.state = self.end = self.whole = None
        self.texts = []

    @property
    def tokens(self):
        """Events that carry text; the first and the last ones of an answer carry none."""
        return sum(text != "" for text in self.texts)

    def until(self, count=None):
        """Reads on until `count` events are there, or the stream has ended."""
        for line in self.client.lines():
            self._take(line)
            if count is not None and len(self.texts) == count:
                break
        return self

    def _take(self, line):
        if line.get("status", 200) != 200:
            raise Failure(f"The server answered {line['status']}:\n{line['error']}")
        self.stream = line.get("stream") or self.stream
        self.state = line.get("state") or self.state
        self.end = line.get("end", self.end)
        self.whole = line.get("whole", self.whole)
        if "text" in line:
            self.texts.append(line["text"])
            self.speaker.add(line["text"])

    def rest(self, remark):
        """After a kill: what it had printed before it died counts as received."""
        self.until()
        self.speaker.end()
        screen.note(remark.format(count=len(self.texts), stream=self.stream))
        return self


def act_one(stage):
    screen.heading("1. A client dies in the middle; the generation does not")
    first = Received(stage.ask(1), Speaker("client A", "green")).until(KILL_CLIENT_AFTER)
    first.client.kill()
    first.rest("client A was killed (SIGKILL). It had received {count} events of stream {stream}.")
    time.sleep(0.7)
    received = len(first.texts)
    screen.note(f"Client B reads on: GET /v1/streams/{first.stream}/events?from={received}")
    second = Received(Client(stage.server.url, "resume", first.stream, received),
                      Speaker("client B", "cyan")).until()
    second.speaker.end()
    whole = Received(stage.ask(1, "again")).until()
    screen.table([("received by client A", first.tokens, f"tokens, {received} events"),
                  ("received by client B", second.tokens,
                   f"tokens, {len(second.texts)} events, from where A was")])
    holds = screen.verdict(
        first.texts + second.texts == whole.texts and second.end["state"] == "completed",
        f"together they are the whole answer, {len(whole.texts)} events: nothing lost or doubled")
    if stage.mock:
        paid = stage.provider_counts(1)["generations"]
        holds &= screen.verdict(paid == 1, f"generations paid for, says the provider: {paid}")
    return holds


def act_two(stage):
    screen.heading("2. The server itself is killed, and started again")
    client = Received(stage.ask(2), Speaker("client C", "green")).until(KILL_SERVER_AFTER)
    pid = stage.server.pid
    stage.server.kill()
    client.rest(f"The server, PID {pid}, was killed (SIGKILL). The client had received "
                "{count} events.")
    stage.start_server()
    screen.note(f"Started again on the same data as PID {stage.server.pid}. "
                f"Replay: GET /v1/streams/{client.stream}/events?from=0")
    replay = Received(Client(stage.server.url, "resume", client.stream, 0),
                      Speaker("replay", "cyan")).until()
    replay.speaker.end()
    received = len(client.texts)
    rows = [("received by the client", client.tokens, "tokens"),
            ("recorded by tokenlog", replay.tokens,
             f"tokens; the stream is {replay.end['state']}")]
    if stage.mock:
        rows.append(("billed by the provider", stage.provider_counts(2)["tokens"],
                     "tokens that it had sent when its connection died with the server"))
    else:
        rows.append(("billed by the provider", "?", "see its dashboard: it may be more"))
    screen.table(rows)
    holds = screen.verdict(replay.texts[:received] == client.texts,
                           "what was received is a part of what is recorded, and identical")
    again = Received(stage.ask(2, "again")).until()
    holds &= screen.verdict(
        again.state == "interrupted" and again.stream == client.stream,
        "asked again with the same key, it says interrupted and does not pay a second time")
    screen.note("What the provider generated after the last recorded event is lost; "
                "it may be billed.")
    return holds


# ---- around the acts ----


def leave_running(stage):
    server = stage.server
    processes.write_note(stage.state, pid=server.pid, url=server.url, data=str(stage.data),
                         provider=stage.options.provider,
                         mock_pid=stage.mock.pid if stage.mock else None,
                         model="mock,events=40,rate=10" if stage.mock else stage.options.model)
    screen.heading("The server goes on running")
    name_running(processes.read_note(stage.state))


def name_running(note):
    url, body = note["url"], f'{{"model":"{note["model"]}","stream":true,"messages":[]}}'
    if not note["mock_pid"]:
        body = body.replace("[]", '[{"role":"user","content":"Hello?"}]')
    screen.say(f"   {url}   PID {note['pid']}   data {note['data']}\n")
    screen.say("Try, and press Ctrl-C in the middle of the first:\n")
    screen.say(f"   curl -N -i {url}/v1/chat/completions -H 'Idempotency-Key: mine' "
               f"\\\n        -H 'Content-Type: application/json' -d '{body}'")
    screen.say(f"   curl -s '{url}/v1/streams?limit=3'")
    screen.say(f"   curl -N '{url}/v1/streams/ID/events?from=5'        "
               "(ID: Tokenlog-Stream-Id of the first)\n")
    pids = " ".join(str(pid) for pid in (note["pid"], note["mock_pid"]) if pid)
    what = "the server, and the mock provider beside it" if note["mock_pid"] else "the server"
    screen.say(f"To stop {what}:   kill {pids}")


def confirm_billing(options):
    if options.provider == "mock":
        return
    screen.say(screen.paint("yellow", f"Two short completions of {options.model} are asked of "
                            f"{PROVIDER_URLS[options.provider]}: real tokens will be billed."))
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise Failure("Nobody is here to ask: say --yes if that is what you want.")
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Failure("Nothing was asked, nothing is billed.")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/run", description=(
        "Builds tokenlog, starts it with a mock provider, shows what it does, and leaves it "
        "running."))
    parser.add_argument("--demo-only", action="store_true",
                        help="end after the demonstration, and stop what was started")
    parser.add_argument("--port", type=int, default=PORT, help=f"rather than {PORT}")
    parser.add_argument("--data", type=pathlib.Path, help="data folder")
    parser.add_argument("--provider", choices=["mock", *PROVIDER_URLS], default="mock",
                        help="openai bills real tokens")
    parser.add_argument("--model", help="for --provider openai")
    parser.add_argument("--yes", action="store_true",
                        help="do not ask before real tokens are billed")
    parser.add_argument("--check-running", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.provider != "mock" and not options.model:
        parser.error(f"--provider {options.provider} needs --model")
    if options.provider != "mock" and not os.environ.get(KEY_VARIABLES[options.provider]):
        parser.error(f"--provider {options.provider} needs {KEY_VARIABLES[options.provider]} "
                     "in the environment")
    return options


def state_folder():
    home = os.environ.get("HOME") or "/tmp"
    return pathlib.Path(os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state") / "tokenlog"


def perform(options, state):
    """0 or 1; what was started goes on running only if that was wanted and all went well."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    processes.end_mock_of_gone_server(state)
    with contextlib.ExitStack() as stack:
        stage = Stage(options, state, (options.data or state / "data").absolute())
        stack.callback(stage.stop)
        stage.start_server()
        screen.say(f"tokenlog serves on {stage.server.url}, PID {stage.server.pid}; it asks "
                   f"{'a mock provider on ' + stage.mock.url if stage.mock else options.provider}")
        holds = act_one(stage)
        holds &= act_two(stage)
        if not holds:
            raise Failure(f"\nThat should not be. The server's log: {stage.state / 'server.log'}")
        if not options.demo_only:
            leave_running(stage)
            stack.pop_all()
    return 0


def main(arguments):
    options = parse(arguments)
    state = state_folder()
    note = None if options.demo_only else processes.read_note(state)
    if note:
        screen.say("tokenlog runs already, since an earlier tools/run:\n")
        name_running(note)
        screen.say("To see the demonstration again:   tools/run --demo-only")
        if note["provider"] != options.provider:
            raise Failure(f"It asks {note['provider']}, not {options.provider}: stop it first.")
        return 0
    if options.check_running:
        return 3
    confirm_billing(options)
    if not options.demo_only:
        return perform(options, state)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tokenlog-demo-"))
    try:
        return perform(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def end_by_signal(number, _):
    sys.exit(128 + number)  # and so what was started is stopped on the way out


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end_by_signal)
    signal.signal(signal.SIGHUP, end_by_signal)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print(screen.paint("red", str(failure)), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
