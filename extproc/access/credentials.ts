/** Reads the credentials that a client presents in request headers. */
import { firstHeader, type HeaderList, headerValues } from '../exchange.ts';

/** The longest credential; tokens with many groups have about 8 KB. */
export const MAX_CREDENTIAL_CHARACTERS = 16_384;

const BEARER = /^bearer(?: +|$)/i;

/**
 * The credential in the headers of a request. OpenAI's clients send `authorization`, Anthropic's
 * `x-api-key`, some send both: all of them are one slot, which may have one value.
 */
export type HeaderCredential =
  | { readonly type: 'none' }
  | { readonly type: 'secret'; readonly value: string }
  /** Two different values. */
  | { readonly type: 'several' }
  /** Another scheme than Bearer, or too long. */
  | { readonly type: 'malformed' };

const none: HeaderCredential = { type: 'none' };
const several: HeaderCredential = { type: 'several' };
const malformed: HeaderCredential = { type: 'malformed' };

/** Names of headers are in lower case, as Envoy sends them. */
export function headerCredential(headers: HeaderList): HeaderCredential {
  let found: string | undefined;
  for (const [name, text] of headers) {
    let value: string;
    switch (name) {
      case 'authorization':
        if (text.trim() !== '' && !BEARER.test(text)) {
          return malformed;
        }
        value = text.replace(BEARER, '').trim();
        break;
      case 'x-api-key':
      case 'api-key':
      case 'x-goog-api-key':
        value = text.trim();
        break;
      default:
        continue;
    }
    if (value === '') {
      continue;
    }
    if (value.length > MAX_CREDENTIAL_CHARACTERS) {
      return malformed;
    }
    if (found !== undefined && found !== value) {
      return several;
    }
    found = value;
  }
  return found === undefined ? none : { type: 'secret', value: found };
}

const JSON_TYPE = /^\s*application\/json\s*(;|$)/i;

/**
 * Whether a page of another origin can make a browser send the request without a preflight request:
 * with cookies, if the origin belongs to the same site. Forms and scripts can post plain text or no
 * type at all, but JSON only after a preflight request, which `cors` of the route answers.
 */
export function isForgeable(headers: HeaderList): boolean {
  const method = firstHeader(headers, ':method');
  if (method === 'GET' || method === 'HEAD') {
    return false;
  }
  const types = headerValues(headers, 'content-type');
  return types.length === 0 || !types.every((type) => JSON_TYPE.test(type));
}

/**
 * Returns the value of a cookie. Returns undefined for a cookie that occurs with different values:
 * another host of the same site could have set one of them.
 */
export function cookieValue(headers: HeaderList, cookie: string): string | undefined {
  let found: string | undefined;
  for (const [name, text] of headers) {
    if (name !== 'cookie') {
      continue;
    }
    for (const pair of text.split(';')) {
      const equals = pair.indexOf('=');
      if (equals < 0 || pair.slice(0, equals).trim() !== cookie) {
        continue;
      }
      const value = pair
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1');
      if (value.length > MAX_CREDENTIAL_CHARACTERS || (found !== undefined && found !== value)) {
        return undefined;
      }
      found = value;
    }
  }
  return found === '' ? undefined : found;
}
