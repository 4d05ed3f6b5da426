/**
 * Returns the Secrets, ConfigMaps and Services that resources refer to, so that no others are read.
 */
import type { BackendSpec } from '../../crds/backend.ts';
import type { DetectSpec } from '../../crds/guardrail-detector.ts';
import { GROUP } from '../../crds/schema.ts';
import { compare } from '../object-names.ts';
import { indexResources } from '../resource-index.ts';
import type { World } from '../world.ts';

/** Each `NAMESPACE/NAME`, sorted. */
export interface References {
  readonly secrets: readonly string[];
  readonly configMaps: readonly string[];
  readonly services: readonly string[];
}

function credentialSecret(credential: BackendSpec['credential']) {
  const { apiKey, azureEntra, aws, gcp } = credential ?? {};
  return (
    apiKey?.secretRef ?? azureEntra?.clientSecretRef ?? aws?.accessKey?.secretRef ?? gcp?.serviceAccountKey?.secretRef
  );
}

/** Returns what a detector says about its service. */
function serviceOf({ presidio, webhook, openAIModeration, lakera, model }: DetectSpec) {
  return presidio ?? webhook ?? openAIModeration ?? lakera ?? model;
}

/** Returns the references of AIBackends and policies that are permitted. */
export function referencesOf(world: World): References {
  const resources = indexResources(world);
  const found = { Secret: new Set<string>(), ConfigMap: new Set<string>(), Service: new Set<string>() };
  for (const { metadata, spec } of world.backends) {
    const from = { group: GROUP, kind: 'AIBackend', namespace: metadata.namespace };
    const add = (kind: keyof typeof found, name: string, namespace = metadata.namespace): void => {
      if (resources.permits(from, { group: '', kind, namespace, name })) {
        found[kind].add(`${namespace}/${name}`);
      }
    };
    const secretRef = credentialSecret(spec.credential);
    const caBundle = spec.endpoint.tls?.caCertificateRef;
    const { service } = spec.endpoint;
    if (secretRef !== undefined) {
      add('Secret', secretRef.name, secretRef.namespace);
    }
    if (caBundle !== undefined) {
      add(caBundle.kind, caBundle.name);
    }
    if (service !== undefined) {
      add('Service', service.name, service.namespace);
    }
  }
  for (const { metadata, spec } of world.quotaPolicies) {
    const from = { group: GROUP, kind: 'AIQuotaPolicy', namespace: metadata.namespace };
    for (const { webhook } of spec.notify ?? []) {
      const { name, namespace = metadata.namespace } = webhook?.secretRef ?? { name: '' };
      if (name !== '' && resources.permits(from, { group: '', kind: 'Secret', namespace, name })) {
        found.Secret.add(`${namespace}/${name}`);
      }
    }
  }
  for (const { metadata, spec } of world.guardrailPolicies) {
    for (const { detect } of spec.rules) {
      const { secretRef, tls } = serviceOf(detect) ?? {};
      const secrets = [secretRef?.name, tls?.clientCertificateRef?.name].filter((name) => name !== undefined);
      for (const name of secrets) {
        found.Secret.add(`${metadata.namespace}/${name}`);
      }
      if (tls?.caCertificateRef !== undefined) {
        found.ConfigMap.add(`${metadata.namespace}/${tls.caCertificateRef.name}`);
      }
    }
  }
  return {
    secrets: [...found.Secret].toSorted(compare),
    configMaps: [...found.ConfigMap].toSorted(compare),
    services: [...found.Service].toSorted(compare),
  };
}
