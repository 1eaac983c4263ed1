// Clients that go away and come back, by what they have themselves. Prints JSON: what a program got.
//
//   resume.mjs begin URL MODEL COUNT       a background response, left after COUNT events
//   resume.mjs follow URL ID AFTER         its events beyond sequence_number AFTER, then the object
//   resume.mjs end URL ID                  cancelled twice, then deleted, then asked for
//   resume.mjs eventsource URL             every event, until it ends by itself
//   resume.mjs join URL ID AFTER           LangGraph's SDK joins a run
import { Client } from '@langchain/langgraph-sdk';
import { EventSource } from 'eventsource';
import OpenAI from 'openai';

const [kind, url, ...rest] = process.argv.slice(2);
const openai = () => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 });

async function gather(stream, result, count = Infinity) {
  try {
    for await (const event of stream) {
      result.numbers.push(event.sequence_number);
      if (event.type === 'response.output_text.delta') result.text += event.delta;
      if (event.type === 'response.created') result.id = event.response.id;
      if (result.numbers.length >= count) break; // hangs up
    }
  } catch (error) {
    result.error = String(error.message ?? error);
  }
  return result;
}

const fresh = () => ({ id: null, numbers: [], text: '', error: null });

const kinds = {
  async begin(model, count) {
    const asked = { model, input: 'Hello?', background: true, stream: true };
    return gather(await openai().responses.create(asked), fresh(), Number(count));
  },
  async follow(id, after) {
    const options = { stream: true, starting_after: Number(after) };
    const result = await gather(await openai().responses.retrieve(id, options), fresh());
    const whole = await openai().responses.retrieve(id);
    return { ...result, status: whole.status, whole: whole.output_text, why: whole.error?.code };
  },
  async end(id) {
    const responses = openai().responses;
    const first = await responses.cancel(id);
    const second = await responses.cancel(id);
    await responses.delete(id);
    const gone = await responses.retrieve(id).catch((error) => error.status);
    return { statuses: [first.status, second.status], gone };
  },
  eventsource() {
    const result = { ids: [], data: [], opened: 0, end: null };
    const source = new EventSource(url);
    source.onopen = () => (result.opened += 1);
    source.onmessage = (event) => {
      result.ids.push(Number(event.lastEventId));
      result.data.push(event.data);
    };
    source.addEventListener('tokenlog.end', (event) => (result.end = JSON.parse(event.data)));
    return new Promise((resolve) => {
      source.onerror = () => source.readyState === EventSource.CLOSED && resolve(result);
    });
  },
  async join(id, after) {
    const client = new Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });
    const result = { ids: [], data: [], end: null };
    const options = Number(after) ? { lastEventId: after } : {};
    for await (const event of client.runs.joinStream('any', id, options)) {
      if (event.event === 'tokenlog.end') result.end = event.data;
      else {
        result.ids.push(Number(event.id));
        result.data.push(event.data);
      }
    }
    return result;
  },
};

console.log(JSON.stringify(await kinds[kind](...rest)));
