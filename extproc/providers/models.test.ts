import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../errors.ts';
import type { ServedModel } from './adapter.ts';
import { findEndpoint } from './registry.ts';

const openAi = () => undefined;
const anthropic = (name: string) => (name === 'anthropic-version' ? '2023-06-01' : undefined);
const google = (name: string) => (name === 'x-goog-api-client' ? 'google-genai-sdk/3.3.0' : undefined);

function unknown(name: string): ServedModel {
  return { name, contextTokens: undefined, maxOutputTokens: undefined, prices: undefined };
}

function answer(target: string, header: (name: string) => string | undefined, models: readonly ServedModel[]) {
  const [path = '', query] = target.split('?');
  const find = (name: string) => models.find((model) => model.name === name);
  const { modelsBody } = findEndpoint('GET', path, header)!.endpoint;
  const body = modelsBody!({ list: () => models, find }, path, new URLSearchParams(query));
  return isFailure(body) ? body : JSON.parse(Buffer.from(body).toString());
}

describe("OpenAI's form", () => {
  it('lists models with their limits and prices where known', () => {
    const known: ServedModel = {
      name: 'b/c',
      contextTokens: 128_000,
      maxOutputTokens: 16_384,
      prices: { currency: 'USD', perMillionTokens: { input: 150_000_000, cachedInput: 75_000_000 } },
    };
    assert.deepEqual(answer('/v1/models', openAi, [unknown('a'), known]), {
      object: 'list',
      data: [
        { id: 'a', object: 'model', created: 0, owned_by: 'tallygate' },
        {
          id: 'b/c',
          object: 'model',
          created: 0,
          owned_by: 'tallygate',
          context_length: 128_000,
          max_completion_tokens: 16_384,
          prices: { currency: 'USD', per_million_tokens: { input: '0.15', cached_input: '0.075' } },
        },
      ],
    });
  });
});

describe("Anthropic's form", () => {
  const names = ['a', 'b', 'c', 'd', 'e'].map(unknown);
  const page = (query: string) => {
    const { data, has_more, first_id, last_id } = answer(`/v1/models?${query}`, anthropic, names);
    return [data.map(({ id }: { id: string }) => id).join(''), has_more, first_id, last_id];
  };

  it('names limits, and null where they are unknown', () => {
    const known = { ...unknown('claude'), contextTokens: 200_000, maxOutputTokens: 64_000 };
    const { data } = answer('/v1/models', anthropic, [known, unknown('other')]);
    assert.deepEqual(
      data.map((model: Record<string, unknown>) => [model['max_input_tokens'], model['max_tokens']]),
      [
        [200_000, 64_000],
        [null, null],
      ],
    );
  });

  it('has pages in both directions', () => {
    assert.deepEqual(page(''), ['abcde', false, 'a', 'e']);
    assert.deepEqual(page('limit=2'), ['ab', true, 'a', 'b']);
    assert.deepEqual(page('limit=2&after_id=b'), ['cd', true, 'c', 'd']);
    assert.deepEqual(page('limit=2&after_id=d'), ['e', false, 'e', 'e']);
    assert.deepEqual(page('limit=2&before_id=d'), ['bc', true, 'b', 'c']);
    assert.deepEqual(page('limit=2&before_id=c'), ['ab', false, 'a', 'b']);
    assert.deepEqual(page('after_id=e'), ['', false, null, null]);
  });

  it('goes on after a model that is gone', () => {
    assert.deepEqual(page('limit=2&after_id=bb'), ['cd', true, 'c', 'd']);
  });

  it('has at most 20 models in a page of default size', () => {
    const many = Array.from({ length: 21 }, (_, index) => unknown(`model-${10 + index}`));
    const { data, has_more } = answer('/v1/models', anthropic, many);
    assert.deepEqual([data.length, has_more], [20, true]);
  });

  it('refuses a page that cannot be meant', () => {
    for (const query of ['limit=0', 'limit=1001', 'limit=many', 'after_id=a&before_id=b']) {
      assert.equal(answer(`/v1/models?${query}`, anthropic, names).code, 'invalid_value', query);
    }
  });
});

describe("Google's form", () => {
  const names = ['a', 'b', 'c', 'd', 'e'].map(unknown);
  const page = (query: string) => {
    const { models, nextPageToken } = answer(`/v1beta/models?${query}`, openAi, names);
    return [models.map(({ displayName }: { displayName: string }) => displayName).join(''), nextPageToken];
  };

  it('names limits and prices where they are known', () => {
    const prices = { currency: 'USD', perMillionTokens: { input: 150_000_000 } };
    const known = { name: 'b/c', contextTokens: 128_000, maxOutputTokens: 16_384, prices };
    const supportedGenerationMethods = ['generateContent', 'countTokens', 'embedContent'];
    assert.deepEqual(answer('/v1beta/models', openAi, [unknown('a'), known]), {
      models: [
        { name: 'models/a', displayName: 'a', supportedGenerationMethods },
        {
          name: 'models/b/c',
          displayName: 'b/c',
          inputTokenLimit: 128_000,
          outputTokenLimit: 16_384,
          supportedGenerationMethods,
          prices: { currency: 'USD', per_million_tokens: { input: '0.15' } },
        },
      ],
    });
  });

  it('has pages', () => {
    assert.deepEqual(page(''), ['abcde', undefined]);
    assert.deepEqual(page('pageSize=0'), ['abcde', undefined]);
    assert.deepEqual(page('pageSize=2'), ['ab', 'b']);
    assert.deepEqual(page('pageSize=2&pageToken=b'), ['cd', 'd']);
    assert.deepEqual(page('pageSize=2&pageToken=bb'), ['cd', 'd']);
    assert.deepEqual(page('pageSize=1&pageToken=d'), ['e', undefined]);
    assert.deepEqual(page('pageToken=e'), ['', undefined]);
    assert.deepEqual(page('pageSize=5000'), ['abcde', undefined]);
  });

  it('has at most 50 models in a page of default size, and at most 1,000 in any', () => {
    const many = Array.from({ length: 1_001 }, (_, index) => unknown(`model-${1_000 + index}`));
    assert.equal(answer('/v1beta/models', openAi, many).models.length, 50);
    assert.equal(answer('/v1beta/models?pageSize=2000', openAi, many).models.length, 1_000);
  });

  it('refuses a page that cannot be meant', () => {
    for (const query of ['pageSize=-1', 'pageSize=1.5', 'pageSize=many']) {
      assert.equal(answer(`/v1beta/models?${query}`, openAi, names).code, 'invalid_value', query);
    }
  });

  it('finds models one by one', () => {
    assert.equal(answer('/v1beta/models/b%2Fc', openAi, [unknown('b/c')]).name, 'models/b/c');
    assert.equal(answer('/v1/models/b/c', google, [unknown('b/c')]).name, 'models/b/c');
    assert.equal(answer('/v1beta/models/d', openAi, [unknown('b/c')]).code, 'model_not_found');
  });
});

it('finds models one by one', () => {
  for (const header of [openAi, anthropic]) {
    assert.equal(answer('/v1/models/b%2Fc', header, [unknown('b/c')]).id, 'b/c');
    assert.equal(answer('/v1/models/b/c', header, [unknown('b/c')]).id, 'b/c');
    assert.equal(answer('/v1/models/d', header, [unknown('b/c')]).code, 'model_not_found');
  }
});
