// One call by the official client. Prints {text, events, error} as JSON: what a program got.
//
//   ask.mjs BASE_URL KIND MODEL [KEY]     KIND: chat | chat-whole | responses | messages
//
// The key goes by the headers option: the client's idempotencyKey option never reaches the wire.
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const [baseURL, kind, model, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'unused', maxRetries: 2, timeout: 60_000 });
const options = { headers: key ? { 'Idempotency-Key': key } : {} };
const messages = [{ role: 'user', content: 'Hello?' }];
const result = { text: '', events: 0, error: null };

function add(text) {
  result.events += 1;
  result.text += text ?? '';
}

const kinds = {
  async chat() {
    const stream = await client.chat.completions.create({ model, messages, stream: true }, options);
    for await (const chunk of stream) add(chunk.choices[0]?.delta.content);
  },
  async 'chat-whole'() {
    const answer = await client.chat.completions.create({ model, messages }, options);
    add(answer.choices[0].message.content);
  },
  async responses() {
    const stream = await client.responses.create({ model, input: 'Hello?', stream: true }, options);
    for await (const event of stream) {
      add(event.type === 'response.output_text.delta' ? event.delta : '');
    }
  },
  async messages() {
    const anthropic = new Anthropic({
      baseURL: baseURL.replace(/\/v1$/, ''), apiKey: 'unused', maxRetries: 2, timeout: 60_000,
    });
    const body = { model, messages, max_tokens: 1000, stream: true };
    for await (const event of await anthropic.messages.create(body, options)) {
      add(event.type === 'content_block_delta' ? event.delta.text : '');
    }
  },
};

try {
  await kinds[kind]();
} catch (error) {
  result.error = String(error.message ?? error);
}
console.log(JSON.stringify(result));
