/** `make fuzz`: runs the randomized tests with a total number of cases, and writes the results. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

interface FuzzResult {
  readonly file: string;
  readonly cases: number;
  readonly seconds: number;
  readonly failed: boolean;
}

const RESULTS = 'bench/results/fuzz.md';

const [requested = '', ...files] = process.argv.slice(2);
const seed = process.env['FUZZ_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31));
const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-fuzz-'));
const report = path.join(folder, 'ran.jsonl');
writeFileSync(report, '');
console.error(`fuzz: about ${requested} cases, FUZZ_SEED=${seed}`);
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=2', ...files], {
  stdio: 'inherit',
  env: { ...process.env, FUZZ_CASES: requested, FUZZ_SEED: seed, FUZZ_REPORT: report },
});
const ran = readFileSync(report, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as FuzzResult)
  .toSorted((left, right) => left.file.localeCompare(right.file));
rmSync(folder, { recursive: true });
writeFileSync(RESULTS, page());
process.exitCode = status ?? 1;

function page(): string {
  const total = ran.reduce((sum, { cases }) => sum + cases, 0);
  const rows = ran.map(
    ({ file, cases, seconds, failed }) =>
      `| ${file} | ${cases.toLocaleString('en')} | ${seconds.toFixed(0)} | ${failed ? 'failed' : 'passed'} |`,
  );
  return `# Fuzzing

${total.toLocaleString('en')} cases, seed ${seed}, Node ${process.version}. Each test checks its own properties: among others, no exception, no remaining hold and
no uncharged token of a response. Written by \`make fuzz CASES=${requested}\`; \`FUZZ_SEED=${seed}\` repeats it.

| Test | cases | seconds | |
|---|---:|---:|---|
${rows.join('\n')}
`;
}
