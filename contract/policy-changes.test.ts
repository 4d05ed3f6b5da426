import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { changesBetween, withChanges } from './policy-changes.ts';

const text = (...lines: readonly string[]) => Buffer.from(lines.join('\n'));

test('one changed line of many is one new piece between kept ones', () => {
  const lines = Array.from({ length: 300 }, (_, index) => `line ${index}`);
  const changed = lines.with(0, 'new head').with(100, 'ünïcode');
  const pieces = changesBetween(text(...lines), text(...changed));
  assert.deepEqual(
    pieces.map((piece) => (piece.type === 'New' ? Buffer.from(piece.text).toString() : [piece.first, piece.count])),
    ['new head', [1, 99], 'ünïcode', [101, 199]],
  );
  assert.deepEqual(withChanges(text(...lines), pieces), text(...changed));
});

test('the pieces make any text from any other', () => {
  const anyText = fc.array(fc.constantFrom('', 'a', 'b', 'c', 'ä'), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(anyText, anyText, (before, after) => {
      const pieces = changesBetween(text(...before), text(...after));
      assert.deepEqual(withChanges(text(...before), pieces).toString(), text(...after).toString());
    }),
  );
});

test('lines that the old text does not have are refused', () => {
  for (const [first, count] of [
    [0, 0],
    [2, 1],
    [1, 2],
    [4_000_000_000, 4_000_000_000],
  ] as const) {
    assert.throws(() => withChanges(text('a', 'b'), [{ type: 'Kept', first, count }]), /do not exist/);
  }
});
