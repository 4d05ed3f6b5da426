/**
 * From `helm install` to dashboards with data: a real Prometheus reads what the monitors of the
 * chart select, and evaluates the queries of the installed dashboards and rules. Chromium shows
 * what they return.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser } from 'playwright-core';
import { type PrometheusServer, skipWithoutPrometheus, startPrometheus } from '../../fixtures/prometheus-server.ts';
import { newPage, startChromium, withoutChromium } from '../data-plane/support/chromium.ts';
import { anthropicClient, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { emptyQueries, panelsIn, type ShownDashboard, withoutVariables } from '../data-plane/support/dashboards.ts';
import { type Document, quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { dashboardPage } from './support/dashboard-picture.ts';
import { helm, install, RELEASE, SYSTEM } from './support/helm.ts';
import { get, repository } from './support/kubectl.ts';
import { defineMonitors, ruleFile, scrapeConfigs } from './support/monitors.ts';
import { backendOf, type ClusterWorld, routeOf, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-dashboards';
const PRICED = 'gpt-4o';
const CLAUDE = 'claude-mock-1';
const WINDOW = '20s';
const TENANTS = ['search', 'ads'];
const MOST_SECONDS = 300;
/** With the chart's interval of 30 s, Grafana computes rates over two minutes. */
const RATE_SECONDS = 120;

/** The folder of the screenshots. */
const pictures = process.env['DASHBOARD_PICTURES'] ?? path.join(repository, '.tools/dashboards');
const outside = process.env['E2E_KUBECONFIG'] !== undefined && 'Prometheus runs in the network of the node';
const skip = skipWithoutPrometheus || outside;

const values = [
  'monitoring.enabled=true',
  'monitoring.interval=1s',
  'monitoring.rules.enabled=true',
  'monitoring.dashboards.enabled=true',
  'networkPolicies.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring',
];

const ofGateway = { targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }] };
const secretSelector = { matchLabels: { 'tallygate.dev/api-key': 'true' } };
const keyOf = (tenant: string) => `tg-${tenant}-0000000000000000000000`;

const prices = { currency: 'USD', perMillionTokens: { input: '2.5', output: '10' } };

const policies: readonly Document[] = [
  ...backendOf(NAMESPACE, 'priced', 'OpenAI', 'provider', [{ name: PRICED, maxOutputTokens: 16_384, prices }]),
  routeOf(NAMESPACE, 'priced', [{ name: 'priced', models: [PRICED], backendRefs: [{ name: 'priced' }] }]),
  quotaPolicy('teams', 'priced', [
    teamQuota('tokens', 'TotalTokens', 100_000, {
      alertAt: [1],
      overrides: [{ when: 'headers["x-team"] == "small"', amount: 500 }],
    }),
    teamQuota('dollars', 'Cost', 0, { limit: { type: 'Cost', amount: '100', currency: 'USD' } }),
  ]),
  ...TENANTS.map((tenant) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: `key-${tenant}`,
      labels: secretSelector.matchLabels,
      annotations: { 'tallygate.dev/tenant': tenant },
    },
    stringData: { apiKey: keyOf(tenant) },
  })),
  {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'internal' },
    spec: {
      ...ofGateway,
      authenticate: [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector } }],
      allow: [{ name: 'tenants', principals: TENANTS.map((tenant) => ({ tenant })) }],
    },
  },
  {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIGuardrailPolicy',
    metadata: { name: 'company' },
    spec: {
      ...ofGateway,
      rules: [
        {
          name: 'addresses',
          phases: ['Request'],
          detect: { type: 'Builtin', builtin: { detectors: ['Email'] } },
          action: { type: 'Mask' },
        },
      ],
    },
  },
];

/** What stays empty without failures, traces, content policies and a shared store. */
const ofTrouble =
  /error_type|_(backend_attempts|backend_failures|content_dropped|exhausted_at|guardrail_failures|overdraft|quota_store|quota_wait|shadow_refused|spans|unmetered)/;

describe('the dashboards of the chart', { skip }, () => {
  let world: ClusterWorld;
  let prometheus: PrometheusServer;
  let dashboards: readonly ShownDashboard[];
  let startedAtMs: number;
  let browser: Promise<Browser> | undefined;
  let folder: string | undefined;

  before(async () => {
    await defineMonitors();
    await helm('uninstall', RELEASE, '-n', SYSTEM, '--ignore-not-found', '--wait');
    startedAtMs = performance.now();
    await install({ values });
    world = await startClusterWorld(NAMESPACE, policies);
    folder = mkdtempSync(path.join(tmpdir(), 'tallygate-rules-'));
    const rules = path.join(folder, 'rules.yaml');
    writeFileSync(rules, JSON.stringify(await ruleFile(SYSTEM)));
    prometheus = await startPrometheus({
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: [rules],
      scrape_configs: await scrapeConfigs(SYSTEM),
    });
    browser = withoutChromium ? undefined : startChromium();
    // The sidecar of Grafana reads the ConfigMaps with this label.
    const { items } = await get('configmaps', '-A', '-l', 'grafana_dashboard=1');
    dashboards = (items as readonly { readonly data: Readonly<Record<string, string>> }[])
      .flatMap(({ data }) => Object.values(data))
      .map((json) => JSON.parse(json) as ShownDashboard);
  });
  after(async () => {
    await (await browser)?.close();
    await prometheus?.stop();
    await world?.stop();
    if (folder !== undefined) {
      rmSync(folder, { recursive: true });
    }
  });

  async function emptyPanels(): Promise<readonly string[]> {
    const found = dashboards.map(async (dashboard) => {
      const empty = await emptyQueries(prometheus, panelsIn(dashboard), WINDOW);
      return empty.filter((query) => !ofTrouble.test(query)).map((query) => `${dashboard.title}: ${query}`);
    });
    return (await Promise.all(found)).flat();
  }

  it('have data within five minutes of the installation', async () => {
    assert.equal(dashboards.length, 6);
    let empty: readonly string[] = [];
    const isFilled = async () => {
      await traffic();
      empty = await emptyPanels();
      return empty.length === 0;
    };
    await waitFor('data in each panel', isFilled, 60_000, () => empty.join('\n'));
    const seconds = (performance.now() - startedAtMs) / 1000;
    console.log(`dashboards have data after ${seconds.toFixed(1)} s`);
    assert.ok(seconds + RATE_SECONDS < MOST_SECONDS);
  });

  it('have values in each filter', async () => {
    for (const { title, templating } of dashboards) {
      for (const { type, name, query } of templating.list.filter((variable) => variable.type === 'query')) {
        const text = typeof query === 'string' ? query : query.query;
        const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(text) ?? [];
        const values = await prometheus.query(`group by (${label}) (${metric}{${label}!=""})`);
        assert.ok(values.length > 0, `${title}: ${type} ${name}`);
      }
    }
  });

  it('have rules beside them that record the load, and no critical alert fires', async () => {
    const records = await prometheus.query('{__name__=~"tallygate:backend_(requests|requests_waiting|tokens):sum"}');
    const ofPriced = records.filter(({ labels }) => labels['backend_name'] === 'priced');
    assert.equal(ofPriced.length, 3);
    const wrong = await prometheus.query('up == 0 or ALERTS{alertstate="firing", severity="critical"}');
    assert.deepEqual(wrong, []);
  });

  it('are drawn', { skip: withoutChromium }, async () => {
    const page = await newPage((await browser)!);
    mkdirSync(pictures, { recursive: true });
    const end = Date.now() / 1000;
    const times = { start: end - 15, end, step: 1 };
    for (const dashboard of dashboards) {
      const queried = dashboard.panels.map(async (panel) => {
        const { targets = [] } = panel;
        const found = targets.map(({ expr }) => prometheus.queryRange(withoutVariables(expr, WINDOW), times));
        return [panel, await Promise.all(found)] as const;
      });
      await page.setContent(dashboardPage(dashboard, new Map(await Promise.all(queried))));
      const empty = await page.locator('.empty h3').allTextContents();
      assert.ok(empty.length < panelsIn(dashboard).length / 2, `${dashboard.title}: ${empty.join()} are empty`);
      const name = dashboard.title
        .replace(/^.*\/ /, '')
        .replaceAll(' ', '-')
        .toLowerCase();
      await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
    }
  });

  /** Sends requests of both tenants, one without a key, and one past the budget of a team. */
  async function traffic(): Promise<void> {
    const behaviour = mock({ tokens: 30, paceMs: 10 });
    const messages = say('Write to ada@example.com');
    const small = { 'x-team': 'small', authorization: `Bearer ${keyOf('ads')}` };
    const cut = openaiClient(world.url, small).chat.completions.stream(
      { model: PRICED, messages },
      mock({ tokens: 2_500, paceMs: 1 }),
    );
    const stranger = openaiClient(world.url).chat.completions.create({ model: PRICED, messages }, behaviour);
    const served = TENANTS.flatMap((tenant) => {
      const headers = { 'x-team': tenant, authorization: `Bearer ${keyOf(tenant)}` };
      const { completions } = openaiClient(world.url, headers).chat;
      const { messages: claude } = anthropicClient(world.url, headers);
      return [
        completions.create({ model: PRICED, messages, max_completion_tokens: 50 }, behaviour),
        completions.stream({ model: PRICED, messages }, behaviour).done(),
        completions.stream({ model: 'gpt-4o-mini', messages }, behaviour).done(),
        claude.stream({ model: CLAUDE, max_tokens: 50, messages }, behaviour).done(),
      ];
    });
    await Promise.all([...served, Promise.allSettled([cut.done(), stranger])]);
  }
});
