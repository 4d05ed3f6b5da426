import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClientApi, EventReader } from './adapter.ts';
import { messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { responses } from './openai/responses.ts';
import { newAdapter, relayed, TextByChannel } from './testing/recordings.ts';
import { generateEndpoints } from './tgi/generate.ts';

const generateStream = generateEndpoints[1] as ClientApi;
const STREAMS = [chat, completions, responses, messages, generateStream];

/** Returns all counted text of a stream, which passes unchanged. */
function textOf(endpoint: ClientApi, stream: string, templates = true): { text: string; reader: EventReader } {
  const adapter = newAdapter(endpoint, { templates });
  const sink = new TextByChannel();
  assert.equal(relayed(adapter, [Buffer.from(stream)], sink).toString(), stream);
  return { text: [...sink.channels.values()].join('|'), reader: adapter.reader };
}

const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
const delta = (of: object) => ({ id: 'c', choices: [{ index: 0, delta: of }] });

describe('text that no adapter knows', () => {
  for (const [endpoint, data, text] of [
    [chat, delta({ answer: 'abc' }), 'abc'],
    [chat, delta({ role: 'assistant', new: { parts: [{ type: 'x', id: 'y', said: 'abc' }, 'def'] } }), 'abcdef'],
    [chat, { id: 'c', choices: [{ index: 0, said: 'abc', finish_reason: null, logprobs: { token: 'abc' } }] }, 'abc'],
    [chat, { type: 'new.delta', delta: 'abc', item_id: 'x' }, 'abc'],
    [completions, { said: ['abc'] }, 'abc'],
    [
      responses,
      { type: 'response.apply_patch_call_operation_diff.delta', item_id: 'x', output_index: 0, delta: 'abc' },
      'abc',
    ],
    [responses, { type: 'response.brand_new', data: { inside: 'abc' } }, 'abc'],
    [responses, { delta: 'abc' }, 'abc'],
    [
      messages,
      {
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'compaction_delta', content: 'abc', encrypted_content: 'x' },
      },
      'abc',
    ],
    [messages, { type: 'content_block_delta', index: 0, delta: { type: 'new_delta', words: ['abc'] } }, 'abc'],
    [messages, { type: 'new_event', text: 'abc' }, 'abc'],
    [generateStream, { text: 'abc' }, 'abc'],
  ] as const) {
    for (const templates of [true, false]) {
      it(`${endpoint.path}: ${JSON.stringify(data)} (templates: ${templates})`, () => {
        // Twice: a template may match the second time.
        assert.equal(textOf(endpoint, event(data) + event(data), templates).text, text + text);
      });
    }
  }

  it('excludes values that cannot be text', () => {
    for (const [endpoint, data] of [
      [chat, delta({ role: 'assistant', images: [{ image_url: { url: 'data:image/png;base64,AAAA' } }] })],
      [chat, delta({ new: 'data:image/png;base64,AAAA', annotations: [{ title: 'a' }], thing_id: 'a' })],
      [chat, { id: 'c', provider: 'a', choices: [{ index: 0, delta: {}, logprobs: { content: [{ token: 'a' }] } }] }],
      [responses, { type: 'response.image_generation_call.partial_image', partial_image_b64: 'AAAA' }],
      [responses, { type: 'response.audio.delta', delta: 'AAAA' }],
      [responses, { type: 'response.output_text.done', text: 'told before' }],
      [responses, { type: 'response.mcp_list_tools.in_progress', item_id: 'a' }],
      [responses, { type: 'response.output_text.annotation.added', annotation: { title: 'a' } }],
      [messages, { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'AAAA' } }],
      [
        messages,
        { type: 'content_block_delta', index: 0, delta: { type: 'citations_delta', citation: { title: 'a' } } },
      ],
      [
        messages,
        { type: 'content_block_start', index: 0, content_block: { type: 'tool_result', content: [{ x: 'a' }] } },
      ],
      [
        messages,
        { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null, container: { id: 'a' } } },
      ],
    ] as const) {
      assert.equal(textOf(endpoint, event(data)).text, '', JSON.stringify(data));
    }
    for (const endpoint of STREAMS) {
      const silent = '\ufeffid: 7\n\n: waiting\n\nevent: ping\nretry: 5\n\ndata:\n\ndata: [DONE]\n\n';
      const { text, reader } = textOf(endpoint, silent);
      assert.deepEqual([text, reader.unreadable], ['', 0]);
    }
  });
});

describe('reasoning in parts', () => {
  const parts = [{ type: 'reasoning.text', text: 'abc', format: 'x', index: 0 }];

  it('is counted once, if it is sent in no other way', () => {
    assert.equal(textOf(chat, event(delta({ reasoning_details: parts }))).text, 'abc');
    assert.equal(textOf(chat, event(delta({ reasoning: '', reasoning_details: parts }))).text, 'abc');
    assert.equal(textOf(chat, event(delta({ reasoning: null, reasoning_details: parts }))).text, 'abc');
    assert.equal(textOf(chat, event(delta({ reasoning: 'abc', reasoning_details: parts }))).text, 'abc');
    assert.equal(textOf(chat, event(delta({ reasoning_details: parts, reasoning: 'abc' }))).text, 'abc');
    assert.equal(textOf(chat, event(delta({ reasoning_content: 'abc', reasoning: 'abc' }))).text, 'abc');
  });
});

describe('input that is not JSON or not an event stream', () => {
  it('counts as text, and is reported', () => {
    for (const endpoint of STREAMS) {
      for (const stream of [
        'event: delta\ndata: plain words\n\n',
        'data: {"choices":[{"delta"\n\n',
        'plain words\n\n',
      ]) {
        const { text, reader } = textOf(endpoint, stream);
        assert.ok(text.length >= 11, `${endpoint.path} ${stream}`);
        assert.equal(reader.unreadable, 1);
      }
    }
  });
});
