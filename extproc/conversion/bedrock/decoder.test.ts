import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConverseDecoder } from './decoder.ts';

const text = (contentBlockIndex: number) => ({ contentBlockDelta: { contentBlockIndex, delta: { text: 'a' } } });
const input = { contentBlockDelta: { contentBlockIndex: 1, delta: { toolUse: { input: '{}' } } } };
const call = { contentBlockStart: { contentBlockIndex: 1, start: { toolUse: { toolUseId: 't', name: 'f' } } } };
const image = { contentBlockStart: { contentBlockIndex: 1, start: { image: { format: 'png' } } } };
const stop = { contentBlockStop: { contentBlockIndex: 1 } };
const finish = { messageStop: { stopReason: 'end_turn' } };
const metadata = { metadata: { usage: { inputTokens: 1, outputTokens: 1 } } };

function typesOf(...events: readonly object[]): readonly string[] {
  const decoder = new ConverseDecoder();
  return events.flatMap((event) => decoder.event(JSON.stringify(event))).map(({ type }) => type);
}

describe('the decoder of Converse', () => {
  it('refuses blocks and arguments out of order', () => {
    assert.equal(typesOf(text(1), text(0)).at(-1), 'error');
    assert.equal(typesOf(text(1), stop, text(1)).at(-1), 'error');
    assert.equal(typesOf(call, stop, call).at(-1), 'error');
    assert.equal(typesOf(call, text(1)).at(-1), 'error');
    assert.equal(typesOf(input).at(-1), 'error');
    assert.equal(typesOf(call, stop, input).at(-1), 'error');
  });

  it('closes a block whose end is missing', () => {
    assert.deepEqual(typesOf(text(0), call, finish), [
      'start',
      'text',
      'block-end',
      'tool-call',
      'block-end',
      'finish',
    ]);
  });

  it('leaves out blocks that no client API has', () => {
    assert.deepEqual(typesOf(text(0), image, stop, text(2)), ['start', 'text', 'block-end', 'text']);
  });

  it('ends once it has both the reason and the usage', () => {
    assert.deepEqual(typesOf(finish, metadata), ['start', 'finish', 'usage', 'end']);
    assert.deepEqual(typesOf(metadata, finish), ['usage', 'start', 'finish', 'end']);
  });
});
