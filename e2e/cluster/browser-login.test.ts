/**
 * A person with Chromium signs in at a Gateway on the cluster: Envoy Gateway's SecurityPolicy on
 * the entry route, and a certified OpenID Provider on the machine of the test.
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { newPage, startChromium, submitForms, withoutChromium } from '../data-plane/support/chromium.ts';
import { say } from '../data-plane/support/clients.ts';
import { accessRecord } from '../data-plane/support/records.ts';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { askChat } from './support/ask.ts';
import { install, SYSTEM } from './support/helm.ts';
import { apply, condition, get, waitUntil } from './support/kubectl.ts';
import { ISSUER_HOST, type LoginIssuer, startLoginIssuer } from './support/login-issuer.ts';
import { namespaceOf } from './support/namespaces.ts';
import { sidecarLog } from './support/reach.ts';
import { type ClusterWorld, inNamespace, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-browser';
const AUTHORITIES = 'issuer-authorities';
const MODEL = 'gpt-4o-mini';
const KEY = 'tg-search-batch-0000000000000000';
const CLIENT_SECRET = 'secret-of-the-browser-client';
const ID_TOKEN = 'tallygate-id-token';
const host = process.env['K8S_RIG_HOST_IP'];
const withoutHost = host === undefined && 'the cluster cannot reach an issuer on this machine';

function policies(issuer: string): readonly Document[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'browser-client' },
      stringData: { 'client-secret': CLIENT_SECRET },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'batch', labels: { 'tallygate.dev/api-key': 'true' } },
      stringData: { apiKey: KEY },
    },
    {
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIAccessPolicy',
      metadata: { name: 'people' },
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
              identity: { tenant: { claim: 'team' }, user: { claim: 'email' } },
            },
          },
          {
            name: 'keys',
            type: 'APIKey',
            apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
          },
        ],
        allow: [{ name: 'everyone', principals: [{ authenticated: true }] }],
      },
    },
  ];
}

/** Installs the chart with the authority of the issuer, and accepts its host. */
async function installTrusting(authority: string): Promise<void> {
  const metadata = { name: AUTHORITIES, namespace: SYSTEM };
  await apply([namespaceOf(SYSTEM), { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': authority } }]);
  await install({
    values: [
      `controller.allowedDestinations={${ISSUER_HOST}}`,
      `controller.caCertificates.configMapName=${AUTHORITIES}`,
      // The controller reads the ConfigMap when it starts.
      `controller.podAnnotations.authorities=sha256-${hash('sha256', authority)}`,
    ],
  });
}

describe('the login of a browser', { skip: withoutHost || withoutChromium }, () => {
  let issuer: LoginIssuer;
  let world: ClusterWorld;
  let browser: Browser;
  /** Browsers keep secure cookies of plain HTTP only for this machine. */
  let forward: net.Server;
  let url: string;

  before(async () => {
    forward = net.createServer((socket) => {
      const { hostname, port } = new URL(world.url);
      const upstream = net.connect(Number(port), hostname);
      socket.on('error', () => upstream.destroy()).pipe(upstream);
      upstream.on('error', () => socket.destroy()).pipe(socket);
    });
    await new Promise<void>((resolve) => forward.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(forward.address() as net.AddressInfo).port}`;
    issuer = await startLoginIssuer(host!, {
      client_id: 'browser',
      client_secret: CLIENT_SECRET,
      redirect_uris: [`${url}/oauth2/callback`],
      post_logout_redirect_uris: [`${url}/`],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
    });
    await installTrusting(issuer.authority);
    world = await startClusterWorld(NAMESPACE);
    await apply(inNamespace(NAMESPACE, policies(issuer.provider.issuer)));
    await waitUntil(condition('ancestors', 'ResolvedRefs', 'True'), ['-n', NAMESPACE, 'aiaccesspolicy', 'people']);
    const policyOf = async () => (await get('-n', NAMESPACE, 'securitypolicies')).items[0]?.status?.ancestors;
    await waitFor('accepted SecurityPolicy', async () => JSON.stringify(await policyOf())?.includes('"True"'), 30_000);
    await waitUntilEnforcing(NAMESPACE, 'chat');
    browser = await startChromium({ [ISSUER_HOST]: host! });
  });
  after(async () => {
    await browser?.close();
    await world?.stop();
    await issuer?.stop();
    forward?.close();
  });

  async function signedIn(): Promise<Page> {
    const page = await newPage(browser);
    await page.goto(`${url}/v1/models`);
    await submitForms(page, issuer.pages, 'ada');
    assert.equal(page.url(), `${url}/v1/models`);
    return page;
  }

  /** Calls the gateway from the page, and returns the status: 0 for a redirect. */
  function chatFrom(page: Page): Promise<number> {
    const body = JSON.stringify({ model: MODEL, max_tokens: 20, messages: say('Hello') });
    return page.evaluate(async (body) => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch('/v1/chat/completions', { method: 'POST', headers, body, redirect: 'manual' })).status;
    }, body);
  }

  it('leads a page to the issuer and back, and serves its scripts as the user of the ID token', async () => {
    const page = await signedIn();
    assert.ok((await page.content()).includes(MODEL));
    const cookies = await page.context().cookies(url);
    assert.ok(cookies.some(({ name }) => name === ID_TOKEN));
    for (const { name, httpOnly, sameSite, secure } of cookies) {
      assert.deepEqual([httpOnly, sameSite, secure], [true, 'Lax', true], name);
    }
    assert.equal(await chatFrom(page), 200);
    const record = await waitFor('the access line', async () => {
      const lines = (await sidecarLog(NAMESPACE, 'ai')).split('\n').map(accessRecord);
      return lines.find((each) => each?.model === MODEL && each.status === 200);
    });
    const { tenant, user } = JSON.parse(record.line).caller;
    assert.deepEqual([tenant, user], ['search', 'ada@example.com']);
    const { headers } = (await world.provider.seen()).at(-1) ?? assert.fail();
    assert.equal(headers['cookie'], undefined);
  });

  it('answers scripts without a session with 401, and serves keys without a login', async () => {
    const page = await signedIn();
    await page.context().clearCookies();
    assert.equal(await chatFrom(page), 401);
    assert.equal((await askChat(url, { model: MODEL })).status, 401);
    const headers = { authorization: `Bearer ${KEY}` };
    assert.equal((await askChat(url, { model: MODEL, headers })).status, 200);
  });

  it('ends the session at the logout path', async () => {
    const page = await signedIn();
    const leaving = await page.context().newPage();
    await leaving.goto(`${url}/oauth2/logout`);
    assert.ok(leaving.url().startsWith(`${issuer.pages}/session/end`), leaving.url());
    assert.equal((await page.context().cookies(url)).length, 0);
    assert.equal(await chatFrom(page), 401);
  });
});
