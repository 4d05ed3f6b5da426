/**
 * The form of an event: what events of a stream have in common that differ only in the text that
 * they add. An event of a known form is not parsed: its text is where that of the first one was.
 */
import type { ResponseText } from '../guard/text/responses/response-texts.ts';
import type { Hole } from '../providers/template.ts';

export type AnswerText = Pick<ResponseText, 'scope' | 'form' | 'channel' | 'whole'>;

export interface AnswerForm {
  /** By their order in the event. */
  readonly texts: readonly { readonly hole: number; readonly text: AnswerText }[];
}

/** Members of OpenAI's events that differ in each event and are no text. */
const PADDING = Buffer.from('"obfuscation":"');
const SEQUENCE_NUMBER = Buffer.from('"sequence_number":');

const QUOTE = 0x22;

/**
 * Returns the form of an event and its holes; undefined: what its strings mean may depend on more
 * than their places. `texts` are those of the event.
 */
export function answerForm(
  bytes: Uint8Array,
  start: number,
  end: number,
  texts: readonly ResponseText[],
): { readonly form: AnswerForm; readonly holes: readonly Hole[] } | undefined {
  if (!texts.every((text) => isDelta(bytes, text))) {
    return undefined;
  }
  const holes: Hole[] = texts.map((text) => ({ start: text.start, end: text.end, kind: 'string' }));
  const event = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  for (const [name, kind] of [
    [PADDING, 'string'],
    [SEQUENCE_NUMBER, 'number'],
  ] as const) {
    const found = event.indexOf(name);
    if (found >= 0) {
      const from = start + found + name.length;
      holes.push({ start: from, end: endOf(bytes, from, end), kind });
    }
  }
  holes.sort((one, other) => one.start - other.start);
  const form = { texts: texts.map((text) => ({ hole: holes.findIndex(({ start: at }) => at === text.start), text })) };
  return { form, holes };
}

/** The URL of an image is a text or none, depending on the URL. */
function isDelta(bytes: Uint8Array, { whole, repeats, form, channel, start, end }: ResponseText): boolean {
  const isString = bytes[start - 1] === QUOTE && bytes[end] === QUOTE && (form === 'text' || form === 'json');
  return isString && !whole && !repeats && !channel.endsWith('url');
}

/** Returns where a value ends that has no quote in it. */
function endOf(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== QUOTE && bytes[at] !== 0x2c && bytes[at] !== 0x7d) {
    at++;
  }
  return at;
}
