import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NumberLog } from './number-log.ts';

function all(log: NumberLog): number[] {
  const reader = log.read();
  const numbers: number[] = [];
  while (!reader.done) {
    numbers.push(reader.next());
  }
  return numbers;
}

test('a log returns the numbers that were added, also after a reuse', () => {
  const number = fc.oneof(fc.nat(127), fc.nat(20_000), fc.constantFrom(127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32 - 1));
  const log = new NumberLog();
  fc.assert(
    fc.property(fc.array(number, { maxLength: 3_000, size: 'max' }), (numbers) => {
      log.clear();
      for (const one of numbers) {
        log.add(one);
      }
      assert.equal(log.length, numbers.length);
      assert.deepEqual(all(log), numbers);
    }),
  );
});

test('small numbers take a byte, and little is reserved', () => {
  const log = new NumberLog();
  for (let count = 0; count < 100_000; count++) {
    log.add(count % 128);
  }
  assert.ok(log.extraBytes >= 100_000 - 64 && log.extraBytes <= 100_000 + 4096, String(log.extraBytes));
});
