/** What translate gives. Each part is whole: who applies it writes what differs and removes what is not there any more. */
import type { GatewayPolicy } from '../contract/policy.ts';
import type { Condition } from '../crds/conditions.ts';
import type { ParentRef } from '../crds/route.ts';
import type { ObjectRef, Problem } from './problem.ts';
import type { SecretText } from './world.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
export type JsonObject = { readonly [name: string]: Json };

/** A resource of Envoy's, in the JSON form of its v3 API. */
export type NamedResource = JsonObject & { readonly name: string };

export interface Plan {
  /** What extproc reads. */
  readonly policy: GatewayPolicy;
  /** What Envoy reads, without any secret value. */
  readonly envoy: EnvoyConfig;
  /** SECRET VALUES, by the name that `envoy` refers to. Never print, log or compare them; they render as `{}` in JSON. */
  readonly secrets: readonly EnvoySecret[];
  readonly statuses: readonly ObjectStatus[];
  /** Sorted by file, line, object and path. */
  readonly problems: readonly Problem[];
}

/** Resources of Envoy's v3 API, as its JSON form has them, sorted by name. */
export interface EnvoyConfig {
  readonly listeners: readonly NamedResource[];
  readonly routes: readonly NamedResource[];
  readonly clusters: readonly NamedResource[];
  /** HTTP filters that listeners find by name, so that a change of theirs leaves the listener alone. */
  readonly extensions: readonly NamedResource[];
}

export type EnvoySecret =
  | { readonly name: string; readonly type: 'Generic'; readonly value: SecretText }
  | { readonly name: string; readonly type: 'Certificate'; readonly chain: SecretText; readonly privateKey: SecretText }
  | { readonly name: string; readonly type: 'Authority'; readonly certificates: SecretText };

/** Conditions in the manner of Gateway API. `lastTransitionTime` is the writer's, who knows what stood there before. */
export interface ObjectStatus {
  readonly object: ObjectRef;
  readonly parents?: readonly { readonly parentRef: ParentRef; readonly conditions: readonly Condition[] }[];
  readonly ancestors?: readonly { readonly ancestorRef: ObjectRef; readonly conditions: readonly Condition[] }[];
  readonly conditions?: readonly Condition[];
}

/** Where Envoy finds things on the machine that it runs on. */
export interface EnvoyOptions {
  /** Absolute path of the folder where the files of `envoyFiles` will stand. */
  readonly directory: string;
  readonly extproc: SocketAddress;
  readonly admin: SocketAddress;
  /** The address that listeners bind; a Gateway names only ports. */
  readonly listenAddress: string;
  /** PEM file with the authorities that the machine trusts. Without it backends with `tls.mode: System` cannot be served. */
  readonly caBundle?: string;
  /** What Envoy's heap may grow to; near it requests are refused, then connections. */
  readonly heapBytes?: number;
}

export type SocketAddress =
  | { readonly type: 'Unix'; readonly path: string }
  | { readonly type: 'Tcp'; readonly host: string; readonly port: number };
