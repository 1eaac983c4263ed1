// What the peers share: flags, the call to the provider, the service a peer stands on, and the start.
// A peer is told  --port N --upstream URL [--folder DIR] [--mode WORD]  and prints `listening URL` once it serves.
import { spawn } from "node:child_process";
import http from "node:http";
import net from "node:net";
import { parseArgs } from "node:util";

export const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    upstream: { type: "string" },
    folder: { type: "string" },
    mode: { type: "string" },
  },
});

const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });

// ask — sends the caller's request on; resolves with the provider's response as soon as its head is there.
export function ask(request) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": request.headers["content-length"] ?? 0 };
    const call = http.request(options.upstream + request.url, { method: request.method, headers, agent }, resolve);
    call.on("error", reject);
    request.pipe(call);
  });
}

// serve — `answer(request, response)`; what it throws ends the connection, so that it shows as a broken stream.
export function serve(answer) {
  const server = http.createServer(async (request, response) => {
    try {
      await answer(request, response);
    } catch (error) {
      console.error(error);
      response.destroy();
    }
  });
  server.keepAliveTimeout = 3_600_000;
  server.listen(Number(options.port), "127.0.0.1", 4096, () =>
    console.log(`listening http://127.0.0.1:${server.address().port}`));
}

export function begin(response, answer) {
  response.writeHead(answer.statusCode, { "content-type": answer.headers["content-type"] });
}

// send — waits while the caller takes nothing; false: the caller is gone.
export async function send(response, piece) {
  if (response.destroyed) return false;
  if (!response.write(piece)) {
    await new Promise((resolve) => {
      response.once("drain", resolve);
      response.once("close", resolve);
    });
  }
  return !response.destroyed;
}

export function freePort() {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function connects(port) {
  return new Promise((resolve) => {
    const probe = net.connect(port, "127.0.0.1");
    probe.on("connect", () => probe.end(() => resolve(true)));
    probe.on("error", () => resolve(false));
  });
}

// service — a child that takes connections on `port` when this resolves, and ends with us.
export async function service(command, args, port) {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  child.on("exit", (code) => process.exit(code ?? 1));
  process.on("exit", () => child.kill("SIGKILL"));
  while (!(await connects(port))) await new Promise((resolve) => setTimeout(resolve, 20));
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
