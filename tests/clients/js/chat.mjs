// Answers with a tool's call, as the official clients make of them: {text, calls, finish, output}.
//
// A job a line: {url, dialect, how, model}, dialect openai_chat | openai_responses | anthropic, how stream | whole.
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { answerEach } from './jobs.mjs';

const options = { apiKey: 'unused', maxRetries: 0, timeout: 60_000 };
const messages = [{ role: 'user', content: 'Hello?' }];
const parameters = { type: 'object', properties: { place: { type: 'string' } } };

const dialects = {
  async openai_chat(url, isStreamed, model) {
    const { completions } = new OpenAI({ ...options, baseURL: `${url}/v1` }).chat;
    const tools = [{ type: 'function', function: { name: 'look_up', parameters } }];
    const body = { model, messages, tools };
    const answer = isStreamed
      ? await completions.stream({ ...body, stream_options: { include_usage: true } })
          .finalChatCompletion()
      : await completions.create(body);
    const { message, finish_reason: finish } = answer.choices[0];
    const calls = (message.tool_calls ?? [])
      .map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
    return { text: message.content, calls, finish, output: answer.usage.completion_tokens };
  },
  async openai_responses(url, isStreamed, model) {
    const { responses } = new OpenAI({ ...options, baseURL: `${url}/v1` });
    const tools = [{ type: 'function', name: 'look_up', parameters, strict: false }];
    const body = { model, input: 'Hello?', tools };
    const answer = isStreamed
      ? await responses.stream(body).finalResponse()
      : await responses.create(body);
    const calls = answer.output.filter((item) => item.type === 'function_call')
      .map((item) => [item.name, JSON.parse(item.arguments)]);
    const text = answer.output.filter((item) => item.type === 'message')
      .flatMap((item) => item.content).map((part) => part.text).join('');
    return { text, calls, finish: answer.status, output: answer.usage.output_tokens };
  },
  async anthropic(url, isStreamed, model) {
    const client = new Anthropic({ ...options, baseURL: url });
    const tools = [{ name: 'look_up', input_schema: parameters }];
    const body = { model, messages, tools, max_tokens: 1000 };
    const answer = isStreamed
      ? await client.messages.stream(body).finalMessage()
      : await client.messages.create(body);
    const of = (type) => answer.content.filter((block) => block.type === type);
    return {
      text: of('text').map((block) => block.text).join(''),
      calls: of('tool_use').map((block) => [block.name, block.input]),
      finish: answer.stop_reason,
      output: answer.usage.output_tokens,
    };
  },
};

await answerEach(({ url, dialect, how, model }) => dialects[dialect](url, how === 'stream', model));
