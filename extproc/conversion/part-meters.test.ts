import assert from 'node:assert/strict';
import { it } from 'node:test';
import { TextByChannel } from '../providers/testing/recordings.ts';
import type { AnswerPart } from './answer.ts';
import { ConverseDecoder } from './bedrock/decoder.ts';
import type { AnswerDecoder } from './conversion.ts';
import { PartReader, PartUnaryReader } from './part-meters.ts';

const usage = {
  input: 5,
  output: 3,
  cachedInput: 1,
  cacheWriteInput: 0,
  cacheWrite1hInput: 0,
  reasoningOutput: 2,
  audioInput: 0,
  audioOutput: 0,
  imageInput: 0,
  imageOutput: 0,
};

/** Each event, and a document, is a list of parts. */
const decoder: AnswerDecoder = {
  event: (data) => JSON.parse(data) as readonly AnswerPart[],
  document: (document) => document as readonly AnswerPart[],
};

const parts: readonly AnswerPart[] = [
  { type: 'start', id: 'a', model: 'm-1' },
  { type: 'reasoning', text: 'Hm "so"' },
  { type: 'text', text: 'Hé\n' },
  { type: 'tool-call', id: 'c', name: 'weather' },
  { type: 'arguments', text: '{"a":1}' },
  { type: 'usage', usage, serviceTier: 'flex' },
  { type: 'finish', reason: 'stop' },
  { type: 'end' },
];

function textsOf(sink: TextByChannel): readonly string[] {
  return [0, 1, 2].map((channel) => sink.decoded(channel));
}

it('a stream without a reader of its own is metered by its parts', () => {
  const reader = new PartReader(decoder);
  const sink = new TextByChannel();
  for (const part of parts) {
    assert.equal(reader.usageFinal, false);
    const event = Buffer.from(`data: ${JSON.stringify([part])}\n\n`);
    assert.deepEqual(reader.read(event, 0, event.length, sink).parts, [part]);
  }
  assert.deepEqual(textsOf(sink), ['Hé\n', 'Hm "so"', 'weather{"a":1}']);
  assert.deepEqual(
    [reader.usage, reader.usageFinal, reader.state, reader.responseModel, reader.serviceTier],
    [usage, true, 'finished', 'm-1', 'flex'],
  );
});

it('an event in parts is read once it is whole, and one that is too long ends the stream', () => {
  const reader = new PartReader(decoder);
  const sink = new TextByChannel();
  const event = Buffer.from(`data: ${JSON.stringify([{ type: 'text', text: 'long' }])}\n\n`);
  assert.deepEqual(reader.readPart(event, 0, 9, false, sink).parts, []);
  assert.deepEqual(reader.readPart(event, 9, event.length, true, sink).parts, [{ type: 'text', text: 'long' }]);
  const large = Buffer.alloc(3 * 1024 * 1024, 'x');
  reader.readPart(large, 0, large.length, false, sink);
  assert.equal(reader.readPart(large, 0, large.length, true, sink).parts[0]?.type, 'error');
});

it('a document without a reader of its own is metered by its parts', () => {
  const reader = new PartUnaryReader(decoder);
  const sink = new TextByChannel();
  const document = Buffer.from(JSON.stringify(parts));
  reader.push(document.subarray(0, 10), sink);
  reader.push(document.subarray(10), sink);
  assert.deepEqual(
    [reader.usage, reader.responseModel, reader.serviceTier, reader.broken],
    [usage, 'm-1', 'flex', false],
  );
  assert.deepEqual(textsOf(sink), ['Hé\n', 'Hm "so"', 'weather{"a":1}']);
});

it('an answer of Bedrock names its service tier, in a document and in the last event of a stream', () => {
  const told = { usage: { inputTokens: 1, outputTokens: 2 }, serviceTier: { type: 'priority' } };
  const unary = new PartUnaryReader(new ConverseDecoder());
  unary.push(Buffer.from(JSON.stringify({ output: { message: { content: [] } }, ...told })), new TextByChannel());
  assert.equal(unary.serviceTier, 'priority');
  const parts = new ConverseDecoder().event(JSON.stringify({ metadata: told }));
  assert.deepEqual(
    parts.map((part) => part.type === 'usage' && part.serviceTier),
    ['priority'],
  );
});
