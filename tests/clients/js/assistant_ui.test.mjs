// What assistant-ui's own store in memory does, tokenlog's does, which two processes of an app may share. The
// server is at TOKENLOG_URL.
import {
  createInMemoryResumableStreamStore, createResumableAssistantStreamResponse, createResumableStreamContext,
  createResumeAssistantStreamResponse,
} from 'assistant-stream/resumable';
import { createTokenlogResumableStreamStore } from 'tokenlog-sdk/assistant-ui';
import { describe, expect, it } from 'vitest';

const ours = () => createTokenlogResumableStreamStore({ url: process.env.TOKENLOG_URL });
const memory = createInMemoryResumableStreamStore();

const bytes = (text) => new TextEncoder().encode(text);
const text = (chunks) => chunks.map((chunk) => new TextDecoder().decode(chunk)).join('|');
const newId = () => `chat:${crypto.randomUUID()}`;

async function all(iterable) {
  const seen = [];
  for await (const one of iterable) seen.push(one);
  return seen;
}

const never = () => new AbortController().signal;
const read = (store, id, cursor = '') => all(store.read(id, cursor, never()));
const chunks = async (store, id) => (await read(store, id)).map((entry) => entry.chunk);

describe.each([
  ['memory', () => memory, () => memory],
  ['tokenlog, one process', () => shared, () => shared],
  ['tokenlog, two processes', ours, ours],
])('%s', (_, here, there) => {
  it('elects one producer', async () => {
    const id = newId();
    const stores = Array.from({ length: 20 }, (_, at) => (at % 2 ? here() : there()));
    const roles = await Promise.all(stores.map((store) => store.acquire(id)));
    expect(roles.filter((role) => role === 'producer')).toHaveLength(1);
    expect(await here().acquireLease(id)).toEqual({ role: 'consumer' });
    expect(await there().status(id)).toBe('streaming');
  });

  it('gives every chunk, from any cursor', async () => {
    const [producer, id] = [here(), newId()];
    const { lease } = await producer.acquireLease(id);
    const sent = [bytes('one'), Uint8Array.from({ length: 256 }, (_, at) => at), bytes(''), bytes('two')];
    const mutable = bytes('one');
    await producer.append(id, mutable, lease);
    mutable.fill(0);
    for (const chunk of sent.slice(1)) await producer.append(id, chunk, lease);
    expect(await producer.finalize(id, 'done', undefined, lease)).toBe(true);
    const entries = await read(there(), id);
    expect(entries.map((entry) => entry.chunk)).toEqual(sent);
    for (let at = 0; at < entries.length; at += 1)
      expect((await read(there(), id, entries[at].cursor)).map((entry) => entry.chunk))
        .toEqual(sent.slice(at + 1));
    entries[0].chunk.fill(0);
    expect((await chunks(there(), id))[0]).toEqual(sent[0]);
    expect(await here().acquireLease(id)).toEqual({ role: 'consumer' });
    expect(await there().status(id)).toBe('done');
  });

  it('is followed while it grows', async () => {
    const [producer, id] = [here(), newId()];
    const { lease } = await producer.acquireLease(id);
    const readers = [chunks(here(), id), chunks(there(), id)];
    const late = (async () => {
      for (let at = 0; at < 30; at += 1) await producer.append(id, bytes(`${at}`), lease);
      readers.push(chunks(there(), id));
      await producer.finalize(id, 'done', undefined, lease);
    })();
    await late;
    const whole = Array.from({ length: 30 }, (_, at) => `${at}`).join('|');
    expect((await Promise.all(readers)).map(text)).toEqual([whole, whole, whole]);
  });

  it('takes appends that are not waited for in their order', async () => {
    const [producer, id] = [here(), newId()];
    const { lease } = await producer.acquireLease(id);
    await Promise.all(['a', 'b', 'c', 'd'].map((letter) => producer.append(id, bytes(letter), lease)));
    await producer.finalize(id, 'done', undefined, lease);
    expect(text(await chunks(there(), id))).toBe('a|b|c|d');
  });

  it('ends in an error', async () => {
    const [producer, id] = [here(), newId()];
    const { lease } = await producer.acquireLease(id);
    await producer.append(id, bytes('part'), lease);
    expect(await producer.finalize(id, 'error', 'the model is gone', lease)).toBe(true);
    const reader = there().read(id, '', never())[Symbol.asyncIterator]();
    expect(text([(await reader.next()).value.chunk])).toBe('part');
    await expect(reader.next()).rejects.toThrow('the model is gone');
    expect(await there().status(id)).toBe('error');
  });

  it('ends once', async () => {
    const [producer, id] = [here(), newId()];
    const { lease } = await producer.acquireLease(id);
    expect(await producer.finalize(id, 'done', undefined, lease)).toBe(true);
    expect(await producer.finalize(id, 'error', 'late')).toBe(false);
    await expect(producer.append(id, bytes('late'))).rejects.toMatchObject({ code: 'finalized' });
    expect(await there().status(id)).toBe('done');
  });

  it.each([0, 3])('refuses a producer that was superseded after %s chunks', async (count) => {
    const [producer, id] = [here(), newId()];
    const { lease: old } = await producer.acquireLease(id);
    for (let at = 0; at < count; at += 1) await producer.append(id, bytes('old'), old);
    await there().delete(id);
    const { role, lease } = await producer.acquireLease(id);
    expect(role).toBe('producer');
    await expect(producer.append(id, bytes('old'), old)).rejects.toMatchObject({ code: 'missing' });
    await producer.append(id, bytes('new'), lease);
    expect(await producer.finalize(id, 'error', 'old', old)).toBe(false);
    expect(await producer.finalize(id, 'done', undefined, lease)).toBe(true);
    expect(text(await chunks(there(), id))).toBe('new');
  });

  it('says what is not there', async () => {
    const [store, id] = [here(), newId()];
    expect(await store.status(id)).toBe('missing');
    await expect(read(store, id)).rejects.toThrow('not found');
    await expect(store.append(id, bytes('x'))).rejects.toThrow('not found');
    await expect(store.finalize(id, 'done')).rejects.toThrow('not found');
    await store.delete(id);
    await expect(store.acquire('a/b')).rejects.toMatchObject({ code: 'invalid-id' });
    await expect(store.acquire('x'.repeat(257))).rejects.toMatchObject({ code: 'invalid-id' });
  });

  it('lets go of readers', async () => {
    const [store, id, abort] = [here(), newId(), new AbortController()];
    await store.acquire(id);
    await store.append(id, bytes('x'));
    const readers = [abort.signal, never()].map((signal) => (
      there().read(id, '', signal)[Symbol.asyncIterator]()));
    for (const reader of readers) expect(text([(await reader.next()).value.chunk])).toBe('x');
    const [left, deleted] = readers.map((reader) => reader.next());
    abort.abort();
    expect(await Promise.race([left, deleted])).toEqual({ done: true });
    await store.delete(id);
    expect(await deleted).toEqual({ done: true });
    expect(await there().status(id)).toBe('missing');
  });

  it('is forgotten after its time', async () => {
    const id = newId();
    await here().acquire(id, { ttlMs: 1000 });
    expect(await there().status(id)).toBe('streaming');
    await expect.poll(() => there().status(id), { timeout: 30000 }).toBe('missing');
    expect(await here().acquire(id)).toBe('producer');
  }, 40000);

  it('carries a chat that is resumed elsewhere', async () => {
    const [streamId, contexts] = [newId(), [here, there].map((store) => (
      createResumableStreamContext({ store: store() })))];
    let calls = 0;
    let goOn;
    const held = new Promise((resolve) => { goOn = resolve; });
    const callback = async (controller) => {
      calls += 1;
      controller.appendText('Hello');
      await held;
      controller.appendText(' again');
    };
    const first = await createResumableAssistantStreamResponse({ context: contexts[0], streamId, callback });
    const reader = first.body.getReader();
    await reader.read();
    const again = [
      await createResumableAssistantStreamResponse({ context: contexts[1], streamId, callback }),
      await createResumeAssistantStreamResponse({ context: contexts[1], streamId }),
    ];
    await reader.cancel(); // the browser goes
    goOn();
    const [one, two] = await Promise.all(again.map((response) => response.text()));
    expect(one).toBe(two);
    expect(one).toContain('Hello');
    expect(one).toContain(' again');
    expect(calls).toBe(1);
    const none = await createResumeAssistantStreamResponse({ context: contexts[1], streamId: newId() });
    expect(none.status).toBe(404);
  });
});

const shared = ours();
