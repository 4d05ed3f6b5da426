/** `tallygate prices import`: writes the models of a published price list for an AIBackend. */
import { readFileSync } from 'node:fs';
import { modelPattern } from '../crds/schema.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { readJson } from './price-lists/json-place.ts';
import { areFree, type WrittenPrices, writtenPrices } from './price-lists/listed-prices.ts';
import { litellm } from './price-lists/litellm.ts';
import { modelsDev } from './price-lists/models-dev.ts';
import { Findings, type ListEntry, type PriceListFormat } from './price-lists/price-list.ts';
import { printable, printableLines } from './terminal/printable.ts';
import { printableYaml } from './terminal/yaml.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate prices import --from models.dev|litellm FILE [OPTION]…

Prints the models of a published price list as the models of an AIBackend: prices per million
tokens, without rounding, and limits. Reports on stderr what an AIBackend cannot have. Uses no
network: download the list first. Compare the prices with the provider's before you rely on them.

  --from LIST          models.dev: its api.json; litellm: its model_prices_and_context_window.json
  --provider NAME      provider of the models, as the list names it; required if it has several
  --models GLOB        only these models, such as 'gpt-5*'; may be repeated
`;

const options = {
  from: { type: 'string' },
  provider: { type: 'string' },
  models: { type: 'string', multiple: true },
} as const;

const formats: Readonly<Record<string, PriceListFormat>> = { 'models.dev': modelsDev, litellm };

/** The maximum of `models` of an AIBackend. */
const MAX_MODELS = 256;

export const prices: Verb = async ({ args }) => {
  const parsed = readOptions('prices', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { from, provider, models: globs = ['*'] } = parsed.values;
  const [action, file, ...more] = parsed.positionals;
  const format = from !== undefined && Object.hasOwn(formats, from) ? formats[from] : undefined;
  if (action !== 'import' || file === undefined || more.length > 0 || format === undefined) {
    const problem =
      action !== 'import'
        ? 'the action must be import'
        : format === undefined
          ? `--from must be ${Object.keys(formats).join(' or ')}`
          : 'name one file';
    return wrongUse('prices', problem, usage);
  }
  const chosen = chosenEntries(format, provider, globs, file);
  const findings = new Findings();
  const models = writtenModels(chosen, format, findings);
  process.stderr.write(findings.lines().map(printableLines).join(''));
  const priced = models.filter((model) => model.prices !== undefined).length;
  process.stderr.write(`${models.length} models, ${priced} with prices\n`);
  process.stdout.write(`# ${printable(chosen[0]!.provider)} in ${format.source}\n${printableYaml({ models })}`);
  return 0;
};

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    throw new OperatorError(`${file}: cannot be read (${code}); fix: correct the path or its permissions`);
  }
}

function chosenEntries(
  format: PriceListFormat,
  provider: string | undefined,
  globs: readonly string[],
  file: string,
): readonly ListEntry[] {
  const entries = format.entries(readJson({ name: file, text: textOf(file), fix: format.fix }));
  const providers = [...new Set(entries.map((each) => each.provider))];
  if (providers.length === 0) {
    throw new OperatorError(`${file}: has no models; fix: ${format.fix}`);
  }
  if (provider === undefined ? providers.length !== 1 : !providers.includes(provider)) {
    const problem = provider === undefined ? 'has several providers' : `has no provider ${JSON.stringify(provider)}`;
    throw new OperatorError(`${file}: ${problem}; fix: select one with --provider: ${providers.sort().join(', ')}`);
  }
  const ofProvider = entries.filter((each) => provider === undefined || each.provider === provider);
  const matchers = globs.map((glob) => ({ glob, matches: globMatcher(glob) }));
  const unused = matchers.find(({ matches }) => !ofProvider.some(({ name }) => matches(name)));
  if (unused !== undefined) {
    throw new OperatorError(`${file}: no model of the provider matches --models ${unused.glob}; fix: correct the glob`);
  }
  return ofProvider.filter(({ name }) => matchers.some(({ matches }) => matches(name)));
}

function globMatcher(glob: string): (name: string) => boolean {
  const parts = glob.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`^${parts.join('.*')}$`);
  return (name) => pattern.test(name);
}

interface WrittenModel {
  readonly name: string;
  readonly maxOutputTokens?: number;
  readonly contextTokens?: number;
  readonly prices?: WrittenPrices;
}

function writtenModels(
  entries: readonly ListEntry[],
  format: PriceListFormat,
  findings: Findings,
): readonly WrittenModel[] {
  const models = new Map<string, WrittenModel>();
  for (const entry of entries) {
    const { name } = entry;
    if (name.includes('*') || !modelPattern.safeParse(name).success) {
      findings.add('left out, because the name is not one of a model', JSON.stringify(name));
    } else if (models.has(name)) {
      findings.add('left out, because the list has the model before', name);
    } else {
      models.set(name, writtenModel(entry, format, findings));
    }
  }
  if (models.size > MAX_MODELS) {
    throw new OperatorError(
      `${models.size} models are selected, and an AIBackend has at most ${MAX_MODELS}; fix: select some with --models`,
    );
  }
  return [...models.values()];
}

function writtenModel(entry: ListEntry, format: PriceListFormat, findings: Findings): WrittenModel {
  const { name } = entry;
  const { contextTokens, maxOutputTokens, prices: listed } = format.read(entry, findings);
  let written = listed && writtenPrices(listed);
  if (typeof written === 'string') {
    findings.noPrices(written, name);
    written = undefined;
  }
  if (written !== undefined && areFree(written)) {
    findings.add('requests cost nothing, because all prices are 0', name);
  }
  return {
    name,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(contextTokens !== undefined && { contextTokens }),
    ...(written !== undefined && { prices: written }),
  };
}
