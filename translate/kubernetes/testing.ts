/** What tests of this room share: a cluster's objects in a file. */
import { parseAllDocuments } from 'yaml';
import type { ClusterOptions, ClusterWorld } from './plan.ts';
import { clusterWorld, readObject } from './read.ts';

export const exampleOptions: ClusterOptions = { extprocSocket: '/run/tallygate/extproc.sock' };

interface Example {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly stringData?: Readonly<Record<string, string>>;
}

/** Each document as the API server would give it. */
export function clusterOf(text: string): ClusterWorld {
  const objects = parseAllDocuments(text).map((document) => asStored(document.toJS() as Example));
  const named = (kind: string) => objects.filter((each) => each.kind === kind);
  return clusterWorld(objects.map(readObject), {
    namespaces: new Map(
      named('Namespace').map(({ metadata: { name, labels } }) => [
        name,
        { ...labels, 'kubernetes.io/metadata.name': name },
      ]),
    ),
    services: new Set(named('Service').map(({ metadata: { namespace, name } }) => `${namespace}/${name}`)),
  });
}

function asStored(object: Example): Example & { readonly data?: Readonly<Record<string, string>> } {
  const { stringData } = object;
  if (stringData === undefined) return object;
  const data = Object.entries(stringData).map(([key, value]) => [key, Buffer.from(value).toString('base64')] as const);
  return { ...object, data: Object.fromEntries(data) };
}
