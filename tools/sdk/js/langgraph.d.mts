import type { RunnableConfig } from '@langchain/core/runnables';
import type {
  ChannelVersions, Checkpoint, CheckpointListOptions, CheckpointMetadata, CheckpointTuple,
  PendingWrite, SerializerProtocol,
} from '@langchain/langgraph-checkpoint';
import { BaseCheckpointSaver } from '@langchain/langgraph-checkpoint';

export interface TokenlogSaverOptions {
  /** Of the server, without a path. */
  url: string;
  /** Of a project, where the server asks for one; by default $TOKENLOG_API_KEY. */
  apiKey?: string;
  headers?: Record<string, string>;
  /** Of the runs' names; without one a thread's run has the thread's ID for its name. */
  prefix?: string;
  serde?: SerializerProtocol;
}

export class TokenlogSaver extends BaseCheckpointSaver {
  constructor(options: TokenlogSaverOptions);
  /** The run that a thread is: what to send as Tokenlog-Run with its inference calls. */
  runOf(threadId: string): string;
  getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined>;
  list(config: RunnableConfig, options?: CheckpointListOptions): AsyncGenerator<CheckpointTuple>;
  put(
    config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, newVersions: ChannelVersions,
  ): Promise<RunnableConfig>;
  putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string, taskPath?: string): Promise<void>;
  deleteThread(threadId: string): Promise<void>;
}
