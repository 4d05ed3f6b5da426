/**
 * From YAML text to a world. In come the texts of files and a way to ask for variables; out come typed objects, defaults filled in, and a problem with file,
 * line and field for everything that is not as the schemas say. An object with a problem of severity Error is left out; the rest stands.
 */
import type { z } from 'zod';
import { gatewaySpec, referenceGrantSpec } from '../../crds/gateway-api.ts';
import { kinds, type Metadata, metadata } from '../../crds/kinds.ts';
import { API_VERSION, GATEWAY_GROUP, GROUP } from '../../crds/schema.ts';
import { lineOf, type ObjectRef, type Problem, type Source } from '../problem.ts';
import type { ConfigMap, Located, Secret, World } from '../world.ts';
import { readDocuments, type YamlDocument } from './documents.ts';
import { fieldProblem, unknownFields } from './fields.ts';
import { readConfigMap, readSecret } from './secrets.ts';
import { suggestion } from './suggestion.ts';
import type { Lookup } from './variables.ts';

export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

export interface ReadResult {
  readonly world: World;
  readonly problems: readonly Problem[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer Item)[] ? Item[] : T[K] };

/** What one document is read with; everything that goes wrong with it is said by `problem`. */
export interface Reading {
  readonly document: YamlDocument;
  readonly object: ObjectRef;
  readonly problem: (found: Pick<Problem, 'reason' | 'path' | 'message' | 'fix'>) => void;
  readonly lookup: Lookup;
}

interface Reader {
  readonly apiVersion: string;
  readonly kind: string;
  read(reading: Reading, metadata: Metadata, world: Mutable<World>): void;
}

export function readWorld(files: readonly SourceFile[], lookup: Lookup): ReadResult {
  const problems: Problem[] = [];
  const world: Mutable<World> = {
    gateways: [],
    routes: [],
    backends: [],
    quotaPolicies: [],
    secrets: [],
    configMaps: [],
    referenceGrants: [],
  };
  const seen = new Map<string, Source>();
  for (const file of files) {
    const { documents, problems: broken } = readDocuments(file.name, file.text);
    problems.push(...broken);
    for (const document of documents) readObject(document, lookup, seen, world, problems);
  }
  return { world, problems };
}

function readObject(
  document: YamlDocument,
  lookup: Lookup,
  seen: Map<string, Source>,
  world: Mutable<World>,
  problems: Problem[],
): void {
  const { source, value } = document;
  const say = (found: Pick<Problem, 'severity' | 'reason' | 'path' | 'message' | 'fix'>, object?: ObjectRef): void => {
    const line = lineOf(source, found.path);
    problems.push({ ...found, ...(object && { object }), file: source.file, ...(line !== undefined && { line }) });
  };
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    const message = 'is not a Kubernetes object';
    const fix = 'begin it with apiVersion and kind, and separate objects by ---';
    say({ severity: 'Error', reason: 'UnknownKind', path: '', message, fix });
    return;
  }
  const reader = readers.find((each) => each.apiVersion === apiVersion && each.kind === kind);
  if (reader === undefined) {
    say(notRead(apiVersion, kind));
    return;
  }

  const head = metadata.safeParse(value.metadata ?? {}, { reportInput: true });
  const object: ObjectRef = {
    group: apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '',
    kind,
    namespace: head.data?.namespace ?? 'default',
    name: head.data?.name ?? '?',
  };
  let broken = false;
  const problem: Reading['problem'] = (found) => {
    broken = true;
    say({ severity: 'Error', ...found }, object);
  };
  if (!head.success) {
    for (const issue of head.error.issues) problem(fieldProblem(issue, 'metadata'));
    return;
  }
  const id = `${object.group}/${kind}/${object.namespace}/${object.name}`;
  const before = seen.get(id);
  if (before !== undefined) {
    const message = `there is already one in ${before.file}:${lineOf(before, '') ?? 1}`;
    problem({ reason: 'Duplicate', path: 'metadata.name', message, fix: 'rename or remove one of them' });
    return;
  }
  seen.set(id, source);
  const { name, namespace, generation, creationTimestamp } = head.data;
  const made: Mutable<World> = { ...emptyWorld() };
  reader.read(
    { document, object, problem, lookup },
    {
      name,
      namespace,
      ...(generation !== undefined && { generation }),
      ...(creationTimestamp != null && { creationTimestamp }),
    },
    made,
  );
  if (broken) return;
  for (const list of Object.keys(made) as (keyof World)[]) (world[list] as unknown[]).push(...made[list]);
}

function emptyWorld(): Mutable<World> {
  return {
    gateways: [],
    routes: [],
    backends: [],
    quotaPolicies: [],
    secrets: [],
    configMaps: [],
    referenceGrants: [],
  };
}

/** Reads `spec` by its schema; undefined where it is not as it must be. */
function readSpec<S extends z.ZodType>({ document, problem }: Reading, spec: S): z.output<S> | undefined {
  const parsed = spec.safeParse(document.value.spec, { reportInput: true });
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) problem(fieldProblem(issue, 'spec'));
  return undefined;
}

function own<S extends z.ZodType>(
  kind: string,
  spec: S,
  add: (world: Mutable<World>, object: Located<{ metadata: Metadata; spec: z.output<S> }>) => void,
): Reader {
  return {
    apiVersion: API_VERSION,
    kind,
    read(reading, head, world) {
      for (const unknown of unknownFields(spec, reading.document.value)) reading.problem(unknown);
      const read = readSpec(reading, spec);
      if (read !== undefined) add(world, { metadata: head, spec: read, source: reading.document.source });
    },
  };
}

const [routeKind, backendKind, quotaKind] = kinds;

const readers: readonly Reader[] = [
  own(routeKind.kind, routeKind.spec, (world, object) => world.routes.push(object)),
  own(backendKind.kind, backendKind.spec, (world, object) => world.backends.push(object)),
  own(quotaKind.kind, quotaKind.spec, (world, object) => world.quotaPolicies.push(object)),
  ...['v1', 'v1beta1'].map(
    (version): Reader => ({
      apiVersion: `${GATEWAY_GROUP}/${version}`,
      kind: 'Gateway',
      read(reading, head, world) {
        const spec = readSpec(reading, gatewaySpec);
        if (spec !== undefined) world.gateways.push({ metadata: head, spec, source: reading.document.source });
      },
    }),
  ),
  ...['v1', 'v1beta1'].map(
    (version): Reader => ({
      apiVersion: `${GATEWAY_GROUP}/${version}`,
      kind: 'ReferenceGrant',
      read(reading, head, world) {
        const spec = readSpec(reading, referenceGrantSpec);
        if (spec !== undefined) world.referenceGrants.push({ metadata: head, spec, source: reading.document.source });
      },
    }),
  ),
  {
    apiVersion: 'v1',
    kind: 'Secret',
    read(reading, head, world) {
      const secret: Secret | undefined = readSecret(reading, head);
      if (secret !== undefined) world.secrets.push({ ...secret, source: reading.document.source });
    },
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    read(reading, head, world) {
      const configMap: ConfigMap | undefined = readConfigMap(reading, head);
      if (configMap !== undefined) world.configMaps.push({ ...configMap, source: reading.document.source });
    },
  },
];

/** Kinds that belong to a cluster and say nothing that this program could do. */
const clusterOnly = new Set(['Namespace', 'GatewayClass', 'Service', 'ServiceAccount', 'EnvoyProxy', 'Deployment']);

function notRead(apiVersion: string, kind: string): Pick<Problem, 'severity' | 'reason' | 'path' | 'message' | 'fix'> {
  const known = readers.filter((each) => each.kind === kind).map((each) => each.apiVersion);
  if (known.length > 0) {
    const message = `${kind} has no apiVersion ${apiVersion}`;
    return { severity: 'Error', reason: 'UnknownKind', path: 'apiVersion', message, fix: `write ${known[0]}` };
  }
  if (apiVersion.startsWith(`${GROUP}/`)) {
    const names = kinds.map((each) => each.kind);
    const meant = suggestion(kind, names);
    const fix = meant === undefined ? `use one of ${names.join(', ')}` : `did you mean ${meant}?`;
    return { severity: 'Error', reason: 'UnknownKind', path: 'kind', message: `there is no kind ${kind}`, fix };
  }
  const message = `${kind} (${apiVersion}) is not read`;
  return clusterOnly.has(kind)
    ? { severity: 'Note', reason: 'NotServed', path: '', message, fix: 'nothing to do: only a cluster needs it' }
    : { severity: 'Warning', reason: 'NotServed', path: '', message, fix: 'remove it, or apply it to a cluster' };
}
