import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from '../../errors.ts';
import type { Usage } from '../../usage.ts';
import type { ClientApi } from '../adapter.ts';
import { eventsOf, NO_TEXT, newAnswer, PLAIN_REQUEST, relayed, TextByChannel } from '../testing/recordings.ts';
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
  reasoningOutput: 0,
  audioInput: 0,
  audioOutput: 0,
};

describe('streams of tokens', () => {
  for (const templates of [true, false]) {
    it(`report text and usage (templates: ${templates})`, () => {
      const answer = newAnswer(generateStream, { templates });
      const text = new TextByChannel();
      const bytes = function* () {
        for (let at = 0; at < STREAM.length; at++) {
          yield STREAM.subarray(at, at + 1);
        }
      };
      assert.deepEqual(relayed(answer, bytes(), text), STREAM);
      assert.deepEqual(
        [answer.reader.usage?.input, answer.reader.usage?.output, answer.reader.usageFinal],
        [6, 4, true],
      );
      assert.equal(answer.reader.state, 'finished');
      assert.equal(text.decoded(0), 'Deep "learning"</s>');
    });
  }

  it('report no input if the server does not', () => {
    const answer = newAnswer(generateStream);
    relayed(answer, [Buffer.from(STREAM.toString().replace(',"input_length":6', ''))], NO_TEXT);
    assert.deepEqual([answer.reader.usage?.output, answer.reader.usage?.input], [4, 0]);
  });

  it('hide details that the gateway requested', () => {
    const answer = newAnswer(generateStream, { hideUsage: true });
    const sent = relayed(answer, [STREAM], NO_TEXT).toString();
    assert.equal(sent, STREAM.toString().replace(/"details":\{[^}]*\}/, '"details":null'));
    assert.equal(answer.reader.usage?.output, 4);
  });

  for (const lastSent of [true, false]) {
    it(`end with the text that was sent (last event sent: ${lastSent})`, () => {
      const answer = newAnswer(generateStream);
      for (const [place, [start, end]] of eventsOf(STREAM).slice(0, 3).entries()) {
        const facts = answer.reader.read(STREAM, start, end, NO_TEXT);
        if (lastSent || place < 2) {
          answer.writer.write(STREAM, start, end, facts);
        }
      }
      const last = JSON.parse(Buffer.from(answer.writer.truncate(USAGE)).toString().slice(5));
      assert.equal(last.generated_text, lastSent ? 'Deep "learning"' : 'Deep "le');
      assert.equal(last.index, lastSent ? 4 : 3);
      assert.deepEqual(last.details, { finish_reason: 'length', generated_tokens: 2, seed: null, input_length: 6 });
    });
  }

  it('fail like the server does', () => {
    const answer = newAnswer(generateStream);
    const event = Buffer.from(answer.writer.fail(failure('overloaded', 'Too "busy".'))).toString();
    assert.deepEqual(JSON.parse(event.slice(5)), { error: 'Too "busy".', error_type: 'unhealthy' });
    const other = newAnswer(generateStream);
    relayed(other, [Buffer.from(event)], NO_TEXT);
    assert.equal(other.reader.state, 'failed');
  });
});

describe('unary generations', () => {
  const whole = (endpoint: ClientApi) => {
    const answer = endpoint.answer?.(PLAIN_REQUEST, { hideUsage: false, model: 'tgi' });
    assert.ok(answer);
    return answer.unary;
  };
  const answer = {
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
    [generate, answer],
    [root, [answer]],
  ] as const) {
    it(`of ${endpoint.path} report all generated text, byte by byte`, () => {
      const reader = whole(endpoint);
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
    const reader = whole(generate);
    reader.push(Buffer.from('{"generated_text":"a"}'), NO_TEXT);
    assert.equal(reader.usage, undefined);
  });
});
