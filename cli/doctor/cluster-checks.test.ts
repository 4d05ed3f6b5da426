import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApiError } from '../../controller/api/client.ts';
import { customResourceDefinition } from '../../crds/custom-resource.ts';
import { kinds, kindsByName } from '../../crds/kinds.ts';
import { newAuthority } from '../../fixtures/certificates.ts';
import type { CheckResult } from './check-result.ts';
import { clusterChecks } from './cluster-checks.ts';
import type { CrdObject } from './crd-checks.ts';
import { runChecks } from './run-checks.ts';

const NOW_MS = Date.UTC(2026, 10, 28, 8);

type Responses = Record<string, unknown>;

const deployment = (name: string, namespace: string, image: string, readyReplicas: number) => ({
  metadata: { name, namespace },
  spec: { replicas: 2, template: { spec: { containers: [{ image }] } } },
  status: { readyReplicas },
});
const proxy = (name: string, ready: string, image = 'registry:5000/tallygate:0.1.0@sha256:1') => ({
  metadata: { name, labels: { 'gateway.envoyproxy.io/owning-gateway-name': 'ai' } },
  spec: { containers: [{ name: 'envoy' }], initContainers: [{ name: 'tallygate', image }] },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});
const bare = (name: string, gateway: string) => ({
  metadata: { name, labels: { 'gateway.envoyproxy.io/owning-gateway-name': gateway } },
  spec: { containers: [{ name: 'envoy' }] },
});
const condition = (type: string, status: string, reason = type) => ({ type, status, reason, message: 'why' });
const gateway = (conditions: readonly object[], listener: object = {}) => ({
  metadata: { namespace: 'ai', name: 'ai' },
  spec: {
    gatewayClassName: 'tallygate',
    listeners: [{ name: 'https', tls: { certificateRefs: [{ name: 'certificate' }] } }],
  },
  status: { conditions, listeners: [{ name: 'https', conditions: [listener] }] },
});
const programmed = [condition('Accepted', 'True'), condition('Programmed', 'True')];
const route = (condition: object) => ({
  metadata: { namespace: 'ai', name: 'chat' },
  spec: { parentRefs: [{ name: 'ai' }] },
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
const GATEWAYS = '/apis/gateway.networking.k8s.io/v1/gateways';
const GATEWAY_CLASS = '/apis/gateway.networking.k8s.io/v1/gatewayclasses/tallygate';
const CLIENT_POLICIES = '/apis/gateway.envoyproxy.io/v1alpha1/clienttrafficpolicies';
const SECRET = '/api/v1/namespaces/ai/secrets/certificate';

/** Returns what the API server has after the CRD of the kind was applied by hand. */
function crdOf(kind: 'AIBackend', change: (fields: Record<string, unknown>) => void = () => {}): CrdObject {
  const crd = structuredClone(customResourceDefinition(kindsByName[kind])) as CrdObject;
  const spec = crd.spec?.versions?.[0]?.schema?.openAPIV3Schema?.properties?.['spec']?.properties;
  change(spec as Record<string, unknown>);
  return crd;
}

/** By path, without its query. */
function healthy(): Responses {
  const labels = { 'app.kubernetes.io/version': '0.1.0' };
  return {
    '/version': { major: '1', minor: '31+' },
    ...Object.fromEntries(
      kinds.map((kind) => [
        `${CRD}/${kind.plural}.tallygate.dev`,
        { ...customResourceDefinition(kind), metadata: { labels } },
      ]),
    ),
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
    [PODS]: { items: [proxy('one', 'True'), bare('other', 'plain')] },
    [GATEWAYS]: { items: [gateway(programmed)] },
    [GATEWAY_CLASS]: { status: { conditions: [condition('Accepted', 'True')] } },
    [CLIENT_POLICIES]: { items: [] },
    [SECRET]: { data: {} },
    [ROUTES]: { items: [route({ type: 'Enforcing', status: 'True', reason: 'Enforcing', message: '' })] },
  };
}

async function results(changes: Responses = {}, nowMs = NOW_MS): Promise<readonly CheckResult[]> {
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
    now: () => nowMs,
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
      'EnvoyPatchPolicy off where a route fails over',
      {
        [CONFIG]: { data: { 'envoy-gateway.yaml': 'extensionApis: {enableBackend: true}' } },
        [ROUTES]: { items: [route(condition('tallygate.dev/FailoverWithinRequest', 'False', 'PatchesDisabled'))] },
      },
      'Envoy Gateway: warning',
    ],
    [
      'a CRD that lacks a field',
      { [`${CRD}/aibackends.tallygate.dev`]: crdOf('AIBackend', (fields) => delete fields['models']) },
      'CRDs: problem',
    ],
    [
      'a CRD with a field of another version',
      {
        [`${CRD}/aibackends.tallygate.dev`]: crdOf('AIBackend', (fields) => {
          fields['more'] = { type: 'string' };
        }),
      },
      'CRDs: warning',
    ],
    [
      'a proxy that lacks the sidecar of its Gateway',
      { [PODS]: { items: [proxy('one', 'True'), bare('two', 'ai')] } },
      'sidecars: problem',
    ],
    [
      'sidecars of another version',
      { [PODS]: { items: [proxy('one', 'True', 'x:0.0.9')] } },
      'version of sidecars: warning',
    ],
    ['a GatewayClass that does not exist', { [GATEWAY_CLASS]: undefined }, 'Gateways: problem'],
    [
      'a GatewayClass that is not accepted',
      { [GATEWAY_CLASS]: { status: { conditions: [condition('Accepted', 'False')] } } },
      'Gateways: problem',
    ],
    ['a Gateway that nobody serves', { [GATEWAYS]: { items: [gateway([])] } }, 'Gateways: problem'],
    [
      'a Gateway that is not programmed',
      { [GATEWAYS]: { items: [gateway([programmed[0]!, condition('Programmed', 'False', 'NoResources')])] } },
      'Gateways: problem',
    ],
    [
      'a Gateway without an address',
      { [GATEWAYS]: { items: [gateway([programmed[0]!, condition('Programmed', 'False', 'AddressNotAssigned')])] } },
      'Gateways: warning',
    ],
    [
      'a listener whose certificate is missing',
      { [GATEWAYS]: { items: [gateway(programmed, condition('ResolvedRefs', 'False', 'InvalidCertificateRef'))] } },
      'Gateways: problem',
    ],
    [
      'a ClientTrafficPolicy without ids of requests',
      {
        [CLIENT_POLICIES]: {
          items: [
            {
              metadata: { namespace: 'ai', name: 'client' },
              spec: { targetRefs: [{ name: 'ai' }], headers: { requestID: 'Disable' } },
            },
          ],
        },
      },
      'ids of requests: warning',
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

  it('accepts a cluster without EnvoyPatchPolicy, and CRDs that were applied by hand', async () => {
    const found = await results({
      [CONFIG]: { data: { 'envoy-gateway.yaml': 'extensionApis: {enableBackend: true}' } },
      [`${CRD}/aibackends.tallygate.dev`]: crdOf('AIBackend'),
    });
    assert.deepEqual(wrong(found), []);
  });

  it('names fields that a CRD lacks without those within them', async () => {
    const found = await results({
      [`${CRD}/aibackends.tallygate.dev`]: crdOf('AIBackend', (fields) => delete fields['models']),
    });
    assert.deepEqual(
      found.filter(({ check }) => check === 'CRDs').map(({ text }) => text),
      ['aibackends.tallygate.dev lacks spec.models: the cluster drops or refuses it'],
    );
  });

  it('takes the fix from the message of a condition that has one', async () => {
    const message = 'spec.a: it is missing; fix: create it';
    const found = await results({ [ROUTES]: { items: [route({ ...enforcing, message })] } });
    assert.deepEqual(
      found.filter(({ state }) => state === 'problem').map(({ text, fix }) => [text, fix]),
      [['ai/chat Enforcing: False, QuotaStoreLost: spec.a: it is missing', 'create it']],
    );
  });

  it('reads the certificate of a listener, and warns 14 days ahead', async () => {
    const { cert, key } = await (await newAuthority('authority')).issue({ subject: 'CN=gateway' });
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const changes = { [SECRET]: { data: { 'tls.crt': base64(cert), 'tls.key': base64(key) } } };
    const states = async (daysBefore: number) =>
      (await results(changes, Date.now() - daysBefore * 86_400_000))
        .filter(({ check }) => check === 'certificates of Gateways')
        .map(({ state, text }) => `${state}: ${text.replace(/ at .*/, '')}`);
    assert.deepEqual(await states(30), ['ok: none of 1 expires within 14 days']);
    assert.deepEqual(await states(3), ['warning: Secret ai/certificate tls.crt expires']);
    assert.deepEqual(await states(-3), ['problem: Secret ai/certificate tls.crt has expired']);
  });

  it('shows the message of a condition', async () => {
    const found = await results({ [ROUTES]: { items: [route(enforcing)] } });
    assert.ok(found.some(({ text }) => text === 'ai/chat Enforcing: False, QuotaStoreLost: 1 of 2 proxies'));
  });

  it('names the rights that the user lacks, and reports a server that does not answer', async () => {
    const lease = 'leases "a" is forbidden: User "b" cannot get resource "leases" in API group "coordination.k8s.io"';
    const crds = 'is forbidden: User "b" cannot get resource "nodes" in API group "" at the cluster scope';
    const forbidden = await results({
      [LEASE]: new ApiError(403, 'Forbidden', `${lease} in the namespace "c"`),
      [GATEWAY_CLASS]: new ApiError(403, 'Forbidden', crds),
      [SECRET]: new ApiError(403, 'Forbidden', 'not today'),
    });
    assert.deepEqual(
      forbidden.filter(({ state }) => state === 'unknown').map(({ check, text, fix }) => [check, text, fix]),
      [
        [
          'controller',
          `this user lacks a right: ${lease} in the namespace "c"`,
          'ask for a Role in c with get on leases.coordination.k8s.io',
        ],
        ['Gateways', `this user lacks a right: ${crds}`, 'ask for a ClusterRole with get on nodes'],
        ['certificates of Gateways', 'this user lacks a right: not today', 'ask for the right that the message names'],
      ],
    );
    const refused = new ApiError(0, 'Unreachable', 'connect ECONNREFUSED');
    const away = await results(Object.fromEntries(Object.keys(healthy()).map((path) => [path, refused])));
    assert.deepEqual(wrong(away), ['API server: problem']);
  });
});
