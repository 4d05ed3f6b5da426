import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { isFailure } from '../errors.ts';
import { newScanner } from './json-tokenizer.ts';
import type { Shape } from './shape.ts';
import { loadString, MAX_SKIPPED_BYTES, skipString } from './skip-string.ts';
import { pushAll, summary } from './testing.ts';

/** Does what `skipString` promises, a byte at a time. */
function skippedSlowly(bytes: Uint8Array, at: number, to: number): number {
  let from = at;
  while (from < to) {
    const byte = bytes[from]!;
    if (byte === 0x22 || byte < 0x20) {
      return from;
    }
    const escapes = byte === 0x5c;
    if (escapes && (from + 1 === to || !'"\\/bfnrt'.includes(String.fromCharCode(bytes[from + 1]!)))) {
      return from;
    }
    from += escapes ? 2 : 1;
  }
  return from;
}

/** Text in which what ends a run comes rarely, so that runs are longer than a vector. */
const contents = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.string({ minLength: 10, maxLength: 60 }) },
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('"', '\\', '\\"', '\\\\', '\\n', '\\u00e9', '\\x', '\n', '\0', '\u001f', '\u007f', 'é'),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Buffer.from(parts.join('')));

describe('skipString', () => {
  it('stops where a loop over the bytes stops', () => {
    fc.assert(
      fc.property(contents, fc.nat(40), fc.nat(40), (bytes, before, after) => {
        const to = Math.max(0, bytes.length - after);
        const at = Math.min(before, to);
        loadString(bytes);
        assert.equal(skipString(at, to), skippedSlowly(bytes, at, to));
      }),
      fuzzRuns(500),
    );
  });

  it('stops at each byte that needs a look, at each place of a vector, and at no other', () => {
    for (let place = 0; place < 48; place++) {
      for (let byte = 0; byte < 256; byte++) {
        const bytes = Buffer.alloc(64, 0x61);
        bytes[place] = byte;
        loadString(bytes);
        const stops = byte < 0x20 || byte === 0x22 || byte === 0x5c;
        assert.equal(skipString(0, 64), stops ? place : 64, `byte ${byte} at ${place}`);
      }
    }
  });

  it('reads up to its last byte', () => {
    const bytes = Buffer.alloc(MAX_SKIPPED_BYTES, 0x61);
    loadString(bytes);
    assert.equal(skipString(0, bytes.length), bytes.length);
    bytes[bytes.length - 1] = 0x5c;
    loadString(bytes);
    assert.equal(skipString(0, bytes.length), bytes.length - 1);
  });
});

describe('a scanner', () => {
  const shape: Shape = {
    object: { model: { value: true }, messages: { items: { object: { content: { text: true, value: true } } } } },
  };
  const scan = (bytes: Buffer, pieceBytes: number) => {
    const scanner = newScanner(shape);
    const pieces = Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, index) =>
      bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes),
    );
    const body = pushAll(scanner, pieces);
    const result = isFailure(body) ? body : summary(body, ['model', 'messages[].content']);
    scanner.release();
    return result;
  };

  it('finds the same in large pieces, which are skipped, as in small ones, which are not', () => {
    const body = fc.array(contents, { minLength: 1, maxLength: 60 }).map((texts) => {
      const messages = texts.map((text) => `{"content":"${text.toString()}"}`);
      return Buffer.from(`{"messages":[${messages.join(',')}],"model":"m"}`);
    });
    const valid = fc.array(fc.string({ unit: 'binary', maxLength: 300 }), { minLength: 10 }).map((texts) => {
      const messages = texts.map((content) => ({ content }));
      return Buffer.from(JSON.stringify({ messages, model: 'm' }));
    });
    fc.assert(
      fc.property(fc.oneof(body, valid), fc.integer({ min: 1024, max: 3000 }), (bytes, pieceBytes) => {
        assert.deepEqual(scan(bytes, pieceBytes), scan(bytes, 1000));
      }),
      fuzzRuns(100),
    );
  });
});
