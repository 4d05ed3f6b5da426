/** The Secret that describes an API key: built for a new key, and read for a list. */
import {
  API_KEY_ANNOTATIONS,
  API_KEY_FIELD,
  API_KEY_HASH_FIELD,
  API_KEY_LABEL,
  apiKeyHash,
} from '../contract/api-key.ts';
import { apiKeySecret, isApiKeySecret } from '../translate/read/api-key-secret.ts';
import { type ApiKeySecret, secretText } from '../translate/world.ts';
import { printableYaml } from './terminal/yaml.ts';

export interface KeySecret {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  /** In base64. */
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

export interface ListedKey {
  readonly name: string;
  readonly tenant?: string | undefined;
  readonly user?: string | undefined;
  readonly groups: readonly string[];
  readonly expires?: string | undefined;
  /** `active`, `expired`, or the reason why the gateway does not accept the key. */
  readonly state: string;
}

const MAX_NAME_CHARACTERS = 63;
/** Stands for a key that a file takes from a variable, which only the gateway reads. */
const PLACEHOLDER_KEY = 'key-from-a-variable';

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

/** Quotes what YAML 1.1 takes for another type (`on`, times), because kubectl reads that. */
export function keySecretYaml(secret: KeySecret): string {
  return printableYaml(secret, { compat: 'yaml-1.1', lineWidth: 0 });
}

/** Returns `key-TENANT-USER` as the name of an object. */
export function keySecretName(tenant: string, user: string): string {
  const text = `key-${tenant}-${user}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return text.slice(0, MAX_NAME_CHARACTERS).replace(/-+$/, '');
}

export function isKeySecret(value: unknown): value is KeySecret {
  const { kind, metadata } = (value ?? {}) as { kind?: unknown; metadata?: KeySecret['metadata'] };
  return kind === 'Secret' && typeof metadata?.name === 'string' && isApiKeySecret(metadata);
}

/** Reads the Secret as the gateway does. */
export function readKey({ metadata, data = {}, stringData = {} }: KeySecret): ApiKeySecret['key'] {
  const texts = new Map(
    [
      ...Object.entries(data).map(([field, value]) => [field, decoded(value)] as const),
      ...Object.entries(stringData),
    ].map(([field, value]) => [field, secretText(isVariable(field, value) ? PLACEHOLDER_KEY : value)]),
  );
  return apiKeySecret({ metadata: { ...metadata, namespace: metadata.namespace ?? 'default' }, data: texts }).key;
}

export function listedKey(secret: KeySecret, nowMs: number): ListedKey {
  const { name, annotations = {} } = secret.metadata;
  const key = readKey(secret);
  const ofAnnotations = {
    name,
    tenant: annotations[API_KEY_ANNOTATIONS.tenant],
    user: annotations[API_KEY_ANNOTATIONS.user],
    expires: annotations[API_KEY_ANNOTATIONS.expires],
  };
  if ('fault' in key) {
    return { ...ofAnnotations, groups: [], state: `${key.path} ${key.fault}` };
  }
  const isExpired = key.expiresAtMs !== undefined && key.expiresAtMs <= nowMs;
  return { ...ofAnnotations, groups: key.groups, state: isExpired ? 'expired' : 'active' };
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

function isVariable(field: string, value: string): boolean {
  return field === API_KEY_FIELD && value.includes('${');
}
