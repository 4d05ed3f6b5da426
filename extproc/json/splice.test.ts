import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { splice } from './splice.ts';
import { cuts, pieces } from './testing.ts';

it('splices edit the document, for any cuts of the pieces', () => {
  const changes = fc.array(fc.tuple(fc.nat(5), fc.nat(4), fc.string({ maxLength: 3 })), { maxLength: 5 });
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii', maxLength: 30 }), changes, cuts, (text, gaps, places) => {
      let at = 0;
      let expected = '';
      const splices = [];
      for (const [gap, length, put] of gaps) {
        const start = Math.min(text.length, at + gap);
        const end = Math.min(text.length, start + length);
        expected += text.slice(at, start) + put;
        splices.push({ start, end, bytes: Buffer.from(put) });
        at = end;
      }
      expected += text.slice(at);
      const result = Buffer.concat(splice(pieces(Buffer.from(text), places), splices));
      assert.equal(result.toString(), Buffer.from(expected).toString());
    }),
    fuzzRuns(1000),
  );
});

it('splices copy nothing', () => {
  const piece = Buffer.from('{"model":"a"}');
  const [before, put, after] = splice([piece], [{ start: 9, end: 12, bytes: Buffer.from('"b"') }]);
  assert.equal(before?.buffer, piece.buffer);
  assert.equal(put?.toString(), '"b"');
  assert.equal(after?.buffer, piece.buffer);
});
