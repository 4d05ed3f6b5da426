import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf, columnsUpTo, fitted, hasColors, lineOf, padded } from './text.ts';

const ESC = '\u001b';

test('texts fit into columns, also wide ones', () => {
  assert.equal(fitted('default', 7), 'default');
  assert.equal(fitted('default', 4), 'def…');
  assert.equal(fitted('東京都', 6), '東京都');
  assert.equal(fitted('東京都', 5), '東京…');
  assert.equal(fitted('東京都', 4), '東…');
  assert.equal(fitted('x', 0), '');
  assert.equal(fitted('e\u0301'.repeat(10), 3), 'e\u0301e\u0301…');
  for (const text of ['東京', 'a', '', '👩‍👩‍👧x', 'x'.repeat(1e6)]) {
    for (const columns of [1, 2, 3, 9]) {
      assert.equal(columnsOf(padded(text, columns)), columns, `${text.slice(0, 9)} in ${columns}`);
    }
  }
  assert.equal(padded('7', 3, 'end'), '  7');
});

test('a long text is measured up to a bound', () => {
  const texts = ['', 'abc', 'x'.repeat(9), '東'.repeat(5), 'e\u0301'.repeat(40), `${'\u0301'.repeat(99)}x`];
  for (const text of texts) {
    assert.equal(columnsUpTo(text, 8), Math.min(8, columnsOf(text)), text);
  }
});

test('a line is cut at the columns, whatever its styles', () => {
  const parts = [{ text: 'ab', style: 'red' }, { text: ' ' }, { text: 'cdef', style: 'dim' }] as const;
  assert.equal(lineOf(parts, 5, false), 'ab c…');
  assert.equal(lineOf(parts, 5, true), `${ESC}[31mab${ESC}[39m ${ESC}[2mc…${ESC}[22m`);
  assert.equal(lineOf(parts, 0, false), '');
});

test('only terminals with colors have colors', () => {
  assert.equal(hasColors({ isTTY: true, hasColors: () => true }), true);
  assert.equal(hasColors({ isTTY: true, hasColors: () => false }), false);
  assert.equal(hasColors({ hasColors: () => true }), false);
});
