import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { printable, printableJson, printableLines } from './printable.ts';
import { printableYaml } from './yaml.ts';

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

/** What no output may contain but line ends. */
const RAW = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u;
const texts = fc.string({
  unit: fc.oneof(
    fc.constantFrom('a', ' ', '"', '\\', '\n', '#', ':', '-', '東', '\u0301', '\u200d', '\u{1f600}'),
    fc.constantFrom('\u0000', ESC, '\u007f', '\u009b', '\u061c', '\u200e', '\u202e', '\u2028', '\u2069', '\ud800'),
    fc.constantFrom('\ufeff', '\u00ad', '\u{e0041}', '\r', '\t', '\u0085'),
  ),
});
const values = fc.dictionary(texts, fc.oneof(texts, fc.array(texts), fc.dictionary(texts, texts)));

test('printable lines keep their line ends only', () => {
  assert.equal(printableLines(`a\n${ESC}b\r\n`), 'a\n\\u001bb\\u000d\n');
});

test('printable JSON and YAML have nothing raw and the same values', () => {
  fc.assert(
    fc.property(values, (value) => {
      // An object literal has no own `__proto__`.
      const plain = JSON.parse(JSON.stringify(value)) as unknown;
      // The library loses spaces at the beginning of some blocks.
      const yaml = printableYaml(value, { blockQuote: false });
      for (const text of [printableJson(value), printableJson(value, 2), yaml]) {
        assert.doesNotMatch(text, RAW);
        assert.deepEqual(parse(text, { uniqueKeys: false }), plain);
      }
    }),
    fuzzRuns(200),
  );
});
