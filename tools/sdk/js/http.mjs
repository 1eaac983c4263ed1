// Calls of a tokenlog server. Nearly all that this package sends may be sent twice, so what got no answer, or a
// 503, is sent again.

const TRIES = 6; // over some three seconds: a restart
const FIRST_WAIT_MS = 100;

export class TokenlogError extends Error {
  constructor(status, error) {
    super(error?.message ?? `status ${status}`);
    this.name = 'TokenlogError';
    this.status = status;
    this.code = error?.code;
  }
}

async function errorOf(response) {
  const text = await response.text();
  try {
    return new TokenlogError(response.status, JSON.parse(text).error);
  } catch {
    return new TokenlogError(response.status, { message: text.slice(0, 200) });
  }
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param url      the server's, without a path
 * @param apiKey   of a project, where the server asks for one; by default $TOKENLOG_API_KEY
 * @param headers  more of them
 * @returns call(method, path, {body, headers, expected, signal, isOnce}): the Response. A status above 299 that
 *          is not among `expected` is thrown, as a TokenlogError. `isOnce`: it is not sent again.
 */
export function caller({ url, apiKey = globalThis.process?.env.TOKENLOG_API_KEY, headers = {} }) {
  const root = url.replace(/\/+$/, '');
  const common = apiKey ? { ...headers, Authorization: `Bearer ${apiKey}` } : headers;

  async function once(method, path, options) {
    const response = await fetch(root + path, {
      method,
      body: options.body,
      headers: { ...common, ...options.headers },
      signal: options.signal,
    });
    if (response.ok || options.expected?.includes(response.status)) return response;
    throw await errorOf(response);
  }

  return async function call(method, path, options = {}) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await once(method, path, options);
      } catch (error) {
        const isFinal = error instanceof TokenlogError && error.status !== 503;
        if (isFinal || tries === TRIES || options.isOnce || options.signal?.aborted) throw error;
      }
      await wait(FIRST_WAIT_MS * 2 ** (tries - 1));
    }
  };
}
