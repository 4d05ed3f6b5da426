/** Reads Secrets with API keys. Keeps the digest of a key, never the key. */
import {
  API_KEY_ANNOTATIONS,
  API_KEY_FIELD,
  API_KEY_HASH_FIELD,
  API_KEY_LABEL,
  apiKeyHash,
  isApiKeyText,
} from '../../contract/api-key.ts';
import type { Metadata } from '../../crds/kinds.ts';
import type { ApiKeyFault, ApiKeyOwner, ApiKeySecret, Located, Secret } from '../world.ts';

const HASH_PREFIX = 'sha256:';
/** Names of callers appear in quota keys and access lines. */
const MAX_NAME_CHARACTERS = 256;
const MAX_GROUPS = 64;

export function isApiKeySecret({ labels }: Pick<Metadata, 'labels'>): boolean {
  return labels?.[API_KEY_LABEL] === 'true';
}

export function apiKeySecret(secret: Located<Pick<Secret, 'metadata' | 'data'>>): Located<ApiKeySecret> {
  const { metadata, data, source } = secret;
  const [digest, owner] = [digestOf(data), ownerOf(metadata)];
  const key = 'fault' in digest ? digest : 'fault' in owner ? owner : { ...digest, ...owner };
  return { metadata, key, ...(source && { source }) };
}

function digestOf(data: Secret['data']): { readonly digest: string } | ApiKeyFault {
  const [key, hash] = [data.get(API_KEY_FIELD)?.reveal(), data.get(API_KEY_HASH_FIELD)?.reveal()];
  if (key !== undefined && hash !== undefined) {
    const fault = `has both ${API_KEY_FIELD} and ${API_KEY_HASH_FIELD}`;
    return { path: 'data', fault, fix: 'remove one of them' };
  }
  if (key !== undefined && !isApiKeyText(key)) {
    const fault = 'is not a key of 16 to 512 printable ASCII characters without spaces and line breaks';
    return { path: `data.${API_KEY_FIELD}`, fault, fix: 'create one with `tallygate key create`' };
  }
  const text = key === undefined ? hash : apiKeyHash(key);
  if (text === undefined) {
    const fault = `has neither ${API_KEY_FIELD} nor ${API_KEY_HASH_FIELD}`;
    return { path: 'data', fault, fix: `set ${API_KEY_FIELD} to the key, or remove the label ${API_KEY_LABEL}` };
  }
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) {
    const fault = `is not ${HASH_PREFIX} and 64 lower-case hexadecimal digits`;
    return { path: `data.${API_KEY_HASH_FIELD}`, fault, fix: 'write the SHA-256 of the key in this form' };
  }
  return { digest: text.slice(HASH_PREFIX.length) };
}

function ownerOf({ annotations = {} }: Metadata): ApiKeyOwner | ApiKeyFault {
  const { tenant, user, groups, expires } = API_KEY_ANNOTATIONS;
  const names = (annotations[groups] ?? '').split(',').map((each) => each.trim());
  const unsuitable = [tenant, user].find((each) => annotations[each] === '');
  if (unsuitable !== undefined) {
    return { path: annotationPath(unsuitable), fault: 'is empty', fix: 'write a value, or remove it' };
  }
  const long = [tenant, user, groups].find((each) =>
    (each === groups ? names : [annotations[each] ?? '']).some((name) => name.length > MAX_NAME_CHARACTERS),
  );
  if (long !== undefined) {
    const fix = `use at most ${MAX_NAME_CHARACTERS} characters`;
    return { path: annotationPath(long), fault: 'has a value that is too long', fix };
  }
  const named = names.filter((each) => each !== '');
  if (named.length > MAX_GROUPS) {
    return { path: annotationPath(groups), fault: 'has too many groups', fix: `list at most ${MAX_GROUPS}` };
  }
  const expiry = annotations[expires];
  const expiresAtMs = expiry === undefined ? undefined : timeMs(expiry);
  if (Number.isNaN(expiresAtMs)) {
    const fix = 'write a time such as 2027-01-31T00:00:00Z';
    return { path: annotationPath(expires), fault: 'is not an RFC 3339 time', fix };
  }
  return {
    ...(annotations[tenant] !== undefined && { tenant: annotations[tenant] }),
    ...(annotations[user] !== undefined && { user: annotations[user] }),
    groups: named,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
}

function annotationPath(name: string): string {
  return `metadata.annotations.${name}`;
}

/** Returns NaN for other text than a time of RFC 3339 after 1970. */
function timeMs(text: string): number {
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(text);
  const time = isTime ? Date.parse(text) : Number.NaN;
  return time < 0 ? Number.NaN : time;
}
