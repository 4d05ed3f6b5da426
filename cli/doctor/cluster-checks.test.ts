import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiError } from '../../controller/api/client.ts';
import { kinds } from '../../crds/kinds.ts';
import type { CheckResult } from './check-result.ts';
import { clusterChecks } from './cluster-checks.ts';
import { runChecks } from './run-checks.ts';

const NOW_MS = Date.UTC(2026, 10, 28, 8);

type Responses = Record<string, unknown>;

const deployment = (name: string, namespace: string, image: string, readyReplicas: number) => ({
  metadata: { name, namespace },
  spec: { replicas: 2, template: { spec: { containers: [{ image }] } } },
  status: { readyReplicas },
});
const proxy = (name: string, ready: string) => ({
  metadata: { name },
  spec: { containers: [{ name: 'envoy' }], initContainers: [{ name: 'tallygate' }] },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});
const route = (condition: object) => ({
  metadata: { namespace: 'ai', name: 'chat' },
  status: {
    parents: [{ conditions: [{ type: 'Accepted', status: 'True', reason: 'Accepted', message: '' }, condition] }],
  },
});

const CRD = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const CONFIG = '/api/v1/namespaces/eg/configmaps/envoy-gateway-config';
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/tallygate-system/leases/tallygate-controller';
const ROUTES = '/apis/tallygate.dev/v1alpha1/aigatewayroutes';
const ENVOY_GATEWAY = '/apis/apps/v1/namespaces/eg/deployments/envoy-gateway';
const CONTROLLERS = '/apis/apps/v1/deployments';
const PODS = '/api/v1/namespaces/eg/pods';

/** By path, without its query. */
function healthy(): Responses {
  const crd = { metadata: { labels: { 'app.kubernetes.io/version': '0.1.0' } } };
  return {
    '/version': { major: '1', minor: '31+' },
    ...Object.fromEntries(kinds.map(({ plural }) => [`${CRD}/${plural}.tallygate.dev`, crd])),
    ...Object.fromEntries(kinds.map(({ plural }) => [`/apis/tallygate.dev/v1alpha1/${plural}`, { items: [] }])),
    [`${CRD}/gateways.gateway.networking.k8s.io`]: {
      metadata: { annotations: { 'gateway.networking.k8s.io/bundle-version': 'v1.4.0' } },
    },
    [ENVOY_GATEWAY]: deployment('envoy-gateway', 'eg', 'docker.io/envoyproxy/gateway:v1.9.2', 2),
    [CONFIG]: {
      data: { 'envoy-gateway.yaml': 'extensionApis: {enableBackend: true, enableEnvoyPatchPolicy: true}' },
    },
    [CONTROLLERS]: { items: [deployment('tallygate-controller', 'tallygate-system', 'x/tallygate:0.1.0', 2)] },
    [LEASE]: {
      spec: { holderIdentity: 'pod-1', renewTime: '2026-11-28T07:59:55.000000Z', leaseDurationSeconds: 15 },
    },
    [PODS]: { items: [proxy('one', 'True')] },
    [ROUTES]: { items: [route({ type: 'Enforcing', status: 'True', reason: 'Enforcing', message: '' })] },
  };
}

async function results(changes: Responses = {}): Promise<readonly CheckResult[]> {
  const responses: Responses = { ...healthy(), ...changes };
  const checks = clusterChecks({
    version: '0.1.0',
    server: 'api:6443',
    namespace: 'eg',
    read: async (path) => {
      const response = responses[path.split('?')[0]!];
      if (response === undefined || response instanceof Error) {
        throw response ?? new ApiError(404, 'NotFound', `${path} not found`);
      }
      return response;
    },
    now: () => NOW_MS,
  });
  return await runChecks(checks, 3_000);
}

const wrong = (found: readonly CheckResult[]) =>
  found
    .filter(({ state }) => state === 'problem' || state === 'warning')
    .map(({ check, state }) => `${check}: ${state}`);

describe('checks of a cluster', () => {
  it('finds nothing wrong with a healthy one', async () => {
    assert.deepEqual(wrong(await results()), []);
  });

  const enforcing = { type: 'Enforcing', status: 'False', reason: 'QuotaStoreLost', message: '1 of 2 proxies' };
  const faults: readonly [string, Responses, string][] = [
    ['an old Kubernetes', { '/version': { major: '1', minor: '28' } }, 'API server: problem'],
    ['a missing CRD', { [`${CRD}/aibackends.tallygate.dev`]: undefined }, 'CRDs: problem'],
    [
      'a CRD of another version',
      { [`${CRD}/aibackends.tallygate.dev`]: { metadata: { labels: { 'app.kubernetes.io/version': '0.0.9' } } } },
      'CRDs: warning',
    ],
    ['no Gateway API', { [`${CRD}/gateways.gateway.networking.k8s.io`]: undefined }, 'Gateway API: problem'],
    ['no Envoy Gateway', { [ENVOY_GATEWAY]: undefined }, 'Envoy Gateway: problem'],
    [
      'an Envoy Gateway of another version',
      { [ENVOY_GATEWAY]: deployment('envoy-gateway', 'eg', 'envoyproxy/gateway:v1.90.0', 2) },
      'Envoy Gateway: warning',
    ],
    [
      'the Backend API off',
      { [CONFIG]: { data: { 'envoy-gateway.yaml': 'extensionApis: {enableEnvoyPatchPolicy: true}' } } },
      'Envoy Gateway: problem',
    ],
    [
      'EnvoyPatchPolicy off',
      { [CONFIG]: { data: { 'envoy-gateway.yaml': 'extensionApis: {enableBackend: true}' } } },
      'Envoy Gateway: warning',
    ],
    ['no controller', { [CONTROLLERS]: { items: [] } }, 'controller: problem'],
    [
      'a controller that is not ready',
      { [CONTROLLERS]: { items: [deployment('tallygate-controller', 'tallygate-system', 'x:0.1.0', 0)] } },
      'controller: problem',
    ],
    [
      'a Lease that nobody renews',
      { [LEASE]: { spec: { holderIdentity: 'p', renewTime: '2026-11-28T07:59:40Z', leaseDurationSeconds: 15 } } },
      'controller: problem',
    ],
    ['a proxy that is not ready', { [PODS]: { items: [proxy('one', 'False')] } }, 'sidecars: problem'],
    ['no sidecar', { [PODS]: { items: [] } }, 'sidecars: warning'],
    ['a condition that is False', { [ROUTES]: { items: [route(enforcing)] } }, 'AIGatewayRoute: problem'],
  ];
  for (const [title, changes, expected] of faults) {
    it(`reports ${title}`, async () => {
      assert.deepEqual(wrong(await results(changes)), [expected]);
    });
  }

  it('shows the message of a condition', async () => {
    const found = await results({ [ROUTES]: { items: [route(enforcing)] } });
    assert.ok(found.some(({ text }) => text === 'ai/chat Enforcing: False, QuotaStoreLost: 1 of 2 proxies'));
  });

  it('skips what the user may not read, and reports a server that does not answer', async () => {
    const forbidden = await results({ [LEASE]: new ApiError(403, 'Forbidden', 'leases is forbidden') });
    assert.deepEqual(
      forbidden.filter(({ check }) => check === 'controller').map(({ state, text }) => `${state}: ${text}`),
      ['not checked: this user lacks a right: leases is forbidden'],
    );
    const refused = new ApiError(0, 'Unreachable', 'connect ECONNREFUSED');
    const away = await results(Object.fromEntries(Object.keys(healthy()).map((path) => [path, refused])));
    assert.deepEqual(wrong(away), ['API server: problem']);
  });
});
