// A chat of the AI SDK, left in mid-answer and resumed in another process of its app. Prints JSON.
//
//   ai_resume.mjs URL MODEL     {before, after, done}: the texts, and what a resume after the end gets
import { createOpenAI } from '@ai-sdk/openai';
import { convertToModelMessages, DefaultChatTransport, streamText } from 'ai';

import { resumableChats } from '../../../tools/sdk/js/ai-sdk.mjs';

const [url, model] = process.argv.slice(2);
const openai = createOpenAI({ apiKey: 'unused', baseURL: `${url}/v1` });
const answer = async (messages, headers) => streamText({
  model: openai.chat(model),
  messages: await convertToModelMessages(messages),
  maxRetries: 0,
  headers,
});

// The app's server: what its processes share is the table of chats.
const active = new Map();
let app = resumableChats(answer, active);
const serve = (address, init) => {
  const id = /chat\/([^/]+)\/stream$/.exec(address)?.[1];
  return id ? app.get(id) : app.post(JSON.parse(init.body));
};

const transport = new DefaultChatTransport({ api: 'http://app/api/chat', fetch: serve });
const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hello?' }] };

async function text(stream, count = Infinity) {
  let said = '';
  let pieces = 0;
  for await (const chunk of stream) {
    if (chunk.type === 'error') throw new Error(chunk.errorText);
    if (chunk.type !== 'text-delta') continue;
    said += chunk.delta;
    if ((pieces += 1) >= count) break; // hangs up
  }
  return said;
}

const asked = { trigger: 'submit-message', chatId: 'c1', messages: [message] };
const before = await text(await transport.sendMessages(asked), 5);
app = resumableChats(answer, active);
const after = await text(await transport.reconnectToStream({ chatId: 'c1' }));
const done = await transport.reconnectToStream({ chatId: 'c1' });
console.log(JSON.stringify({ before, after, done }));
