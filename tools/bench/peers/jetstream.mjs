// NATS JetStream with a file store: each piece of the provider's response is published and acknowledged; the caller is
// served from the stream by an ordered consumer. NATS writes before it acknowledges, and flushes every two minutes.
import { randomUUID } from "node:crypto";
import { connect, StorageType } from "nats";
import { ask, begin, freePort, options, send, serve, service } from "./house.mjs";

const port = await freePort();
await service("nats-server", ["-a", "127.0.0.1", "-p", `${port}`, "-js", "-sd", options.folder,
  "-l", `${options.folder}/nats.log`], port);
const connection = await connect({ servers: `127.0.0.1:${port}`, noEcho: true });
const manager = await connection.jetstreamManager();
await manager.streams.add({ name: "answers", subjects: ["answers.*"], storage: StorageType.File });
const jetstream = connection.jetstream();

// An empty message is the end.
async function record(answer, subject) {
  const acknowledged = [];
  for await (const piece of answer) acknowledged.push(jetstream.publish(subject, piece));
  acknowledged.push(jetstream.publish(subject, new Uint8Array()));
  await Promise.all(acknowledged);
}

serve(async (request, response) => {
  const answer = await ask(request);
  const subject = `answers.${randomUUID()}`;
  record(answer, subject).catch((error) => response.destroy(error));
  const consumer = await jetstream.consumers.get("answers", { filterSubjects: subject });
  const messages = await consumer.consume();
  begin(response, answer);
  response.on("close", () => messages.stop());
  for await (const message of messages) {
    if (message.data.length === 0) break;
    if (!(await send(response, message.data))) break;
  }
  response.end();
});
