import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LabelSource, ProviderApi } from '../../contract/policy.ts';
import type { Caller } from '../caller.ts';
import { requestLabels } from './request-labels.ts';

const caller: Caller = {
  tenant: 'search',
  user: 'jane',
  groups: ['batch'],
  apiKey: 'default/key-search',
  claim: (name) => (name === 'department' ? 'R&D' : undefined),
};

type Given = Parameters<typeof requestLabels>;

/** Returns the value of a label at a backend. */
function labelOf(source: LabelSource, of: Partial<Caller> = {}, schema: ProviderApi = 'GCPVertexAI') {
  const admission = {
    request: { header: () => [] },
    identity: { proven: { caller: { ...caller, ...of } } },
    group: 'batch',
  } as unknown as Given[0];
  const choice = {
    rule: { rule: { route: 'default/chat' } },
    target: { backendPolicy: { schema, requestLabels: [{ name: 'label', source }] } },
    backendModel: 'gemini-2.5-pro',
  } as unknown as Given[1];
  const labels = requestLabels(admission, choice)!;
  assert.ok('label' in labels);
  return labels['label'];
}

describe('a label of a request', () => {
  it('has the value that its source has', () => {
    assert.equal(labelOf({ type: 'Value', value: '4711' }), '4711');
    assert.equal(labelOf({ type: 'Tenant' }), 'search');
    assert.equal(labelOf({ type: 'User' }), 'jane');
    assert.equal(labelOf({ type: 'Group' }), 'batch');
    assert.equal(labelOf({ type: 'Route' }, {}, 'AWSBedrock'), 'default/chat');
    assert.equal(labelOf({ type: 'APIKey' }, {}, 'AWSBedrock'), 'default/key-search');
  });

  it('has no value where the caller has none', () => {
    assert.equal(labelOf({ type: 'Tenant' }, { tenant: undefined }), undefined);
    assert.equal(labelOf({ type: 'Tenant' }, { tenant: '' }), undefined);
    assert.equal(labelOf({ type: 'Claim', claim: 'team' }), undefined);
  });

  it('has only characters that the provider takes, and stays distinct', () => {
    const users = ['jane@example.com', 'Jane@example.com', 'jane.example.com', 'jane_example_com', 'jäne', 'j\u0000'];
    const longs = ['a'.repeat(63), 'a'.repeat(64), 'a'.repeat(300), 'ä'.repeat(300)];
    for (const [schema, valid] of [
      ['GCPVertexAI', /^[a-z0-9_-]{1,63}$/],
      ['AWSBedrock', /^[a-zA-Z0-9 :_@$#=/+,.-]{1,256}$/],
    ] as const) {
      const values = [...users, ...longs].map((user) => labelOf({ type: 'User' }, { user }, schema)!);
      for (const value of values) {
        assert.match(value, valid);
      }
      assert.equal(new Set(values).size, values.length, values.join('\n'));
    }
  });

  it('keeps the beginning of a value that it changes', () => {
    assert.match(labelOf({ type: 'Claim', claim: 'department' })!, /^r_d-[0-9a-f]{8}$/);
    assert.match(labelOf({ type: 'Claim', claim: 'department' }, {}, 'AWSBedrock')!, /^R_D-[0-9a-f]{8}$/);
    assert.equal(labelOf({ type: 'User' }, { user: 'jane@example.com' }, 'AWSBedrock'), 'jane@example.com');
  });
});
