/** Exchanges that were broken off, and answers that Envoy gave for a backend: who broke them, and why. Envoy's words enter, ours leave. */

/** As Envoy's access log writes them; what is not known is empty. */
export interface Broken {
  /** `%RESPONSE_FLAGS%` */
  readonly flags: string;
  /** `%RESPONSE_CODE_DETAILS%` */
  readonly details: string;
  /** `%UPSTREAM_TRANSPORT_FAILURE_REASON%` */
  readonly transportFailure: string;
}

export type BrokenBy = 'client' | 'backend' | 'timeout';

/** Why a backend gave no answer, or no whole one. */
export type BackendFailure = 'address' | 'connect' | 'tls' | 'reset' | 'timeout' | 'protocol' | 'other';

/** Nothing is told of a client that left. */
export function brokenBy(broken: Broken | undefined): BrokenBy {
  if (broken === undefined) {
    return 'client';
  }
  return backendFailure(broken) === 'timeout' ? 'timeout' : 'backend';
}

/** Envoy's details begin with a phrase of a closed list (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/response_code_details). */
export function backendFailure({ details, transportFailure }: Broken): BackendFailure {
  if (/timeout|max_duration/.test(details)) {
    return 'timeout';
  }
  if (/no_healthy_upstream|cluster_not_found|dns_resolution/.test(details)) {
    return 'address';
  }
  if (/connection_failure/.test(details)) {
    return /TLS|SSL|CERTIFICATE/i.test(details + transportFailure) ? 'tls' : 'connect';
  }
  // To HTTP/1 an answer that ends too early is a protocol error.
  if (/protocol_error/.test(details) && !/after_response_started/.test(details)) {
    return 'protocol';
  }
  return /^upstream_reset/.test(details) ? 'reset' : 'other';
}

/** From the header that Envoy's own answers have: the three in order, `-` where there is none. */
export function brokenOf(reply: string): Broken {
  const [flags = '', details = '', ...rest] = reply.split(' ').map((word) => (word === '-' ? '' : word));
  return { flags, details, transportFailure: rest.join(' ') };
}

/** Entries wait for the end of their exchange, which comes in the same read of the socket or the next. */
const KEPT_MS = 1_000;
/** A provider may break thousands of streams at once; past it the oldest entry is forgotten, and its exchange reads as left by its client. */
const MAX_KEPT = 4_096;

export class BrokenExchanges {
  readonly #now: () => number;
  readonly #kept = new Map<string, { readonly broken: Broken; readonly atMs: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(requestId: string, broken: Broken): void {
    if (this.#kept.size >= MAX_KEPT) {
      this.#kept.delete(this.#kept.keys().next().value!);
    }
    this.#kept.set(requestId, { broken, atMs: this.#now() });
  }

  take(requestId: string | undefined): Broken | undefined {
    if (requestId === undefined || this.#kept.size === 0) {
      return undefined;
    }
    const found = this.#kept.get(requestId);
    this.#kept.delete(requestId);
    return found !== undefined && this.#now() - found.atMs <= KEPT_MS ? found.broken : undefined;
  }
}
