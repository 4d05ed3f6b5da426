/** Shared by tests: the objects of a cluster in a file. */
import { parseAllDocuments } from 'yaml';
import { fullName } from '../object-names.ts';
import { isApiKeySecret } from '../read/api-key-secret.ts';
import { exampleJwks } from '../testing.ts';
import type { ClusterOptions, ClusterPlan, ClusterWorld, DerivedSecret, Manifest, PatchVerdict } from './plan.ts';
import { type AddToWorld, clusterWorld, readApiKeySecret, readObject } from './read.ts';

export const exampleOptions: ClusterOptions = {
  extprocSocket: '/run/tallygate/extproc.sock',
  routeSecret: 'of the examples',
  reach: { clusterDomain: 'cluster.local', allowedDestinations: [] },
  identityNamespaces: ['platform'],
  sharesQuotas: false,
};

type Fields = Readonly<Record<string, unknown>>;

/** Reads each document as the API server would return it. */
export function clusterOf(text: string): ClusterWorld {
  const objects = parseAllDocuments(text).map((document) => fields(document.toJS()));
  const heads = (kind: string) =>
    objects.filter((each) => each['kind'] === kind).map((each) => fields(each['metadata']));
  return clusterWorld(
    objects.map(asStored).flatMap(additionsOf),
    {
      namespaces: new Map(heads('Namespace').map(({ name, labels }) => [String(name), strings(labels)])),
      services: new Map(
        objects
          .filter((each) => each['kind'] === 'Service')
          .map((each) => {
            const { namespace, name } = fields(each['metadata']);
            const { clusterIPs } = fields(each['spec']);
            return [`${namespace}/${name}`, Array.isArray(clusterIPs) ? clusterIPs.map(String) : []];
          }),
      ),
      patchPolicies: { verdicts: new Map() },
    },
    { jwks: exampleJwks, tokens: new Map() },
  );
}

function additionsOf(object: Fields): readonly AddToWorld[] {
  const labels = strings(fields(object['metadata'])['labels']);
  return object['kind'] === 'Secret' && isApiKeySecret({ labels })
    ? [readObject(object), readApiKeySecret(object)]
    : [readObject(object)];
}

/** Returns the world in which Envoy Gateway has judged all EnvoyPatchPolicies of the plan. */
export function withVerdicts(world: ClusterWorld, plan: ClusterPlan, verdict: PatchVerdict): ClusterWorld {
  const patches = plan.objects.filter(({ kind }) => kind === 'EnvoyPatchPolicy');
  return { ...world, patchPolicies: { verdicts: new Map(patches.map((each) => [fullName(each), verdict])) } };
}

export const patched: PatchVerdict = { reason: 'Programmed', message: '' };

/** Returns the Secret with its value, for tests that write it. */
export function asObject({ metadata, type, data }: DerivedSecret): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata,
    type,
    data: { credential: Buffer.from(data.credential.reveal()).toString('base64') },
  };
}

function asStored(object: Fields): Fields {
  const { stringData } = object;
  if (stringData === undefined) {
    return object;
  }
  const data = Object.entries(strings(stringData)).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return { ...object, data: Object.fromEntries(data) };
}

function strings(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields(value)).map(([key, each]) => [key, String(each)]));
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
