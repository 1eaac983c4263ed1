// assistant-ui's resumable streams (assistant-stream/resumable), kept by tokenlog: a stream of the Durable Streams
// protocol, one message for each chunk, which any process of the app can read on and follow without polling.
//
//   const context = createResumableStreamContext({ store: createTokenlogResumableStreamStore({ url }) });
//
//   {"lease":TOKEN}  {"begun":true}  {"chunk":BASE64} …  {"end":"done"} or {"end":"error","error":TEXT}, and closed
//
// PUT elects: whoever creates the stream is its producer, by a token of its own. What it appends is numbered, from
// "begun" on, so that a repeat counts once, and one that was superseded (the stream was deleted, and acquired
// again) is refused: the new stream knows nothing of it.
import { ResumableStreamError } from 'assistant-stream/resumable';

import { TokenlogError, caller } from './http.mjs';

const DEFAULT_TTL_MS = 24 * 3600 * 1000;
const STREAM_ID = /^[A-Za-z0-9_.:-]{1,256}$/; // assistant-stream's
const JSON_TYPE = { 'Content-Type': 'application/json' };
const START = '-1';

const isOf = (error, status, code) =>
  error instanceof TokenlogError && error.status === status && (!code || error.code === code);

/** The producer of one acquisition. Its appends are one after another; one whose outcome is not known is made
 * again, with its number, before the next. */
class Producer {
  #next = 0;
  #unsettled = [];
  #last = Promise.resolve();

  constructor(call, path, token) {
    Object.assign(this, { call, path, token });
  }

  append(record, headers = {}) {
    this.#unsettled.push({ body: JSON.stringify(record), headers });
    this.#last = this.#last.catch(() => {}).then(() => this.#settle());
    return this.#last;
  }

  async #settle() {
    while (this.#unsettled.length > 0) {
      await this.#send(this.#unsettled[0]);
      this.#next += 1;
      this.#unsettled.shift();
    }
  }

  async #send({ body, headers }) {
    try {
      await this.call('POST', this.path, {
        body,
        headers: {
          ...JSON_TYPE, ...headers,
          'Producer-Id': this.token, 'Producer-Epoch': '0', 'Producer-Seq': String(this.#next),
        },
      });
    } catch (error) {
      if (error instanceof TokenlogError && error.status !== 503) this.#unsettled.length = 0;
      throw error;
    }
  }
}

class TokenlogResumableStreamStore {
  #producers = new Map(); // by token

  constructor({ prefix = 'assistant-ui/', defaultTtlMs = DEFAULT_TTL_MS, ...server }) {
    this.prefix = prefix;
    this.defaultTtlMs = defaultTtlMs;
    this.call = caller(server);
  }

  async acquire(streamId, options) {
    return (await this.acquireLease(streamId, options)).role;
  }

  async acquireLease(streamId, options) {
    const path = this.#path(streamId);
    const token = crypto.randomUUID();
    const ttlS = Math.max(1, Math.ceil((options?.ttlMs ?? this.defaultTtlMs) / 1000));
    const made = await this.call('PUT', path, {
      body: JSON.stringify({ lease: token }),
      headers: { ...JSON_TYPE, 'Stream-TTL': String(ttlS) },
      expected: [409], // it is there, closed, or to be kept for another time
    });
    // An answer that was lost made it ours all the same.
    if (made.status !== 201 && (await this.#lease(path)) !== token) return { role: 'consumer' };
    const producer = new Producer(this.call, path, token);
    this.#producers.set(token, producer);
    await producer.append({ begun: true });
    return { role: 'producer', lease: { token } };
  }

  async append(streamId, chunk, lease) {
    const record = { chunk: Buffer.from(chunk).toString('base64') };
    const why = await this.#append(streamId, record, lease);
    if (why === 'absent') throw new Error(`Stream not found: ${streamId}`);
    if (why === 'missing')
      throw new ResumableStreamError(why, `Stream superseded by a new acquisition: ${streamId}`);
    if (why === 'finalized') throw new ResumableStreamError(why, `Stream already finalized: ${streamId}`);
  }

  async finalize(streamId, status, error, lease) {
    const record = status === 'error' ? { end: status, error: error ?? 'Stream errored' } : { end: status };
    const why = await this.#append(streamId, record, lease, { 'Stream-Closed': 'true' });
    if (lease) this.#producers.delete(lease.token);
    if (why === 'absent') throw new Error(`Stream not found: ${streamId}`);
    return why === undefined;
  }

  /** A cursor is `OFFSET+N`: the N-th message of what is read from there. */
  async *read(streamId, cursor, signal) {
    const path = this.#path(streamId);
    let [offset, taken] = cursor === '' ? [START, 0] : cursor.split('+');
    for (let isFirst = true, live = ''; !signal.aborted; isFirst = false) {
      const page = await this.#page(path, offset, live, signal);
      if (!page && isFirst && !signal.aborted) throw new Error(`Stream not found: ${streamId}`);
      if (!page) return; // deleted, or expired
      for (let at = Number(taken); at < page.records.length; at += 1) {
        const { chunk, end, error } = page.records[at];
        if (signal.aborted || end === 'done') return;
        if (end === 'error') throw new Error(error);
        if (chunk !== undefined)
          yield { cursor: `${offset}+${at + 1}`, chunk: Uint8Array.from(Buffer.from(chunk, 'base64')) };
      }
      if (page.isClosed) return;
      [offset, taken] = [page.next, 0];
      live = page.isUpToDate ? '&live=long-poll' : '';
    }
  }

  async status(streamId) {
    const path = this.#path(streamId);
    const head = await this.call('HEAD', path, { expected: [404, 410] });
    if (!head.ok) return 'missing';
    if (head.headers.get('stream-closed') !== 'true') return 'streaming';
    const last = await this.#last(path, head.headers.get('stream-next-offset'));
    return last?.end === 'error' ? 'error' : 'done';
  }

  async delete(streamId) {
    await this.call('DELETE', this.#path(streamId), { expected: [404, 410] });
  }

  // ── what is kept ───────────────────────────────────────────────────────────────────────────────

  #path(streamId) {
    if (!STREAM_ID.test(streamId))
      throw new ResumableStreamError('invalid-id', `Invalid streamId: ${streamId} (must match ${STREAM_ID})`);
    return `/v1/stream/${this.prefix}${encodeURIComponent(streamId)}`;
  }

  /** Undefined, or why nothing was appended: absent, missing (superseded), finalized. */
  async #append(streamId, record, lease, headers = {}) {
    const path = this.#path(streamId);
    try {
      if (lease) await this.#producerOf(path, lease).append(record, headers);
      else
        await this.call('POST', path, {
          body: JSON.stringify(record), headers: { ...JSON_TYPE, ...headers }, isOnce: true,
        });
      return undefined;
    } catch (error) {
      if (isOf(error, 404) || isOf(error, 410)) return 'absent';
      if (isOf(error, 409, 'sequence_gap')) return 'missing';
      if (!isOf(error, 409, 'stream_closed')) throw error;
    }
    return lease && (await this.#lease(path)) !== lease.token ? 'missing' : 'finalized';
  }

  #producerOf(path, { token }) {
    const producer = this.#producers.get(token);
    if (!producer)
      throw new ResumableStreamError('missing', 'The lease was acquired by another store, or is finalized');
    return producer;
  }

  async #lease(path) {
    return (await this.#page(path, START, ''))?.records[0]?.lease;
  }

  /** What is there, and where the next page begins; undefined: there is no such stream. */
  async #page(path, offset, live, signal) {
    try {
      const reply = await this.call('GET', `${path}?offset=${offset}${live}`, { expected: [404, 410], signal });
      if (!reply.ok) return undefined;
      return {
        records: reply.status === 204 ? [] : await reply.json(),
        next: reply.headers.get('stream-next-offset'),
        isUpToDate: reply.headers.get('stream-up-to-date') === 'true',
        isClosed: reply.headers.get('stream-closed') === 'true',
      };
    } catch (error) {
      if (signal?.aborted) return undefined;
      throw error;
    }
  }

  /** An offset is the number of whole messages before it, and the bytes of the next one. */
  async #last(path, end) {
    const [, count, rest] = /^(\d{16})_(0{16})$/.exec(end) ?? [];
    let offset = count > 0 ? `${String(count - 1).padStart(16, '0')}_${rest}` : START;
    for (;;) {
      const page = await this.#page(path, offset, '');
      if (!page || page.next === end) return page?.records.at(-1);
      offset = page.next;
    }
  }
}

/**
 * @param options.url           of the server
 * @param options.apiKey        of a project, where the server asks for one; by default $TOKENLOG_API_KEY
 * @param options.headers       more of them
 * @param options.prefix        of the streams' paths behind /v1/stream/; by default assistant-ui/
 * @param options.defaultTtlMs  how long a stream is kept after its last chunk; by default a day
 * @returns a ResumableStreamStore
 */
export function createTokenlogResumableStreamStore(options) {
  return new TokenlogResumableStreamStore(options);
}
