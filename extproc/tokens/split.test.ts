import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CL100K_TOKEN_SPLIT_REGEX, O200K_TOKEN_SPLIT_REGEX } from 'gpt-tokenizer/encodingParams/constants';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { Cl100kSplitter, MAX_PIECE_BYTES, O200kSplitter, type TextSplitter } from './split.ts';

function split(splitter: TextSplitter, text: string): string[] {
  const bytes = Buffer.from(text);
  const result: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const next = splitter.next(bytes, at, bytes.length, true);
    assert.ok(next > at && next <= bytes.length);
    result.push(bytes.subarray(at, next).toString());
    at = next;
  }
  return result;
}

/** Characters of each class that the patterns distinguish, and those with special rules. */
const kinds = [
  ...'aAbsStTlLvVeErRdDmM\'’ \t\n\r/.,!?-<|>{}"0129 １٣中あกé\u0301Éßǅʰªⅷ😀👩\u200d\u00a0\u3000\u0000',
  '\u{1d400}',
  '\u{20000}',
  "'ll",
  "'re",
  '  ',
  '\r\n',
];
const text = fc
  .array(fc.oneof(fc.constantFrom(...kinds), fc.string({ unit: 'binary', maxLength: 1 })), { maxLength: 24 })
  .map((parts) =>
    // JavaScript's `\s` differs from Unicode's White_Space in these two.
    parts
      .join('')
      .replace(/[\ufeff\u0085]/g, '')
      .toWellFormed(),
  );

const encodings = [
  { name: 'o200k', splitter: new O200kSplitter(), pattern: O200K_TOKEN_SPLIT_REGEX },
  { name: 'cl100k', splitter: new Cl100kSplitter(), pattern: CL100K_TOKEN_SPLIT_REGEX },
] as const;

for (const { name, splitter, pattern } of encodings) {
  describe(name, () => {
    it('splits like the encoding’s regular expression', () => {
      fc.assert(
        fc.property(text, (value) => {
          assert.deepEqual(split(splitter, value), value.match(pattern) ?? []);
        }),
        fuzzRuns(8_000),
      );
    });

    it('holds back pieces that following text could change', () => {
      fc.assert(
        fc.property(text, fc.nat(), (value, cut) => {
          const bytes = Buffer.from(value);
          const end = cut % (bytes.length + 1);
          const whole = split(splitter, value);
          let at = 0;
          for (const piece of whole) {
            const next = splitter.next(bytes, at, end, false);
            if (next === -1 || at >= end) {
              break;
            }
            assert.equal(bytes.subarray(at, next).toString(), piece);
            at = next;
          }
        }),
        fuzzRuns(8_000),
      );
    });

    it('bounds every piece, between characters', () => {
      for (const run of ['a', 'A', '中', '😀', ' ', '\n', '=', 'é\u0301', '中A']) {
        const value = run.repeat(5000);
        const pieces = split(splitter, value);
        assert.equal(pieces.join(''), value);
        for (const piece of pieces) {
          assert.ok(Buffer.byteLength(piece) <= MAX_PIECE_BYTES);
        }
      }
    });

    it('accepts any bytes', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
          for (let at = 0; at < bytes.length; ) {
            const next = splitter.next(bytes, at, bytes.length, true);
            assert.ok(next > at && next <= bytes.length);
            at = next;
          }
        }),
        fuzzRuns(2000),
      );
    });
  });
}
