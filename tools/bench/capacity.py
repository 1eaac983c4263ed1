"""How much a server carries: the streams it holds at their pace, and what becomes of them when more is asked for."""

PACE_MS = 50  # a token that comes later than this against its schedule was not at its stream's pace
RATE = 50
FIRST, SLOW_FIRST = 200, 16  # streams a search begins with
TRIES = {True: 1, False: 2}  # by --quick; a moment in which the machine is not ours fails a run: what fails twice is not held
STREAMS_MAX = 8000  # no search goes further: the generator's core is full long before
FACTORS = {True: (0.5, 1, 2, 3), False: (0.5, 0.75, 1, 1.5, 2, 3)}  # by --quick


class Search:
    """The most streams that are held, by doubling and then halving the step; each step is a run of the generator, or
    two."""

    def __init__(self, bench, server, first):
        self.bench, self.server = bench, server
        self.first, self.halvings = first, 1 if bench.size.is_quick else 3

    def holds(self, streams):
        return any(self.holds_once(streams) for _ in range(TRIES[self.bench.size.is_quick]))

    def holds_once(self, streams):
        size = self.bench.size
        warmup, seconds = (1.2, 0.6) if size.is_quick else (1.5, 1.5)
        self.bench.note(f"streams held: {self.server.name}: {streams}")
        result = self.bench.load(self.server, "stream", clients=streams, tick_us=1000, ramp=1, warmup=warmup,
                                 duration=seconds, may_refuse=True,
                                 model=f"mock,events={int((warmup + seconds + 2) * RATE)},rate={RATE}")
        return bool(result) and not result["refused"] and result["attached"] == streams and (
            result["lateness_us"]["p99"] <= PACE_MS * 1000)

    def run(self):
        held, failed = 0, None
        streams = self.first
        while failed is None and streams <= STREAMS_MAX:
            if self.holds(streams):
                held, streams = streams, streams * 2
            else:
                failed = streams
        step = ((failed or held) - held) // 2
        for _ in range(self.halvings):
            if step < 4 or failed is None:
                break
            if self.holds(held + step):
                held += step
            step //= 2
        return held


def streams_held(bench, servers, slow):
    """{name: streams}. `slow` are those that begin with few."""
    row = bench.row(f"streams held at {RATE} events/s, p99 at most {PACE_MS} ms late", "streams", "more")
    found = {}
    for server in [*servers, *slow]:
        found[server.name] = Search(bench, server, SLOW_FIRST if server in slow else FIRST).run()
        row.add(server.name, found[server.name])
    return found


def overload(bench, server, capacity):
    """From half of what it holds to three times that. Each stream ends after two seconds and is followed by another, so
    that new ones are asked for all the time; whoever is refused asks again after a second."""
    names = {"accepted": ("streams going on at the end", "streams", ""),
             "refused": ("refused", "1/s", ""),
             "refusal": ("time to a refusal, p99", "ms", "less"),
             "pace": ("pace of the open streams, p99 behind their own first token", "ms", "less"),
             "late": ("lateness p99, from the request on", "ms", "less")}
    rows = {key: bench.row(f"overload of {server.name}, {capacity} streams being its capacity: {title}", unit, better)
            for key, (title, unit, better) in names.items()}
    warmup, seconds = (2, 1.5) if bench.size.is_quick else (3, 3)
    for factor in FACTORS[bench.size.is_quick]:
        bench.note(f"overload: {server.name}: {factor} ×")
        result = bench.load(server, "stream", clients=max(1, int(capacity * factor)), tick_us=1000, ramp=1.5,
                            warmup=warmup, duration=seconds, may_refuse=True, model=f"mock,events=100,rate={RATE}")
        if not result:
            continue
        label = f"{factor} ×"
        rows["accepted"].add(label, result["attached"])
        rows["refused"].add(label, result["refused"] / result["seconds"])
        rows["refusal"].add(label, result["refused_us"]["p99"] / 1000)
        rows["pace"].add(label, result["pace_us"]["p99"] / 1000)
        rows["late"].add(label, result["lateness_us"]["p99"] / 1000)
