/** HTTP GET of a small JSON document from where the author of a policy says. */
import type { IncomingMessage } from 'node:http';
import { type DestinationGuard, guardedRequest, urlOf } from '../runtime/guarded-request.ts';

export interface JsonDocument {
  readonly value: unknown;
  /** Of `cache-control`; undefined: the server does not say. */
  readonly maxAgeMs: number | undefined;
}

/** Key sets have some KB; the largest of large providers about 20 KB. */
const MAX_BYTES = 256 * 1024;
const MAX_REDIRECTS = 3;
const JSON_ONLY = { accept: 'application/json' };

/** Rejects with the reason in plain words, which never contains a part of an answer. */
export async function getJson(url: string, guard: DestinationGuard, signal: AbortSignal): Promise<JsonDocument> {
  let target = urlOf(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await guardedRequest(target, { method: 'GET', headers: JSON_ONLY }, guard, signal);
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
