"""Readers that drop and come back by a random contract, at random places, over a server that is killed:
whatever each has received is the recording, byte for byte.

    TOKENLOG_MODEL_S   how long new rounds begin; by default a few seconds
"""

import base64
import concurrent.futures
import hashlib
import json
import os
import random
import threading
import time
import uuid

import pytest

import programs
import wire

MODEL_S = float(os.environ.get("TOKENLOG_MODEL_S", 120 if programs.LONG else 5))
READERS = 8
EVENTS, RATE = 120, 100


class Stream:
    """One generation, and what is needed to come back to it by every contract."""

    def __init__(self, server, number, path, body):
        self.path, self.body, self.key = path, body, f"model-{number}-{uuid.uuid4()}"
        self.tokens = {0: "-1"}  # of Durable Streams: {events before it: offset}
        self.wire = server.wire()
        self.wire.ask("POST", path, body, {"Idempotency-Key": self.key})
        first = self.wire.read_events(1)
        self.id = self.wire.reader.header("tokenlog-stream-id")
        is_response = path == "/v1/responses"
        self.response = data_of(first[0])["response"]["id"] if is_response else None


def data_of(event):
    return json.loads(event.partition(b"data: ")[2])


# ---- the contracts: (how to ask for what comes after `place` events, how its body is read) ----


def numbered(body):
    return [event for _, event in wire.split_numbered(body)[0]]


def plain(body):
    return wire.split_events(body)[0]


def lines(body):
    records = [json.loads(line) for line in body.split(b"\n")[:-1]]
    return [base64.b64decode(one["base64"]) if "base64" in one else one["data"].encode()
            for one in records if "seq" in one]


def by_offset(stream, place):
    return place, f"/v1/streams/{stream.id}/events?from={place}", {}, numbered


def by_last_event_id(stream, place):
    return place, f"/v1/streams/{stream.id}/events", {"Last-Event-ID": place}, numbered


def by_join(stream, place):
    return place, f"/threads/any/runs/{stream.id}/stream", {"Last-Event-ID": place}, numbered


def by_raw(stream, place):
    return place, f"/v1/streams/{stream.id}/events?format=raw&from={place}", {}, plain


def by_lines(stream, place):
    return place, f"/v1/streams/{stream.id}/events?format=jsonl&from={place}", {}, lines


def by_key(stream, _):
    return 0, None, {"Idempotency-Key": stream.key}, plain


def by_sequence_number(stream, place):
    if not stream.response:
        return by_key(stream, place)
    after = f"&starting_after={place - 1}" if place else ""  # they are numbered from 0
    return place, f"/v1/responses/{stream.response}?stream=true{after}", {}, plain


def by_cloudflare(stream, place):
    one = uuid.UUID(stream.id).bytes
    run = one.hex() + hashlib.sha256(b"cf-aig-run-id" + one).digest()[:16].hex()
    return place, f"/ai-gateway/gateways/any/run/{run}/resume?from={place}", {}, plain


def by_durable_stream(stream, place):
    place = max(known for known in stream.tokens if known <= place)
    query = f"offset={stream.tokens[place]}"
    return place, f"/v1/stream/-/streams/{stream.id}?{query}", {}, plain


CONTRACTS = [by_offset, by_last_event_id, by_join, by_raw, by_lines, by_key, by_sequence_number,
             by_cloudflare, by_durable_stream]


def drop(one, chance):
    one.abort() if chance.random() < 0.5 else one.close()


def read_some(server, stream, place, wanted, chance):
    """One connection: (its contract, where it began, what it received)."""
    contract = chance.choice(CONTRACTS)
    start, path, headers, parse = contract(stream, place)
    one = server.wire()
    try:
        if path:
            one.ask("GET", path, headers=headers)
        else:
            one.ask("POST", stream.path, stream.body, headers)
        if one.head().status is None:
            raise ConnectionError("the server went before it answered")
        assert one.reader.status == 200, (contract, one.reader.status, bytes(one.reader.body))
        while len(parse(bytes(one.reader.body))) < wanted and one.pump():
            pass
        events = parse(bytes(one.reader.body))
        if contract is by_durable_stream and one.reader.end == "clean":
            stream.tokens[start + len(events)] = one.reader.header("stream-next-offset")
        return contract, start, events
    finally:
        drop(one, chance)


def live(server, stream, seed, is_over):
    """A reader's life: [(contract, start, events)], until it has all that there is."""
    chance, pieces, received = random.Random(seed), [], 0
    while True:
        was_over = is_over.is_set()
        place = received if chance.random() < 0.7 else chance.randint(0, received)
        try:
            contract, start, events = read_some(
                server, stream, place, chance.randint(1, 60), chance)
        except OSError:  # the server is away
            time.sleep(0.02)
            continue
        pieces.append((contract, start, events))
        received = max(received, start + len(events))
        if was_over and received >= server.row(stream.id)["events"]:
            return pieces


def begin(server, number, chance):
    name = f"mock,events={EVENTS},rate={RATE},id=model-{number}-{chance.random()}"
    path = chance.choice(["/v1/chat/completions", "/v1/responses", "/v1/responses"])
    provider = chance.choice(["chat", "native", "translated"])
    body = {"model": f"{provider}/{name}", "stream": True}
    if path == "/v1/responses":
        return Stream(server, number, path, body | {"input": "Hello?", "background": True})
    return Stream(server, number, path, programs.ask(f"{provider}/{name}"))


def play(server, number, chance, pool):
    """A round: some streams, some readers of each, perhaps a death; then the truth. The contracts used."""
    used = set()
    streams = [begin(server, f"{number}.{index}", chance) for index in range(3)]
    is_over = threading.Event()
    lives = [(stream, pool.submit(live, server, stream, chance.random(), is_over))
             for stream in (streams * READERS)[:READERS]]
    for stream in streams:
        stream.wire.read_events(chance.randint(1, EVENTS))
    if chance.random() < 0.7:
        server.kill()
        server.start()
    for stream in streams:
        stream.wire.close()
        server.row_when(stream.id, "completed", "interrupted")
    is_over.set()
    for stream, one in lives:
        truth = wire.split_events(server.raw(stream.id))[0]
        for contract, start, events in one.result(300):
            used.add(contract)
            assert events == truth[start : start + len(events)], (contract, stream.id, start)
    for stream in streams:
        received = bytes(stream.wire.reader.body)
        assert server.raw(stream.id).startswith(received)
        assert len(server.rows(f"?idempotency_key={stream.key}")) == 1
    return used


@pytest.fixture
def gateway(serve, mock, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {mock.url}\n    dialect: {dialect}\n"
        for name, dialect in (("chat", "openai_chat"), ("native", "openai_responses"),
                              ("translated", "anthropic"))))
    return serve("--config", str(path), provider=None)


def test_every_way_back_leads_to_the_recording(gateway):
    chance = programs.random_of("the model of resume")
    end = time.monotonic() + MODEL_S
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        number, used = 0, set()
        while number == 0 or time.monotonic() < end:
            number += 1
            used |= play(gateway, number, chance, pool)
    print(f"{number} rounds, {len(used)} contracts")
