/**
 * The public keys of issuers in a cluster. Only the leader fetches them. It keeps the last keys in
 * a Secret of its namespace, so that a new leader has them while an issuer is away; a Secret,
 * because whoever could change them could issue tokens.
 */
import type { KeySource } from '../contract/public-keys.ts';
import { type KeptKeys, type KeyCounts, KeyFetcher, type KeyResult } from '../jwks/key-fetcher.ts';
import { errorMessage } from '../runtime/error-message.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient } from './api/client.ts';
import type { KubeObject } from './api/object.ts';
import { secrets } from './resources.ts';

const NAME = 'tallygate-issuer-keys';
const KEYS_FIELD = 'keys';
/** A Secret may have 1 MiB, and base64 adds a third. */
const MAX_BYTES = 700 * 1024;

export interface ClusterIssuerKeysOptions {
  readonly client: KubeClient;
  /** The controller's own. */
  readonly namespace: string;
  readonly guard: ConstructorParameters<typeof KeyFetcher>[0]['guard'];
  readonly changed: () => void;
  readonly log: Log;
}

export class ClusterIssuerKeys {
  readonly #options: ClusterIssuerKeysOptions;
  readonly #fetcher: KeyFetcher;
  #term: AbortSignal | undefined;
  /** The keys that are not written yet. */
  #unwritten: readonly KeptKeys[] | undefined;
  #written = '';

  constructor(options: ClusterIssuerKeysOptions) {
    this.#options = options;
    this.#fetcher = new KeyFetcher({
      guard: options.guard,
      changed: options.changed,
      keep: (kept) => {
        this.#unwritten = kept;
      },
      log: options.log,
    });
  }

  /** Reads what the leader before has kept, once per term. Rejects if that is not possible now. */
  async restore(term: AbortSignal): Promise<void> {
    if (this.#term === term) {
      return;
    }
    const { client, namespace } = this.#options;
    const secret = await client.get(secrets, namespace, NAME, term);
    this.#written = textIn(secret);
    this.#fetcher.restore(this.#parsed(this.#written));
    this.#term = term;
    term.addEventListener('abort', () => this.#rest(), { once: true });
  }

  want(sources: readonly KeySource[]): void {
    this.#fetcher.want(sources);
  }

  /** See `World.jwks`. */
  results(): ReadonlyMap<string, KeyResult> {
    return this.#fetcher.results();
  }

  refetch(url: string): void {
    this.#fetcher.refetch(url);
  }

  counts(): KeyCounts {
    return this.#fetcher.counts();
  }

  /** Writes changed keys. A failure is logged only: the keys are in force already. */
  async save(term: AbortSignal): Promise<void> {
    const text = this.#unwritten && JSON.stringify(this.#unwritten.map(withoutTime));
    this.#unwritten = undefined;
    if (text === undefined || text === this.#written) {
      return;
    }
    const { client, namespace, log } = this.#options;
    if (text.length > MAX_BYTES) {
      log.warn({ secret: NAME, bytes: text.length, maximum: MAX_BYTES }, 'keys of issuers too large to keep');
      return;
    }
    try {
      await client.apply(
        secrets,
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { namespace, name: NAME },
          type: 'Opaque',
          data: { [KEYS_FIELD]: Buffer.from(text).toString('base64') },
        } as KubeObject,
        { signal: term },
      );
      this.#written = text;
    } catch (error) {
      log.warn({ secret: NAME, err: error }, 'keys of issuers not kept');
    }
  }

  close(): void {
    this.#fetcher.close();
  }

  /** A replica that does not lead publishes nothing, and would load the issuers in vain. */
  #rest(): void {
    this.#fetcher.want([]);
    this.#unwritten = undefined;
  }

  #parsed(text: string): readonly KeptKeys[] {
    try {
      return text === '' ? [] : (JSON.parse(text) as readonly KeptKeys[]);
    } catch (error) {
      this.#options.log.warn({ secret: NAME, problem: errorMessage(error) }, 'kept keys of issuers not readable');
      return [];
    }
  }
}

/** Keys that did not change need no write. */
function withoutTime({ source, keys, endpoints }: KeptKeys) {
  return { source, keys, endpoints };
}

function textIn(secret: KubeObject | undefined): string {
  const { [KEYS_FIELD]: text = '' } = (secret?.['data'] ?? {}) as Readonly<Record<string, string | undefined>>;
  return Buffer.from(text, 'base64').toString('utf8');
}
