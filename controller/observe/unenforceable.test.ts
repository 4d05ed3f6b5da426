import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unenforceableOn } from './unenforceable.ts';
import { userPolicy } from './user-policies.ts';

const routes = new Map(
  [
    { name: 'entry', namespace: 'app', labels: { 'tallygate.dev/route': 'entry' } },
    { name: 'target', namespace: 'app', labels: { 'tallygate.dev/route': 'chat' } },
    { name: 'target', namespace: 'other', labels: { 'tallygate.dev/route': 'chat' } },
  ].map((metadata) => [`${metadata.namespace}/${metadata.name}`, { metadata }]),
);

/** The generated routes that something is held against. */
function held(spec: object, kind = 'SecurityPolicy'): readonly string[] {
  const policy = userPolicy(kind, { metadata: { name: 'keys', namespace: 'app' }, spec });
  const verdict = unenforceableOn([policy], routes, new Set(['app/entry']));
  return [...routes.keys()].filter((each) => verdict(each) !== undefined);
}

const targetRefs = (name: string, kind = 'HTTPRoute') => [{ group: 'gateway.networking.k8s.io', kind, name }];
const apiKeyAuth = { credentialRefs: [{ name: 'keys' }] };

test('authentication on a generated route is not enforceable', () => {
  assert.deepEqual(held({ targetRefs: targetRefs('target'), apiKeyAuth }), ['app/target']);
  assert.deepEqual(held({ targetRefs: targetRefs('entry'), basicAuth: {} }), ['app/entry']);
  assert.deepEqual(held({ targetRef: targetRefs('target')[0], jwt: {}, authorization: {} }), ['app/target']);
});

test('authorization is enforceable on a target only, because it uses the final route', () => {
  assert.deepEqual(held({ targetRefs: targetRefs('target'), authorization: {} }), []);
  assert.deepEqual(held({ targetRefs: targetRefs('entry'), authorization: {} }), ['app/entry']);
});

test('fields of a traffic policy are not enforceable if the first route enables their filter', () => {
  const kind = 'BackendTrafficPolicy';
  const more = { rateLimit: {}, timeout: {} };
  assert.deepEqual(held({ targetRefs: targetRefs('target'), requestBuffer: {}, ...more }, kind), ['app/target']);
  assert.deepEqual(held({ targetRefs: targetRefs('target'), ...more }, kind), []);
});

test('a policy that Envoy Gateway refuses is not reported', () => {
  const conditions = [{ type: 'Accepted', status: 'False', reason: 'Conflicted' }];
  const controllerName = 'gateway.envoyproxy.io/gatewayclass-controller';
  const refused = {
    spec: { targetRefs: targetRefs('target'), jwt: {} },
    status: { ancestors: [{ controllerName, conditions }] },
  };
  const policy = userPolicy('SecurityPolicy', { metadata: { name: 'keys', namespace: 'app' }, ...refused });
  assert.equal(unenforceableOn([policy], routes, new Set())('app/target'), undefined);
});

test('policies of Gateways and other routes are not reported', () => {
  assert.deepEqual(held({ targetRefs: targetRefs('ai', 'Gateway'), apiKeyAuth }), []);
  assert.deepEqual(held({ targetRefs: targetRefs('target', 'GRPCRoute'), apiKeyAuth }), []);
  assert.deepEqual(held({ targetRefs: targetRefs('web'), apiKeyAuth }), []);
  assert.deepEqual(held({ targetSelectors: [{ kind: 'Gateway' }], apiKeyAuth }), []);
});

test('target selectors match generated routes', () => {
  const kind = 'HTTPRoute';
  const matchExpressions = [{ key: 'tallygate.dev/route', operator: 'Exists' }];
  assert.deepEqual(held({ targetSelectors: [{ kind, matchExpressions }], cors: {} }), ['app/entry', 'app/target']);
  const matchLabels = { 'tallygate.dev/route': 'chat' };
  assert.deepEqual(held({ targetSelectors: [{ kind, matchLabels }], cors: {} }), ['app/target']);
  assert.deepEqual(held({ targetSelectors: [{ kind, matchLabels: { team: 'web' } }], cors: {} }), []);
});

test('the message names the policy, the route, the fields and the fix', () => {
  const policy = userPolicy('SecurityPolicy', {
    metadata: { name: 'keys', namespace: 'app' },
    spec: { targetRefs: targetRefs('target'), apiKeyAuth },
  });
  const verdict = unenforceableOn([policy], routes, new Set())('app/target');
  assert.equal(verdict?.reason, 'NotEnforceable');
  assert.match(
    verdict?.message ?? '',
    /apiKeyAuth of SecurityPolicy app\/keys on HTTPRoute app\/target.*; fix: target the Gateway/,
  );
});
