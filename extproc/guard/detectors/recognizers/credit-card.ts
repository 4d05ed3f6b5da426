import { isAlphanumeric, isDigit } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Match, Recognizer } from '../recognizer.ts';

const MAX_DIGITS = 19;
/** Such as ` - ` between groups. */
const MAX_SEPARATOR = 3;
const MIN_GROUP = 3;
const FIRST_GROUP = 4;

/** The first four digits of an issuer's cards, and the lengths of its numbers. */
const issuers: readonly (readonly [first: number, last: number, lengths: readonly number[]])[] = [
  [1800, 1800, [15]], // JCB
  [2131, 2131, [15]],
  [2200, 2204, [16, 17, 18, 19]], // Mir
  [2221, 2720, [16]], // Mastercard
  [3000, 3059, [14, 16]], // Diners Club
  [3095, 3095, [14, 16]],
  [3400, 3499, [15]], // American Express
  [3500, 3599, [16, 17, 18, 19]], // JCB
  [3600, 3699, [14, 16]], // Diners Club
  [3700, 3799, [15]], // American Express
  [3800, 3999, [14, 16]], // Diners Club
  [4000, 4999, [13, 16, 19]], // Visa
  [5018, 5018, [12, 13, 14, 15, 16, 17, 18, 19]], // Maestro
  [5020, 5020, [12, 13, 14, 15, 16, 17, 18, 19]],
  [5038, 5038, [12, 13, 14, 15, 16, 17, 18, 19]],
  [5100, 5599, [16]], // Mastercard
  [5600, 5899, [12, 13, 14, 15, 16, 17, 18, 19]], // Maestro
  [6011, 6011, [16, 17, 18, 19]], // Discover
  [6062, 6062, [16]], // Hipercard
  [6200, 6299, [16, 17, 18, 19]], // UnionPay
  [6304, 6304, [12, 13, 14, 15, 16, 17, 18, 19]], // Maestro
  [6390, 6390, [12, 13, 14, 15, 16, 17, 18, 19]], // Maestro
  [6440, 6599, [16, 17, 18, 19]], // Discover
  [6759, 6763, [12, 13, 14, 15, 16, 17, 18, 19]], // Maestro
  [8100, 8299, [16]], // RuPay
];

/** Bit n of the element at the first four digits: the issuer has numbers of n digits. */
const lengthsOf = new Int32Array(10_000);
for (const [first, last, lengths] of issuers) {
  for (const length of lengths) {
    for (let prefix = first; prefix <= last; prefix += 1) {
      lengthsOf[prefix]! |= 1 << length;
    }
  }
}

const digits = new Uint8Array(MAX_DIGITS);

/** Numbers of payment cards: prefix and length of an issuer, Luhn check digit. */
export const creditCard: Recognizer = {
  type: 'CreditCard',
  anchors: '0',
  // No issuer has 0, 7 or 9.
  canFollow: (before, first) => !isAlphanumeric(before) && first !== 0x30 && first !== 0x37 && first !== 0x39,
  hasRun: (run) => run >= FIRST_GROUP,
  reach: 0,

  recognize(text, anchor, match) {
    match.start = anchor;
    const before = text.at(anchor - 1);
    if (isAlphanumeric(before) || (before === 0x2e && isDigit(text.at(anchor - 2)))) {
      return false;
    }
    return findEnd(text, anchor, match);
  },
};

/** Reads groups of digits and sets the end of the longest valid number. */
function findEnd(text: FoldedText, start: number, match: Match): boolean {
  let lengths = 0;
  let count = 0;
  let index = start;
  match.end = 0;
  match.score = 0.9;
  for (;;) {
    const group = index;
    let code = text.at(index);
    while (isDigit(code) && count < MAX_DIGITS) {
      digits[count] = code - 0x30;
      count += 1;
      index += 1;
      if (count === 4) {
        lengths = lengthsOf[(digits[0]! * 10 + digits[1]!) * 100 + digits[2]! * 10 + digits[3]!]!;
        if (lengths === 0) {
          return false;
        }
      }
      code = text.at(index);
    }
    if (isAlphanumeric(code) || index - group < (group === start ? FIRST_GROUP : MIN_GROUP)) {
      break;
    }
    if ((lengths & (1 << count)) !== 0 && passesLuhn(count)) {
      match.end = index;
    }
    const next = afterSeparator(text, index);
    if (next === index || count === MAX_DIGITS) {
      break;
    }
    index = next;
  }
  return match.end > 0;
}

/** Returns the index after a separator of groups, or `index` if there is none. */
function afterSeparator(text: FoldedText, index: number): number {
  let next = index;
  let code = text.at(next);
  while (next < index + MAX_SEPARATOR && (code === 0x20 || code === 0x2d || code === 0x2e || code === 0x2f)) {
    next += 1;
    code = text.at(next);
  }
  return isDigit(code) ? next : index;
}

function passesLuhn(count: number): boolean {
  let sum = 0;
  let different = false;
  for (let index = 0; index < count; index += 1) {
    const digit = digits[count - 1 - index]!;
    const doubled = 2 * digit;
    sum += index % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled;
    different ||= digit !== digits[0];
  }
  return different && sum % 10 === 0;
}
