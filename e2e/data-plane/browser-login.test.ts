/** Login of browsers by Envoy's oauth2 filter, against a certified OpenID Provider. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { freePorts } from '../../fixtures/free-ports.ts';
import { type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { Browser } from './support/oidc-user.ts';
import type { Document } from './support/resources.ts';
import { startWorld, type World } from './support/world.ts';

const CLIENT_SECRET = 'secret-of-the-browser-client';
const HTML = { accept: 'text/html,application/xhtml+xml' };

function policies(issuer: string): readonly Document[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'browser-client', namespace: 'default' },
      stringData: { 'client-secret': CLIENT_SECRET },
    },
    {
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIAccessPolicy',
      metadata: { name: 'people', namespace: 'default' },
      spec: {
        targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
        authenticate: [
          {
            name: 'browser',
            type: 'OIDC',
            oidc: {
              issuer,
              clientID: 'browser',
              clientSecretRef: { name: 'browser-client' },
              identity: { user: { claim: 'email' } },
            },
          },
        ],
        allow: [{ name: 'ada', principals: [{ user: 'ada@example.com' }] }],
      },
    },
  ];
}

describe('the login of a browser', () => {
  let oidc: OidcProvider;
  let world: World;
  let url: string;

  before(async () => {
    const [port = 0] = await freePorts(1);
    url = `http://127.0.0.1:${port}`;
    oidc = await startOidcProvider({
      clients: [
        {
          client_id: 'browser',
          client_secret: CLIENT_SECRET,
          redirect_uris: [`${url}/oauth2/callback`],
          post_logout_redirect_uris: [`${url}/`],
          response_types: ['code'],
          grant_types: ['authorization_code', 'refresh_token'],
        },
      ],
    });
    const passthrough = [{ method: 'GET', path: '/v1/files' }];
    world = await startWorld(policies(oidc.issuer), { passthrough }, { port });
  });
  after(async () => {
    await world?.stop();
    await oidc?.stop();
  });

  it('leads a page to the issuer and back, and the provider receives no cookie', async () => {
    const { url: last, status, page } = await new Browser().open(`${url}/v1/files`, 'ada');
    assert.deepEqual([last, status], [`${url}/v1/files`, 200]);
    assert.match(page, /passed through/);
    assert.deepEqual(
      world.provider.seen.map(({ headers }) => headers['cookie']),
      [undefined],
    );
    world.provider.forget();
  });

  it('gives a page the rights of its user', async () => {
    const { status, page } = await new Browser().open(`${url}/v1/files`, 'ben');
    assert.equal(status, 403);
    assert.equal(JSON.parse(page).error.code, 'forbidden');
    assert.equal(world.provider.seen.length, 0);
  });

  it('keeps the session in cookies that scripts and other sites cannot use', async () => {
    const browser = new Browser();
    await browser.open(`${url}/v1/files`, 'ada');
    const names = ['tallygate-session', 'tallygate-id-token', 'tallygate-access-token', 'tallygate-refresh-token'];
    for (const name of names) {
      const line = browser.setCookies.findLast((each) => each.startsWith(`${name}=`) && each.includes('Max-Age'));
      for (const attribute of ['HttpOnly', 'SameSite=Lax', 'Secure']) {
        assert.ok(line?.toLowerCase().includes(attribute.toLowerCase()), `${name}: ${line}`);
      }
    }
    const token = browser.cookies(url).get('tallygate-id-token') ?? '';
    assert.doesNotMatch(token, /^eyJ/, 'tokens are encrypted');
  });

  it('sends a page with a session to the issuer no more', async () => {
    const browser = new Browser();
    await browser.open(`${url}/v1/files`, 'ada');
    const before = oidc.requests.length;
    const { status } = await browser.open(`${url}/v1/files`, 'ada');
    assert.equal(status, 200);
    assert.equal(oidc.requests.length, before);
  });

  it('answers scripts with 401 without a session, and serves them with one', async () => {
    const browser = new Browser();
    const scripts = [{}, { accept: 'application/json' }, { ...HTML, 'x-requested-with': 'XMLHttpRequest' }];
    const ask = (headers: Readonly<Record<string, string>>) =>
      fetch(`${url}/v1/files`, { headers, redirect: 'manual' });
    for (const headers of scripts) {
      const response = await ask(headers);
      assert.equal(response.status, 401);
      const { error } = (await response.json()) as { readonly error: { readonly code: string } };
      assert.equal(error.code, 'unauthenticated');
    }
    await browser.open(`${url}/v1/files`, 'ada');
    for (const headers of scripts) {
      assert.equal((await ask({ ...headers, cookie: browser.cookieHeader(url) })).status, 200);
    }
  });

  it('takes no identity from cookies that Envoy did not write, also with a token of the issuer', async () => {
    const token = await oidc.issueToken({ audience: 'browser', claims: { email: 'eve@example.com' } });
    const ask = (cookie: string) => fetch(`${url}/v1/files`, { headers: { cookie }, redirect: 'manual' });
    assert.equal((await ask(`tallygate-id-token=${token}`)).status, 401);
    const browser = new Browser();
    await browser.open(`${url}/v1/files`, 'ada');
    const forged = new Map(browser.cookies(url)).set('tallygate-id-token', token);
    // By the refresh token, Envoy gets new tokens from the issuer and drops the forged one.
    const { result, record } = await world.gateway.recordOf(() =>
      ask([...forged].map((pair) => pair.join('=')).join('; ')),
    );
    assert.equal(result.status, 200);
    assert.equal(JSON.parse(record.line).caller.user, 'ada@example.com');
  });

  it('redirects no request with a credential in a header', async () => {
    // They have no session, also with the cookies of one.
    const browser = new Browser();
    await browser.open(`${url}/v1/files`, 'ada');
    const cookie = browser.cookieHeader(url);
    for (const header of ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key']) {
      const headers = { ...HTML, cookie, [header]: 'Bearer tg-unknown-00000000000' };
      const { status } = await fetch(`${url}/v1/files`, { headers, redirect: 'manual' });
      assert.equal(status, 401, header);
    }
  });

  it('ends the session at the logout path, and tells the issuer', async () => {
    const browser = new Browser();
    await browser.open(`${url}/v1/files`, 'ada');
    const end = await browser.open(`${url}/oauth2/logout`, 'ada', `${oidc.issuer}/session/end`);
    assert.match(end.url, /id_token_hint=eyJ/);
    assert.deepEqual([...browser.cookies(url).keys()], []);
    const { status } = await fetch(`${url}/v1/files`, { headers: { cookie: browser.cookieHeader(url) } });
    assert.equal(status, 401);
  });
});
