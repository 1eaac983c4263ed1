// resumable-stream on a Redis of its own. The library keeps a stream's text in the memory of the process that produces
// it and relays it to followers through Redis; Redis' append-only file gets each stream's begin and end.
//   --mode everysec|always        appendfsync; the caller follows its stream through Redis, as whoever resumes does
//   --mode direct                 everysec; the caller reads the producer's own stream, as the library's examples do
import { randomUUID } from "node:crypto";
import { createClient } from "redis";
import { createResumableStreamContext } from "resumable-stream";
import { ask, begin, freePort, options, send, serve, service } from "./house.mjs";

const isDirect = options.mode === "direct";
const port = await freePort();
await service("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", options.folder, "--save", "",
  "--appendonly", "yes", "--appendfsync", isDirect ? "everysec" : options.mode, "--maxclients", "100",
  "--logfile", `${options.folder}/redis.log`], port);
const clients = [];
for (let i = 0; i < 2; i++) {
  clients.push(createClient({ url: `redis://127.0.0.1:${port}` }));
  await clients[i].connect();
}
const streams = createResumableStreamContext({ waitUntil: null, publisher: clients[0], subscriber: clients[1] });

async function drain(stream) {
  const reader = stream.getReader();
  while (!(await reader.read()).done);
}

function textOf(answer) {
  const decoder = new TextDecoder();
  return new ReadableStream({
    start(controller) {
      answer.on("data", (piece) => controller.enqueue(decoder.decode(piece, { stream: true })));
      answer.on("end", () => controller.close());
      answer.on("error", (error) => controller.error(error));
    },
  });
}

serve(async (request, response) => {
  const answer = await ask(request);
  const id = randomUUID();
  const own = await streams.createNewResumableStream(id, () => textOf(answer));
  const followed = isDirect ? own : await streams.resumeExistingStream(id);
  if (!isDirect) drain(own).catch(console.error);
  begin(response, answer);
  for await (const piece of followed) if (!(await send(response, piece))) break;
  response.end();
});
