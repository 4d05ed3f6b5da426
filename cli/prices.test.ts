import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { check } from './check.ts';

const program = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tallygate-prices-'));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileOf(text: string): string {
  const file = join(folder, `${files++}.json`);
  writeFileSync(file, text);
  return file;
}

function importPrices(from: string, file: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [program, 'prices', 'import', '--from', from, file, ...args],
    { encoding: 'utf8' },
  );
  return { status, stdout, stderr, models: parse(stdout)?.models };
}

/** Runs `tallygate check` for an AIBackend with these models. */
async function problemsOf(models: readonly object[]): Promise<string> {
  const file = fileOf(
    JSON.stringify({
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIBackend',
      metadata: { name: 'imported', namespace: 'default' },
      spec: {
        schema: 'OpenAI',
        endpoint: { type: 'Hostname', hostname: { name: 'api.example.com' } },
        models,
      },
    }),
  );
  const stderr: string[] = [];
  const output = { stdout: { write: () => true }, stderr: { write: (text: string) => stderr.push(text) } };
  await check([file, '--output', 'none'], output);
  return stderr.filter((line) => !/no Gateway|1 warning/.test(line)).join('');
}

const modelsDevList = `{
  "maker": {
    "id": "maker", "name": "Maker", "env": ["MAKER_KEY"],
    "models": {
      "plain-1": {
        "id": "plain-1", "limit": {"context": 200000, "input": 150000, "output": 32000},
        "cost": {"input": 1.10, "output": 4.4, "cache_read": 0.275, "reasoning": 4.4}
      },
      "long-2.0": {
        "limit": {"context": 1000000, "output": 0},
        "cost": {
          "input": 2, "output": 10, "cache_read": 0.2, "cache_write": 2.5, "input_audio": 2, "output_audio": 0.000000001,
          "tiers": [{"input": 4, "output": 15, "cache_read": 0.4, "tier": {"type": "context", "size": 272000}}],
          "context_over_200k": {"input": 400, "output": 1500},
          "per_minute": 3
        },
        "experimental": {"modes": {
          "fast": {"cost": {"input": 5, "output": 25}, "provider": {"body": {"service_tier": "priority"}}},
          "faster": {"cost": {"input": 50, "output": 250}, "provider": {"headers": {"speed": "faster"}}}
        }}
      },
      "older": {"cost": {"input": 1, "output": 2, "context_over_200k": {"input": 2, "output": 3}}},
      "gift": {"cost": {"input": 0, "output": 0.00}},
      "steps": {"cost": {"input": 1, "output": 2, "tiers": [
        {"input": 2, "output": 2, "tier": {"type": "context", "size": 1000}},
        {"input": 3, "output": 2, "tier": {"type": "context", "size": 2000}}]}},
      "odd": {"cost": {"input": 0.12345678901, "output": 1}},
      "picture": {"limit": {"context": 4096}},
      "two words": {}
    }
  },
  "other": {"models": {"plain-1": {"cost": {"input": 99, "output": 99}}}}
}`;

test('a list of models.dev becomes models of an AIBackend that pass the check', async () => {
  const { status, stderr, stdout, models } = importPrices('models.dev', fileOf(modelsDevList), '--provider', 'maker');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^# maker in https:\/\/models\.dev\/api\.json \(MIT licence\)\nmodels:\n/);
  const usd = (perMillionTokens: object, more: object = {}) => ({ currency: 'USD', perMillionTokens, ...more });
  const long = { input: '4', cachedInput: '0.4', cacheWriteInput: '2.5', output: '15' };
  assert.deepEqual(models, [
    {
      name: 'plain-1',
      maxOutputTokens: 32_000,
      contextTokens: 200_000,
      prices: usd({ input: '1.1', cachedInput: '0.275', output: '4.4' }),
    },
    {
      name: 'long-2.0',
      contextTokens: 1_000_000,
      prices: usd(
        { input: '2', cachedInput: '0.2', cacheWriteInput: '2.5', output: '10', audioOutput: '0.000000001' },
        {
          longContext: {
            aboveInputTokens: 272_000,
            perMillionTokens: { ...long, audioOutput: '0.000000001' },
          },
          serviceTiers: [
            {
              name: 'priority',
              perMillionTokens: {
                input: '5',
                cachedInput: '0.2',
                cacheWriteInput: '2.5',
                output: '25',
                audioOutput: '0.000000001',
              },
              longContext: {
                aboveInputTokens: 272_000,
                perMillionTokens: {
                  input: '5',
                  cachedInput: '0.4',
                  cacheWriteInput: '2.5',
                  output: '25',
                  audioOutput: '0.000000001',
                },
              },
            },
          ],
        },
      ),
    },
    {
      name: 'older',
      prices: usd(
        { input: '1', output: '2' },
        { longContext: { aboveInputTokens: 200_000, perMillionTokens: { input: '2', output: '3' } } },
      ),
    },
    { name: 'gift', prices: usd({ input: '0', output: '0' }) },
    { name: 'steps' },
    { name: 'odd' },
    { name: 'picture', contextTokens: 4_096 },
  ]);
  assert.deepEqual(stderr.split('\n').sort(), [
    '',
    '7 models, 4 with prices',
    'cost.per_minute has no equal: long-2.0',
    'experimental.modes.faster has no equal: long-2.0',
    'left out, because the name is not one of a model: "two words"',
    'limit.input has no equal: plain-1',
    'requests cost nothing, because all prices are 0: gift',
    'without prices, because the list has a price that cannot be written: odd',
    'without prices, because the list has no cost: picture',
    'without prices, because the list has several steps for long input: steps',
  ]);
  assert.equal(await problemsOf(models), '');
});

const litellmList = `{
  "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of many", "max_tokens": "a text"},
  "maker/chat": {
    "litellm_provider": "maker", "mode": "chat",
    "max_tokens": 1, "max_input_tokens": 272000, "max_output_tokens": 128000,
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05,
    "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_batches": 7.5e-06,
    "input_cost_per_token_priority": 5e-06, "output_cost_per_token_priority": 3e-05,
    "cache_read_input_token_cost_priority": 5e-07,
    "input_cost_per_token_above_272k_tokens": 5e-06, "output_cost_per_token_above_272k_tokens": 2.25e-05,
    "input_cost_per_token_above_272k_tokens_priority": 1e-05,
    "cache_read_input_token_cost": 2.5e-07, "cache_creation_input_token_cost": 3.125e-06,
    "cache_creation_input_token_cost_above_1hr": 5e-06,
    "cache_creation_input_token_cost_above_1hr_above_272k_tokens": 1e-05,
    "input_cost_per_audio_token": 4e-05, "output_cost_per_audio_token": 8e-05,
    "input_cost_per_image_token": 2.5e-06, "output_cost_per_image_token": 3e-05,
    "output_cost_per_reasoning_token": 6e-05,
    "input_cost_per_request": 0.005,
    "search_context_cost_per_query": {"search_context_size_low": 0.03},
    "output_cost_per_image": 0.0, "input_cost_per_second": 0.0001,
    "supports_vision": true
  },
  "drawing": {"litellm_provider": "maker", "output_cost_per_image": 0.04},
  "ranges": {"litellm_provider": "maker", "input_cost_per_token": 1e-06, "tiered_pricing": [{"range": [0, 1]}]},
  "maker/*": {"litellm_provider": "maker", "input_cost_per_token": 1e-06},
  "elsewhere/chat": {"litellm_provider": "elsewhere", "input_cost_per_token": 9e-06}
}`;

test('a list of LiteLLM becomes models of an AIBackend that pass the check', async () => {
  const { status, stderr, models } = importPrices('litellm', fileOf(litellmList), '--provider', 'maker');
  assert.equal(status, 0, stderr);
  assert.deepEqual(
    models.map(({ name }: { readonly name: string }) => name),
    ['chat', 'drawing', 'ranges'],
  );
  const [{ prices, ...limits }] = models;
  assert.deepEqual(limits, { name: 'chat', maxOutputTokens: 128_000, contextTokens: 272_000 });
  const special = { audioInput: '40', reasoningOutput: '60', audioOutput: '80', imageOutput: '30' };
  const cache = { cachedInput: '0.25', cacheWriteInput: '3.125', cacheWrite1hInput: '5' };
  const longCache = { ...cache, cacheWrite1hInput: '10' };
  const { serviceTiers, longContext, ...plain } = prices;
  assert.deepEqual(plain, {
    currency: 'USD',
    perMillionTokens: { input: '2.5', output: '15', ...cache, ...special },
    perRequest: '0.005',
  });
  assert.deepEqual(longContext, {
    aboveInputTokens: 272_000,
    perMillionTokens: { input: '5', output: '22.5', ...longCache, ...special },
  });
  const [batch, priority] = serviceTiers;
  assert.equal(serviceTiers.length, 2);
  assert.deepEqual(batch, {
    name: 'batch',
    perMillionTokens: { input: '1.25', output: '7.5', ...cache, ...special },
    longContext,
  });
  const { imageOutput: _, ...rest } = special;
  assert.deepEqual(priority, {
    name: 'priority',
    perMillionTokens: { input: '5', output: '30', ...cache, cachedInput: '0.5', ...rest },
    longContext: {
      aboveInputTokens: 272_000,
      perMillionTokens: { input: '10', output: '30', ...longCache, cachedInput: '0.5', ...rest },
    },
  });
  assert.deepEqual(stderr.split('\n').sort(), [
    '',
    '3 models, 1 with prices',
    'input_cost_per_second has no equal: chat',
    'left out, because the name is not one of a model: "*"',
    'output_cost_per_image has no equal: drawing',
    'search_context_cost_per_query has no equal: chat',
    'without prices, because the list has no price of input tokens: drawing',
    'without prices, because the list has tiered_pricing: ranges',
  ]);
  assert.equal(await problemsOf(models), '');
});

test('globs choose models', () => {
  const args = ['--provider', 'maker', '--models', 'plain-*', '--models', '*.0'];
  const { models, stderr } = importPrices('models.dev', fileOf(modelsDevList), ...args);
  assert.deepEqual(
    models.map(({ name }: { readonly name: string }) => name),
    ['plain-1', 'long-2.0'],
    stderr,
  );
});

test('wrong files and choices get an error with their place and no output', () => {
  const list = fileOf(modelsDevList);
  const many = Array.from({ length: 257 }, (_, index) => `"m${index}": {}`).join();
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['models.dev', list], /has several providers; fix: select one with --provider: maker, other$/],
    [['models.dev', list, '--provider', 'x'], /has no provider "x"; fix: select one with --provider: maker, other$/],
    [
      ['models.dev', list, '--provider', 'other', '--models', 'gpt*'],
      /no model of the provider matches --models gpt\*; fix: correct the glob$/,
    ],
    [['models.dev', fileOf(litellmList)], /: sample_spec must have models; fix: pass the api\.json of models\.dev$/],
    [['litellm', list], /: has no models; fix: pass the model_prices_and_context_window\.json of LiteLLM$/],
    [['litellm', fileOf('<html>')], /: is not valid JSON: .*; fix: pass the model_prices/],
    [['litellm', join(folder, 'absent.json')], /absent\.json: cannot be read \(ENOENT\); fix: /],
    [
      ['models.dev', fileOf('{"a": {"models": {"m": {"cost": {"input": "1"}}}}}')],
      /: a\.models\.m\.cost\.input must be a number; fix: /,
    ],
    [['models.dev', fileOf(`{"a": {"models": {${many}}}}`)], /^tallygate: 257 models are selected, .* at most 256/],
  ];
  for (const [[from, file, ...args], message] of cases) {
    const { status, stdout, stderr } = importPrices(from!, file!, ...args);
    assert.deepEqual([status, stdout], [1, ''], stderr);
    assert.match(stderr.trim().split('\n').at(-1)!, message);
  }
  assert.equal(importPrices('prices.org', list).status, 2);
});
