import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { type ConversionCase, type ConvertedCase, convertedCase, convertedDocument } from '../testing.ts';

const user = { role: 'user', content: 'Hi' };

const requests = {
  chat: { model: 'm', messages: [user] },
  messages: { model: 'm', max_tokens: 1000, messages: [user] },
};

function caseOf(client: keyof typeof requests, more: object, options: Partial<ConversionCase> = {}): ConversionCase {
  const body = JSON.stringify({ ...requests[client], ...more });
  return { client, providerApi: 'GoogleGemini', model: 'gemini-2.5-flash', body, ...options };
}

function converted(given: ConversionCase): ConvertedCase {
  const made = convertedCase(given);
  assert.ok(typeof made !== 'string', String(made));
  return made;
}

function bodyOf(given: ConversionCase) {
  return JSON.parse(converted(given).body);
}

describe('what Gemini has no place for', () => {
  const tools = [{ type: 'function', function: { name: 'a', parameters: {} } }];
  const image = (url: string) => ({
    messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
  });
  const cases: readonly (readonly [string, object])[] = [
    ['n', { n: 2 }],
    ['logit_bias', { logit_bias: { 1: 2 } }],
    ['logprobs', { logprobs: true }],
    ['parallel_tool_calls', { tools, parallel_tool_calls: false }],
    ['response_format', { tools, response_format: { type: 'json_object' } }],
    ['stop', { stop: ['a', 'b', 'c', 'd', 'e', 'f'] }],
    ['seed', { seed: 2 ** 40 }],
    ['messages[0].content[0]', image('data:image/gif;base64,R0lGODlh')],
    ['messages[0].content[0]', image('https://example.com/picture')],
    ['messages[0].content[0]', image('gs://private/a.png')],
    ['messages[0].content[0]', image('https://generativelanguage.googleapis.com/v1beta/files/a.png')],
  ];
  for (const [field, more] of cases) {
    it(`is refused by its name, or dropped: ${JSON.stringify(more).slice(0, 80)}`, () => {
      const refused = convertedCase(caseOf('chat', more));
      assert.ok(
        typeof refused === 'string' && refused.startsWith(`\`${field}\` cannot be converted for the GoogleGemini`),
      );
      assert.deepEqual(converted(caseOf('chat', more, { drops: true })).dropped, [field]);
    });
  }

  it('includes a result without its call', () => {
    const messages = [user, { role: 'tool', tool_call_id: 'c', content: '1' }];
    assert.match(String(convertedCase(caseOf('chat', { messages }))), /^`messages` has the result of a tool call/);
  });
});

describe('the path', () => {
  it('has the name of the model as one segment, whatever the client calls it', () => {
    const pathFor = (model: string) => converted(caseOf('chat', {}, { model })).path;
    assert.equal(pathFor('models/gemini-2.5-pro'), '/v1beta/models/gemini-2.5-pro:generateContent');
    assert.equal(pathFor('../files?x=#\ud800'), '/v1beta/models/..%2Ffiles%3Fx%3D%23%EF%BF%BD:generateContent');
    const { path } = converted(caseOf('chat', { stream: true }, { providerApi: 'GCPVertexAI' }));
    assert.equal(path, '/v1/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse');
  });
});

describe('reasoning', () => {
  const thinkingOf = (model: string, more: object, bound?: number) =>
    bodyOf(caseOf('chat', more, { model, ...(bound !== undefined && { bound }) })).generationConfig?.thinkingConfig;

  it('is a budget of Gemini 2.5, within half of the output', () => {
    const effort = (reasoning_effort: string) => ({ reasoning_effort });
    assert.deepEqual(thinkingOf('gemini-2.5-pro', effort('max')), { includeThoughts: true, thinkingBudget: 32_768 });
    assert.deepEqual(thinkingOf('gemini-2.5-flash', effort('max')), { includeThoughts: true, thinkingBudget: 24_576 });
    assert.equal(thinkingOf('gemini-2.5-pro', effort('high'), 2_000).thinkingBudget, 1_000);
    assert.equal(thinkingOf('gemini-2.5-flash-lite', effort('low'), 100).thinkingBudget, 512);
    assert.deepEqual(thinkingOf('gemini-2.5-flash', effort('none')), { thinkingBudget: 0 });
  });

  it('is a level from Gemini 3 on', () => {
    const levels = (model: string) =>
      ['minimal', 'low', 'medium', 'xhigh'].map(
        (effort) => thinkingOf(model, { reasoning_effort: effort }).thinkingLevel,
      );
    assert.deepEqual(levels('gemini-3-flash-preview'), ['minimal', 'low', 'medium', 'high']);
    assert.deepEqual(levels('gemini-3-pro-preview'), ['low', 'low', 'high', 'high']);
    assert.deepEqual(levels('gemini-pro-latest'), ['low', 'low', 'medium', 'high']);
  });

  it('is told as dropped where the model cannot follow', () => {
    const { dropped, hiddenOutput } = converted(
      caseOf('chat', { reasoning_effort: 'none' }, { model: 'gemini-3-pro' }),
    );
    assert.deepEqual([dropped, hiddenOutput], [['reasoning_effort'], true]);
    const older = converted(caseOf('chat', { reasoning_effort: 'high' }, { model: 'gemini-2.0-flash' }));
    assert.deepEqual([older.dropped, older.hiddenOutput], [['reasoning_effort'], false]);
  });
});

describe('a round trip of tool calls', () => {
  const model = 'gemini-3.1-pro';
  const parts = [
    {
      functionCall: { id: 'f1', name: 'weather', args: { location: 'Bern', days: [1, null] } },
      thoughtSignature: 'c2ln',
    },
    { functionCall: { id: 'f2', name: 'time', args: {} } },
  ];
  const answer = { responseId: 'r', candidates: [{ content: { role: 'model', parts }, finishReason: 'STOP' }] };

  it('loses nothing through the OpenAI form', () => {
    const adapter = converted(caseOf('chat', {}, { model })).newAdapter();
    const { choices } = JSON.parse(convertedDocument(adapter, Buffer.from(JSON.stringify(answer))));
    const messages = [user, choices[0].message];
    assert.deepEqual(bodyOf(caseOf('chat', { messages }, { model })).contents[1], { role: 'model', parts });
  });

  it('loses nothing through the Anthropic form', () => {
    const adapter = converted(caseOf('messages', {}, { model })).newAdapter();
    const { content } = JSON.parse(convertedDocument(adapter, Buffer.from(JSON.stringify(answer))));
    const messages = [user, { role: 'assistant', content }];
    assert.deepEqual(bodyOf(caseOf('messages', { messages }, { model })).contents[1], { role: 'model', parts });
  });

  it('keeps signatures of Anthropic away from Gemini', () => {
    const content = [
      { type: 'thinking', thinking: 'Hm', signature: 'anthropic' },
      { type: 'tool_use', id: 'toolu_1', name: 'time', input: {} },
    ];
    const given = caseOf('messages', { messages: [user, { role: 'assistant', content }] }, { model });
    assert.equal(converted(given).body.includes('anthropic'), false);
    assert.deepEqual(converted(given).dropped, ['messages.content.thinking']);
  });
});

describe('a hostile client', () => {
  it('gets a failure or a request, whatever its messages contain', () => {
    const part = fc.record({
      type: fc.constantFrom('text', 'image', 'image_url', 'tool_use', 'tool_result', 'file', 'thinking', 'input_audio'),
    });
    const content = fc.oneof(
      fc.jsonValue(),
      fc.array(fc.tuple(part, fc.jsonValue()).map(([one, more]) => Object.assign({}, more, one))),
    );
    const message = fc.record({
      role: fc.constantFrom('user', 'assistant', 'system', 'tool'),
      content,
      tool_calls: fc.jsonValue(),
    });
    const field = fc.constantFrom('tools', 'tool_choice', 'response_format', 'stop', 'thinking', 'seed', '__proto__');
    fc.assert(
      fc.property(
        fc.constantFrom('chat' as const, 'messages' as const),
        fc.array(message),
        fc.dictionary(field, fc.jsonValue()),
        fc.boolean(),
        (client, messages, more, drops) => {
          const made = convertedCase(caseOf(client, { ...more, messages }, { drops }));
          assert.ok(typeof made === 'string' || JSON.parse(made.body));
        },
      ),
      fuzzRuns(500),
    );
  });
});
