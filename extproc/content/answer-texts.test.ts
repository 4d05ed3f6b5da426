import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AnswerTexts } from './answer-texts.ts';

/** Returns what is kept of a stream, by channel. */
function kept(events: readonly object[]): readonly (readonly [string, string])[] {
  const answer = new AnswerTexts(64 * 1024);
  for (const event of events) {
    answer.stream(Buffer.from(`data: ${JSON.stringify(event)}\n\n`));
  }
  return answer.end(true)!.texts.map(({ scope, text }) => [scope, text]);
}

/** Some characters of JSON's and others, and any. */
const delta = fc.oneof(
  fc.constantFrom('', ' ', '"', '\\', '{"', 'Hi', '€', '\n', '\ud83d'),
  fc.string({ unit: 'grapheme' }),
);
const deltas = fc.array(delta, { minLength: 1, maxLength: 12 });

/** The events of one text in the APIs of clients; `n` counts them. */
const dialects: Readonly<Record<string, (text: string, n: number) => object>> = {
  chat: (content, n) => ({
    id: 'c',
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
    obfuscation: 'x'.repeat(n % 5),
  }),
  messages: (text) => ({ type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text } }),
  responses: (text, n) => ({
    type: 'response.output_text.delta',
    item_id: 'm',
    sequence_number: n,
    delta: text,
    logprobs: [],
    obfuscation: 'y'.repeat(n % 7),
  }),
  'generate content': (text, n) => ({
    candidates: [{ content: { parts: [{ text }], role: 'model' }, index: 0 }],
    usageMetadata: { promptTokenCount: 7, totalTokenCount: n },
  }),
};

for (const [name, event] of Object.entries(dialects)) {
  test(`the deltas of a stream are joined, whatever they contain: ${name}`, () => {
    fc.assert(
      fc.property(deltas, (texts) => {
        const all = texts.join('');
        assert.deepEqual(kept(texts.map(event)), all === '' ? [] : [['assistant', all]]);
      }),
    );
  });
}

test('deltas of several choices and tools are told from each other', () => {
  const choice = fc.tuple(fc.nat(2), fc.constantFrom('content', 'reasoning_content', 'arguments'), delta);
  fc.assert(
    fc.property(fc.array(choice, { maxLength: 30 }), (parts) => {
      const expected = new Map<string, [string, string]>();
      const events = parts.map(([index, member, text]) => {
        const scope = { content: 'assistant', reasoning_content: 'reasoning', arguments: 'toolCall' }[member]!;
        if (text !== '') {
          const key = `${index}${member}`;
          expected.set(key, [scope, (expected.get(key)?.[1] ?? '') + text]);
        }
        const changed =
          member === 'arguments' ? { tool_calls: [{ index: 0, function: { arguments: text } }] } : { [member]: text };
        return { choices: [{ index, delta: changed }] };
      });
      assert.deepEqual(kept(events), [...expected.values()]);
    }),
  );
});

test('a URL of an image is kept, and an image in a URL is not', () => {
  const image = (url: string) => ({ choices: [{ index: 0, delta: { images: [{ image_url: { url } }] } }] });
  const events = ['https://a/1.png', `data:image/png;base64,${'A'.repeat(400)}`, 'https://a/2.png'].map(image);
  assert.deepEqual(kept(events), [['assistant', 'https://a/1.pnghttps://a/2.png']]);
});

test('padding of an object that no API has is text', () => {
  const events = ['a', 'b', 'c'].map((content) => ({
    choices: [{ index: 0, delta: { content, other: { obfuscation: `${content}!` } } }],
  }));
  const texts = kept(events).map(([, text]) => text);
  assert.deepEqual(texts, ['abc', 'obfuscation', 'a!b!c!', 'obfuscation', 'obfuscation']);
});
