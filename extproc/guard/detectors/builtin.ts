import type { Detector } from './detector.ts';
import type { Recognizer } from './recognizer.ts';
import { creditCard } from './recognizers/credit-card.ts';
import { email } from './recognizers/email.ts';
import { RecognizingDetector } from './recognizing-detector.ts';

/** The types of values that Tallygate detects itself. */
export const builtinNames = ['CreditCard', 'Email'] as const;

export type BuiltinName = (typeof builtinNames)[number];

/** In order of precedence: of two matches with the same span, the first one counts. */
const recognizers: Readonly<Record<BuiltinName, Recognizer>> = {
  CreditCard: creditCard,
  Email: email,
};

/** Returns a detector of several types of values that takes one pass over a text. */
export function builtinDetector(names: readonly BuiltinName[]): Detector {
  return new RecognizingDetector(builtinNames.filter((name) => names.includes(name)).map((name) => recognizers[name]));
}
