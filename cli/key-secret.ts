/** The Secret that describes an API key: built for a new key, and read for a list. */
import {
  API_KEY_ANNOTATIONS,
  API_KEY_FIELD,
  API_KEY_HASH_FIELD,
  API_KEY_LABEL,
  apiKeyHash,
} from '../contract/api-key.ts';

export interface KeySecret {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
}

export interface KeyOwner {
  readonly tenant: string;
  readonly user: string;
  readonly groups: readonly string[];
  /** RFC 3339. */
  readonly expires?: string | undefined;
}

export interface ListedKey extends KeyOwner {
  readonly name: string;
  /** `active`, `expired`, or the reason why no request can use the key. */
  readonly state: string;
}

const MAX_NAME = 63;

/** Returns a Secret that holds only the digest of the key. */
export function keySecret(
  key: string,
  owner: KeyOwner,
  { name, namespace }: { readonly name: string; readonly namespace: string },
  labels: Readonly<Record<string, string>>,
): KeySecret {
  const annotations: Record<string, string> = {
    [API_KEY_ANNOTATIONS.tenant]: owner.tenant,
    [API_KEY_ANNOTATIONS.user]: owner.user,
  };
  if (owner.groups.length > 0) {
    annotations[API_KEY_ANNOTATIONS.groups] = owner.groups.join(',');
  }
  if (owner.expires !== undefined) {
    annotations[API_KEY_ANNOTATIONS.expires] = owner.expires;
  }
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels: { ...labels, [API_KEY_LABEL]: 'true' }, annotations },
    stringData: { [API_KEY_HASH_FIELD]: apiKeyHash(key) },
  };
}

/** Returns `key-TENANT-USER` as the name of an object. */
export function keySecretName(tenant: string, user: string): string {
  const text = `key-${tenant}-${user}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return text.slice(0, MAX_NAME).replace(/-+$/, '');
}

export function isKeySecret(value: unknown): value is KeySecret {
  const { kind, metadata } = (value ?? {}) as { kind?: unknown; metadata?: { name?: unknown; labels?: unknown } };
  const labels = (metadata?.labels ?? {}) as Readonly<Record<string, unknown>>;
  return kind === 'Secret' && typeof metadata?.name === 'string' && labels[API_KEY_LABEL] === 'true';
}

/** Returns the digest of the key in the Secret, or undefined if the Secret has none. */
export function hashIn({ data, stringData }: KeySecret): string | undefined {
  const textOf = (field: string) => {
    const encoded = data?.[field];
    return stringData?.[field] ?? (encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString());
  };
  const apiKey = textOf(API_KEY_FIELD);
  return apiKey === undefined ? textOf(API_KEY_HASH_FIELD) : apiKeyHash(apiKey);
}

export function listedKey(secret: KeySecret, nowMs: number): ListedKey {
  const annotations = secret.metadata.annotations ?? {};
  const expires = annotations[API_KEY_ANNOTATIONS.expires];
  return {
    name: secret.metadata.name,
    tenant: annotations[API_KEY_ANNOTATIONS.tenant] ?? '',
    user: annotations[API_KEY_ANNOTATIONS.user] ?? '',
    groups: (annotations[API_KEY_ANNOTATIONS.groups] ?? '').split(',').filter((group) => group !== ''),
    expires,
    state: stateOf(secret, expires, nowMs),
  };
}

function stateOf(secret: KeySecret, expires: string | undefined, nowMs: number): string {
  if (hashIn(secret) === undefined) {
    return `no ${API_KEY_FIELD} or ${API_KEY_HASH_FIELD}`;
  }
  if (expires === undefined) {
    return 'active';
  }
  const expiresAtMs = Date.parse(expires);
  if (Number.isNaN(expiresAtMs)) {
    return 'expires is no time';
  }
  return expiresAtMs <= nowMs ? 'expired' : 'active';
}
