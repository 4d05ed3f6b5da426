import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { cuts, pieces } from './testing.ts';
import { unescapedText, unescapeInto, unfinishedEscape } from './unescape.ts';

const text = fc.string({ unit: 'binary', maxLength: 20 });

/** Writes some characters as escapes, as a client may. */
const rawContents = fc.tuple(text, fc.func(fc.boolean())).map(([value, escapes]) => {
  const plain = JSON.stringify(value).slice(1, -1);
  return plain.replace(/[^\\]/gu, (char, at) => {
    const escaped = [...char].every((one) => one.length <= 2) && plain[Number(at) - 1] !== '\\' && escapes(char);
    return escaped && !/["bfnrtu/0-9a-fA-F]/.test(char)
      ? Array.from(
          { length: char.length },
          (_, unit) => `\\u${char.charCodeAt(unit).toString(16).padStart(4, '0')}`,
        ).join('')
      : char;
  });
});

describe('raw contents of a string', () => {
  it('decode as JSON.parse does, with unpaired surrogates as U+FFFD', () => {
    fc.assert(
      fc.property(rawContents, (raw) => {
        const expected = (JSON.parse(`"${raw}"`) as string).toWellFormed();
        const bytes = Buffer.from(raw);
        assert.equal(unescapedText(bytes, 0, bytes.length), expected);
      }),
    );
    const cases: readonly (readonly [raw: string, text: string])[] = [
      ['\\ud83d\\ude00', '😀'],
      ['\\uD83D\\uDE00', '😀'],
      ['\\ud83d', '\ufffd'],
      ['\\ude00x', '\ufffdx'],
      ['\\ud83d\\ud83d\\ude00', '\ufffd😀'],
      ['\\ud83d\\n', '\ufffd\n'],
      ['\\\\ud83d', '\\ud83d'],
      ['\\b\\f\\n\\r\\t\\/\\"\\\\', '\b\f\n\r\t/"\\'],
      ['\\u00e9\\u0800\\uffff', 'é\u0800\uffff'],
    ];
    for (const [raw, expected] of cases) {
      const bytes = Buffer.from(raw);
      assert.equal(unescapedText(bytes, 0, bytes.length), expected);
    }
  });

  it('decode piece by piece, if unfinished escapes wait', () => {
    const escapes = fc.array(
      fc.constantFrom('\\\\', '\\n', 'a', 'é', '\\u00e9', '\\ud83d', '\\ude00', '\\uD83D\\uDE00', '\\"'),
    );
    fc.assert(
      fc.property(escapes, cuts, (parts, places) => {
        const whole = Buffer.from(parts.join(''));
        const decoded = new Uint8Array(whole.length);
        let size = 0;
        let waiting: Uint8Array = new Uint8Array(0);
        for (const piece of pieces(whole, places)) {
          const raw = Buffer.concat([waiting, piece]);
          const end = raw.length - unfinishedEscape(raw, 0, raw.length);
          assert.ok(raw.length - end <= 11);
          size = unescapeInto(decoded, size, raw, 0, end);
          waiting = raw.subarray(end);
        }
        size = unescapeInto(decoded, size, waiting, 0, waiting.length);
        const expected = (JSON.parse(`"${whole.toString()}"`) as string).toWellFormed();
        assert.equal(Buffer.from(decoded.subarray(0, size)).toString(), expected);
      }),
      fuzzRuns(2000),
    );
  });

  it('decode without an exception if they are not JSON', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
        const target = new Uint8Array(bytes.length);
        assert.ok(unescapeInto(target, 0, bytes, 0, bytes.length) <= bytes.length);
      }),
    );
    for (const raw of ['\\', '\\u', '\\u12', '\\ud83d\\u']) {
      const bytes = Buffer.from(raw);
      assert.ok(unescapeInto(new Uint8Array(bytes.length), 0, bytes, 0, bytes.length) <= bytes.length);
    }
  });
});
