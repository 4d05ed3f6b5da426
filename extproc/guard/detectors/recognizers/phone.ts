import { createRequire } from 'node:module';
import type { CountryCode } from 'libphonenumber-js';
import { codeTable, isAlphanumeric, isDigit } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Match, Recognizer } from '../recognizer.ts';
import { hasWordBefore } from './context.ts';

/** E.164 allows 15 digits; more are no number. Fewer than 7 are too often something else. */
const MAX_DIGITS = 15;
const MIN_DIGITS = 7;
/** A number may be followed by others, which are tried as a part of it. */
const MAX_ENDS = 3;
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
      return findEnd(text, anchor, match, (value, hasSeparator) => {
        if (isInternational) {
          return isPhone(text, value, undefined);
        }
        const isPlain = !hasSeparator && !hasWordBefore(text, start, WORDS);
        return !isPlain && regions.some((region) => isPhone(text, value, region));
      });
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
    if (isAlphanumeric(code)) {
      const end = count >= MIN_DIGITS ? endOfExtension(text, index) : 0;
      if (end > 0) {
        ends.push(end);
      }
      break;
    }
    if (count >= MIN_DIGITS) {
      ends.push(index);
    }
    const next = afterSeparator(text, index);
    if (next === index) {
      break;
    }
    index = next;
  }
  match.score = 0.8;
  for (const end of ends.slice(-MAX_ENDS).toReversed()) {
    const value = String.fromCharCode(...text.codes.subarray(match.start, end)).replace(/x.*/i, '');
    if (!DATE.test(value) && accepts(value, /\d[ ()./-]+\d/.test(value))) {
      match.end = end;
      return true;
    }
  }
  return false;
}

/** A date, perhaps with the hours of a time. */
const DATE = /^(?:19|20)\d{2}[-/. ](?:0\d|1[0-2])[-/. ][0-3]\d(?:\D|$)/;

const MAX_EXTENSION = 6;

/** Returns the end of an extension such as `x123` at `index`; 0 if there is none. */
function endOfExtension(text: FoldedText, index: number): number {
  if ((text.at(index) | 0x20) !== 0x78) {
    return 0;
  }
  let end = index + 1;
  while (isDigit(text.at(end)) && end <= index + MAX_EXTENSION) {
    end += 1;
  }
  return end > index + 1 && !isAlphanumeric(text.at(end)) ? end : 0;
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

/** Digits of a number of the plan of North America, with `1` or `001` before it or not. */
const NORTH_AMERICAN = /^(?:00)?1?[2-9]\d{2}[2-9]\d{6}$/;
const northAmerica = new Set(['US', 'CA']);

/** Where a text has too many numbers to check all, each counts. */
function isPhone(text: FoldedText, value: string, region: string | undefined): boolean {
  if (region !== undefined && northAmerica.has(region)) {
    return NORTH_AMERICAN.test(value.replaceAll(/\D/g, ''));
  }
  if (!text.mayCheck()) {
    return true;
  }
  const number = library().parsePhoneNumberFromString(value, {
    ...(region !== undefined && { defaultCountry: region as CountryCode }),
    extract: false,
  });
  return region === undefined ? number?.isPossible() === true : number?.isValid() === true;
}
