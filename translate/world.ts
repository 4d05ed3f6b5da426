/**
 * The input of translate: all resources as parsed objects. A reference to an object outside is a
 * problem.
 */

import type { ApiKey, PublicJwk } from '../contract/access-policy.ts';
import type { CloudToken } from '../contract/cloud-tokens.ts';
import type { IssuerEndpoints } from '../contract/public-keys.ts';
import type { GatewaySpec, ReferenceGrantSpec } from '../crds/gateway-api.ts';
import type {
  AIAccessPolicy,
  AIBackend,
  AIContentPolicy,
  AIGatewayRoute,
  AIGuardrailPolicy,
  AIQuotaPolicy,
  KubernetesObject,
  Metadata,
} from '../crds/kinds.ts';
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

/** A Secret with an API key of the gateway. Keeps the digest of the key only. */
export interface ApiKeySecret {
  readonly metadata: Metadata;
  readonly key: ({ readonly digest: string } & ApiKeyOwner) | ApiKeyFault;
}

/** Whom a key stands for, by the annotations of its Secret. */
export type ApiKeyOwner = Pick<ApiKey, 'tenant' | 'user' | 'groups' | 'expiresAtMs'>;

/** Why a Secret has no usable key. */
export interface ApiKeyFault {
  /** In the Secret, such as `data.keyHash`. */
  readonly path: string;
  readonly fault: string;
  readonly fix: string;
}

export interface ConfigMap {
  readonly metadata: Metadata;
  readonly data: ReadonlyMap<string, string>;
}

/** The result of fetching a `KeySource`. */
export interface FetchedJwks {
  /** The last keys that were fetched; empty if none were. */
  readonly keys: readonly PublicJwk[];
  /** Discovery only. */
  readonly endpoints?: IssuerEndpoints;
  /** Why the last attempt failed, as part of a sentence; absent after success. */
  readonly failure?: string;
}

export interface World {
  readonly gateways: readonly Located<Gateway>[];
  readonly routes: readonly Located<AIGatewayRoute>[];
  readonly backends: readonly Located<AIBackend>[];
  readonly quotaPolicies: readonly Located<AIQuotaPolicy>[];
  readonly accessPolicies: readonly Located<AIAccessPolicy>[];
  readonly guardrailPolicies: readonly Located<AIGuardrailPolicy>[];
  readonly contentPolicies: readonly Located<AIContentPolicy>[];
  readonly secrets: readonly Located<Secret>[];
  /** The Secrets with the label of API keys. */
  readonly apiKeySecrets: readonly Located<ApiKeySecret>[];
  /** What was fetched for `jwksSources` of the last plan, by `keySourceId`. */
  readonly jwks: ReadonlyMap<string, FetchedJwks>;
  /** What was issued for `wantedTokens` of the last plan, by `wantedTokenId`; see `knownToken`. */
  readonly tokens: ReadonlyMap<string, CloudToken>;
  readonly configMaps: readonly Located<ConfigMap>[];
  readonly referenceGrants: readonly Located<ReferenceGrant>[];
  /**
   * Objects that exist but are not valid, so that references to them are not reported as misspelt.
   */
  readonly refused: readonly ObjectRef[];
}
