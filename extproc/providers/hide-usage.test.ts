import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chat } from './openai/chat.ts';
import { NO_TEXT, newAdapter, recordedStreams, relayed } from './testing/recordings.ts';

function recorded(name: string): Buffer {
  const found = recordedStreams().find((stream) => stream.name === name);
  assert.ok(found);
  return found.stream;
}

describe('usage that the client did not ask for', () => {
  const asked = recorded('chat-text.stream');
  /**
   * Without the option, OpenAI's stream has neither the member nor the last chunk: see
   * chat-text-unasked.stream.
   */
  const unasked = asked
    .toString()
    .replaceAll(',"usage":null', '')
    .replace(/data: \{[^\n]*"choices":\[\],"usage"[^\n]*\n\n/, '');

  it('has an original stream to compare with', () => {
    assert.doesNotMatch(recorded('chat-text-unasked.stream').toString(), /usage/);
    assert.doesNotMatch(unasked, /usage/);
    assert.equal(asked.length - unasked.length > 300, true);
  });

  for (const templates of [true, false]) {
    it(`is removed from OpenAI's stream, byte for byte (templates: ${templates})`, () => {
      const adapter = newAdapter(chat, { hideUsage: true, templates });
      assert.equal(relayed(adapter, [asked], NO_TEXT).toString(), unasked);
      assert.equal(adapter.reader.usage?.output, 96);
      assert.equal(adapter.reader.usageFinal, true);
    });

    it(`is removed for every cut of the stream (templates: ${templates})`, () => {
      for (const size of [1, 7, 64, 331]) {
        const adapter = newAdapter(chat, { hideUsage: true, templates });
        const pieces = function* () {
          for (let at = 0; at < asked.length; at += size) {
            yield asked.subarray(at, at + size);
          }
        };
        assert.equal(relayed(adapter, pieces(), NO_TEXT).toString(), unasked);
      }
    });
  }

  it('stays if the client asked for it', () => {
    assert.deepEqual(relayed(newAdapter(chat, { hideUsage: false }), [asked], NO_TEXT), asked);
  });

  it('stays beside a choice, where providers send it unasked', () => {
    for (const name of ['groq-text.stream', 'mistral-text.stream', 'mistral-tool-call.stream']) {
      const stream = recorded(name);
      assert.deepEqual(relayed(newAdapter(chat, { hideUsage: true }), [stream], NO_TEXT), stream);
    }
  });

  it('stays if the provider sends it unasked, in a form that our request does not cause', () => {
    const stream = recorded('xai-reasoning.stream');
    assert.match(stream.toString(), /"choices":\[\],"usage":\{/);
    assert.deepEqual(relayed(newAdapter(chat, { hideUsage: true }), [stream], NO_TEXT), stream);
  });

  it('is removed if the provider sends it unasked and once more on request', () => {
    const own =
      '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"total_time":2}}';
    const added = '{"choices":[],"usage":{"prompt_tokens":1,"total_time":2}}';
    const adapter = newAdapter(chat, { hideUsage: true });
    const stream = Buffer.from(`data: ${own}\n\ndata: ${added}\n\n`);
    assert.equal(relayed(adapter, [stream], NO_TEXT).toString(), `data: ${own}\n\n`);
  });

  it('leaves valid JSON at any position of the member', () => {
    for (const [before, after] of [
      ['{"usage":null,"choices":[]}', '{"choices":[]}'],
      ['{"usage" : null , "choices":[]}', '{ "choices":[]}'],
      ['{"choices":[] , "usage": null }', '{"choices":[]  }'],
      ['{"usage":null}', '{}'],
    ]) {
      const adapter = newAdapter(chat, { hideUsage: true });
      const sent = relayed(adapter, [Buffer.from(`data: ${before}\n\n`)], NO_TEXT).toString();
      assert.deepEqual(JSON.parse(sent.slice(6)), JSON.parse(after as string), sent);
    }
  });
});
