/**
 * HTTP requests to where users say, guarded against misuse: the author of a policy names the URL,
 * but this process sends the request. A guard decides about the host and about each address that
 * its name resolves to; the connection goes to the address that was checked.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { type Agent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';

/** Decides where requests may go. */
export interface DestinationGuard {
  /** Whether URLs with `http:` may name this host. */
  allowsPlainHttp(host: string): boolean;
  /**
   * Returns why requests to a host at an address are refused; undefined: they are allowed. For an
   * address in a URL, both are the same.
   */
  refusal(host: string, address: string): string | undefined;
  /** Returns why a document of another host may not name this host. */
  linkRefusal(host: string): string | undefined;
}

export interface GuardedRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: OutgoingHttpHeaders;
  readonly body?: string;
  /** Keeps connections open for later requests; absent: each request has its own connection. */
  readonly agent?: Agent;
}

export function urlOf(text: string): URL {
  if (!URL.canParse(text)) {
    throw new Error('the URL is not valid');
  }
  return new URL(text);
}

/** Sends one request; follows no redirect. Rejects with the reason in plain words. */
export async function guardedRequest(
  url: URL,
  { method, headers, body, agent }: GuardedRequest,
  guard: DestinationGuard,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const host = hostOf(url);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && guard.allowsPlainHttp(host))) {
    throw new Error('the URL must start with https:');
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error('the URL must not contain a user or password');
  }
  // Node does not look up an address.
  const refusal = isIP(host) === 0 ? undefined : guard.refusal(host, host);
  if (refusal !== undefined) {
    throw new Error(refusedText(host, refusal));
  }
  const options: RequestOptions = {
    agent: agent ?? false,
    method,
    headers: { 'accept-encoding': 'identity', 'user-agent': 'tallygate', ...headers },
    lookup: guardedLookup(guard),
    signal,
  };
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    send(url, options, resolve)
      .on('error', (error) => reject(new Error(connectionText(error))))
      .end(body);
  });
}

/** The error of a name with several addresses has a code only. */
function connectionText(error: NodeJS.ErrnoException): string {
  return error.message === '' ? (error.code ?? 'no connection') : error.message;
}

/** Resolves a name, and fails if one of its addresses is refused. */
function guardedLookup(guard: DestinationGuard): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        callback(error, '');
        return;
      }
      const addresses: readonly LookupAddress[] = found;
      const refusal = addresses.map(({ address }) => guard.refusal(host, address)).find((each) => each !== undefined);
      const [first] = addresses;
      if (refusal !== undefined || first === undefined) {
        callback(new Error(refusal === undefined ? `${host} has no address` : refusedText(host, refusal)), '');
      } else if (options.all === true) {
        callback(null, [...addresses]);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

/** Returns the address or name in a URL, without the brackets of IPv6. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

export function refusedText(host: string, refusal: string): string {
  return `${host} is not allowed: ${refusal}`;
}
