/** Where replicas share the counts of quotas: a Redis or Valkey, and how to reach it. */
import { z } from 'zod';
import type { Fields } from './fields.ts';

/** How addresses are used: as the server, its Sentinels, or nodes of a cluster. */
export const sharedStoreModes = ['Standalone', 'Sentinel', 'Cluster'] as const;

export interface SharedStoreConfig {
  readonly type: 'Redis';
  readonly mode: (typeof sharedStoreModes)[number];
  /** `HOST:PORT`, or `[ADDRESS]:PORT` for IPv6. */
  readonly addresses: readonly string[];
  /** The name by which Sentinels know the primary. */
  readonly sentinelMaster?: string;
  readonly username?: string;
  readonly password?: string;
  readonly sentinelPassword?: string;
  /** Absent: the connection is not encrypted. */
  readonly tls?: SharedStoreTls;
  readonly database?: number;
  /** The start of all keys. Installations with the same prefix share their counts. */
  readonly keyPrefix: string;
}

export interface SharedStoreTls {
  /** CA certificates; absent: those of the system. */
  readonly caPem?: string;
  /** The name in the server's certificate; absent: the host of the address. */
  readonly serverName?: string;
}

export const DEFAULT_KEY_PREFIX = 'tallygate';

const DEFAULT_PORT = 6379;
const DEFAULT_SENTINEL_PORT = 26379;
/** A client connects to one address after another; more would delay the start of each replica. */
const MAX_ADDRESSES = 64;
/** Every key contains the prefix. */
const MAX_PREFIX_CHARACTERS = 64;

const text = z.string().min(1);

const tls = z.strictObject({
  caPem: z
    .string()
    .regex(/-----BEGIN CERTIFICATE-----/, 'must be PEM with certificates')
    .exactOptional(),
  serverName: text.exactOptional(),
} satisfies Fields<SharedStoreTls>);

export const sharedStoreSchema: z.ZodType<SharedStoreConfig> = z
  .strictObject({
    type: z.literal('Redis'),
    mode: z.enum(sharedStoreModes),
    addresses: z
      .array(z.string().refine(isHostPort, 'must be HOST:PORT'))
      .min(1, 'must have an address')
      .max(MAX_ADDRESSES, `must have at most ${MAX_ADDRESSES} addresses`),
    sentinelMaster: text.exactOptional(),
    username: text.exactOptional(),
    password: text.exactOptional(),
    sentinelPassword: text.exactOptional(),
    tls: tls.exactOptional(),
    database: z.int('must be a whole number').min(0).max(65535).exactOptional(),
    // A brace would move the hash tag, which keeps the keys of a window in one slot of a cluster.
    keyPrefix: z
      .string()
      .regex(/^[\w.:/-]+$/, 'must consist of letters, digits and _ . : / -')
      .max(MAX_PREFIX_CHARACTERS, `must have at most ${MAX_PREFIX_CHARACTERS} characters`),
  } satisfies Fields<SharedStoreConfig>)
  .superRefine(({ mode, addresses, sentinelMaster, sentinelPassword, username, password, database }, context) => {
    const fault = (field: keyof SharedStoreConfig, message: string) =>
      context.addIssue({ code: 'custom', path: [field], message });
    if (mode === 'Standalone' && addresses.length > 1) {
      fault('addresses', 'must have one address in mode Standalone');
    }
    if (mode === 'Sentinel' && sentinelMaster === undefined) {
      fault('sentinelMaster', 'is required in mode Sentinel');
    }
    if (mode !== 'Sentinel' && sentinelMaster !== undefined) {
      fault('sentinelMaster', 'requires mode Sentinel');
    }
    if (mode !== 'Sentinel' && sentinelPassword !== undefined) {
      fault('sentinelPassword', 'requires mode Sentinel');
    }
    if (username !== undefined && password === undefined) {
      fault('username', 'requires a password');
    }
    if (mode === 'Cluster' && (database ?? 0) !== 0) {
      fault('database', 'must be 0 in mode Cluster');
    }
  });

/** What a URL does not contain, because it should not be in the environment or is too long. */
export interface SharedStoreFiles {
  readonly password?: string;
  readonly sentinelPassword?: string;
  readonly caPem?: string;
}

const schemes: Readonly<Record<string, SharedStoreConfig['mode']>> = {
  redis: 'Standalone',
  rediss: 'Standalone',
  'redis+sentinel': 'Sentinel',
  'rediss+sentinel': 'Sentinel',
  'redis+cluster': 'Cluster',
  'rediss+cluster': 'Cluster',
};

const SHAPE =
  'must be redis://HOST, redis+sentinel://HOST,…/PRIMARY or redis+cluster://HOST,…, or the same with rediss for TLS';
const urlPattern =
  /^(?<scheme>[a-z+]+):\/\/(?:(?<user>[^:@/?]*)(?::(?<password>[^@/?]*))?@)?(?<hosts>[^@/?#]+)(?<path>(?:\/[^/?#]*)*)(?:\?(?<query>[^#]*))?$/;

/**
 * Reads `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`; `redis+sentinel://` with several hosts
 * and the path `/PRIMARY[/DATABASE]`; and `redis+cluster://` with several hosts. `rediss` encrypts.
 * The query may have `keyPrefix` and `serverName`. A problem never contains the URL's secrets.
 */
export function readSharedStoreUrl(
  url: string,
  files: SharedStoreFiles = {},
): SharedStoreConfig | { readonly problem: string } {
  const parts = urlPattern.exec(url)?.groups;
  const mode = Object.hasOwn(schemes, parts?.['scheme'] ?? '') ? schemes[parts!['scheme']!] : undefined;
  if (parts === undefined || mode === undefined) {
    return { problem: SHAPE };
  }
  const { caPem, ...secrets } = files;
  const isEncrypted = parts['scheme']!.startsWith('rediss');
  if (caPem !== undefined && !isEncrypted) {
    return { problem: 'must begin with rediss where CA certificates are given' };
  }
  const query = new URLSearchParams(parts['query'] ?? '');
  const unknown = [...query.keys()].find((name) => name !== 'keyPrefix' && name !== 'serverName');
  if (unknown !== undefined) {
    return { problem: 'may only have keyPrefix and serverName in its query' };
  }
  const serverName = query.get('serverName');
  if (serverName !== null && !isEncrypted) {
    return { problem: 'must begin with rediss where it has serverName' };
  }
  const path = placeOf(mode, parts['path'] ?? '');
  const login = loginOf(parts['user'], parts['password']);
  if ('problem' in path || 'problem' in login) {
    return 'problem' in path ? path : (login as { readonly problem: string });
  }
  const port = mode === 'Sentinel' ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT;
  const { data, error } = sharedStoreSchema.safeParse({
    type: 'Redis',
    mode,
    addresses: parts['hosts']!.split(',').map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`)),
    ...path,
    ...login,
    ...secrets,
    ...(isEncrypted && { tls: { ...(caPem !== undefined && { caPem }), ...(serverName !== null && { serverName }) } }),
    keyPrefix: query.get('keyPrefix') ?? DEFAULT_KEY_PREFIX,
  });
  return data ?? { problem: `is not usable: ${faultOf(error!)}` };
}

/** Returns what the path of a URL names. */
function placeOf(
  mode: SharedStoreConfig['mode'],
  path: string,
): Pick<SharedStoreConfig, 'sentinelMaster' | 'database'> | { readonly problem: string } {
  const segments = path.split('/').filter((segment) => segment !== '');
  const sentinelMaster = mode === 'Sentinel' ? segments.shift() : undefined;
  const [database, ...others] = segments;
  if (others.length > 0 || (database !== undefined && !/^\d{1,5}$/.test(database))) {
    return { problem: `may only end in ${mode === 'Sentinel' ? '/PRIMARY/DATABASE' : '/DATABASE'}, a whole number` };
  }
  return {
    ...(sentinelMaster !== undefined && { sentinelMaster }),
    ...(database !== undefined && { database: Number(database) }),
  };
}

function loginOf(
  user: string | undefined,
  password: string | undefined,
): Pick<SharedStoreConfig, 'username' | 'password'> | { readonly problem: string } {
  try {
    return {
      ...(user && { username: decodeURIComponent(user) }),
      ...(password && { password: decodeURIComponent(password) }),
    };
  } catch {
    return { problem: 'must have special characters of user and password percent-encoded' };
  }
}

function faultOf({ issues: [issue] }: z.ZodError): string {
  const path = (issue?.path ?? []).map(String).join('.');
  return `${path} ${issue?.message}`;
}

function isHostPort(address: string): boolean {
  const [, port] = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(address) ?? [];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}
