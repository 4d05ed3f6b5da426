/**
 * `tallygate login`, `token` and `logout` against a real OpenID Provider: a person signs in by
 * device code and by a browser, and tokens are refreshed without losing a refresh token.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { Command, type CommandResult } from './support/command.ts';
import { AUDIENCE, CLIENT_ID, type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { signIn } from './support/oidc-user.ts';
import { blocksOf, repository } from './support/pages.ts';

/** Long enough that a slow machine does not let a token expire between two steps. */
const TOKEN_SECONDS = 3600;

let provider: OidcProvider;
let gateway: http.Server;
let gatewayUrl: string;
/** What the gateway publishes; undefined: nothing. */
let published: object | undefined;
/** Of the requests to the gateway's `/v1`. */
const authorizations: (string | undefined)[] = [];
let configHome: string;

const start = (...args: readonly string[]) => new Command(configHome, args);
const run = (...args: readonly string[]) => start(...args).end();

/** Signs in by a browser, which is quicker than polling for a device code. */
async function login(...args: readonly string[]): Promise<CommandResult> {
  const command = start('login', gatewayUrl, '--browser', ...args);
  await signIn(await command.line(/Open (\S+)/), 'ada');
  return command.end();
}

const file = () => path.join(configHome, 'tallygate/credentials.json');

interface Stored {
  readonly gateways: Readonly<
    Record<string, { token: string; issuedAtMs: number; expiresAtMs: number; refreshToken?: string }>
  >;
}

const stored = () => (JSON.parse(readFileSync(file(), 'utf8')) as Stored).gateways[gatewayUrl]!;

/** Moves the token's life so that it ends in `seconds`, as if time had passed. */
function age(seconds: number): void {
  const content = JSON.parse(readFileSync(file(), 'utf8')) as Stored;
  const credentials = content.gateways[gatewayUrl]!;
  credentials.expiresAtMs = Date.now() + seconds * 1000;
  credentials.issuedAtMs = credentials.expiresAtMs - TOKEN_SECONDS * 1000;
  writeFileSync(file(), JSON.stringify(content));
}

async function claimsOf(token: string, audience = AUDIENCE) {
  const keys = createRemoteJWKSet(new URL(`${provider.issuer}/jwks`));
  return (await jwtVerify(token, keys, { issuer: provider.issuer, audience })).payload;
}

before(async () => {
  provider = await startOidcProvider({ accessTokenSeconds: TOKEN_SECONDS });
  gateway = http.createServer((request, response) => {
    if (request.url?.startsWith('/v1/')) {
      authorizations.push(request.headers.authorization);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"list","data":[]}');
      return;
    }
    const isFound = request.url === '/.well-known/tallygate' && published !== undefined;
    response.writeHead(isFound ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isFound ? published : {}));
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  gatewayUrl = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`;
});

after(async () => {
  gateway.close();
  await provider.stop();
});

beforeEach(async () => {
  if (configHome !== undefined) {
    rmSync(configHome, { recursive: true });
  }
  configHome = mkdtempSync(path.join(os.tmpdir(), 'tallygate-login-'));
  const scopes = ['openid', 'email', 'profile', 'offline_access'];
  published = { issuer: provider.issuer, clientId: CLIENT_ID, audiences: [AUDIENCE], scopes, token: 'access' };
  await provider.up();
});

describe('tallygate login', () => {
  it('signs in by a device code, and token prints the token and nothing else', async () => {
    const command = start('login', gatewayUrl);
    const code = await command.line(/enter the code (\S+)/);
    const { page } = await signIn(await command.line(/or open (\S+)/), 'ada');
    assert.match(page, /Sign-in Success/);
    const result = await command.end();
    assert.deepEqual([result.code, result.stdout], [0, ''], result.stderr);
    assert.match(code, /^[A-Z]{4}-[A-Z]{4}$/);
    assert.match(result.stderr, new RegExp(`Signed in to ${gatewayUrl} as ada@example\\.com\\.`));

    const token = await run('token');
    assert.deepEqual([token.code, token.stderr], [0, '']);
    assert.match(token.stdout, /^[\w.-]+\n$/);
    const claims = await claimsOf(token.stdout.trim());
    assert.deepEqual([claims['team'], claims['groups']], ['search', ['engineering']]);
    assert.equal((await run('token', `${gatewayUrl}/`)).stdout, token.stdout);
  });

  it('signs in by a browser with PKCE and a redirect to the loopback address', async () => {
    const command = start('login', gatewayUrl, '--browser');
    const address = await command.line(/Open (\S+)/);
    const asked = new URL(address).searchParams;
    assert.equal(asked.get('code_challenge_method'), 'S256');
    const redirectUri = asked.get('redirect_uri') ?? '';
    assert.match(redirectUri, /^http:\/\/127\.0\.0\.1:\d+\/callback$/);
    // Neither another page nor another state ends the wait.
    for (const forged of [`${redirectUri}?code=forged&state=forged`, redirectUri.replace('callback', '')]) {
      assert.equal((await fetch(forged)).status, 404);
    }
    const { page } = await signIn(address, 'ben');
    assert.equal(page, 'You are signed in. You can close this window.');
    const result = await command.end();
    assert.equal(result.code, 0, result.stderr);
    assert.equal((await claimsOf((await run('token')).stdout.trim()))['team'], 'ads');
  });

  it('shows in browser and terminal that the user refused', async () => {
    const command = start('login', gatewayUrl, '--browser');
    const asked = new URL(await command.line(/Open (\S+)/)).searchParams;
    const refusal = new URL(asked.get('redirect_uri') ?? '');
    refusal.search = String(
      new URLSearchParams({ error: 'access_denied', state: asked.get('state') ?? '', iss: provider.issuer }),
    );
    assert.match(await (await fetch(refusal)).text(), /^The sign-in failed/);
    const { code, stderr } = await command.end();
    assert.equal(code, 1);
    assert.match(stderr, /refuses the sign-in: access_denied; sign in again\n$/);
  });

  it('keeps tokens in a file that only its owner may read', async () => {
    await login();
    assert.equal(statSync(file()).mode & 0o777, 0o600);
    assert.equal(statSync(path.dirname(file())).mode & 0o777, 0o700);
    chmodSync(file(), 0o640);
    for (const args of [['token'], ['login', gatewayUrl], ['logout']]) {
      const refused = await run(...args);
      assert.deepEqual([refused.code, refused.stdout], [1, ''], args.join(' '));
      assert.match(refused.stderr, /others may read .*credentials\.json \(mode 640\); run chmod 600 /);
    }
  });

  it('takes the provider from options where the gateway publishes none', async () => {
    published = undefined;
    const without = await run('login', gatewayUrl, '--device');
    assert.equal(without.code, 1);
    assert.match(without.stderr, /does not publish how to sign in; .*--issuer and --client-id\n$/);
    const result = await login('--issuer', provider.issuer, '--client-id', CLIENT_ID);
    assert.equal(result.code, 0, result.stderr);
    assert.equal((await claimsOf((await run('token')).stdout.trim())).sub, 'ada');
  });

  it('keeps the ID token where the gateway accepts that', async () => {
    published = { ...published, token: 'id' };
    await login();
    const first = (await run('token')).stdout.trim();
    assert.equal((await claimsOf(first, CLIENT_ID))['email'], 'ada@example.com');
    assert.equal(decodeJwt(first).exp, stored().expiresAtMs / 1000);
    age(-1);
    const second = (await run('token')).stdout.trim();
    assert.equal((await claimsOf(second, CLIENT_ID))['email'], 'ada@example.com');
    assert.ok(stored().expiresAtMs > Date.now());
  });

  it('names what is wrong with URL, document and provider', async () => {
    for (const wrong of [
      [],
      ['http://gateway.example.com'],
      ['gateway'],
      [gatewayUrl, 'b'],
      [gatewayUrl, '--port', 'x'],
    ]) {
      assert.equal((await run('login', ...wrong)).code, 2, wrong.join(' '));
    }
    published = { ...published, token: 'refresh' };
    assert.match((await run('login', gatewayUrl)).stderr, /has no token that is access or id; update tallygate/);
    published = { ...published, token: 'access', issuer: 'http://sso.example.com' };
    assert.match((await run('login', gatewayUrl)).stderr, /issuer http:\/\/sso\.example\.com must be an https URL/);
    published = { ...published, issuer: provider.issuer, clientId: 'unknown' };
    assert.match((await run('login', gatewayUrl)).stderr, /refuses the sign-in: invalid_client .*client unknown there/);
    await provider.down();
    const { code, stderr } = await run('login', gatewayUrl);
    assert.equal(code, 1);
    assert.match(stderr, /^tallygate: cannot reach the identity provider .*ECONNREFUSED.*; check the network/);
  });
});

describe('tallygate token', () => {
  it('refreshes a token that has expired, and keeps the rotated refresh token', async () => {
    await login();
    const first = stored();
    for (let round = 0; round < 2; round++) {
      age(-1);
      const { code, stdout, stderr } = await run('token');
      assert.deepEqual([code, stderr], [0, '']);
      assert.equal(stdout.trim(), stored().token);
      assert.notEqual(stdout.trim(), first.token);
      assert.equal((await claimsOf(stdout.trim()))['team'], 'search');
    }
    assert.notEqual(stored().refreshToken, first.refreshToken);
    assert.equal(statSync(file()).mode & 0o777, 0o600);
  });

  it('refreshes a token that ends before a client would ask again', async () => {
    await login();
    const { token } = stored();
    age(10 * 60);
    assert.equal((await run('token')).stdout.trim(), token);
    age(5 * 60);
    assert.notEqual((await run('token')).stdout.trim(), token);
  });

  it('refreshes once if many processes ask at a time', async () => {
    await login();
    age(-1);
    const before = provider.requests.filter((one) => one === '/token').length;
    const results = await Promise.all(Array.from({ length: 4 }, () => run('token')));
    assert.deepEqual(
      results.map(({ code, stderr }) => [code, stderr]),
      results.map(() => [0, '']),
    );
    assert.equal(new Set(results.map(({ stdout }) => stdout)).size, 1);
    assert.equal(provider.requests.filter((one) => one === '/token').length - before, 1);
    // The provider revokes everything when a refresh token is used twice.
    age(-1);
    assert.equal((await run('token')).code, 0);
  });

  it('works again when the provider comes back', async () => {
    await login();
    age(60);
    await provider.down();
    const { token } = stored();
    const valid = await run('token');
    assert.deepEqual([valid.code, valid.stdout.trim()], [0, token]);
    assert.match(valid.stderr, /^tallygate: cannot reach the identity provider/);
    age(-1);
    const expired = await run('token');
    assert.deepEqual([expired.code, expired.stdout], [1, '']);
    assert.match(
      expired.stderr,
      /^tallygate: cannot reach the identity provider .*; check the network and try again\n$/,
    );
    await provider.up();
    const again = await run('token');
    assert.deepEqual([again.code, again.stderr], [0, '']);
    assert.ok((decodeJwt(again.stdout.trim()).exp ?? 0) * 1000 > Date.now());
  });

  it('asks for a new sign-in when the refresh token has expired', async () => {
    await login();
    provider.forget();
    age(-1);
    const { code, stdout, stderr } = await run('token');
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, new RegExp(`^tallygate: the sign-in to ${gatewayUrl} has expired .*; run tallygate login `));
    assert.equal((await login()).code, 0);
    assert.equal((await run('token')).code, 0);
  });

  it('says that nobody is signed in', async () => {
    assert.match((await run('token')).stderr, /^tallygate: not signed in; run tallygate login URL/);
    await login();
    const other = await run('token', 'https://other.example.com');
    assert.deepEqual([other.code, other.stdout], [1, '']);
    assert.match(other.stderr, /not signed in to https:\/\/other\.example\.com; run tallygate login https:/);
  });
});

describe('tallygate logout', () => {
  it('forgets the tokens and revokes the refresh token', async () => {
    await login();
    const { refreshToken = '' } = stored();
    const { code, stderr } = await run('logout');
    assert.deepEqual([code, stderr], [0, `Signed out of ${gatewayUrl}.\n`]);
    assert.equal((await run('token')).code, 1);
    const body = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: CLIENT_ID,
      refresh_token: refreshToken,
    });
    const response = await fetch(`${provider.issuer}/token`, { method: 'POST', body });
    assert.equal(((await response.json()) as { error: string }).error, 'invalid_grant');
  });

  it('forgets the tokens also while the provider is down', async () => {
    await login();
    await provider.down();
    const { code, stderr } = await run('logout');
    assert.equal(code, 0);
    assert.match(stderr, /did not revoke the refresh token; end the session there\n$/);
    assert.match((await run('token')).stderr, /not signed in/);
  });
});

describe('docs/guides/signing-in.md', () => {
  /** Returns the code block that contains the text, with the address of this test. */
  const block = (text: string) => {
    const found = blocksOf('docs/guides/signing-in.md').find((one) => one.text.includes(text));
    assert.ok(found !== undefined, text);
    return found.text.replaceAll('https://ai.example.com', gatewayUrl);
  };
  const outputOf = async (program: string, ...args: readonly string[]) => {
    const bin = path.join(repository, 'node_modules/.bin');
    const env = { PATH: `${bin}:${process.env['PATH']}`, HOME: configHome, XDG_CONFIG_HOME: configHome };
    return (await promisify(execFile)(program, args, { cwd: repository, env, timeout: 30_000 })).stdout;
  };
  // bash treats itself as a remote shell if its input is a socket.
  const shell = (script: string) => outputOf('bash', '-ec', `{ ${script}\n} < /dev/null`);

  it('shows commands for Claude Code and Codex that print the token', async () => {
    await login();
    const { apiKeyHelper } = JSON.parse(block('apiKeyHelper')) as { apiKeyHelper: string };
    assert.equal(await shell(apiKeyHelper), `${stored().token}\n`);
    const toml = block('model_providers');
    const command = /^command = "(.*)"$/m.exec(toml)?.[1];
    const args = JSON.parse(/^args = (.*)$/m.exec(toml)?.[1] ?? '') as readonly string[];
    assert.equal(await shell([command, ...args].join(' ')), `${stored().token}\n`);
  });

  it('shows variables and a program for SDKs that send the token', async () => {
    await login();
    const variables = await shell(`${block('export OPENAI')}\necho "$OPENAI_API_KEY $ANTHROPIC_AUTH_TOKEN"`);
    assert.equal(variables, `${stored().token} ${stored().token}\n`);
    const program = `${block('new OpenAI')}\nawait client.models.list();`;
    await outputOf('node', '--input-type=module', '-e', program);
    assert.deepEqual(authorizations, [`Bearer ${stored().token}`]);
  });
});
