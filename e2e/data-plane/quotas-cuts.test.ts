/**
 * At the end of a budget, the stream of each API ends properly with the usage up to there, and the
 * upstream connection closes at once.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { call } from './support/client.ts';
import { anthropicClient, mock, openaiClient, say } from './support/clients.ts';
import { chat, limitedRoute, recordsOf } from './support/limits.ts';
import { teamQuota } from './support/resources.ts';
import { documentsOf } from './support/sse.ts';
import { waitFor } from './support/wait.ts';
import { wordCount, wordsOf } from './support/words.ts';
import { startWorld, type World } from './support/world.ts';

const LIMIT = 150;
/** Measured from the client's end of the stream; Envoy closes the upstream in the same turn. */
const UPSTREAM_CLOSED_MS = 500;

let world: World;
before(async () => {
  world = await startWorld(
    limitedRoute({
      cut: { quotas: [teamQuota('tokens', 'TotalTokens', LIMIT)] },
      output: { quotas: [teamQuota('tokens', 'OutputTokens', LIMIT)] },
    }),
  );
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

const endless = { tokens: 5_000, paceMs: 5 };

/**
 * Asserts that the upstream is closed, the charge is what arrived and within the limit, and no new
 * request is admitted.
 */
async function cutProperly(team: string, visibleTokens: number, endedAtMs: number): Promise<void> {
  const seen = world.provider.seen.at(-1);
  assert.ok(seen);
  await waitFor('closed upstream', () => seen.abortedAtMs !== undefined, 2_000);
  assert.ok((seen.abortedAtMs ?? 0) - endedAtMs < UPSTREAM_CLOSED_MS, `${(seen.abortedAtMs ?? 0) - endedAtMs} ms`);
  assert.ok(seen.outputTokens - visibleTokens < 40, `${seen.outputTokens} made, ${visibleTokens} delivered`);
  const [record] = await recordsOf(world, team, 1);
  assert.equal(record?.outputTokens, visibleTokens, record?.line);
  assert.ok((record?.inputTokens ?? 0) + visibleTokens <= LIMIT, record?.line);
  assert.ok((record?.inputTokens ?? 0) + visibleTokens >= 0.5 * LIMIT, record?.line);
  assert.equal(record?.decision, 'cut');
  assert.equal(record?.status, 200);
}

describe('a cut', () => {
  it('ends chat completions properly', async () => {
    const team = 'cut-chat';
    const client = openaiClient(world.gateway.url, { 'x-team': team });
    const final = await client.chat.completions
      .stream({ model: 'cut', messages: say('Hello'), stream_options: { include_usage: true } }, mock(endless))
      .finalChatCompletion();
    const endedAtMs = performance.now();
    const text = final.choices[0]?.message.content ?? '';
    assert.equal(text, wordsOf(wordCount(text)), 'nothing is missing before the cut');
    assert.equal(final.choices[0]?.finish_reason, 'length');
    assert.equal(final.usage?.completion_tokens, wordCount(text));
    assert.ok((final.usage?.prompt_tokens ?? 0) > 0);
    await cutProperly(team, wordCount(text), endedAtMs);
  });

  it('ends chat completions without usage if the client did not request usage', async () => {
    const team = 'cut-chat-no-usage';
    const { text, complete } = await chat(world, 'cut', { team, body: { stream: true }, mock: endless });
    const endedAtMs = performance.now();
    assert.ok(complete && text.endsWith('data: [DONE]\n\n'));
    const events = documentsOf(text) as {
      choices: { delta: { content?: string }; finish_reason: string | null }[];
      usage?: unknown;
    }[];
    assert.ok(events.every((event) => (event.usage ?? null) === null && event.choices.length === 1));
    assert.equal(events.at(-1)?.choices[0]?.finish_reason, 'length');
    await cutProperly(
      team,
      events.reduce((sum, event) => sum + wordCount(event.choices[0]?.delta.content ?? ''), 0),
      endedAtMs,
    );
  });

  it('ends each choice of chat completions', async () => {
    const team = 'cut-choices';
    const client = openaiClient(world.gateway.url, { 'x-team': team });
    const final = await client.chat.completions
      .stream({ model: 'cut', messages: say('Hello'), n: 3 }, mock(endless))
      .finalChatCompletion();
    const endedAtMs = performance.now();
    assert.deepEqual(
      final.choices.map((choice) => choice.finish_reason),
      ['length', 'length', 'length'],
    );
    const total = final.choices.reduce((sum, choice) => sum + wordCount(choice.message.content ?? ''), 0);
    await cutProperly(team, total, endedAtMs);
  });

  it('ends completions properly', async () => {
    const team = 'cut-completions';
    const client = openaiClient(world.gateway.url, { 'x-team': team });
    const stream = await client.completions.create(
      { model: 'cut', prompt: 'Hello', max_tokens: 4_000, stream: true },
      mock(endless),
    );
    let text = '';
    let reason: string | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
      reason = chunk.choices[0]?.finish_reason ?? reason;
    }
    assert.equal(reason, 'length');
    await cutProperly(team, wordCount(text), performance.now());
  });

  it('ends responses properly', async () => {
    const team = 'cut-responses';
    const client = openaiClient(world.gateway.url, { 'x-team': team });
    const stream = await client.responses.create({ model: 'cut', input: 'Hello', stream: true }, mock(endless));
    const events = [];
    for await (const event of stream) {
      events.push(event);
    }
    const endedAtMs = performance.now();
    const last = events.at(-1);
    assert.equal(last?.type, 'response.incomplete');
    assert.ok(last.type === 'response.incomplete');
    assert.equal(last.response.incomplete_details?.reason, 'max_output_tokens');
    const text = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');
    assert.equal(last.response.usage?.output_tokens, wordCount(text));
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, index) => index),
      'sequence numbers go on',
    );
    const types = events.slice(-4).map((event) => event.type);
    assert.deepEqual(types, [
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.incomplete',
    ]);
    await cutProperly(team, wordCount(text), endedAtMs);
  });

  it('ends responses properly for the client’s own stream helper', async () => {
    const client = openaiClient(world.gateway.url, { 'x-team': 'cut-responses-helper' });
    const final = await client.responses.stream({ model: 'cut', input: 'Hello' }, mock(endless)).finalResponse();
    assert.equal(final.status, 'incomplete');
    assert.ok(wordCount(final.output_text) > 50, final.output_text);
  });

  it('ends messages properly', async () => {
    const team = 'cut-messages';
    const client = anthropicClient(world.gateway.url, { 'x-team': team });
    const final = await client.messages
      .stream({ model: 'cut', max_tokens: 4_000, messages: say('Hello') }, mock(endless))
      .finalMessage();
    const endedAtMs = performance.now();
    const text = final.content[0]?.type === 'text' ? final.content[0].text : '';
    assert.equal(text, wordsOf(wordCount(text)));
    assert.equal(final.stop_reason, 'max_tokens');
    assert.equal(final.usage.output_tokens, wordCount(text));
    await cutProperly(team, wordCount(text), endedAtMs);
  });

  it('ends streams of TGI properly', async () => {
    const team = 'cut-tgi';
    const { text, complete } = await call(
      `${world.gateway.url}/generate_stream`,
      { inputs: 'Hello', parameters: { max_new_tokens: 4_000 } },
      { headers: { 'x-team': team, 'x-engine': 'cut' }, mock: endless },
    );
    const endedAtMs = performance.now();
    assert.ok(complete);
    const events = documentsOf(text) as {
      token: { text: string };
      generated_text: string | null;
      details: { finish_reason: string; generated_tokens: number } | null;
    }[];
    const visible = events.map((event) => event.token.text).join('');
    assert.equal(events.at(-1)?.details?.finish_reason, 'length');
    assert.equal(events.at(-1)?.details?.generated_tokens, wordCount(visible));
    assert.equal(typeof events.at(-1)?.generated_text, 'string');
    await cutProperly(team, wordCount(visible), endedAtMs);
  });

  it('closes an open tool call', async () => {
    const team = 'cut-tool';
    const client = anthropicClient(world.gateway.url, { 'x-team': team });
    const events = await client.messages.create(
      {
        model: 'output',
        max_tokens: 4_000,
        messages: say('Hello'),
        tools: [{ name: 'weather', input_schema: { type: 'object' } }],
        stream: true,
      },
      mock({ ...endless, tool: true }),
    );
    const seen = [];
    for await (const event of events) {
      seen.push(event);
    }
    const endedAtMs = performance.now();
    assert.deepEqual(
      seen.slice(-3).map((event) => event.type),
      ['content_block_stop', 'message_delta', 'message_stop'],
    );
    const last = seen.at(-2);
    assert.equal(last?.type === 'message_delta' && last.delta.stop_reason, 'max_tokens');
    const text = seen
      .map((event) =>
        event.type === 'content_block_delta' && event.delta.type === 'input_json_delta' ? event.delta.partial_json : '',
      )
      .join('');
    assert.ok(wordCount(text) > 50, text);
    const upstream = world.provider.seen.at(-1);
    await waitFor('closed upstream', () => upstream?.abortedAtMs !== undefined, 2_000);
    assert.ok((upstream?.abortedAtMs ?? 0) - endedAtMs < UPSTREAM_CLOSED_MS);
  });

  it('ignores the input under a quota on output tokens', async () => {
    const team = 'cut-output';
    const { text } = await chat(world, 'output', { team, body: { stream: true }, mock: endless });
    const words = wordCount(
      documentsOf(text)
        .map((event) => (event['choices'] as { delta: { content?: string } }[])[0]?.delta.content ?? '')
        .join(''),
    );
    assert.ok(words <= LIMIT && words >= 0.98 * LIMIT, `${words} of ${LIMIT}`);
  });

  it('is possible because streams are requested uncompressed', async () => {
    await chat(world, 'cut', {
      team: 'cut-identity',
      body: { stream: true },
      mock: { tokens: 3 },
      headers: { 'accept-encoding': 'gzip, br' },
    });
    assert.equal(world.provider.seen.at(-1)?.headers['accept-encoding'], 'identity');
  });

  it('ends a stream that the provider compresses anyway', async () => {
    const team = 'cut-compressed';
    const answer = await chat(world, 'cut', { team, body: { stream: true }, mock: { ...endless, encoding: 'gzip' } });
    assert.equal(answer.status, 200);
    const seen = world.provider.seen.at(-1);
    await waitFor('closed upstream', () => seen?.abortedAtMs !== undefined, 2_000);
    const [record] = await recordsOf(world, team, 1);
    assert.ok((record?.outputTokens ?? 0) > 50, record?.line);
    assert.ok((seen?.outputTokens ?? 0) < 2 * LIMIT, `the provider made ${seen?.outputTokens}`);
  });
});
