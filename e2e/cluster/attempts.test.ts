/**
 * Failover within a request: the first provider fails in every way, and the same request reaches
 * the second one. ATTEMPTS makes the run long, and ATTEMPTS_REPORT names a file for the figures.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import OpenAI from 'openai';
import type { Behaviour } from '../data-plane/support/behaviour.ts';
import { CLIENT_KEY, say } from '../data-plane/support/clients.ts';
import { accessRecord } from '../data-plane/support/records.ts';
import { type Document, quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { wordsOf } from '../data-plane/support/words.ts';
import { install } from './support/helm.ts';
import { apply, condition, get, waitUntil } from './support/kubectl.ts';
import { type FollowedLogs, followLogs } from './support/logs.ts';
import { type ClusterProvider, startClusterProvider } from './support/provider.ts';
import { ownedBy, proxyPods } from './support/reach.ts';
import {
  backendOf,
  type ClusterWorld,
  inNamespace,
  keyOf,
  routeOf,
  startClusterWorld,
  waitUntilEnforcing,
} from './support/world.ts';

const NAMESPACE = 'tge-attempts';
const REQUESTS = Number(process.env['ATTEMPTS'] ?? 100);
const REPORT = process.env['ATTEMPTS_REPORT'];
const CONNECTIONS = 16;
const TOKENS = 3;
const MODEL = 'gpt-4o-mini';
const ANY = [{ name: '*', maxOutputTokens: 4096 }];
/** Backends come and go this often, in requests. */
const EDIT_EVERY = 200;

/** How first providers fail; without a behaviour, no pod is behind the Service. */
const ways: Readonly<Record<string, Behaviour | undefined>> = {
  refuse: undefined,
  limited: { status: 429, headers: { 'retry-after-ms': '1' } },
  failing: { status: 500 },
  breaking: { fail: { when: 'before', how: 'reset' } },
  hanging: { delayMs: 15_000 },
};
const targets = ['spare', 'claude'];
const keys = [...Object.keys(ways), ...targets].map(keyOf);

let world: ClusterWorld;
let firsts: ReadonlyMap<string, ClusterProvider>;
let logs: FollowedLogs;
const failures = new Map<string, number>();
let wrongKeys = 0;
let attempts = 0;
let served = 0;

before(async () => {
  await install();
  world = await startClusterWorld(NAMESPACE);
  // Early, because Envoy cannot try another backend while the name of one is unknown.
  const nobody = { selector: { app: 'nobody' }, ports: [{ port: 8080 }] };
  await apply([
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'refuse', namespace: NAMESPACE }, spec: nobody },
  ]);
  const failing = Object.entries(ways).filter(([, behaviour]) => behaviour !== undefined);
  firsts = new Map(
    await Promise.all(failing.map(async ([way]) => [way, await startClusterProvider(NAMESPACE, way)] as const)),
  );
  await Promise.all(failing.map(([way, behaviour]) => firsts.get(way)!.setDefaults(behaviour!)));
  await world.provider.setDefaults({ tokens: TOKENS });
  await apply([
    ...Object.keys(ways).flatMap((way) => backendOf(NAMESPACE, way, 'OpenAI', way, ANY)),
    ...backendOf(NAMESPACE, 'spare', 'OpenAI', 'provider', ANY),
    ...backendOf(NAMESPACE, 'claude', 'Anthropic', 'provider', ANY),
    routeOf(NAMESPACE, 'failover', rules()),
    ...inNamespace(NAMESPACE, [
      quotaPolicy('counted', 'failover', [teamQuota('out', 'OutputTokens', 1_000_000_000, { onMissingKey: 'Shared' })]),
    ]),
  ]);
  await waitUntil(condition('parents', 'tallygate.dev/FailoverWithinRequest', 'True'), route('failover'));
  await waitUntilEnforcing(NAMESPACE, 'failover');
  // A new leader keeps old conditions while the sidecars are still connecting.
  await waitFor('failover', async () => (await Promise.all([0, 1, 2, 3, 5, 6, 7, 8].map(send))).every(Boolean), 20_000);
  failures.clear();
  await look();
  [attempts, served, wrongKeys] = [0, 0, 0];
  const ofRoute = `"route":"${NAMESPACE}/failover"`;
  logs = followLogs(ownedBy(NAMESPACE, 'ai'), 'tallygate', (text) => text.includes(ofRoute));
});
after(async () => {
  await logs?.close();
  for (const provider of firsts?.values() ?? []) {
    provider.close();
  }
  await world?.stop();
});

const route = (name: string) => ['-n', NAMESPACE, `aigatewayroute/${name}`];

function rules(): readonly Document[] {
  return Object.keys(ways).flatMap((way) =>
    targets.map((target) => ({
      name: `${way}-${target}`,
      models: [`${way}-${target}`],
      backendRefs: [
        { name: way, model: MODEL },
        { name: target, model: target === 'claude' ? 'claude-mock-1' : MODEL, priority: 1 },
      ],
      failover: { cooldown: '1ms', attempts: 2 },
      ...(way === 'hanging' && { timeouts: { firstToken: '2s' } }),
    })),
  );
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

/** Returns whether the request got the response of the second provider. */
async function send(index: number): Promise<boolean> {
  const names = Object.keys(ways);
  const way = names[index % names.length]!;
  const target = targets[Math.floor(index / names.length) % targets.length]!;
  // Only streams have a first-token timeout.
  const stream = way === 'hanging' || index % 3 === 0;
  const content = 'word '.repeat(bodyBytes(index) / 5);
  const response = await fetch(`${world.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${CLIENT_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: `${way}-${target}`, messages: say(content), stream }),
  });
  const text = await response.text();
  const isWhole = stream
    ? text.endsWith('data: [DONE]\n\n')
    : text.includes(`"content":${JSON.stringify(wordsOf(TOKENS))}`);
  const isGood = response.status === 200 && isWhole && !response.headers.has('x-should-retry');
  if (!isGood) {
    const what = `${way}-${target} ${bodyBytes(index)}: ${response.status} ${text.slice(0, 120)}`;
    failures.set(what, (failures.get(what) ?? 0) + 1);
  }
  return isGood;
}

/** Compares what the providers saw, and forgets it: the long run would not fit into memory. */
async function look(): Promise<void> {
  const check = async (provider: ClusterProvider, own: readonly string[]): Promise<number> => {
    const seen = await provider.forget();
    for (const { headers } of seen) {
      const text = JSON.stringify(headers);
      const held = keys.filter((key) => text.includes(key));
      wrongKeys += held.length !== 1 || !own.includes(held[0]!) || text.includes(CLIENT_KEY) ? 1 : 0;
    }
    return seen.length;
  };
  for (const [way, provider] of firsts) {
    attempts += await check(provider, [keyOf(way)]);
  }
  served += await check(world.provider, targets.map(keyOf));
}

/** Adds a rule, or removes it. */
async function edit(present: boolean): Promise<void> {
  const backendRefs = [{ name: 'failing' }, { name: 'spare', model: MODEL, priority: 1 }];
  const visitor = { name: 'visitor', models: ['visitor'], backendRefs, failover: {} };
  await apply([routeOf(NAMESPACE, 'failover', present ? [...rules(), visitor] : rules())]);
}

/** Returns what changes when Envoy restarts. */
async function envoy(): Promise<readonly string[]> {
  const pods = await proxyPods(NAMESPACE, 'ai');
  return pods.flatMap(({ metadata, status }) =>
    status.containerStatuses.map((each: { readonly containerID: string; readonly restartCount: number }) =>
      [metadata.name, each.containerID, each.restartCount].join(),
    ),
  );
}

it(`${REQUESTS} requests fail over, none fails, and Envoy lives`, { timeout: 3_600_000 }, async (context) => {
  const before = await envoy();
  const [startMs, startedAtMs] = [performance.now(), Date.now()];
  let next = 0;
  let looking = Promise.resolve();
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (let index = next++; index < REQUESTS; index = next++) {
        if (index % EDIT_EVERY === EDIT_EVERY - 1) {
          const isOdd = Math.floor(index / EDIT_EVERY) % 2 === 0;
          looking = looking.then(look).then(() => edit(isOdd));
          await looking;
        }
        await send(index).catch((error: unknown) => failures.set(`${index}: ${error}`, 1));
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  await look();
  const records = () =>
    logs.lines.flatMap(({ text }) => accessRecord(text) ?? []).filter((each) => each.startedAtMs >= startedAtMs);
  await waitFor('access records', () => records().length >= REQUESTS, 30_000).catch(() => {});
  const chargedTokens = records().reduce((sum, { outputTokens = 0 }) => sum + outputTokens, 0);
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0);
  const figures = { requests: REQUESTS, failed, attempts, served, wrongKeys, records: records().length, chargedTokens };
  context.diagnostic(JSON.stringify({ ...figures, seconds: Math.round(seconds) }));
  if (REPORT !== undefined) {
    writeFileSync(REPORT, page(figures, seconds, before.join() === (await envoy()).join()));
  }
  assert.deepEqual([...failures].slice(0, 5), []);
  assert.equal(served, REQUESTS);
  assert.equal(wrongKeys, 0);
  assert.equal(records().length, REQUESTS);
  assert.equal(chargedTokens, REQUESTS * TOKENS);
  assert.deepEqual(await envoy(), before);
});

it('no client fails while the backends of a rule change', async () => {
  const openai = new OpenAI({ baseURL: `${world.url}/v1`, apiKey: CLIENT_KEY, timeout: 30_000 });
  const others = rules().filter(({ name }) => name !== 'failing-spare');
  const [found] = rules().filter(({ name }) => name === 'failing-spare');
  // While a patch is on its way, the retry of the client reaches another backend: the first rests.
  const changing = { ...found, failover: { cooldown: '2s', attempts: 2 } };
  const third = { name: 'claude', model: 'claude-mock-1', priority: 2 };
  const backendRefs = [...(found!['backendRefs'] as readonly Document[]), third];
  let running = true;
  let answered = 0;
  const clients = Array.from({ length: 4 }, async () => {
    while (running) {
      const request = { model: 'failing-spare', messages: say('Hello'), max_completion_tokens: 9 };
      const answer = await openai.chat.completions.create(request);
      assert.equal(answer.choices[0]?.message.content, wordsOf(TOKENS));
      answered++;
    }
  });
  const changes = (async () => {
    for (const rule of [{ ...changing, backendRefs }, changing]) {
      const seen = answered;
      await apply([routeOf(NAMESPACE, 'failover', [...others, rule])]);
      await waitUntilEnforcing(NAMESPACE, 'failover');
      await waitFor('answers', () => answered > seen + 100, 20_000);
    }
  })().finally(() => {
    running = false;
  });
  await Promise.all([changes, ...clients]);
});

it('a route without failover has no patch', async () => {
  await apply([
    routeOf(
      NAMESPACE,
      'failover',
      rules().map(({ failover: _, ...rule }) => rule),
    ),
  ]);
  await waitFor('removal', async () => (await get('-n', NAMESPACE, 'envoypatchpolicies')).items.length === 0, 20_000);
  const { status } = await get(...route('failover'));
  const types = status.parents[0].conditions.map(({ type }: { readonly type: string }) => type);
  assert.ok(!types.includes('tallygate.dev/FailoverWithinRequest'), types.join());
});

function page(figures: Readonly<Record<string, number>>, seconds: number, isAlive: boolean): string {
  const rows = Object.entries({ ...figures, seconds: Math.round(seconds) });
  return `# Failover soak on a cluster

${new Date().toISOString()}. ${figures['requests']} requests of 1 KB to 25 MB at ${CONNECTIONS} connections to Envoy Gateway's proxy. The first provider refuses the connection, answers 429 or 500, breaks the connection before its response, or sends nothing for longer than the first-token timeout; the second one speaks the same API or another. A rule comes and goes meanwhile. Written by \`make failover-soak-cluster\`.

| | |
|---|---:|
${rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n')}
| Envoy | ${isAlive ? 'the same process' : 'restarted'} |
`;
}
