/** What tests of this room share: a cluster's objects in a file. */
import { parseAllDocuments } from 'yaml';
import type { ClusterOptions, ClusterWorld } from './plan.ts';
import { clusterWorld, readObject } from './read.ts';

export const exampleOptions: ClusterOptions = { extprocSocket: '/run/tallygate/extproc.sock' };

type Fields = Readonly<Record<string, unknown>>;

/** Each document as the API server would give it. */
export function clusterOf(text: string): ClusterWorld {
  const objects = parseAllDocuments(text).map((document) => fields(document.toJS()));
  const heads = (kind: string) =>
    objects.filter((each) => each['kind'] === kind).map((each) => fields(each['metadata']));
  return clusterWorld(objects.map(asStored).map(readObject), {
    namespaces: new Map(heads('Namespace').map(({ name, labels }) => [String(name), strings(labels)])),
    services: new Set(heads('Service').map(({ namespace, name }) => `${namespace}/${name}`)),
  });
}

function asStored(object: Fields): Fields {
  const { stringData } = object;
  if (stringData === undefined) return object;
  const data = Object.entries(strings(stringData)).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return { ...object, data: Object.fromEntries(data) };
}

function strings(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields(value)).map(([key, each]) => [key, String(each)]));
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
