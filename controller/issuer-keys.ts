/**
 * The public keys of issuers in a cluster. Only the leader fetches them. It keeps the last keys in
 * a Secret of its namespace, so that a new leader has them while an issuer is away.
 */
import type { KeySource } from '../contract/public-keys.ts';
import { type KeptKeys, type KeyCounts, KeyFetcher, type KeyResult } from '../jwks/key-fetcher.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient } from './api/client.ts';
import { KeptSecret } from './kept-secret.ts';

export interface ClusterIssuerKeysOptions {
  readonly client: KubeClient;
  /** The controller's own. */
  readonly namespace: string;
  readonly guard: ConstructorParameters<typeof KeyFetcher>[0]['guard'];
  readonly changed: () => void;
  readonly log: Log;
}

export class ClusterIssuerKeys {
  readonly #secret: KeptSecret<readonly KeptKeys[]>;
  readonly #fetcher: KeyFetcher;
  #term: AbortSignal | undefined;
  /** The keys that are not written yet. */
  #unwritten: readonly KeptKeys[] | undefined;

  constructor({ client, namespace, guard, changed, log }: ClusterIssuerKeysOptions) {
    this.#secret = new KeptSecret({ client, namespace, name: 'tallygate-issuer-keys', field: 'keys', log });
    this.#fetcher = new KeyFetcher({
      guard,
      changed,
      keep: (kept) => {
        this.#unwritten = kept;
      },
      log,
    });
  }

  /** Reads what the leader before has kept, once per term. Rejects if that is not possible now. */
  async restore(term: AbortSignal): Promise<void> {
    if (this.#term === term) {
      return;
    }
    this.#fetcher.restore((await this.#secret.read(term)) ?? []);
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

  async save(term: AbortSignal): Promise<void> {
    const kept = this.#unwritten;
    this.#unwritten = undefined;
    if (kept !== undefined) {
      await this.#secret.write(kept.map(withoutTime), term);
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
}

/** Keys that did not change need no write. */
function withoutTime({ source, keys, endpoints }: KeptKeys): KeptKeys {
  return { source, keys, endpoints };
}
