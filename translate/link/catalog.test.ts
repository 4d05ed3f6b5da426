import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelFacts } from '../../contract/policy.ts';
import { catalogNames } from '../../crds/backend.ts';
import { modelPattern } from '../../crds/schema.ts';
import { readWorld } from '../read/read.ts';
import { exampleOptions, exampleVariables } from '../testing.ts';
import { translate } from '../translate.ts';
import { priceCatalog } from './catalog.ts';

function modelsOf(spec: object): readonly ModelFacts[] {
  const endpoint = { type: 'Hostname', hostname: { name: 'api.example.com' } };
  const objects = [
    [
      'gateway.networking.k8s.io/v1',
      'Gateway',
      { gatewayClassName: 'tallygate', listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }] },
    ],
    ['tallygate.dev/v1alpha1', 'AIBackend', { schema: 'OpenAI', endpoint, ...spec }],
    [
      'tallygate.dev/v1alpha1',
      'AIGatewayRoute',
      { parentRefs: [{ name: 'a' }], rules: [{ name: 'all', models: ['*'], backendRefs: [{ name: 'a' }] }] },
    ],
  ] as const;
  const text = objects
    .map(([apiVersion, kind, body]) =>
      JSON.stringify({ apiVersion, kind, metadata: { name: 'a', namespace: 'default' }, spec: body }),
    )
    .join('\n---\n');
  const { world, problems } = readWorld([{ name: 'test.yaml', text }], exampleVariables);
  assert.deepEqual(problems, []);
  return translate(world, exampleOptions).policy.backends[0]!.models;
}

for (const name of catalogNames) {
  test(`the price list of ${name} has usable names and exact prices, globs last`, () => {
    const listed = priceCatalog.providers[name];
    assert.ok(listed.some(({ prices }) => prices !== undefined));
    assert.equal(new Set(listed.map((model) => model.name)).size, listed.length);
    assert.ok(listed.every((model) => modelPattern.safeParse(model.name).success && /^[^*]+\*?$/.test(model.name)));
    const globs = listed.map((model) => model.name.endsWith('*'));
    assert.deepEqual(globs, globs.toSorted());
    for (const { prices } of modelsOf({ catalog: name })) {
      for (const kinds of [prices?.perMillionTokens, prices?.longContext?.perMillionTokens]) {
        assert.ok(kinds === undefined || [kinds.input, ...Object.values(kinds)].every(Number.isSafeInteger));
      }
      assert.ok(prices === undefined || prices.catalog === priceCatalog.source);
    }
  });
}

test('models that write images have the price of their images', () => {
  const model = modelsOf({ catalog: 'google' }).find(({ name }) => name === 'gemini-2.5-flash-image');
  const { output, imageOutput } = model?.prices?.perMillionTokens ?? {};
  assert.ok(output !== undefined && imageOutput !== undefined && imageOutput > output);
});

test('entries of the backend override its catalog, and take from it what they leave out', () => {
  const listed = priceCatalog.providers.openai.find(({ name }) => name === 'gpt-4o-mini');
  assert.ok(listed?.prices !== undefined);
  const prices = { currency: 'EUR', perMillionTokens: { input: '1', output: '2' } };
  const models = modelsOf({
    catalog: 'openai',
    models: [
      { name: 'gpt-4o-mini', maxOutputTokens: 16_384 },
      { name: 'gpt-4o-mini-2024-07-18', contextTokens: 1_000, prices },
      { name: 'house-model', maxOutputTokens: 100 },
    ],
  });
  const [filled, overridden, own] = models;
  assert.equal(filled?.maxOutputTokens, 16_384);
  assert.equal(filled?.contextTokens, listed.contextTokens);
  assert.equal(filled?.prices?.catalog, priceCatalog.source);
  assert.equal(overridden?.contextTokens, 1_000);
  assert.deepEqual(overridden?.prices, { currency: 'EUR', perMillionTokens: { input: 1e9, output: 2e9 } });
  assert.equal(own?.prices, undefined);
  for (const name of ['gpt-4o-mini', 'gpt-4o-mini-2024-07-18']) {
    assert.equal(models.filter((model) => model.name === name).length, 1);
  }
});

test('prices of long contexts are compiled', () => {
  const long = { aboveInputTokens: 200_000, perMillionTokens: { input: '2.5', output: '15' } };
  const prices = { currency: 'USD', perMillionTokens: { input: '1.25', output: '10' }, longContext: long };
  const [model] = modelsOf({ models: [{ name: 'm', prices }] });
  assert.deepEqual(model?.prices?.longContext, {
    aboveInputTokens: 200_000,
    perMillionTokens: { input: 2_500_000_000, output: 15_000_000_000 },
  });
});

test('a backend without a catalog has only its own models', () => {
  assert.deepEqual(modelsOf({ models: [{ name: 'm' }] }), [{ name: 'm', reasoningTokens: 'Auto' }]);
});
