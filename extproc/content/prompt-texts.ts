/** Collects the text of a request, the last messages first: they are what the request is about. */
import { type RequestText, RequestTexts } from '../guard/text/requests/request-texts.ts';
import { spelledUnits, windowEnd } from '../guard/text/string-units.ts';
import type { CollectedTexts, ContentText } from './content-text.ts';

/** Places that are looked at in one step, which takes as long as to read so many bytes. */
const STEP_PLACES = 256;
const STEP_BYTES = 8 * 1024;

interface PlacedText extends ContentText {
  readonly place: number;
}

/** Yields the bytes of each step; returns undefined for a body that cannot be read. */
export function* promptTexts(body: Uint8Array, maxBytes: number): Generator<number, CollectedTexts | undefined> {
  const texts = new RequestTexts();
  if (!(yield* texts.read(body)) || texts.hasTooMany) {
    return undefined;
  }
  const found: PlacedText[] = [];
  let left = maxBytes;
  let truncated = texts.hasTokens;
  // Instructions and descriptions of tools are often long, and the same in all requests.
  for (const wantsSystem of [false, true]) {
    for (let place = texts.count - 1; place >= 0; place--) {
      if (place % STEP_PLACES === 0) {
        yield STEP_BYTES;
      }
      const text = texts.textAt(place);
      if (text === undefined || text.kind !== 'string' || (text.use.scope === 'system') !== wantsSystem) {
        continue;
      }
      if (left <= 0) {
        truncated = true;
        break;
      }
      const taken = take(body, text, left);
      left -= taken.text.length;
      truncated ||= taken.isCut;
      found.push({ ...taken, place });
    }
  }
  texts.release();
  return { texts: found.toSorted((one, other) => one.place - other.place), truncated };
}

function take(body: Uint8Array, { use, spelling, start, end }: RequestText, left: number): ContentText {
  const until = windowEnd(body, start, end, Math.max(left, 16));
  return {
    scope: use.scope,
    isJson: use.form === 'json',
    text: spelledUnits(body, start, until, spelling),
    isCut: until < end,
  };
}
