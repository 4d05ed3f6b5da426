import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jsonText } from './json-text.ts';
import { createLog } from './log.ts';

const FORBIDDEN = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\p{Cs}]/u;

test('the text is JSON of the same value, without controls, directions, line separators and lone surrogates', () => {
  const hostile = fc.constantFrom(
    '\u0000',
    '\n',
    '\u001b[31m',
    '\u007f',
    '\u0085',
    '\u009b31m',
    '\u2028',
    '\u2029',
    '\u061c',
    '\u200f',
    '\u202e',
    '\u2069',
    '\ud800',
    '"',
    '\\',
  );
  const text = fc.array(fc.oneof(hostile, fc.string({ unit: 'binary' }))).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, text, (key, value) => {
      const json = jsonText({ [`k${key}`]: [value] });
      assert.doesNotMatch(json, FORBIDDEN);
      assert.deepEqual(JSON.parse(json), { [`k${key}`]: [value] });
    }),
  );
});

test('log lines are the same kind of JSON', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'info', destination: { write: (line) => void lines.push(line) } });
  log.info({ path: '/\u009b31m\u2028', err: new Error('a\u0085b') }, 'seen');
  assert.doesNotMatch(lines[0]!.trimEnd(), FORBIDDEN);
  assert.equal(JSON.parse(lines[0]!).path, '/\u009b31m\u2028');
});
