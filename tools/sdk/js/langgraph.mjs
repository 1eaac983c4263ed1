// A checkpoint saver of LangGraph: a thread is a run, and all that a graph saves are checkpoints of it.
//
//   const graph = workflow.compile({ checkpointer: new TokenlogSaver({ url: 'http://127.0.0.1:8080' }) });
//
//   c/{ns}/{id}           a checkpoint: its metadata, its parent, all of it but the channels' values
//   v/{ns}/{value}        a channel's value in one version, shared by all checkpoints that have it
//   w/{ns}/{id}/{task}    what one task wrote behind the checkpoint: pending writes
//
// {ns}, {value}, {task} are digests of the namespace, of channel and version, of the task's ID. Each is
// put at once or not at all; values go before the checkpoint that has them, so that one that is seen is whole.
import { createHash } from 'node:crypto';

import {
  BaseCheckpointSaver, TASKS, WRITES_IDX_MAP, compareWritesSortKeys, getCheckpointId, maxChannelVersion,
  writesSortKey,
} from '@langchain/langgraph-checkpoint';

import { caller } from './http.mjs';

const PAGE = 500; // the server's largest, of runs
const PUT_TRIES = 20; // of one task's writes: it is alone with them, but for its own repeats

const digest = (...parts) =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
const escape = (name) => encodeURIComponent(name);
const checkpointName = (ns, id) => `c/${digest(ns)}/${escape(id)}`;
const valueName = (ns, channel, version) => `v/${digest(ns)}/${digest(channel, version)}`;
const writesPrefix = (ns, id) => `w/${digest(ns)}/${escape(id)}/`;

/** A line of JSON, and behind it the bytes of its parts: [type, bytes], as serializers make them. */
function pack(head, parts) {
  const sizes = parts.map(([type, bytes]) => [type, bytes.length]);
  const line = Buffer.from(`${JSON.stringify({ ...head, parts: sizes })}\n`);
  return Buffer.concat([line, ...parts.map(([, bytes]) => bytes)]);
}

function unpack(bytes) {
  let at = bytes.indexOf(10) + 1;
  const head = JSON.parse(bytes.subarray(0, at).toString());
  const parts = head.parts.map(([type, size]) => [type, bytes.subarray(at, (at += size))]);
  return { head, parts };
}

function required(config, name, of) {
  const value = config.configurable?.[name];
  if (value === undefined || value === '')
    throw new Error(`${of}: the config's "configurable" lacks "${name}"`);
  return value;
}

export class TokenlogSaver extends BaseCheckpointSaver {
  /**
   * @param options.url      of the server
   * @param options.apiKey   of a project, where the server asks for one; by default $TOKENLOG_API_KEY
   * @param options.headers  more of them
   * @param options.prefix   of the runs' names; without one a thread's run has the thread's ID for its name
   * @param options.serde    other than LangGraph's own serializer
   */
  constructor({ prefix = '', serde, ...server }) {
    super(serde);
    this.prefix = prefix;
    this.call = caller(server);
  }

  /** The run that a thread is: what to send as Tokenlog-Run with its inference calls. */
  runOf(threadId) {
    return escape(`${this.prefix}${threadId}`);
  }

  /** Versions of two branches of one thread are never the same. */
  getNextVersion(current) {
    const count = (typeof current === 'string' ? parseInt(current, 10) : current ?? 0) + 1;
    return `${String(count).padStart(16, '0')}.${Math.random().toString().slice(2).padEnd(17, '0')}`;
  }

  // ── LangGraph's interface ──────────────────────────────────────────────────────────────────────

  async put(config, checkpoint, metadata, newVersions) {
    const thread_id = required(config, 'thread_id', 'put');
    const checkpoint_ns = config.configurable.checkpoint_ns ?? '';
    const values = checkpoint.channel_values ?? {};
    await Promise.all(Object.entries(newVersions ?? {})
      .filter(([channel]) => Object.hasOwn(values, channel))
      .map(async ([channel, version]) => this.#put(
        thread_id, valueName(checkpoint_ns, channel, version),
        pack({ channel, version }, [await this.serde.dumpsTyped(values[channel])]))));
    const head = {
      ns: checkpoint_ns,
      parent: config.configurable.checkpoint_id,
      channels: Object.keys(values),
    };
    await this.#put(thread_id, checkpointName(checkpoint_ns, checkpoint.id), pack(head, [
      await this.serde.dumpsTyped({ ...checkpoint, channel_values: {} }),
      await this.serde.dumpsTyped(metadata),
    ]));
    return { configurable: { thread_id, checkpoint_ns, checkpoint_id: checkpoint.id } };
  }

  async putWrites(config, writes, taskId, taskPath = '') {
    const thread_id = required(config, 'thread_id', 'putWrites');
    const checkpoint_id = required(config, 'checkpoint_id', 'putWrites');
    const name = writesPrefix(config.configurable.checkpoint_ns ?? '', checkpoint_id) + digest(taskId);
    const made = await Promise.all(writes.map(async ([channel, value], index) => ({
      index: WRITES_IDX_MAP[channel] ?? index,
      channel,
      part: await this.serde.dumpsTyped(value),
    })));
    let known = { writes: [], condition: { 'If-None-Match': '*' } };
    for (let tries = 0; tries < PUT_TRIES; tries += 1) {
      const all = merge(known.writes, made);
      const head = { task: taskId, path: taskPath, writes: all.map((one) => [one.index, one.channel]) };
      const body = pack(head, all.map((one) => one.part));
      if ((await this.#put(thread_id, name, body, known.condition, [412])).ok) return;
      known = await this.#knownWrites(thread_id, name);
    }
    throw new Error('putWrites: others keep writing what this task writes');
  }

  async getTuple(config) {
    const thread_id = config.configurable?.thread_id;
    if (thread_id === undefined) return undefined;
    const ns = config.configurable.checkpoint_ns ?? '';
    const id = getCheckpointId(config);
    const name = id ? checkpointName(ns, id) : (await this.#newest(thread_id, ns));
    const saved = name && (await this.#get(thread_id, name));
    return saved && this.#tuple(thread_id, saved);
  }

  async *list(config, { before, limit = Infinity, filter = {} } = {}) {
    const { thread_id, checkpoint_ns, checkpoint_id } = config.configurable ?? {};
    const beforeId = before && getCheckpointId(before);
    let left = limit;
    for await (const thread of thread_id === undefined ? this.#threads() : [thread_id])
      for await (const name of this.#checkpoints(thread, checkpoint_ns, beforeId)) {
        if (left <= 0) return;
        const id = decodeURIComponent(name.slice(name.lastIndexOf('/') + 1));
        if ((checkpoint_id && id !== checkpoint_id) || (beforeId && id >= beforeId)) continue;
        const saved = await this.#get(thread, name);
        if (!saved) continue; // deleted meanwhile
        const metadata = await this.serde.loadsTyped(...saved.parts[1]);
        if (!Object.entries(filter).every(([key, value]) => metadata[key] === value)) continue;
        left -= 1;
        yield await this.#tuple(thread, saved);
      }
  }

  async deleteThread(threadId) {
    await this.call('DELETE', this.#path(threadId), { expected: [404] });
  }

  // ── what is kept ───────────────────────────────────────────────────────────────────────────────

  #path(threadId, ...more) {
    return ['/v1/runs', this.runOf(threadId), ...more].map((one, at) => (at ? escape(one) : one)).join('/');
  }

  #put(threadId, name, body, headers = {}, expected = []) {
    return this.call('PUT', this.#path(threadId, 'checkpoints', name), { body, headers, expected });
  }

  /** { head, parts, etag }, or undefined. */
  async #get(threadId, name) {
    const reply = await this.call('GET', this.#path(threadId, 'checkpoints', name), { expected: [404] });
    const bytes = Buffer.from(await reply.arrayBuffer());
    return reply.ok ? { ...unpack(bytes), etag: reply.headers.get('etag') } : undefined;
  }

  /** The newest has the greatest ID: LangGraph's grow with time. */
  async #newest(threadId, ns) {
    const [page] = await this.#page(threadId, { order: 'name', prefix: checkpointName(ns, ''), limit: 1 });
    return page[0];
  }

  /** A page of checkpoints' names, and where the next one begins. */
  async #page(threadId, query) {
    const path = `${this.#path(threadId, 'checkpoints')}?${new URLSearchParams(query)}`;
    const reply = await this.call('GET', path, { expected: [404] });
    const { data = [], next } = await reply.json();
    return [data.map((one) => one.name), next];
  }

  async *#names(threadId, prefix, before) {
    const query = { order: 'name', prefix, limit: PAGE, ...(before && { before }) };
    do {
      const [names, next] = await this.#page(threadId, query);
      yield* names;
      query.before = next;
    } while (query.before);
  }

  /** Of one namespace, or of all. */
  #checkpoints(threadId, ns, beforeId) {
    if (ns === undefined) return this.#names(threadId, 'c/');
    return this.#names(threadId, checkpointName(ns, ''), beforeId && checkpointName(ns, beforeId));
  }

  async *#threads() {
    const query = { limit: PAGE };
    do {
      const reply = await this.call('GET', `/v1/runs?${new URLSearchParams(query)}`);
      const { data, next } = await reply.json();
      for (const { name } of data) {
        const threadId = this.#threadOf(name);
        if (threadId !== undefined) yield threadId;
      }
      query.before = next;
    } while (query.before);
  }

  /** Undefined: the run is no thread of this saver's. */
  #threadOf(run) {
    try {
      const name = decodeURIComponent(run);
      return escape(name) === run && name.startsWith(this.prefix) ? name.slice(this.prefix.length) : undefined;
    } catch {
      return undefined;
    }
  }

  async #tuple(thread_id, { head, parts }) {
    const [checkpoint, metadata] = await Promise.all(parts.map((part) => this.serde.loadsTyped(...part)));
    const at = { thread_id, checkpoint_ns: head.ns };
    const [values, pendingWrites] = await Promise.all([
      this.#values(thread_id, head, checkpoint),
      this.#writes(thread_id, head.ns, checkpoint.id),
    ]);
    checkpoint.channel_values = values;
    if (checkpoint.v < 4 && head.parent !== undefined)
      await this.#addSends(thread_id, head, checkpoint);
    const tuple = {
      config: { configurable: { ...at, checkpoint_id: checkpoint.id } }, checkpoint, metadata, pendingWrites,
    };
    if (head.parent !== undefined)
      tuple.parentConfig = { configurable: { ...at, checkpoint_id: head.parent } };
    return tuple;
  }

  async #values(threadId, { ns, channels }, { channel_versions: versions }) {
    const saved = await Promise.all(channels
      .filter((channel) => versions[channel] !== undefined)
      .map((channel) => this.#get(threadId, valueName(ns, channel, versions[channel]))));
    return Object.fromEntries(await Promise.all(saved
      .filter((one) => one !== undefined)
      .map(async ({ head, parts }) => [head.channel, await this.serde.loadsTyped(...parts[0])])));
  }

  /** In the order in which LangGraph applies them. */
  async #writes(threadId, ns, id) {
    const asked = [];
    for await (const name of this.#names(threadId, writesPrefix(ns, id))) asked.push(this.#get(threadId, name));
    const tasks = await Promise.all(asked);
    const writes = tasks.filter((one) => one !== undefined).flatMap(({ head, parts }) =>
      head.writes.map(([index, channel], at) => (
        { key: writesSortKey(head.path, head.task, index), task: head.task, channel, part: parts[at] })));
    writes.sort((a, b) => compareWritesSortKeys(a.key, b.key));
    return Promise.all(writes.map(async ({ task, channel, part }) => (
      [task, channel, await this.serde.loadsTyped(...part)])));
  }

  async #knownWrites(threadId, name) {
    const saved = await this.#get(threadId, name);
    if (!saved) return { writes: [], condition: { 'If-None-Match': '*' } };
    const writes = saved.head.writes.map(([index, channel], at) => ({ index, channel, part: saved.parts[at] }));
    return { writes, condition: { 'If-Match': saved.etag } };
  }

  /** Checkpoints of LangGraph before version 4 have what was sent to tasks in their parent's writes. */
  async #addSends(threadId, { ns, parent }, checkpoint) {
    const writes = await this.#writes(threadId, ns, parent);
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_values[TASKS] = writes.filter(([, channel]) => channel === TASKS)
      .map(([, , value]) => value);
    checkpoint.channel_versions[TASKS] =
      versions.length ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }
}

/** A task's writes are numbered; the first of a number stays, but errors, interrupts and the like (below 0)
 * are those that came last. */
function merge(known, made) {
  const all = new Map(known.map((one) => [one.index, one]));
  for (const one of made)
    if (one.index < 0 || !known.some((older) => older.index === one.index)) all.set(one.index, one);
  return [...all.values()];
}
