import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../tools/fuzz/cases.ts';
import { addDecimals, decimalText, nanoUnits } from './money.ts';

/** Decimal numbers as the schemas of the resources accept them. */
const decimals = fc
  .tuple(fc.nat(8_999_999), fc.option(fc.stringMatching(/^[0-9]{1,9}$/), { nil: undefined }))
  .map(([whole, places]) => (places === undefined ? String(whole) : `${whole}.${places}`));

test('nano-units of a decimal number are exact', () => {
  fc.assert(
    fc.property(decimals, (decimal) => {
      const [whole = '', places = ''] = decimal.split('.');
      assert.equal(BigInt(nanoUnits(decimal)), BigInt(whole) * 10n ** 9n + BigInt(places.padEnd(9, '0')));
      assert(Number.isSafeInteger(nanoUnits(decimal)));
    }),
    fuzzRuns(500),
  );
});

test('the decimal text of an amount reads back as the same amount', () => {
  fc.assert(
    fc.property(fc.nat({ max: 9_000_000_000_000_000 }), (nanos) => {
      assert.equal(nanoUnits(decimalText(nanos)), nanos);
    }),
    fuzzRuns(500),
  );
});

test('decimal text has no trailing zeros', () => {
  assert.deepEqual(
    ['0', '0.10', '500.00', '0.000000001', '12.5'].map((decimal) => decimalText(nanoUnits(decimal))),
    ['0', '0.1', '500', '0.000000001', '12.5'],
  );
});

test('decimal numbers of any size are added exactly', () => {
  for (const [one, other, sum] of [
    ['0.1', '0.2', '0.3'],
    ['0.999999999', '0.000000001', '1'],
    ['9007199254740991', '9007199254740991', '18014398509481982'],
    ['500', '0', '500'],
    ['0', '0', '0'],
  ] as const) {
    assert.equal(addDecimals(one, other), sum);
  }
});
