import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClientApi, EventReader } from './adapter.ts';
import { messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { responses } from './openai/responses.ts';
import { exchanges, newAdapter, relayed, TextByChannel } from './testing/recordings.ts';
import { generateEndpoints } from './tgi/generate.ts';

const generateStream = generateEndpoints[1] as ClientApi;

/** Returns the stream; events above this size are read in parts. */
function read(endpoint: ClientApi, stream: string, size: number, most: number): { text: string; reader: EventReader } {
  const adapter = newAdapter(endpoint);
  const sink = new TextByChannel();
  const bytes = Buffer.from(stream);
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += size) {
      yield bytes.subarray(at, at + size);
    }
  };
  assert.equal(relayed(adapter, pieces(), sink, most).toString(), stream);
  return { text: [...sink.channels.values()].join('|'), reader: adapter.reader };
}

const event = (data: unknown, name = '') => `${name === '' ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
const long = 'word '.repeat(400);
const base64 = 'A'.repeat(2_000);

describe('an event that is too long to be kept', () => {
  for (const size of [1, 13, 500]) {
    it(`reports its text (pieces of ${size})`, () => {
      for (const [endpoint, data] of [
        [chat, { id: 'c', choices: [{ index: 0, delta: { content: long } }] }],
        [chat, { id: 'c', choices: [{ index: 0, delta: { tool_calls: [{ function: { arguments: long } }] } }] }],
        [responses, { type: 'response.output_text.delta', delta: long, output_index: 0 }],
        [messages, { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: long } }],
        [generateStream, { token: { id: 1, text: long } }],
      ] as const) {
        const { text, reader } = read(endpoint, event(data, 'x').replace('"word', '"\\u0077ord'), size, 1_000);
        assert.equal(text, long.replace('word', '\\u0077ord'));
        assert.equal(reader.unreadable, 0);
      }
    });

    it(`reports its usage and its end (pieces of ${size})`, () => {
      const usage = { input_tokens: 7, output_tokens: 9 };
      const item = { type: 'image_generation_call', result: base64 };
      for (const [endpoint, stream] of [
        [responses, event({ type: 'response.completed', response: { output: [item], usage } })],
        [messages, event({ type: 'message_delta', x: base64, delta: { stop_reason: 'end_turn' }, usage })],
        [messages, event({ type: 'message_start', message: { x: base64, usage } })],
        [chat, event({ id: 'c', x: base64, choices: [], usage: { prompt_tokens: 7, completion_tokens: 9 } })],
        [generateStream, event({ generated_text: long, details: { generated_tokens: 9, input_length: 7 } })],
      ] as const) {
        const { text, reader } = read(endpoint, stream, size, 1_000);
        assert.equal(text, '');
        assert.deepEqual([reader.usage?.input, reader.usage?.output], [7, 9]);
        if (endpoint === responses || endpoint === generateStream) {
          assert.equal(reader.state, 'finished');
        }
      }
    });
  }

  it('has no text if it is an image', () => {
    for (const data of [
      { type: 'response.image_generation_call.partial_image', output_index: 0, partial_image_b64: base64 },
      { type: 'response.output_item.done', output_index: 0, item: { type: 'image_generation_call', result: base64 } },
    ]) {
      const { text, reader } = read(responses, event(data), 64, 1_000);
      assert.deepEqual([text, reader.unreadable], ['', 0]);
    }
  });

  it('is unreadable if nothing in it is known', () => {
    for (const stream of [event({ x: base64 }), `data: ${base64}\n\n`, `${base64}\n\n`]) {
      assert.equal(read(chat, stream, 64, 1_000).reader.unreadable, 1);
    }
  });
});

describe('all streams, with each event in parts', () => {
  it('report the same usage, except for events in several lines', () => {
    for (const { name, endpoint, answer } of exchanges().filter(({ answer }) => answer.toString().includes('data:'))) {
      const stream = answer.toString();
      const expected = read(endpoint, stream, 64, 1_000_000).reader;
      const { reader } = read(endpoint, stream, 1, 8);
      assert.deepEqual(reader.usage, expected.usage, name);
    }
  });
});
