// Jobs by lines of JSON on standard input, answers by lines on standard output (asking.py).
import { createInterface } from 'node:readline';

// The AI SDK rejects promises that nobody asked for, too.
process.on('unhandledRejection', () => {});

// answerEach - `answer` makes a promise of a job's result; what it throws is told as a program would see it.
export async function answerEach(answer) {
  for await (const line of createInterface({ input: process.stdin })) {
    let result;
    try {
      result = await answer(JSON.parse(line));
    } catch (error) {
      const status = error.statusCode ?? error.status_code ?? error.status ?? null;
      result = { error: String(error.message ?? error), status };
    }
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  process.exit(0);
}
