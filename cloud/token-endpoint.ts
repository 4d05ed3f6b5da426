/**
 * Requests to the token endpoints of clouds. Their hosts are constants of this room or come from
 * the operator's environment, never from the author of an AIBackend: whoever could choose one would
 * make this process send secrets, or requests to internal hosts.
 */
import type { IncomingMessage } from 'node:http';
import { type DestinationGuard, guardedRequest, urlOf } from '../runtime/guarded-request.ts';

export interface EndpointRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Sends a request, and returns the body of a response with status 200. */
export type SendRequest = (request: EndpointRequest, signal: AbortSignal) => Promise<string>;

/** A token that an endpoint issued. */
export interface IssuedToken {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** Responses have a few KB. */
const MAX_BYTES = 64 * 1024;
/** As much of an error as fits into a condition. */
const MAX_ERROR_CHARACTERS = 300;

const trusted: DestinationGuard = {
  allowsPlainHttp: () => true,
  refusal: () => undefined,
  linkRefusal: () => undefined,
};

/**
 * `proxy`: the start of another URL, which takes the requests for all hosts with the host in front
 * of the path; the `host` header stays, because signatures include it.
 */
export function newSendRequest(proxy?: string): SendRequest {
  return async ({ method, url, headers, body }, signal) => {
    const target = urlOf(url);
    const { host } = target;
    const actual = proxy === undefined ? target : urlOf(url.replace(/^https?:\/\//, `${proxy.replace(/\/$/, '')}/`));
    const all = {
      host,
      accept: 'application/json',
      ...(body && { 'content-length': Buffer.byteLength(body) }),
      ...headers,
    };
    const answer = await guardedRequest(actual, { method, headers: all, ...(body && { body }) }, trusted, signal);
    const text = await textOf(answer);
    if (answer.statusCode !== 200) {
      throw new Error(`${host} answers with status ${answer.statusCode}${errorIn(text)}`);
    }
    return text;
  };
}

/** Returns a request with a form, as OAuth 2.0 and the APIs of AWS take it. */
export function formRequest(url: string, fields: Readonly<Record<string, string>>): EndpointRequest {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', url, headers, body: new URLSearchParams(fields).toString() };
}

/** Reads the response of a token endpoint (RFC 6749, section 5.1). */
export function accessTokenIn(text: string, nowMs: number): IssuedToken {
  const { access_token: token, expires_in: seconds } = jsonObject(text);
  if (typeof token !== 'string' || !(Number(seconds) > 0)) {
    throw new Error('the response has no access_token with its expires_in');
  }
  return issued(token, nowMs + Number(seconds) * 1000);
}

/** Refuses a token that is not a header value, which Envoy would not take. */
export function issued(token: string, expiresAtMs: number): IssuedToken {
  if (!/^[!-~]+$/.test(token) || !Number.isFinite(expiresAtMs)) {
    throw new Error('the response has no usable token');
  }
  return { token, expiresAtMs };
}

export function jsonObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('the response is not JSON');
  }
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BYTES) {
      throw new Error(`the response exceeds ${MAX_BYTES} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Returns what an error says, on one line: of OAuth 2.0, of Google's APIs, or in XML of AWS. */
function errorIn(text: string): string {
  const said = errorOfJson(text) ?? [xmlElement(text, 'Code'), xmlElement(text, 'Message')];
  const words = said.filter((each) => typeof each === 'string' && each !== '').join(': ');
  // Entra ID ends with identifiers of the request, which would make each failure another one.
  const [line = ''] = words.split(/[\r\n]| Trace ID: /);
  return line === '' ? '' : ` (${line.slice(0, MAX_ERROR_CHARACTERS)})`;
}

function errorOfJson(text: string): readonly unknown[] | undefined {
  try {
    const { error, error_description: description } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return typeof error === 'object' && error !== null && 'message' in error ? [error.message] : [error, description];
  } catch {
    return undefined;
  }
}

/** Returns the text of the first element with a name. */
export function xmlElement(text: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
}
