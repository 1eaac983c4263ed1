// What a graph says of itself is what it says over LangGraph's store in memory; and what its validation leaves
// out. The server is at TOKENLOG_URL.
import {
  Annotation, Command, END, MemorySaver, START, Send, StateGraph, interrupt,
} from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { TokenlogSaver } from 'tokenlog-sdk/langgraph';
import { expect, it } from 'vitest';

const newSaver = () => new TokenlogSaver({
  url: process.env.TOKENLOG_URL, prefix: `${crypto.randomUUID().slice(0, 8)}/`,
});

const State = Annotation.Root({
  log: Annotation({ reducer: (before, more) => [...before, ...more], default: () => [] }),
});
const said = (word) => () => ({ log: [word] });

/** Tasks at once, a barrier, a graph in the graph, and a question. */
function graphOf(checkpointer) {
  const inner = new StateGraph(State)
    .addNode('deep', said('deep')).addNode('ask', () => ({ log: [interrupt('what?')] }))
    .addEdge(START, 'deep').addEdge('deep', 'ask').compile();
  return new StateGraph(State)
    .addNode('a', said('a')).addNode('b', said('b')).addNode('each', ({ n }) => ({ log: [`each ${n}`] }))
    .addNode('inner', inner).addNode('end', said('end'))
    .addEdge(START, 'a').addEdge(START, 'b')
    .addConditionalEdges('a', () => [0, 1, 2].map((n) => new Send('each', { n })), ['each'])
    .addEdge(['b', 'each'], 'inner').addEdge('inner', 'end').addEdge('end', END)
    .compile({ checkpointer });
}

const shown = ({ values, next, metadata: { source, step }, tasks }) => ({
  values, next, source, step, tasks: tasks.map(({ name, interrupts }) => [name, interrupts.map((one) => one.value)]),
});

/** A graph is asked, answered, taken back to an earlier state, and goes another way. */
async function story(saver) {
  const graph = graphOf(saver);
  const config = { configurable: { thread_id: 'story' }, durability: 'sync' };
  const history = async (options) => {
    const states = [];
    for await (const state of graph.getStateHistory(config, options)) states.push(state);
    return states;
  };
  await graph.invoke({ log: ['begin'] }, config);
  const waiting = await graph.getState(config, { subgraphs: true });
  const seen = [waiting, waiting.tasks[0].state];
  await graph.invoke(new Command({ resume: 'so' }), config);
  seen.push(...await history());
  const early = seen.slice(2).find((state) => state.next[0] === 'inner');
  const branch = await graph.updateState(early.config, { log: ['other'] }, 'b');
  await graph.invoke(null, { ...branch, durability: 'sync' });
  await graph.invoke(new Command({ resume: 'else' }), config);
  seen.push(...await history(), ...await history({ limit: 2, before: early.config }));
  return seen.map(shown);
}

it('tells the same story', async () => {
  const told = await story(newSaver());
  expect(told.length).toBeGreaterThan(15);
  expect(told).toEqual(await story(new MemorySaver()));
});

it('takes threads, namespaces and tasks of any letters', async () => {
  const saver = newSaver();
  const threads = ['a b', 'ä/ö?%2F', 'q"', 'x'.repeat(100)];
  for (const thread_id of threads)
    for (const checkpoint_ns of ['', 'deep:1|'.repeat(40), 'ns ü']) {
      const checkpoint = {
        ...emptyCheckpoint(), id: uuid6(0), channel_values: { ch: [thread_id] }, channel_versions: { ch: 1 },
      };
      const config = await saver.put(
        { configurable: { thread_id, checkpoint_ns } }, checkpoint, { source: 'loop', step: 0, parents: {} }, { ch: 1 });
      await saver.putWrites(config, [['ch', checkpoint_ns]], 'task / ü');
      const found = await saver.getTuple(config);
      expect(found.config).toEqual(config);
      expect(found.checkpoint).toEqual(checkpoint);
      expect(found.pendingWrites).toEqual([['task / ü', 'ch', checkpoint_ns]]);
    }
  const listed = [];
  for await (const { config } of saver.list({})) listed.push(config.configurable.thread_id);
  expect(listed).toHaveLength(12);
  expect(new Set(listed)).toEqual(new Set(threads));
});

it('keeps the first write of a number, of errors the last, all in their order', async () => {
  const saver = newSaver();
  const config = await saver.put(
    { configurable: { thread_id: 't' } }, { ...emptyCheckpoint(), id: uuid6(0) }, { source: 'loop' }, {});
  await saver.putWrites(config, [['a', 1], ['b', 2]], 't2', '~2');
  await saver.putWrites(config, [['a', 9], ['b', 9], ['c', 3], ['__error__', 'old']], 't2', '~2');
  await saver.putWrites(config, [['__error__', 'new']], 't2', '~2');
  await saver.putWrites(config, [['a', 0]], 't1', '~3');
  expect((await saver.getTuple(config)).pendingWrites).toEqual([
    ['t2', '__error__', 'new'], ['t2', 'a', 1], ['t2', 'b', 2], ['t2', 'c', 3], ['t1', 'a', 0]]);
});

it('gives versions that grow, and never the same twice', () => {
  const saver = newSaver();
  const [first, second] = [saver.getNextVersion(undefined), saver.getNextVersion(undefined)];
  expect(first).not.toBe(second);
  expect(saver.getNextVersion(first) > first && saver.getNextVersion(first) > second).toBe(true);
});

it('says what does not fit', async () => {
  const checkpoint = {
    ...emptyCheckpoint(), id: uuid6(0), channel_values: { ch: 'x'.repeat(1 << 20) }, channel_versions: { ch: 1 },
  };
  const config = { configurable: { thread_id: 't' } };
  const saver = newSaver();
  await expect(saver.put(config, checkpoint, {}, { ch: 1 })).rejects.toMatchObject(
    { status: 413, code: 'checkpoint_too_large' });
  expect(await saver.getTuple(config)).toBeUndefined();
});
