// An agent of ten steps that may be killed at any time: its state is kept by LangGraph's checkpoints, its answers
// by tokenlog. Started again with the same name, it goes on where it was, re-attaches to the answer that was being
// given, and nothing is paid for twice.
//
//   node agent.mjs URL MODEL NAME        e.g. http://127.0.0.1:8080 gpt-4o-mini nightly-2026-11-23
//
// Prints "STEP: piece" for every piece of an answer, and at last all answers as JSON.
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import OpenAI from 'openai';
import { TokenlogSaver } from 'tokenlog-sdk/langgraph';

const [url, model, name] = process.argv.slice(2);
const STEPS = 10;
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: process.env.TOKENLOG_API_KEY ?? 'none' });
const checkpointer = new TokenlogSaver({ url });

const State = Annotation.Root({
  answers: Annotation({ reducer: (before, more) => [...before, ...more], default: () => [] }),
});

async function work({ answers }) {
  const step = answers.length + 1;
  const stream = await openai.chat.completions.create(
    { model, stream: true, messages: [{ role: 'user', content: `Step ${step}, after: ${answers.at(-1)}` }] },
    { headers: { 'Tokenlog-Run': checkpointer.runOf(name), 'Tokenlog-Step': String(step) } },
  );
  let answer = '';
  for await (const chunk of stream) {
    const piece = chunk.choices[0]?.delta?.content ?? '';
    answer += piece;
    console.log(`${step}: ${piece}`);
  }
  return { answers: [answer] };
}

const graph = new StateGraph(State)
  .addNode('work', work)
  .addEdge(START, 'work')
  .addConditionalEdges('work', ({ answers }) => (answers.length < STEPS ? 'work' : END))
  .compile({ checkpointer });

const config = { configurable: { thread_id: name }, recursionLimit: 2 * STEPS, durability: 'sync' };
const isBegun = (await checkpointer.getTuple(config)) !== undefined;
const { answers } = await graph.invoke(isBegun ? null : { answers: [] }, config);
console.log(JSON.stringify(answers));
