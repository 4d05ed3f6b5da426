/**
 * The output of translate. Each part is complete: to apply it, write what differs and remove the
 * rest.
 */

import type { WantedToken } from '../contract/cloud-tokens.ts';
import type { GatewayPolicy } from '../contract/policy.ts';
import type { KeySource } from '../contract/public-keys.ts';
import type { Condition } from '../crds/conditions.ts';
import type { ParentRef } from '../crds/route.ts';
import type { ObjectRef, Problem } from './problem.ts';
import type { SecretText } from './world.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
export type JsonObject = { readonly [name: string]: Json };

/** An Envoy resource in the JSON form of the v3 API. */
export type NamedResource = JsonObject & { readonly name: string };

export interface Plan {
  /** The policy for extproc. */
  readonly policy: GatewayPolicy;
  /** The configuration for Envoy, without secret values. */
  readonly envoy: EnvoyConfig;
  /**
   * Secret values, by the name that `envoy` refers to. Never print, log or compare them; they
   * render as `{}` in JSON.
   */
  readonly secrets: readonly EnvoySecret[];
  /** The public keys that the policies need, sorted by `keySourceId`; see `World.jwks`. */
  readonly jwksSources: readonly KeySource[];
  /** The tokens of clouds that backends need, sorted by backend; see `World.tokens`. */
  readonly wantedTokens: readonly WantedToken[];
  /** Where alerts about budgets are sent, sorted by policy. */
  readonly webhooks: readonly Webhook[];
  /** What extproc needs to reach the services of guardrails, sorted by id. */
  readonly detectorSecrets: readonly DetectorSecret[];
  readonly statuses: readonly ObjectStatus[];
  /** Sorted by file, line, object and path. */
  readonly problems: readonly Problem[];
}

/** A receiver of the alerts of a quota policy. */
export interface Webhook {
  /** `NAMESPACE/NAME` of the AIQuotaPolicy. */
  readonly policy: string;
  readonly url: string;
  /** `whsec_…` */
  readonly secret: SecretText;
}

/** A secret value that the policy names by its id; see `DetectorService`. Never print or log it. */
export interface DetectorSecret {
  readonly id: string;
  readonly value: SecretText;
}

/** Resources of Envoy's v3 API in JSON form, sorted by name. */
export interface EnvoyConfig {
  readonly listeners: readonly NamedResource[];
  readonly routes: readonly NamedResource[];
  readonly clusters: readonly NamedResource[];
  /**
   * HTTP filters in order. Listeners refer to them by name (ECDS), so a changed filter does not
   * replace the listener.
   */
  readonly extensions: readonly NamedResource[];
}

export type EnvoySecret =
  | { readonly name: string; readonly type: 'Generic'; readonly value: SecretText }
  | { readonly name: string; readonly type: 'Certificate'; readonly chain: SecretText; readonly privateKey: SecretText }
  | {
      readonly name: string;
      readonly type: 'CaBundle';
      readonly certificates: SecretText;
      readonly revocationLists?: SecretText;
    };

/**
 * Conditions in the form of Gateway API. The writer adds `lastTransitionTime`, because it knows the
 * previous status.
 */
export interface ObjectStatus {
  readonly object: ObjectRef;
  readonly parents?: readonly { readonly parentRef: ParentRef; readonly conditions: readonly Condition[] }[];
  readonly ancestors?: readonly { readonly ancestorRef: ObjectRef; readonly conditions: readonly Condition[] }[];
  readonly conditions?: readonly Condition[];
  /** The fullest budgets of a quota policy; absent: unknown, so that the last ones stay. */
  readonly budgets?: readonly BudgetStatus[];
}

/** One budget in the status of its policy. Amounts are decimal numbers. */
export interface BudgetStatus {
  /** The name of the quota in its policy. */
  readonly quota: string;
  readonly key: readonly string[];
  readonly spent: string;
  readonly held: string;
  readonly limit: string;
  readonly currency?: string;
  /** How many proxies count apart, each with its part of the limit; absent: all count together. */
  readonly proxies?: number;
  /** RFC 3339. */
  readonly exhaustedAt?: string;
}

/** Paths and addresses on the machine of Envoy. */
export interface EnvoyOptions {
  /** Absolute path of the folder for the files of `envoyFiles`. */
  readonly directory: string;
  readonly extproc: SocketAddress;
  readonly admin: SocketAddress;
  /** The address that listeners bind; a Gateway has only ports. */
  readonly listenAddress: string;
  /**
   * PEM file with the system's CAs. Without it, backends with `tls.mode: System` cannot be served.
   */
  readonly caBundle?: string;
  /** Maximum heap of Envoy; near it, Envoy refuses requests, then connections. */
  readonly heapBytes?: number;
}

export type SocketAddress =
  | { readonly type: 'Unix'; readonly path: string }
  | { readonly type: 'Tcp'; readonly host: string; readonly port: number };
