/**
 * The console of `tallygate run`: operators and tenants over its API, and the page in Chromium.
 * What is stopped ends for a real client as its API defines.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import axe, { type AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { freePorts } from '../../fixtures/free-ports.ts';
import { newPage, startChromium, withoutChromium } from './support/chromium.ts';
import { anthropicClient, mock, openaiClient, say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Document, quotaPolicy } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { wordCount } from './support/words.ts';
import { CLAUDE, MODEL, startWorld, type World } from './support/world.ts';

const RED_KEY = 'tg-red-00000000000000000000';
const BLUE_KEY = 'tg-blue-0000000000000000000';
const OPERATOR_KEY = 'tg-ops-00000000000000000000';
const FIRST_CHART_MS = 60_000;
const endless = { tokens: 5_000, paceMs: 5 };

/** Screenshots for the guide are written where this names a folder. */
const pictures = process.env['CONSOLE_PICTURES'];

function keySecret(tenant: string, user: string, apiKey: string, groups = ''): Document {
  const annotations = { 'tallygate.dev/tenant': tenant, 'tallygate.dev/user': user, 'tallygate.dev/groups': groups };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `key-${tenant}`, namespace: 'default', labels: { 'tallygate.dev/api-key': 'true' }, annotations },
    stringData: { apiKey },
  };
}

const policies: readonly Document[] = [
  keySecret('red', 'ada', RED_KEY),
  keySecret('blue', 'bob', BLUE_KEY),
  keySecret('ops', 'eve', OPERATOR_KEY, 'platform'),
  {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'teams', namespace: 'default' },
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
      authenticate: [
        {
          name: 'keys',
          type: 'APIKey',
          apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
        },
      ],
      allow: [{ name: 'everyone', principals: [{ authenticated: true }], models: [MODEL, 'claude-*'] }],
    },
  },
  quotaPolicy('per-tenant', 'chat', [
    {
      name: 'tokens',
      limit: { type: 'TotalTokens', amount: 100_000 },
      window: { type: 'Calendar', calendar: { unit: 'Month', timeZone: 'UTC' } },
      key: [{ type: 'Tenant' }],
    },
  ]),
];

let world: World;
let fresh: FreshGateway | undefined;
let browser: Browser | undefined;
before(async () => {
  const environment = { TALLYGATE_CONSOLE_OPERATORS: 'tenant=ops&group=platform' };
  [world, fresh, browser] = await Promise.all([
    startWorld(policies, {}, { environment }),
    withoutChromium === false ? startFresh() : undefined,
    withoutChromium === false ? startChromium() : undefined,
  ]);
});
// Their ends take seconds each.
after(() => Promise.all([world?.stop(), fresh?.gateway.stop(), browser?.close()]));

interface FreshGateway {
  readonly gateway: Gateway;
  readonly startMs: number;
}

/** Starts the example of the quickstart by `make run`. */
async function startFresh(): Promise<FreshGateway> {
  const [port = 0] = await freePorts(1);
  const example = readFileSync(path.join(import.meta.dirname, '../../examples/quickstart.yaml'), 'utf8');
  const startedAtMs = performance.now();
  const gateway = await startGateway([], { yaml: example.replace('8080', String(port)), port, isByMake: true });
  return { gateway, startMs: performance.now() - startedAtMs };
}

function openai(key: string) {
  return openaiClient(world.gateway.url, { authorization: `Bearer ${key}` });
}

interface Rows {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

async function ask(key: string, call: string, method = 'GET'): Promise<{ status: number; body: Rows }> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const response = await fetch(`${world.gateway.metricsUrl}/console/api/${call}`, { method, headers });
  return { status: response.status, body: (await response.json()) as Rows };
}

async function rowsOf(key: string, call: string): Promise<Rows['rows']> {
  const { status, body } = await ask(key, call);
  assert.equal(status, 200, JSON.stringify(body));
  return body.rows;
}

/** Returns a stream in flight of a model, once some of it has arrived. */
async function inFlight(model: string): Promise<Readonly<Record<string, unknown>>> {
  let found: Readonly<Record<string, unknown>> | undefined;
  await waitFor('stream in flight', async () => {
    const rows = await rowsOf(OPERATOR_KEY, 'streams');
    found = rows.find((row) => row['model'] === model && Number(row['outputTokens']) > 20);
    return found !== undefined;
  });
  return found!;
}

async function stopStream(model: string): Promise<void> {
  const { id } = await inFlight(model);
  const { body } = await ask(OPERATOR_KEY, `streams/${id}/stop`, 'POST');
  assert.deepEqual(body, { outcome: 'stopped' });
}

describe('the API of the console', () => {
  it('stops a stream of chat completions, which ends properly and is charged for what arrived', async () => {
    const request = { model: MODEL, messages: say('Hello'), stream_options: { include_usage: true } };
    const { record } = await world.gateway.recordOf(async () => {
      const stream = openai(RED_KEY).chat.completions.stream(request, mock(endless));
      const [final] = await Promise.all([stream.finalChatCompletion(), stopStream(MODEL)]);
      const delivered = wordCount(final.choices[0]?.message.content ?? '');
      assert.equal(final.choices[0]?.finish_reason, 'length');
      assert.equal(final.usage?.completion_tokens, delivered);
      assert.ok(delivered > 20 && delivered < endless.tokens, `${delivered}`);
    });
    const line = JSON.parse(record.line);
    assert.deepEqual([line.stoppedBy, line.decision, line.status], ['ops/eve', 'admitted', 200]);
    const seen = world.provider.seen.at(-1);
    await waitFor('closed upstream', () => seen?.abortedAtMs !== undefined);
    assert.ok((seen?.outputTokens ?? 0) - line.tokens.output < 40);
    assert.match(world.gateway.log(), /"by":"ops\/eve".*operator stopped a request/);
  });

  it('stops a stream of messages, which ends properly', async () => {
    const client = anthropicClient(world.gateway.url, { authorization: `Bearer ${RED_KEY}` });
    const request = { model: CLAUDE, max_tokens: 10_000, messages: say('Hello') };
    const stream = client.messages.stream(request, mock(endless));
    const [final] = await Promise.all([stream.finalMessage(), stopStream(CLAUDE)]);
    assert.equal(final.stop_reason, 'max_tokens');
  });

  it('shows a tenant nothing of its neighbour, and stops nothing for it', async () => {
    const blue = openai(BLUE_KEY).chat.completions.stream({ model: MODEL, messages: say('Hello') }, mock(endless));
    const ended = blue.finalChatCompletion();
    const { id } = await inFlight(MODEL);
    await assert.rejects(openai(BLUE_KEY).chat.completions.create({ model: 'gpt-none', messages: say('Hello') }));
    await waitFor('usage of red', async () => (await rowsOf(RED_KEY, 'usage?by=tenant')).length > 0);
    for (const [call, ofBlue] of [
      ['streams', 1],
      ['refusals', 1],
      ['budgets', 1],
    ] as const) {
      assert.equal((await rowsOf(BLUE_KEY, call)).length, ofBlue, call);
      assert.doesNotMatch(JSON.stringify(await rowsOf(RED_KEY, call)), /blue|bob/, call);
    }
    assert.deepEqual(
      (await rowsOf(RED_KEY, 'usage?by=tenant,user')).map(({ group }) => group),
      [{ tenant: 'red', user: 'ada' }],
    );
    assert.equal((await ask(RED_KEY, `streams/${id}/stop`, 'POST')).status, 403);
    assert.equal((await ask('tg-unknown-0000000000000000', 'streams')).status, 401);
    assert.equal((await ask(OPERATOR_KEY, `streams/${id}/stop`, 'POST')).status, 200);
    assert.equal((await ended).choices[0]?.finish_reason, 'length');
  });

  it('refuses an address that guesses credentials, and nobody else', async () => {
    const send = async (address: string, key: string) => {
      const headers = { authorization: `Bearer ${key}`, 'x-forwarded-for': address };
      return await fetch(`${world.gateway.metricsUrl}/console/api/me`, { headers });
    };
    for (let nth = 0; nth < 30; nth++) {
      const { status } = await send('192.0.2.1', `tg-guess-${nth}`);
      assert.equal(status, 401);
    }
    const limited = await send('192.0.2.1', 'tg-guess');
    assert.deepEqual([limited.status, Number(limited.headers.get('retry-after')) > 0], [429, true]);
    assert.equal((await send('192.0.2.2', 'tg-guess')).status, 401);
    assert.equal((await send('192.0.2.1', RED_KEY)).status, 200);
  });
});

async function signIn(page: Page, key: string): Promise<Page> {
  await page.goto(`${world.gateway.metricsUrl}/console/`);
  await page.getByLabel('API key or token').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Spend' }).waitFor();
  return page;
}

/** Returns the problems of accessibility that axe finds, by all of its rules or by some. */
async function violations(page: Page, ...rules: readonly string[]): Promise<readonly string[]> {
  await page.evaluate(`window.axe ?? ${axe.source}`);
  const options = rules.length === 0 ? {} : { runOnly: rules };
  const { violations: found } = await page.evaluate<AxeResults>(`axe.run(${JSON.stringify(options)})`);
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

async function picture(page: Page, name: string): Promise<void> {
  if (pictures !== undefined) {
    mkdirSync(pictures, { recursive: true });
    await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
  }
}

/** The tests of a page follow one another: a page takes a second to load. */
describe('the page of the console', { skip: withoutChromium }, () => {
  const foreign: string[] = [];
  let ofOperator: Page;
  let ofTenant: Page;

  /** Returns a page whose errors, and requests to elsewhere, are noted. */
  async function watchedPage(): Promise<Page> {
    const page = await newPage(browser!);
    page.on('console', (message) => {
      // The page asks once before somebody has signed in.
      if (message.type() === 'error' && !message.text().includes('401 (Unauthorized)')) {
        foreign.push(message.text());
      }
    });
    page.on('pageerror', (error) => foreign.push(String(error)));
    page.on('request', (request) => {
      if (!/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(request.url())) {
        foreign.push(request.url());
      }
    });
    return page;
  }

  it('stops a stream for an operator who asks for it', async () => {
    const stream = openai(BLUE_KEY).chat.completions.stream({ model: MODEL, messages: say('Hello') }, mock(endless));
    const ended = stream.finalChatCompletion();
    const page = await watchedPage();
    ofOperator = page;
    await Promise.all([signIn(page, OPERATOR_KEY), inFlight(MODEL)]);
    const button = page.getByRole('button', { name: `Stop blue / bob, ${MODEL}` });
    await button.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Stop this request?' }).waitFor();
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press('Escape');
    assert.equal(await button.count(), 1);
    await button.click();
    await page.getByRole('button', { name: 'Stop the request' }).click();
    await page.getByText('The request was stopped').waitFor();
    assert.equal((await ended).choices[0]?.finish_reason, 'length');
    await button.waitFor({ state: 'detached' });
  });

  it('sums up what needs a look, and downloads the spend', async () => {
    const page = ofOperator;
    const summary = page.getByRole('region', { name: 'Summary' });
    await summary.getByText(/^\d+ requests$/).waitFor();
    await summary.getByText(/^Tenant (red|blue), default\/per-tenant\/tokens$/).waitFor();
    await summary.getByText('most: model_not_allowed').waitFor();
    await page.getByRole('combobox', { name: 'By' }).selectOption('tenant');
    await page.getByRole('region', { name: 'Table: Tokens by tenant' }).getByText('blue').waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download CSV' }).click(),
    ]);
    assert.equal(download.suggestedFilename(), 'spend-by-tenant-and-hour.csv');
    const lines = readFileSync(await download.path(), 'utf8').split('\r\n');
    assert.equal(lines[0], '\uFEFFhour,tenant,requests,input,cached,output,reasoning');
    assert.ok(
      lines.some((line) => /^[\dT-]+,red,\d+,\d+,0,\d+,0$/.test(line)),
      lines.join(' '),
    );
  });

  it('is accessible in light and in dark mode, and on a narrow screen', async () => {
    const page = ofOperator;
    await page.getByRole('img', { name: /^Chart: / }).waitFor();
    await page.getByRole('region', { name: 'Table: Refused requests' }).getByRole('link').first().click();
    await page.getByRole('region', { name: 'Table: Request 1' }).getByText('model_not_allowed').waitFor();
    await page.getByText('Tokens by tenant and hour, as a table').click();
    await page.getByRole('region', { name: 'Table: Tokens by tenant and hour' }).waitFor();
    for (const [colorScheme, expected] of [
      ['light', 'rgb(246, 247, 248)'],
      ['dark', 'rgb(20, 24, 27)'],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      assert.equal(await page.evaluate('getComputedStyle(document.body).backgroundColor'), expected);
      assert.deepEqual(await violations(page, ...(colorScheme === 'light' ? [] : ['color-contrast'])), []);
      assert.ok(await page.evaluate(hasBar), `no bar in the colors of the ${colorScheme} mode`);
      await picture(page, `console-${colorScheme}`);
    }
    await page.setViewportSize({ width: 360, height: 740 });
    const width = await page.evaluate('document.documentElement.scrollWidth');
    assert.ok(Number(width) <= 360, `the page is ${width} pixels wide`);
    assert.deepEqual(await violations(page, 'scrollable-region-focusable', 'target-size'), []);
    await picture(page, 'console-narrow');
  });

  it('wants a credential that is valid', async () => {
    const page = await watchedPage();
    ofTenant = page;
    await page.goto(`${world.gateway.metricsUrl}/console/`);
    await page.getByText('The request has no credential').waitFor();
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press('Tab');
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('The credential is not valid').waitFor();
  });

  it('is usable by the keyboard alone', async () => {
    const page = ofTenant;
    await page.keyboard.press('ControlOrMeta+A');
    await page.keyboard.type(RED_KEY);
    await page.keyboard.press('Enter');
    await page.getByRole('region', { name: 'Table: Budgets' }).waitFor();
    const wanted = ['Spend', 'Backends', 'Refresh automatically', 'Sign out', 'By', 'Table: Budgets', 'Explain'];
    const reached = new Set<string>();
    for (let presses = 0; presses < 40 && reached.size < wanted.length; presses++) {
      await page.keyboard.press('Tab');
      const name = String(await page.evaluate(focusedName));
      wanted.filter((each) => name === each).forEach((each) => void reached.add(each));
    }
    assert.deepEqual([...reached].sort(), wanted.toSorted());
  });

  it('shows tenants their own rows, without the means of operators', async () => {
    const page = ofTenant;
    await page.getByRole('region', { name: 'Table: Budgets' }).getByText('Tenant red').waitFor();
    const text = (await page.locator('body').textContent()) ?? '';
    assert.doesNotMatch(text, /blue|bob/);
    assert.match(text, /red \/ ada/);
    assert.equal(await page.getByRole('button', { name: /^Stop/ }).count(), 0);
    await page.getByLabel('Request id').fill('no-such-request');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('No such request is recorded').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key or token').waitFor();
    assert.equal(await page.evaluate('sessionStorage.length'), 0);
  });

  it('asks for a credential again when that one has expired', async () => {
    const page = ofTenant;
    const json = { error: { message: 'The token has expired.' } };
    await page.route(/\/console\/api\/streams/, (route) => route.fulfill({ status: 401, json }));
    await page.getByLabel('API key or token').fill(RED_KEY);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The token has expired.').waitFor();
    await page.getByLabel('API key or token').waitFor();
    assert.equal(await page.evaluate('sessionStorage.length'), 0);
  });

  it('names the gateway of each row of a cluster, and what is missing', async () => {
    const page = ofOperator;
    const startedAt = new Date().toISOString();
    const stream = { id: 'a-1', stream: true, startedAt, inputTokens: 1, outputTokens: 2, heldTokens: 3 };
    const budget = { quota: 'a/b/c', key: [], keyNames: [], window: 'Month', spent: 1, held: 0, limit: 10 };
    const bodies = {
      streams: {
        rows: [
          { ...stream, gateway: 'envoy-one' },
          { ...stream, gateway: 'envoy-two' },
        ],
        total: 2,
        unanswered: 2,
      },
      budgets: { rows: [{ ...budget, gateway: 'shared store' }], total: 1, unanswered: 1 },
      usage: { rows: [], total: 0, withoutStore: true },
    };
    for (const [call, json] of Object.entries(bodies)) {
      await page.route(new RegExp(`/console/api/${call}`), (route) => route.fulfill({ json }));
    }
    await page.setViewportSize({ width: 1280, height: 720 });
    await page.reload();
    const table = page.getByRole('region', { name: 'Table: Requests in flight' });
    await table.getByRole('columnheader', { name: 'gateway' }).waitFor();
    assert.deepEqual(await table.locator('tbody td:first-child').allTextContents(), ['envoy-one', 'envoy-two']);
    await page.getByText('Without 2 gateways that did not answer.').waitFor();
    await page.getByText('Without a gateway that did not answer.').waitFor();
    await page.getByText('Without the shared store, which did not answer.').waitFor();
    assert.equal(await page.getByRole('region', { name: 'Table: Budgets' }).getByText('shared store').count(), 1);
    await picture(page, 'console-cluster');
  });

  it('says so while the gateway is away, and goes on when it is back', async () => {
    const page = ofOperator;
    await page.unrouteAll();
    page.removeAllListeners();
    await page.clock.install();
    await page.clock.runFor(3_000);
    const streams = page.getByRole('region', { name: 'Requests in flight', exact: true });
    await streams.getByText('No request is in flight').waitFor();
    await page.context().setOffline(true);
    await page.clock.runFor(3_000);
    await streams.getByText('The gateway cannot be reached').waitFor();
    await page.context().setOffline(false);
    await page.clock.runFor(3_000);
    await streams.getByText('The gateway cannot be reached').waitFor({ state: 'detached' });
  });

  it('shows the first chart within a minute of `make run`', async (t) => {
    const { gateway, startMs } = fresh!;
    const openedAtMs = performance.now();
    const page = await watchedPage();
    await page.goto(`${gateway.metricsUrl}/console/`);
    await page.getByText('this machine (operator)').waitFor();
    await page.getByText('No usage is recorded in this time').waitFor();
    await page.getByText('No budget has anything spent or held').waitFor();
    const client = openaiClient(gateway.url);
    await client.chat.completions.create({ model: 'tallygate/echo', messages: say('How much does this cost?') });
    await page.getByRole('img', { name: /^Chart: Tokens by model/ }).waitFor();
    await page.getByRole('region', { name: 'Table: Tokens by model' }).getByText('tallygate/echo').waitFor();
    assert.ok(await page.evaluate(hasBar), 'the chart has no bar');
    const tookMs = startMs + performance.now() - openedAtMs;
    t.diagnostic(`${tookMs.toFixed(0)} ms from make run to the first chart`);
    assert.ok(tookMs < FIRST_CHART_MS, `${tookMs} ms`);
    await picture(page, 'console-first-chart');
  });

  it('needs nothing from elsewhere and reports no error', () => {
    assert.deepEqual(foreign, []);
  });
});

/** Runs in the page: the name of the element with the focus. */
const focusedName = `(() => {
  const { ariaLabel, labels, textContent } = document.activeElement;
  const label = labels?.[0]?.firstChild?.nodeType === Node.TEXT_NODE ? labels[0].firstChild : labels?.[0];
  return ariaLabel ?? label?.textContent ?? textContent;
})()`;

/** Runs in the page: whether the chart has a pixel in the color of the first series. */
const hasBar = `(() => {
  const probe = document.body.appendChild(document.createElement('span'));
  probe.style.color = 'var(--series-1)';
  const wanted = getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).join();
  probe.remove();
  const canvas = document.querySelector('.chart canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) {
    if (data.subarray(at, at + 3).join() === wanted) {
      return true;
    }
  }
  return false;
})()`;
