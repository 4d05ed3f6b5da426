/** Prices and limits of a deployment become `models` of its AIBackend. */
import type { ObjectDraft } from '../draft.ts';
import type { SourceField } from '../source-field.ts';
import type { DeploymentFields } from './deployment-fields.ts';

export interface DraftModel {
  readonly name: string;
  maxOutputTokens?: number;
  contextTokens?: number;
  prices?: { readonly currency: 'USD'; readonly perMillionTokens: Record<string, string>; perRequest?: string };
}

/** LiteLLM has prices of one token, in dollars. */
const tokenPrices: Readonly<Record<string, string>> = {
  input_cost_per_token: 'input',
  output_cost_per_token: 'output',
  cache_read_input_token_cost: 'cachedInput',
  cache_creation_input_token_cost: 'cacheWriteInput',
  cache_creation_input_token_cost_above_1hr: 'cacheWrite1hInput',
  output_cost_per_reasoning_token: 'reasoningOutput',
  input_cost_per_audio_token: 'audioInput',
  output_cost_per_audio_token: 'audioOutput',
};

const limits: Readonly<Record<string, 'maxOutputTokens' | 'contextTokens'>> = {
  max_output_tokens: 'maxOutputTokens',
  max_input_tokens: 'contextTokens',
};

const MAX_TOKENS = 2 ** 31 - 1;

/** Undefined if the deployment says nothing about its model. */
export function modelFacts(fields: DeploymentFields, model: string, draft: ObjectDraft): DraftModel | undefined {
  const facts: DraftModel = { name: model };
  for (const [name, member] of Object.entries(limits)) {
    const field = fields.info(name);
    const tokens = field?.number;
    if (tokens !== undefined && Number.isInteger(tokens) && tokens >= 1 && tokens <= MAX_TOKENS) {
      facts[member] = tokens;
      field?.becomes(draft.place(facts, member));
    }
  }
  addPrices(fields, facts, draft);
  return Object.keys(facts).length > 1 ? facts : undefined;
}

function addPrices(fields: DeploymentFields, facts: DraftModel, draft: ObjectDraft): void {
  const perMillionTokens: Record<string, string> = {};
  const prices = { currency: 'USD', perMillionTokens } as const;
  for (const [name, member] of Object.entries(tokenPrices)) {
    for (const field of [fields.at(name), fields.info(name)]) {
      const price = field && decimal(field, 6);
      if (field !== undefined && price !== undefined && perMillionTokens[member] === undefined) {
        perMillionTokens[member] = price;
        field.becomes(draft.place(perMillionTokens, member));
      }
    }
  }
  const perRequest = fields.at('input_cost_per_request') ?? fields.info('input_cost_per_request');
  const price = perRequest && decimal(perRequest, 0);
  if (price !== undefined) {
    const withRequest = { ...prices, perRequest: price };
    facts.prices = withRequest;
    perRequest?.becomes(draft.place(withRequest, 'perRequest'));
  } else if (Object.keys(perMillionTokens).length > 0) {
    facts.prices = prices;
  }
}

/** Moves the point of a decimal number. Undefined for a price that an AIBackend cannot have. */
function decimal(field: SourceField, places: number): string | undefined {
  const [, whole = '', fraction = '', exponent = '0'] =
    /^([0-9]+)(?:\.([0-9]+))?(?:e([+-]?[0-9]{1,3}))?$/i.exec(field.text ?? '') ?? [];
  const point = whole.length + Number(exponent) + places;
  if (whole === '' || point > 300 || point < -300) {
    return undefined;
  }
  const digits = `${'0'.repeat(Math.max(0, 1 - point))}${whole}${fraction}`;
  const at = Math.max(point, 1);
  const [left, right] = [
    digits
      .slice(0, at)
      .padEnd(at, '0')
      .replace(/^0+(?=.)/, ''),
    digits.slice(at).replace(/0+$/, ''),
  ];
  const text = right === '' ? left : `${left}.${right}`;
  return /^[0-9]{1,6}(\.[0-9]{1,9})?$/.test(text) ? text : undefined;
}
