/**
 * The lines of a server-sent event beside its data. Clients of model APIs ignore most of them, so
 * they need not pass: a provider could write anything there.
 */
import { asciiText } from '../../json/unescape.ts';
import type { EventData } from '../../providers/event.ts';

/** Comments keep connections alive. The names of events are those of the APIs, such as `ping`. */
const ALLOWED = /^(?::|data(?::.*)?|event: ?[A-Za-z_.]{1,64}|retry: ?\d{1,5})?$/s;

/**
 * Returns an event without the text of comments and without other lines than those of the APIs;
 * undefined where it has none of them. `data`: where the data of the event is, if it has any.
 */
export function withoutOtherLines(
  bytes: Uint8Array,
  start: number,
  end: number,
  data: EventData | undefined,
): Uint8Array | undefined {
  const dataEnd = data === undefined ? start : data.end;
  if (
    (data === undefined || isAllowed(bytes, start, lineStart(bytes, start, data.start))) &&
    isAllowed(bytes, dataEnd, end)
  ) {
    return undefined;
  }
  const lines = asciiText(bytes, start, end).split(/\r\n|\r|\n/);
  const kept = lines.map((line) => (line.startsWith(':') ? ':' : line)).filter((line) => ALLOWED.test(line));
  return Buffer.from(kept.join('\n'), 'latin1');
}

function isAllowed(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end && (bytes[at] === 0x0a || bytes[at] === 0x0d)) {
    at++;
  }
  return (
    at === end ||
    asciiText(bytes, at, end)
      .split(/\r\n|\r|\n/)
      .every((line) => ALLOWED.test(line))
  );
}

/** Returns where the line of a place begins. */
function lineStart(bytes: Uint8Array, start: number, place: number): number {
  let at = place;
  while (at > start && bytes[at - 1] !== 0x0a && bytes[at - 1] !== 0x0d) {
    at--;
  }
  return at;
}
