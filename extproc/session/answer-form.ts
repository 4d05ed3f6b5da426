/** What an answer is, by what was asked for and by its first bytes: providers and the proxies before them leave out or mistake the content type. */
import { type Failure, failure } from '../errors.ts';

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** First letters of the fields of server-sent events (`data`, `event`, `id`, `retry`) and of a comment. No JSON document begins with them. */
const EVENT_STARTS: ReadonlySet<number> = new Set(Buffer.from('deir:'));
const DOCUMENT_STARTS: ReadonlySet<number> = new Set(Buffer.from('{['));

export type AnswerForm = 'stream' | 'whole';

/** Undefined while only white space has come: some providers keep a connection alive with it. */
export function formOf(bytes: Uint8Array, asked: AnswerForm): AnswerForm | undefined {
  let at = BYTE_ORDER_MARK.every((byte, place) => bytes[place] === byte) ? BYTE_ORDER_MARK.length : 0;
  while (at < bytes.length && isSpace(bytes[at]!)) {
    at++;
  }
  const first = bytes[at];
  if (first === undefined) {
    return undefined;
  }
  if (asked === 'stream') {
    return DOCUMENT_STARTS.has(first) ? 'whole' : 'stream';
  }
  return EVENT_STARTS.has(first) ? 'stream' : 'whole';
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** All encodings of an answer, `identity` left out; empty: it is plain. */
export function encodingOf(values: readonly string[]): string {
  const names = values.flatMap((value) => value.split(',')).map((name) => name.trim().toLowerCase());
  return names.filter((name) => name !== '' && name !== 'identity').join(', ');
}

export const brokenEncoding = failure(
  'unreadable_answer',
  "The provider's answer is not what its content-encoding says.",
);

export function unreadableEncoding(encoding: string): Failure {
  return failure(
    'unreadable_answer',
    `The provider's answer has the content-encoding ${JSON.stringify(encoding.slice(0, 100))}, which was not asked for and cannot be counted; switch it off at the provider.`,
  );
}

export function isEventStream(contentType: string | undefined): boolean {
  return contentType?.toLowerCase().startsWith('text/event-stream') ?? false;
}
