import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptRoutes, GatewayPolicy, Rule } from '../../contract/policy.ts';
import { pendingConfig } from './pending-config.ts';

const targets = ['one', 'two', 'three'].map((name) => ({
  id: `app/chat/rule/${name}`,
  backend: `app/${name}`,
  weight: 1,
  priority: 0,
}));

function policy(withinRequest: AttemptRoutes | undefined): GatewayPolicy {
  const rule: Rule = {
    route: 'app/chat',
    name: 'rule',
    models: ['a'],
    headers: [],
    targets,
    quotas: [],
    access: [],
    requestLimits: {},
    maxRequestBodyBytes: 1,
    failover: { on: ['5xx'], attempts: 2, cooldownMs: 1, ...(withinRequest && { withinRequest }) },
  };
  const virtualHosts = [{ routeNames: ['envoy/chat'], rules: [rule], passthrough: [], access: [] }];
  return { virtualHosts } as unknown as GatewayPolicy;
}

const attempts = { route: 'all', timedRoute: 'all/timed', targets: targets.slice(0, 2).map(({ id }) => ({ id })) };

test('a rule that begins to fail over within the request waits for its routes and clusters', () => {
  assert.deepEqual(pendingConfig(policy(undefined), policy(attempts)), {
    routes: [],
    attemptRoutes: ['all', 'all/timed'],
    clusters: ['attempt/app/one', 'attempt/app/two'],
  });
});

test('a rule that goes on or ends to do so waits for nothing', () => {
  assert.equal(pendingConfig(policy(attempts), policy(attempts)), undefined);
  assert.equal(pendingConfig(policy(attempts), policy(undefined)), undefined);
});
