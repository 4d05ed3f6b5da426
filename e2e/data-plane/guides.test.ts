/** Runs the guides from their gateway to their last command, with a real OpenID Provider. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePorts } from '../../fixtures/free-ports.ts';
import { call } from './support/client.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { blocksOf, missingLine, type PageBlock } from './support/pages.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { loginAs, personalEnvironment } from './support/sign-in.ts';

const ADDRESS = 'http://127.0.0.1:8080';

let issuer: OidcProvider;
let provider: Provider;
const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-guides-'));
const homeOf = (user: string) => path.join(folder, user);
const hasJq = isInstalled('jq');

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}

before(async () => {
  issuer = await startOidcProvider();
  provider = await startProvider({ tokens: 5 });
});

after(async () => {
  await issuer?.stop();
  await provider?.stop();
  rmSync(folder, { recursive: true });
});

class Guide {
  readonly blocks: readonly PageBlock[];
  #gateway: Gateway | undefined;

  constructor(name: string) {
    this.blocks = blocksOf(`docs/guides/${name}.md`);
  }

  get gateway(): Gateway {
    return this.#gateway!;
  }

  /** Starts the gateway of the guide, with the addresses of this test. */
  async start(): Promise<void> {
    const [port = 0] = await freePorts(1);
    const local = `{type: Hostname, hostname: {name: 127.0.0.1, port: ${provider.port}}, tls: {mode: Disabled}}`;
    const yaml = this.text('yaml gateway')
      .replace('port: 8080', `port: ${port}`)
      .replaceAll(/\{type: Hostname, hostname: \{name: api\.[^}]*\}\}/g, local)
      .replace('port: 8081', `port: ${provider.port}`)
      .replace('https://login.example.com', issuer.issuer);
    const environment = { ANTHROPIC_API_KEY: 'sk-anthropic', OPENAI_API_KEY: 'sk-openai' };
    this.#gateway = await startGateway([], { port, yaml, environment });
  }

  stop(): Promise<void> | undefined {
    return this.#gateway?.stop();
  }

  /** Returns the only block with these words after the fence, with the address of the gateway. */
  text(info: string): string {
    const found = this.blocks.filter((block) => block.info === info);
    assert.equal(found.length, 1, info);
    return found[0]!.text.replaceAll(ADDRESS, this.#gateway?.url ?? ADDRESS);
  }

  /** Runs the commands of a person, and compares the output with the block after them. */
  async runExamples(info: string, user: string): Promise<number> {
    const places = this.blocks.flatMap((block, place) => (block.info === info ? [place] : []));
    for (const place of places) {
      const script = this.blocks[place]!.text.replaceAll(ADDRESS, this.gateway.url);
      const shown = this.blocks[place + 1]!;
      assert.equal(shown.info, 'text output');
      const output = await shell(script, user);
      assert.equal(missingLine(shown.text, output), undefined, `${script}\n${output}`);
      assert.equal(output.trim().split('\n').length, shown.text.trim().split('\n').length, output);
    }
    return places.length;
  }
}

function shell(script: string, user: string, input = ''): Promise<string> {
  const options = { env: personalEnvironment(homeOf(user)), timeout: 60_000 };
  return new Promise((resolve, reject) => {
    const child = execFile('bash', ['-euo', 'pipefail', '-c', script], options, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${script}\n${stdout}${stderr}`, { cause: error })),
    );
    child.stdin?.end(input);
  });
}

const needsJq = { skip: hasJq ? false : 'jq is not installed' };

describe('docs/guides/coding-agents.md', () => {
  const guide = new Guide('coding-agents');
  const settings = () => JSON.parse(guide.text('json claude-code'));

  before(async () => {
    await guide.start();
    await loginAs('ada', guide.gateway.url, homeOf('ada'));
  });
  after(() => guide.stop());

  it('shows settings of Claude Code by which it discovers models and sends messages', async () => {
    const { apiKeyHelper, env } = settings();
    const key = (await shell(apiKeyHelper, 'ada')).trim();
    const version = { 'anthropic-version': '2023-06-01' };
    const models = await call(`${env.ANTHROPIC_BASE_URL}/v1/models?limit=1000`, undefined, {
      headers: { ...version, 'x-api-key': key },
    });
    assert.deepEqual(
      models.json.data.map(({ id }: { readonly id: string }) => id),
      ['claude-haiku-4-5', 'claude-sonnet-4-5', 'gpt-5.1-codex'],
    );
    const message = { model: 'claude-sonnet-4-5', max_tokens: 100, messages: [{ role: 'user', content: 'Hello' }] };
    const answer = await call(`${env.ANTHROPIC_BASE_URL}/v1/messages?beta=true`, message, {
      headers: { ...version, 'x-api-key': key, authorization: `Bearer ${key}` },
    });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(provider.seen.at(-1)!.headers['x-api-key'], 'sk-anthropic');
  });

  it('shows settings of Codex by which it sends responses', async () => {
    const toml = guide.text('toml codex');
    const value = (name: string) => JSON.parse(new RegExp(`^${name} = (.*)$`, 'm').exec(toml)![1]!);
    const token = (await shell([value('command'), ...value('args')].join(' '), 'ada')).trim();
    const request = { model: value('model'), input: 'Hello', stream: true, store: false };
    const answer = await call(`${value('base_url')}/${value('wire_api')}`, request, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(provider.seen.at(-1)!.headers['authorization'], 'Bearer sk-openai');
  });

  it('shows what is left, in a status line too', needsJq, async () => {
    assert.equal(await guide.runExamples('sh run', 'ada'), 1);
    const session = JSON.stringify({ session_id: 'one', model: { id: 'claude-sonnet-4-5', display_name: 'Sonnet' } });
    assert.equal(await shell(guide.text('sh status-line'), 'ada', session), guide.text('text output=status-line'));
  });

  it('lets nobody in who is no engineer', async () => {
    await loginAs('ben', guide.gateway.url, homeOf('ben'));
    const token = (await shell('tallygate token', 'ben')).trim();
    const answer = await call(`${guide.gateway.url}/v1/models`, undefined, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.deepEqual([answer.status, answer.json.error.code], [403, 'forbidden']);
  });
});

describe('docs/guides/sso-and-budgets.md', () => {
  const guide = new Guide('sso-and-budgets');

  before(async () => {
    await guide.start();
    for (const user of ['ada', 'ben']) {
      await loginAs(user, guide.gateway.url, homeOf(user));
    }
  });
  after(() => guide.stop());

  it('shows the real output of its commands', needsJq, async () => {
    assert.equal(await guide.runExamples('sh run', 'ada'), 2);
    assert.equal(await guide.runExamples('sh run person=ben', 'ben'), 1);
  });
});

describe('docs/guides/front-end.md', () => {
  const guide = new Guide('front-end');
  const origin = 'https://app.example.com';

  before(() => guide.start());
  after(() => guide.stop());

  const token = (expiresInSeconds: number) => issuer.issueToken({ claims: { sub: 'visitor-1' }, expiresInSeconds });

  /** The function of the page, with a token of this life. */
  const ask = async (expiresInSeconds: number) => {
    const tokenOfUser = async () => token(expiresInSeconds);
    const body = `${guide.text('js page')}\nreturn ask;`;
    return new Function('tokenOfUser', body)(tokenOfUser) as (
      question: string,
      onText: (text: string) => void,
    ) => Promise<void>;
  };

  it('shows the real output of its commands', async () => {
    assert.equal(await guide.runExamples('sh run', 'ada'), 3);
  });

  it('has a page that streams the words of the model', async () => {
    let text = '';
    await (await ask(300))('Hello', (piece) => (text += piece));
    assert.ok(text.trim().split(' ').length === 5, text);
  });

  it('refuses an expired token, and more output than one request may have', async () => {
    await assert.rejects(
      (await ask(-60))('Hello', () => {}),
      { code: 'unauthenticated' },
    );
    const body = { model: 'mistral-7b', max_tokens: 301, messages: [{ role: 'user', content: 'Hello' }] };
    const headers = { origin, authorization: `Bearer ${await token(300)}` };
    const answer = await call(`${guide.gateway.url}/v1/chat/completions`, body, { headers });
    assert.deepEqual([answer.status, answer.json.error.code], [400, 'output_tokens_exceeded']);
    assert.equal(answer.headers['access-control-allow-origin'], origin);
  });

  it('tells a page whose user has asked too often when to try again', async () => {
    const page = await ask(300);
    const asked = Array.from({ length: 12 }, () => page('Hello', () => {}));
    const refused = (await Promise.allSettled(asked)).filter(({ status }) => status === 'rejected');
    assert.ok(refused.length >= 2);
    for (const { reason } of refused as readonly PromiseRejectedResult[]) {
      assert.equal(reason.code, 'request_rate_exceeded');
      assert.ok(Number(reason.retryAfter) > 0);
    }
  });
});
