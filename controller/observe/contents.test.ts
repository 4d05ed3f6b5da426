import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JwtAuthenticator, PublicJwk } from '../../contract/access-policy.ts';
import type { GatewayPolicy, Quota, Rule } from '../../contract/policy.ts';
import { contentsOf, newHistory } from './contents.ts';

const quota = (amount: number): Quota => ({
  id: 'app/limits/day',
  limit: { type: 'TotalTokens', amount },
  window: { type: 'Lifetime' },
  key: [],
  onMissingKey: 'Shared',
  mode: 'Enforce',
  queueTimeoutMs: 0,
  unbounded: 'Allow',
  onJournalLoss: 'FailClosed',
  onStoreLoss: 'FailClosed',
  onAbandon: 'Hold',
  unmetered: 'Refuse',
});

const rule = (route: string, model: string, quotas: readonly string[] = []): Rule => ({
  route,
  name: 'all',
  models: [model],
  headers: [],
  quotas,
  requestLimits: {},
  access: [],
  maxRequestBodyBytes: 1,
  targets: [{ id: `${route}/all/b`, backend: 'app/b', weight: 1, priority: 0 }],
});

const policy = (version: string, rules: readonly Rule[], quotas: readonly Quota[] = []): GatewayPolicy => ({
  formatVersion: 6,
  version,
  virtualHosts: [{ routeNames: rules.map(({ route }) => route), rules, passthrough: [], access: [] }],
  backends: [{ name: 'app/b', schema: 'OpenAI', tokenizer: { encoding: 'Auto' }, models: [] }],
  quotas,
  accessPolicies: [],
  apiKeyShards: [],
});

test('a change of one route does not change the digests of others', () => {
  const history = newHistory();
  history.published('f', policy('v1', [rule('app/a', 'x'), rule('app/b', 'y')]));
  history.published('f', policy('v2', [rule('app/a', 'z'), rule('app/b', 'y'), rule('app/c', 'y')]));
  assert.equal(history.isCurrent('f', 'v1', 'AIGatewayRoute app/a'), false);
  assert.equal(history.isCurrent('f', 'v1', 'AIGatewayRoute app/b'), true);
  assert.equal(history.isCurrent('f', 'v1', 'AIGatewayRoute app/c'), false);
  assert.equal(history.isCurrent('f', 'v2', 'AIGatewayRoute app/a'), true);
  assert.equal(history.isCurrent('f', 'v0', 'AIGatewayRoute app/b'), false, 'nothing is known of that version');
  assert.equal(history.isCurrent('g', 'v2', 'AIGatewayRoute app/b'), false);
});

test('a guardrail policy is part of the routes that it guards, and of its own digest', () => {
  const of = (bytes: number) => {
    const rules = [{ ...rule('app/a', 'x'), guardrails: ['app/company'] }, rule('app/b', 'y')];
    const guardrail = { name: 'app/company', rules: [], exempt: [], holdBack: { bytes, ms: 1 } };
    return contentsOf({ ...policy('v', rules), guardrailPolicies: [guardrail] });
  };
  const [before, after] = [of(1), of(2)];
  const changed = [...before.keys()].filter((key) => before.get(key) !== after.get(key));
  assert.deepEqual(changed.toSorted(), ['AIGatewayRoute app/a', 'AIGuardrailPolicy app/company']);
});

test('an access policy is part of the routes that it protects, and of its own digest', () => {
  const of = (clockSkewSeconds: number, keys: readonly PublicJwk[] = []) => {
    const rules = [{ ...rule('app/a', 'x'), access: ['app/internal'] }, rule('app/b', 'y')];
    const authenticator: JwtAuthenticator = {
      type: 'JWT',
      id: 'app/internal/sso',
      issuer: 'https://issuer.example',
      audiences: ['ai'],
      algorithms: ['RS256'],
      clockSkewSeconds,
      keys,
      identity: {},
    };
    const access = { name: 'app/internal', authenticators: [authenticator], allow: [], revokeStreams: false };
    return contentsOf({ ...policy('v', rules), accessPolicies: [access] });
  };
  const [before, after] = [of(1), of(2)];
  const changed = [...before.keys()].filter((key) => before.get(key) !== after.get(key));
  assert.deepEqual(changed.toSorted(), ['AIAccessPolicy app/internal', 'AIGatewayRoute app/a']);
  assert.deepEqual(of(1, [{ kty: 'RSA', kid: 'new' }]), before, 'new keys of the issuer change nothing');
});

test('a quota is part of its policy and of the routes that it limits', () => {
  const of = (amount: number) =>
    contentsOf(policy('v', [rule('app/a', 'x', ['app/limits/day']), rule('app/b', 'y')], [quota(amount)]));
  const [before, after] = [of(1), of(2)];
  const changed = [...before.keys()].filter((key) => before.get(key) !== after.get(key));
  assert.deepEqual(changed.toSorted(), ['AIGatewayRoute app/a', 'AIQuotaPolicy app/limits']);
});

test('a version that is published again is the newest again', () => {
  const history = newHistory();
  const [one, two] = [policy('v1', [rule('app/a', 'x')]), policy('v2', [rule('app/a', 'y')])];
  for (const each of [one, two, one]) {
    history.published('f', each);
  }
  assert.equal(history.isCurrent('f', 'v1', 'AIGatewayRoute app/a'), true);
  assert.equal(history.isCurrent('f', 'v2', 'AIGatewayRoute app/a'), false);
});
