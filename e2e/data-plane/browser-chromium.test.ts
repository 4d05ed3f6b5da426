/**
 * A person with Chromium signs in at a certified OpenID Provider, and a front-end application on
 * another port uses the gateway with the session. The provider and a hostile page are on another
 * site (`localhost` instead of 127.0.0.1), so the browser applies its rules for cookies. A second
 * hostile page is on another port of the same site, so the browser sends the session.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { freePorts } from '../../fixtures/free-ports.ts';
import { newPage, startChromium, submitForms, withoutChromium } from './support/chromium.ts';
import { call } from './support/client.ts';
import { say } from './support/clients.ts';
import { Command } from './support/command.ts';
import { CLIENT_ID, type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import type { AccessRecord } from './support/records.ts';
import { type Document, quotaPolicy } from './support/resources.ts';
import { MODEL, startWorld, type World } from './support/world.ts';

const CLIENT_SECRET = 'secret-of-the-browser-client';
const ID_TOKEN = 'tallygate-id-token';
const REFRESH_TOKEN = 'tallygate-refresh-token';
const BODY = JSON.stringify({ model: MODEL, max_tokens: 20, messages: say('Hello') });

function policies(issuer: string): readonly Document[] {
  const identity = { tenant: { claim: 'team' }, user: { claim: 'email' } };
  const browser = { issuer, clientID: 'browser', clientSecretRef: { name: 'browser-client' }, identity };
  const jwt = { issuer, audiences: ['ai-gateway'], identity, signIn: { clientID: CLIENT_ID } };
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
          { name: 'browser', type: 'OIDC', oidc: { ...browser, scopes: ['openid', 'profile', 'email'] } },
          { name: 'sso', type: 'JWT', jwt },
        ],
        allow: [{ name: 'everyone', principals: [{ authenticated: true }] }],
      },
    },
    quotaPolicy('per-user', 'chat', [
      {
        name: 'tokens',
        limit: { type: 'TotalTokens', amount: 1_000_000 },
        window: { type: 'Lifetime' },
        key: [{ type: 'User' }],
      },
    ]),
  ];
}

describe('a gateway in Chromium', { skip: withoutChromium }, () => {
  let browser: Browser;
  let oidc: OidcProvider;
  let world: World;
  let url: string;
  /** `cors` of the route allows the origin of the first one. */
  let pages: readonly PageServer[];
  let frontEnd: string;
  let neighbour: string;
  let otherSite: string;

  before(async () => {
    const [port = 0, oidcPort = 0] = await freePorts(2);
    url = `http://127.0.0.1:${port}`;
    pages = await Promise.all([servePages(url), servePages(url)]);
    [frontEnd = '', neighbour = ''] = pages.map((each) => `http://127.0.0.1:${each.port}`);
    otherSite = frontEnd.replace('127.0.0.1', 'localhost');
    oidc = await startOidcProvider({
      port: oidcPort,
      issuer: `http://localhost:${oidcPort}`,
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
    const cors = { allowOrigins: [frontEnd], allowCredentials: true };
    world = await startWorld(policies(oidc.issuer), { cors }, { port });
    browser = await startChromium();
  });
  beforeEach(() => world.provider.forget());
  after(async () => {
    await browser?.close();
    await world?.stop();
    await oidc?.stop();
    for (const each of pages ?? []) {
      each.stop();
    }
  });

  async function signedIn(user: string): Promise<Page> {
    const page = await newPage(browser);
    await page.goto(`${url}/v1/models`);
    await submitForms(page, oidc.issuer, user);
    assert.equal(page.url(), `${url}/v1/models`);
    return page;
  }

  /** Calls the gateway from a page of `origin` in the browser of `page`; the type may be empty. */
  async function chatFrom(
    page: Page,
    origin = frontEnd,
    type = 'application/json',
  ): Promise<{ status: number; text: string } | string> {
    const app = await page.context().newPage();
    await app.goto(`${origin}/`);
    return app.evaluate(
      async ([to, text, type]) => {
        try {
          const body = new Blob([text], { type });
          const init = { method: 'POST', credentials: 'include', body } as const;
          const response = await fetch(`${to}/v1/chat/completions`, init);
          return { status: response.status, text: await response.text() };
        } catch (error) {
          return String(error);
        }
      },
      [url, BODY, type] as const,
    );
  }

  /** Returns what the answer and its access line say. */
  async function admittedChatFrom(page: Page): Promise<{ tenant: string; user: string; totalTokens: number }> {
    const isAdmitted = ({ model, status }: AccessRecord) => model === MODEL && status === 200;
    const before = world.gateway.records.filter(isAdmitted).length;
    const answer = await chatFrom(page);
    assert.ok(typeof answer === 'object' && answer.status === 200, JSON.stringify(answer));
    const record = (await world.gateway.recordsWhere('chats', before + 1, isAdmitted)).at(-1);
    const { tenant, user } = JSON.parse(record?.line ?? '{}').caller;
    return { tenant, user, totalTokens: JSON.parse(answer.text).usage.total_tokens };
  }

  /** Submits the form of a hostile page, and returns the cookies that the browser sends. */
  async function submitFormOf(page: Page, origin: string): Promise<{ form: Page; cookie: string | undefined }> {
    const form = await page.context().newPage();
    const posted = form.waitForRequest((request) => request.method() === 'POST' && request.url().startsWith(url));
    await form.goto(`${origin}/form`);
    await form.locator('[type=submit]').click();
    const { cookie } = await (await posted).allHeaders();
    return { form, cookie };
  }

  async function spent(): Promise<number> {
    const key = { tallygate_quota_key: 'ada@example.com' };
    return (await world.gateway.metrics()).sum('tallygate_quota_spent', key);
  }

  /** Asserts that the front-end application is refused and reads the error. */
  async function assertRefused(page: Page): Promise<void> {
    const answer = await chatFrom(page);
    assert.ok(typeof answer === 'object', String(answer));
    assert.deepEqual([answer.status, JSON.parse(answer.text).error.code], [401, 'unauthenticated']);
    assert.equal(world.provider.seen.length, 0);
  }

  it('leads a page to the form of the issuer and back, and keeps the session from scripts', async () => {
    const page = await newPage(browser);
    await page.goto(`${url}/v1/models`);
    assert.ok(page.url().startsWith(`${oidc.issuer}/interaction/`), page.url());
    await submitForms(page, oidc.issuer, 'ada');
    assert.equal(page.url(), `${url}/v1/models`);
    assert.ok((await page.content()).includes(MODEL));
    const cookies = await page.context().cookies(url);
    assert.ok(cookies.some(({ name }) => name === ID_TOKEN));
    for (const { name, httpOnly, sameSite, secure } of cookies) {
      assert.deepEqual([httpOnly, sameSite, secure], [true, 'Lax', true], name);
    }
    assert.equal(await page.evaluate('document.cookie'), '');
  });

  it('serves a front-end application with the session, and charges the user of the ID token', async () => {
    const page = await signedIn('ada');
    const { tenant, user, totalTokens } = await admittedChatFrom(page);
    assert.deepEqual([tenant, user], ['search', 'ada@example.com']);
    assert.equal(await spent(), totalTokens);
  });

  it('answers scripts without a session with 401 and no redirect', async () => {
    const before = oidc.requests.length;
    await assertRefused(await newPage(browser));
    assert.equal(oidc.requests.length, before);
  });

  it('keeps pages of other sites from sending and from reading with the session', async () => {
    const page = await signedIn('ada');
    world.provider.forget();
    assert.match(String(await chatFrom(page, otherSite)), /Failed to fetch/);
    const { cookie, form } = await submitFormOf(page, otherSite);
    assert.equal(cookie, undefined);
    await form.waitForLoadState();
    assert.deepEqual(
      world.provider.seen.filter(({ method }) => method === 'POST'),
      [],
    );
  });

  it('charges nothing for what pages of the same site send without a preflight request', async () => {
    const page = await signedIn('ada');
    await admittedChatFrom(page);
    world.provider.forget();
    const spentBefore = await spent();
    for (const type of ['application/json', 'text/plain', '']) {
      assert.match(String(await chatFrom(page, neighbour, type)), /Failed to fetch/);
    }
    assert.ok((await submitFormOf(page, neighbour)).cookie?.includes(`${ID_TOKEN}=`));
    const answer = await chatFrom(page, frontEnd, 'text/plain');
    assert.ok(typeof answer === 'object' && answer.status === 403, JSON.stringify(answer));
    const { code, message } = JSON.parse(answer.text).error;
    assert.equal(code, 'forbidden');
    assert.match(message, /content type application\/json/);
    // The browser did not send the JSON of the neighbour; the gateway refused all others.
    await world.gateway.recordsWhere('forged requests', 4, ({ status }) => status === 403);
    assert.deepEqual(world.provider.seen, []);
    assert.equal(await spent(), spentBefore);
  });

  it('refuses changed cookies and those of two users', async () => {
    const [ada, ben] = [await signedIn('ada'), await signedIn('ben')];
    world.provider.forget();
    const session = await ben.context().cookies(url);
    const stolen = (await ada.context().cookies(url)).find(({ name }) => name === ID_TOKEN)!.value;
    const own = session.find(({ name }) => name === ID_TOKEN)!.value;
    const useCookies = async (values: Readonly<Record<string, string>>) => {
      await ben.context().clearCookies();
      const changed = session.map((cookie) => ({ ...cookie, value: values[cookie.name] ?? cookie.value }));
      await ben.context().addCookies(changed);
    };
    const middle = own.length >> 1;
    const flipped = own.slice(0, middle) + (own[middle] === 'A' ? 'B' : 'A') + own.slice(middle + 1);
    for (const value of [stolen, flipped]) {
      await useCookies({ [ID_TOKEN]: value, [REFRESH_TOKEN]: 'changed' });
      await assertRefused(ben);
    }
    // With a sound refresh token, Envoy gets new tokens of the user whose refresh token it is.
    for (const cookies of [{}, { [ID_TOKEN]: stolen }]) {
      await useCookies(cookies);
      assert.equal((await admittedChatFrom(ben)).user, 'ben@example.com');
    }
  });

  it('ends the session at the logout path', async () => {
    const page = await signedIn('ada');
    world.provider.forget();
    await page.goto(`${url}/oauth2/logout`);
    assert.ok(page.url().startsWith(`${oidc.issuer}/session/end`), page.url());
    assert.deepEqual(await page.context().cookies(url), []);
    await assertRefused(page);
  });

  it('signs in the user of tallygate login', async () => {
    const home = mkdtempSync(path.join(os.tmpdir(), 'tallygate-chromium-'));
    try {
      const login = new Command(home, ['login', url, '--browser']);
      const page = await newPage(browser);
      await page.goto(await login.line(/Open (\S+)/));
      await submitForms(page, oidc.issuer, 'ben');
      assert.match(await page.content(), /You are signed in/);
      const { code, stderr } = await login.end();
      assert.equal(code, 0, stderr);
      const token = (await new Command(home, ['token']).end()).stdout.trim();
      const { record } = await world.gateway.recordOf(() =>
        call(`${url}/v1/chat/completions`, JSON.parse(BODY), { headers: { authorization: `Bearer ${token}` } }),
      );
      assert.equal(JSON.parse(record.line).caller.user, 'ben@example.com');
    } finally {
      rmSync(home, { recursive: true });
    }
  });
});

interface PageServer {
  readonly port: number;
  stop(): void;
}

/** Serves an empty page, and under `/form` one that posts to the gateway. */
async function servePages(url: string): Promise<PageServer> {
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(request.url === '/form' ? formTo(url) : '<p>App');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, stop };
}

/** Returns a page whose form posts JSON without a preflight request: `NAME=VALUE` in plain text. */
function formTo(url: string): string {
  const name = `${BODY.slice(0, -1)},"user":"`;
  return `<form action="${url}/v1/chat/completions" method="post" enctype="text/plain">
<input type="hidden" name='${name}' value='"}'><button type="submit">Win a prize</button></form>`;
}
