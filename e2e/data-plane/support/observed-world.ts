/** A gateway whose metrics have all that dashboards show, and the traffic that causes them. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePort } from '../../../fixtures/free-ports.ts';
import { startRedis } from '../../../fixtures/redis-server.ts';
import { call, open } from './client.ts';
import { startGateway } from './gateway.ts';
import { readStore } from './leaks/store-outputs.ts';
import { chat, type Limited, limitedRoute } from './limits.ts';
import { startProvider } from './provider.ts';
import { backend, type Document, quotaPolicy, route, teamQuota } from './resources.ts';
import { waitFor } from './wait.ts';
import { backends, type World } from './world.ts';

export interface ObservedWorld extends World {
  /** Sends a request of each kind. */
  traffic(): Promise<void>;
  /** Opens this many streams, which stay until the returned function ends them. */
  openStreams(count: number): Promise<() => Promise<void>>;
  /** Sends requests to a backend that serves one at a time. Resolves once all are served. */
  queue(count: number): Promise<void>;
}

const TENANTS = ['search', 'ads'];
const TEAM = 'blue';
const keyOf = (tenant: string) => `tg-${tenant}-0000000000000000000000`;

const AUTHORIZED = { authorization: `Bearer ${keyOf(TENANTS[0]!)}` };

const price = (input: string, output: string) => ({ currency: 'USD', perMillionTokens: { input, output } });
const cost = (name: string, amount: string) =>
  teamQuota(name, 'Cost', 0, { limit: { type: 'Cost', amount, currency: 'USD' } });

const limits: Readonly<Record<string, Limited>> = {
  plenty: { quotas: [teamQuota('tokens', 'TotalTokens', 1_000_000)] },
  // Two requests spend most of it, in a small part of its window.
  burning: {
    quotas: [
      teamQuota('tokens', 'TotalTokens', 400, {
        window: { type: 'Sliding', sliding: { duration: '60s' } },
        alertAt: [20, 50],
      }),
    ],
  },
  cut: { quotas: [teamQuota('tokens', 'TotalTokens', 200)] },
  refused: { quotas: [teamQuota('requests', 'Requests', 1)] },
  shadow: { quotas: [teamQuota('requests', 'Requests', 1, { mode: 'Shadow' })] },
  passed: { quotas: [teamQuota('tokens', 'TotalTokens', 400), cost('dollars', '0.002')] },
  queued: { quotas: [{ ...teamQuota('running', 'ConcurrentRequests', 1, { queueTimeout: '5s' }), window: undefined }] },
};

function rulesOf(detectorPort: number): readonly Document[] {
  const builtin = (name: string, detector: string, action: Document) => ({
    name,
    phases: ['Request'],
    detect: { type: 'Builtin', builtin: { detectors: [detector] } },
    action,
  });
  return [
    builtin('addresses', 'Email', { type: 'Mask' }),
    builtin('cards', 'CreditCard', { type: 'Block' }),
    builtin('hosts', 'IPAddress', { type: 'Monitor' }),
    {
      name: 'away',
      phases: ['Request'],
      detect: { type: 'Webhook', webhook: { url: `http://127.0.0.1:${detectorPort}/` } },
      action: { type: 'FromDetector' },
      onFailure: 'Open',
    },
  ];
}

const ofGateway = { targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }] };
const secretSelector = { matchLabels: { 'tallygate.dev/api-key': 'true' } };

async function documents(port: number, oddPort: number): Promise<readonly Document[]> {
  const model = 'gpt-4o-mini';
  const models = [{ name: model, maxOutputTokens: 16_384, prices: price('2.5', '10') }];
  const api = 'tallygate.dev/v1alpha1';
  return [
    ...backends(port).slice(1),
    backend('openai', { port, models }),
    backend('odd', { port: oddPort }),
    ...limitedRoute(limits),
    backend('spare', { port, models }),
    route('failing', [
      {
        name: 'failing',
        models: ['failing'],
        backendRefs: [
          { name: 'openai', model },
          { name: 'spare', model, priority: 1 },
        ],
        more: { failover: { cooldown: '1ms' } },
      },
    ]),
    route('odd', [{ name: 'odd', models: ['odd'], backendRefs: [{ name: 'odd' }] }]),
    quotaPolicy('odd', 'odd', [teamQuota('tokens', 'TotalTokens', 1_000_000, { unmetered: 'Allow' })]),
    ...TENANTS.map((tenant) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: `key-${tenant}`,
        namespace: 'default',
        labels: secretSelector.matchLabels,
        annotations: { 'tallygate.dev/tenant': tenant, 'tallygate.dev/user': 'ada' },
      },
      stringData: { apiKey: keyOf(tenant) },
    })),
    {
      apiVersion: api,
      kind: 'AIAccessPolicy',
      metadata: { name: 'internal', namespace: 'default' },
      spec: {
        ...ofGateway,
        authenticate: [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector } }],
        allow: [{ name: 'tenants', principals: TENANTS.map((tenant) => ({ tenant })) }],
      },
    },
    {
      // There is no such destination, so content is dropped.
      apiVersion: api,
      kind: 'AIContentPolicy',
      metadata: { name: 'reviews', namespace: 'default' },
      spec: { ...ofGateway, content: ['Prompt'], destinations: ['OTLPLogs'] },
    },
    {
      apiVersion: api,
      kind: 'AIGuardrailPolicy',
      metadata: { name: 'company', namespace: 'default' },
      spec: { ...ofGateway, rules: rulesOf(await freePort()) },
    },
  ];
}

/** Starts a server that answers with what no client API has. */
async function startOddProvider(): Promise<http.Server> {
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => response.setHeader('content-type', 'application/json').end('<html>'.repeat(9)));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

export async function startObservedWorld(): Promise<ObservedWorld> {
  const [redis, provider, odd] = await Promise.all([startRedis(), startProvider(), startOddProvider()]);
  const stop = async () => {
    odd.closeAllConnections();
    odd.close();
    await readStore(redis.port);
    await Promise.all([provider.stop(), redis.stop()]);
  };
  try {
    const environment = {
      TALLYGATE_QUOTA_STORE_URL: `redis://127.0.0.1:${redis.port}?keyPrefix=e2e`,
      // Nobody listens, so spans are dropped.
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${await freePort()}/v1/traces`,
    };
    const gateway = await startGateway(await documents(provider.port, (odd.address() as AddressInfo).port), {
      environment,
    });
    const world: World = { provider, gateway, stop: async () => {} };
    return {
      provider,
      gateway,
      traffic: () => sendAll(world),
      openStreams: (count) => openStreams(world, count),
      queue: async (count) => {
        const mock = { tokens: 50, paceMs: 5 };
        const ask = () => chat(world, 'queued', { team: TEAM, headers: AUTHORIZED, mock, body: { stream: true } });
        await Promise.all(Array.from({ length: count }, ask));
      },
      stop: async () => {
        await gateway.stop();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function openStreams({ gateway }: World, count: number): Promise<() => Promise<void>> {
  const body = { model: 'plenty', messages: [{ role: 'user', content: 'Hello' }], stream: true };
  const options = { headers: { ...AUTHORIZED, 'x-team': TEAM }, mock: { tokens: 10_000, paceMs: 20 } };
  const opened = await Promise.all(
    Array.from({ length: count }, () => open(`${gateway.url}/v1/chat/completions`, body, options)),
  );
  return async () => {
    for (const one of opened) {
      one.abort();
    }
    await Promise.all(opened.map(({ done }) => done));
  };
}

async function sendAll(world: World): Promise<void> {
  const { gateway } = world;
  const headers = AUTHORIZED;
  const stream = { stream: true };
  const ask = (model: string, mock: object, body: Document = {}) =>
    chat(world, model, { team: TEAM, headers, mock: { tokens: 20, paceMs: 1, ...mock }, body });
  const says = (content: string) => ({ messages: [{ role: 'user', content }] });
  const bounded = { max_completion_tokens: 10 };
  const ignoring = { tokens: 600, keepsBounds: false };
  const leave = async () => {
    const body = { model: 'plenty', ...says('Hello'), ...stream };
    const options = { headers: { ...headers, 'x-team': TEAM }, mock: { tokens: 5_000, paceMs: 2 } };
    const opened = await open(`${gateway.url}/v1/chat/completions`, body, options);
    await waitFor('a token', () => opened.text().includes('content'));
    opened.abort();
    await opened.done;
  };
  await Promise.all([
    ask('plenty', {}),
    ask('plenty', {}, stream),
    chat(world, 'plenty', { team: TEAM, headers: { authorization: `Bearer ${keyOf(TENANTS[1]!)}` }, body: stream }),
    ask('plenty', { status: 503 }),
    ask('plenty', { status: 429 }),
    ask('failing', { status: 503 }),
    ask('plenty', { tokens: 500, fail: { when: 'in', how: 'reset' } }, stream),
    ask('plenty', {}, says('Write to ada@example.com, not to 203.0.113.7.')),
    ask('plenty', {}, says('My card is 4111 1111 1111 1111.')),
    ask('unknown', {}),
    leave(),
    chat(world, 'plenty', { team: TEAM }),
    call(
      `${gateway.url}/v1/chat/completions`,
      { model: 'odd', ...says('Hello') },
      { headers: { ...headers, 'x-team': TEAM } },
    ),
    ask('burning', { tokens: 120 }, stream),
    ask('cut', { tokens: 900 }, stream),
    ask('refused', {}),
    ask('shadow', {}),
    ask('passed', ignoring, bounded),
    ask('queued', { tokens: 30, paceMs: 5 }, stream),
    ask('queued', { tokens: 30, paceMs: 5 }, stream),
  ]);
  // A further request after what the first one has spent.
  await Promise.all([ask('refused', {}), ask('shadow', {}), ask('cut', {})]);
}
