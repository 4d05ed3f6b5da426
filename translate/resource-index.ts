/** Finds resources by name, and decides which references across namespaces are permitted. */

import { fullName } from './object-names.ts';
import type { Problem } from './problem.ts';
import type { ConfigMap, Gateway, Located, Secret, World } from './world.ts';

export interface Reference {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface ResourceIndex {
  gateway(namespace: string, name: string): Located<Gateway> | undefined;
  secret(namespace: string, name: string): Located<Secret> | undefined;
  configMap(namespace: string, name: string): Located<ConfigMap> | undefined;
  /** Whether the object exists but was refused because of its own problems. */
  refused(kind: string, namespace: string, name: string): boolean;
  /**
   * True within a namespace; across namespaces only if the target namespace has a matching
   * ReferenceGrant.
   */
  permits(from: Omit<Reference, 'name'>, to: Reference): boolean;
}

export function indexResources(world: World): ResourceIndex {
  const gateways = byName(world.gateways);
  const secrets = byName(world.secrets);
  const configMaps = byName(world.configMaps);
  const refused = new Set(world.refused.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
  return {
    gateway: (namespace, name) => gateways.get(`${namespace}/${name}`),
    secret: (namespace, name) => secrets.get(`${namespace}/${name}`),
    configMap: (namespace, name) => configMaps.get(`${namespace}/${name}`),
    refused: (kind, namespace, name) => refused.has(`${kind}/${namespace}/${name}`),
    permits: (from, to) =>
      from.namespace === to.namespace ||
      world.referenceGrants.some(
        ({ metadata, spec }) =>
          metadata.namespace === to.namespace &&
          spec.from.some(
            (each) => each.group === from.group && each.kind === from.kind && each.namespace === from.namespace,
          ) &&
          spec.to.some(
            (each) =>
              each.group === to.group && each.kind === to.kind && (each.name === undefined || each.name === to.name),
          ),
      ),
  };
}

/** Returns the message and fix for a reference whose target was not found. */
export function notFound(
  resources: ResourceIndex,
  kind: string,
  namespace: string,
  name: string,
): Pick<Problem, 'message' | 'fix'> {
  return resources.refused(kind, namespace, name)
    ? { message: `${kind} ${namespace}/${name} is not valid`, fix: `fix the problems of that ${kind}` }
    : { message: `${kind} ${namespace}/${name} does not exist`, fix: 'create it, or correct the name' };
}

/** Returns the fix for a reference that is not permitted. */
export function referenceGrantHint(from: Omit<Reference, 'name'>, to: Reference): string {
  return `create a ReferenceGrant in namespace ${to.namespace} from ${from.kind} in namespace ${from.namespace} to ${to.kind} ${to.name}`;
}

function byName<T extends { readonly metadata: { readonly name: string; readonly namespace: string } }>(
  objects: readonly T[],
): ReadonlyMap<string, T> {
  return new Map(objects.map((each) => [fullName({ metadata: each.metadata }), each]));
}
