import { codeTable, isAlphanumeric, isDigit } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Recognizer } from '../recognizer.ts';
import { hasWordBefore } from './context.ts';

export interface GroupedNumber {
  readonly type: string;
  /** The usual groups of digits; their sum is the length of the number. */
  readonly groups: readonly number[];
  /** The characters that may stand between groups. */
  readonly separators: RegExp;
  /** Returns whether the check digits fit. */
  readonly isValid: (digits: Uint8Array) => boolean;
  /** The value counts without separators only after one of these words; absent: always. */
  readonly words?: readonly string[];
  /** The value counts only after one of the words, with separators, too. */
  readonly needsWord?: boolean;
  readonly score: number;
}

/** Returns a recognizer of numbers of a fixed length that people write in groups. */
export function groupedNumber(number: GroupedNumber): Recognizer {
  const { groups, isValid, words, needsWord = false } = number;
  const separators = codeTable(number.separators);
  const length = groups.reduce((sum, group) => sum + group, 0);
  const digits = new Uint8Array(length);
  const isBoundary = new Set<number>();
  for (let sum = 0, group = 0; group < groups.length - 1; group += 1) {
    sum += groups[group]!;
    isBoundary.add(sum);
  }

  /** Returns the end of a number with all its separators or none of them; 0 if there is none. */
  function endOf(text: FoldedText, start: number, separated: boolean): number {
    let index = start;
    for (let count = 0; count < length; count += 1) {
      if (separated && isBoundary.has(count)) {
        if (separators[text.at(index)] !== 1) {
          return 0;
        }
        index += 1;
      }
      const code = text.at(index);
      if (!isDigit(code)) {
        return 0;
      }
      digits[count] = code - 0x30;
      index += 1;
    }
    return endsNumber(text, index) ? index : 0;
  }

  return {
    type: number.type,
    anchors: '0',
    canFollow: (before) => !isAlphanumeric(before),
    hasRun: (run) => run === groups[0] || run === length,
    reach: 0,
    recognize(text, anchor, match) {
      match.start = anchor;
      match.score = number.score;
      if (continuesNumber(text, anchor)) {
        return false;
      }
      let end = endOf(text, anchor, false);
      let isPlain = true;
      if (end === 0 && isBoundary.size > 0) {
        end = endOf(text, anchor, true);
        isPlain = false;
      }
      match.end = end;
      if (end === 0 || !isValid(digits)) {
        return false;
      }
      return words === undefined || (!isPlain && !needsWord) || hasWordBefore(text, anchor, words);
    },
  };
}

/** Returns whether what is before `start` belongs to the same number or name. */
export function continuesNumber(text: FoldedText, start: number): boolean {
  const before = text.at(start - 1);
  return isAlphanumeric(before) || ((before === 0x2e || before === 0x2d) && isDigit(text.at(start - 2)));
}

/** Returns whether a number ends at `end`: `1.` and `1,` end sentences, `1.5` goes on. */
export function endsNumber(text: FoldedText, end: number): boolean {
  const after = text.at(end);
  if (isAlphanumeric(after)) {
    return false;
  }
  return !((after === 0x2e || after === 0x2d) && isDigit(text.at(end + 1)));
}
