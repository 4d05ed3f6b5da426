/** Watches single objects that resources refer to. */
import type { Log } from '../runtime/log.ts';
import { type AddToWorld, readObject } from '../translate/kubernetes/read.ts';
import type { KubeClient } from './api/client.ts';
import { type Informer, startInformer } from './api/informer.ts';
import type { Resource } from './api/resource.ts';

export interface ReferencedObjects {
  /** Replaces the set of watched objects, as `NAMESPACE/NAME`. */
  want(keys: readonly string[]): void;
  missing(): readonly string[];
  additions(): readonly AddToWorld[];
}

/** Watches single objects by name: users' Secrets without the label of API keys are not listed. */
export function newReferencedObjects(
  resource: Resource,
  client: KubeClient,
  changed: () => void,
  log: Log,
): ReferencedObjects {
  const informers = new Map<string, Informer<AddToWorld>>();
  return {
    want(keys) {
      const wanted = new Set(keys);
      for (const [key, informer] of informers) {
        if (wanted.has(key)) {
          continue;
        }
        informer.close();
        informers.delete(key);
      }
      for (const key of wanted) {
        if (informers.has(key)) {
          continue;
        }
        const [namespace = '', name = ''] = key.split('/');
        const fieldSelector = `metadata.name=${name}`;
        informers.set(
          key,
          startInformer({ client, resource, namespace, fieldSelector, keep: readObject, changed, log }),
        );
      }
    },
    missing: () =>
      [...informers].filter(([, { synced, refused }]) => !synced && !refused).map(([key]) => `${resource.kind} ${key}`),
    additions: () => [...informers.values()].flatMap(({ items }) => [...items.values()]),
  };
}
