/**
 * Policy settings beside the amount: keys, windows, request limits, Shadow; and the form of
 * refusals.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { call } from './support/client.ts';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { chat, limitedRoute, recordsOf } from './support/limits.ts';
import { head, rawCall } from './support/raw-client.ts';
import { quotaPolicy, route, teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { MODEL, startWorld, type World } from './support/world.ts';

const minute = { window: { type: 'Calendar', calendar: { unit: 'Minute', timeZone: 'UTC' } } };

let world: World;
before(async () => {
  const target = (name: string) => ({ group: 'tallygate.dev', kind: 'AIGatewayRoute', name });
  const byRoute = teamQuota('requests', 'Requests', 1, {
    key: [{ type: 'Header', header: { name: 'x-team' } }, { type: 'Route' }],
  });
  world = await startWorld([
    ...['first', 'second'].map((name) =>
      route(
        name,
        ['a', 'b'].map((rule) => ({
          name: rule,
          models: [`${name}-${rule}`],
          backendRefs: [{ name: 'openai', model: MODEL }],
        })),
      ),
    ),
    quotaPolicy('by-route', 'first', [byRoute], { targetRefs: ['first', 'second'].map(target) }),
    ...limitedRoute({
      lifetime: { quotas: [teamQuota('tokens', 'TotalTokens', 60)] },
      sliding: {
        quotas: [teamQuota('requests', 'Requests', 2, { window: { type: 'Sliding', sliding: { duration: '2s' } } })],
      },
      calendar: { quotas: [teamQuota('requests', 'Requests', 2, minute)] },
      shared: { quotas: [teamQuota('requests', 'Requests', 2, { onMissingKey: 'Shared' })] },
      shadow: { quotas: [teamQuota('tokens', 'TotalTokens', 20, { mode: 'Shadow' })] },
      'by-model': {
        quotas: [
          teamQuota('requests', 'Requests', 1, {
            key: [{ type: 'Header', header: { name: 'x-team' } }, { type: 'Model' }],
          }),
        ],
      },
      bounded: { quotas: [], more: { requestLimits: { inputTokens: 100, outputTokens: 30 } } },
      lowered: { quotas: [teamQuota('tokens', 'TotalTokens', 300)] },
      cautious: { quotas: [teamQuota('tokens', 'TotalTokens', 1_000)] },
      trusting: { quotas: [teamQuota('tokens', 'TotalTokens', 100_000, { unbounded: 'Allow' })] },
      impatient: {
        quotas: [],
        more: { requestLimits: { outputTokens: 1_000 } },
        rule: { timeouts: { firstToken: '400ms' } },
      },
    }),
  ]);
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

describe('a window', () => {
  it('of type Sliding makes room as time passes', async () => {
    const team = 'sliding';
    assert.equal((await chat(world, 'sliding', { team, mock: { tokens: 1 } })).status, 200);
    assert.equal((await chat(world, 'sliding', { team, mock: { tokens: 1 } })).status, 200);
    const refused = await chat(world, 'sliding', { team });
    assert.equal(refused.status, 429);
    assert.equal(refused.json.error.code, 'request_rate_exceeded');
    const retryAfter = Number(refused.headers['retry-after']);
    assert.ok(retryAfter >= 1 && retryAfter <= 3, `${retryAfter}`);
    await waitFor(
      'room',
      async () => (await chat(world, 'sliding', { team, mock: { tokens: 1 } })).status === 200,
      4_000,
    );
  });

  it('of type Calendar makes room when the minute ends', async () => {
    // Starts again if the minute ends during the test, because the result would prove nothing.
    for (let attempt = 0; ; attempt += 1) {
      const team = `calendar-${attempt}`;
      const minuteBefore = new Date().getUTCMinutes();
      await chat(world, 'calendar', { team, mock: { tokens: 1 } });
      await chat(world, 'calendar', { team, mock: { tokens: 1 } });
      const leftMs = 60_000 - (Date.now() % 60_000);
      const refused = await chat(world, 'calendar', { team });
      if (new Date().getUTCMinutes() !== minuteBefore) {
        continue;
      }
      assert.equal(refused.status, 429);
      assert.ok(
        Math.abs(Number(refused.headers['retry-after']) * 1_000 - leftMs) < 2_500,
        `${refused.headers['retry-after']}, ${leftMs}`,
      );
      return;
    }
  });

  it('of type Lifetime never makes room, and the response reports it', async () => {
    const team = 'lifetime';
    await chat(world, 'lifetime', { team, body: { stream: true }, mock: { tokens: 200, paceMs: 2 } });
    const refused = await chat(world, 'lifetime', { team });
    assert.equal(refused.status, 429);
    assert.equal(refused.json.error.code, 'quota_exceeded');
    assert.equal(refused.headers['x-should-retry'], 'false');
    assert.equal(refused.headers['retry-after'], undefined);
    assert.equal(refused.headers['x-ratelimit-limit-tokens'], '60');
  });
});

describe('keys', () => {
  it('each value has its own budget', async () => {
    for (const team of ['keys-a', 'keys-b']) {
      assert.equal((await chat(world, 'by-model', { team, mock: { tokens: 1 } })).status, 200);
      assert.equal((await chat(world, 'by-model', { team })).status, 429);
    }
  });

  it('each route has its own budget for all of its rules', async () => {
    for (const name of ['first', 'second']) {
      assert.equal((await chat(world, `${name}-a`, { team: 'by-route', mock: { tokens: 1 } })).status, 200);
      assert.equal((await chat(world, `${name}-b`, { team: 'by-route' })).status, 429);
    }
  });

  it('values that only look alike have different budgets', async () => {
    for (const team of ['alike', 'Alike', 'alike/x', 'alike%2Fx', 'alike,x']) {
      assert.equal((await chat(world, 'by-model', { team, mock: { tokens: 1 } })).status, 200, team);
    }
  });

  it('a missing key gets 400, and nothing reaches the provider', async () => {
    const { status, json } = await call(`${world.gateway.url}/v1/chat/completions`, {
      model: 'lifetime',
      messages: say('Hello'),
    });
    assert.equal(status, 400);
    assert.equal(json.error.code, 'missing_quota_key');
    assert.equal(json.error.param, 'x-team');
    assert.equal(world.provider.seen.length, 0);
  });

  it('a key with several values gets 400', async () => {
    const raw = await rawCall(world.gateway.port);
    const body = JSON.stringify({ model: 'lifetime', messages: say('Hello') });
    await raw.write(head('/v1/chat/completions', ['x-team: a', 'x-team: b', `content-length: ${body.length}`]) + body);
    await waitFor('answer', () => raw.status() !== undefined, 3_000);
    raw.socket.destroy();
    assert.equal(raw.status(), 400, raw.text());
    assert.equal(world.provider.seen.length, 0);
  });

  it('requests without the key share one budget with onMissingKey Shared', async () => {
    const ask = () =>
      call(
        `${world.gateway.url}/v1/chat/completions`,
        { model: 'shared', messages: say('Hello') },
        { mock: { tokens: 1 } },
      );
    assert.equal((await ask()).status, 200);
    assert.equal((await ask()).status, 200);
    assert.equal((await ask()).status, 429);
    assert.equal((await chat(world, 'shared', { team: 'has-a-key', mock: { tokens: 1 } })).status, 200);
  });
});

describe('request limits', () => {
  it('a prompt that is too long gets 413 before it leaves', async () => {
    const { status, json } = await chat(world, 'bounded', {
      team: 'bounds',
      body: { messages: say('long '.repeat(110)) },
    });
    assert.equal(status, 413);
    assert.equal(json.error.code, 'input_tokens_exceeded');
    assert.equal(world.provider.seen.length, 0);
  });

  it('a prompt with many bytes and few tokens passes', async () => {
    const { status, text } = await chat(world, 'bounded', {
      team: 'bounds',
      body: { messages: say(' extraordinarily'.repeat(40)) },
      mock: { tokens: 1 },
    });
    assert.equal(status, 200, text);
  });

  it('a bound above the limit gets 400', async () => {
    const { status, json } = await chat(world, 'bounded', { team: 'bounds', body: { max_completion_tokens: 31 } });
    assert.equal(status, 400);
    assert.equal(json.error.code, 'output_tokens_exceeded');
  });

  it('a request without a bound is sent with the policy’s bound', async () => {
    const { json } = await chat(world, 'bounded', { team: 'bounds', mock: { tokens: 100 } });
    assert.equal(json.choices[0].finish_reason, 'length');
    assert.equal(world.provider.seen.at(-1)?.bound, 30);
  });

  it('the bound is lowered if less is left', async () => {
    const { status, json } = await chat(world, 'lowered', {
      team: 'lowered',
      body: { max_completion_tokens: 10_000 },
      mock: { tokens: 5_000 },
    });
    assert.equal(status, 200);
    const bound = world.provider.seen.at(-1)?.bound ?? 0;
    assert.ok(bound > 200 && bound < 300, `${bound}`);
    assert.equal(json.choices[0].finish_reason, 'length');
    assert.equal(json.usage.completion_tokens, bound);
  });

  it('a prompt larger than the whole budget is refused as such', async () => {
    const refused = await chat(world, 'lowered', { team: 'size', body: { messages: say('long '.repeat(2_000)) } });
    assert.equal(refused.status, 429);
    assert.equal(refused.headers['x-should-retry'], 'false');
    assert.equal(world.provider.seen.length, 0);
  });

  it('requests without a bound on their cost follow the policy', async () => {
    const body = { model: 'cautious', input: 'Hello', previous_response_id: 'resp_1' };
    const headers = { 'x-team': 'unbounded' };
    const refused = await call(`${world.gateway.url}/v1/responses`, body, { headers });
    assert.equal(refused.status, 400);
    assert.equal(refused.json.error.code, 'unbounded_cost');
    const allowed = await call(
      `${world.gateway.url}/v1/responses`,
      { ...body, model: 'trusting' },
      { headers, mock: { tokens: 3 } },
    );
    assert.equal(allowed.status, 200, allowed.text);
  });
});

describe('a late first token', () => {
  it('gets 504 in the format of the API before the response begins', async () => {
    const answer = await chat(world, 'impatient', { team: 'late', body: { stream: true }, mock: { delayMs: 3_000 } });
    assert.equal(answer.status, 504, answer.text);
    assert.equal(answer.json.error.code, 'first_token_timeout');
    await waitFor('closed upstream', () => world.provider.seen.at(-1)?.abortedAtMs !== undefined, 1_000);
  });

  it('ends a stream that has begun with an error event that the client understands', async () => {
    const client = openaiClient(world.gateway.url, { 'x-team': 'late' });
    const work = client.chat.completions
      .stream({ model: 'impatient', messages: say('Hello') }, mock({ paceMs: 3_000 }))
      .finalChatCompletion();
    const error = await errorOf(work);
    assert.ok(error instanceof OpenAI.APIError, String(error));
    assert.match(error.message, /no token/);
    await waitFor('closed upstream', () => world.provider.seen.at(-1)?.abortedAtMs !== undefined, 1_000);
  });

  it('does not end a unary response', async () => {
    const answer = await chat(world, 'impatient', { team: 'late', mock: { delayMs: 800, tokens: 3 } });
    assert.equal(answer.status, 200);
  });
});

describe('a quota in mode Shadow', () => {
  it('counts and reports, but refuses nothing', async () => {
    const team = 'shadow';
    for (let index = 0; index < 3; index += 1) {
      const { status, text } = await chat(world, 'shadow', { team, body: { stream: true }, mock: { tokens: 30 } });
      assert.equal(status, 200);
      assert.ok(text.includes('"finish_reason":"stop"'), 'nothing is cut');
    }
    const records = await recordsOf(world, team, 3);
    assert.ok(
      records.slice(1).every((record) => record.shadowRefused.length === 1),
      records.map((one) => one.line).join('\n'),
    );
    const metrics = await world.gateway.metrics();
    assert.ok(metrics.samples.some((one) => Object.values(one.labels).some((value) => value.includes('shadow'))));
  });
});

describe('a refusal', () => {
  const spend = (team: string) => chat(world, 'lifetime', { team, body: { stream: true }, mock: { tokens: 100 } });

  it('has the format of OpenAI', async () => {
    const team = 'shape-openai';
    await spend(team);
    const client = openaiClient(world.gateway.url, { 'x-team': team });
    for (const stream of [false, true]) {
      const error = await errorOf(
        client.chat.completions.create({ model: 'lifetime', messages: say('Hello'), stream }, mock({})),
      );
      assert.ok(error instanceof OpenAI.RateLimitError, String(error));
      assert.equal(error.code, 'quota_exceeded');
      assert.equal(error.type, 'insufficient_quota');
      assert.equal(error.headers?.get('x-should-retry'), 'false');
      assert.ok(error.headers?.get('x-ratelimit-limit-tokens'));
    }
  });

  it('has the format of Anthropic', async () => {
    const team = 'shape-anthropic';
    await spend(team);
    const client = anthropicClient(world.gateway.url, { 'x-team': team });
    const error = await errorOf(client.messages.create({ model: 'lifetime', max_tokens: 9, messages: say('Hello') }));
    assert.ok(error instanceof Anthropic.RateLimitError, String(error));
    assert.equal((error.error as { error: { type: string } }).error.type, 'rate_limit_error');
    assert.equal(error.headers?.get('x-should-retry'), 'false');
    assert.ok(error.headers?.get('anthropic-ratelimit-tokens-limit'));
  });

  it('has the format of TGI', async () => {
    const team = 'shape-tgi';
    await spend(team);
    const headers = { 'x-team': team, 'x-engine': 'lifetime' };
    const ask = () => call(`${world.gateway.url}/generate`, { inputs: 'Hello' }, { headers, mock: { tokens: 50 } });
    // What the cut left may suffice for a short prompt.
    let answer = await ask();
    for (let asked = 0; asked < 20 && answer.status === 200; asked += 1) {
      answer = await ask();
    }
    const { status, json } = answer;
    assert.equal(status, 429);
    assert.equal(typeof json.error, 'string');
    assert.equal(typeof json.error_type, 'string');
  });

  it('is not retried by the official clients if that is pointless', async () => {
    const team = 'shape-retries';
    await spend(team);
    const client = new OpenAI({
      baseURL: `${world.gateway.url}/v1`,
      apiKey: 'k',
      maxRetries: 3,
      defaultHeaders: { 'x-team': team },
    });
    await errorOf(client.chat.completions.create({ model: 'lifetime', messages: say('Hello') }));
    // A marker after it; a retry would come before.
    await chat(world, 'lifetime', { team });
    const records = await recordsOf(world, team, 3);
    assert.equal(records.length, 3, 'one that spends, one that is refused, the marker, and no retry');
  });
});
