import { createRequire } from 'node:module';
import type { CountryCode, MetadataJson } from 'libphonenumber-js';
import { codeTable, isAlphanumeric, isDigit } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Match, Recognizer } from '../recognizer.ts';
import { hasWordBefore } from './context.ts';

/** E.164 allows 15 digits; more are no number. Fewer than 7 are too often something else. */
const MAX_DIGITS = 15;
const MIN_DIGITS = 7;
/** National numbers with fewer digits are too often dates. */
const MIN_NATIONAL_DIGITS = 9;
const MAX_EXTENSION = 6;
/** A number may be followed by others, which are tried as a part of it. */
const MAX_ENDS = 3;
/** Such as ` (0) `. */
const MAX_SEPARATOR = 3;

const separators = codeTable(/[ ()./-]/);
const notBefore = codeTable(/[-./$]/);

const WORDS = ['phone', 'tel', 'mobile', 'cell', 'call', 'fax', 'whatsapp', 'sms', 'text me', 'handy', 'ruf'];

/** What the library knows of the numbers of a country; its types leave most of it out. */
interface NumberPlan {
  possibleLengths(): number[];
  nationalNumberPattern(): string;
  nationalPrefixForParsing(): string | undefined;
}

interface PhoneLibrary {
  readonly core: typeof import('libphonenumber-js/core');
  readonly metadata: MetadataJson;
}

const require = createRequire(import.meta.url);
let loaded: PhoneLibrary | undefined;

/** Loads the library on first use: its tables take 3 MB. */
function library(): PhoneLibrary {
  loaded ??= {
    core: require('libphonenumber-js/core') as PhoneLibrary['core'],
    metadata: require('libphonenumber-js/metadata.max.json') as MetadataJson,
  };
  return loaded;
}

/**
 * Returns a recognizer of numbers with `+`, and of the national forms of these countries. A
 * national number counts without a word such as `phone` only in a form that is usual for phones.
 */
export function phoneRecognizer(regions: readonly string[]): Recognizer {
  const countries = regions.map(newCountry);
  const hasNanp = countries.some(({ isNanp }) => isNanp);
  return {
    type: 'Phone',
    anchors: '0',
    canFollow: (before) => !isAlphanumeric(before) && notBefore[before] !== 1,
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
      return findEnd(text, anchor, match, (value) =>
        isInternational
          ? isPossible(value)
          : (isUsualForm(value, hasNanp) || hasWordBefore(text, start, WORDS)) &&
            countries.some((country) => country.has(value)),
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
  if (isAlphanumeric(before) || notBefore[before] === 1) {
    return -1;
  }
  const begins = text.codes[anchor] === 0x30 || start < anchor;
  return separators[before] === 1 && isDigit(text.at(start - 2)) && !begins ? -1 : start;
}

/** Sets the end of the longest number that begins at `match.start` and that `accepts` takes. */
function findEnd(text: FoldedText, anchor: number, match: Match, accepts: (value: string) => boolean): boolean {
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
  for (const end of ends.slice(-MAX_ENDS).toReversed()) {
    const value = String.fromCharCode(...text.codes.subarray(match.start, end));
    if (accepts(value)) {
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

/** North American: `(212) 736-5000`, `212.736.5000`, `1-212-736-5000`. */
const NANP = /^(?:(?:001|1)[ .-])?(?:\(\d{3}\) ?\d{3}[ .-]?\d{4}|\d{3}([ .-])\d{3}\1\d{4})$/;
/** With the trunk prefix: `030 901820`, `(030) 90-18-20`, `030/901820`, `01.23.45.67.89`. */
const TRUNK = /^(?:\(0\d{1,5}\) ?|0\d{1,5}(?:[ -]|\/ ?))\d{2,8}(?:[ -]\d{2,7}){0,4}$|^0\d(?:\.\d{2}){4}$/;

/** Returns whether people write phone numbers, and hardly other numbers, in this form. */
function isUsualForm(value: string, hasNanp: boolean): boolean {
  return (hasNanp && NANP.test(value)) || (TRUNK.test(value) && digitsOf(value).length >= MIN_NATIONAL_DIGITS);
}

function digitsOf(value: string): string {
  return value.replaceAll(/\D/g, '');
}

/** With `+`, a known country and its lengths are enough: hardly any other number has a `+`. */
function isPossible(value: string): boolean {
  const { core, metadata } = library();
  return core.parsePhoneNumberFromString(value.replace('(0)', ''), { extract: false }, metadata)?.isPossible() === true;
}

interface PhoneCountry {
  readonly isNanp: boolean;
  /** Returns whether the country has this national number. */
  has(value: string): boolean;
}

function newCountry(region: string): PhoneCountry {
  const { core, metadata } = library();
  const known = new core.Metadata(metadata);
  known.selectNumberingPlan(region as CountryCode);
  const plan = known as unknown as NumberPlan;
  const lengths = new Set(plan.possibleLengths());
  const pattern = new RegExp(`^(?:${plan.nationalNumberPattern()})$`);
  const prefix = new RegExp(`^(?:${plan.nationalPrefixForParsing() ?? '(?!)'})`);
  const isOfPlan = (digits: string) => lengths.has(digits.length) && pattern.test(digits);
  return {
    isNanp: core.getCountryCallingCode(region as CountryCode, metadata) === '1',
    has(value) {
      const digits = digitsOf(value);
      // The library is slow, and most numbers fail here.
      if (!isOfPlan(digits) && !isOfPlan(digits.replace(prefix, '')) && !digits.startsWith('00')) {
        return false;
      }
      const options = { defaultCountry: region as CountryCode, extract: false };
      return core.parsePhoneNumberFromString(value, options, metadata)?.isValid() === true;
    },
  };
}
