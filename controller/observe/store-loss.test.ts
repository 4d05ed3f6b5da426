import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { GatewayPolicy, Quota } from '../../contract/policy.ts';
import {
  SharedStoreReportSchema,
  SharedStoreReport_State as State,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import { enforcedQuotas, lossOf, meaningOf } from './store-loss.ts';

const quota = (id: string, onStoreLoss: Quota['onStoreLoss'], mode: Quota['mode'] = 'Enforce') =>
  ({ id, onStoreLoss, mode }) as Quota;

function sidecar(state: State | undefined, reason = '', readsSharedStore = true): ConnectedSidecar {
  const sharedStore = state === undefined ? undefined : create(SharedStoreReportSchema, { state, reason });
  return {
    pod: { podName: 'envoy-1', podUid: 'u1', namespace: 'infra' },
    fleet: 'class/tallygate',
    programVersion: '1',
    acknowledged: undefined,
    refused: undefined,
    configCheck: undefined,
    budgets: [],
    rests: [],
    readsSharedStore,
    mayShareStore: true,
    sharedStore,
    readsSecrets: true,
    mayHaveSecrets: true,
    answersConsole: true,
    contentDestinations: undefined,
  };
}

test('a sidecar that reaches the store, or has not reported yet, is not lost', () => {
  assert.equal(lossOf(sidecar(State.AVAILABLE)), undefined);
  assert.equal(lossOf(sidecar(State.UNUSED)), undefined);
  assert.equal(lossOf(sidecar(undefined)), undefined);
});

test('a sidecar is lost with its reason, or if it refuses or cannot read the configuration', () => {
  assert.equal(lossOf(sidecar(State.LOST, 'connect ECONNREFUSED')), 'connect ECONNREFUSED');
  assert.equal(lossOf(sidecar(State.LOST)), 'the connection is lost');
  assert.equal(lossOf(sidecar(State.UNUSED, 'the sidecar refuses it')), 'the sidecar refuses it');
  assert.match(lossOf(sidecar(undefined, '', false)) ?? '', /counts for itself, because its version/);
  const elsewhere = { ...sidecar(State.UNUSED), mayShareStore: false };
  assert.match(lossOf(elsewhere) ?? '', /counts for itself, because its namespace/);
});

test('the meaning names the quotas of each mode, at most five', () => {
  const many = Array.from({ length: 7 }, (_, index) => quota(`a/p/open-${index}`, 'FailOpen'));
  assert.equal(
    meaningOf([quota('a/p/money', 'FailClosed'), ...many]),
    'under FailClosed (a/p/money), they refuse what their allowances do not cover; ' +
      'under FailOpen (a/p/open-0, a/p/open-1, a/p/open-2, a/p/open-3, a/p/open-4 and 2 more), ' +
      'they serve everything and charge it later',
  );
  assert.equal(meaningOf([]), undefined);
});

test('a route has the quotas of all its rules, a policy its own, without shadow quotas', () => {
  const quotas = [
    quota('a/teams/tokens', 'FailClosed'),
    quota('a/teams/next', 'FailClosed', 'Shadow'),
    quota('b/all/requests', 'Degrade'),
  ];
  const rules = [
    { route: 'a/chat', quotas: ['a/teams/tokens', 'a/teams/next', 'b/all/requests'] },
    { route: 'a/chat', quotas: ['a/teams/tokens'] },
    { route: 'a/open', quotas: [] },
  ];
  const policy = { quotas, virtualHosts: [{ rules, passthrough: [] }] } as unknown as GatewayPolicy;
  const names = (key: string) => enforcedQuotas(policy, key).map(({ id }) => id);
  assert.deepEqual(names('AIGatewayRoute a/chat'), ['a/teams/tokens', 'b/all/requests']);
  assert.deepEqual(names('AIQuotaPolicy a/teams'), ['a/teams/tokens']);
  assert.deepEqual(names('AIGatewayRoute a/open'), []);
});
