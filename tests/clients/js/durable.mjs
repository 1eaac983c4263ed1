// The protocol's official client, and TanStack AI's chat over it; what they saw, as JSON.
//
//   durable.mjs write URL COUNT        an idempotent producer's messages, and the end
//   durable.mjs read URL LIVE [FROM]   all messages up to the end; LIVE is sse or long-poll
//   durable.mjs text URL LIVE          its bytes, as text; LIVE is sse, long-poll or false
//   durable.mjs chat URL               a chat's chunks into a stream, and back as its connection gives them
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import {
  durableStreamConnection,
  materializeSnapshotFromDurableStream,
  toDurableChatSessionResponse,
} from "@durable-streams/tanstack-ai-transport";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Its producer leaves what the network does to its fetch.
async function again(...request) {
  for (;;) {
    try {
      return await fetch(...request);
    } catch {
      await pause(20);
    }
  }
}

async function write(url, count) {
  const errors = [];
  const target = await DurableStream.create({ url, contentType: "application/json" });
  const producer = new IdempotentProducer(target, "writer", {
    lingerMs: 2,
    fetch: again,
    onError: (error) => errors.push(String(error)),
  });
  for (let n = 0; n < count; n++) {
    producer.append(JSON.stringify({ n }));
    if (n % 10 === 0) await pause(5);
  }
  await producer.close(JSON.stringify({ n: count }));
  return { errors, closed: (await target.head()).streamClosed };
}

// The client reads ahead: a part may be called closed since a later one says so.
function isLast(response, part) {
  return part.streamClosed && part.offset === response.offset;
}

// Messages go to `result` until the connection breaks, or the stream's last ones came: `closed` may
// be said before they are here.
async function follow(response, result) {
  const last = new Promise((resolve) => {
    response.subscribeJson((batch) => {
      result.messages.push(...batch.items.map((message) => message.n));
      result.offset = batch.offset;
      if (isLast(response, batch)) resolve();
    });
  });
  await response.closed;
  if (response.streamClosed) await last;
  result.closed = response.streamClosed;
}

// One whose connection breaks in the middle of an answer begins where it was.
async function read(url, live, offset = "-1") {
  const result = { messages: [], offset, closed: false };
  while (!result.closed)
    await follow(await stream({ url, offset: result.offset, live }), result).catch(() => pause(20));
  return result;
}

// Its textStream() leaves out the last part if the end is read while the part before it is passed on.
async function text(url, live) {
  const response = await stream({ url, offset: "-1", live: live === "false" ? false : live });
  if (live === "false") return { text: await response.text(), closed: response.streamClosed };
  let whole = "";
  await new Promise((resolve, reject) => {
    response.subscribeText((part) => {
      whole += part.text;
      if (isLast(response, part)) resolve();
    });
    response.closed.catch(reject);
  });
  return { text: whole, closed: response.streamClosed };
}

async function* answer() {
  yield { type: "RUN_STARTED", runId: "r", threadId: "t" };
  yield { type: "TEXT_MESSAGE_START", messageId: "a", role: "assistant" };
  for (const delta of ["Hello", ", ", "world"])
    yield { type: "TEXT_MESSAGE_CONTENT", messageId: "a", delta };
  yield { type: "TEXT_MESSAGE_END", messageId: "a" };
  yield { type: "RUN_FINISHED", runId: "r", threadId: "t" };
}

async function chat(url) {
  const response = await toDurableChatSessionResponse({
    stream: { writeUrl: url, createIfMissing: true },
    newMessages: [{ id: "q", role: "user", parts: [{ type: "text", content: "Hi" }] }],
    responseStream: answer(),
    mode: "await",
  });
  const abort = new AbortController();
  const connection = durableStreamConnection({
    sendUrl: url,
    readUrl: url,
    initialOffset: "-1",
    emitSnapshotOnSubscribe: false,
  });
  const chunks = [];
  for await (const chunk of connection.subscribe(abort.signal)) {
    chunks.push(chunk.delta ?? chunk.type);
    if (chunk.type === "RUN_FINISHED") break;
  }
  abort.abort();
  const { messages } = await materializeSnapshotFromDurableStream({ readUrl: url });
  return { status: response.status, chunks, roles: messages.map((message) => message.role) };
}

const [mode, url, ...rest] = process.argv.slice(2);
const calls = {
  write: () => write(url, Number(rest[0])),
  read: () => read(url, ...rest),
  text: () => text(url, ...rest),
  chat: () => chat(url),
};
console.log(JSON.stringify(await calls[mode]()));
process.exit(0); // a connection may be kept alive
