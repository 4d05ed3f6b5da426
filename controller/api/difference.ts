/** Compares a generated object with its desired state. Pure. */
import { createHash } from 'node:crypto';
import { FIELD_MANAGER } from './client.ts';
import type { KubeObject, ManagedFields } from './object.ts';

export const MANAGED_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_SELECTOR = `${MANAGED_LABEL}=tallygate`;
/**
 * Digest of what was applied last, which shows that fields were removed since. Secrets have none,
 * because a digest would allow guessing.
 */
const APPLIED = 'tallygate.dev/applied';

/**
 * Whether Tallygate has written the object. The label alone proves nothing, because anybody may set
 * it and a copied object carries it with the digest. The API server records the writers in
 * `managedFields`; if somebody has cleared those, label and digest decide.
 */
export function isOurs({ metadata }: KubeObject): boolean {
  const { managedFields = [], annotations, labels } = metadata;
  if (managedFields.length > 0) {
    return managedFields.some(({ manager, subresource }) => manager === FIELD_MANAGER && subresource === undefined);
  }
  return labels?.[MANAGED_LABEL] === FIELD_MANAGER && annotations?.[APPLIED] !== undefined;
}

/**
 * Caches, because most runs compare the same objects again: 3,000 objects take 0.1 s the first
 * time.
 */
const stamps = new WeakMap<KubeObject, KubeObject>();
const foundEqual = new WeakMap<KubeObject, KubeObject>();

/** Returns the object as it is sent: with its digest. */
export function stamped(wanted: KubeObject): KubeObject {
  if (wanted.kind === 'Secret') {
    return wanted;
  }
  const known = stamps.get(wanted);
  if (known !== undefined) {
    return known;
  }
  const digest = createHash('sha256').update(JSON.stringify(wanted)).digest('hex').slice(0, 16);
  const annotations = { ...wanted.metadata.annotations, [APPLIED]: digest };
  const stamp = { ...wanted, metadata: { ...wanted.metadata, annotations } };
  stamps.set(wanted, stamp);
  return stamp;
}

export type Difference = 'none' | 'apply' | 'replace';

/**
 * `wanted`: stamped. `replace`: another field manager owns fields of the object, and server-side
 * apply would not remove them. The same holds for fields that Tallygate wrote with an earlier
 * Update, which has its own manager entry.
 */
export function difference(wanted: KubeObject, actual: KubeObject): Difference {
  if (foundEqual.get(actual) === wanted) {
    return 'none';
  }
  const found = compared(wanted, actual);
  if (found === 'none') {
    foundEqual.set(actual, wanted);
  }
  return found;
}

function compared(wanted: KubeObject, actual: KubeObject): Difference {
  const fields = (actual.metadata.managedFields ?? []).filter(isContent);
  if (fields.some(({ manager }) => manager !== FIELD_MANAGER)) {
    return 'replace';
  }
  const { kind: _kind, apiVersion: _apiVersion, ...content } = wanted;
  if (covers(actual, content)) {
    return 'none';
  }
  return fields.some(({ operation }) => operation === 'Update') ? 'replace' : 'apply';
}

/** Returns `wanted` to replace `actual`; of other writers' fields only the metadata stays. */
export function replacement(wanted: KubeObject, actual: KubeObject): KubeObject {
  const { labels, annotations, ownerReferences, managedFields, ...others } = actual.metadata;
  const own = wanted.metadata;
  const owners = own.ownerReferences ?? ownerReferences;
  // Otherwise the server would keep managers whose values are the same as Tallygate's.
  const kept = (managedFields ?? []).filter((each) => each.manager === FIELD_MANAGER || !isContent(each));
  return {
    ...wanted,
    metadata: {
      ...others,
      ...own,
      labels: { ...labels, ...own.labels },
      annotations: { ...annotations, ...own.annotations },
      ...(owners !== undefined && { ownerReferences: owners }),
      managedFields: kept,
    },
  };
}

/**
 * Whether `actual` has everything of `wanted`. Fields that the server adds do not matter; lists are
 * compared whole.
 */
function covers(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((each, index) => covers(actual[index], each))
    );
  }
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof actual !== 'object' || actual === null) {
      return false;
    }
    const existing = actual as Readonly<Record<string, unknown>>;
    return Object.entries(wanted).every(([name, value]) => covers(existing[name], value));
  }
  return actual === wanted;
}

/** Other writers may own fields of `metadata` and `status`. */
const OTHERS = new Set(['f:metadata', 'f:status']);

function isContent({ subresource, fieldsV1 }: ManagedFields): boolean {
  return subresource === undefined && Object.keys(fieldsV1 ?? {}).some((field) => !OTHERS.has(field));
}
