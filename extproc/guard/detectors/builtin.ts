import type { BuiltinDetectorName } from '../../../contract/guardrails.ts';
import type { Detector } from './detector.ts';
import type { Recognizer } from './recognizer.ts';
import { brazilianCNPJ, brazilianCPF } from './recognizers/brazilian-ids.ts';
import { creditCard } from './recognizers/credit-card.ts';
import { cryptoWallet } from './recognizers/crypto-wallet.ts';
import { email } from './recognizers/email.ts';
import { iban } from './recognizers/iban.ts';
import {
  austrianSocialSecurityNumber,
  frenchSocialSecurityNumber,
  germanTaxID,
  indianAadhaar,
  indianPAN,
  spanishNationalID,
  ukNationalInsuranceNumber,
  ukNHSNumber,
  usSocialSecurityNumber,
} from './recognizers/national-ids.ts';
import { ipv4Address, ipv6Address, macAddress } from './recognizers/network-addresses.ts';
import { phoneRecognizer } from './recognizers/phone.ts';
import { secretRecognizers } from './recognizers/secrets.ts';
import { RecognizingDetector } from './recognizing-detector.ts';

type RecognizersOf = (phoneRegions: readonly string[]) => readonly Recognizer[];

/** In order of precedence: of two matches with the same span, the first one counts. */
const recognizers: Readonly<Record<BuiltinDetectorName, RecognizersOf>> = {
  CreditCard: () => [creditCard],
  IBAN: () => [iban],
  Email: () => [email],
  USSocialSecurityNumber: () => [usSocialSecurityNumber],
  GermanTaxID: () => [germanTaxID],
  AustrianSocialSecurityNumber: () => [austrianSocialSecurityNumber],
  FrenchSocialSecurityNumber: () => [frenchSocialSecurityNumber],
  SpanishNationalID: () => [spanishNationalID],
  UKNationalInsuranceNumber: () => [ukNationalInsuranceNumber],
  UKNHSNumber: () => [ukNHSNumber],
  IndianAadhaar: () => [indianAadhaar],
  IndianPAN: () => [indianPAN],
  BrazilianCPF: () => [brazilianCPF],
  BrazilianCNPJ: () => [brazilianCNPJ],
  IPAddress: () => [ipv4Address, ipv6Address],
  MACAddress: () => [macAddress],
  CryptoWallet: () => [cryptoWallet],
  Secret: () => secretRecognizers,
  Phone: (regions) => [phoneRecognizer(regions)],
};

const inOrder = Object.keys(recognizers) as BuiltinDetectorName[];

/**
 * Returns a detector of several types of values that takes one pass over a text. National phone
 * numbers are those of `phoneRegions` (ISO 3166).
 */
export function builtinDetector(names: readonly BuiltinDetectorName[], phoneRegions: readonly string[] = []): Detector {
  return new RecognizingDetector(
    inOrder.flatMap((name) => (names.includes(name) ? recognizers[name](phoneRegions) : [])),
  );
}
