/**
 * The tokens of clouds in a cluster. Only the leader fetches them. It keeps them in a Secret of its
 * namespace, so that a new leader goes on with them.
 */
import { type ExchangeOptions, newExchange } from '../cloud/exchange.ts';
import { type KeptToken, type TokenCounts, TokenRenewer } from '../cloud/token-renewer.ts';
import type { CloudToken, WantedToken } from '../contract/cloud-tokens.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient } from './api/client.ts';
import { KeptSecret } from './kept-secret.ts';

/** How long a new leader waits for the tokens that were not kept, before backends lose theirs. */
const FIRST_ATTEMPT_MS = 5_000;

export interface ClusterTokensOptions {
  readonly client: KubeClient;
  /** The controller's own. */
  readonly namespace: string;
  readonly exchange: ExchangeOptions;
  readonly changed: () => void;
  readonly log: Log;
}

export class ClusterTokens {
  readonly #secret: KeptSecret<readonly KeptToken[]>;
  readonly #renewer: TokenRenewer;
  #term: AbortSignal | undefined;
  /** Whether the tokens that are wanted first in this term were tried. */
  #tried = false;
  /** The tokens that are not written yet. */
  #unwritten: readonly KeptToken[] | undefined;

  constructor({ client, namespace, exchange, changed, log }: ClusterTokensOptions) {
    this.#secret = new KeptSecret({ client, namespace, name: 'tallygate-cloud-tokens', field: 'tokens', log });
    this.#renewer = new TokenRenewer({
      exchange: newExchange(exchange),
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
    this.#renewer.restore((await this.#secret.read(term)) ?? []);
    this.#term = term;
    this.#tried = false;
    term.addEventListener('abort', () => this.#rest(), { once: true });
  }

  /**
   * Replaces the tokens that are fetched. Resolves with whether `results` may have changed, because
   * this was the first call of the term and has waited for them.
   */
  async want(tokens: readonly WantedToken[]): Promise<boolean> {
    this.#renewer.want(tokens);
    const isFirst = !this.#tried;
    this.#tried = true;
    if (!isFirst || tokens.length === 0) {
      return false;
    }
    await this.#renewer.tried(FIRST_ATTEMPT_MS);
    return true;
  }

  /** See `World.tokens`. */
  results(): ReadonlyMap<string, CloudToken> {
    return this.#renewer.results();
  }

  counts(): TokenCounts {
    return this.#renewer.counts();
  }

  async save(term: AbortSignal): Promise<void> {
    const kept = this.#unwritten;
    this.#unwritten = undefined;
    if (kept !== undefined) {
      await this.#secret.write(kept, term);
    }
  }

  close(): void {
    this.#renewer.close();
  }

  /** A replica that does not lead publishes nothing, and would fetch tokens in vain. */
  #rest(): void {
    this.#renewer.want([]);
    this.#unwritten = undefined;
  }
}
