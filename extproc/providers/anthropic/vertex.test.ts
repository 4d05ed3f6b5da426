import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProviderApi } from '../../../contract/policy.ts';
import { conversionFor, serves } from '../../conversion/registry.ts';
import { splice } from '../../json/splice.ts';
import type { ClientApi, RequestEdits } from '../adapter.ts';
import { countContentEndpoints } from '../gemini/generate-content.ts';
import { chat } from '../openai/chat.ts';
import { scanned } from '../testing/recordings.ts';
import { countTokens, messages } from './messages.ts';

const vertex = { schema: 'GCPVertexAI' } as const;

function edited(api: ClientApi, body: string, edits: RequestEdits, schema: ProviderApi = 'GCPVertexAI'): string {
  const given = scanned(api, body);
  return Buffer.concat([...splice(given.bytes, api.edit(given, edits, { schema }))]).toString();
}

describe('a request of the messages API for Claude on Vertex AI', () => {
  const more = '"max_tokens": 50, "tools": [{"type": "web_search_20250305", "name": "web_search"}], "unknown": 1';

  it('keeps its bytes, except that the version replaces the model', () => {
    const version = '"anthropic_version":"vertex-2023-10-16"';
    assert.equal(edited(messages, `{"model": "m", ${more}}`, { model: 'other' }), `{${version}, ${more}}`);
    assert.equal(edited(messages, `{${more}, "model": "m"}`, {}), `{${more}, ${version}}`);
    const bounded = edited(messages, `{"model": "m", ${more}}`, { outputTokens: 7 });
    assert.equal(bounded, `{${version}, ${more.replace('50', '7')}}`);
  });

  it('names one version only', () => {
    const body = edited(messages, '{"anthropic_version": "other", "model": "m", "max_tokens": 5}', {});
    assert.doesNotMatch(body, /other/);
    assert.deepEqual(JSON.parse(body), { anthropic_version: 'vertex-2023-10-16', max_tokens: 5 });
  });

  it('has its model in the path, as one segment', () => {
    const facts = messages.readRequest(scanned(messages, '{"model":"m","max_tokens":5,"stream":true}'), {
      path: '/v1/messages',
      query: new URLSearchParams(),
    });
    assert.ok(!('failure' in facts));
    const path = (model: string, stream: boolean) => messages.providerPath!({ ...facts, stream }, model, vertex);
    const models = '/v1/publishers/anthropic/models';
    assert.equal(path('claude-sonnet-4-5@20250929', true), `${models}/claude-sonnet-4-5@20250929:streamRawPredict`);
    assert.equal(path('claude/../x', false), `${models}/claude%2F..%2Fx:rawPredict`);
    assert.equal(messages.providerPath!(facts, 'claude', { schema: 'Anthropic' }), undefined);
  });

  it('counts tokens by a path of its own, with the model in the body', () => {
    assert.deepEqual(JSON.parse(edited(countTokens, '{"model":"m","messages":[]}', { model: 'claude' })), {
      model: 'claude',
      anthropic_version: 'vertex-2023-10-16',
      messages: [],
    });
    const facts = countTokens.readRequest(scanned(countTokens, '{"model":"m"}'), {
      path: '',
      query: new URLSearchParams(),
    });
    assert.ok(!('failure' in facts));
    const path = countTokens.providerPath!(facts, 'claude', vertex);
    assert.equal(path, '/v1/publishers/anthropic/models/count-tokens:rawPredict');
  });
});

describe('Vertex AI', () => {
  it('serves clients of the API that the model speaks, and others by conversion', () => {
    const [countContent] = countContentEndpoints as [ClientApi];
    const served = (api: ClientApi) => ['claude-opus-4-5', 'gemini-2.5-pro'].map((model) => serves(api, vertex, model));
    assert.deepEqual(served(messages), [true, false]);
    assert.deepEqual(served(countTokens), [true, false]);
    assert.deepEqual(served(countContent), [false, true]);
    assert.deepEqual(served(chat), [false, false]);
    assert.ok(conversionFor(chat, vertex, 'claude-opus-4-5'));
    assert.equal(conversionFor(messages, vertex, 'claude-opus-4-5'), undefined);
    assert.ok(conversionFor(messages, vertex, 'gemini-2.5-pro'));
  });
});
