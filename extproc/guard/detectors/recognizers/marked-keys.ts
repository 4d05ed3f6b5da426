/** Keys that are known by a sign inside them, such as the tokens of Telegram: `DIGITS:KEY`. */
import { codeTable, isAlphanumeric } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Recognizer } from '../recognizer.ts';

interface MarkedFormat {
  /** The characters before the sign, and how many. */
  readonly before: Uint8Array;
  readonly leastBefore: number;
  readonly mostBefore: number;
  readonly sign: string;
  /** The characters after the sign, and how many. */
  readonly after: Uint8Array;
  readonly leastAfter: number;
  readonly mostAfter: number;
}

const WORD = codeTable(/[\w-]/);
const DIGIT = codeTable(/\d/);
const HEX = codeTable(/[a-f\d]/);
const AZURE = codeTable(/[\w~.-]/);

function format(
  [before, leastBefore, mostBefore]: readonly [Uint8Array, number, number],
  sign: string,
  [after, leastAfter, mostAfter]: readonly [Uint8Array, number, number],
): MarkedFormat {
  return { before, leastBefore, mostBefore, sign, after, leastAfter, mostAfter };
}

const formats: readonly MarkedFormat[] = [
  format([DIGIT, 8, 10], ':', [WORD, 35, 35]), // Telegram
  format([DIGIT, 12, 18], '|', [WORD, 24, 28]), // Facebook
  format([AZURE, 3, 3], '8Q~', [AZURE, 34, 34]), // Entra ID
  format([WORD, 14, 14], '.atlasv1.', [WORD, 60, 70]), // HCP Terraform
  format([HEX, 32, 32], '-u', [codeTable(/[s\d]/), 2, 3]), // Mailchimp
];

export const markedKey: Recognizer = {
  type: 'Secret',
  anchors: formats.map(({ sign }) => sign.at(-1)!).join(''),
  canFollow: (before, anchor) =>
    formats.some(({ sign, before: table }) => {
      const isLast = sign.charCodeAt(sign.length - 1) === anchor;
      return isLast && (sign.length > 1 ? sign.charCodeAt(sign.length - 2) === before : table[before] === 1);
    }),
  reach: Math.max(...formats.map(({ sign, mostBefore }) => sign.length + mostBefore)),
  recognize(text, anchor, match) {
    match.start = anchor;
    for (const each of formats) {
      const start = startOf(text, anchor + 1, each, each.sign.length);
      if (start >= 0) {
        match.start = start;
        return readAfter(text, anchor + 1, each, match);
      }
    }
    return false;
  },
  openTail(text) {
    let open = text.length;
    for (const each of formats) {
      for (let units = 0; units < each.sign.length; units += 1) {
        const start = startOf(text, text.length, each, units);
        open = start >= 0 ? Math.min(open, start) : open;
      }
    }
    return open;
  },
};

/**
 * Returns where a key begins of which the first `units` characters of the sign end at `end`; -1 if
 * there is none. Without any of them, the part before the sign may be incomplete.
 */
function startOf(
  text: FoldedText,
  end: number,
  { before, leastBefore, mostBefore, sign }: MarkedFormat,
  units: number,
) {
  let start = end - units;
  for (let index = 0; index < units; index += 1) {
    if (text.at(start + index) !== sign.charCodeAt(index)) {
      return -1;
    }
  }
  const limit = start - mostBefore;
  const last = start;
  while (start > limit && before[text.at(start - 1)] === 1) {
    start -= 1;
  }
  const isLong = last - start >= (units === 0 ? 1 : leastBefore);
  return isLong && !isAlphanumeric(text.at(start - 1)) ? start : -1;
}

function readAfter(
  text: FoldedText,
  start: number,
  { after, leastAfter, mostAfter }: MarkedFormat,
  match: { end: number; score: number },
): boolean {
  let index = start;
  while (index - start < mostAfter && after[text.at(index)] === 1) {
    index += 1;
  }
  match.end = index;
  match.score = 0.9;
  return index - start >= leastAfter && !isAlphanumeric(text.at(index));
}
