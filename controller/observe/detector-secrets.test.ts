import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import { withheldFrom } from './detector-secrets.ts';

const policy = {
  guardrailPolicies: [
    {
      name: 'app/company',
      rules: [
        { detector: { type: 'Builtin', detectors: ['Email'] } },
        { detector: { type: 'Webhook', service: { url: 'https://guard.example.com/', secret: 'app/guard/secret' } } },
      ],
    },
    { name: 'app/open', rules: [{ detector: { type: 'Builtin', detectors: ['Email'] } }] },
  ],
  virtualHosts: [
    {
      rules: [
        { route: 'app/chat', guardrails: ['app/company', 'app/open'] },
        { route: 'app/open', guardrails: ['app/open'] },
      ],
      passthrough: [],
    },
  ],
} as unknown as GatewayPolicy;

function sidecar(namespace: string, readsSecrets: boolean, mayHaveSecrets: boolean): ConnectedSidecar {
  const pod = { podName: 'envoy-1', podUid: 'u1', namespace };
  return { pod, readsSecrets, mayHaveSecrets } as ConnectedSidecar;
}

test('a proxy in a namespace that is not listed lacks the secrets of other namespaces', () => {
  const of = (namespace: string, key: string) => withheldFrom(sidecar(namespace, true, false), policy, key);
  assert.equal(
    of('team', 'AIGuardrailPolicy app/company'),
    'pod team/envoy-1 does not get Secret app/guard for the service of a guardrail, because its namespace is not listed; fix: list team in guardrails.proxyNamespaces of the chart',
  );
  assert.notEqual(of('team', 'AIGatewayRoute app/chat'), undefined);
  assert.equal(of('team', 'AIGatewayRoute app/open'), undefined);
  assert.equal(of('app', 'AIGuardrailPolicy app/company'), undefined, 'its own');
});

test('a proxy of an older version lacks all secrets', () => {
  const message = withheldFrom(sidecar('app', false, true), policy, 'AIGuardrailPolicy app/company');
  assert.match(message ?? '', /because its version does not know them; fix: roll/);
  assert.equal(withheldFrom(sidecar('app', true, true), policy, 'AIGuardrailPolicy app/company'), undefined);
});
