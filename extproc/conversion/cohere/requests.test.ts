import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ConversionCase, type ConvertedCase, convertedCase, convertedDocument } from '../testing.ts';

const user = { role: 'user', content: 'Hi' };
const tool = (name: string) => ({ type: 'function', function: { name, parameters: { type: 'object' } } });

function caseOf(more: object, options: Partial<ConversionCase> = {}): ConversionCase {
  const body = JSON.stringify({ model: 'm', messages: [user], ...more });
  return { client: 'chat', providerApi: 'Cohere', model: 'command-a-03-2025', body, ...options };
}

function converted(given: ConversionCase): ConvertedCase {
  const made = convertedCase(given);
  assert.ok(typeof made !== 'string', String(made));
  return made;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
const bodyOf = (given: ConversionCase): any => JSON.parse(converted(given).body);

describe('what Cohere has no place for', () => {
  for (const [field, more] of [
    ['n', { n: 2 }],
    ['logit_bias', { logit_bias: { 5: 1 } }],
    ['logprobs', { logprobs: true }],
    ['frequency_penalty', { frequency_penalty: -0.5 }],
    ['presence_penalty', { presence_penalty: 1.5 }],
    ['seed', { seed: -1 }],
    ['top_k', { top_k: 501 }],
    ['stop', { stop: ['a', 'b', 'c', 'd', 'e', 'f'] }],
    ['parallel_tool_calls', { tools: [tool('a')], parallel_tool_calls: false }],
    ['response_format', { tools: [tool('a')], response_format: { type: 'json_object' } }],
    [
      'messages[0].content[0]',
      {
        messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }] }],
      },
    ],
  ] as const) {
    it(`is refused by name, or dropped: ${field}`, () => {
      const refused = convertedCase(caseOf(more));
      assert.ok(typeof refused === 'string' && refused.startsWith(`\`${field}\` cannot be converted`), String(refused));
      assert.deepEqual(converted(caseOf(more, { drops: true })).dropped, [field]);
    });
  }
});

describe('the thinking of a Cohere model', () => {
  const model = 'command-a-reasoning-08-2025';

  it('has a budget within half of the output, or none', () => {
    const high = caseOf({ reasoning_effort: 'high' }, { model });
    assert.deepEqual(bodyOf(high).thinking, { type: 'enabled' });
    const low = caseOf({ reasoning_effort: 'low', max_tokens: 10_000 }, { model });
    assert.deepEqual(bodyOf(low).thinking, { type: 'enabled', token_budget: 1_024 });
    const bounded = caseOf({ reasoning_effort: 'high', max_tokens: 10_000 }, { model, bound: 100 });
    assert.deepEqual([bodyOf(bounded).thinking.token_budget, bodyOf(bounded).max_tokens], [50, 100]);
  });

  it('is turned off where the client asks for none', () => {
    assert.deepEqual(bodyOf(caseOf({ reasoning_effort: 'none' }, { model })).thinking, { type: 'disabled' });
  });

  it('is left out for models that do not think', () => {
    const given = caseOf({ reasoning_effort: 'high' });
    assert.deepEqual([bodyOf(given).thinking, converted(given).dropped], [undefined, ['reasoning_effort']]);
  });
});

describe('the tools of a Cohere request', () => {
  it('are only the one that the client forces', () => {
    const choice = { type: 'function', function: { name: 'b' } };
    const body = bodyOf(caseOf({ tools: [tool('a'), tool('b')], tool_choice: choice }));
    assert.deepEqual([body.tools.map(nameOf), body.tool_choice], [['b'], 'REQUIRED']);
  });

  it('must have the one that the client forces', () => {
    const choice = { type: 'function', function: { name: 'c' } };
    assert.match(
      String(convertedCase(caseOf({ tools: [tool('a')], tool_choice: choice }))),
      /`tool_choice` names a tool/,
    );
  });

  it('keep their calls and the plan through a round trip', () => {
    const called = [{ id: 'c1', type: 'function', function: { name: 'a', arguments: '{"x":[1,null]}' } }];
    const message = { role: 'assistant', tool_plan: 'A plan.', tool_calls: called };
    const document = Buffer.from(JSON.stringify({ id: 'r', finish_reason: 'TOOL_CALL', message }));
    const answer = JSON.parse(convertedDocument(converted(caseOf({})).newAdapter(), document));
    const messages = [user, answer.choices[0].message, { role: 'tool', tool_call_id: 'c1', content: '1' }];
    assert.deepEqual(bodyOf(caseOf({ messages })).messages[1], message);
  });

  it('get all results before what else the user says', () => {
    const image = { type: 'image_url', image_url: { url: 'https://x/y.png' } };
    const result = (id: string, content: unknown) => ({ role: 'tool', tool_call_id: id, content });
    const { messages } = bodyOf(caseOf({ messages: [user, result('a', [image]), result('b', 'B'), user] }));
    assert.deepEqual(messages.map(roleOf), ['tool', 'tool', 'user']);
  });
});

const nameOf = (each: { readonly function: { readonly name: string } }) => each.function.name;
const roleOf = (each: { readonly role: string }) => each.role;
