/**
 * What Claude Code and Codex send, in the form of their documentation, and what they rely on:
 * https://code.claude.com/docs/en/llm-gateway-protocol,
 * https://developers.openai.com/codex/config-reference
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { call } from './support/client.ts';
import { errorOf, say } from './support/clients.ts';
import { type Document, quotaPolicy } from './support/resources.ts';
import { CLAUDE, MODEL, startWorld, type World } from './support/world.ts';

const KEY = 'key-of-ada-0123456789';
const LABELS = { 'tallygate.dev/api-key': 'true' };

const access: readonly Document[] = [
  {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'key-of-ada',
      namespace: 'default',
      labels: LABELS,
      annotations: { 'tallygate.dev/user': 'ada' },
    },
    stringData: { apiKey: KEY },
  },
  {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'internal', namespace: 'default' },
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
      authenticate: [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector: { matchLabels: LABELS } } }],
      allow: [{ name: 'agents', principals: [{ user: 'ada' }], models: [CLAUDE, MODEL, 'cheap'] }],
    },
  },
];

const daily: Document = {
  name: 'a-day',
  limit: { type: 'TotalTokens', amount: 40_000 },
  window: { type: 'Sliding', sliding: { duration: '24h' } },
  key: [{ type: 'User' }, { type: 'Model' }],
};

let world: World;

before(async () => {
  world = await startWorld([...access, quotaPolicy('agents', 'chat', [daily])]);
});

after(() => world?.stop());

/** Claude Code sends the value of its apiKeyHelper in both headers. */
const HELPER_HEADERS = { authorization: `Bearer ${KEY}`, 'x-api-key': KEY };

const CLAUDE_CODE_HEADERS = {
  accept: 'application/json',
  'user-agent': 'claude-cli/2.1.260 (external, cli)',
  'anthropic-version': '2023-06-01',
  'anthropic-beta': 'context-management-2025-06-27,interleaved-thinking-2025-05-14,a-beta-of-tomorrow',
  'anthropic-dangerous-direct-browser-access': 'true',
  'x-app': 'cli',
  'x-claude-code-session-id': '0b9c1d50-95b4-4b6e-a0a3-0f3b4b0c8f11',
  'x-claude-code-agent-id': 'a1b2c3d4',
  'x-claude-code-parent-agent-id': 'a0000000',
  'x-stainless-lang': 'js',
};

/** As Claude Code writes it: spaces, order and escapes are those of the client. */
const SYSTEM = String.raw`"system": [{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.260.e3f; cc_entrypoint=cli;"},
  {"type":"text","text":"You are a coding agent. \u00fc \/ ü","cache_control":{"type":"ephemeral"}}]`;

const claudeCodeBody = (maxTokens: number) =>
  `{"model":"${CLAUDE}","max_tokens":${maxTokens},${SYSTEM},"thinking":{"type":"adaptive"},` +
  '"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"a_field_of_tomorrow":{"model":"x"},' +
  '"tools":[{"name":"Read","description":"Reads a file","input_schema":{"type":"object"},"defer_loading":true}],' +
  '"metadata":{"user_id":"{\\"session_id\\":\\"0b9c\\"}"},"messages":[{"role":"user","content":"Hello"}],"stream":true}';

describe('Claude Code', () => {
  const post = (path: string, body: string, more: Record<string, string> = {}) =>
    call(`${world.gateway.url}${path}`, body, {
      headers: { ...CLAUDE_CODE_HEADERS, ...HELPER_HEADERS, ...more },
      mock: { tokens: 5 },
    });
  const seen = () => world.provider.seen.at(-1)!;

  beforeEach(() => world.provider.forget());

  it('sends messages whose body reaches the provider byte for byte', async () => {
    const body = claudeCodeBody(1000);
    const answer = await post('/v1/messages?beta=true', body);
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.text, /message_stop/);
    assert.equal(seen().body, body);
    assert.equal(seen().path, '/v1/messages?beta=true');
  });

  it('keeps its system prompt byte for byte where the budget lowers max_tokens', async () => {
    const answer = await post(
      '/v1/messages?beta=true',
      claudeCodeBody(60_000).replace('"stream":true', '"stream":false'),
    );
    assert.equal(answer.status, 200, answer.text);
    assert.ok(JSON.parse(seen().body).max_tokens < 60_000);
    assert.ok(seen().body.includes(SYSTEM));
  });

  it('has its headers of the API and of the session forwarded verbatim, and its credential not', async () => {
    await post('/v1/messages?beta=true', claudeCodeBody(100));
    const { headers } = seen();
    for (const [name, value] of Object.entries(CLAUDE_CODE_HEADERS)) {
      assert.equal(headers[name], value, name);
    }
    assert.ok(!JSON.stringify(headers).includes(KEY));
  });

  it('has session and agents in the access line, if they are ids', async () => {
    const { record } = await world.gateway.recordOf(() => post('/v1/messages?beta=true', claudeCodeBody(100)));
    const { sessionId, agentId, parentAgentId, caller } = JSON.parse(record.line);
    assert.deepEqual(
      [sessionId, agentId, parentAgentId, caller.user],
      [CLAUDE_CODE_HEADERS['x-claude-code-session-id'], 'a1b2c3d4', 'a0000000', 'ada'],
    );
    const forged = { 'x-claude-code-session-id': 'a'.repeat(5000), 'x-claude-code-agent-id': '","user":"root' };
    const other = await world.gateway.recordOf(() => post('/v1/messages?beta=true', claudeCodeBody(100), forged));
    const line = JSON.parse(other.record.line);
    assert.deepEqual([line.sessionId, line.agentId], [undefined, undefined]);
  });

  it('counts tokens without a charge', async () => {
    const answer = await post('/v1/messages/count_tokens?beta=true', claudeCodeBody(1).replace(',"stream":true', ''));
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.json.input_tokens > 0);
  });

  it('discovers the models that it may use, with either credential', async () => {
    for (const credential of [{ 'x-api-key': KEY }, { authorization: `Bearer ${KEY}` }]) {
      const answer = await call(`${world.gateway.url}/v1/models?limit=1000`, undefined, {
        headers: { 'anthropic-version': '2023-06-01', ...credential },
      });
      assert.equal(answer.status, 200);
      assert.deepEqual(
        answer.json.data.map(({ id, display_name }: Record<string, string>) => [id, display_name]),
        ['cheap', CLAUDE, MODEL].map((id) => [id, id]),
      );
    }
  });

  it('gets 401 for a credential that is not valid any more, and so asks its helper again', async () => {
    for (const path of ['/v1/messages?beta=true', '/v1/messages/count_tokens?beta=true']) {
      const answer = await post(path, claudeCodeBody(100), { authorization: 'Bearer old', 'x-api-key': 'old' });
      assert.deepEqual([answer.status, answer.json.error.type], [401, 'authentication_error']);
      assert.equal(answer.headers['www-authenticate'], 'Bearer');
    }
    assert.equal(world.provider.seen.length, 0);
  });

  it('gets errors of the provider unchanged, because it reads their words', async () => {
    const answer = await call(`${world.gateway.url}/v1/messages?beta=true`, claudeCodeBody(100), {
      headers: { ...CLAUDE_CODE_HEADERS, ...HELPER_HEADERS },
      mock: { status: 400 },
    });
    assert.equal(answer.status, 400);
    assert.equal(answer.text, seen().answer);
  });

  it('has its connectivity probe refused without harm', async () => {
    const answer = await call(`${world.gateway.url}/`, undefined, { method: 'HEAD', headers: HELPER_HEADERS });
    assert.ok(answer.status >= 400 && answer.status < 500, String(answer.status));
  });
});

describe('Codex', () => {
  const codex = () => new OpenAI({ baseURL: `${world.gateway.url}/v1`, apiKey: KEY, maxRetries: 2 });
  const headers = {
    originator: 'codex_cli_rs',
    'user-agent': 'codex_cli_rs/0.155.1',
    'session-id': '0199a213-81c0-7800-8aa1-bbab2a035a53',
  };

  it('streams responses whose body reaches the provider byte for byte', async () => {
    const body =
      `{"model":"${MODEL}","instructions":"You are a coding agent.","input":[{"type":"message","role":"user",` +
      '"content":[{"type":"input_text","text":"Hello"}]}],"tools":[{"type":"function","name":"shell","strict":false,' +
      '"parameters":{"type":"object"}}],"tool_choice":"auto","parallel_tool_calls":false,"reasoning":null,' +
      '"store":false,"stream":true,"include":[],"prompt_cache_key":"0199a213"}';
    const { result, record } = await world.gateway.recordOf(() =>
      call(`${world.gateway.url}/v1/responses`, body, {
        headers: { ...headers, authorization: `Bearer ${KEY}`, accept: 'text/event-stream' },
        mock: { tokens: 5 },
      }),
    );
    assert.equal(result.status, 200, result.text);
    assert.match(result.text, /response\.completed/);
    assert.equal(world.provider.seen.at(-1)!.body, body);
    assert.equal(world.provider.seen.at(-1)!.headers['originator'], 'codex_cli_rs');
    assert.equal(JSON.parse(record.line).sessionId, headers['session-id']);
  });

  it('finds the gateway and its models at /v1/models, whatever version it names', async () => {
    const answer = await call(`${world.gateway.url}/v1/models?client_version=0.155.1`, undefined, {
      headers: { ...headers, authorization: `Bearer ${KEY}` },
    });
    assert.deepEqual(
      [answer.status, answer.json.data.map(({ id }: { readonly id: string }) => id)],
      [200, ['cheap', CLAUDE, MODEL]],
    );
  });

  it('gets 401 for a token that is not valid any more, and so runs its command again', async () => {
    const old = new OpenAI({ baseURL: `${world.gateway.url}/v1`, apiKey: 'old', maxRetries: 2 });
    const error = await errorOf(old.responses.create({ model: MODEL, input: 'Hello' }));
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, 'unauthenticated');
  });

  it('has no retry of a spent budget', async () => {
    const spent = { model: MODEL, input: 'word '.repeat(45_000) };
    const { length } = world.provider.seen;
    const requests = await refusedWhile(() => errorOf(codex().responses.create(spent)));
    assert.equal(requests, 1);
    assert.equal(world.provider.seen.length, length);
  });
});

/** Returns the number of requests that are refused because of a quota while `work` runs. */
async function refusedWhile(work: () => Promise<unknown>): Promise<number> {
  const refused = () => world.gateway.records.filter(({ decision }) => decision === 'refused').length;
  const before = refused();
  await world.gateway.recordOf(work);
  return refused() - before;
}

describe('a spent budget', () => {
  const anthropic = () => new Anthropic({ baseURL: world.gateway.url, apiKey: KEY, maxRetries: 2 });
  const ask = (tokens: number) =>
    anthropic().messages.create(
      { model: CLAUDE, max_tokens: 60_000, messages: say('Hello') },
      { headers: { 'x-mock': JSON.stringify({ tokens }) }, timeout: 30_000 },
    );

  it('ends retries: x-should-retry is false, and retry-after is more than a minute', async () => {
    await ask(60_000);
    let error: unknown;
    const requests = await refusedWhile(async () => {
      error = await errorOf(ask(5));
    });
    assert.ok(error instanceof Anthropic.RateLimitError, String(error));
    assert.equal(error.headers.get('x-should-retry'), 'false');
    assert.ok(Number(error.headers.get('retry-after')) > 60, String(error.headers.get('retry-after')));
    assert.equal(requests, 1, 'the official client does not try again');
  });

  it('shows in what is left, which stays readable', async () => {
    const list = await anthropic().get<{ readonly data: readonly Record<string, unknown>[] }>(
      `/v1/quota?model=${CLAUDE}`,
    );
    const [{ remaining, resets, ...rest } = {}, ...others] = list.data;
    assert.deepEqual(others, []);
    assert.ok(Number(remaining) < 100, 'less than a prompt needs');
    assert.ok(Date.parse(String(resets)) > Date.now());
    const key = [
      { type: 'User', value: 'ada' },
      { type: 'Model', value: CLAUDE },
    ];
    assert.deepEqual(rest, { name: 'default/agents/a-day', type: 'TotalTokens', amount: 40_000, key });
  });

  it('leaves counting tokens and the models of other budgets free', async () => {
    const counted = await anthropic().messages.countTokens({ model: CLAUDE, messages: say('Hello') });
    assert.ok(counted.input_tokens > 0);
    assert.deepEqual(
      (await anthropic().models.list()).data.map(({ id }) => id),
      ['cheap', CLAUDE, MODEL],
    );
  });
});
