/** Reads objects of the API server, which has validated them and applied defaults, into a world. */
import type { z } from 'zod';
import {
  clientPolicySpec,
  clusterGatewaySpec,
  referenceGrantSpec,
  securityPolicySpec,
  trafficPolicySpec,
} from '../../crds/gateway-api.ts';
import { kindsByName, type Metadata, metadata } from '../../crds/kinds.ts';
import { GATEWAY_GROUP, GROUP } from '../../crds/schema.ts';
import type { ClusterFacts } from '../deployment-mode.ts';
import { apiKeySecret } from '../read/api-key-secret.ts';
import { cleanMetadata } from '../read/read.ts';
import { type Draft, emptyDraft } from '../read/reader.ts';
import type { UntypedObject } from '../read/untyped-object.ts';
import { type Secret, secretText, type World } from '../world.ts';
import { ENVOY_GROUP } from './manifest.ts';
import type { ClientPolicy, ClusterWorld, SecurityPolicy, TrafficPolicy } from './plan.ts';

/**
 * Adds one object to a world. Callers may cache it beside the object, because parsing is the
 * expensive part.
 */
export type AddToWorld = (world: ClusterDraft) => void;

/** A world under construction. */
export type ClusterDraft = Draft & {
  readonly trafficPolicies: TrafficPolicy[];
  readonly clientPolicies: ClientPolicy[];
  readonly securityPolicies: SecurityPolicy[];
};

/**
 * Parses an object. An object of an unknown kind adds nothing; an object that violates its schema
 * counts as refused.
 */
export function readObject(value: unknown): AddToWorld {
  const { apiVersion, kind, metadata: head } = record(value);
  const group = typeof apiVersion === 'string' && apiVersion.includes('/') ? apiVersion.split('/')[0] : '';
  const reader = readers.find((each) => each.group === group && each.kind === kind);
  const named = metadata.safeParse(head).data;
  if (reader === undefined || named === undefined) {
    return () => undefined;
  }
  const { namespace, name } = named;
  return (
    reader.read(cleanMetadata(named), record(value)) ??
    ((world) => world.refused.push({ group: reader.group, kind: reader.kind, namespace, name }))
  );
}

/** Reads a Secret with the label of API keys. Keeps the digest of the key only. */
export function readApiKeySecret(value: unknown): AddToWorld {
  const { metadata: head, data } = record(value);
  const named = metadata.safeParse(head).data;
  if (named === undefined) {
    return () => undefined;
  }
  const secret = apiKeySecret({ metadata: cleanMetadata(named), data: secretData(data) });
  return (world) => world.apiKeySecrets.push(secret);
}

/** What was fetched from outside the cluster. */
export type FetchedInputs = Pick<World, 'jwks' | 'tokens'>;

export function clusterWorld(
  additions: Iterable<AddToWorld>,
  facts: ClusterFacts & Pick<ClusterWorld, 'patchPolicies'>,
  fetched: FetchedInputs = { jwks: new Map(), tokens: new Map() },
): ClusterWorld {
  const draft = { ...emptyDraft(), trafficPolicies: [], clientPolicies: [], securityPolicies: [] };
  for (const put of additions) {
    put(draft);
  }
  return { ...draft, ...fetched, ...facts };
}

interface ManifestReader {
  readonly group: string;
  readonly kind: string;
  read(metadata: Metadata, object: UntypedObject): AddToWorld | undefined;
}

function specReader<S extends z.ZodType>(
  group: string,
  kind: string,
  schema: S,
  put: (world: ClusterDraft, object: { readonly metadata: Metadata; readonly spec: z.output<S> }) => void,
): ManifestReader {
  return {
    group,
    kind,
    read(head, { spec }) {
      const parsed = schema.safeParse(spec);
      return parsed.success ? (world) => put(world, { metadata: head, spec: parsed.data }) : undefined;
    },
  };
}

const { AIGatewayRoute, AIBackend, AIQuotaPolicy, AIAccessPolicy, AIGuardrailPolicy, AIContentPolicy } = kindsByName;

const unreadRule = { name: 'unread', detect: { type: 'PromptInjection' }, action: { type: 'Monitor' } };

const readers: readonly ManifestReader[] = [
  specReader(GROUP, AIGatewayRoute.kind, AIGatewayRoute.spec, (world, object) => world.routes.push(object)),
  specReader(GROUP, AIBackend.kind, AIBackend.spec, (world, object) => world.backends.push(object)),
  specReader(GROUP, AIQuotaPolicy.kind, AIQuotaPolicy.spec, (world, object) => world.quotaPolicies.push(object)),
  closingReader(AIAccessPolicy, {}, (world, object) => world.accessPolicies.push(object)),
  closingReader(AIGuardrailPolicy, { rules: [unreadRule] }, (world, object) => world.guardrailPolicies.push(object)),
  specReader(GROUP, AIContentPolicy.kind, AIContentPolicy.spec, (world, object) => world.contentPolicies.push(object)),
  specReader(GATEWAY_GROUP, 'Gateway', clusterGatewaySpec, (world, object) => world.gateways.push(object)),
  specReader(GATEWAY_GROUP, 'ReferenceGrant', referenceGrantSpec, (world, object) =>
    world.referenceGrants.push(object),
  ),
  specReader(ENVOY_GROUP, 'BackendTrafficPolicy', trafficPolicySpec, (world, object) =>
    world.trafficPolicies.push(object),
  ),
  specReader(ENVOY_GROUP, 'ClientTrafficPolicy', clientPolicySpec, (world, object) =>
    world.clientPolicies.push(object),
  ),
  specReader(ENVOY_GROUP, 'SecurityPolicy', securityPolicySpec, (world, object) => world.securityPolicies.push(object)),
  {
    group: '',
    kind: 'Secret',
    read(head, { type, data }) {
      const secret = { metadata: head, type: typeof type === 'string' ? type : 'Opaque', data: secretData(data) };
      return (world) => world.secrets.push(secret);
    },
  },
  {
    group: '',
    kind: 'ConfigMap',
    read(head, { data }) {
      const configMap = { metadata: head, data: new Map(strings(data)) };
      return (world) => world.configMaps.push(configMap);
    },
  },
];

/**
 * A policy that this version cannot read, of a newer CRD, still closes its targets: the compilation
 * of a refused policy lets nothing pass. `rest`: valid members that nothing reads.
 */
function closingReader<S extends z.ZodType>(
  { kind, spec }: { readonly kind: string; readonly spec: S },
  rest: UntypedObject,
  put: (world: ClusterDraft, object: { readonly metadata: Metadata; readonly spec: z.output<S> }) => void,
): ManifestReader {
  const reader = specReader(GROUP, kind, spec, put);
  return {
    ...reader,
    read(head, object) {
      const readable = reader.read(head, object);
      const closed = spec.safeParse({ ...rest, targetRefs: record(object.spec)['targetRefs'] }).data;
      if (readable !== undefined || closed === undefined) {
        return readable;
      }
      return (world) => {
        world.refused.push({ group: GROUP, kind, namespace: head.namespace, name: head.name });
        put(world, { metadata: head, spec: closed });
      };
    },
  };
}

function record(value: unknown): UntypedObject {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function strings(value: unknown): readonly (readonly [string, string])[] {
  return Object.entries(record(value)).flatMap(([key, text]) => (typeof text === 'string' ? [[key, text]] : []));
}

function secretData(data: unknown): Secret['data'] {
  return new Map(strings(data).map(([key, value]) => [key, secretText(decoded(value))] as const));
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
