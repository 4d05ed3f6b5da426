import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unitsOf } from '../string-units.ts';
import { RequestTexts } from './request-texts.ts';

/** Returns the texts of a body by their scope; signed ones and JSON are marked. */
function textsOf(body: object): readonly string[] {
  const bytes = Buffer.from(JSON.stringify(body));
  const texts = new RequestTexts();
  assert.equal(texts.read(bytes).next().value, true);
  const found = Array.from({ length: texts.count }, (_, place) => texts.textAt(place));
  return found
    .filter((text) => text !== undefined)
    .map(({ scope, form, isSigned, start, end }) => {
      const marks = `${form === 'json' ? ' json' : ''}${isSigned ? ' signed' : ''}`;
      return `${scope}${marks}: ${unitsOf(bytes, start, end)}`;
    });
}

test('chat completions: roles, tools, their arguments and results, and fields that nobody knows', () => {
  const body = {
    model: 'gpt-4o',
    user: 'jane',
    messages: [
      { role: 'developer', content: 'rules' },
      // The role may come last.
      { content: [{ type: 'text', text: 'question' }], hidden: { deep: ['more'] }, role: 'user' },
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }] },
      { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }] },
      {
        role: 'assistant',
        reasoning_content: 'thinking',
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'find', arguments: '{"a":1}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'result' },
    ],
    tools: [{ type: 'function', function: { name: 'find', description: 'finds' } }],
  };
  assert.deepEqual(textsOf(body), [
    'user: jane',
    'system: rules',
    'user: question',
    'user: more',
    'user: https://example.com/a.png',
    'user: wav',
    'reasoning: thinking',
    'toolCall: find',
    'toolCall json: {"a":1}',
    'toolResult: result',
    'system: find',
    'system: finds',
  ]);
});

test('messages: blocks, the input of tools with members of any name, and signed reasoning', () => {
  const body = {
    model: 'claude-x',
    system: [{ type: 'text', text: 'rules' }],
    metadata: { user_id: 'u1' },
    messages: [
      { role: 'user', content: 'question' },
      {
        role: 'assistant',
        content: [
          { thinking: 'thoughts', signature: 'c2ln', type: 'thinking' },
          { type: 'redacted_thinking', data: 'ZGF0YQ' },
          { id: 't1', name: 'find', input: { id: 'own', list: [{ type: 'x' }] }, type: 'tool_use' },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'result' }] },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
          { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'a document' } },
        ],
      },
    ],
  };
  assert.deepEqual(textsOf(body), [
    'system: rules',
    'user: u1',
    'user: question',
    'reasoning signed: thoughts',
    'toolCall: find',
    'toolCall: own',
    'toolCall: x',
    'toolResult: result',
    'user: a document',
  ]);
});

test('responses: items, calls and their outputs', () => {
  const body = {
    model: 'gpt-5',
    instructions: 'rules',
    input: [
      { type: 'message', id: 'm1', role: 'user', content: [{ type: 'input_text', text: 'question' }] },
      { type: 'reasoning', id: 'r1', summary: [{ type: 'summary_text', text: 'sum' }], encrypted_content: 'AAAA' },
      { type: 'function_call', call_id: 'c1', name: 'find', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: 'result' },
      { type: 'custom_tool_call', call_id: 'c2', name: 'patch', input: 'free text' },
      { type: 'mcp_call', name: 'look', arguments: '{}', output: 'found' },
    ],
  };
  assert.deepEqual(textsOf(body), [
    'system: rules',
    'user: question',
    'reasoning: sum',
    'toolCall: find',
    'toolCall json: {}',
    'toolResult: result',
    'toolCall: patch',
    'toolCall: free text',
    'toolCall: look',
    'toolCall json: {}',
    'toolResult: found',
  ]);
  assert.deepEqual(textsOf({ input: 'question' }), ['user: question']);
});

test('generateContent: parts, thoughts, and calls with members of any name', () => {
  const body = {
    systemInstruction: { parts: [{ text: 'rules' }] },
    contents: [
      { role: 'user', parts: [{ text: 'question' }, { inlineData: { mimeType: 'image/png', data: 'AAAA' } }] },
      {
        role: 'model',
        parts: [
          { text: 'hm', thought: true },
          { functionCall: { name: 'find', args: { id: 'own' } }, thoughtSignature: 'AAAA' },
        ],
      },
      { role: 'user', parts: [{ functionResponse: { name: 'find', response: { id: 'own' } } }] },
    ],
  };
  assert.deepEqual(textsOf(body), [
    'system: rules',
    'user: question',
    'reasoning: hm',
    'toolCall: find',
    'toolCall: own',
    'toolResult: find',
    'toolResult: own',
  ]);
});

test('lists of texts: embeddings, rerankings and completions', () => {
  assert.deepEqual(textsOf({ model: 'm', input: ['one', 'two'] }), ['user: one', 'user: two']);
  assert.deepEqual(textsOf({ query: 'q', documents: ['d', { text: 'e' }] }), ['user: q', 'user: d', 'user: e']);
  assert.deepEqual(textsOf({ inputs: 'text' }), ['user: text']);
  assert.deepEqual(textsOf({ requests: [{ model: 'm', content: { parts: [{ text: 'one' }] } }] }), ['user: one']);
});

for (const body of ['{"prompt":[1]}', '{"input":[[1,2],[3]]}', '{"prompt":["a",2]}']) {
  test(`tokens in place of text are noticed: ${body}`, () => {
    const texts = new RequestTexts();
    texts.read(Buffer.from(body)).next();
    assert.equal(texts.hasTokens, true);
  });
}

for (const body of ['{"a":"b"', '{"a" "b"}', '["a",]']) {
  test(`a body that is not JSON is noticed: ${body}`, () => {
    assert.equal(new RequestTexts().read(Buffer.from(body)).next().value, false);
  });
}
