import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FailureCode, failure } from '../errors.ts';
import { hidesReasoning, thinksByDefault } from './reasoning.ts';
import { dialectFor, endpoints, findEndpoint } from './registry.ts';

const none = () => undefined;
const anthropic = (name: string) => (name === 'anthropic-version' ? '2023-06-01' : undefined);
const google = (name: string) => (name === 'x-goog-api-client' ? 'google-genai-sdk/3.3.0' : undefined);

describe('findEndpoint', () => {
  it('finds every client API by its method and path, with and without a query', () => {
    for (const endpoint of endpoints) {
      const { name } = endpoint.dialect;
      const header = name === 'anthropic' ? anthropic : name === 'google' ? google : none;
      const path = endpoint.path.replace('{model}', 'some%2Fmodel').replace(/\{\w+\}/g, 'some');
      assert.equal(findEndpoint(endpoint.method, path, header)?.endpoint, endpoint);
      assert.equal(findEndpoint(endpoint.method, `${path}?beta=true`, header)?.endpoint, endpoint);
    }
  });

  it('finds nothing else', () => {
    for (const [method, path] of [
      ['GET', '/v1/chat/completions'],
      ['POST', '/v1/models'],
      ['POST', '/v1/chat/completions/'],
      ['POST', '/v1/chat'],
      ['POST', '/V1/chat/completions'],
      ['POST', '/v1/responses/resp_1/cancel'],
      ['GET', '/v1/models/'],
      ['POST', '/v1/messages/batches'],
      ['POST', '/v1beta/models/:generateContent'],
      ['POST', '/v1beta/models/m:generateContents'],
      ['POST', '/v1beta/models/m'],
      ['GET', '/v1beta/models/'],
      ['POST', '/v1/projects/p/q/locations/l/publishers/google/models/m:generateContent'],
      ['POST', ''],
      ['GET', '/'],
    ] as const) {
      assert.equal(findEndpoint(method, path, none), undefined, `${method} ${path}`);
    }
  });
});

describe('dialectFor', () => {
  it('selects the dialect of the client', () => {
    assert.equal(dialectFor('/v1/messages/batches', none).name, 'anthropic');
    assert.equal(dialectFor('/v1/files', anthropic).name, 'anthropic');
    assert.equal(dialectFor('/generate_anything', none).name, 'tgi');
    assert.equal(dialectFor('/v1beta/files', none).name, 'google');
    assert.equal(dialectFor('/v1/models/m:embedContent', none).name, 'google');
    assert.equal(dialectFor('/v1/models/m:batchEmbedContents', none).name, 'google');
    assert.equal(dialectFor('/v1/files', google).name, 'google');
    assert.equal(dialectFor('/v1/files', none).name, 'openai');
  });
});

describe('errors', () => {
  const bodyOf = (path: string, code: FailureCode) =>
    JSON.parse(
      Buffer.from(dialectFor(path, none).errorBody(failure(code, 'Say "why".', { param: 'model' }))).toString(),
    ) as object;

  it("have OpenAI's form", () => {
    assert.deepEqual(bodyOf('/', 'quota_exceeded'), {
      error: { message: 'Say "why".', type: 'insufficient_quota', param: 'model', code: 'quota_exceeded' },
    });
    assert.deepEqual(bodyOf('/', 'invalid_value'), {
      error: { message: 'Say "why".', type: 'invalid_request_error', param: 'model', code: 'invalid_value' },
    });
  });

  it('are one line without control characters, whatever model they name', () => {
    for (const path of ['/', '/v1/messages', '/generate']) {
      const body = dialectFor(path, none).errorBody(failure('model_not_found', 'No "\u2028\u009b31m\u007f\ud800".'));
      assert.doesNotMatch(Buffer.from(body).toString(), /[\p{Cc}\u2028\u2029\p{Cs}]/u);
    }
  });

  it("have Anthropic's form", () => {
    assert.deepEqual(bodyOf('/v1/messages', 'request_too_large'), {
      type: 'error',
      error: { type: 'request_too_large', message: 'Say "why".', code: 'request_too_large' },
    });
    assert.deepEqual(bodyOf('/v1/messages', 'overloaded'), {
      type: 'error',
      error: { type: 'overloaded_error', message: 'Say "why".', code: 'overloaded' },
    });
  });

  it("have Google's form", () => {
    const problem = failure('quota_exceeded', 'Spent.', { retryAfterMs: 6_500 });
    const body = dialectFor('/v1beta/models', none).errorBody(problem);
    assert.deepEqual(JSON.parse(Buffer.from(body).toString()), {
      error: {
        code: 429,
        message: 'Spent.',
        status: 'RESOURCE_EXHAUSTED',
        details: [
          { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'QUOTA_EXCEEDED', domain: 'tallygate.dev' },
          { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '7s' },
        ],
      },
    });
  });

  it("have TGI's form", () => {
    assert.deepEqual(bodyOf('/generate', 'budget_held'), {
      error: 'Say "why".',
      error_type: 'overloaded',
      code: 'budget_held',
    });
  });
});

describe('limit headers', () => {
  it('have the names and times of the dialect', () => {
    const openAi = dialectFor('/', none).limitHeaders;
    const claude = dialectFor('/v1/messages', none).limitHeaders;
    assert.equal(openAi.name('remaining', 'requests'), 'x-ratelimit-remaining-requests');
    assert.equal(claude.name('reset', 'input-tokens'), 'anthropic-ratelimit-input-tokens-reset');
    const now = Date.UTC(2026, 0, 1);
    for (const [ms, text] of [
      [-5, '0ms'],
      [20, '20ms'],
      [1_000, '1s'],
      [8_640, '8.64s'],
      [360_000, '6m0s'],
      [86_399_999, '24h0m0s'],
      [3_661_000, '1h1m1s'],
    ] as const) {
      assert.equal(openAi.reset(now + ms, now), text);
    }
    assert.equal(claude.reset(now + 1, now), '2026-01-01T00:00:01Z');
  });
});

describe('hidden output by name', () => {
  it('is reported for OpenAI, xAI and Google', () => {
    const hidden = [
      'o1',
      'o3-mini',
      'o4-mini-2025-04-16',
      'gpt-5',
      'gpt-5.1-codex',
      'gpt-5-nano',
      'gpt-6-astra',
      'openai/o3',
      'grok-4-0709',
      'gemini-2.5-pro',
      'ft:o4-mini:acme',
    ];
    const shown = [
      'gpt-4o',
      'gpt-4o-mini',
      'gpt-4.1',
      'gpt-5-chat-latest',
      'gpt-oss-120b',
      'grok-3-mini',
      'grok-4-fast-non-reasoning',
      'deepseek-reasoner',
      'llama-3.3-70b',
      'o',
      'gemini-2.0-flash',
      'text-embedding-3-small',
    ];
    for (const model of hidden) {
      assert.equal(hidesReasoning(model), true, model);
    }
    for (const model of shown) {
      assert.equal(hidesReasoning(model), false, model);
    }
  });

  it('is not reported where the effort none switches it off', () => {
    for (const [model, hides] of [
      ['gpt-5.1', false],
      ['openai/gpt-5.2-2025-12-11', false],
      ['gpt-6-mini', false],
      ['grok-4.3', false],
      ['gemini-2.5-flash', false],
      ['gpt-5', true],
      ['gpt-5-mini', true],
      ['gpt-5.2-pro', true],
      ['gpt-5.1-codex', true],
      ['o3', true],
      ['gemini-2.5-pro', true],
      ['gemini-3-flash', true],
    ] as const) {
      assert.equal(hidesReasoning(model, true), hides, model);
    }
  });

  it('is reported for the default thinking of Claude from generation 5 on', () => {
    for (const model of [
      'claude-opus-5',
      'claude-sonnet-5-5',
      'claude-fable-5',
      'anthropic/claude-haiku-5-5',
      'us.anthropic.claude-sonnet-5',
    ]) {
      assert.equal(thinksByDefault(model), true, model);
    }
    for (const model of [
      'claude-opus-4-8',
      'claude-3-5-sonnet-20241022',
      'claude-haiku-4-5-20251001',
      'claude-sonnet-4-20250514',
    ]) {
      assert.equal(thinksByDefault(model), false, model);
    }
  });
});
