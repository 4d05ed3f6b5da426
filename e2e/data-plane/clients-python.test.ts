/** The official Python clients, unmodified, with each way to authenticate. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type AccessWorld, BUDGET_TOKENS, KEY, LIMITED_KEY, startAccessWorld } from './support/access-world.ts';
import type { Behaviour } from './support/behaviour.ts';
import { repository } from './support/pages.ts';
import { within } from './support/wait.ts';
import { wordsOf } from './support/words.ts';
import { CLAUDE, MODEL } from './support/world.ts';

const packages = path.join(repository, '.tools/python');
const program = path.join(repository, 'e2e/data-plane/testdata/python/clients.py');
const CALL_MS = 60_000;

interface PythonCall {
  readonly client: 'openai' | 'anthropic';
  readonly method?: 'chat' | 'stream' | 'models';
  /** Arguments of the client. Anthropic's sends `api_key` in `x-api-key`. */
  readonly credential: Readonly<Partial<Record<'api_key' | 'auth_token', string>>>;
  readonly model?: string;
  readonly maxTokens?: number;
  readonly mock?: Behaviour;
  /** Files for TLS with a client certificate. */
  readonly certificate?: string;
  readonly authority?: string;
}

interface PythonResult {
  readonly text?: string;
  readonly tokens?: number;
  readonly models?: readonly string[];
  /** The class of the exception. */
  readonly error?: string;
  readonly status?: number;
  readonly message?: string;
}

const skip = !existsSync(path.join(packages, 'openai')) && 'no Python clients in .tools/python (tools/python.sh)';

describe('the official Python clients', { skip }, () => {
  let world: AccessWorld;
  let python: ChildProcess;
  let results: AsyncIterator<string>;
  /** The credentials of each client, by the way to authenticate. */
  let ways: readonly (readonly [way: string, call: PythonCall, url: string])[];

  before(async () => {
    world = await startAccessWorld();
    python = spawn('python3', [program], {
      env: { PATH: process.env['PATH'], PYTHONPATH: packages },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    results = createInterface({ input: python.stdout! })[Symbol.asyncIterator]();
    ways = await waysToAuthenticate();
  });
  beforeEach(() => world.provider.forget());
  after(async () => {
    python?.kill();
    await world?.stop();
  });

  async function run(call: PythonCall, url: string = world.gateway.url): Promise<PythonResult> {
    const { mock = { tokens: 5 }, ...rest } = call;
    const model = call.client === 'openai' ? MODEL : CLAUDE;
    const headers = { 'x-mock': JSON.stringify(mock) };
    python.stdin?.write(`${JSON.stringify({ method: 'chat', model, maxTokens: 20, url, headers, ...rest })}\n`);
    const { value, done } = await within(CALL_MS, 'the result of a call', results.next());
    assert.ok(!done, 'the program has ended');
    return JSON.parse(value);
  }

  async function waysToAuthenticate(): Promise<typeof ways> {
    const token = await world.issuer.issueToken();
    const { url } = world.gateway;
    const uris = ['spiffe://example.org/ns/search/sa/batch'];
    const { cert, key } = await world.authority.issue({ subject: 'CN=batch', uris });
    const [clientFile, authorityFile] = ['client.pem', 'ca.pem'].map((file) => path.join(world.gateway.folder, file));
    writeFileSync(clientFile!, `${cert}\n${key}\n`, { mode: 0o600 });
    writeFileSync(authorityFile!, world.authority.cert);
    const tls = { certificate: clientFile!, authority: authorityFile! };
    return [
      ['an API key', { client: 'openai', credential: { api_key: KEY } }, url],
      ['an API key as x-api-key', { client: 'anthropic', credential: { api_key: KEY } }, url],
      ['an API key as a bearer', { client: 'anthropic', credential: { auth_token: KEY } }, url],
      ['a token', { client: 'openai', credential: { api_key: token } }, url],
      ['a token as x-api-key', { client: 'anthropic', credential: { api_key: token } }, url],
      ['a token as a bearer', { client: 'anthropic', credential: { auth_token: token } }, url],
      ['a certificate', { client: 'openai', credential: { api_key: 'unused' }, ...tls }, world.tlsUrl],
      ['a certificate', { client: 'anthropic', credential: { api_key: 'unused' }, ...tls }, world.tlsUrl],
    ];
  }

  it('chat, stream and list models with each way to authenticate', async () => {
    for (const [way, call, url] of ways) {
      const title = `${call.client} with ${way}`;
      assert.deepEqual(await run(call, url), { text: wordsOf(5), tokens: 5 }, title);
      assert.deepEqual(await run({ ...call, method: 'stream' }, url), { text: wordsOf(5), tokens: 5 }, title);
      const { models = [] } = await run({ ...call, method: 'models' }, url);
      assert.ok(models.includes(call.client === 'openai' ? MODEL : CLAUDE), `${title}: ${models.join(', ')}`);
    }
    assert.equal(world.provider.seen.length, 2 * ways.length);
    const callers = world.gateway.records.map(({ line }) => JSON.parse(line).caller.method);
    assert.deepEqual(new Set(callers), new Set(['api_key', 'jwt', 'client_certificate']));
  });

  it('raise AuthenticationError without a valid credential, and do not retry', async () => {
    const expired = await world.issuer.issueToken({ expiresInSeconds: -60 });
    for (const credential of ['tg-unknown-000000000000000000', expired]) {
      for (const client of ['openai', 'anthropic'] as const) {
        const { error, status } = await run({ client, credential: { api_key: credential } });
        assert.deepEqual([error, status], ['AuthenticationError', 401], client);
      }
    }
    assert.equal(world.provider.seen.length, 0);
    await world.gateway.recordsWhere('refused calls', 4, ({ status }) => status === 401);
    assert.equal(world.gateway.records.filter(({ status }) => status === 401).length, 4);
  });

  it('raise PermissionDeniedError for a model that the caller may not use, and do not list it', async () => {
    const openai: PythonCall = { client: 'openai', credential: { api_key: LIMITED_KEY } };
    const anthropic: PythonCall = { client: 'anthropic', credential: { api_key: LIMITED_KEY } };
    for (const call of [{ ...openai, model: 'cheap' }, anthropic]) {
      const { error, status, message } = await run(call);
      assert.deepEqual([error, status], ['PermissionDeniedError', 403], message);
    }
    for (const client of [openai, anthropic]) {
      assert.deepEqual(await run({ ...client, method: 'models' }), { models: [MODEL] });
    }
    assert.equal(world.provider.seen.length, 0);
  });

  it('raise RateLimitError once the budget is spent, and do not retry', async () => {
    const credential = { api_key: await world.issuer.issueToken({ claims: { email: 'ben@example.com' } }) };
    const all = { tokens: BUDGET_TOKENS, tokensAChunk: 100 };
    await run({ client: 'openai', credential, maxTokens: BUDGET_TOKENS, method: 'stream', mock: all });
    world.provider.forget();
    for (const client of ['openai', 'anthropic'] as const) {
      const { error, status } = await run({ client, credential });
      assert.deepEqual([error, status], ['RateLimitError', 429], client);
    }
    assert.equal(world.provider.seen.length, 0);
    await world.gateway.recordsWhere('refused calls', 2, ({ status }) => status === 429);
    assert.equal(world.gateway.records.filter(({ status }) => status === 429).length, 2);
  });
});
