"""A checkpoint saver of LangGraph: a thread is a run, and all that a graph saves are checkpoints of it.

    graph = workflow.compile(checkpointer=TokenlogSaver("http://127.0.0.1:8080"))

    c/{ns}/{id}           a checkpoint: its metadata, its parent, all of it but the channels' values
    v/{ns}/{value}        a channel's value in one version, shared by all checkpoints that have it
    w/{ns}/{id}/{task}    what one task wrote behind the checkpoint: pending writes

{ns}, {value}, {task} are digests of the namespace, of channel and version, of the task's ID. Each is put at
once or not at all; values go before the checkpoint that has them, so that one that is seen is whole.
"""

import hashlib
import json
import random
import urllib.parse
from typing import NamedTuple

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)

from tokenlog_sdk.calls import Call, Client

PAGE = 500  # the server's largest, of runs
PUT_TRIES = 20  # of one task's writes: it is alone with them, but for its own repeats
NONE_YET = {"If-None-Match": "*"}


def _escape(name):
    return urllib.parse.quote(str(name), safe="!*'()")


def _digest(*parts):
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _checkpoint_name(ns, checkpoint_id):
    return f"c/{_digest(ns)}/{_escape(checkpoint_id)}"


def _range(ns, before_id):
    """(prefix, before) of the names of a namespace's checkpoints, or of all."""
    if ns is None:
        return "c/", None
    return _checkpoint_name(ns, ""), _checkpoint_name(ns, before_id) if before_id else None


def _value_name(ns, channel, version):
    return f"v/{_digest(ns)}/{_digest(channel, version)}"


def _writes_prefix(ns, checkpoint_id):
    return f"w/{_digest(ns)}/{_escape(checkpoint_id)}/"


def _pack(head, parts):
    """A line of JSON, and behind it the bytes of its parts: (type, bytes), as serializers make them."""
    sizes = [(kind, len(data)) for kind, data in parts]
    return b"".join([json.dumps({**head, "parts": sizes}).encode(), b"\n",
                     *(data for _, data in parts)])


def _unpack(data):
    at = data.index(b"\n") + 1
    head, parts = json.loads(data[:at]), []
    for kind, size in head["parts"]:
        parts.append((kind, data[at : at + size]))
        at += size
    return head, parts


class _Saved(NamedTuple):
    head: dict
    parts: list
    etag: str


def _saved(reply):
    return _Saved(*_unpack(reply.body), reply.headers["etag"]) if reply.ok else None


def _merge(known, made):
    """A task's writes are numbered; the first of a number stays, but errors, interrupts and the like (below
    0) are those that came last."""
    every = dict(known)
    for index, write in made:
        if index < 0 or index not in known:
            every[index] = write
    return every


class TokenlogSaver(BaseCheckpointSaver[str]):
    """
    url      of the server
    api_key  of a project, where the server asks for one; by default $TOKENLOG_API_KEY
    headers  more of them
    prefix   of the runs' names; without one a thread's run has the thread's ID for its name
    serde    other than LangGraph's own serializer
    """

    def __init__(self, url, *, api_key=None, headers=None, prefix="", serde=None):
        super().__init__(serde=serde)
        self.prefix = prefix
        self.client = Client(url, api_key, headers)

    def run_of(self, thread_id):
        """The run that a thread is: what to send as Tokenlog-Run with its inference calls."""
        return _escape(f"{self.prefix}{thread_id}")

    def get_next_version(self, current, channel=None):
        """Versions of two branches of one thread are never the same."""
        count = int(str(current or 0).partition(".")[0]) + 1
        return f"{count:016}.{random.randrange(10**17):017}"

    # ── LangGraph's interface, each call twice ───────────────────────────────────────────────────

    def get_tuple(self, config):
        return self.client.run(self._get_tuple(config))

    async def aget_tuple(self, config):
        return await self.client.arun(self._get_tuple(config))

    def list(self, config, *, filter=None, before=None, limit=None):
        listing, reply = self._list(config, filter, before, limit), None
        while (step := _next(listing, reply)) is not None:
            reply = None
            if isinstance(step, CheckpointTuple):
                yield step
            else:
                reply = self.client.make(step)

    async def alist(self, config, *, filter=None, before=None, limit=None):
        listing, reply = self._list(config, filter, before, limit), None
        while (step := _next(listing, reply)) is not None:
            reply = None
            if isinstance(step, CheckpointTuple):
                yield step
            else:
                reply = await self.client.amake(step)

    def put(self, config, checkpoint, metadata, new_versions):
        return self.client.run(self._put(config, checkpoint, metadata, new_versions))

    async def aput(self, config, checkpoint, metadata, new_versions):
        return await self.client.arun(self._put(config, checkpoint, metadata, new_versions))

    def put_writes(self, config, writes, task_id, task_path=""):
        return self.client.run(self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(self, config, writes, task_id, task_path=""):
        return await self.client.arun(self._put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id):
        self.client.run(self._delete_thread(thread_id))

    async def adelete_thread(self, thread_id):
        await self.client.arun(self._delete_thread(thread_id))

    def copy_thread(self, source_thread_id, target_thread_id):
        self.client.run(self._copy_thread(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id, target_thread_id):
        await self.client.arun(self._copy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids, *, strategy="keep_latest"):
        self.client.run(self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids, *, strategy="keep_latest"):
        await self.client.arun(self._prune(thread_ids, strategy))

    def delete_for_runs(self, run_ids):
        self.client.run(self._delete_for_runs(run_ids))

    async def adelete_for_runs(self, run_ids):
        await self.client.arun(self._delete_for_runs(run_ids))

    # ── what is asked ────────────────────────────────────────────────────────────────────────────

    def _put(self, config, checkpoint, metadata, new_versions):
        thread_id = config["configurable"]["thread_id"]
        ns = config["configurable"].get("checkpoint_ns", "")
        values = checkpoint["channel_values"]
        yield [
            self._put_call(thread_id, _value_name(ns, channel, version),
                           _pack({"channel": channel, "version": version},
                                 [self.serde.dumps_typed(values[channel])]))
            for channel, version in new_versions.items() if channel in values
        ]
        head = {"ns": ns, "parent": get_checkpoint_id(config), "channels": [*values]}
        yield self._put_call(thread_id, _checkpoint_name(ns, checkpoint["id"]), _pack(head, [
            self.serde.dumps_typed({**checkpoint, "channel_values": {}}),
            self.serde.dumps_typed(get_checkpoint_metadata(config, metadata)),
        ]))
        return _config(thread_id, ns, checkpoint["id"])

    def _put_writes(self, config, writes, task_id, task_path):
        thread_id = config["configurable"]["thread_id"]
        name = _writes_prefix(config["configurable"].get("checkpoint_ns", ""),
                              config["configurable"]["checkpoint_id"]) + _digest(task_id)
        made = [(WRITES_IDX_MAP.get(channel, index), (channel, self.serde.dumps_typed(value)))
                for index, (channel, value) in enumerate(writes)]
        known, condition = {}, NONE_YET
        for _ in range(PUT_TRIES):
            every = _merge(known, made)
            head = {"task": task_id, "path": task_path,
                    "writes": [(index, channel) for index, (channel, _) in every.items()]}
            body = _pack(head, [part for _, part in every.values()])
            if (yield self._put_call(thread_id, name, body, condition, (412,))).ok:
                return
            saved = _saved((yield self._get_call(thread_id, name)))
            condition = {"If-Match": saved.etag} if saved else NONE_YET
            known = {index: (channel, part) for (index, channel), part in zip(
                saved.head["writes"], saved.parts)} if saved else {}
        raise RuntimeError("put_writes: others keep writing what this task writes")

    def _get_tuple(self, config):
        thread_id = config["configurable"]["thread_id"]
        ns = config["configurable"].get("checkpoint_ns", "")
        if checkpoint_id := get_checkpoint_id(config):
            name = _checkpoint_name(ns, checkpoint_id)
        else:  # the newest has the greatest ID: LangGraph's grow with time
            names, _ = yield from self._page(thread_id, _checkpoint_name(ns, ""), limit=1)
            name = names[0] if names else None
        saved = _saved((yield self._get_call(thread_id, name))) if name else None
        return (yield from self._tuple(thread_id, saved)) if saved else None

    def _list(self, config, filter, before, limit):
        """Yields CheckpointTuples among its Calls."""
        wanted = config["configurable"] if config else {}
        before_id = get_checkpoint_id(before) if before else None
        left = float("inf") if limit is None else limit
        threads = [wanted["thread_id"]] if "thread_id" in wanted else (yield from self._threads())
        for thread_id in threads:
            prefix, at = _range(wanted.get("checkpoint_ns"), before_id)
            while prefix and left > 0:
                names, at = yield from self._page(thread_id, prefix, at)
                for name in names:
                    if left <= 0:
                        return
                    saved = yield from self._listed(thread_id, name, wanted, before_id, filter)
                    if saved:
                        left -= 1
                        yield (yield from self._tuple(thread_id, saved))
                prefix = prefix if at else None

    def _listed(self, thread_id, name, wanted, before_id, filter):
        """What is saved by this name, if it was asked for and is still there."""
        checkpoint_id = urllib.parse.unquote(name.rpartition("/")[2])
        if wanted.get("checkpoint_id") not in (None, checkpoint_id):
            return None
        if before_id and checkpoint_id >= before_id:
            return None
        saved = _saved((yield self._get_call(thread_id, name)))
        metadata = saved and self.serde.loads_typed(saved.parts[1])
        is_wanted = saved and all(
            metadata.get(key) == value for key, value in (filter or {}).items())
        return saved if is_wanted else None

    def _delete_thread(self, thread_id):
        yield Call("DELETE", self._path(thread_id), expected=(404,))

    def _copy_thread(self, source_id, target_id):
        for kind in ("v/", "w/", "c/"):
            for name in (yield from self._names(source_id, kind)):
                reply = yield self._get_call(source_id, name)
                if reply.ok:
                    yield self._put_call(target_id, name, reply.body)

    def _prune(self, thread_ids, strategy):
        for thread_id in thread_ids:
            if strategy == "delete":
                yield from self._delete_thread(thread_id)
            elif strategy == "keep_latest":
                yield from self._keep(thread_id, _latest((yield from self._saved_of(thread_id))))
            else:
                raise ValueError(f"prune: no such strategy: {strategy!r}")

    def _delete_for_runs(self, run_ids):
        gone = set(run_ids)
        for thread_id in (yield from self._threads()) if gone else []:
            every = yield from self._saved_of(thread_id)
            kept = [one for one in every if one.metadata.get("run_id") not in gone]
            if len(kept) < len(every):
                yield from self._keep(thread_id, kept)

    # ── what is kept ─────────────────────────────────────────────────────────────────────────────

    def _path(self, thread_id, *more):
        return "/v1/runs/" + "/".join(map(_escape, (self.run_of(thread_id), *more)))

    def _put_call(self, thread_id, name, body, headers=None, expected=()):
        return Call("PUT", self._path(thread_id, "checkpoints", name), body, headers or {}, expected)

    def _get_call(self, thread_id, name):
        return Call("GET", self._path(thread_id, "checkpoints", name), expected=(404,))

    def _page(self, thread_id, prefix, before=None, limit=PAGE):
        """Names of checkpoints, the greatest first, and where the next page begins."""
        query = {"order": "name", "prefix": prefix, "limit": limit,
                 **({"before": before} if before else {})}
        path = f"{self._path(thread_id, 'checkpoints')}?{urllib.parse.urlencode(query)}"
        reply = yield Call("GET", path, expected=(404,))
        page = json.loads(reply.body) if reply.ok else {"data": [], "next": None}
        return [one["name"] for one in page["data"]], page["next"]

    def _names(self, thread_id, prefix, before=None):
        every = []
        while True:
            names, before = yield from self._page(thread_id, prefix, before)
            every += names
            if before is None:
                return every

    def _threads(self):
        threads, before = [], None
        while True:
            query = {"limit": PAGE, **({"before": before} if before else {})}
            reply = yield Call("GET", f"/v1/runs?{urllib.parse.urlencode(query)}")
            page = json.loads(reply.body)
            for row in page["data"]:
                name = urllib.parse.unquote(row["name"])
                if name.startswith(self.prefix) and _escape(name) == row["name"]:
                    threads.append(name[len(self.prefix) :])
            before = page["next"]
            if before is None:
                return threads

    def _tuple(self, thread_id, saved):
        head = saved.head
        checkpoint, metadata = map(self.serde.loads_typed, saved.parts)
        checkpoint["channel_values"] = yield from self._values(thread_id, head, checkpoint)
        parent = head["parent"]
        return CheckpointTuple(
            config=_config(thread_id, head["ns"], checkpoint["id"]),
            checkpoint=checkpoint,
            metadata=metadata,
            parent_config=_config(thread_id, head["ns"], parent) if parent else None,
            pending_writes=(yield from self._writes(thread_id, head["ns"], checkpoint["id"])),
        )

    def _values(self, thread_id, head, checkpoint):
        replies = yield [self._get_call(thread_id, name) for name in _value_names(head, checkpoint)]
        values = [saved for saved in map(_saved, replies) if saved]
        return {saved.head["channel"]: self.serde.loads_typed(saved.parts[0]) for saved in values}

    def _writes(self, thread_id, ns, checkpoint_id):
        """In the order in which LangGraph applies them."""
        names = yield from self._names(thread_id, _writes_prefix(ns, checkpoint_id))
        replies = yield [self._get_call(thread_id, name) for name in names]
        writes = []
        for head, parts, _ in filter(None, map(_saved, replies)):
            for (index, channel), part in zip(head["writes"], parts):
                key = writes_sort_key(head["path"], head["task"], index)
                writes.append((key, (head["task"], channel, self.serde.loads_typed(part))))
        return [write for _, write in sorted(writes, key=lambda one: one[0])]

    # ── cleaning up ──────────────────────────────────────────────────────────────────────────────

    def _saved_of(self, thread_id):
        """All checkpoints of a thread, the newest of a namespace before its others."""
        names = yield from self._names(thread_id, "c/")
        replies = yield [self._get_call(thread_id, name) for name in names]
        return [_Known(saved.head, *map(self.serde.loads_typed, saved.parts))
                for saved in map(_saved, replies) if saved]

    def _keep(self, thread_id, kept):
        """Deletes all checkpoints but these, and the values and writes that no other one has."""
        wanted, prefixes = set(), set()
        for head, checkpoint, _ in kept:
            wanted.add(_checkpoint_name(head["ns"], checkpoint["id"]))
            wanted.update(_value_names(head, checkpoint))
            prefixes.add(_writes_prefix(head["ns"], checkpoint["id"]))
        for kind in ("c/", "w/", "v/"):
            names = yield from self._names(thread_id, kind)
            yield [
                Call("DELETE", self._path(thread_id, "checkpoints", name), expected=(404,))
                for name in names
                if name not in wanted and name.rpartition("/")[0] + "/" not in prefixes
            ]


class _Known(NamedTuple):
    head: dict
    checkpoint: dict
    metadata: dict


def _latest(every):
    """The newest of each namespace; and where channels are kept as deltas (counters_since_delta_snapshot),
    its ancestors back to one that has their values."""
    by_id = {(one.head["ns"], one.checkpoint["id"]): one for one in every}
    newest = {}
    for one in every:
        newest.setdefault(one.head["ns"], one)
    kept = []
    for one in newest.values():
        deltas = set(one.metadata.get("counters_since_delta_snapshot") or {})
        while one:
            kept.append(one)
            deltas -= set(one.head["channels"])
            one = by_id.get((one.head["ns"], one.head["parent"])) if deltas else None
    return kept


def _value_names(head, checkpoint):
    versions = checkpoint["channel_versions"]
    return [_value_name(head["ns"], channel, versions[channel])
            for channel in head["channels"] if channel in versions]


def _config(thread_id, ns, checkpoint_id):
    return {"configurable": {
        "thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}


def _next(asking, reply):
    try:
        return asking.send(reply)
    except StopIteration:
        return None
