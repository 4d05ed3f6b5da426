/**
 * The form of a response, by what the client asked for and by the first bytes: providers, and
 * proxies in front of them, omit or mistake the content type.
 */
import { type Failure, failure } from '../../errors.ts';

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * First letters of the fields of server-sent events (`data`, `event`, `id`, `retry`) and of a
 * comment. No JSON document begins with one of them.
 */
const EVENT_STARTS: ReadonlySet<number> = new Set(Buffer.from('deir:'));
const DOCUMENT_STARTS: ReadonlySet<number> = new Set(Buffer.from('{['));

export type ResponseForm = 'stream' | 'unary';

/**
 * Returns undefined while only white space has arrived: some providers keep connections alive with
 * it.
 */
export function formOf(bytes: Uint8Array, asked: ResponseForm): ResponseForm | undefined {
  let at = BYTE_ORDER_MARK.every((byte, place) => bytes[place] === byte) ? BYTE_ORDER_MARK.length : 0;
  while (at < bytes.length && isSpace(bytes[at]!)) {
    at++;
  }
  const first = bytes[at];
  if (first === undefined) {
    return undefined;
  }
  if (asked === 'stream') {
    return DOCUMENT_STARTS.has(first) ? 'unary' : 'stream';
  }
  return EVENT_STARTS.has(first) ? 'stream' : 'unary';
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Returns all encodings of a response, without `identity`; an empty string for a plain body. */
export function encodingOf(values: readonly string[]): string {
  if (values.length === 0) {
    return '';
  }
  const names = values.flatMap((value) => value.split(',')).map((name) => name.trim().toLowerCase());
  return names.filter((name) => name !== '' && name !== 'identity').join(', ');
}

export const brokenEncoding = failure(
  'unreadable_answer',
  'The response of the provider does not match its content-encoding. Check the provider, or the proxy in front of it.',
);

export function unreadableEncoding(encoding: string): Failure {
  return failure(
    'unreadable_answer',
    `The response of the provider has content-encoding ${JSON.stringify(encoding.slice(0, 100))}, which cannot be counted. Turn it off at the provider.`,
  );
}

export function isEventStream(contentType: string | undefined): boolean {
  return contentType?.toLowerCase().startsWith('text/event-stream') ?? false;
}
