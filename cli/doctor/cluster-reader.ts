/** Reads what the checks of a cluster need from its API server. */
import { ApiError } from '../../controller/api/client.ts';
import { type Resource, resourcePath } from '../../controller/api/resource.ts';
import type { FixSection } from './check-result.ts';
import type { ObjectWithStatus } from './status-checks.ts';

/** Returns the response of the API server as JSON. Rejects with an `ApiError`. */
export type ReadApi = (path: string) => Promise<unknown>;

export interface ClusterOfChecks {
  readonly version: string;
  readonly server: string;
  /** The namespace of Envoy Gateway and of the proxies. */
  readonly namespace: string;
  readonly read: ReadApi;
  readonly now: () => number;
}

export const CRD: Resource = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  clusterWide: true,
};

/** The section of the fixes of a cluster. */
export const CLUSTER_SECTION: FixSection = 'an-installation-on-a-cluster';

/** The most objects that one list reads. */
const LIST_LIMIT = 500;

interface ObjectList<T> {
  readonly items: readonly T[];
}

export async function list<T = ObjectWithStatus>(
  read: ReadApi,
  resource: Resource,
  { namespace = '', selector }: { readonly namespace?: string; readonly selector?: string } = {},
): Promise<readonly T[]> {
  const query = new URLSearchParams({ limit: String(LIST_LIMIT) });
  if (selector !== undefined) {
    query.set('labelSelector', selector);
  }
  return ((await read(`${resourcePath(resource, namespace)}?${query}`)) as ObjectList<T>).items;
}

export async function readOrNone<T>(read: ReadApi, path: string): Promise<T | undefined> {
  try {
    return (await read(path)) as T;
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) {
      return undefined;
    }
    throw error;
  }
}
