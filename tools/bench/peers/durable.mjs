// The Durable Streams reference server with its file store, in a process of its own; this front writes the provider's
// stream to it and serves the caller from it. The server flushes each append before it acknowledges it.
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { DurableStream, IdempotentProducer } from "@durable-streams/client";
import { DurableStreamTestServer } from "@durable-streams/server";
import { ask, begin, freePort, options, send, serve, service } from "./house.mjs";

async function record(answer, handle) {
  const decoder = new TextDecoder();
  let failure = null;
  const producer = new IdempotentProducer(handle, randomUUID(), {
    lingerMs: 0,
    onError: (error) => { failure = error; },
  });
  for await (const piece of answer) producer.append(decoder.decode(piece, { stream: true }));
  await producer.close();
  if (failure) throw failure;
}

async function front() {
  const port = await freePort();
  const self = fileURLToPath(import.meta.url);
  await service(process.execPath, [self, "--mode", "store", "--port", `${port}`, "--folder", options.folder], port);
  serve(async (request, response) => {
    const answer = await ask(request);
    const url = `http://127.0.0.1:${port}/answers/${randomUUID()}`;
    const handle = await DurableStream.create({ url, contentType: "text/plain" });
    record(answer, handle).catch((error) => response.destroy(error));
    const end = new AbortController();
    response.on("close", () => end.abort());
    const recorded = await handle.stream({ offset: "-1", live: "sse", signal: end.signal });
    begin(response, answer);
    for await (const piece of recorded.textStream()) if (!(await send(response, piece))) break;
    response.end();
  });
}

async function store() {
  const server = new DurableStreamTestServer({ port: Number(options.port), dataDir: options.folder, compression: false });
  await server.start();
}

await (options.mode === "store" ? store() : front());
