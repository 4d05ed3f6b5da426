/**
 * Numbers by which states identify persons. Those whose check is weak, one digit of ten, count only
 * after a word that names them, or in their usual groups.
 */
import { isAlpha, isAlphanumeric, isDigit } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Match, Recognizer } from '../recognizer.ts';
import { endsNumber, groupedNumber } from './grouped-number.ts';

/** Returns the sum of the products of the digits with their weights. */
export function weightedSum(digits: Uint8Array, weights: readonly number[]): number {
  return weights.reduce((sum, weight, index) => sum + weight * digits[index]!, 0);
}

export function areAllEqual(digits: Uint8Array): boolean {
  return digits.every((digit) => digit === digits[0]);
}

function numberOf(digits: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let index = start; index < end; index += 1) {
    value = value * 10 + digits[index]!;
  }
  return value;
}

/**
 * https://www.ssa.gov/employer/randomization.html: areas 000 and 666 do not exist. Areas from 900
 * are those of taxpayers without a social security number (ITIN).
 */
export const usSocialSecurityNumber = groupedNumber({
  type: 'USSocialSecurityNumber',
  groups: [3, 2, 4],
  separators: /[- ]/,
  words: ['ssn', 'social security', 'social sec'],
  score: 0.85,
  isValid(digits) {
    const area = numberOf(digits, 0, 3);
    const isAssigned = area > 0 && area !== 666;
    return isAssigned && numberOf(digits, 3, 5) > 0 && numberOf(digits, 5, 9) > 0 && !areAllEqual(digits);
  },
});

/** One digit occurs two or three times among the first ten; ISO 7064 MOD 11,10. */
export const germanTaxID = groupedNumber({
  type: 'GermanTaxID',
  groups: [2, 3, 3, 3],
  separators: / /,
  words: ['steuer', 'tax id', 'tax number', 'tin', 'idnr', 'identifikationsnummer'],
  score: 0.9,
  isValid(digits) {
    const counts = new Uint8Array(10);
    let product = 10;
    for (let index = 0; index < 10; index += 1) {
      counts[digits[index]!]! += 1;
      const sum = (digits[index]! + product) % 10 || 10;
      product = (2 * sum) % 11;
    }
    const repeated = counts.filter((count) => count > 1);
    const check = (11 - product) % 10;
    return digits[0] !== 0 && repeated.length === 1 && repeated[0]! <= 3 && check === digits[10];
  },
});

export const austrianSocialSecurityNumber = groupedNumber({
  type: 'AustrianSocialSecurityNumber',
  groups: [4, 6],
  separators: /[ -]/,
  words: ['svnr', 'sv-nr', 'sv-nummer', 'sozialversicherung', 'versicherungsnummer', 'social security'],
  needsWord: true,
  score: 0.85,
  isValid(digits) {
    const sum = weightedSum(digits, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]);
    const day = numberOf(digits, 4, 6);
    const month = numberOf(digits, 6, 8);
    // Months from 13 on are given where the numbers of a day are used up.
    return digits[0] !== 0 && sum % 11 === digits[3] && day > 0 && day <= 31 && month > 0 && month <= 15;
  },
});

/** Sex, year, month, department (2A and 2B in Corsica), commune, order, key of two digits. */
export const frenchSocialSecurityNumber: Recognizer = {
  type: 'FrenchSocialSecurityNumber',
  anchors: '0',
  canFollow: (before, first) => !isAlphanumeric(before) && (first === 0x31 || first === 0x32),
  reach: 0,
  recognize(text, anchor, match) {
    match.start = anchor;
    const sex = text.at(anchor);
    if (isAlphanumeric(text.at(anchor - 1)) || (sex !== 0x31 && sex !== 0x32)) {
      return false;
    }
    const value = frenchDigits(text, anchor, match);
    if (value === '') {
      return false;
    }
    const corsican = value.slice(5, 7).toUpperCase();
    const offset = corsican === '2A' ? 1_000_000 : corsican === '2B' ? 2_000_000 : 0;
    const digits = value.slice(0, 13).replace(/2a/i, '20').replace(/2b/i, '20');
    if (!/^\d{13}$/.test(digits)) {
      return false;
    }
    match.score = 0.95;
    return 97 - ((Number(digits) - offset) % 97) === Number(value.slice(13)) && isMonth(value.slice(3, 5));
  },
};

/** Months from 20 on are of persons whose month of birth is not known. */
function isMonth(digits: string): boolean {
  const month = Number(digits);
  return (month >= 1 && month <= 12) || month >= 20;
}

/** Returns the 15 characters of a number, without spaces, and sets its end; empty: none. */
function frenchDigits(text: FoldedText, start: number, match: Match): string {
  let value = '';
  let index = start;
  while (value.length < 15) {
    const code = text.at(index);
    const isCorsican = value.length === 6 && (code | 0x20) >= 0x61 && (code | 0x20) <= 0x62;
    if (isDigit(code) || isCorsican) {
      value += String.fromCharCode(code);
    } else if (code !== 0x20 || text.codes[index - 1] === 0x20) {
      return '';
    }
    index += 1;
  }
  match.end = index;
  return endsNumber(text, index) ? value : '';
}

const SPANISH_LETTERS = 'TRWAGMYFPDXBNJZSQVHLCKE';

/** DNI: 8 digits and a letter. NIE: X, Y or Z, 7 digits and a letter. */
export const spanishNationalID: Recognizer = {
  type: 'SpanishNationalID',
  anchors: '0',
  hasRun: (run) => run === 7 || run === 8,
  reach: 2,
  recognize(text, anchor, match) {
    match.start = anchor;
    let start = anchor;
    const before = text.at(anchor - 1);
    const isHyphenated = before === 0x2d;
    const prefix = 'XYZ'.indexOf(String.fromCharCode(text.at(isHyphenated ? anchor - 2 : anchor - 1)));
    if (prefix >= 0) {
      start = isHyphenated ? anchor - 2 : anchor - 1;
    }
    if (isAlphanumeric(text.at(start - 1))) {
      return false;
    }
    match.start = start;
    const length = prefix >= 0 ? 7 : 8;
    let value = Math.max(0, prefix);
    let index = anchor;
    for (; index < anchor + length; index += 1) {
      const code = text.at(index);
      if (!isDigit(code)) {
        return false;
      }
      value = value * 10 + code - 0x30;
    }
    if (text.at(index) === 0x2d) {
      index += 1;
    }
    match.end = index + 1;
    match.score = 0.9;
    const letter = text.at(index) & 0xdf;
    return letter === SPANISH_LETTERS.charCodeAt(value % 23) && isAlpha(text.at(index)) && endsNumber(text, index + 1);
  },
  openTail(text) {
    const last = text.codes[text.length - 1] === 0x2d ? text.length - 2 : text.length - 1;
    return last >= 0 && 'XYZ'.includes(String.fromCharCode(text.codes[last]!)) ? last : text.length;
  },
};

/** https://www.gov.uk/hmrc-internal-manuals/national-insurance-manual/nim39110 */
const NINO_PREFIX = /^(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]$/;

/** Two letters, six digits and a letter from A to D, in pairs or not. */
export const ukNationalInsuranceNumber: Recognizer = {
  type: 'UKNationalInsuranceNumber',
  anchors: '0',
  hasRun: (run) => run === 2 || run === 4 || run === 6,
  reach: 3,
  recognize(text, anchor, match) {
    match.start = anchor;
    const isSpaced = text.at(anchor - 1) === 0x20;
    const start = anchor - (isSpaced ? 3 : 2);
    if (!isNinoPrefix(text, start) || isAlphanumeric(text.at(start - 1))) {
      return false;
    }
    match.start = start;
    let index = anchor;
    for (let count = 0; count < 6; index += 1) {
      const code = text.at(index);
      if (isDigit(code)) {
        count += 1;
      } else if (code !== 0x20 || count % 2 === 1 || count === 0 || text.codes[index - 1] === 0x20) {
        return false;
      }
    }
    if (text.at(index) === 0x20) {
      index += 1;
    }
    const suffix = text.at(index);
    match.end = index + 1;
    match.score = 0.9;
    return suffix >= 0x41 && suffix <= 0x44 && !isAlphanumeric(text.at(index + 1));
  },
  openTail(text) {
    const isSpaced = text.codes[text.length - 1] === 0x20;
    const start = text.length - (isSpaced ? 3 : 2);
    if (start >= 0 && isNinoPrefix(text, start) && !isAlphanumeric(text.at(start - 1))) {
      return start;
    }
    const last = text.length - 1;
    const isLetter = last >= 0 && text.codes[last]! >= 0x41 && text.codes[last]! <= 0x5a;
    return isLetter && !isAlphanumeric(text.at(last - 1)) ? last : text.length;
  },
};

function isNinoPrefix(text: FoldedText, start: number): boolean {
  return start >= 0 && NINO_PREFIX.test(String.fromCharCode(text.codes[start]!, text.codes[start + 1]!));
}

export const ukNHSNumber = groupedNumber({
  type: 'UKNHSNumber',
  groups: [3, 3, 4],
  separators: /[ -]/,
  words: ['nhs', 'patient', 'medical record'],
  needsWord: true,
  score: 0.9,
  isValid(digits) {
    const check = (11 - (weightedSum(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11;
    return check === digits[9] && !areAllEqual(digits);
  },
});

/** The tables of Verhoeff's check digit. */
const VERHOEFF_PRODUCT = [
  '0123456789',
  '1234067895',
  '2340178956',
  '3401289567',
  '4012395678',
  '5987604321',
  '6598710432',
  '7659821043',
  '8765932104',
  '9876543210',
];
const VERHOEFF_PERMUTATION = [
  '0123456789',
  '1576283094',
  '5803796142',
  '8916043527',
  '9453126870',
  '4286573901',
  '2793806415',
  '7046913258',
];

export const indianAadhaar = groupedNumber({
  type: 'IndianAadhaar',
  groups: [4, 4, 4],
  separators: /[ -]/,
  words: ['aadhaar', 'aadhar', 'uidai', 'uid'],
  score: 0.9,
  isValid(digits) {
    let check = 0;
    for (let index = 0; index < digits.length; index += 1) {
      const digit = digits[digits.length - 1 - index]!;
      check = Number(VERHOEFF_PRODUCT[check]![Number(VERHOEFF_PERMUTATION[index % 8]![digit])]);
    }
    return digits[0]! > 1 && check === 0 && !areAllEqual(digits);
  },
});

/** Five letters, the fourth a kind of holder, four digits and a letter. */
export const indianPAN: Recognizer = {
  type: 'IndianPAN',
  anchors: '0',
  reach: 5,
  recognize(text, anchor, match) {
    match.start = anchor;
    const start = anchor - 5;
    if (start < 0 || !isUpperWord(text, start, anchor) || isAlphanumeric(text.at(start - 1))) {
      return false;
    }
    if (!'ABCFGHJLPT'.includes(String.fromCharCode(text.codes[start + 3]!))) {
      return false;
    }
    match.start = start;
    for (let index = anchor; index < anchor + 4; index += 1) {
      if (!isDigit(text.at(index))) {
        return false;
      }
    }
    const last = text.at(anchor + 4);
    match.end = anchor + 5;
    match.score = 0.85;
    return last >= 0x41 && last <= 0x5a && !isAlphanumeric(text.at(anchor + 5));
  },
  openTail(text) {
    let start = text.length;
    while (start > 0 && text.length - start < 6 && isUpperWord(text, start - 1, start)) {
      start -= 1;
    }
    return text.length - start > 5 || isAlphanumeric(text.at(start - 1)) ? text.length : start;
  },
};

function isUpperWord(text: FoldedText, start: number, end: number): boolean {
  for (let index = start; index < end; index += 1) {
    const code = text.codes[index]!;
    if (code < 0x41 || code > 0x5a) {
      return false;
    }
  }
  return true;
}
