"""The rows of one run: each measures its servers in turn, A B A B …, and keeps every round's figures."""

import json
import os
import statistics
import subprocess
import urllib.request

from device import Device, is_void
from servers import cores


class Row:
    """One line of the report: {server: [figure of each round]}. `better` is "less" or "more"."""

    def __init__(self, title, unit, better, part):
        self.title, self.unit, self.better, self.part = title, unit, better, part
        self.figures = {}

    def add(self, name, figure):
        if figure is not None:
            self.figures.setdefault(name, []).append(figure)

    def median(self, name):
        return statistics.median(self.figures[name]) if name in self.figures else None

    def as_json(self):
        servers = {name: {"median": statistics.median(all_), "min": min(all_), "max": max(all_), "rounds": all_}
                   for name, all_ in self.figures.items()}
        return {"part": self.part, "title": self.title, "unit": self.unit, "better": self.better, "servers": servers}


class Size:
    """How much is measured: the whole takes a quarter of an hour at the most, `--quick` about three minutes."""

    def __init__(self, is_quick, files):
        """files: that a server may have open."""
        self.is_quick = is_quick
        self.paced_rounds = 2 if is_quick else 3
        self.rounds = 1 if is_quick else 3  # of the other rows
        self.paced_clients = 200 if is_quick else 500
        self.paced_events = 50 if is_quick else 100  # a stream is as long as the warm-up
        self.paced_warmup = 1 if is_quick else 2
        self.paced_seconds = 1 if is_quick else 2.5
        self.offered_clients = 1000 if is_quick else 1600
        self.single_seconds = 0.5 if is_quick else 1.5
        self.full_seconds = 0.8 if is_quick else 2
        self.replay_streams = 20 if is_quick else 100
        self.readers = 1000
        # Two sockets a stream, and what a server has open besides.
        self.held = 1000 if is_quick else min(10000, (files - 400) // 200 * 100)
        self.readers_attached = 2000 if is_quick else min(8000, (files - 400) // 200 * 100)  # the heap grows by 2 MiB
        self.peer_rounds = 1 if is_quick else 2
        self.peer_clients = 50
        self.peer_seconds = 1 if is_quick else 2
        self.journal_rounds = 1 if is_quick else 2


class Bench:
    def __init__(self, house, size, note):
        self.house, self.size, self.note = house, size, note
        self.rows, self.raw, self.errors, self.void = [], [], [], []
        self.device, self.part = Device(house.folder), ""

    def began(self, part):
        """What follows belongs to this part of the run."""
        self.part = part

    def row(self, title, unit, better):
        row = Row(title, unit, better, self.part)
        self.rows.append(row)
        return row

    def load(self, server, mode, **options):
        """One run of the load generator; its JSON, or None if it could not be done."""
        command = [os.path.join(self.house.build, "tools/bench/tokenlog_load"), mode, *server.load_arguments()]
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            command += [flag] if value is True else [flag, str(value)]
        before = self.durability(server)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, {self.house.other_core}))
        if done.returncode != 0:
            self.errors.append(f"{server.name}: {mode}: {done.stderr.strip()}")
            return None
        result = json.loads(done.stdout)
        result["durability"] = {name: now - before[name] for name, now in self.durability(server).items()}
        self.raw.append({"server": server.name, "mode": mode, "options": options, "result": result})
        if result["errors"]["all"]:
            self.errors.append(f'{server.name}: {mode}: {result["errors"]} ({result.get("first_problem")})')
        if mode == "follow" and not result["events"]:
            self.errors.append(f"{server.name}: {mode}: nothing came")
        return None if self.was_void(server, mode, result["durability"]) else result

    def durability(self, server):
        """Counters: what the server calls durable, and what its device has flushed."""
        counts = {"commits": server.metrics().get("tokenlog_journal_commits_total", 0)} if server.is_durable else {}
        return counts if self.device.silent else {**counts, "flushes": self.device.flushes()}

    def was_void(self, server, mode, counts):
        if "commits" not in counts or "flushes" not in counts or not is_void(counts["commits"], counts["flushes"]):
            return False
        self.void.append(f'{server.name}: {mode}: {counts["commits"]:.0f} commits, but {self.device.name} was flushed '
                         f'{counts["flushes"]} times')
        return True

    def peers(self, servers):
        """So few streams that stacks in JavaScript can show what an event costs them; what they cannot keep up with, the
        share that was delivered in time says."""
        size = self.size
        rate = f"{size.peer_clients} streams × 50 events/s"
        cpu = self.row(f"CPU per delivered event, {rate}", "µs", "less")
        share = self.row("… delivered of what was due", "%", "more")
        late = self.row("… lateness p99", "ms", "less")
        first = self.row("… time to first token p50", "ms", "less")
        memory = self.row("… memory of the whole", "MiB", "less")
        for _ in range(size.peer_rounds):
            for server in servers:
                self.note(f"{rate}: {server.name}")
                result = self.load(server, "stream", clients=size.peer_clients, tick_us=1000,
                                   model=f"mock,events={size.paced_events},rate=50", warmup=1,
                                   duration=size.peer_seconds)
                if result and result["events"]:
                    cpu.add(server.name, result["server_cpu_us_per_event"])
                    share.add(server.name, min(100, 100 * result["events_per_s"] / (size.peer_clients * 50)))
                    late.add(server.name, result["lateness_us"]["p99"] / 1000)
                    first.add(server.name, result["first_token_us"]["p50"] / 1000)
                    memory.add(server.name, result["resident_after_bytes"] / 1024 / 1024)

    def paced(self, servers):
        size = self.size
        rate = f"{size.paced_clients} streams × 50 events/s"
        cpu = self.row(f"CPU per event, {rate}", "µs", "less")
        median = self.row(f"lateness p50, {rate}", "ms", "less")
        late = self.row(f"lateness p99, {rate}", "ms", "less")
        for _ in range(size.paced_rounds):
            for server in servers:
                self.note(f"{rate}: {server.name}")
                result = self.load(server, "stream", clients=size.paced_clients, tick_us=1000,
                                   model=f"mock,events={size.paced_events},rate=50", warmup=size.paced_warmup,
                                   duration=size.paced_seconds)
                if result:
                    cpu.add(server.name, result["server_cpu_us_per_event"])
                    median.add(server.name, result["lateness_us"]["p50"] / 1000)
                    late.add(server.name, result["lateness_us"]["p99"] / 1000)

    def first_token(self, servers, keyed):
        """Added: each round's figure less the same round's direct call."""
        row = self.row("added time to first token, 1 stream, p50", "µs", "less")
        for _ in range(self.size.rounds):
            direct = None
            for server, is_keyed in [(server, False) for server in servers] + [(keyed, True)]:
                self.note(f"time to first token: {server.name}")
                result = self.load(server, "stream", clients=1, model="mock,events=1", warmup=0.2,
                                   duration=self.size.single_seconds, **({"keyed": True} if is_keyed else {}))
                if not result:
                    continue
                if direct is None:
                    direct = result["first_token_us"]["p50"]
                else:
                    name = server.name + (" keyed" if is_keyed else "")
                    row.add(name, result["first_token_us"]["p50"] - direct)

    def saturation(self, servers):
        """Offered far more than a core can pass on; and as fast as the mock can write."""
        size = self.size
        kinds = ((f"offered {size.offered_clients} streams × 50 events/s: delivered",
                  {"clients": size.offered_clients, "model": f"mock,events={size.paced_events},rate=50",
                   "warmup": size.paced_warmup, "duration": size.paced_seconds}),
                 ("64 streams as fast as the mock writes: delivered",
                  {"clients": 64, "model": "mock,events=500", "warmup": 0.5, "duration": size.full_seconds}))
        for title, options in kinds:
            row, share = self.row(title, "events/s", "more"), self.row("… share of the server's core", "%", "")
            cpu = self.row("… CPU per event", "µs", "less")
            for _ in range(size.rounds):
                for server in servers:
                    self.note(f"saturation: {server.name}")
                    result = self.load(server, "stream", tick_us=1000, **options)
                    if result:
                        row.add(server.name, result["events_per_s"])
                        share.add(server.name, result["server_cpu_share"] * 100)
                        cpu.add(server.name, result["server_cpu_us_per_event"])

    def replay(self, tokenlog, nginx):
        """Recorded once for all rounds: the static files are the same bytes, as many files as streams."""
        model = "mock,events=2000,burst=50"
        rows = (self.row("replay of 2,000-event streams", "MB/s", "more"),
                self.row("… events/s", "1/s", "more"),
                self.row("… CPU per event", "µs", "less"),
                self.row("… time to first event, 1 client, p50", "µs", "less"))
        kinds = [("sse", {"format": "sse"}), ("raw", {"format": "raw"})]
        targets = [(tokenlog, f"{tokenlog.name} {kind}", {"streams": self.size.replay_streams, **options})
                   for kind, options in kinds]
        if nginx:
            self.save_static(tokenlog, model)
            targets.append((nginx, "nginx static files", {"path": "/static/stream.txt"}))
        for _ in range(self.size.rounds):
            for server, name, options in targets:
                self.note(f"replay: {name}")
                many = self.load(server, "replay", clients=32, model=model, tick_us=1000, warmup=0.3, settle=0.5,
                                 duration=self.size.full_seconds, **options)
                one = self.load(server, "replay", clients=1, model=model, warmup=0.2, settle=0.5,
                                duration=self.size.single_seconds / 2, **{**options, **(
                                    {"streams": 1} if "streams" in options else {})})
                if many and one:
                    for row, figure in zip(rows, (many["mb_per_s"], many["events_per_s"],
                                                  many["server_cpu_us_per_event"], one["first_replayed_us"]["p50"])):
                        row.add(name, figure)

    def save_static(self, tokenlog, model):
        body = json.dumps({"model": model, "stream": True, "messages": []}).encode()
        with urllib.request.urlopen(tokenlog.url + "/v1/chat/completions", body, timeout=30) as reply:
            stream = reply.read()
        for number in range(self.size.replay_streams):
            with open(os.path.join(self.house.folder, f"static/{number}.txt"), "wb") as file:
                file.write(stream)

    def follow(self, tokenlog):
        """At a rate that a core can also pass on from as many streams of their own."""
        readers = self.size.readers
        row = self.row(f"CPU per delivered event, {readers} readers × 10 events/s", "µs", "less")
        for _ in range(self.size.rounds):
            for name, mode, clients, events in (("1 stream", "follow", readers + 1, 1000),
                                                (f"{readers} streams", "stream", readers, 20)):
                self.note(f"followers: {name}")
                result = self.load(tokenlog, mode, clients=clients, model=f"mock,events={events},rate=10", tick_us=1000,
                                   warmup=2, duration=self.size.full_seconds)
                if result:
                    row.add(name, result["server_cpu_us_per_event"])

    def memory(self, start):
        """On fresh servers: memory that was freed by an earlier row would hide what is taken."""
        held, attached = self.size.held, self.size.readers_attached
        streams = self.row(f"memory per open stream, {held} open", "KiB", "less")
        readers = self.row(f"memory per idle attached reader, {attached} attached", "KiB", "less")
        for mode, row, clients in (("stream", streams, held), ("idle", readers, attached)):
            for make in start:
                server = make()
                self.note(f"memory: {server.name}")
                if mode == "stream" or server.name.startswith("tokenlog"):
                    self.load(server, "stream", clients=4, model="mock,events=5", warmup=0.1, duration=0.2)
                    result = self.load(server, mode, clients=clients, model="mock,events=20,rate=0.1",
                                       ramp=clients / 1000, warmup=clients / 1000 + 2, duration=0.5)
                    if result and result["attached"] < clients:
                        self.errors.append(f'{server.name}: only {result["attached"]} of {clients} were held')
                    elif result:
                        grown = result["resident_after_bytes"] - result["resident_before_bytes"]
                        row.add(server.name, grown / clients / 1024)
                self.house.end(server)

    def start(self, mock):
        """The first start makes the journal's segments; the binary is measured without its symbols."""
        start = self.row("start to listening", "ms", "less")
        idle = self.row("memory when idle", "MiB", "less")
        binary = self.row("binary, stripped", "KiB", "less")
        for number in range(self.size.rounds):
            for kind in ("new folder", "existing folder"):
                server = self.house.tokenlog("tokenlog", mock, data=f"start-{number}")
                start.add(kind, server.start_ms)
                if kind == "existing folder":
                    idle.add(server.name, server.resident_bytes() / 1024 / 1024)
                self.house.end(server)
        stripped = os.path.join(self.house.folder, "stripped")
        subprocess.run(["strip", "-o", stripped, os.path.join(self.house.build, "tokenlog")], check=True)
        binary.add("tokenlog", os.path.getsize(stripped) / 1024)

    def journal(self):
        """The storage engine's journal alone, against a plain append + fdatasync."""
        load = "1,000 streams × 50 events/s × 300 B"
        rows = {"cpu": self.row(f"journal: CPU per event, {load}", "µs", "less"),
                "p50": self.row("… due → durable p50", "ms", "less"),
                "p99": self.row("… due → durable p99", "ms", "less"),
                "commit": self.row("… commit p50", "ms", "less"),
                "commit99": self.row("… commit p99", "ms", "less"),
                "bytes": self.row("… bytes written per payload byte", "×", "less")}
        full = self.row("journal: events/s, unpaced", "1/s", "more")
        for _ in range(self.size.journal_rounds):
            for backend in ("ring", "plain", "append", "over"):
                self.note(f"journal: {backend}")
                paced, unpaced = self.storage(backend, 50), self.storage(backend, 0)
                if paced and unpaced:
                    full.add(backend, unpaced["events_per_s"])
                    for name, figure in (("cpu", paced["cpu_us_per_event"]),
                                         ("p50", paced["latency_us"]["p50"] / 1000),
                                         ("p99", paced["latency_us"]["p99"] / 1000),
                                         ("commit", paced["commit_us"]["p50"] / 1000),
                                         ("commit99", paced["commit_us"]["p99"] / 1000),
                                         ("bytes", paced["bytes_per_payload_byte"])):
                        rows[name].add(backend, figure)

    def engine(self):
        """All of the storage: archiver busy, one event by itself, finished streams read, recovery."""
        load = "1,000 streams × 50 events/s × 300 B"
        cpu = self.row(f"storage: CPU per event, {load}", "µs", "less")
        written = self.row("… bytes written per payload byte", "×", "less")
        slower = self.row("… commit p99, by the journal's alone", "×", "less")
        many = self.row("storage: ack p99, 10,000 streams × 50 events/s × 100 B", "ms", "less")
        held = self.row("… events/s", "1/s", "more")
        lone = self.row("storage: a lone event's commit p50, by a bare durable write of 4 KiB", "×", "less")
        for _ in range(self.size.journal_rounds):
            self.note("storage")
            alone, whole = self.storage("ring", 50, 3), self.storage("whole", 50, 5)
            crowd = self.storage("whole", 50, 4, "--streams", "10000", "--payload", "100")
            single = self.storage("lone", 0, 2)
            if alone and whole and crowd and single:
                cpu.add("journal", alone["cpu_us_per_event"])
                cpu.add("journal and archiver", whole["cpu_us_per_event"])
                written.add("journal and archiver", whole["own_bytes_per_payload_byte"])
                slower.add("journal and archiver", whole["commit_us"]["p99"] / alone["commit_us"]["p99"])
                many.add("journal and archiver", crowd["latency_us"]["p99"] / 1000)
                held.add("journal and archiver", crowd["events_per_s"])
                for path in ("ring", "plain"):
                    lone.add(path, single[path + "_us"]["p50"] / single["bare_us"]["p50"])
        self.store()

    def store(self):
        self.note("storage: read, recover")
        read, recover = self.storage("read", 0), self.storage("recover", 0)
        if not read or not recover:
            return
        self.row("storage: finished streams read, warm", "GB/s", "more").add("store", read["warm_gb_per_s"])
        self.row("… one of 2,000 events, cold", "device reads", "less").add("store", read["cold_device_reads"])
        scan = self.row("storage: recovery's scan, by reading the same files", "×", "more")
        ready = self.row("… ready, 256 MiB unabsorbed", "ms", "less")
        for figures in recover["rounds"]:
            scan.add("journal", figures["scan_mb_per_s"] / figures["read_mb_per_s"])
            ready.add("journal", figures["ready_ms"])

    def sockets(self):
        """An event's send and receive alone, by io_uring and by plain calls."""
        for count in (1, 100):
            self.note(f"sockets: {count}")
            command = [os.path.join(self.house.build, "tools/bench/tokenlog_socket_bench"), "-n", str(count)]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True,
                                  preexec_fn=lambda: os.sched_setaffinity(0, {self.house.server_core}))
            if done.returncode != 0:
                self.errors.append(f"sockets: {done.stderr.strip()}")
                return
            result = json.loads(done.stdout)
            self.raw.append({"server": "sockets", "mode": "sockets", "options": {"count": count}, "result": result})
            row = self.row(f"CPU of a 300-byte event, {count} socket{'s' if count > 1 else ''} a turn", "µs", "less")
            for way, figures in result.items():
                row.add(way, figures["ns"] / 1000)

    def storage(self, backend, rate, seconds=1, *options):
        command = [os.path.join(self.house.build, "tools/bench/tokenlog_storage_bench"), backend, "--data",
                   self.house.folder, "--rate", str(rate), "--seconds", str(seconds), *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, {self.house.server_core}))
        if done.returncode != 0:
            self.errors.append(f"journal: {backend}: {done.stderr.strip()}")
            return None
        result = json.loads(done.stdout)
        self.raw.append({"server": backend, "mode": "journal", "options": {"rate": rate}, "result": result})
        return result

    def reactors(self, mock):
        """The server has both cores, and shares one of them with the mock and the generator."""
        size = self.size
        if not self.house.has_reactors():
            return
        rate = f"{size.paced_clients} streams × 50 events/s, server on two cores"
        cpu = self.row(f"CPU per event, {rate}", "µs", "less")
        late = self.row("… lateness p99", "ms", "less")
        full = self.row(f"offered {size.offered_clients} streams × 50 events/s, server on two cores: delivered",
                        "events/s", "more")
        both = set(cores())
        kinds = (("1 reactor", "1", ()), ("2 reactors", "2", ()), ("2 reactors spread", "2", ("--core-busy-percent", "0")))
        servers = [self.house.tokenlog(f"tokenlog {name}", mock, "--reactors", count, "--lag-max-ms", "0", *flags,
                                        cores_used=both)
                   for name, count, flags in kinds]
        for _ in range(size.rounds):
            for server in servers:
                self.note(f"reactors: {server.name}")
                for clients, is_full in ((size.paced_clients, False), (size.offered_clients, True)):
                    result = self.load(server, "stream", clients=clients, tick_us=1000,
                                       model=f"mock,events={size.paced_events},rate=50", warmup=size.paced_warmup,
                                       duration=size.paced_seconds)
                    if result and is_full:
                        full.add(server.name, result["events_per_s"])
                    elif result:
                        cpu.add(server.name, result["server_cpu_us_per_event"])
                        late.add(server.name, result["lateness_us"]["p99"] / 1000)
        for server in servers:
            self.house.end(server)

    def commits(self, tokenlog):
        """From /metrics of the server that was measured above; the percentiles are of its buckets."""
        metrics = tokenlog.metrics()
        commits = metrics.get("tokenlog_journal_commits_total", 0)
        if not commits:
            return
        for percent in (50, 99):
            row = self.row(f"server's commits, all rows above, p{percent} at most", "ms", "less")
            row.add(tokenlog.name, 1000 * bucket_percentile(metrics, "tokenlog_commit_seconds", percent))
        self.row("… events per commit", "", "").add(
            tokenlog.name, metrics.get("tokenlog_events_total", 0) / commits)


def bucket_percentile(metrics, name, percent):
    prefix = name + '_bucket{le="'
    buckets = sorted((float(key[len(prefix):-2]), count) for key, count in metrics.items() if key.startswith(prefix))
    if not buckets:
        return 0
    wanted = buckets[-1][1] * percent / 100
    return next(edge for edge, count in buckets if count >= wanted)
