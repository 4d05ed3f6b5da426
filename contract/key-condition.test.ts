import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyConditions } from './key-condition.ts';
import type { KeyPart } from './policy.ts';

const key: readonly KeyPart[] = [
  { type: 'Tenant' },
  { type: 'Header', name: 'x-team' },
  { type: 'Claim', claim: 'cost_center' },
  { type: 'APIKey' },
];
const values = ['search', 'red', '4711', 'default/ada'];

const evaluations: readonly (readonly [condition: string, holds: boolean])[] = [
  ['tenant == "search"', true],
  ['tenant != "search"', false],
  ['headers["x-team"] == "red" && claims["cost_center"] == "4711"', true],
  ['headers["x-team"] in ["blue", "green"]', false],
  ['claims["cost_center"].matches("47[0-9]+")', true],
  ['apiKey.startsWith("default/")', true],
  ['1 / 0 == 1', false],
];

for (const [condition, holds] of evaluations) {
  test(`${condition} is ${holds} for ${values.join(', ')}`, () => {
    const conditions = new KeyConditions(key);
    assert.equal(conditions.fault(condition), undefined);
    assert.equal(conditions.matcher(condition)(values), holds);
  });
}

test('a condition that reads anything but the key is refused', () => {
  const conditions = new KeyConditions(key);
  for (const condition of [
    'user == "ada"',
    'headers["x-user"] == "ada"',
    'claims["other"] == "a"',
    'request.stream',
    'caller.tenant == "search"',
    'headers[tenant] == "red"',
  ]) {
    const fault = conditions.fault(condition);
    assert.notEqual(fault, undefined, condition);
    assert.equal(fault?.fix, 'use CEL over the key: tenant, headers["x-team"], claims["cost_center"], apiKey');
    assert.throws(() => conditions.matcher(condition));
  }
  assert.match(new KeyConditions([]).fault('tenant == "a"')!.fix, /^add a `key`/);
});

test('a fault has its position', () => {
  assert.equal(new KeyConditions(key).fault('tenant == "a" && tenant == 3')?.position, 18);
});
