/**
 * Attempts of failover within a request: exchanges of their own, which the filter in a backend's
 * cluster opens. An id in Envoy's dynamic metadata tells to which request each belongs.
 */
import { ATTEMPT_CLUSTER_PREFIX, ATTEMPT_ID_ATTRIBUTE, CLUSTER_ATTRIBUTE } from '../../contract/headers.ts';
import { IntegerTable, type IntegerTableEntry } from '../../runtime/integer-table.ts';
import type { Exchange, ExchangeHandler, HeaderList } from '../exchange.ts';
import { refusedAttempt } from './replies.ts';

/** The request to which attempts belong. */
export interface AttemptOwner {
  attemptBegan(exchange: Exchange, backend: string): void;
  attemptAnswered(exchange: Exchange, headers: HeaderList): void;
}

interface OpenRequest extends IntegerTableEntry {
  readonly owner: AttemptOwner;
  nextInSlot: this | undefined;
}

export class OpenAttempts {
  /** Distinguishes the requests of this process from those of the one before. */
  readonly #epoch: string;
  readonly #requests = new IntegerTable<OpenRequest>();
  #lastId = 0;

  constructor(epoch: string) {
    this.#epoch = epoch;
  }

  /** Returns the id by which the attempts of a request name it. */
  open(owner: AttemptOwner): string {
    const id = ++this.#lastId;
    this.#requests.add({ id, owner, nextInSlot: undefined });
    return `${this.#epoch}/${id}`;
  }

  close(id: string): void {
    const request = this.#find(id);
    if (request !== undefined) {
      this.#requests.delete(request);
    }
  }

  /**
   * Gives an exchange to its request, where it is an attempt. Returns false for any other exchange.
   */
  take(exchange: Exchange, attributes: ReadonlyMap<string, string>): boolean {
    const id = attributes.get(ATTEMPT_ID_ATTRIBUTE);
    if (id === undefined) {
      return false;
    }
    const request = this.#find(id);
    const cluster = attributes.get(CLUSTER_ATTRIBUTE) ?? '';
    if (request === undefined || !cluster.startsWith(ATTEMPT_CLUSTER_PREFIX)) {
      exchange.immediateResponse(refusedAttempt);
      return true;
    }
    exchange.handOver(attemptHandler(exchange, request.owner));
    request.owner.attemptBegan(exchange, cluster.slice(ATTEMPT_CLUSTER_PREFIX.length));
    return true;
  }

  #find(id: string): OpenRequest | undefined {
    const slash = id.lastIndexOf('/');
    return id.slice(0, slash) === this.#epoch ? this.#requests.get(Number(id.slice(slash + 1))) : undefined;
  }
}

function attemptHandler(exchange: Exchange, owner: AttemptOwner): ExchangeHandler {
  const nothing = (): void => {};
  return {
    requestHeaders: nothing,
    requestBody: nothing,
    requestTrailers: nothing,
    responseHeaders: (headers) => owner.attemptAnswered(exchange, headers),
    responseBody: nothing,
    responseTrailers: nothing,
    drained: nothing,
    closed: nothing,
  };
}
