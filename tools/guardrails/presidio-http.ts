/**
 * Measures Presidio called whole, as a proxy without hold-back must call it: each text or answer in
 * one request over HTTP, by the gateway's own client, beside the gateway's own detectors. Run by
 * `tools/guardrails/presidio-http.sh`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { PresidioSettings } from '../../contract/guardrails.ts';
import { builtinDetector } from '../../extproc/guard/detectors/builtin.ts';
import type { Finding } from '../../extproc/guard/detectors/detector.ts';
import type { AnalyzeContext } from '../../extproc/guard/external/external-detector.ts';
import { ExternalDetectors } from '../../extproc/guard/external/external-detectors.ts';
import { row, table } from '../markdown.ts';

const root = path.resolve(import.meta.dirname, '../..');
const TIMEOUT_MS = 60_000;
const ROUNDS = 20;
const SIZES = [200, 2_000, 20_000] as const;

const seven = builtinDetector(
  ['CreditCard', 'IBAN', 'Email', 'Phone', 'USSocialSecurityNumber', 'IPAddress', 'Secret'],
  ['US', 'GB', 'DE', 'FR', 'ES', 'IT', 'AT', 'CH', 'IN', 'BR', 'AU'],
);
const settings: PresidioSettings = {
  type: 'Presidio',
  service: { url: `http://127.0.0.1:${process.argv[2]}` },
  language: 'en',
  entities: ['CREDIT_CARD', 'IBAN_CODE', 'EMAIL_ADDRESS', 'PHONE_NUMBER', 'US_SSN', 'IP_ADDRESS'],
  scoreThreshold: 0.35,
};
const context: AnalyzeContext = { phase: 'response', scope: 'assistant', model: 'm', route: 'a/b', final: true };
const detectors = new ExternalDetectors({ secret: () => undefined, now: Date.now });
const { signal } = new AbortController();
const askPresidio = (text: string) => detectors.analyze(settings, text, context, TIMEOUT_MS, signal);

const prose = readFileSync(path.join(root, 'README.md'), 'utf8').replaceAll(/[^ -~\n]/g, ' ');
const textOf = (size: number) => prose.repeat(Math.ceil(size / prose.length)).slice(0, size);

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)]!;
}

async function presidioMs(text: string): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startedMs = performance.now();
    await askPresidio(text);
    times.push(performance.now() - startedMs);
  }
  return median(times);
}

function sevenMs(text: string): number {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const found: Finding[] = [];
    const startedMs = performance.now();
    seven.find(text, 0, text.length, found);
    times.push(performance.now() - startedMs);
  }
  return median(times);
}

const rows: string[] = [];
for (const size of SIZES) {
  const text = textOf(size);
  await presidioMs(text);
  sevenMs(text);
  const whole = await presidioMs(text);
  const own = sevenMs(text);
  rows.push(row(String(size), whole.toFixed(1), own.toFixed(2), String(Math.round(whole / own))));
}
detectors.close();
const page = [
  '# Presidio called whole',
  'Written by `tools/guardrails/presidio-http.sh`: presidio-analyzer 2.2.366 behind its HTTP API on the same machine, with its pattern recognizers and without the model that finds names, asked by the gateway’s client about one text at a time. A client of an answer that is examined whole waits for the whole answer and then for this time; the seven built-in detectors look at an answer while it streams ([figures](guardrails.md#responses)). Medians of 20 calls on a connection that stays open.',
  table(['characters', 'Presidio over HTTP, ms', 'seven detectors, ms', 'ratio'], rows),
  '',
].join('\n\n');
console.log(page);
if (!process.argv.includes('--no-write')) {
  writeFileSync(path.join(root, 'bench/results/guardrails-presidio.md'), page);
}
