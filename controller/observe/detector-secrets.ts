/** What it means for an object that proxies do not get secrets for services of guardrails. */
import type { GuardrailPolicy } from '../../contract/guardrails.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import type { ObjectKey } from './contents.ts';

/** Returns why a sidecar lacks a secret for guardrails of an object; undefined: it has all. */
export function withheldFrom(sidecar: ConnectedSidecar, policy: GatewayPolicy, key: ObjectKey): string | undefined {
  const { pod, readsSecrets, mayHaveSecrets } = sidecar;
  if (readsSecrets && mayHaveSecrets) {
    return undefined;
  }
  const needed = secretsOf(policy, key);
  const [withheld] = readsSecrets ? needed.filter((id) => !id.startsWith(`${pod.namespace}/`)) : needed;
  if (withheld === undefined) {
    return undefined;
  }
  const secret = withheld.slice(0, withheld.lastIndexOf('/'));
  const reason = readsSecrets
    ? `because its namespace is not listed; fix: list ${pod.namespace} in guardrails.proxyNamespaces of the chart`
    : 'because its version does not know them; fix: roll the proxies out again';
  return `pod ${pod.namespace}/${pod.podName} does not get Secret ${secret} for the service of a guardrail, ${reason}`;
}

/** Ids of secrets by object, because most views ask for every object. */
const secretsByObject = new WeakMap<GatewayPolicy, ReadonlyMap<ObjectKey, ReadonlySet<string>>>();

function secretsOf(policy: GatewayPolicy, key: ObjectKey): readonly string[] {
  const known = secretsByObject.get(policy) ?? sorted(policy);
  secretsByObject.set(policy, known);
  return [...(known.get(key) ?? [])];
}

function sorted({ virtualHosts, guardrailPolicies = [] }: GatewayPolicy): ReadonlyMap<ObjectKey, ReadonlySet<string>> {
  const ids = new Map(guardrailPolicies.map((policy) => [policy.name, secretIds(policy)]));
  const found = new Map<ObjectKey, Set<string>>();
  for (const { rules, passthrough } of virtualHosts) {
    for (const { route, guardrails = [] } of [...rules, ...passthrough]) {
      for (const name of guardrails) {
        for (const key of [`AIGatewayRoute ${route}`, `AIGuardrailPolicy ${name}`]) {
          found.set(key, new Set([...(found.get(key) ?? []), ...(ids.get(name) ?? [])]));
        }
      }
    }
  }
  return found;
}

function secretIds({ rules }: GuardrailPolicy): readonly string[] {
  return rules.flatMap(({ detector }) => {
    if (!('service' in detector)) {
      return [];
    }
    const { secret, clientCertificate: own } = detector.service;
    return [secret, own?.chain, own?.privateKey].filter((id) => id !== undefined);
  });
}
