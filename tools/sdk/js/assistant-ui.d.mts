import type { ResumableStreamStore } from 'assistant-stream/resumable';

export interface TokenlogResumableStreamStoreOptions {
  /** Of the server, without a path. */
  url: string;
  /** Of a project, where the server asks for one; by default $TOKENLOG_API_KEY. */
  apiKey?: string;
  headers?: Record<string, string>;
  /** Of the streams' paths behind /v1/stream/; by default `assistant-ui/`. */
  prefix?: string;
  /** How long a stream is kept after its last chunk; by default a day. */
  defaultTtlMs?: number;
}

export function createTokenlogResumableStreamStore(
  options: TokenlogResumableStreamStoreOptions,
): ResumableStreamStore;
