/**
 * Decides how many cases the randomized tests run. `make test` runs a small share; `make fuzz
 * CASES=N` runs about N in total (FUZZ_CASES). FUZZ_SEED repeats a run. Each test program appends
 * its result to the file that FUZZ_REPORT names.
 */
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { newRandom, type Random } from './random.ts';

/**
 * The cases of all shares of `make test`, as FUZZ_REPORT counts them. A run of N cases scales each
 * share by N / SHORT_CASES.
 */
const SHORT_CASES = 88_000;

const requested = process.env['FUZZ_CASES'];
const factor = requested === undefined || requested === '' ? 1 : Math.max(1, Number(requested) / SHORT_CASES);
const seed = process.env['FUZZ_SEED'] ? Number(process.env['FUZZ_SEED']) : undefined;
const report = process.env['FUZZ_REPORT'];

let planned = 0;

/** Returns the parameters of fast-check's `assert`, instead of `{ numRuns: few }`. */
export function fuzzRuns(few: number): { readonly numRuns: number; readonly seed?: number } {
  const numRuns = Math.ceil(few * factor);
  planned += numRuns;
  return { numRuns, ...(seed !== undefined && { seed }) };
}

/**
 * Runs `test` with a separate random source per case. A failure names the FUZZ_CASE that repeats
 * it.
 */
export async function fuzz(few: number, test: (random: Random) => void | Promise<void>): Promise<void> {
  const { numRuns } = fuzzRuns(few);
  const first = seed ?? Math.floor(Math.random() * 2 ** 31);
  const only = process.env['FUZZ_CASE'];
  for (let index = 0; index < numRuns; index += 1) {
    const own = only === undefined ? first + index : Number(only);
    try {
      await test(newRandom(own));
    } catch (error) {
      throw new Error(`FUZZ_CASE=${own} fails: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
    if (only !== undefined) {
      return;
    }
  }
}

if (report) {
  const startedMs = performance.now();
  process.on('exit', () => {
    if (planned === 0) {
      return;
    }
    const file = path.relative(process.cwd(), process.argv[1] ?? '');
    const seconds = (performance.now() - startedMs) / 1000;
    appendFileSync(
      report,
      `${JSON.stringify({ file, cases: planned, seconds, failed: Number(process.exitCode ?? 0) !== 0 })}\n`,
    );
  });
}
