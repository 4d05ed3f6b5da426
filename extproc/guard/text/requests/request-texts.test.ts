import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unitsOf } from '../string-units.ts';
import { RequestTexts } from './request-texts.ts';

/** As long as the shortest signatures. */
const SIGNATURE = 'AbCd+/09'.repeat(8);

/** Returns the texts of a body by their scope; signed ones and JSON are marked. */
function textsOf(body: object): readonly string[] {
  const bytes = Buffer.from(JSON.stringify(body));
  const texts = new RequestTexts();
  assert.equal(texts.read(bytes).next().value, true);
  const found = Array.from({ length: texts.count }, (_, place) => texts.textAt(place));
  return found
    .filter((text) => text !== undefined)
    .map(({ use: { scope, form, isSigned }, kind, start, end }) => {
      const marks = `${form === 'json' ? ' json' : ''}${isSigned ? ' signed' : ''}${kind === 'string' ? '' : ` ${kind}`}`;
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
    'user key: hidden',
    'user key: deep',
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

test('images in data URLs are no text, and whatever else a URL has is', () => {
  const payload = 'AbCd+/09'.repeat(20);
  const urlsOf = (url: string) =>
    textsOf({
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
      input: [{ role: 'user', content: [{ type: 'input_image', image_url: url }] }],
    });
  for (const type of ['image/png', 'image/svg+xml', 'audio/mp3']) {
    assert.deepEqual(urlsOf(`data:${type};base64,${payload}==`), []);
  }
  for (const url of [
    `data:image/png;base64,${payload}.`,
    `data:image/png;base64,${payload}===`,
    `data:image/png;base64,a=${payload}`,
    `data:image/png;base64,4111-1111-1111-1111${payload}`,
    `data:image/4111-1111-1111-1111;base64,${payload}`,
    `data:image/png;to=jane@example.com;base64,${payload}`,
    `data:image/png,${payload}`,
    'data:image/png;base64,4111111111111111',
    `https://example.com/${payload}`,
  ]) {
    assert.deepEqual(urlsOf(url), [`user: ${url}`, `user: ${url}`]);
  }
  const [escaped] = [`{"messages":[{"content":[{"image_url":{"url":"data:image\\/png;base64,`];
  for (const [data, count] of [
    ['AbCd+\\/09'.repeat(20), 0],
    [`jane\\u0040example${payload}`, 1],
  ] as const) {
    const texts = new RequestTexts();
    assert.equal(texts.read(Buffer.from(`${escaped}${data}"}}]}]}`)).next().value, true);
    const found = Array.from({ length: texts.count }, (_, place) => texts.textAt(place));
    assert.equal(found.filter((text) => text !== undefined).length, count);
  }
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
          { thinking: 'thoughts', signature: SIGNATURE, type: 'thinking' },
          { type: 'redacted_thinking', data: SIGNATURE },
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
    'toolCall key: list',
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
      { type: 'reasoning', id: 'r1', summary: [{ type: 'summary_text', text: 'sum' }], encrypted_content: SIGNATURE },
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
          { functionCall: { name: 'find', args: { id: 'own' } }, thoughtSignature: SIGNATURE },
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

test('identifiers are text where no schema has one', () => {
  const id = '4111 1111 1111 1111';
  assert.deepEqual(textsOf({ metadata: { id, model: id } }), [`user: ${id}`, `user: ${id}`]);
  assert.deepEqual(textsOf({ messages: [{ role: 'user', extra: { name: id, status: id } }] }), [
    'user key: extra',
    `user: ${id}`,
    `user: ${id}`,
  ]);
  const input = { id, item: { type: id }, type: 'object' };
  assert.deepEqual(textsOf({ messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 't', input }] }] }), [
    `toolCall: ${id}`,
    'toolCall key: item',
    `toolCall: ${id}`,
  ]);
  assert.deepEqual(textsOf({ input: [{ type: 'custom_tool_call', id: 'i', input: { call_id: id } }] }), [
    `toolCall: ${id}`,
  ]);
});

test('keys and numbers are text, except for those of the APIs', () => {
  const message = { role: 'user', content: [{ type: 'text', text: 'question' }] };
  const card = 4111111111111111;
  const body = { temperature: 0.5, seed: card, messages: [message], [card]: { seed: card }, list: [[card]] };
  assert.deepEqual(textsOf(body), [
    'user: question',
    `user key: ${card}`,
    `user number: ${card}`,
    'user key: list',
    `user number: ${card}`,
  ]);
  const args = { card, on: true, none: null };
  assert.deepEqual(textsOf({ contents: [{ role: 'model', parts: [{ functionCall: { name: 'pay', args } }] }] }), [
    'toolCall: pay',
    'toolCall key: card',
    `toolCall number: ${card}`,
    'toolCall key: on',
    'toolCall key: none',
  ]);
});

test('a number that no reader takes is a fault', () => {
  const texts = new RequestTexts();
  texts.read(Buffer.from(`{"a":${'1'.repeat(2000)}}`)).next();
  assert.equal(texts.hasTooMany, true);
});

test('names that JavaScript objects have are names like others', () => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    const body = JSON.parse(`{"messages":[{"role":"${name}","type":"${name}","${name}":["a"]}],"${name}":{"b":"c"}}`);
    assert.deepEqual(textsOf(body), [`user key: ${name}`, 'user: a', `user key: ${name}`, 'user key: b', 'user: c']);
  }
});

test('signatures and what they cover cannot be changed, in every API', () => {
  const signed = [
    { contents: [{ role: 'model', parts: [{ text: 'hm', thought: true, thoughtSignature: SIGNATURE }] }] },
    {
      messages: [
        { role: 'assistant', reasoning_details: [{ type: 'reasoning.text', text: 'hm', signature: SIGNATURE }] },
      ],
    },
    { messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: SIGNATURE }] }] },
    {
      messages: [
        {
          role: 'assistant',
          content: 'yes',
          thinking_blocks: [{ type: 'thinking', thinking: 'hm', signature: SIGNATURE }],
        },
      ],
    },
  ];
  for (const body of signed) {
    assert.deepEqual(
      textsOf(body).filter((text) => text !== 'assistant: yes'),
      ['reasoning signed: hm'],
    );
  }
  const sealed = [
    { messages: [{ role: 'assistant', reasoning_details: [{ type: 'reasoning.encrypted', data: 'jane@a.com' }] }] },
    { messages: [{ role: 'assistant', content: [{ type: 'redacted_thinking', data: 'jane@a.com' }] }] },
    { input: [{ type: 'reasoning', encrypted_content: 'jane@a.com' }] },
    { contents: [{ role: 'model', parts: [{ thoughtSignature: 'jane@a.com' }] }] },
  ];
  for (const body of sealed) {
    assert.deepEqual(textsOf(body), ['reasoning signed: jane@a.com']);
    assert.deepEqual(textsOf(JSON.parse(JSON.stringify(body).replace('jane@a.com', SIGNATURE))), []);
  }
});

test('an answer and a call of Gemini beside a signature of its thoughts can be changed', () => {
  const part = { text: 'answer', thoughtSignature: SIGNATURE };
  assert.deepEqual(textsOf({ contents: [{ role: 'model', parts: [part] }] }), ['assistant: answer']);
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
