import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ConversionCase, type ConvertedCase, convertedCase, convertedDocument } from '../testing.ts';

const CLAUDE = 'anthropic.claude-sonnet-4-5-20250929-v1:0';
const NOVA = 'amazon.nova-lite-v1:0';
const user = { role: 'user', content: 'Hi' };
const bases: Readonly<Record<string, object>> = {
  chat: { model: 'm', messages: [user] },
  messages: { model: 'm', max_tokens: 3000, messages: [user] },
};

function made(client: string, more: object, rest: Partial<ConversionCase> = {}): ConvertedCase | string {
  const body = JSON.stringify({ ...bases[client], ...more });
  return convertedCase({ client, providerApi: 'AWSBedrock', model: CLAUDE, body, ...rest });
}

function converted(client: string, more: object, rest?: Partial<ConversionCase>): ConvertedCase {
  const result = made(client, more, rest);
  assert.ok(typeof result !== 'string', String(result));
  return result;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
const bodyOf = (client: string, more: object, rest?: Partial<ConversionCase>): any =>
  JSON.parse(converted(client, more, rest).body);

const parts = (...content: readonly object[]) => ({ messages: [{ role: 'user', content }] });
const chatTool = { type: 'function', function: { name: 'a' } };

/** Requests with a field that Converse does not have, and the name of that field. */
const unsupported: readonly (readonly [client: string, field: string, more: object, model?: string])[] = [
  ['chat', 'n', { n: 2 }],
  ['chat', 'seed', { seed: 7 }],
  ['chat', 'logit_bias', { logit_bias: { 5: 1 } }],
  ['chat', 'logprobs', { logprobs: true }],
  ['chat', 'frequency_penalty', { frequency_penalty: 0.5 }],
  ['chat', 'presence_penalty', { presence_penalty: -1 }],
  ['chat', 'temperature', { temperature: 1.5 }],
  ['chat', 'temperature', { temperature: 0.5, reasoning_effort: 'high' }],
  ['chat', 'top_k', { top_k: 5 }, 'meta.llama3-1-70b-instruct-v1:0'],
  ['chat', 'stop', { stop: ['\n'] }],
  ['chat', 'response_format', { response_format: { type: 'json_object' } }],
  ['chat', 'parallel_tool_calls', { tools: [chatTool], parallel_tool_calls: false }, NOVA],
  ['chat', 'parallel_tool_calls', { tools: [chatTool], parallel_tool_calls: false, tool_choice: 'required' }],
  ['chat', 'messages[0].content[0]', parts({ type: 'image_url', image_url: { url: 'https://example.com/a.png' } })],
  ['chat', 'messages[0].content[0]', parts({ type: 'image_url', image_url: { url: 'data:image/tiff;base64,AA==' } })],
  ['chat', 'messages[0].content[0]', parts({ type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } })],
  ['chat', 'messages[0].content[0]', parts({ type: 'file', file: { file_data: 'data:video/mp4;base64,AA==' } })],
];

describe('a request for Bedrock', () => {
  for (const [client, field, more, model = CLAUDE] of unsupported) {
    it(`is refused, or loses ${field}: ${JSON.stringify(more).slice(0, 60)}`, () => {
      const refused = made(client, more, { model });
      assert.ok(typeof refused === 'string');
      assert.ok(refused.startsWith(`\`${field}\` cannot be converted for the AWSBedrock API`), refused);
      assert.deepEqual(converted(client, more, { model, drops: true }).dropped, [field]);
    });
  }

  it('names the model in its path, one segment in any case', () => {
    const pathOf = (model: string, stream: boolean) => converted('chat', { stream }, { model }).path;
    assert.equal(pathOf('eu.a:0', false), '/model/eu.a%3A0/converse');
    assert.equal(
      pathOf('arn:aws:bedrock:eu:1:x/y', true),
      '/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ax%2Fy/converse-stream',
    );
    assert.equal(pathOf('a?b#c', false), '/model/a%3Fb%23c/converse');
    assert.equal(pathOf('a\ud800', false), '/model/a%EF%BF%BD/converse');
    for (const step of ['..', '.']) {
      assert.equal(pathOf(step, false), '/model/unknown/converse');
    }
  });

  it('has the smaller of the bounds on output', () => {
    const boundOf = (more: object, bound?: number) =>
      bodyOf('chat', more, { bound: bound! }).inferenceConfig?.maxTokens;
    assert.equal(boundOf({ max_tokens: 50 }), 50);
    assert.equal(boundOf({ max_tokens: 50 }, 20), 20);
    assert.equal(boundOf({}, 20), 20);
    assert.equal(boundOf({}), undefined);
  });

  it('asks Claude to think, within the bound on output', () => {
    const fieldsOf = (model: string, bound?: number) => {
      const body = bodyOf('chat', { reasoning_effort: 'high' }, { model, bound: bound! });
      return [body.additionalModelRequestFields, body.outputConfig, body.inferenceConfig];
    };
    const enabled = (tokens: number) => ({ thinking: { type: 'enabled', budget_tokens: tokens } });
    assert.deepEqual(fieldsOf(CLAUDE), [enabled(8_192), undefined, { maxTokens: 16_384 }]);
    assert.deepEqual(fieldsOf(CLAUDE, 4_000), [enabled(2_000), undefined, { maxTokens: 4_000 }]);
    const adaptive = [{ thinking: { type: 'adaptive' } }, { effort: 'high' }, { maxTokens: 16_384 }];
    assert.deepEqual(fieldsOf('us.anthropic.claude-opus-5-v1:0'), adaptive);
    assert.deepEqual(fieldsOf(NOVA), [undefined, undefined, undefined]);
    assert.deepEqual(converted('chat', { reasoning_effort: 'high' }, { model: NOVA }).dropped, ['reasoning_effort']);
  });

  it('has top_k where the model family has it', () => {
    const fieldsOf = (model: string) => bodyOf('chat', { top_k: 5 }, { model }).additionalModelRequestFields;
    assert.deepEqual(fieldsOf(CLAUDE), { top_k: 5 });
    assert.deepEqual(fieldsOf(NOVA), { inferenceConfig: { topK: 5 } });
  });

  it('has at most four cache points, and none for models without caches', () => {
    const cache_control = { type: 'ephemeral', ttl: '1h' };
    const content = Array.from({ length: 5 }, (_, index) => ({ type: 'text', text: `${index}`, cache_control }));
    const pointsOf = (model: string) => {
      const result = converted('chat', parts(...content), { model });
      const points = JSON.parse(result.body).messages[0].content.filter((block: object) => 'cachePoint' in block);
      return [points.length, points[0]?.cachePoint, result.dropped];
    };
    const field = 'prompt_cache_key';
    assert.deepEqual(pointsOf(CLAUDE), [4, { type: 'default', ttl: '1h' }, [field]]);
    assert.deepEqual(pointsOf(NOVA), [4, { type: 'default' }, [field]]);
    assert.deepEqual(pointsOf('meta.llama3'), [0, undefined, [field]]);
  });

  it('has no cache point where Bedrock refuses one', () => {
    const cache_control = { type: 'ephemeral' };
    const csv = { type: 'file', file: { file_data: 'data:text/csv;base64,YQ==' } };
    const text = { type: 'text', text: 'a' };
    const kindsOf = (more: object) =>
      bodyOf('chat', more).messages[0].content.map((block: object) => Object.keys(block)[0]);
    assert.deepEqual(kindsOf(parts({ ...csv, cache_control }, text)), ['document', 'text']);
    assert.deepEqual(kindsOf({ ...parts(text, csv), prompt_cache_key: 'k' }), ['text', 'cachePoint', 'document']);
    assert.deepEqual(kindsOf({ ...parts(csv), prompt_cache_key: 'k' }), ['document']);
    const marked = { ...text, cache_control };
    assert.deepEqual(kindsOf({ ...parts(marked), prompt_cache_key: 'k' }), ['text', 'cachePoint']);
    const tool = { name: 'a', input_schema: {}, cache_control };
    assert.equal(bodyOf('messages', { tools: [tool] }, { model: NOVA }).toolConfig.tools.length, 1);
  });

  it('has no long lifetime of a cache after a short one', () => {
    const block = (ttl: string) => ({ type: 'text', text: 'a', cache_control: { type: 'ephemeral', ttl } });
    const lifetimes = (...ttls: readonly string[]) =>
      bodyOf('chat', parts(...ttls.map(block)))
        .messages[0].content.filter((each: object) => 'cachePoint' in each)
        .map((each: { cachePoint: { ttl?: string } }) => each.cachePoint.ttl);
    assert.deepEqual(lifetimes('1h', '5m'), ['1h', undefined]);
    assert.deepEqual(lifetimes('5m', '1h'), [undefined, undefined]);
  });

  it('asks Claude for one call at a time', () => {
    const more = { tools: [chatTool], parallel_tool_calls: false };
    const fieldsOf = (model: string) => bodyOf('chat', more, { model }).additionalModelRequestFields;
    const asked = { tool_choice: { type: 'auto', disable_parallel_tool_use: true } };
    assert.deepEqual(fieldsOf(CLAUDE), asked);
    assert.deepEqual(fieldsOf('anthropic.claude-opus-5-v1:0'), asked);
    for (const model of ['anthropic.claude-3-5-sonnet-20240620-v1:0', 'anthropic.claude-sonnet-4-20250514-v1:0']) {
      assert.match(String(made('chat', more, { model })), /^`parallel_tool_calls` cannot be converted/);
    }
  });

  it('defines the tools that were called where the client names none', () => {
    const tool_calls = ['b', 'a', 'b'].map((name, index) => ({ id: `${index}`, type: 'function', function: { name } }));
    const { toolConfig } = bodyOf('chat', { messages: [user, { role: 'assistant', tool_calls }] });
    assert.deepEqual(
      toolConfig.tools.map(({ toolSpec }: { toolSpec: object }) => toolSpec),
      ['b', 'a'].map((name) => ({ name, inputSchema: { json: { type: 'object' } } })),
    );
  });

  it('leaves the tools out where none may be called, unless the conversation has calls', () => {
    const more = { tools: [chatTool], tool_choice: 'none' };
    assert.equal(bodyOf('chat', more).toolConfig, undefined);
    const tool_calls = [{ id: 'c', type: 'function', function: { name: 'a', arguments: '{}' } }];
    const messages = [user, { role: 'assistant', tool_calls }, { role: 'tool', tool_call_id: 'c', content: 'b' }];
    assert.match(String(made('chat', { ...more, messages })), /^`tool_choice` cannot be converted/);
    assert.equal(bodyOf('chat', { ...more, messages }, { drops: true }).toolConfig.tools.length, 1);
  });

  it('shortens ids of calls to what the API allows, the same for call and result', () => {
    const id = `${'c'.repeat(70)}:1`;
    const content = [{ type: 'tool_use', id, name: 'a', input: {} }];
    const result = [{ type: 'tool_result', tool_use_id: id, content: 'b' }];
    const body = bodyOf('messages', {
      messages: [user, { role: 'assistant', content }, { role: 'user', content: result }],
    });
    const called = body.messages[1].content[0].toolUse.toolUseId;
    assert.match(called, /^[\w-]{64}$/);
    assert.equal(body.messages[2].content[0].toolResult.toolUseId, called);
  });
});

describe('an answer of Bedrock that the client sends back', () => {
  const content = [
    { reasoningContent: { reasoningText: { text: 'They ask.', signature: 'c2ln' } } },
    { reasoningContent: { redactedContent: 'cmVk' } },
    { text: 'I will look.' },
    { toolUse: { toolUseId: 'tooluse_1', name: 'weather', input: { location: 'Bern' } } },
    { toolUse: { toolUseId: 'tooluse_2', name: 'time', input: {} } },
  ];
  const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
  const answer = { output: { message: { role: 'assistant', content } }, stopReason: 'tool_use', usage };

  for (const client of ['chat', 'messages']) {
    it(`loses nothing by way of ${client}`, () => {
      const document = convertedDocument(converted(client, {}).newAdapter(), Buffer.from(JSON.stringify(answer)));
      const read = JSON.parse(document);
      const message = client === 'chat' ? read.choices[0].message : { role: 'assistant', content: read.content };
      const body = bodyOf(client, { messages: [user, message] });
      assert.deepEqual(body.messages[1], { role: 'assistant', content });
    });
  }
});
