/** What is wrong with a Redis, in a few kinds that an operator can act on. */

export const storeFaultKinds = [
  'unreachable',
  'slow',
  'login',
  'permission',
  'memory',
  'read-only',
  'unavailable',
  'version',
  'other',
] as const;

export interface StoreFault {
  readonly kind: (typeof storeFaultKinds)[number];
  /** One sentence with the fix, without secrets. */
  readonly message: string;
}

/** By the first word of an error of Redis. */
const replies: Readonly<Record<string, StoreFault>> = {
  WRONGPASS: { kind: 'login', message: 'the store refuses the user or password: correct them' },
  NOAUTH: { kind: 'login', message: 'the store requires a password: configure one' },
  NOPERM: { kind: 'permission', message: 'the user may not run the commands that quotas need: extend its ACL' },
  OOM: { kind: 'memory', message: 'the store has reached maxmemory: raise it' },
  READONLY: { kind: 'read-only', message: 'the store is a read-only replica: name the primary' },
  NOREPLICAS: { kind: 'unavailable', message: 'the store has fewer replicas than it needs to accept writes' },
  MISCONF: { kind: 'unavailable', message: 'the store cannot write to its disk and accepts no writes' },
  LOADING: { kind: 'unavailable', message: 'the store still loads its data' },
  MASTERDOWN: { kind: 'unavailable', message: 'the store is a replica without its primary' },
  CLUSTERDOWN: { kind: 'unavailable', message: 'the cluster does not serve all slots' },
  TRYAGAIN: { kind: 'unavailable', message: 'the cluster moves slots' },
  BUSY: { kind: 'unavailable', message: 'the store is busy with a script' },
};

/** By the code of an error of the system. */
const connections: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the store refuses connections: check its address',
  ENOTFOUND: 'the name of the store does not resolve: check its address',
  ETIMEDOUT: 'the store does not answer: check its address and the network',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate of the store is not from a known CA: give its CA certificates',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate of the store is not from a known CA: give its CA certificates',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the certificate of the store is not from a known CA: give its CA certificates',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the certificate of the store is not from a known CA: give its CA certificates',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate of the store has another name: set the server name',
  CERT_HAS_EXPIRED: 'the certificate of the store has expired: renew it',
};

/**
 * Reads only message and code: the rest of an error has arguments, such as passwords. Returns
 * undefined where the error only says that there is no connection.
 */
export function faultOf(error: unknown): StoreFault | undefined {
  const { message = '', code = '' } = Object(error) as { readonly message?: unknown; readonly code?: unknown };
  const text = String(message);
  const word = /^[A-Z]+/.exec(text)?.[0] ?? '';
  if (Object.hasOwn(replies, word)) {
    return replies[word]!;
  }
  if (text.includes("can't run this command") || text.includes("can't access at least one of the keys")) {
    return replies['NOPERM']!;
  }
  if (/invalid (?:username-password pair|password)/.test(text)) {
    return replies['WRONGPASS']!;
  }
  if (Object.hasOwn(connections, String(code))) {
    return { kind: 'unreachable', message: connections[String(code)]! };
  }
  if (/^ERR/.test(text)) {
    return { kind: 'other', message: `the store answers: ${text.slice(0, 120)}` };
  }
  return undefined;
}

const OLDEST_REDIS = [6, 2] as const;
const OLDEST_VALKEY = [7, 2] as const;

export interface StoreCheck {
  readonly product: string;
  readonly version: string;
  /** Why the store cannot be used. */
  readonly fault: StoreFault | undefined;
  /** What the operator should change even though the store works. */
  readonly warnings: readonly string[];
}

/** Reads the answer to INFO. A proxy or ACL may leave sections out: those are not checked. */
export function checkInfo(info: string): StoreCheck {
  const values = new Map(
    info.split(/\r?\n/).map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
  const valkey = values.get('valkey_version');
  const product = valkey === undefined ? 'Redis' : 'Valkey';
  const version = valkey ?? values.get('redis_version') ?? '';
  const oldest = valkey === undefined ? OLDEST_REDIS : OLDEST_VALKEY;
  const warnings: string[] = [];
  const policy = values.get('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction') {
    warnings.push(`maxmemory-policy is ${policy}, so a full store forgets what was spent: set it to noeviction`);
  }
  return { product, version, fault: versionFault(product, version, oldest) ?? roleFault(values.get('role')), warnings };
}

function versionFault(product: string, version: string, oldest: readonly [number, number]): StoreFault | undefined {
  const [major, minor] = version.split('.').map(Number);
  if (major === undefined || minor === undefined || Number.isNaN(major) || Number.isNaN(minor)) {
    return undefined;
  }
  const isOld = major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
  return isOld
    ? { kind: 'version', message: `${product} ${version} is too old: install ${oldest.join('.')} or newer` }
    : undefined;
}

function roleFault(role: string | undefined): StoreFault | undefined {
  return role === 'slave' ? replies['READONLY'] : undefined;
}
