import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProviderApi } from '../../contract/policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { type ConversionCase, type ConvertedCase, convertedCase, convertedDocument } from './testing.ts';

const user = { role: 'user', content: 'Hi' };
const bases: Readonly<Record<string, object>> = {
  chat: { model: 'm', messages: [user] },
  messages: { model: 'm', max_tokens: 3000, messages: [user] },
};

function caseOf(client: string, more: object, rest: Partial<ConversionCase> = {}): ConversionCase {
  const providerApi: ProviderApi = client === 'chat' ? 'Anthropic' : 'OpenAI';
  return { client, providerApi, body: JSON.stringify({ ...bases[client], ...more }), ...rest };
}

function converted(given: ConversionCase): ConvertedCase {
  const made = convertedCase(given);
  assert.ok(typeof made !== 'string', String(made));
  return made;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
const bodyOf = (given: ConversionCase): any => JSON.parse(converted(given).body);

const parts = (...content: readonly object[]) => ({ messages: [{ role: 'user', content }] });

/** Requests with a field that the other API does not have, and the name of that field. */
const unsupported: readonly (readonly [client: string, field: string, more: object])[] = [
  ['chat', 'n', { n: 2 }],
  ['chat', 'seed', { seed: 7 }],
  ['chat', 'logit_bias', { logit_bias: { 5: 1 } }],
  ['chat', 'logprobs', { logprobs: true }],
  ['chat', 'frequency_penalty', { frequency_penalty: 0.5 }],
  ['chat', 'presence_penalty', { presence_penalty: -1 }],
  ['chat', 'temperature', { temperature: 1.5 }],
  ['chat', 'temperature', { temperature: 0.5, reasoning_effort: 'high' }],
  ['chat', 'stop', { stop: ['\n'] }],
  ['chat', 'response_format', { response_format: { type: 'json_object' } }],
  ['chat', 'tools[0]', { tools: [{ type: 'custom', custom: { name: 'a' } }] }],
  ['chat', 'tool_choice', { tool_choice: { type: 'allowed_tools' } }],
  ['chat', 'web_search_options', { web_search_options: {} }],
  ['chat', 'modalities', { modalities: ['text', 'audio'] }],
  ['chat', 'store', { store: true }],
  ['chat', 'service_tier', { service_tier: 'flex' }],
  ['chat', 'my_own_field', { my_own_field: 1 }],
  ['chat', 'messages[0].content[0]', parts({ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } })],
  ['chat', 'messages[0].content[0].file', parts({ type: 'file', file: { file_id: 'file-1' } })],
  ['chat', 'messages[0].content[0]', parts({ type: 'image_url', image_url: { url: 'data:image/tiff;base64,AAAA' } })],
  ['chat', 'messages[0].content[0]', parts({ type: 'hologram' })],
  ['chat', 'messages[0].role', { messages: [{ role: 'function', name: 'f', content: '1' }] }],
  ['messages', 'top_k', { top_k: 5 }],
  ['messages', 'stop_sequences', { stop_sequences: ['a', 'b', 'c', 'd', 'e'] }],
  ['messages', 'tools[0]', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
  ['messages', 'container', { container: 'c' }],
  ['messages', 'messages[0].content[0].source', parts({ type: 'image', source: { type: 'file', file_id: 'f' } })],
  ['messages', 'messages[0].content[0]', parts({ type: 'document', source: { type: 'url', url: 'https://x/y.pdf' } })],
  ['messages', 'messages[0].content[0]', parts({ type: 'server_tool_use', id: 's', name: 'web_search', input: {} })],
];

describe('a field that the other API does not have', () => {
  for (const [client, field, more] of unsupported) {
    it(`is refused by name: ${client} ${field}`, () => {
      const refused = convertedCase(caseOf(client, more));
      assert.ok(typeof refused === 'string' && refused.startsWith(`\`${field}\` cannot be converted`), String(refused));
    });

    it(`is dropped where the rule says so: ${client} ${field}`, () => {
      assert.ok(converted(caseOf(client, more, { drops: true })).dropped.includes(field));
    });
  }

  it('has no part in the header if a client invented its name', () => {
    const { dropped } = converted(caseOf('chat', { 'a\r\nb': 1, ['x'.repeat(500)]: 2 }, { drops: true }));
    assert.deepEqual(dropped, ['unknown']);
  });

  it('is named only so often', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`field_${index}`, 1]));
    assert.equal(converted(caseOf('chat', many, { drops: true })).dropped.length, 32);
  });
});

describe('a field that asks for nothing', () => {
  for (const [client, more] of [
    ['chat', { seed: null, frequency_penalty: 0, logit_bias: {}, logprobs: false, n: 1, store: false, stop: null }],
    ['chat', { service_tier: 'auto', modalities: ['text'], tools: [], tool_choice: 'auto', verbosity: 'medium' }],
    ['messages', { service_tier: 'auto', speed: 'standard', stop_sequences: [], thinking: { type: 'disabled' } }],
  ] as const) {
    it(`is neither refused nor dropped: ${JSON.stringify(more)}`, () => {
      assert.deepEqual(converted(caseOf(client, more)).dropped, []);
    });
  }
});

describe('the output bound of an Anthropic request', () => {
  it('is the client’s, or the model’s, or a default', () => {
    assert.equal(bodyOf(caseOf('chat', { max_completion_tokens: 7 })).max_tokens, 7);
    assert.equal(bodyOf(caseOf('chat', {}, { maxOutputTokens: 64_000 })).max_tokens, 64_000);
    assert.equal(bodyOf(caseOf('chat', {})).max_tokens, 16_384);
  });

  it('is lowered to what the reservation holds', () => {
    assert.equal(bodyOf(caseOf('chat', { max_tokens: 500 }, { bound: 100 })).max_tokens, 100);
    assert.equal(bodyOf(caseOf('messages', {}, { bound: 100 })).max_completion_tokens, 100);
    assert.equal(bodyOf(caseOf('messages', {}, { bound: 100, providerApi: 'HuggingFaceTGI' })).max_tokens, 100);
  });
});

describe('the reasoning of an Anthropic request', () => {
  const effort = { reasoning_effort: 'high', max_tokens: 20_000 };

  it('is a budget for models up to Claude 4.5, within half of the output', () => {
    for (const model of [
      'claude-3-7-sonnet-20250219',
      'claude-sonnet-4-20250514',
      'claude-opus-4-5',
      'claude-haiku-4-5',
    ]) {
      const { thinking } = bodyOf(caseOf('chat', effort, { model }));
      assert.deepEqual(thinking, { type: 'enabled', budget_tokens: 10_000 }, model);
    }
  });

  it('is left out where the bound is too low for it', () => {
    const { thinking, max_tokens } = bodyOf(caseOf('chat', effort, { model: 'claude-sonnet-4-5', bound: 900 }));
    assert.deepEqual([thinking, max_tokens], [undefined, 900]);
  });

  it('is an effort for later models', () => {
    for (const model of ['claude-opus-4-6', 'claude-sonnet-5', 'claude-mythos-5-2', 'claude-haiku-5-5']) {
      const { thinking, output_config } = bodyOf(caseOf('chat', effort, { model }));
      assert.deepEqual([thinking, output_config], [{ type: 'adaptive' }, { effort: 'high' }], model);
    }
  });

  it('gives way to a call that the client forces', () => {
    const tools = [{ type: 'function', function: { name: 'a' } }];
    const given = caseOf('chat', { ...effort, tools, tool_choice: 'required' }, { model: 'claude-sonnet-5' });
    assert.equal(bodyOf(given).thinking, undefined);
    assert.deepEqual(converted(given).dropped, ['reasoning_effort']);
  });

  it('pauses between calls whose reasoning the client has not kept', () => {
    const call = { id: 'c', type: 'function', function: { name: 'a', arguments: '{}' } };
    const messages = [
      user,
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c', content: '1' },
    ];
    const given = caseOf('chat', { ...effort, messages }, { model: 'claude-sonnet-4-5' });
    assert.equal(bodyOf(given).thinking, undefined);
    assert.deepEqual(converted(given).dropped, ['reasoning_effort']);
  });
});

describe('the reasoning of an OpenAI request', () => {
  const thinking = { thinking: { type: 'enabled', budget_tokens: 2_000 } };
  const effortOf = (model: string, reasoningTokens?: 'Billed' | 'None') =>
    bodyOf(caseOf('messages', thinking, { model, ...(reasoningTokens && { reasoningTokens }) })).reasoning_effort;

  it('is an effort for models that reason, by their names or as their backend says', () => {
    assert.deepEqual([effortOf('gpt-5'), effortOf('gpt-4o')], ['low', undefined]);
    assert.deepEqual([effortOf('my-deployment', 'Billed'), effortOf('gpt-5', 'None')], ['low', undefined]);
  });
});

describe('a round trip', () => {
  it('keeps tool calls and signed reasoning of Anthropic through the OpenAI form', () => {
    const content = [
      { type: 'thinking', thinking: 'The weather, so a tool.', signature: 'c2lnbmF0dXJl' },
      { type: 'redacted_thinking', data: 'cmVkYWN0ZWQ=' },
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { location: 'Bern', days: [1, 2], unit: null } },
      { type: 'tool_use', id: 'toolu_2', name: 'time', input: {} },
    ];
    const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'c', content, stop_reason: 'tool_use' };
    const adapter = converted(caseOf('chat', {})).newAdapter();
    const answer = JSON.parse(convertedDocument(adapter, Buffer.from(JSON.stringify(message))));
    const messages = [user, answer.choices[0].message, { role: 'tool', tool_call_id: 'toolu_1', content: '1' }];
    assert.deepEqual(bodyOf(caseOf('chat', { messages })).messages[1].content, content);
  });

  it('keeps tool calls of OpenAI through the Anthropic form', () => {
    const calls = [
      { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"location":"Bern"}' } },
      { id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } },
    ];
    const answer = { id: 'c', model: 'm', choices: [{ index: 0, message: { role: 'assistant', tool_calls: calls } }] };
    const adapter = converted(caseOf('messages', {})).newAdapter();
    const { content } = JSON.parse(convertedDocument(adapter, Buffer.from(JSON.stringify(answer))));
    const messages = [user, { role: 'assistant', content }];
    assert.deepEqual(bodyOf(caseOf('messages', { messages })).messages[1].tool_calls, calls);
  });
});

describe('a hostile client', () => {
  it('gets a failure or a request, whatever its fields contain', () => {
    const field = fc.constantFrom(
      ...['messages', 'system', 'tools', 'tool_choice', 'response_format', 'stop', 'thinking', 'output_config'],
      ...['metadata', 'reasoning_effort', 'logit_bias', 'temperature', 'stop_sequences', 'user', '__proto__'],
    );
    fc.assert(
      fc.property(
        fc.constantFrom('chat', 'messages'),
        fc.dictionary(field, fc.jsonValue()),
        fc.boolean(),
        (client, more, drops) => {
          const made = convertedCase(caseOf(client, more, { drops }));
          assert.ok(typeof made === 'string' || JSON.parse(made.body));
        },
      ),
      fuzzRuns(500),
    );
  });

  it('gets a failure or a request, whatever its messages contain', () => {
    const part = fc.record({
      type: fc.constantFrom('text', 'image', 'image_url', 'tool_use', 'tool_result', 'file', 'thinking'),
    });
    const content = fc.oneof(
      fc.jsonValue(),
      fc.array(fc.tuple(part, fc.jsonValue()).map(([one, more]) => Object.assign({}, more, one))),
    );
    const message = fc.record({
      role: fc.constantFrom('user', 'assistant', 'system', 'tool', 'x'),
      content,
      tool_calls: fc.jsonValue(),
    });
    fc.assert(
      fc.property(fc.constantFrom('chat', 'messages'), fc.array(message), fc.boolean(), (client, messages, drops) => {
        const made = convertedCase(caseOf(client, { messages }, { drops }));
        assert.ok(typeof made === 'string' || JSON.parse(made.body));
      }),
      fuzzRuns(500),
    );
  });
});
