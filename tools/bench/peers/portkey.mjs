// @portkey-ai/gateway as published, with two things put right from outside: it would listen on all interfaces; and
// without the patch of its HTTP library that the project carries but does not publish, a fetched response's headers are
// immutable and each streamed answer ends in a 500. Whom to ask is in each request: x-portkey-provider: openai,
// x-portkey-custom-host: URL/v1.
import net from "node:net";
import { parseArgs } from "node:util";

const { port } = parseArgs({ options: { port: { type: "string" }, upstream: { type: "string" },
  folder: { type: "string" }, mode: { type: "string" } } }).values;

const { fetch: fetched, Response: Plain } = globalThis;
globalThis.fetch = async (...request) => {
  const answer = await fetched(...request);
  return new Plain(answer.body, answer);
};

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function listenOnLoopback() {
  return listen.call(this, Number(port), "127.0.0.1", 4096, () =>
    process.stdout.write(`listening http://127.0.0.1:${this.address().port}\n`));
};
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));

process.argv = [...process.argv.slice(0, 2), "--headless", "--port=0"];
process.env.NODE_ENV = "production";
await import("@portkey-ai/gateway/build/start-server.js");
