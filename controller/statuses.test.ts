import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { condition } from '../crds/conditions.ts';
import type { ObjectStatus } from '../translate/plan.ts';
import { CONTROLLER_NAME, merged, same } from './statuses.ts';

const early = '2026-01-01T00:00:00Z';
const late = '2026-01-02T00:00:00Z';
const object = { group: 'tallygate.dev', kind: 'AIGatewayRoute', namespace: 'app', name: 'chat' };
const parentRef = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' } as const;

function status(reason: 'Accepted' | 'NoMatchingParent', message = ''): ObjectStatus {
  return { object, parents: [{ parentRef, conditions: [condition('Accepted', reason, message, 1)] }] };
}

const times = (of: ReturnType<typeof merged>) =>
  of.parents?.flatMap((each) => each.conditions?.map((one) => one.lastTransitionTime));

test('a condition keeps its transition time until its status changes', () => {
  const first = merged({}, status('Accepted'), early);
  assert.deepEqual(times(first), [early]);
  assert.deepEqual(times(merged(first, status('Accepted', 'still'), late)), [early]);
  assert.deepEqual(times(merged(first, status('NoMatchingParent'), late)), [late]);
});

test('entries of other controllers stay, and outdated entries of Tallygate are removed', () => {
  const theirs = { controllerName: 'example.com/other', parentRef: { name: 'theirs' }, conditions: [] };
  const before = merged({ parents: [theirs] }, status('Accepted'), early);
  assert.deepEqual(
    before.parents?.map((each) => each.controllerName),
    ['example.com/other', CONTROLLER_NAME],
  );
  assert.deepEqual(merged(before, undefined, late).parents, [theirs]);
});

test('merging an equal status changes nothing', () => {
  const before = merged({}, status('Accepted'), early);
  // The server returns members in its own order.
  const reordered = JSON.parse(
    JSON.stringify(before, [
      'parents',
      'parentRef',
      'name',
      'kind',
      'group',
      'controllerName',
      'conditions',
      'type',
      'status',
      'reason',
      'message',
      'observedGeneration',
      'lastTransitionTime',
    ]),
  );
  assert.deepEqual(merged(reordered, status('Accepted'), late), before);
});

test('a status is cut to the maximum number of Gateways', () => {
  const conditions = [condition('Accepted', 'Accepted', '', 1)];
  const ancestors = Array.from({ length: 20 }, (_, index) => ({
    ancestorRef: { group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: 'app', name: `ai-${index}` },
    conditions,
  }));
  assert.equal(merged({}, { object, ancestors }, early).ancestors?.length, 16);
});

test('statuses with equal JSON are the same in any order of members', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
      const turned = (value: unknown): unknown => {
        if (Array.isArray(value)) {
          return value.map(turned);
        }
        if (typeof value !== 'object' || value === null) {
          return value;
        }
        const members = Object.entries(value).map(([name, each]) => [name, turned(each)] as const);
        return Object.fromEntries([...members.toReversed(), ['gone', undefined]]);
      };
      assert.ok(same(left, turned(left)) && same(turned(left), left));
      assert.equal(same(left, right), isDeepStrictEqual(left, right));
    }),
  );
  assert.ok(!same({ a: 1 }, { b: 1 }) && !same([1], { 0: 1 }) && !same({}, { a: null }) && !same([1], [1, 2]));
});

test('the last known budgets stay until others are known', () => {
  const budgets = [{ quota: 'month', key: ['a'], spent: '1', held: '0', limit: '2' }];
  const object = { group: 'tallygate.dev', kind: 'AIQuotaPolicy', namespace: 'app', name: 'teams' };
  assert.deepEqual(merged({ budgets }, { object }, 'now').budgets, budgets);
  assert.equal(merged({ budgets }, { object, budgets: [] }, 'now').budgets, undefined);
  assert.equal(merged({ budgets }, undefined, 'now').budgets, undefined);
});
