/** Has V8 compile the tokenizer before the first request needs it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { newSlicedCount } from './count.ts';

/** Takes 1 ms to count once the code is compiled, and 12 ms the first time. */
const TEXT_BYTES = 8 * 1024;
/** Enough for the optimizing compiler. */
const ROUNDS = 6;
const SLICE_MS = 1;

/** One per encoding. */
const MODELS = ['gpt-4o', 'gpt-4'];

/** Counts one long word, the slowest kind of text, in slices. Takes about 50 ms of CPU time. */
export async function warmUpTokenizer(): Promise<void> {
  const text = Buffer.alloc(TEXT_BYTES, 'x');
  for (let round = 0; round < ROUNDS; round++) {
    for (const model of MODELS) {
      const count = newSlicedCount([text], { encoding: 'Auto' }, model);
      while (!count.step(SLICE_MS)) {
        await nextTurn();
      }
      await nextTurn();
    }
  }
}
