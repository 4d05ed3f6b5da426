/** The taxpayer numbers of Brazil: CPF of persons, CNPJ of companies. */
import { isAlphanumeric, isDigit } from '../characters.ts';
import type { Recognizer } from '../recognizer.ts';
import { hasWordBefore } from './context.ts';
import { endsNumber } from './grouped-number.ts';
import { areAllEqual, weightedSum } from './national-ids.ts';

/** Returns the check digit of CPF and CNPJ for the first digits. */
function brazilianCheck(digits: Uint8Array, weights: readonly number[]): number {
  const rest = weightedSum(digits, weights) % 11;
  return rest < 2 ? 0 : 11 - rest;
}

const BRAZILIAN_WORDS = ['cpf', 'cnpj', 'contribuinte', 'receita'];

/** Written `529.982.247-25`. */
export const brazilianCPF = brazilianNumber({
  type: 'BrazilianCPF',
  length: 11,
  separatorsAt: new Map([
    [3, '.'],
    [6, '.'],
    [9, '-'],
  ]),
  isValid: (digits) =>
    brazilianCheck(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) === digits[9] &&
    brazilianCheck(digits, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) === digits[10] &&
    !areAllEqual(digits),
});

/** Written `11.222.333/0001-81`. */
export const brazilianCNPJ = brazilianNumber({
  type: 'BrazilianCNPJ',
  length: 14,
  separatorsAt: new Map([
    [2, '.'],
    [5, '.'],
    [8, '/'],
    [12, '-'],
  ]),
  isValid: (digits) =>
    brazilianCheck(digits, [5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) === digits[12] &&
    brazilianCheck(digits, [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) === digits[13] &&
    !areAllEqual(digits),
});

interface BrazilianNumber {
  readonly type: string;
  readonly length: number;
  /** The separators, by the number of digits before them. */
  readonly separatorsAt: ReadonlyMap<number, string>;
  readonly isValid: (digits: Uint8Array) => boolean;
}

function brazilianNumber({ type, length, separatorsAt, isValid }: BrazilianNumber): Recognizer {
  const digits = new Uint8Array(length);
  return {
    type,
    anchors: '0',
    canFollow: (before) => !isAlphanumeric(before),
    // With all separators, or with none.
    hasRun: (run) => run === length || separatorsAt.keys().next().value === run,
    reach: 0,
    recognize(text, anchor, match) {
      match.start = anchor;
      if (isAlphanumeric(text.at(anchor - 1))) {
        return false;
      }
      let index = anchor;
      let separators = 0;
      for (let count = 0; count < length; count += 1) {
        const separator = separatorsAt.get(count);
        if (separator !== undefined && text.at(index) === separator.charCodeAt(0)) {
          separators += 1;
          index += 1;
        }
        const code = text.at(index);
        if (!isDigit(code)) {
          return false;
        }
        digits[count] = code - 0x30;
        index += 1;
      }
      match.end = index;
      match.score = 0.95;
      const isWritten = separators === separatorsAt.size || (separators === 0 && separatorsAt.size > 0);
      if (!isWritten || !endsNumber(text, index) || !isValid(digits)) {
        return false;
      }
      return separators > 0 || hasWordBefore(text, anchor, BRAZILIAN_WORDS);
    },
  };
}
