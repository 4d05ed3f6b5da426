/**
 * The shared quota store of the installation: its address from the command line; user, passwords
 * and CA certificates from a Secret in the controller's namespace, which is watched, so that a new
 * password reaches the sidecars without a restart.
 */
import { type SharedStoreConfig, sharedStoreSchema } from '../contract/shared-store.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient } from './api/client.ts';
import { type Informer, startInformer } from './api/informer.ts';
import { secrets } from './resources.ts';

export interface SharedStoreOptions {
  /** Without what the Secret has. */
  readonly config: SharedStoreConfig;
  /** Undefined: the store needs no password, and has a certificate of a public authority. */
  readonly secretName: string | undefined;
  /** The namespaces whose proxies may have the password. */
  readonly namespaces: readonly string[];
}

export interface SharedStoreSource {
  /** Undefined: sidecars count for themselves. */
  config(): SharedStoreConfig | undefined;
  /** What is wrong with the Secret, or empty. The last good configuration stays in use. */
  problem(): string;
  /** Names the Secret while it has not been read yet. */
  missing(): readonly string[];
  close(): void;
}

interface SourceContext {
  readonly client: KubeClient;
  /** The controller's own. */
  readonly namespace: string;
  readonly changed: () => void;
  readonly log: Log;
}

type SecretData = Readonly<Record<string, string | undefined>>;

/** `options` undefined: there is no such store. */
export function openSharedStore(options: SharedStoreOptions | undefined, context: SourceContext): SharedStoreSource {
  if (options?.secretName === undefined) {
    return { config: () => options?.config, problem: () => '', missing: () => [], close() {} };
  }
  return new WatchedSharedStore(options.config, options.secretName, context);
}

class WatchedSharedStore implements SharedStoreSource {
  readonly #base: SharedStoreConfig;
  readonly #secret: string;
  readonly #informer: Informer<SecretData>;
  /** Without a password, until the Secret has been read: the store is then lost, not unused. */
  #config: SharedStoreConfig;
  #problem = '';

  constructor(base: SharedStoreConfig, name: string, { client, namespace, changed, log }: SourceContext) {
    this.#base = base;
    this.#config = base;
    this.#secret = `${namespace}/${name}`;
    this.#informer = startInformer({
      client,
      resource: secrets,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      keep: ({ data = {} }) => data as SecretData,
      changed: () => {
        this.#read(log);
        changed();
      },
      log,
    });
  }

  readonly config = (): SharedStoreConfig => this.#config;
  readonly problem = (): string => this.#problem;
  readonly close = (): void => this.#informer.close();

  readonly missing = (): readonly string[] => {
    const { synced, refused } = this.#informer;
    return synced || refused ? [] : [`Secret ${this.#secret}`];
  };

  #read(log: Log): void {
    const data = this.#informer.items.get(this.#secret);
    const next = data === undefined ? 'does not exist' : withSecret(this.#base, data);
    if (typeof next !== 'string') {
      this.#config = next;
      this.#problem = '';
      return;
    }
    this.#problem = `Secret ${this.#secret} ${next}`;
    log.error({ secret: this.#secret, problem: next }, 'password of the shared quota store not readable');
  }
}

/** Returns a text if the Secret cannot be used; it has no values. */
export function withSecret(base: SharedStoreConfig, data: SecretData): SharedStoreConfig | string {
  const text = (key: string) => (data[key] ? Buffer.from(data[key], 'base64').toString('utf8').trim() : undefined);
  const [username, password, sentinelPassword] = [text('username'), text('password'), text('sentinelPassword')];
  const caPem = text('ca.crt');
  if (password === undefined) {
    return 'has no key password';
  }
  if (caPem !== undefined && base.tls === undefined) {
    return 'has the key ca.crt, but the connection is not encrypted; set quotaStore.tls.enabled, or remove the key';
  }
  const { data: config, error } = sharedStoreSchema.safeParse({
    ...base,
    password,
    ...(username !== undefined && { username }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(base.tls && { tls: { ...base.tls, ...(caPem !== undefined && { caPem }) } }),
  });
  const [issue] = error?.issues ?? [];
  return config ?? `is not usable: ${issue?.path.join('.')} ${issue?.message}`;
}
