/** What must be read beside the resources themselves, so that nothing is read that no resource refers to. */
import { GROUP } from '../../crds/schema.ts';
import { catalogOf } from '../catalog.ts';
import { compare } from '../report.ts';
import type { World } from '../world.ts';

/** Each `NAMESPACE/NAME`, sorted. */
export interface References {
  readonly secrets: readonly string[];
  readonly configMaps: readonly string[];
  readonly services: readonly string[];
}

/** Of AIBackends, where a ReferenceGrant permits it. */
export function referencesOf(world: World): References {
  const catalog = catalogOf(world);
  const found = { Secret: new Set<string>(), ConfigMap: new Set<string>(), Service: new Set<string>() };
  for (const { metadata, spec } of world.backends) {
    const from = { group: GROUP, kind: 'AIBackend', namespace: metadata.namespace };
    const add = (kind: keyof typeof found, name: string, namespace = metadata.namespace): void => {
      if (catalog.permits(from, { group: '', kind, namespace, name })) {
        found[kind].add(`${namespace}/${name}`);
      }
    };
    const secretRef = spec.credential?.apiKey?.secretRef;
    const authority = spec.endpoint.tls?.caCertificateRef;
    const { service } = spec.endpoint;
    if (secretRef !== undefined) {
      add('Secret', secretRef.name, secretRef.namespace);
    }
    if (authority !== undefined) {
      add(authority.kind, authority.name);
    }
    if (service !== undefined) {
      add('Service', service.name, service.namespace);
    }
  }
  return {
    secrets: [...found.Secret].toSorted(compare),
    configMaps: [...found.ConfigMap].toSorted(compare),
    services: [...found.Service].toSorted(compare),
  };
}
