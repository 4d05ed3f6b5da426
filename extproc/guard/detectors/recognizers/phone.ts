import { createRequire } from 'node:module';
import type { CountryCode } from 'libphonenumber-js';
import { codeTable, isAlphanumeric, isDigit } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Match, Recognizer } from '../recognizer.ts';
import { hasWordBefore } from './context.ts';

/** E.164 allows 15 digits; more are no number. Fewer than 7 are too often something else. */
const MAX_DIGITS = 15;
const MIN_DIGITS = 7;
const MAX_EXTENSION = 6;
/** Such as ` (0) `. */
const MAX_SEPARATOR = 3;

const separators = codeTable(/[ ()./-]/);

const WORDS = ['phone', 'tel', 'mobile', 'cell', 'call', 'fax', 'whatsapp', 'sms', 'text me', 'handy', 'ruf'];

type PhoneLibrary = typeof import('libphonenumber-js/max');

const require = createRequire(import.meta.url);
let loaded: PhoneLibrary | undefined;

/** Loads the library on first use: its tables take 3 MB. */
function library(): PhoneLibrary {
  loaded ??= require('libphonenumber-js/max') as PhoneLibrary;
  return loaded;
}

/**
 * Returns a recognizer of numbers with `+`, and of the national forms of these countries. A
 * national number without any separator counts only after a word such as `phone`.
 */
export function phoneRecognizer(regions: readonly string[]): Recognizer {
  return {
    type: 'Phone',
    anchors: '0',
    reach: 2,
    recognize(text, anchor, match) {
      match.start = anchor;
      const start = startOf(text, anchor);
      if (start < 0) {
        return false;
      }
      match.start = start;
      const isInternational = text.codes[start] === 0x2b;
      if (!isInternational && regions.length === 0) {
        return false;
      }
      return findEnd(text, anchor, match, (value, hasSeparator) =>
        isInternational
          ? isPhone(value, undefined)
          : (hasSeparator || hasWordBefore(text, start, WORDS)) && regions.some((region) => isPhone(value, region)),
      );
    },
    openTail(text) {
      const last = text.length - 1;
      if (last < 0 || (text.codes[last] !== 0x2b && text.codes[last] !== 0x28)) {
        return text.length;
      }
      return text.codes[last - 1] === 0x2b ? last - 1 : last;
    },
  };
}

/** Returns where a number begins whose first digit is at `anchor`; -1 where none can. */
function startOf(text: FoldedText, anchor: number): number {
  let start = anchor;
  if (text.at(start - 1) === 0x28) {
    start -= 1;
  }
  if (text.at(start - 1) === 0x2b) {
    return isAlphanumeric(text.at(start - 2)) ? -1 : start - 1;
  }
  const before = text.at(start - 1);
  const afterDigit = separators[before] === 1 && isDigit(text.at(start - 2));
  const begins = text.codes[anchor] === 0x30 || start < anchor;
  if (isAlphanumeric(before) || (afterDigit && (before !== 0x20 || !begins))) {
    return -1;
  }
  return start;
}

/** Sets the end of the longest number that begins at `match.start` and that `accepts` takes. */
function findEnd(
  text: FoldedText,
  anchor: number,
  match: Match,
  accepts: (value: string, hasSeparator: boolean) => boolean,
): boolean {
  const ends: number[] = [];
  /** The end of the extension after the last of the ends. */
  let last = 0;
  let index = anchor;
  let count = 0;
  for (;;) {
    let code = text.at(index);
    while (isDigit(code)) {
      count += 1;
      index += 1;
      if (count > MAX_DIGITS) {
        return false;
      }
      code = text.at(index);
    }
    const extension = endOfExtension(text, index);
    if (isAlphanumeric(code) && extension === 0) {
      break;
    }
    if (count >= MIN_DIGITS) {
      ends.push(index);
    }
    if (extension > 0) {
      last = extension;
      break;
    }
    const next = afterSeparator(text, index);
    if (next === index) {
      break;
    }
    index = next;
  }
  match.score = 0.8;
  for (const end of ends.toReversed()) {
    const value = String.fromCharCode(...text.codes.subarray(match.start, end));
    if (accepts(value, /\d[ ()./-]+\d/.test(value))) {
      match.end = end === ends.at(-1) ? Math.max(end, last) : end;
      return true;
    }
  }
  return false;
}

/** Returns the end of an extension such as `x1234` at `start`; 0 if there is none. */
function endOfExtension(text: FoldedText, start: number): number {
  if ((text.at(start) | 0x20) !== 0x78) {
    return 0;
  }
  let index = start + 1;
  while (isDigit(text.at(index)) && index - start <= MAX_EXTENSION) {
    index += 1;
  }
  return index > start + 1 && index - start <= MAX_EXTENSION && !isAlphanumeric(text.at(index)) ? index : 0;
}

function afterSeparator(text: FoldedText, index: number): number {
  let next = index;
  let code = text.at(next);
  while (next < index + MAX_SEPARATOR && separators[code] === 1) {
    next += 1;
    code = text.at(next);
  }
  return isDigit(code) ? next : index;
}

function isPhone(value: string, region: string | undefined): boolean {
  const number = library().parsePhoneNumberFromString(value, {
    ...(region !== undefined && { defaultCountry: region as CountryCode }),
    extract: false,
  });
  return number?.isValid() === true;
}
