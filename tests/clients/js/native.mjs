// Answers with a tool's call, by clients of providers' own APIs: {text, calls, finish, output}.
//
// A job a line: {url, client, how, model}; how: stream | whole;
// client: genai | cohere | ollama | ai-openai | ai-openai-chat | ai-anthropic | ai-google | ai-bedrock
//
// URL is what stands in the place of the provider's own address: its host and all before the version.
import { createAmazonBedrock } from '@ai-sdk/amazon-bedrock';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { GoogleGenAI } from '@google/genai';
import { generateText, jsonSchema, streamText, tool } from 'ai';
import { CohereClientV2 } from 'cohere-ai';
import { Ollama } from 'ollama';
import { answerEach } from './jobs.mjs';

const apiKey = 'unused';
const parameters = { type: 'object', properties: { place: { type: 'string' } } };

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

// The AI SDK reads every dialect into one answer.
async function aiSdk(languageModel, isStreamed) {
  const request = {
    model: languageModel,
    prompt: 'Hello?',
    maxRetries: 0,
    tools: { look_up: tool({ description: 'looks up', inputSchema: jsonSchema(parameters) }) },
  };
  let answer;
  if (isStreamed) {
    let failure = null;
    answer = streamText({ ...request, onError: ({ error }) => { failure = error; } });
    for await (const part of answer.fullStream) if (part.type === 'error') failure = part.error;
    if (failure) throw failure;
  } else {
    answer = await generateText(request);
  }
  const calls = (await answer.toolCalls).map((call) => [call.toolName, call.input]);
  const { outputTokens } = await answer.usage;
  return { text: await answer.text, calls, finish: await answer.finishReason, output: outputTokens };
}

const clients = {
  async genai(url, isStreamed, model) {
    const { models } = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url, timeout: 60_000 } });
    const tools = [{ functionDeclarations: [{ name: 'look_up', parametersJsonSchema: parameters }] }];
    const request = { model, contents: 'Hello?', config: { tools } };
    const answers = isStreamed
      ? await all(await models.generateContentStream(request))
      : [await models.generateContent(request)];
    const parts = answers.flatMap((answer) => answer.candidates[0].content.parts);
    return {
      text: parts.map((part) => part.text ?? '').join(''),
      calls: parts.filter((part) => part.functionCall)
        .map(({ functionCall }) => [functionCall.name, functionCall.args]),
      finish: answers.at(-1).candidates[0].finishReason ?? null,
      output: answers.at(-1).usageMetadata.candidatesTokenCount,
    };
  },
  async cohere(url, isStreamed, model) {
    const cohere = new CohereClientV2({ token: apiKey, environment: url, maxRetries: 0 });
    const tools = [{ type: 'function', function: { name: 'look_up', parameters } }];
    const request = { model, messages: [{ role: 'user', content: 'Hello?' }], tools };
    const options = { maxRetries: 0, timeoutInSeconds: 60 };
    if (!isStreamed) {
      const { message, finishReason, usage } = await cohere.chat(request, options);
      const calls = message.toolCalls
        .map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
      return { text: message.content[0].text, calls, finish: finishReason, output: usage.tokens.outputTokens };
    }
    const events = await all(await cohere.chatStream(request, options));
    const of = (type) => events.filter((event) => event.type === type).map((event) => event.delta);
    const pieces = of('tool-call-delta').map((delta) => delta.message.toolCalls.function.arguments);
    const [end] = of('message-end');
    return {
      text: of('content-delta').map((delta) => delta.message.content.text).join(''),
      calls: of('tool-call-start')
        .map((delta) => [delta.message.toolCalls.function.name, JSON.parse(pieces.join(''))]),
      finish: end?.finishReason ?? null,
      output: end?.usage?.tokens?.outputTokens ?? null,
    };
  },
  async ollama(url, isStreamed, model) {
    const tools = [{ type: 'function', function: { name: 'look_up', description: 'looks up', parameters } }];
    const request = { model, messages: [{ role: 'user', content: 'Hello?' }], tools };
    const ollama = new Ollama({ host: url });
    const answers = isStreamed
      ? await all(await ollama.chat({ ...request, stream: true }))
      : [await ollama.chat(request)];
    const calls = answers.flatMap(({ message }) => message.tool_calls ?? []);
    const end = answers.at(-1);
    return {
      text: answers.map(({ message }) => message.content).join(''),
      calls: calls.map((call) => [call.function.name, call.function.arguments]),
      finish: end.done ? end.done_reason : null,
      output: end.eval_count ?? null,
    };
  },
  'ai-openai': (url, isStreamed, model) =>
    aiSdk(createOpenAI({ apiKey, baseURL: `${url}/v1` }).responses(model), isStreamed),
  'ai-openai-chat': (url, isStreamed, model) =>
    aiSdk(createOpenAI({ apiKey, baseURL: `${url}/v1` }).chat(model), isStreamed),
  'ai-anthropic': (url, isStreamed, model) =>
    aiSdk(createAnthropic({ apiKey, baseURL: `${url}/v1` })(model), isStreamed),
  'ai-google': (url, isStreamed, model) =>
    aiSdk(createGoogleGenerativeAI({ apiKey, baseURL: `${url}/v1beta` })(model), isStreamed),
  'ai-bedrock': (url, isStreamed, model) =>
    aiSdk(createAmazonBedrock({ apiKey, baseURL: url, region: 'eu-west-1' })(model), isStreamed),
};

await answerEach(({ url, client, how, model }) => clients[client](url, how === 'stream', model));
