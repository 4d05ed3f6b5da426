/** Kinds of objects, and their paths at the API server. */

export interface Resource {
  /** `GROUP/VERSION`, or `v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  /** Default: false. */
  readonly clusterWide?: boolean;
}

/**
 * Returns the path of the collection, or of one object. An empty namespace means all namespaces.
 */
export function resourcePath({ apiVersion, plural, clusterWide }: Resource, namespace = '', name?: string): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = clusterWide || namespace === '' ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${scope}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}
