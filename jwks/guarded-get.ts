/**
 * HTTP GET of a small JSON document, guarded against misuse: the author of a policy names the URL,
 * but this process sends the request. A guard decides about the host and about each address that
 * its name resolves to; the connection goes to the address that was checked.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { request as httpRequest, type IncomingMessage } from 'node:http';
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

export interface JsonDocument {
  readonly value: unknown;
  /** Of `cache-control`; undefined: the server does not say. */
  readonly maxAgeMs: number | undefined;
}

/** Key sets have some KB; the largest of large providers about 20 KB. */
const MAX_BYTES = 256 * 1024;
const MAX_REDIRECTS = 3;

/** Rejects with the reason in plain words, which never contains a part of an answer. */
export async function getJson(url: string, guard: DestinationGuard, signal: AbortSignal): Promise<JsonDocument> {
  let target = urlOf(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await get(target, guard, signal);
    const location = redirectOf(answer);
    if (location === undefined) {
      return { value: await jsonOf(answer), maxAgeMs: maxAgeMs(answer.headers['cache-control']) };
    }
    answer.destroy();
    const next = URL.canParse(location, target.href) ? new URL(location, target) : undefined;
    if (next?.origin !== target.origin) {
      throw new Error('the server redirects to another origin');
    }
    target = next;
  }
  throw new Error(`the server redirects more than ${MAX_REDIRECTS} times`);
}

export function urlOf(text: string): URL {
  if (!URL.canParse(text)) {
    throw new Error('the URL is not valid');
  }
  return new URL(text);
}

function get(url: URL, guard: DestinationGuard, signal: AbortSignal): Promise<IncomingMessage> {
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
    agent: false,
    headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'tallygate' },
    lookup: guardedLookup(guard),
    signal,
  };
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    send(url, options, resolve)
      .on('error', (error) => reject(new Error(connectionText(error))))
      .end();
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

function redirectOf({ statusCode = 0, headers }: IncomingMessage): string | undefined {
  return [301, 302, 303, 307, 308].includes(statusCode) ? (headers.location ?? '') : undefined;
}

async function jsonOf(answer: IncomingMessage): Promise<unknown> {
  if (answer.statusCode !== 200) {
    answer.destroy();
    throw new Error(`the server answers with status ${answer.statusCode}`);
  }
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BYTES) {
      throw new Error(`the answer exceeds ${MAX_BYTES} bytes`);
    }
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    throw new Error('the answer is not JSON');
  }
}

function maxAgeMs(cacheControl: string | undefined): number | undefined {
  if (cacheControl === undefined) {
    return undefined;
  }
  if (/(^|[\s,])no-(store|cache)([\s,=]|$)/i.test(cacheControl)) {
    return 0;
  }
  const seconds = /(?:^|[\s,])max-age="?(\d{1,9})/i.exec(cacheControl)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}
