import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { kindsByName } from './kinds.ts';

function causesOf(yaml: string, version: '1.1' | '1.2') {
  const failover = parse(`{ ${yaml} }`, { version });
  const rules = [{ name: 'a', models: ['a'], backendRefs: [{ name: 'one' }, { name: 'two' }], failover }];
  const spec = kindsByName.AIGatewayRoute.spec.parse({ parentRefs: [{ name: 'ai' }], rules });
  return spec.rules[0]!.failover!.on;
}

test('failover.on has the same effect as kubectl reads it', () => {
  for (const version of ['1.1', '1.2'] as const) {
    assert.deepEqual(causesOf('on: [RateLimited]', version), ['RateLimited']);
    assert.deepEqual(causesOf('"on": [RateLimited]', version), ['RateLimited']);
    assert.equal(causesOf('attempts: 2', version).length, 4);
  }
  // The API server has added the default of `on`.
  assert.deepEqual(causesOf('on: ["5xx"], "true": [RateLimited]', '1.2'), ['RateLimited']);
});
