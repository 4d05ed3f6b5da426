/**
 * The memory that a request takes while it is read: at most twice its size plus a constant, also
 * for hostile bodies.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isFailure } from '../errors.ts';
import { chatShape } from '../providers/openai/chat-request.ts';
import { newScanner } from './json-tokenizer.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** A scanner with its tables, and the first values as objects. */
const IN_ANY_CASE_BYTES = 32 * 1024;

function usedBytes(): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const KB = 1024;
const small = (total: number): Buffer[] => Array.from({ length: total }, () => Buffer.from('x'));
/** Alternates large and small pieces: the small ones must not take a block each. */
const uneven = Array.from({ length: 100 }, () => [Buffer.alloc(4 * KB, 'x'), Buffer.from('x')]).flat();
const bodies: Readonly<Record<string, readonly Buffer[]>> = {
  'scalars at one path': [Buffer.from(`{"modalities":[${'1,'.repeat(32_760)}`)],
  'objects at one path': [Buffer.from(`{"modalities":[${'{},'.repeat(32_760)}`)],
  'parts without a text': [Buffer.from(`{"messages":[{"content":[${'{"type":1},'.repeat(32_700)}`)],
  'images without a URL': [Buffer.from(`{"messages":[{"content":[${'{"image_url":{"url":1}},'.repeat(16_000)}`)],
  'strings of one letter': [Buffer.from(`{"functions":[${'"a",'.repeat(65_500)}`)],
  both: [Buffer.from(`{"modalities":[${'1,'.repeat(6_000)}1],"functions":[${'"a",'.repeat(65_500)}`)],
  'keys in many places': [Buffer.from(`{"messages":[${'{"name":"","content":"","refusal":""},'.repeat(8_000)}`)],
  'a body byte by byte': [Buffer.from('{"x":"'), ...small(200 * KB)],
  'large and small pieces in turn': [Buffer.from('{"x":"'), ...uneven],
  'one text': [Buffer.from(`{"messages":[{"content":"${'x'.repeat(1024 * KB)}`)],
};

for (const [name, pieces] of Object.entries(bodies)) {
  test(`${name}: at most twice the size, and counted correctly`, () => {
    const count = 20;
    const scanners = Array.from({ length: count }, () => newScanner(chatShape));
    const before = usedBytes();
    let size = 0;
    let counted = 0;
    for (const scanner of scanners) {
      for (const piece of pieces) {
        const copy = Buffer.alloc(piece.length, piece);
        size += copy.length;
        if (scanner.push(copy) !== undefined) {
          break;
        }
      }
      counted += scanner.keptBytes;
    }
    const cost = (usedBytes() - before) / count;
    const figures = `${(size / count / KB).toFixed(0)} KB cost ${(cost / KB).toFixed(0)} KB, counted ${(counted / count / KB).toFixed(0)} KB`;
    assert.ok(cost <= 2 * (size / count) + IN_ANY_CASE_BYTES, figures);
    assert.ok(cost <= 1.25 * (counted / count) + IN_ANY_CASE_BYTES, figures);
    for (const scanner of scanners) {
      scanner.release();
    }
  });
}

test('a conversation of ten thousand short parts is read completely', () => {
  const part = '{"type":"text","text":"hi"}';
  const scanner = newScanner(chatShape);
  const text = `{"model":"m","messages":[{"role":"user","content":[${Array.from({ length: 10_000 }, () => part).join()}]}]}`;
  assert.equal(scanner.push(Buffer.from(text)), undefined);
  const body = scanner.finish();
  assert.ok(!isFailure(body));
  assert.equal(body.all('messages[].content[].type').length, 10_000);
  assert.equal(body.all('messages[].content[].type').at(-1)?.value, 'text');
});
