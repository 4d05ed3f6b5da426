/** The official clients of OpenAI and Anthropic, unmodified, in front of Amazon Bedrock. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, PROVIDER_KEY, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';

const MODEL = 'eu.anthropic.claude-mock:0';

let provider: Provider;
let gateway: Gateway;
let openai: OpenAI;
let anthropic: Anthropic;

before(async () => {
  provider = await startProvider();
  const models = [{ name: MODEL, maxOutputTokens: 4_096 }];
  const backendRefs = [{ name: 'bedrock', model: MODEL }];
  gateway = await startGateway([
    backend('bedrock', { schema: 'AWSBedrock', port: provider.port, models }),
    route('chat', [{ name: 'plain', models: ['claude'], backendRefs }]),
    route('few', [{ name: 'metered', models: ['metered'], backendRefs }]),
    quotaPolicy('few', 'few', [teamQuota('few', 'OutputTokens', 40)]),
  ]);
  openai = openaiClient(gateway.url);
  anthropic = anthropicClient(gateway.url);
});
after(async () => {
  await provider?.stop();
  await gateway?.stop();
});
beforeEach(() => provider.forget());

function lastSeen() {
  const seen = provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

const schema = { type: 'object' as const, properties: { location: { type: 'string' } }, required: ['location'] };

describe('the OpenAI client before Bedrock', () => {
  const base = { model: 'claude', messages: say('Hello') };
  const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: schema } }];

  it('receives a unary response, counted by the usage of the provider', async () => {
    const { result, record } = await gateway.recordOf(() => openai.chat.completions.create(base, mock({ tokens: 12 })));
    assert.equal(result.choices[0]?.message.content, wordsOf(12));
    assert.deepEqual(
      [result.usage?.completion_tokens, result.usage?.prompt_tokens, record.outputTokens, record.source],
      [12, lastSeen().inputTokens, 12, 'provider'],
    );
    assert.match(record.line, /"convertedTo":"AWSBedrock"/);
    assert.equal(result.id, `chatcmpl-${lastSeen().headers['x-request-id']}`);
    const { path, headers } = lastSeen();
    assert.equal(path, `/model/${encodeURIComponent(MODEL)}/converse`);
    assert.equal(headers['authorization'], `Bearer ${PROVIDER_KEY}`);
    assert.equal(headers['content-type'], 'application/json');
  });

  it('receives a stream with its usage', async () => {
    const { result, record } = await gateway.recordOf(async () => {
      const stream = await openai.chat.completions.create(
        { ...base, stream: true, stream_options: { include_usage: true } },
        mock({ tokens: 30, paceMs: 1 }),
      );
      return Array.fromAsync(stream);
    });
    assert.equal(result.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), wordsOf(30));
    assert.equal(result.at(-1)?.usage?.completion_tokens, 30);
    assert.deepEqual([record.outputTokens, record.source], [30, 'provider']);
    assert.deepEqual(new Set(result.map(({ id }) => id)), new Set([`chatcmpl-${lastSeen().headers['x-request-id']}`]));
    assert.equal(lastSeen().path, `/model/${encodeURIComponent(MODEL)}/converse-stream`);
  });

  it('receives unary and streamed tool calls', async () => {
    const request = { ...base, tools };
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

  it("receives the provider's error with its type as the code", async () => {
    const headers = { 'x-amzn-errortype': 'ThrottlingException:http://example.com/', 'retry-after': '7' };
    const error = await errorOf(openai.chat.completions.create(base, mock({ status: 429, headers })));
    assert.ok(error instanceof OpenAI.RateLimitError, String(error));
    assert.equal(error.code, 'ThrottlingException');
    assert.match(error.message, /mock provider error 429/);
    assert.equal(error.headers.get('retry-after'), '7');
    assert.equal(error.headers.get('x-amzn-errortype'), null);
  });

  it('receives a stream that ends at the end of a budget, and the provider stops', async () => {
    const stream = await openai.chat.completions.create(
      { ...base, model: 'metered', stream: true },
      mock({ tokens: 2_000, paceMs: 1, keepsBounds: false }, { 'x-team': 'red' }),
    );
    const chunks = await Array.fromAsync(stream);
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');
    await waitFor('the provider to stop', () => lastSeen().abortedAtMs !== undefined);
    assert.ok(lastSeen().outputTokens < 1_000);
  });

  it('stops the provider by leaving a stream, and what has arrived is charged', async () => {
    const { record } = await gateway.recordOf(async () => {
      const stream = await openai.chat.completions.create(
        { ...base, stream: true },
        mock({ tokens: 2_000, paceMs: 2 }),
      );
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta.content) {
          break;
        }
      }
      await waitFor('the provider to stop', () => lastSeen().abortedAtMs !== undefined);
    });
    assert.equal(record.source, 'estimated');
    assert.ok((record.outputTokens ?? 0) > 0 && (record.outputTokens ?? 0) < 1_000, String(record.outputTokens));
  });

  it('receives an error where the provider breaks its stream off', async () => {
    const fail = { when: 'in', how: 'close', chunks: 5 } as const;
    const { result, record } = await gateway.recordOf(() =>
      errorOf(openai.chat.completions.stream(base, mock({ tokens: 50, fail })).finalContent()),
    );
    assert.ok(result instanceof Error);
    assert.equal(record.source, 'estimated');
    const counted = record.outputTokens ?? 0;
    assert.ok(counted >= 5 && counted < 50, String(counted));
  });
});

describe('the Anthropic client before Bedrock', () => {
  const base = { model: 'claude', max_tokens: 500, messages: say('Hello') };
  const tools = [{ name: 'weather', input_schema: schema }];

  it('receives a unary response and a stream, counted by the usage of the provider', async () => {
    const plain = await gateway.recordOf(() => anthropic.messages.create(base, mock({ tokens: 12 })));
    const streamed = await gateway.recordOf(() =>
      anthropic.messages.stream(base, mock({ tokens: 12, paceMs: 1 })).finalMessage(),
    );
    for (const { result, record } of [plain, streamed]) {
      assert.deepEqual(
        result.content.map((block) => block.type === 'text' && block.text),
        [wordsOf(12)],
      );
      assert.equal(result.stop_reason, 'end_turn');
      assert.deepEqual([result.usage.output_tokens, record.outputTokens, record.source], [12, 12, 'provider']);
      assert.equal(result.usage.input_tokens, lastSeen().inputTokens);
    }
    assert.notEqual(plain.result.id, streamed.result.id);
    assert.equal(JSON.parse(lastSeen().body).inferenceConfig.maxTokens, 500);
    assert.equal(lastSeen().headers['anthropic-version'], undefined);
  });

  it('receives a streamed tool call', async () => {
    const { content, stop_reason: reason } = await anthropic.messages
      .stream({ ...base, tools }, mock({ tool: true, tokens: 5 }))
      .finalMessage();
    const call = content.find((block) => block.type === 'tool_use');
    assert.deepEqual([call?.name, call?.input, reason], ['weather', { location: wordsOf(5) }, 'tool_use']);
  });

  it("receives the provider's 503 as an overload", async () => {
    const error = await errorOf(anthropic.messages.create(base, mock({ status: 503 })));
    assert.ok(error instanceof Anthropic.InternalServerError, String(error));
    assert.equal(error.status, 529);
  });
});
