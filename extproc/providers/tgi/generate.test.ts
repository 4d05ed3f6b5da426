import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from '../../errors.ts';
import type { Usage } from '../../usage.ts';
import type { ClientApi } from '../adapter.ts';
import { eventsOf, NO_TEXT, newAdapter, relayed, TextByChannel } from '../testing/recordings.ts';
import { generateEndpoints } from './generate.ts';

// There is no recording of TGI; these follow the API reference.
const token = (index: number, text: string, special = false) => ({
  index,
  token: { id: 100 + index, text, logprob: -0.25 * index, special },
});
const STREAM = Buffer.from(
  [
    { ...token(1, 'Deep'), generated_text: null, details: null },
    { ...token(2, ' "le'), generated_text: null, details: null },
    { ...token(3, 'arning"'), generated_text: null, details: null },
    {
      ...token(4, '</s>', true),
      generated_text: 'Deep "learning"',
      details: { finish_reason: 'eos_token', generated_tokens: 4, seed: null, input_length: 6 },
    },
  ]
    .map((event) => `data:${JSON.stringify(event)}\n\n`)
    .join(''),
);

const [generate, generateStream, root] = generateEndpoints as [ClientApi, ClientApi, ClientApi];
const USAGE: Usage = {
  input: 6,
  output: 2,
  cachedInput: 0,
  cacheWriteInput: 0,
  cacheWrite1hInput: 0,
  reasoningOutput: 0,
  audioInput: 0,
  audioOutput: 0,
  imageInput: 0,
  imageOutput: 0,
};

describe('streams of tokens', () => {
  for (const templates of [true, false]) {
    it(`report text and usage (templates: ${templates})`, () => {
      const adapter = newAdapter(generateStream, { templates });
      const text = new TextByChannel();
      const bytes = function* () {
        for (let at = 0; at < STREAM.length; at++) {
          yield STREAM.subarray(at, at + 1);
        }
      };
      assert.deepEqual(relayed(adapter, bytes(), text), STREAM);
      assert.deepEqual(
        [adapter.reader.usage?.input, adapter.reader.usage?.output, adapter.reader.usageFinal],
        [6, 4, true],
      );
      assert.equal(adapter.reader.state, 'finished');
      assert.equal(text.decoded(0), 'Deep "learning"</s>');
    });
  }

  it('report no input if the server does not', () => {
    const adapter = newAdapter(generateStream);
    relayed(adapter, [Buffer.from(STREAM.toString().replace(',"input_length":6', ''))], NO_TEXT);
    assert.deepEqual([adapter.reader.usage?.output, adapter.reader.usage?.input], [4, 0]);
  });

  it('hide details that the gateway requested', () => {
    const adapter = newAdapter(generateStream, { hideUsage: true });
    const sent = relayed(adapter, [STREAM], NO_TEXT).toString();
    assert.equal(sent, STREAM.toString().replace(/"details":\{[^}]*\}/, '"details":null'));
    assert.equal(adapter.reader.usage?.output, 4);
  });

  for (const lastSent of [true, false]) {
    it(`end with the text that was sent (last event sent: ${lastSent})`, () => {
      const adapter = newAdapter(generateStream);
      for (const [place, [start, end]] of eventsOf(STREAM).slice(0, 3).entries()) {
        const facts = adapter.reader.read(STREAM, start, end, NO_TEXT);
        if (lastSent || place < 2) {
          adapter.writer.write(STREAM, start, end, facts);
        }
      }
      const last = JSON.parse(Buffer.from(adapter.writer.truncate(USAGE)).toString().slice(5));
      assert.equal(last.generated_text, lastSent ? 'Deep "learning"' : 'Deep "le');
      assert.equal(last.index, lastSent ? 4 : 3);
      assert.deepEqual(last.details, { finish_reason: 'length', generated_tokens: 2, seed: null, input_length: 6 });
    });
  }

  it('fail like the server does', () => {
    const adapter = newAdapter(generateStream);
    const event = Buffer.from(adapter.writer.fail(failure('overloaded', 'Too "busy".'))).toString();
    assert.deepEqual(JSON.parse(event.slice(5)), { error: 'Too "busy".', error_type: 'unhealthy' });
    const other = newAdapter(generateStream);
    relayed(other, [Buffer.from(event)], NO_TEXT);
    assert.equal(other.reader.state, 'failed');
  });
});

describe('unary generations', () => {
  const generation = {
    generated_text: 'best',
    details: {
      finish_reason: 'length',
      generated_tokens: 5,
      prefill: [
        { id: 1, text: 'a', logprob: null },
        { id: 2, text: 'b', logprob: -1 },
      ],
      tokens: [{ id: 3, text: 'best', logprob: -1, special: false }],
      best_of_sequences: [{ generated_text: 'other', generated_tokens: 7 }],
    },
  };

  for (const [endpoint, document] of [
    [generate, generation],
    [root, [generation]],
  ] as const) {
    it(`of ${endpoint.path} report all generated text, byte by byte`, () => {
      const reader = newAdapter(endpoint).unary;
      const text = new TextByChannel();
      const bytes = Buffer.from(JSON.stringify(document, null, 1));
      for (let at = 0; at < bytes.length; at++) {
        reader.push(bytes.subarray(at, at + 1), text);
      }
      assert.deepEqual([reader.usage?.input, reader.usage?.output], [2, 12]);
      assert.deepEqual([...text.channels.values()], ['best', 'other']);
    });
  }

  it('report no usage without details', () => {
    const reader = newAdapter(generate).unary;
    reader.push(Buffer.from('{"generated_text":"a"}'), NO_TEXT);
    assert.equal(reader.usage, undefined);
  });
});
