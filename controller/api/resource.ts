/** Kinds of objects, and where the API server has them. */

export interface Resource {
  /** `GROUP/VERSION`, or `v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  /** True unless said otherwise. */
  readonly clusterWide?: boolean;
}

/** Of the collection, or of one object. An empty namespace: of all. */
export function resourcePath({ apiVersion, plural, clusterWide }: Resource, namespace = '', name?: string): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const place = clusterWide || namespace === '' ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${place}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}
