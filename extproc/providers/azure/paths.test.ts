import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BackendPolicy } from '../../../contract/policy.ts';
import { azurePath } from './paths.ts';

function backend(azureApiVersion?: string): BackendPolicy {
  return {
    name: 'default/azure',
    schema: 'AzureOpenAI',
    ...(azureApiVersion !== undefined && { azureApiVersion }),
    tokenizer: { encoding: 'Auto' },
    models: [],
  };
}

test('the v1 API has the paths of OpenAI', () => {
  assert.equal(azurePath(backend(), '/v1/chat/completions', 'gpt-4o'), undefined);
});

test('preview features have a query', () => {
  assert.equal(azurePath(backend('preview'), '/v1/responses', 'gpt-4o'), '/v1/responses?api-version=preview');
});

test('a dated version names the deployment in the path, and of responses in the body', () => {
  const dated = backend('2024-10-21');
  for (const operation of ['chat/completions', 'completions', 'embeddings']) {
    assert.equal(
      azurePath(dated, `/v1/${operation}`, 'my-gpt'),
      `/v1/deployments/my-gpt/${operation}?api-version=2024-10-21`,
    );
  }
  assert.equal(azurePath(dated, '/v1/responses', 'my-gpt'), '/v1/responses?api-version=2024-10-21');
});

test('no name of a model leaves its segment of the path', () => {
  for (const [name, segment] of [
    ['a/../b?c#d', 'a%2F..%2Fb%3Fc%23d'],
    ['..', '_'],
    ['.', '_'],
    ['\ud800', '%EF%BF%BD'],
  ] as const) {
    const path = azurePath(backend('2024-10-21'), '/v1/embeddings', name);
    assert.equal(path, `/v1/deployments/${segment}/embeddings?api-version=2024-10-21`);
  }
});
