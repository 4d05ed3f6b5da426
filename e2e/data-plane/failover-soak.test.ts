/**
 * Requests of 1 KB to 25 MB whose first provider fails in every way. FAILOVER_REQUESTS makes the
 * run long (`make failover-soak`), and FAILOVER_REPORT names a file for the figures.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { freePorts } from '../../fixtures/free-ports.ts';
import type { Behaviour } from './support/behaviour.ts';
import { CLIENT_KEY } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, type Document, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { wordsOf } from './support/words.ts';
import { CLAUDE, MODEL } from './support/world.ts';

const REQUESTS = Number(process.env['FAILOVER_REQUESTS'] ?? 80);
const REPORT = process.env['FAILOVER_REPORT'];
const CONNECTIONS = 16;
const KEYS = { first: 'sk-of-the-first-0123456789', second: 'sk-of-the-second-0123456789' };
const TOKENS = 3;
/** Longer than a busy machine takes for 25 MB; of the provider that hangs. */
const FIRST_TOKEN_MS = 3_000;
/** Backends come and go this often, in requests. */
const EDIT_EVERY = 200;

/** How first providers fail; without a behaviour nothing listens. */
const ways: Readonly<Record<string, Behaviour | undefined>> = {
  refuse: undefined,
  limited: { status: 429, headers: { 'retry-after-ms': '1' } },
  failing: { status: 500 },
  breaking: { fail: { when: 'before', how: 'reset' } },
  hanging: { delayMs: 15_000 },
};
const targets = ['spare', 'claude'];

let firsts: readonly Provider[];
let second: Provider;
let gateway: Gateway;
let documents: readonly Document[];
const failures = new Map<string, number>();
let wrongKeys = 0;
let attempts = 0;
let served = 0;

before(async () => {
  second = await startProvider({ tokens: TOKENS });
  const [deadPort = 0] = await freePorts(1);
  const ports = new Map<string, number>();
  const started: Provider[] = [];
  for (const [way, behaviour] of Object.entries(ways)) {
    if (behaviour === undefined) {
      ports.set(way, deadPort);
      continue;
    }
    const provider = await startProvider(behaviour);
    started.push(provider);
    ports.set(way, provider.port);
  }
  firsts = started;
  documents = documentsOf(ports);
  gateway = await startGateway(documents);
});
after(async () => {
  await Promise.all([...(firsts ?? []), second].map((provider) => provider?.stop()));
  await gateway?.stop();
});

function documentsOf(ports: ReadonlyMap<string, number>): readonly Document[] {
  const models = [{ name: '*', maxOutputTokens: 4096 }];
  const withKey = (key: keyof typeof KEYS): Document => ({
    credential: { type: 'APIKey', apiKey: { secretRef: { name: 'keys', key } } },
  });
  const rules = [...ports.keys()].flatMap((way) =>
    targets.map((target) => ({
      name: `${way}-${target}`,
      models: [`${way}-${target}`],
      backendRefs: [
        { name: way, model: MODEL },
        { name: target, model: target === 'claude' ? CLAUDE : MODEL, priority: 1 },
      ],
      more: {
        failover: { cooldown: '1ms', attempts: 2 },
        ...(way === 'hanging' && { timeouts: { firstToken: `${FIRST_TOKEN_MS}ms` } }),
      },
    })),
  );
  return [
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys', namespace: 'default' }, stringData: KEYS },
    ...[...ports].map(([way, port]) => backend(way, { port, models, more: withKey('first') })),
    backend('spare', { port: second.port, models, more: withKey('second') }),
    backend('claude', { schema: 'Anthropic', port: second.port, models, more: withKey('second') }),
    route('failover', rules),
    quotaPolicy('counted', 'failover', [teamQuota('out', 'OutputTokens', 1_000_000_000, { onMissingKey: 'Shared' })]),
  ];
}

/**
 * Most bodies are small, one of 27 has 300 KB, one of 203 has 5 MB, one of 1,003 has 25 MB. None of
 * these numbers is a multiple of that of the ways to fail.
 */
function bodyBytes(index: number): number {
  if (index % 1003 === 500) {
    return 25_000_000;
  }
  if (index % 203 === 40) {
    return 5_000_000;
  }
  return index % 27 === 7 ? 300_000 : 1_000 << (index % 7);
}

async function send(index: number): Promise<void> {
  const names = Object.keys(ways);
  const way = names[index % names.length]!;
  const target = targets[Math.floor(index / names.length) % targets.length]!;
  // Only streams have a first-token timeout.
  const stream = way === 'hanging' || index % 3 === 0;
  const content = 'word '.repeat(bodyBytes(index) / 5);
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${CLIENT_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: `${way}-${target}`, messages: [{ role: 'user', content }], stream }),
  });
  const text = await response.text();
  const isWhole = stream
    ? text.endsWith('data: [DONE]\n\n')
    : text.includes(`"content":${JSON.stringify(wordsOf(TOKENS))}`);
  if (response.status !== 200 || !isWhole || response.headers.has('x-should-retry')) {
    const what = `${way}-${target} ${bodyBytes(index)}: ${response.status} ${text.slice(0, 120)}`;
    failures.set(what, (failures.get(what) ?? 0) + 1);
  }
}

/** Compares what the providers saw, and forgets it: the long run would not fit into memory. */
function look(): void {
  const holds = (headers: Readonly<Record<string, string>>, key: string) => JSON.stringify(headers).includes(key);
  for (const { headers } of firsts.flatMap(({ seen }) => seen)) {
    attempts++;
    wrongKeys += holds(headers, KEYS.second) || holds(headers, CLIENT_KEY) ? 1 : 0;
  }
  for (const { headers } of second.seen) {
    served++;
    wrongKeys += holds(headers, KEYS.first) || holds(headers, CLIENT_KEY) ? 1 : 0;
  }
  for (const provider of [...firsts, second]) {
    provider.forget();
  }
}

/** Adds a backend with a rule, or removes both. */
function edit(present: boolean): void {
  const extra = [
    backend('visitor', { port: second.port }),
    route('visitor', [
      {
        name: 'visitor',
        models: ['visitor'],
        backendRefs: [{ name: 'visitor' }, { name: 'spare', model: MODEL, priority: 1 }],
        more: { failover: {} },
      },
    ]),
  ];
  gateway.edit(present ? [...documents, ...extra] : documents);
}

it(`${REQUESTS} requests fail over, none fails, and Envoy lives`, { timeout: 3_600_000 }, async (context) => {
  const envoyPid = gateway.envoyPid();
  const extprocPid = gateway.extprocPid();
  const startMs = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (let index = next++; index < REQUESTS; index = next++) {
        if (index % EDIT_EVERY === EDIT_EVERY - 1) {
          look();
          edit(Math.floor(index / EDIT_EVERY) % 2 === 0);
        }
        await send(index).catch((error: unknown) => failures.set(`${index}: ${error}`, 1));
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  look();
  const records = await gateway.recordsWhere('requests', REQUESTS, ({ line }) => line.includes('"route":'), 30_000);
  const chargedTokens = records.reduce((sum, { outputTokens = 0 }) => sum + outputTokens, 0);
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0);
  const figures = { requests: REQUESTS, failed, attempts, served, wrongKeys, records: records.length, chargedTokens };
  context.diagnostic(JSON.stringify({ ...figures, seconds: Math.round(seconds) }));
  if (REPORT !== undefined) {
    writeFileSync(REPORT, page(figures, seconds, gateway.envoyPid() === envoyPid));
  }
  assert.deepEqual([...failures].slice(0, 5), []);
  assert.equal(served, REQUESTS);
  assert.equal(wrongKeys, 0);
  assert.equal(records.length, REQUESTS);
  assert.equal(chargedTokens, REQUESTS * TOKENS);
  assert.deepEqual([gateway.envoyPid(), gateway.extprocPid()], [envoyPid, extprocPid]);
});

function page(figures: Readonly<Record<string, number>>, seconds: number, isAlive: boolean): string {
  const rows = Object.entries({ ...figures, seconds: Math.round(seconds) });
  return `# Failover soak

${new Date().toISOString()}. ${figures['requests']} requests of 1 KB to 25 MB at ${CONNECTIONS} connections. The first provider refuses the connection, answers 429 or 500, breaks the connection before its response, or sends nothing for longer than the first-token timeout; the second one speaks the same API or another. Backends come and go meanwhile. Written by \`make failover-soak\`.

| | |
|---|---:|
${rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n')}
| Envoy | ${isAlive ? 'the same process' : 'restarted'} |
`;
}
