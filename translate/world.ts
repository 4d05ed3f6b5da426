/**
 * The input of translate: all resources as parsed objects. A reference to an object outside is a
 * problem.
 */
import type { GatewaySpec, ReferenceGrantSpec } from '../crds/gateway-api.ts';
import type { AIBackend, AIGatewayRoute, AIQuotaPolicy, KubernetesObject, Metadata } from '../crds/kinds.ts';
import type { ObjectRef, Source } from './problem.ts';

/** Text that logs, golden files and JSON cannot show by accident. */
export interface SecretText {
  reveal(): string;
}

export function secretText(text: string): SecretText {
  return { reveal: () => text };
}

export type Located<T> = T & { readonly source?: Source };

export type Gateway = KubernetesObject<GatewaySpec>;
type ReferenceGrant = KubernetesObject<ReferenceGrantSpec>;

export interface Secret {
  readonly metadata: Metadata;
  readonly type: string;
  /** Decoded, with variables filled in. */
  readonly data: ReadonlyMap<string, SecretText>;
}

export interface ConfigMap {
  readonly metadata: Metadata;
  readonly data: ReadonlyMap<string, string>;
}

export interface World {
  readonly gateways: readonly Located<Gateway>[];
  readonly routes: readonly Located<AIGatewayRoute>[];
  readonly backends: readonly Located<AIBackend>[];
  readonly quotaPolicies: readonly Located<AIQuotaPolicy>[];
  readonly secrets: readonly Located<Secret>[];
  readonly configMaps: readonly Located<ConfigMap>[];
  readonly referenceGrants: readonly Located<ReferenceGrant>[];
  /**
   * Objects that exist but are not valid, so that references to them are not reported as misspelt.
   */
  readonly refused: readonly ObjectRef[];
}
