/**
 * The official clients of one provider's API, unmodified, in front of a backend that speaks
 * another one. The clients must not notice the conversion.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { PROVIDER_KEY, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { wordsOf } from './support/words.ts';
import { CLAUDE, MODEL, startWorld, type World } from './support/world.ts';

let world: World;
let openai: OpenAI;
let anthropic: Anthropic;

before(async () => {
  const extra = route('dropping', [
    {
      name: 'lenient',
      models: ['lenient'],
      backendRefs: [{ name: 'anthropic', model: CLAUDE }],
      more: { unsupported: 'Drop' },
    },
    { name: 'metered', models: ['metered'], backendRefs: [{ name: 'anthropic', model: CLAUDE }] },
  ]);
  world = await startWorld([extra, quotaPolicy('few', 'dropping', [teamQuota('few', 'OutputTokens', 40)])]);
  openai = openaiClient(world.gateway.url);
  anthropic = anthropicClient(world.gateway.url);
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

function lastSeen() {
  const seen = world.provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

const schema = { type: 'object' as const, properties: { location: { type: 'string' } }, required: ['location'] };

describe('the OpenAI client before an Anthropic backend', () => {
  const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: schema } }];

  it('receives a unary response, counted by the usage of the provider', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      openai.chat.completions.create({ model: CLAUDE, messages: say('Hello') }, mock({ tokens: 12 })),
    );
    assert.equal(result.choices[0]?.message.content, wordsOf(12));
    assert.equal(result.choices[0]?.finish_reason, 'stop');
    assert.equal(result.usage?.completion_tokens, 12);
    assert.equal(result.usage?.prompt_tokens, lastSeen().inputTokens);
    assert.equal(record.outputTokens, 12);
    assert.equal(record.source, 'provider');
    assert.match(record.line, /"convertedTo":"Anthropic"/);
    const { path, headers, body } = lastSeen();
    assert.equal(path, '/v1/messages');
    assert.equal(headers['x-api-key'], PROVIDER_KEY);
    assert.equal(headers['anthropic-version'], '2023-06-01');
    assert.equal(JSON.parse(body).max_tokens, 64_000);
  });

  it('receives a stream with its usage', async () => {
    const stream = await openai.chat.completions.create(
      { model: CLAUDE, messages: say('Hello'), stream: true, stream_options: { include_usage: true } },
      mock({ tokens: 30, paceMs: 1 }),
    );
    const chunks = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), wordsOf(30));
    assert.equal(chunks.at(-1)?.usage?.completion_tokens, 30);
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
  });

  it('receives unary and streamed tool calls', async () => {
    const request = { model: CLAUDE, messages: say('The weather in Reykjavik?'), tools };
    const plain = await openai.chat.completions.create(request, mock({ tool: true, tokens: 5 }));
    const final = await openai.chat.completions.stream(request, mock({ tool: true, tokens: 5 })).finalChatCompletion();
    for (const { choices } of [plain, final]) {
      const [call] = choices[0]?.message.tool_calls ?? [];
      const called = call?.type === 'function' ? call.function : undefined;
      assert.equal(called?.name, 'weather');
      assert.deepEqual(JSON.parse(called?.arguments ?? ''), { location: wordsOf(5) });
      assert.equal(choices[0]?.finish_reason, 'tool_calls');
    }
  });

  for (const [status, type, seen] of [
    [400, OpenAI.BadRequestError, 400],
    [429, OpenAI.RateLimitError, 429],
    [500, OpenAI.InternalServerError, 500],
    [529, OpenAI.InternalServerError, 503],
  ] as const) {
    it(`receives the provider's ${status} as ${type.name}`, async () => {
      const error = await errorOf(
        openai.chat.completions.create(
          { model: CLAUDE, messages: say('Hello') },
          mock({ status, headers: { 'retry-after': '7' } }),
        ),
      );
      assert.ok(error instanceof type, String(error));
      assert.equal(error.status, seen);
      assert.match(error.message, new RegExp(`mock provider error ${status}`));
      assert.equal(error.headers?.get('retry-after'), '7');
    });
  }

  it('receives a 400 that names the field which cannot be converted', async () => {
    const error = await errorOf(
      openai.chat.completions.create({ model: CLAUDE, messages: say('Hello'), logit_bias: { 1: 2 } }),
    );
    assert.ok(error instanceof OpenAI.BadRequestError, String(error));
    assert.equal(error.code, 'unsupported_field');
    assert.equal(error.param, 'logit_bias');
    assert.equal(world.provider.seen.length, 0);
  });

  it('is told which fields were dropped where the rule says so', async () => {
    const { response } = await openai.chat.completions
      .create(
        { model: 'lenient', messages: say('Hello'), seed: 7, logit_bias: { 1: 2 } },
        mock({ tokens: 3 }, { 'x-team': 'blue' }),
      )
      .withResponse();
    assert.equal(response.headers.get('x-tallygate-dropped'), 'seed, logit_bias');
  });

  it('receives a stream that ends at the end of a budget', async () => {
    const stream = await openai.chat.completions.create(
      { model: 'metered', messages: say('Hello'), stream: true },
      mock({ tokens: 2_000, paceMs: 1 }, { 'x-team': 'red' }),
    );
    const chunks = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');
  });

  it('receives an error where the provider breaks its stream off', async () => {
    const error = await errorOf(
      openai.chat.completions
        .stream(
          { model: CLAUDE, messages: say('Hello') },
          mock({ tokens: 50, fail: { when: 'in', how: 'close', chunks: 5 } }),
        )
        .finalContent(),
    );
    assert.ok(error instanceof Error);
  });
});

describe('the OpenAI client of responses before an Anthropic backend', () => {
  const base = { model: CLAUDE, input: 'Hello' };
  const tools = [{ type: 'function' as const, name: 'weather', parameters: schema, strict: false }];

  it('receives a unary response, counted by the usage of the provider', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      openai.responses.create({ ...base, instructions: 'Be brief.' }, mock({ tokens: 12 })),
    );
    assert.deepEqual([result.output_text, result.status], [wordsOf(12), 'completed']);
    assert.equal(result.usage?.output_tokens, 12);
    assert.equal(result.usage?.input_tokens, lastSeen().inputTokens);
    assert.deepEqual([record.outputTokens, record.source], [12, 'provider']);
    assert.match(record.line, /"convertedTo":"Anthropic"/);
    assert.equal(JSON.parse(lastSeen().body).system, 'Be brief.');
  });

  it('parses the arguments of a tool call', async () => {
    const strict = tools.map((tool) => ({ ...tool, strict: true }));
    const parsed = await openai.responses.parse({ ...base, tools: strict }, mock({ tool: true, tokens: 5 }));
    const call = parsed.output.find((item) => item.type === 'function_call');
    assert.deepEqual(call?.parsed_arguments, { location: wordsOf(5) });
  });

  it('receives a stream with its usage, and a tool call whose result it sends back', async () => {
    const text = await openai.responses.stream(base, mock({ tokens: 30, paceMs: 1 })).finalResponse();
    assert.equal(text.output_text, wordsOf(30));
    assert.equal(text.usage?.output_tokens, 30);
    const asked = { ...base, tools };
    const called = await openai.responses.stream(asked, mock({ tool: true, tokens: 5 })).finalResponse();
    const call = called.output.find((item) => item.type === 'function_call');
    assert.deepEqual([call?.name, JSON.parse(call?.arguments ?? '')], ['weather', { location: wordsOf(5) }]);
    const result = { type: 'function_call_output' as const, call_id: call!.call_id, output: 'Sunny' };
    const user = { role: 'user' as const, content: 'The weather?' };
    const input = [user, ...called.output, result] as OpenAI.Responses.ResponseInput;
    await openai.responses.create({ ...asked, input }, mock({ tokens: 3 }));
    const { messages } = JSON.parse(lastSeen().body);
    const blocks = messages.slice(1).map(({ content }: { content: { type: string }[] }) => content.at(-1)?.type);
    assert.deepEqual(blocks, ['tool_use', 'tool_result']);
  });

  it('receives an incomplete response at the end of a budget', async () => {
    const stream = await openai.responses.create(
      { ...base, model: 'metered', stream: true },
      mock({ tokens: 2_000, paceMs: 1 }, { 'x-team': 'green' }),
    );
    const events = [];
    for await (const event of stream) {
      events.push(event);
    }
    const last = events.at(-1);
    assert.ok(last?.type === 'response.incomplete', last?.type);
    assert.equal(last.response.incomplete_details?.reason, 'max_output_tokens');
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      [...events.keys()],
    );
  });

  it('receives errors as exceptions, before and within a stream', async () => {
    const refused = await errorOf(openai.responses.create({ ...base, previous_response_id: 'resp_1' }));
    assert.ok(refused instanceof OpenAI.BadRequestError, String(refused));
    assert.deepEqual([refused.code, refused.param], ['unsupported_field', 'previous_response_id']);
    const broken = mock({ tokens: 50, fail: { when: 'in', how: 'close', chunks: 5 } });
    assert.ok((await errorOf(openai.responses.stream(base, broken).finalResponse())) instanceof Error);
  });
});

describe('the Anthropic client before an OpenAI backend', () => {
  const tools = [{ name: 'weather', input_schema: schema }];
  const base = { model: MODEL, max_tokens: 500, messages: say('Hello') };

  it('receives a unary response, counted by the usage of the provider', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      anthropic.messages.create(base, mock({ tokens: 12 })),
    );
    assert.deepEqual(
      result.content.map((block) => block.type === 'text' && block.text),
      [wordsOf(12)],
    );
    assert.equal(result.stop_reason, 'end_turn');
    assert.equal(result.usage.output_tokens, 12);
    assert.equal(record.outputTokens, 12);
    assert.equal(record.source, 'provider');
    const { path, headers, body } = lastSeen();
    assert.equal(path, '/v1/chat/completions');
    assert.equal(headers['authorization'], `Bearer ${PROVIDER_KEY}`);
    assert.equal(headers['anthropic-version'], undefined);
    assert.equal(JSON.parse(body).max_completion_tokens, 500);
  });

  it('receives a stream with its usage', async () => {
    const final = await anthropic.messages.stream(base, mock({ tokens: 30, paceMs: 1 })).finalMessage();
    assert.deepEqual(
      final.content.map((block) => block.type === 'text' && block.text),
      [wordsOf(30)],
    );
    assert.equal(final.usage.output_tokens, 30);
    assert.equal(final.usage.input_tokens, lastSeen().inputTokens);
  });

  it('receives unary and streamed tool calls', async () => {
    const request = { ...base, tools };
    const plain = await anthropic.messages.create(request, mock({ tool: true, tokens: 5 }));
    const final = await anthropic.messages.stream(request, mock({ tool: true, tokens: 5 })).finalMessage();
    for (const { content, stop_reason: reason } of [plain, final]) {
      const call = content.find((block) => block.type === 'tool_use');
      assert.equal(call?.name, 'weather');
      assert.deepEqual(call?.input, { location: wordsOf(5) });
      assert.equal(reason, 'tool_use');
    }
  });

  for (const [status, type, seen] of [
    [400, Anthropic.BadRequestError, 400],
    [429, Anthropic.RateLimitError, 429],
    [500, Anthropic.InternalServerError, 500],
    [503, Anthropic.InternalServerError, 529],
  ] as const) {
    it(`receives the provider's ${status} as ${type.name}`, async () => {
      const error = await errorOf(anthropic.messages.create(base, mock({ status })));
      assert.ok(error instanceof type, String(error));
      assert.equal(error.status, seen);
    });
  }

  it('receives a count of tokens that the gateway has made', async () => {
    const { data, response } = await anthropic.messages
      .countTokens({ model: MODEL, messages: say('Hello there, how are you?') })
      .withResponse();
    assert.ok(data.input_tokens >= 7 && data.input_tokens < 40, String(data.input_tokens));
    assert.equal(response.headers.get('x-tallygate-estimate'), 'true');
    assert.equal(world.provider.seen.length, 0);
  });
});
