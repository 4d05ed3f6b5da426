import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JudgedObject, verdictOf } from './verdicts.ts';

const controllerName = 'gateway.envoyproxy.io/gatewayclass-controller';
const metadata = { name: 'chat', namespace: 'app' };

function judged(conditions: readonly (readonly [type: string, status: string])[], name = 'ai'): JudgedObject {
  return {
    kind: 'HTTPRoute',
    metadata,
    status: {
      parents: [
        {
          controllerName,
          parentRef: { name },
          conditions: conditions.map(([type, status]) => ({ type, status, reason: 'R' })),
        },
      ],
    },
  };
}

test('an accepted object has no verdict', () => {
  assert.equal(
    verdictOf(
      judged([
        ['Accepted', 'True'],
        ['ResolvedRefs', 'True'],
      ]),
      'app/ai',
    ),
    undefined,
  );
});

test('a refusal names the object and the reason', () => {
  const verdict = verdictOf(
    judged([
      ['Accepted', 'True'],
      ['ResolvedRefs', 'False'],
    ]),
    'app/ai',
  );
  assert.deepEqual(verdict, { reason: 'NotAccepted', message: 'Envoy Gateway reports for HTTPRoute app/chat: R' });
  assert.equal(
    verdictOf(
      judged([
        ['Accepted', 'True'],
        ['Overridden', 'True'],
      ]),
      'app/ai',
    )?.reason,
    'Overridden',
  );
});

test('conditions of other Gateways and controllers are ignored', () => {
  assert.equal(verdictOf(judged([['Accepted', 'True']], 'other'), 'app/ai')?.reason, 'Pending');
  const foreign = judged([['Accepted', 'False']]);
  const places = foreign.status?.parents?.map((place) => ({ ...place, controllerName: 'else' })) ?? [];
  assert.equal(verdictOf({ ...foreign, status: { parents: places } }, 'app/ai')?.reason, 'Pending');
});

test('the message about an overriding policy suggests another target', () => {
  const pushed = { ...judged([]), kind: 'EnvoyExtensionPolicy' };
  const say = (type: string, status: string, reason: string) => {
    const conditions = [{ type, status, reason, message: 'by another' }];
    const places = pushed.status?.parents?.map((place) => ({ ...place, conditions })) ?? [];
    return verdictOf({ ...pushed, status: { ancestors: places } }, 'app/ai')?.message ?? '';
  };
  assert.match(say('Accepted', 'False', 'Conflicted'), /Conflicted: by another; fix: let your .* target the Gateway/);
  assert.match(say('Overridden', 'True', 'Overridden'), /Overridden: by another; fix: let your .* target the Gateway/);
  assert.doesNotMatch(say('Accepted', 'False', 'Invalid'), /fix/);
});
