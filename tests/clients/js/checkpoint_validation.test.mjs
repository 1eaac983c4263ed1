// LangGraph's own cases for checkpoint savers, all of them, against the server at TOKENLOG_URL.
import { deltaChannelHistoryTests, validate } from '@langchain/langgraph-checkpoint-validation';
import { TokenlogSaver } from 'tokenlog-sdk/langgraph';

const initializer = {
  checkpointerName: 'TokenlogSaver',
  // Each sees an empty store.
  createCheckpointer: () => new TokenlogSaver({
    url: process.env.TOKENLOG_URL, prefix: `${crypto.randomUUID().slice(0, 8)}/`,
  }),
};

validate(initializer);
deltaChannelHistoryTests(initializer);
