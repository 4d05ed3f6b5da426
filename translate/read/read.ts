/**
 * Reads YAML files into a world. Returns typed objects with defaults, and a problem with file, line
 * and field for each violation of a schema. Omits objects with errors; other objects are not
 * affected.
 */
import type { z } from 'zod';
import { kinds, type Metadata, metadata } from '../../crds/kinds.ts';
import { GROUP } from '../../crds/schema.ts';
import { lineOf, type ObjectRef, type Problem, type ProblemFields, type Source } from '../problem.ts';
import type { World } from '../world.ts';
import { readDocuments, type YamlDocument } from './documents.ts';
import { fieldProblem } from './fields.ts';
import { type Draft, emptyDraft } from './reader.ts';
import { readers } from './readers.ts';
import { suggestion } from './suggestion.ts';
import type { Lookup } from './variables.ts';

export interface SourceFile {
  readonly name: string;
  readonly text: string;
  /**
   * The place of the argument that named the file or its folder. As with `kubectl apply`, an object
   * of a later argument replaces one of an earlier argument. Absent: the first.
   */
  readonly argument?: number;
}

export interface ReadResult {
  readonly world: World;
  readonly problems: readonly Problem[];
}

export function readWorld(files: readonly SourceFile[], lookup: Lookup): ReadResult {
  const problems: Problem[] = [];
  const world = emptyDraft();
  const seen = new Map<string, SeenObject>();
  const found = new Map<SourceFile, readonly Problem[]>();
  const lastArgumentFirst = files.toSorted((left, right) => argumentOf(right) - argumentOf(left));
  for (const file of lastArgumentFirst) {
    const { documents, problems: ofFile } = readDocuments(file.name, file.text);
    const all = [...ofFile];
    for (const document of documents) {
      readObject(document, argumentOf(file), lookup, seen, world, all);
    }
    found.set(
      file,
      all.toSorted((left, right) => (left.line ?? 0) - (right.line ?? 0)),
    );
  }
  for (const file of files) {
    problems.push(...(found.get(file) ?? []));
  }
  return { world: { ...world, jwks: new Map(), tokens: new Map() }, problems };
}

function argumentOf({ argument = 0 }: SourceFile): number {
  return argument;
}

interface SeenObject {
  readonly source: Source;
  readonly argument: number;
}

function readObject(
  document: YamlDocument,
  argument: number,
  lookup: Lookup,
  seen: Map<string, SeenObject>,
  world: Draft,
  problems: Problem[],
): void {
  const { source, value } = document;
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    problems.push(placed(source, notAnObject));
    return;
  }
  const reader = readers.find((each) => each.apiVersion === apiVersion && each.kind === kind);
  if (reader === undefined) {
    problems.push(placed(source, notRead(apiVersion, kind)));
    return;
  }
  const head = metadata.safeParse(value.metadata ?? {}, { reportInput: true });
  const object: ObjectRef = {
    group: apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '',
    kind,
    namespace: head.data?.namespace ?? 'default',
    name: head.data?.name ?? '?',
  };
  const wrong: ProblemFields[] = [];
  const again = seen.get(objectKey(object));
  if (!head.success) {
    wrong.push(...head.error.issues.map((issue) => fieldProblem(issue, 'metadata')));
  } else if (again !== undefined && again.argument > argument) {
    const message = `is replaced by the object in ${placeOf(again)}`;
    problems.push(
      placed(source, { severity: 'Note', object, reason: 'Replaced', path: 'metadata.name', message, fix: LAST_WINS }),
    );
  } else if (again !== undefined) {
    const message = `an object of this kind and name already exists in ${placeOf(again)}`;
    wrong.push({ reason: 'Duplicate', path: 'metadata.name', message, fix: 'rename or remove one of them' });
  } else {
    seen.set(objectKey(object), { source, argument });
    const problem = (found: ProblemFields): void => {
      wrong.push(found);
    };
    const add = reader.read({ document, metadata: cleanMetadata(head.data), problem, lookup });
    if (wrong.length === 0) {
      add?.(world);
    } else {
      world.refused.push(object);
    }
  }
  problems.push(...wrong.map((found) => placed(source, { severity: 'Error', object, ...found })));
}

const LAST_WINS = 'none needed: objects of a later argument replace those of an earlier one';

function placeOf({ source }: SeenObject): string {
  return `${source.file}:${lineOf(source, '') ?? 1}`;
}

function placed(source: Source, problem: Problem): Problem {
  const line = lineOf(source, problem.path);
  return { ...problem, file: source.file, ...(line !== undefined && { line }) };
}

function objectKey({ group, kind, namespace, name }: ObjectRef): string {
  return `${group}/${kind}/${namespace}/${name}`;
}

export function cleanMetadata({
  name,
  namespace,
  uid,
  generation,
  creationTimestamp,
  labels,
  annotations,
}: z.output<typeof metadata>): Metadata {
  // Others are not read, and kubectl keeps whole Secrets in one.
  const own = Object.entries(annotations ?? {}).filter(([key]) => key.startsWith(`${GROUP}/`));
  return {
    name,
    namespace,
    ...(uid !== undefined && { uid }),
    ...(generation !== undefined && { generation }),
    ...(creationTimestamp && { creationTimestamp }),
    ...(labels && { labels }),
    ...(own.length > 0 && { annotations: Object.fromEntries(own) }),
  };
}

const notAnObject: Problem = {
  severity: 'Error',
  reason: 'UnknownKind',
  path: '',
  message: 'is not a Kubernetes object',
  fix: 'start it with apiVersion and kind, and separate objects by ---',
};

/** Kinds without meaning for standalone mode. */
const clusterOnly = new Set(['Namespace', 'GatewayClass', 'Service', 'ServiceAccount', 'EnvoyProxy', 'Deployment']);

function notRead(apiVersion: string, kind: string): Problem {
  const error = { severity: 'Error', reason: 'UnknownKind' } as const;
  const known = readers.find((each) => each.kind === kind);
  if (known !== undefined) {
    const message = `unknown apiVersion ${apiVersion} of kind ${kind}`;
    return { ...error, path: 'apiVersion', message, fix: `write ${known.apiVersion}` };
  }
  if (apiVersion.startsWith(`${GROUP}/`)) {
    const names = kinds.map((each) => each.kind);
    const meant = suggestion(kind, names);
    const fix = meant === undefined ? `use one of ${names.join(', ')}` : `did you mean ${meant}?`;
    return { ...error, path: 'kind', message: `unknown kind ${kind}`, fix };
  }
  const unread = { reason: 'NotServed', path: '', message: `${kind} (${apiVersion}) is ignored` } as const;
  return clusterOnly.has(kind)
    ? { ...unread, severity: 'Note', fix: 'none needed: it has an effect only in a cluster' }
    : { ...unread, severity: 'Warning', fix: 'remove it, or apply it to a cluster' };
}
