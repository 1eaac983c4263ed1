"""What is added to the time to first token by a route, a translation, a target that is down, one that refuses.

Each call has a route and a first target of its own: a breaker, which counts by target, would spare the later ones what
is measured. Calls of all kinds take turns, one at a time, and stand for themselves less those of the same round that
ask the provider directly.
"""

import http.client
import json
import statistics
import time
import urllib.parse

from servers import free_port

CALLS = 40  # of each kind, in a round
GOOD = "mock,events=1"

PROVIDERS = """
providers:
  - {{name: mock, base_url: "{url}"}}
  - {{name: other, base_url: "{url}", dialect: anthropic}}
  - {{name: down, base_url: "http://127.0.0.1:{closed_port}"}}
routes:
"""
ROUTE = '  - {{model: "{model}", retries: 1, targets: ["{first}", "mock/mock,events=1"]}}\n'

# What the n-th call asks for, and its route's first target; none: there is no route.
KINDS = {
    "passed on": ("mock/mock,events=1", None),
    "by a route": ("good-{n}", "mock/mock,events=1,id={n}"),
    "translated from Anthropic's": ("other/mock,events=1", None),
    "after a target that is down": ("down-{n}", "down/m{n}"),
    "after a target's 500": ("fail-{n}", "mock/mock,status=500,id={n}"),
}


def routes(number):
    text = ""
    for model, first in KINDS.values():
        if first:
            text += "".join(ROUTE.format(model=model.format(n=n), first=first.format(n=n)) for n in number)
    return text


def first_token_us(connection, model):
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello?"}]})
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    reply.read(1)
    took = (time.perf_counter() - began) * 1e6
    rest = reply.read()
    if reply.status != 200 or b"t0" not in rest:
        raise RuntimeError(f"{model}: {reply.status} {rest[:200]!r}")
    return took


def routing(bench, mock, flags):
    row = bench.row("added time to first token, by kind of call, p50", "µs", "less")
    house, rounds = bench.house, bench.size.rounds
    config = PROVIDERS.format(url=mock.url, closed_port=free_port()) + routes(range(rounds * CALLS))
    server = house.tokenlog("tokenlog routing", None, "--config", house.write("routing.yaml", config), *flags)
    connection, direct = (http.client.HTTPConnection(urllib.parse.urlsplit(one.url).netloc) for one in (server, mock))
    first_token_us(connection, KINDS["passed on"][0])  # the pool's first connection is not measured
    for number in range(rounds):
        bench.note("routing")
        straight, times = [], {kind: [] for kind in KINDS}
        for n in range(number * CALLS, (number + 1) * CALLS):
            straight.append(first_token_us(direct, GOOD))
            for kind, (model, _) in KINDS.items():
                times[kind].append(first_token_us(connection, model.format(n=n)))
        for kind, found in times.items():
            row.add(kind, statistics.median(found) - statistics.median(straight))
    connection.close()
    direct.close()
    house.end(server)
