// Cloudflare's published clients, unmodified: all that is ours is the binding, which is what a Worker's
// env.AI puts on the wire (workerd src/cloudflare/internal/ai-api.ts), to another host. Prints JSON.
//
//   cloudflare.mjs universal URL MODEL [MODEL…]  ai-gateway-provider: one call, the further ones its fallbacks
//   cloudflare.mjs run URL MODEL                 workers-ai-provider by env.AI.run
//   cloudflare.mjs expired URL MODEL POLICY      likewise; the recording is deleted before it resumes
//   cloudflare.mjs attach URL RUN FROM           createResumableStream without a stream to begin with
import { createOpenAI } from '@ai-sdk/openai';
import { streamText } from 'ai';
import { createAiGateway } from 'ai-gateway-provider';
import { createResumableStream, createWorkersAI } from 'workers-ai-provider';
import { openai as openaiPlugin } from 'workers-ai-provider/openai';

const [kind, url, ...rest] = process.argv.slice(2);
const GATEWAY = 'my-gateway';
const MAX_RECONNECTS = 3; // of the client that lets us say so
const result = { text: '', usage: null, error: null, kind: null, resumed: [], progress: [] };
let stream = null; // our ID of it
let beforeResume = async () => {};

function post(path, body, headers, signal) {
  const fields = { 'content-type': 'application/json', 'cf-consn-sdk-version': '2.0.0', ...headers };
  return fetch(url + path, { method: 'POST', headers: fields, body: JSON.stringify(body), signal });
}

async function noted(response) {
  const answer = await response;
  stream = answer.headers.get('tokenlog-stream-id');
  return answer;
}

const binding = {
  run(model, inputs, { extraHeaders, signal, ...options }) {
    const headers = { 'cf-consn-model-id': model, ...extraHeaders };
    return noted(post('/ai-gateway/run?version=3', { inputs, options }, headers, signal));
  },
  gateway: (id) => ({
    run: (entries, { signal } = {}) =>
      noted(post(`/ai-gateway/universal/run/${id}`, entries, {}, signal)),
  }),
  async fetch(target, init) {
    result.resumed.push(Number(new URL(target).searchParams.get('from')));
    await beforeResume();
    return fetch(target.replace('https://workers-binding.ai', url), init);
  },
};

async function speak(model) {
  const said = streamText({ model, prompt: 'Hello?', maxRetries: 0, onError() {} });
  for await (const part of said.fullStream) {
    if (part.type === 'text-delta') result.text += part.text;
    if (part.type === 'finish') result.usage = part.totalUsage;
    if (part.type === 'error') fail(part.error);
  }
}

function fail(error) {
  result.error = String(error?.message ?? error);
  for (let one = error; one; one = one.cause) result.kind ??= one.kind ?? null;
}

const workersai = (more) => createWorkersAI({
  binding, gateway: { id: GATEWAY }, providers: [openaiPlugin], ...more,
});

async function deleteIt() {
  for (let i = 0; i < 600; i += 1) {
    const { state } = await (await fetch(`${url}/v1/streams/${stream}`)).json();
    if (state === 'completed') break;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  await fetch(`${url}/v1/streams/${stream}`, { method: 'DELETE' });
}

const kinds = {
  universal(...models) {
    const provider = createAiGateway({
      binding: binding.gateway(GATEWAY),
      resume: { binding, gateway: GATEWAY, maxReconnects: MAX_RECONNECTS },
    });
    const openai = createOpenAI({ apiKey: 'unused' });
    return speak(provider(models.map((model) => openai.chat(model))));
  },
  run(model) {
    const onProgress = (events) => result.progress.push(events);
    return speak(workersai()(`openai/${model}`, { onProgress }));
  },
  expired(model, policy) {
    beforeResume = deleteIt;
    return speak(workersai({ onResumeExpired: policy })(`openai/${model}`));
  },
  async attach(runId, from) {
    const body = createResumableStream({
      binding, gateway: GATEWAY, runId, fromEvent: Number(from),
      onProgress: (events) => result.progress.push(events),
    });
    result.text = await new Response(body).text();
  },
};

try {
  await kinds[kind](...rest);
} catch (error) {
  fail(error);
}
console.log(JSON.stringify(result));
