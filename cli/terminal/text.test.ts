import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf, fitted, hasColors, lineOf, padded, printable, printableJson } from './text.ts';

const ESC = '\u001b';

test('what a terminal would interpret is shown as an escape', () => {
  assert.equal(printable(`${ESC}[2Jred\r\n`), '\\u001b[2Jred\\u000d\\u000a');
  assert.equal(printable('a\u009b31mb'), 'a\\u009b31mb');
  assert.equal(printable('a\u202eb\u2028'), 'a\\u202eb\\u2028');
  // A tag character, of two UTF-16 units.
  assert.equal(printable('\u{e0041}'), '\\udb40\\udc41');
  assert.equal(printable('Zürich 東京 🚀'), 'Zürich 東京 🚀');
});

test('a letter keeps three marks', () => {
  assert.equal(printable(`a${'\u0301'.repeat(500)}`), `a${'\u0301'.repeat(3)}`);
});

test('printable JSON has the same values', () => {
  const value = { tenant: `${ESC}]0;x\u0007\u202e\u{e0041}\u009b` };
  assert.match(printableJson(value), /^[ -~]*$/);
  assert.deepEqual(JSON.parse(printableJson(value)), value);
});

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
