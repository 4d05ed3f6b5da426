/** `tallygate key create|list|find|revoke`: API keys, as Secrets in a file or in a cluster. */
import { randomBytes } from 'node:crypto';
import { text as textOf } from 'node:stream/consumers';
import { API_KEY_PATTERN, apiKeyHash, isApiKeyText, isGeneratedApiKey, newApiKey } from '../contract/api-key.ts';
import { duration, durationMs, objectName } from '../crds/schema.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import type { ApiKeyStore } from './api-key-store.ts';
import { keyCluster } from './key-cluster.ts';
import { keyFile } from './key-file.ts';
import {
  type KeySecret,
  keySecret,
  keySecretName,
  keySecretYaml,
  type ListedKey,
  listedKey,
  readKey,
} from './key-secret.ts';
import { table } from './table.ts';
import { writeError, writeErrorLines } from './terminal/errors.ts';
import { printableJsonLines } from './terminal/printable.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate key create --tenant TENANT --user USER [OPTION]…
       tallygate key list [OPTION]…
       tallygate key find [OPTION]… < FILE
       tallygate key revoke NAME [OPTION]…

Creates, lists, finds and revokes API keys. Only create shows a key, once, on stdout; its
Secret holds the SHA-256. find reads a leaked key, or text with keys, and shows whose they
are. Secrets are in a cluster, unless --file names a file of resources.

  --tenant TENANT      the tenant of the key (create)
  --user USER          the user of the key (create)
  --groups A,B         the groups of the user (create)
  --expires DURATION   how long the key works, such as 720h (create; until it is revoked)
  --name NAME          the name of the Secret (create; key-TENANT-USER)
  --label KEY=VALUE    a label for the selector of an AIAccessPolicy; repeatable (create)
  -o yaml              prints the Secret instead of creating it, and the key on stderr (create)
  --json               one JSON object per line instead of a table (list, find)
  --file FILE          the YAML file with the Secrets, instead of a cluster
  --namespace NAME     the namespace (of the context; default for a file)
  --kubeconfig FILE    the kubeconfig (KUBECONFIG, then ~/.kube/config)
  --context NAME       the context in the kubeconfig (its current context)
`;

const options = {
  tenant: { type: 'string' },
  user: { type: 'string' },
  groups: { type: 'string', default: '' },
  expires: { type: 'string' },
  name: { type: 'string' },
  label: { type: 'string', multiple: true },
  output: { type: 'string', short: 'o' },
  json: { type: 'boolean', default: false },
  file: { type: 'string' },
  namespace: { type: 'string' },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
} as const;

type KeyOptions = Exclude<ReturnType<typeof readOptions<typeof options>>, number>['values'];

export const key: Verb = async ({ args }) => {
  const parsed = readOptions('key', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  const [action, name, ...more] = positionals;
  if (action === 'revoke' && name === undefined) {
    return wrongUse('key', 'revoke needs the name of a key', usage);
  }
  if (action === 'revoke' && name !== undefined && more.length === 0) {
    return withStore(values, (store) => revoke(store, name));
  }
  if (name !== undefined || (action !== 'create' && action !== 'list' && action !== 'find')) {
    return wrongUse('key', 'write create, list, find or revoke NAME', usage);
  }
  if (action === 'create') {
    const wrong = wrongOwner(values);
    return wrong === undefined ? create(values) : wrongUse('key', wrong, usage);
  }
  return withStore(values, (store) => (action === 'list' ? list(store, values) : find(store, values)));
};

async function create(values: KeyOptions): Promise<number> {
  const { tenant = '', user = '', groups, expires } = values;
  const name = values.name ?? keySecretName(tenant, user);
  const created = newApiKey(randomBytes);
  const secretIn = (namespace: string) =>
    keySecret(
      created,
      {
        tenant,
        user,
        groups: groups.split(',').filter((group) => group !== ''),
        expires: expires === undefined ? undefined : rfc3339(Date.now() + durationMs(expires)),
      },
      { name, namespace },
      Object.fromEntries((values.label ?? []).map((label) => label.split('=', 2) as [string, string])),
    );
  const read = readKey(secretIn('default'));
  if ('fault' in read) {
    return wrongUse('key', `${read.path} ${read.fault}; ${read.fix}`, usage);
  }
  if (values.output !== undefined) {
    process.stdout.write(keySecretYaml(secretIn(values.namespace ?? 'default')));
    writeErrorLines(`the key of this Secret, which is not shown again:\n${created}`);
    return 0;
  }
  return withStore(values, async (store) => {
    await store.create(secretIn(store.namespace));
    writeError(`created Secret ${store.namespace}/${name} in ${store.place}; its key follows and is not shown again`);
    process.stdout.write(`${created}\n`);
    return 0;
  });
}

async function list(store: ApiKeyStore, values: KeyOptions): Promise<number> {
  const secrets = await store.list();
  if (secrets.length === 0 && !values.json) {
    writeError(`no API keys in namespace ${store.namespace} of ${store.place}`);
    return 0;
  }
  show(secrets, values);
  return 0;
}

async function find(store: ApiKeyStore, values: KeyOptions): Promise<number> {
  const text = await textOf(process.stdin);
  const generated = (text.match(API_KEY_PATTERN) ?? []).filter(isGeneratedApiKey);
  const candidates = generated.length > 0 ? generated : [text.trim()].filter(isApiKeyText);
  if (candidates.length === 0) {
    throw new OperatorError('the text on stdin contains no API key; pass the key alone');
  }
  const hashes = new Set(candidates.map(apiKeyHash));
  const found = (await store.list()).filter((secret) => {
    const stored = readKey(secret);
    return 'digest' in stored && hashes.has(`sha256:${stored.digest}`);
  });
  if (found.length === 0) {
    throw new OperatorError(
      `no key in namespace ${store.namespace} of ${store.place} matches; it was revoked or is in another namespace`,
    );
  }
  show(found, values);
  return 0;
}

async function revoke(store: ApiKeyStore, name: string): Promise<number> {
  if (!(await store.remove(name))) {
    throw new OperatorError(
      `no API key ${store.namespace}/${name} in ${store.place}; tallygate key list shows the names`,
    );
  }
  writeError(`revoked ${store.namespace}/${name} in ${store.place}`);
  return 0;
}

async function withStore(values: KeyOptions, work: (store: ApiKeyStore) => Promise<number>): Promise<number> {
  const store =
    values.file === undefined ? await keyCluster(values) : keyFile(values.file, values.namespace ?? 'default');
  try {
    return await work(store);
  } finally {
    store.close();
  }
}

function show(secrets: readonly KeySecret[], { json }: KeyOptions): void {
  const keys = secrets.map((secret) => listedKey(secret, Date.now()));
  keys.sort((one, other) => (one.name < other.name ? -1 : 1));
  process.stdout.write(json ? printableJsonLines(keys) : keyTable(keys));
}

function keyTable(keys: readonly ListedKey[]): string {
  return table(
    ['NAME', 'TENANT', 'USER', 'GROUPS', 'EXPIRES', 'STATE'],
    keys.map((one) => {
      const { tenant = '-', user = '-', expires = 'never' } = one;
      return [one.name, tenant, user, one.groups.join(',') || '-', expires, one.state];
    }),
  );
}

/** Returns what is wrong with the options of `create`. */
function wrongOwner({ tenant, user, groups, expires, name, label = [], output, file }: KeyOptions): string | undefined {
  if (!tenant || !user) {
    return `--${tenant ? 'user' : 'tenant'} is missing`;
  }
  if (/\p{Cc}/u.test(tenant + user + groups)) {
    return '--tenant, --user and --groups must not have control characters';
  }
  if (expires !== undefined && (!duration.safeParse(expires).success || durationMs(expires) === 0)) {
    return '--expires must be a duration such as 30m or 720h';
  }
  if (name !== undefined && !objectName.safeParse(name).success) {
    return '--name must be a name of a Kubernetes object: lower-case letters, digits, hyphens and dots';
  }
  if (label.some((one) => !/^[\w./-]+=[\w.-]*$/.test(one))) {
    return '--label must be KEY=VALUE';
  }
  if (output !== undefined && output !== 'yaml') {
    return '-o must be yaml';
  }
  return output !== undefined && file !== undefined ? 'write either -o yaml or --file' : undefined;
}

/** Returns the time to the second, as Kubernetes writes it. */
function rfc3339(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
