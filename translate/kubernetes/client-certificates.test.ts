import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterOf, exampleOptions } from './testing.ts';
import { translateCluster } from './translate-cluster.ts';

const api = 'tallygate.dev/v1alpha1';
const gateway = 'gateway.networking.k8s.io';
const object = (apiVersion: string, kind: string, name: string, spec: object) => ({
  apiVersion,
  kind,
  metadata: { namespace: 'app', name, uid: `${kind}-${name}`, generation: 1 },
  spec,
});
const base = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'app' } },
  object(`${gateway}/v1`, 'Gateway', 'ai', {
    gatewayClassName: 'tallygate',
    listeners: [{ name: 'https', port: 443, protocol: 'HTTPS', tls: { certificateRefs: [{ name: 'tls' }] } }],
  }),
  object(api, 'AIBackend', 'b', {
    schema: 'OpenAI',
    endpoint: { type: 'Hostname', hostname: { name: 'api.example.com', port: 443 } },
  }),
  object(api, 'AIGatewayRoute', 'r', {
    parentRefs: [{ name: 'ai' }],
    rules: [{ name: 'all', backendRefs: [{ name: 'b' }] }],
  }),
  object(api, 'AIAccessPolicy', 'mesh', {
    targetRefs: [{ group: gateway, kind: 'Gateway', name: 'ai' }],
    authenticate: [{ name: 'mesh', type: 'ClientCertificate', clientCertificate: {} }],
    allow: [{ name: 'all', principals: [{ authenticated: true }] }],
  }),
];

/** Returns whether a rule is served where a user's policy has this validation. */
function isServed(clientValidation: object, sectionName?: string): boolean {
  const policy = object('gateway.envoyproxy.io/v1alpha1', 'ClientTrafficPolicy', 'tls', {
    targetRefs: [{ group: gateway, kind: 'Gateway', name: 'ai', sectionName }],
    tls: { clientValidation },
  });
  const text = [...base, policy].map((each) => JSON.stringify(each)).join('\n---\n');
  const plan = translateCluster(clusterOf(text), exampleOptions);
  return plan.policyFor(['app/ai']).virtualHosts.some(({ rules }) => rules.some(({ targets }) => targets.length > 0));
}

test('a certificate that Envoy Gateway does not verify proves no identity', () => {
  const caCertificateRefs = [{ kind: 'ConfigMap', name: 'ca' }];
  for (const mode of ['Request', 'RequireAny']) {
    assert.equal(isServed({ mode, caCertificateRefs }), false, mode);
    assert.equal(isServed({ mode, caCertificateRefs }, 'https'), false, mode);
  }
  for (const mode of ['VerifyIfGiven', 'RequireAndVerify', undefined]) {
    assert.equal(isServed({ mode, optional: true, caCertificateRefs }), true, mode);
  }
});
