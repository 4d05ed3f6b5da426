/**
 * Holds the costs of recorded answers against their prices times the numbers in their raw JSON,
 * computed with BigInt and without the code of the gateway.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ModelPrices, TokenKind } from '../contract/tokens.ts';
import { type AnyJson, documentsOf } from '../fixtures/exchange.ts';
import { exchanges, NO_TEXT, newAdapter, type ReadExchange, relayed } from './providers/testing/recordings.ts';
import { costNanos, finalPrices } from './quota/money.ts';

/** Different primes, so that a token of a wrong kind changes the sum. */
const perMillionTokens: Readonly<Record<TokenKind, number>> = {
  input: 2_500_009,
  cachedInput: 1_250_003,
  cacheWriteInput: 3_125_029,
  cacheWrite1hInput: 5_000_011,
  audioInput: 40_000_003,
  imageInput: 7_000_003,
  output: 10_000_019,
  reasoningOutput: 12_000_017,
  audioOutput: 80_000_023,
  imageOutput: 30_000_001,
};
const prices: ModelPrices = {
  currency: 'USD',
  perMillionTokens,
  perRequest: 7,
  serviceTiers: ['standard', 'default', 'flex', 'priority', 'scale', 'on_demand'].map((name, place) => ({
    name,
    perMillionTokens: { input: 1_000_003 + 2 * place, output: 3_000_017 + 2 * place },
  })),
};

interface Told {
  readonly tokens: Readonly<Partial<Record<TokenKind, bigint>>>;
  readonly tier: string | undefined;
}

/** Reads what an answer tells of its tokens, each token in one kind; undefined: nothing. */
function toldBy(exchange: ReadExchange): Told | undefined {
  const documents = documentsOf(exchange);
  const usages: AnyJson[] = documents.flatMap((each) =>
    [each.message?.usage, each.x_groq?.usage, each.usage, each.response?.usage].filter(Boolean),
  );
  const [details] = documents.map((each) => each.details).filter((each) => each?.generated_tokens !== undefined);
  if (details !== undefined) {
    const input = BigInt(details.input_length ?? details.prefill?.length ?? 0);
    return { tokens: { input, output: BigInt(details.generated_tokens) }, tier: undefined };
  }
  if (usages.length === 0) {
    return undefined;
  }
  const tier = documents
    .map((each) => each.service_tier ?? each.message?.usage?.service_tier ?? each.usage?.service_tier)
    .concat(documents.filter(isEnd).map((each) => each.response.service_tier))
    .findLast((each) => typeof each === 'string');
  return { tokens: exchange.path === '/v1/messages' ? anthropicTokens(usages) : openAiTokens(usages), tier };
}

const isEnd = ({ type }: AnyJson) => /^response\.(completed|incomplete|failed)$/.test(type ?? '');

/** The largest of each number, because a stream may report it several times. */
function largest(usages: readonly AnyJson[], ...path: readonly string[]): bigint {
  return most(...usages.map((usage) => BigInt(Math.ceil(path.reduce((at: AnyJson, name) => at?.[name], usage) ?? 0))));
}

function most(...values: readonly bigint[]): bigint {
  return values.toSorted((one, other) => Number(one - other)).at(-1) ?? 0n;
}

function anthropicTokens(usages: readonly AnyJson[]): Told['tokens'] {
  const iterations: AnyJson[] = usages.findLast((usage) => usage.iterations)?.iterations ?? [];
  const number = (name: string) => {
    const sum = (isIncluded: boolean) =>
      iterations
        .filter(({ type }) => /^(fallback_)?message$/.test(type) === isIncluded)
        .reduce((total, each) => total + BigInt(each[name] ?? 0), 0n);
    return most(largest(usages, name), sum(true)) + sum(false);
  };
  const hour = largest(usages, 'cache_creation', 'ephemeral_1h_input_tokens');
  const thinking = largest(usages, 'output_tokens_details', 'thinking_tokens');
  return {
    input: number('input_tokens'),
    cachedInput: number('cache_read_input_tokens'),
    cacheWriteInput: number('cache_creation_input_tokens') - hour,
    cacheWrite1hInput: hour,
    output: number('output_tokens') - thinking,
    reasoningOutput: thinking,
  };
}

function openAiTokens(usages: readonly AnyJson[]): Told['tokens'] {
  const both = (name: string, other: string, detail: string) =>
    most(largest(usages, name, detail), largest(usages, other, detail));
  const ofInput = (detail: string) => both('prompt_tokens_details', 'input_tokens_details', detail);
  const ofOutput = (detail: string) => both('completion_tokens_details', 'output_tokens_details', detail);
  const input = largest(usages, 'prompt_tokens') + largest(usages, 'input_tokens');
  const shown = largest(usages, 'completion_tokens') + largest(usages, 'output_tokens');
  const cachedInput = most(ofInput('cached_tokens'), largest(usages, 'prompt_cache_hit_tokens'));
  const cacheWriteInput = ofInput('cache_write_tokens');
  // Some providers leave reasoning out of their output tokens, and only their total has it.
  const total = largest(usages, 'total_tokens');
  const output = most(total - input, shown);
  const reasoningOutput = ofOutput('reasoning_tokens');
  const [audioInput, imageInput] = [ofInput('audio_tokens'), ofInput('image_tokens')];
  const [audioOutput, imageOutput] = [ofOutput('audio_tokens'), ofOutput('image_tokens')];
  return {
    input: input - cachedInput - cacheWriteInput - audioInput - imageInput,
    cachedInput,
    cacheWriteInput,
    audioInput,
    imageInput,
    output: output - reasoningOutput - audioOutput - imageOutput,
    reasoningOutput,
    audioOutput,
    imageOutput,
  };
}

function exactNanos({ tokens, tier }: Told): bigint {
  const of = prices.serviceTiers?.find(({ name }) => name === tier)?.perMillionTokens ?? perMillionTokens;
  const sum = (Object.entries(tokens) as [TokenKind, bigint][]).reduce((total, [kind, count]) => {
    const whole = kind.endsWith('nput') ? of.input : of.output;
    return total + count * BigInt(of[kind] ?? whole ?? 0);
  }, 0n);
  return BigInt(prices.perRequest ?? 0) + (sum + 999_999n) / 1_000_000n;
}

describe('recorded answers', () => {
  const told = exchanges().map((exchange) => ({ exchange, told: toldBy(exchange) }));

  for (const { exchange, told: expected } of told.filter((each) => each.told !== undefined)) {
    it(`${exchange.name} costs its tokens times their prices, to the nano-unit`, () => {
      const adapter = newAdapter(exchange.endpoint);
      const bytes = Buffer.from(exchange.answer);
      const { unary, reader } = adapter;
      if (exchange.stream) {
        relayed(adapter, [bytes], NO_TEXT);
      } else {
        unary.push(bytes, NO_TEXT);
      }
      const { usage, serviceTier } = exchange.stream ? reader : unary;
      assert.ok(usage);
      assert.equal(serviceTier, expected!.tier);
      assert.equal(BigInt(costNanos(usage, finalPrices(prices, serviceTier, 'default'))), exactNanos(expected!));
    });
  }

  it('have usage of each kind and service tiers', () => {
    const all = told.flatMap((each) => each.told ?? []);
    const kinds = new Set(
      all.flatMap(({ tokens }) => Object.entries(tokens).filter(([, count]) => count > 0n)).map(([kind]) => kind),
    );
    for (const kind of ['input', 'output', 'cachedInput', 'cacheWriteInput', 'reasoningOutput']) {
      assert.ok(kinds.has(kind), kind);
    }
    assert.ok(all.some(({ tier }) => tier !== undefined));
  });
});
