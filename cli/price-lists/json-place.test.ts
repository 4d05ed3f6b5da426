import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readJson, writtenPrice } from './json-place.ts';

test('numbers become prices without rounding', () => {
  const cases: readonly (readonly [string, number, string | undefined])[] = [
    ['2.5e-06', 6, '2.5'],
    ['0.0000025', 6, '2.5'],
    ['1E-15', 6, '0.000000001'],
    ['1e-16', 6, undefined],
    ['1.4999999999999999e-06', 6, undefined],
    ['0.1', 6, '100000'],
    ['1', 6, undefined],
    ['1e5', 0, '100000'],
    ['1e6', 0, undefined],
    ['120.50', 0, '120.5'],
    ['120.5', -3, '0.1205'],
    ['0.0', 6, '0'],
    ['0e99999999999', 6, '0'],
    ['1e99999999999', 6, undefined],
    ['1e-99999999999', 6, undefined],
    ['-1', 0, undefined],
  ];
  for (const [number, powerOfTen, price] of cases) {
    assert.equal(writtenPrice(number, powerOfTen), price, `${number} × 10^${powerOfTen}`);
  }
});

test('prices equal the exact product for random numbers', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let round = 0; round < 2_000; round++) {
    const digits = random(1_000_000);
    const exponent = random(12) - 14;
    const [whole, places] = [String(digits).slice(0, 2), String(digits).slice(2)];
    const number = `${whole}${places === '' ? '' : `.${places}`}e${exponent}`;
    const price = writtenPrice(number, 6);
    // In units of 10⁻²⁴, in which both are whole.
    const exact = BigInt(digits) * 10n ** BigInt(24 - places.length + exponent + 6);
    const [before = '', after = ''] = (price ?? '').split('.');
    if (price === undefined) {
      assert.ok(exact % 10n ** 15n !== 0n || exact >= 10n ** 30n, number);
    } else {
      assert.equal(BigInt(before + after.padEnd(24, '0')), exact, number);
    }
  }
});

test('an error names the place of a value of another type', () => {
  const file = (text: string) => readJson({ name: 'list.json', text, fix: 'pass the list' });
  const models = file('{"a": {"gpt-5.1": {"cost": "2", "tokens": 1.5, "gone": null}}}').required('a');
  const model = models.required('gpt-5.1');
  assert.throws(() => model.required('cost').price(0), {
    message: 'list.json: a["gpt-5.1"].cost must be a number; fix: pass the list',
  });
  assert.throws(() => model.required('tokens').tokens(), {
    message: 'list.json: a["gpt-5.1"].tokens must be a number of tokens; fix: pass the list',
  });
  assert.throws(() => model.required('gone'), {
    message: 'list.json: a["gpt-5.1"] must have gone; fix: pass the list',
  });
  assert.throws(() => file('[]').fields(), { message: 'list.json: the file must be an object; fix: pass the list' });
  assert.throws(() => file('{"a": {},\n}'), /list\.json: is not valid JSON: .*line 2 column 1.*; fix: pass the list/);
});
