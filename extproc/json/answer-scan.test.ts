import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isFailure } from '../errors.ts';
import { newScanner } from './json-tokenizer.ts';
import type { Shape } from './shape.ts';
import { cuts, pieces, spansOf } from './testing.ts';

const answer: Shape = {
  object: {
    model: { value: true },
    choices: { items: { object: { message: { object: { content: { text: true } } } } } },
    usage: { object: { prompt_tokens: { value: true }, total_tokens: { value: true } } },
  },
};

function read(bytes: Uint8Array, places: readonly number[]) {
  const scanner = newScanner(answer, { purpose: 'answer' });
  const texts = new Map<number, string>();
  const sink = {
    text(channel: number, from: Uint8Array, start: number, end: number) {
      texts.set(channel, (texts.get(channel) ?? '') + Buffer.from(from.subarray(start, end)).toString('latin1'));
    },
  };
  for (const piece of pieces(bytes, places)) {
    scanner.push(piece, sink);
  }
  return { scanner, texts: [...texts.values()].map((text) => Buffer.from(text, 'latin1').toString()) };
}

describe('a scan of an answer', () => {
  const bytes = Buffer.from(
    '{"choices":[{"message":{"content":"één \\n"}},{"message":{"content":""}},{"message":{"content":"two"}}],' +
      '"model":"gpt-\\u0034o","usage":{"prompt_tokens":12345,"total_tokens":1.5}}',
  );

  it('sends each text to the sink and keeps scalars, for any cuts', () => {
    fc.assert(
      fc.property(cuts, (places) => {
        const { scanner, texts } = read(bytes, places);
        assert.deepEqual(texts, ['één \\n', 'two']);
        assert.equal(scanner.one('model')?.value, 'gpt-4o');
        assert.equal(scanner.one('usage.prompt_tokens')?.value, 12345);
        const body = scanner.finish();
        assert.ok(!isFailure(body));
        assert.deepEqual([body.textBytes, spansOf(body), body.bytes], [11, [], []]);
      }),
    );
  });

  it('returns what was found before the end, and after an error', () => {
    const { scanner } = read(Buffer.from('{"usage":{"prompt_tokens":3,"total'), []);
    assert.equal(scanner.one('usage.prompt_tokens')?.value, 3);
    assert.ok(scanner.push(Buffer.from([1])));
    assert.equal(scanner.one('usage.prompt_tokens')?.value, 3);
  });

  it('keeps the last of equal keys, and ignores keys in another case', () => {
    const { scanner } = read(Buffer.from('{"usage":{"prompt_tokens":3,"prompt_tokens":4,"PROMPT_TOKENS":5}}'), []);
    assert.equal(scanner.one('usage.prompt_tokens')?.value, 4);
  });

  it('keeps a bounded number of values, and counts all', () => {
    const shape: Shape = { object: { data: { items: { items: { value: true } } }, model: { value: true } } };
    const scanner = newScanner(shape, { purpose: 'answer' });
    scanner.push(Buffer.from('{"data":['));
    for (let row = 0; row < 1000; row++) {
      scanner.push(Buffer.from(`${row ? ',' : ''}[${'0.125,'.repeat(999)}1]`));
    }
    scanner.push(Buffer.from('],"model":"m"}'));
    assert.equal(scanner.count('data[][]', 'number'), 1_000_000);
    assert.ok(scanner.all('data[][]').length <= 1024);
    assert.equal(scanner.one('model')?.value, 'm');
    assert.ok(!isFailure(scanner.finish()));
  });
});
