/**
 * How many cases tests with chance run, in one place. `make test` runs a short share; `make fuzz CASES=N` about N of them in total (FUZZ_CASES). FUZZ_SEED
 * repeats a run. FUZZ_REPORT names a file to which each test program adds what it ran.
 */
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { newRandom, type Random } from './random.ts';

/** What all shares of `make test` are together, as FUZZ_REPORT counts them: a run of N cases makes each share N times larger, divided by this. */
const SHORT_CASES = 88_000;

const wished = process.env['FUZZ_CASES'];
const factor = wished === undefined || wished === '' ? 1 : Math.max(1, Number(wished) / SHORT_CASES);
const seed = process.env['FUZZ_SEED'] ? Number(process.env['FUZZ_SEED']) : undefined;
const report = process.env['FUZZ_REPORT'];

let planned = 0;

/** Parameters of fast-check's `assert`, in place of `{ numRuns: few }`. */
export function fuzzRuns(few: number): { readonly numRuns: number; readonly seed?: number } {
  const numRuns = Math.ceil(few * factor);
  planned += numRuns;
  return { numRuns, ...(seed !== undefined && { seed }) };
}

/** Runs `test` with chance of its own for each case; what it throws says how to repeat that case alone. */
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
