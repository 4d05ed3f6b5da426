/** Whether an object of ours is what it should be. Pure. */
import { createHash } from 'node:crypto';
import { FIELD_MANAGER } from './client.ts';
import type { KubeObject } from './object.ts';

export const MANAGED_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_SELECTOR = `${MANAGED_LABEL}=tallygate`;
/** Digest of what was applied last: fields that we do not want any more are told by it. Secrets have none, because it would allow guessing. */
const APPLIED = 'tallygate.dev/applied';

export function isManaged({ metadata }: KubeObject): boolean {
  return metadata.labels?.[MANAGED_LABEL] === FIELD_MANAGER;
}

/** As it is to be sent. */
export function stamped(wanted: KubeObject): KubeObject {
  if (wanted.kind === 'Secret') return wanted;
  const digest = createHash('sha256').update(JSON.stringify(wanted)).digest('hex').slice(0, 16);
  return {
    ...wanted,
    metadata: { ...wanted.metadata, annotations: { ...wanted.metadata.annotations, [APPLIED]: digest } },
  };
}

export type Difference = 'none' | 'apply' | 'replace';

/** `wanted`: stamped. `replace`: somebody else has put fields into what is ours to say, and applying would leave them there. */
export function difference(wanted: KubeObject, actual: KubeObject): Difference {
  if (hasForeignFields(actual)) return 'replace';
  const { kind: _kind, apiVersion: _apiVersion, ...content } = wanted;
  return covers(actual, content) ? 'none' : 'apply';
}

/** Everything that is wanted is there; what the server adds (defaults, status) does not matter. Lists are ours as a whole. */
function covers(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((each, index) => covers(actual[index], each))
    );
  }
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof actual !== 'object' || actual === null) return false;
    const there = actual as Readonly<Record<string, unknown>>;
    return Object.entries(wanted).every(([name, value]) => covers(there[name], value));
  }
  return actual === wanted;
}

/** Fields of `metadata` and `status` are others' to write. */
const OTHERS = new Set(['f:metadata', 'f:status']);

function hasForeignFields({ metadata }: KubeObject): boolean {
  return (metadata.managedFields ?? []).some(
    ({ manager, subresource, fieldsV1 }) =>
      manager !== FIELD_MANAGER &&
      subresource === undefined &&
      Object.keys(fieldsV1 ?? {}).some((field) => !OTHERS.has(field)),
  );
}
