import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { brazilianCNPJ, brazilianCPF } from './recognizers/brazilian-ids.ts';
import { creditCard } from './recognizers/credit-card.ts';
import {
  austrianSocialSecurityNumber,
  germanTaxID,
  indianAadhaar,
  spanishNationalID,
  ukNationalInsuranceNumber,
  ukNHSNumber,
  usSocialSecurityNumber,
} from './recognizers/national-ids.ts';
import { ipv4Address } from './recognizers/network-addresses.ts';
import { RecognizingDetector } from './recognizing-detector.ts';
import { findAll } from './testing.ts';

/** Valid values, in the ways in which people write them. */
const values: readonly string[] = [
  ...['4111 1111 1111 1111', '4111111111111111', '3782-822463-10005', '536-22-1234', 'ssn 536221234'],
  ...['tax id 86095742719', '86 095 742 719', 'svnr 1237 010180', 'svnr 1237010180', '12345678Z', '12345678-Z'],
  ...['X1234567L', 'X-1234567-L', 'AB 12 34 56 C', 'AB123456C', 'AB 1234 56C', 'nhs 943 476 5919', 'nhs 9434765919'],
  ...['2341 2341 2346', 'aadhaar 234123412346', '529.982.247-25', 'cpf 52998224725', '11.222.333/0001-81'],
  ...['cnpj 11222333000181', '203.0.113.7', '10.1.2.255', '٢٠٣.0.113.7'],
];

const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 22 });
const text = fc
  .array(fc.oneof(fc.constantFrom(...values), digits, fc.constantFrom(' ', '.', '-', '/', 'x', '&#49;', 'é')), {
    maxLength: 12,
  })
  .map((parts) => parts.join(''));

const recognizers = [
  ...[creditCard, ipv4Address, brazilianCPF, brazilianCNPJ, usSocialSecurityNumber, germanTaxID, indianAadhaar],
  ...[austrianSocialSecurityNumber, ukNHSNumber, spanishNationalID, ukNationalInsuranceNumber],
];

test('the number of digits in a row leaves out only recognizers that find nothing', () => {
  for (const recognizer of recognizers) {
    const fast = new RecognizingDetector([recognizer]);
    const thorough = new RecognizingDetector([{ ...recognizer, hasRun: () => true }]);
    const known = values.filter((value) => findAll(fast, value).length > 0);
    assert.ok(known.length > 0, recognizer.type);
    fc.assert(
      fc.property(text, (one) => assert.deepEqual(findAll(fast, one), findAll(thorough, one))),
      fuzzRuns(300),
    );
  }
});
