/**
 * A stream of 90 s continues while routes, backends and quota policies are created and removed on
 * its listener, in its own and another namespace, and while two teams share a host name. Envoy
 * keeps its listener: a new one would end old streams after the drain time.
 */

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import OpenAI from 'openai';
import { call } from '../data-plane/support/client.ts';
import { mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { accessRecord } from '../data-plane/support/records.ts';
import { type Document, quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor, within } from '../data-plane/support/wait.ts';
import { wordsOf } from '../data-plane/support/words.ts';
import { install } from './support/helm.ts';
import { apply, get, kubectl, waitUntil } from './support/kubectl.ts';
import { namespaceOf, removeNamespaces } from './support/namespaces.ts';
import { proxyPods, sidecarLog } from './support/reach.ts';
import {
  type ClusterWorld,
  openGatewayOf,
  remoteBackendOf,
  routeOf,
  startClusterWorld,
  waitUntilEnforcing,
} from './support/world.ts';

/** Created first and last by name, so that age and name order differ. */
const RED = 'tge-living-red';
const BLUE = 'tge-living-blue';
const HOST = 'ai.example.com';
const STREAM = { tokens: 300, paceMs: 300 };
const GUESTS = 20;

let world: ClusterWorld;
let stream: Promise<Streamed>;
let listenersBefore: string;
let changesEndedAtMs: number | undefined;

interface Streamed {
  readonly text: string;
  readonly finishReason: string | undefined;
  readonly outputTokens: number | undefined;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

before(async () => {
  await removeNamespaces(BLUE);
  await install();
  const quota = teamQuota('tokens', 'TotalTokens', 1_000_000, { onMissingKey: 'Shared' });
  world = await startClusterWorld(RED, [quotaPolicy('teams', 'chat', [quota])]);
  await apply([openGatewayOf(RED), namespaceOf(BLUE), ...backend(RED, 'own'), shared(RED, redRules)]);
  await nextSecond();
  await apply([...backend(BLUE, 'own'), shared(BLUE, blueRules)]);
  for (const namespace of [RED, BLUE]) {
    await waitUntilEnforcing(namespace, 'shared');
  }
  listenersBefore = await listenerChanges();
  stream = longStream();
});
after(async () => {
  await world?.stop();
  await removeNamespaces(BLUE);
});

const backend = (namespace: string, name: string, maxOutputTokens = 100) =>
  remoteBackendOf(namespace, name, 'OpenAI', world.provider.host, [{ name: '*', maxOutputTokens }]);

/** Waits for the next second, because API servers record ages in seconds. */
async function nextSecond(): Promise<void> {
  const second = Math.floor(Date.now() / 1000);
  await waitFor('next second', () => Date.now() / 1000 > second + 1);
}

async function longStream(): Promise<Streamed> {
  const startedAtMs = performance.now();
  const events = await openaiClient(world.url, { 'x-team': 'long' }).chat.completions.create(
    { model: 'gpt-4o-mini', messages: say('Hello'), stream: true, stream_options: { include_usage: true } },
    mock(STREAM),
  );
  let [text, finishReason, outputTokens]: [string, string | undefined, number | undefined] = ['', undefined, undefined];
  for await (const { choices, usage } of events) {
    text += choices[0]?.delta.content ?? '';
    finishReason = choices[0]?.finish_reason ?? finishReason;
    outputTokens = usage?.completion_tokens ?? outputTokens;
  }
  return { text, finishReason, outputTokens, startedAtMs, endedAtMs: performance.now() };
}

/** Returns Envoy's counters of listener changes. */
async function listenerChanges(): Promise<string> {
  const [pod] = await proxyPods(RED, 'ai');
  const { namespace, name } = pod.metadata;
  const filter = '^listener_manager.(listener_(added|modified|in_place_updated|removed)|total_listeners_draining)$';
  const url = `http://127.0.0.1:19000/stats?filter=${encodeURIComponent(filter)}`;
  const script = `fetch(${JSON.stringify(url)}).then((r) => r.text()).then((t) => process.stdout.write(t))`;
  const node = ['/usr/local/bin/node', '-e', script];
  const stats = await kubectl('-n', namespace, 'exec', name, '-c', 'tallygate', '--', ...node);
  assert.match(stats, /listener_added: [1-9]/);
  return stats;
}

function ask(model: string) {
  const request = { model, messages: say('Hello'), max_completion_tokens: 9 };
  return openaiClient(world.url, { 'x-team': 'guest' }).chat.completions.create(request, mock({ tokens: 3 }));
}

/**
 * Creates the objects of a guest: a backend, a route with its own model, and a quota policy that
 * also applies to the long stream.
 */
interface Guest {
  readonly namespace: string;
  readonly name: string;
}

function guest(index: number): Guest | undefined {
  if (index < 0 || index >= GUESTS) {
    return undefined;
  }
  return { namespace: index % 2 === 0 ? RED : BLUE, name: `guest-${index}` };
}

function documentsOf({ namespace, name }: Guest, isChanged: boolean): readonly Document[] {
  const targets = namespace === RED ? [name, 'chat'] : [name];
  const targetRefs = targets.map((each) => ({ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: each }));
  const quota = teamQuota('tokens', 'TotalTokens', isChanged ? 200 : 100, { onMissingKey: 'Shared' });
  const policy = quotaPolicy(name, '', [quota], { targetRefs });
  const rules = [{ name: 'all', models: [isChanged ? `${name}-changed` : name], backendRefs: [{ name }] }];
  return [
    { ...policy, metadata: { name, namespace } },
    ...backend(namespace, name, isChanged ? 200 : 100),
    attached(routeOf(namespace, name, rules)),
  ];
}

function attached(route: Document, more: Document = {}): Document {
  const parentRefs = [{ name: 'ai', namespace: RED }];
  return { ...route, spec: { ...(route['spec'] as Document), parentRefs, ...more } };
}

async function remove({ namespace, name }: Guest): Promise<void> {
  const kinds = ['aigatewayroute', 'aibackend', 'aiquotapolicy'].map((kind) => `${kind}/${name}`);
  await kubectl('-n', namespace, 'delete', '--wait=false', ...kinds, `secret/key-of-${name}`);
}

/** Waits seconds for an outcome; until then, only outcomes that clients retry are allowed. */
async function until(what: string, model: string, isThere: (outcome: unknown) => boolean): Promise<void> {
  let last: unknown;
  const probe = async () => {
    last = await ask(model).catch((error: unknown) => error);
    assert.ok(isAnswer(last) || isNotFound(last) || isRefused(last) || isNotReady(last), String(last));
    return isThere(last);
  };
  await waitFor(what, probe, 10_000, () => String(last));
}

const isAnswer = (outcome: unknown) => !(outcome instanceof Error);
const isRefused = (outcome: unknown) => outcome instanceof OpenAI.RateLimitError;
/**
 * Returns whether Envoy has no route to the backend yet (503), or one before Envoy Gateway has read
 * the backend (500). All official clients retry.
 */
const isNotReady = (outcome: unknown) => outcome instanceof OpenAI.InternalServerError;
const isNotFound = (outcome: unknown) => outcome instanceof OpenAI.NotFoundError && outcome.code === 'model_not_found';

/** Waits until the guest is served, and then until its quota is used up. */
async function serves({ name }: Guest): Promise<void> {
  await until(`answer of ${name}`, name, isAnswer);
  await until(`limit of ${name}`, name, isRefused);
}

/** Waits for the same with the larger quota and the new model name, and for 404 of the old name. */
async function servesChanged({ name }: Guest): Promise<void> {
  await until(`answer of ${name} as it was changed`, `${name}-changed`, isAnswer);
  await until(`limit of ${name} as it was changed`, `${name}-changed`, isRefused);
  await until(`end of the model ${name}`, name, isNotFound);
}

it(`${GUESTS} routes, backends and quota policies are created, changed and deleted`, async () => {
  for (let index = 0; index < GUESTS + 2; index++) {
    const [created, changed, gone] = [guest(index), guest(index - 1), guest(index - 2)];
    const documents = [...(created ? documentsOf(created, false) : []), ...(changed ? documentsOf(changed, true) : [])];
    await Promise.all([documents.length > 0 && apply(documents), gone && remove(gone)]);
    await Promise.all([
      created && serves(created),
      changed && servesChanged(changed),
      gone && until(`end of ${gone.name}`, `${gone.name}-changed`, isNotFound),
    ]);
  }
});

const redRules = rulesOf('red', [['red-model'], ['both'], ['exact-*'], ['long*'], ['headers-win']]);
const blueRules = rulesOf('blue', [
  ['blue-model'],
  ['both'],
  ['exact-wins'],
  ['longer-*'],
  ['headers-win', { headers: [{ name: 'x-tier', value: 'gold' }] }],
]);

function rulesOf(team: string, models: readonly (readonly [string, Document?])[]): readonly Document[] {
  return models.map(([model, more], index) => ({
    name: `rule-${index}`,
    models: [model],
    backendRefs: [{ name: 'own', model: team }],
    ...more,
  }));
}

function shared(namespace: string, rules: readonly Document[], name = 'shared'): Document {
  return attached(routeOf(namespace, name, rules), { hostnames: [HOST] });
}

let marks = 0;

/** Returns the team whose backend received the request, or the status of the error. */
async function served(model: string, headers: Readonly<Record<string, string>> = {}): Promise<string | number> {
  const mark = String(marks++);
  const request = { model, messages: say('Hello'), max_completion_tokens: 9 };
  const options = { headers: { host: HOST, 'x-mark': mark, ...headers }, mock: { tokens: 3 } };
  const { status } = await call(`${world.url}/v1/chat/completions`, request, options);
  const seen = (await world.provider.seen()).find((each) => each.headers['x-mark'] === mark);
  return seen === undefined ? status : JSON.parse(seen.body).model;
}

async function conflict(namespace: string, name: string, reason: string): Promise<string> {
  const path = '.status.parents[0].conditions[?(@.type=="Conflicted")]';
  const route = ['-n', namespace, `aigatewayroute/${name}`];
  await waitUntil(`jsonpath={${path}.reason}=${reason}`, route, 20_000);
  return kubectl('get', ...route, '-o', `jsonpath={${path}.status}: {${path}.message}`);
}

it('two teams share a host name, and the first rule serves a model of both', async () => {
  assert.equal(await served('red-model'), 'red');
  assert.equal(await served('blue-model'), 'blue');
  assert.equal(await served('both'), 'red', 'the older one');
  assert.equal(await served('exact-wins'), 'blue', 'exact before glob');
  assert.equal(await served('exact-other'), 'red');
  assert.equal(await served('longer-one'), 'blue', 'the longer glob');
  assert.equal(await served('long-other'), 'red');
  assert.equal(await served('headers-win', { 'x-tier': 'gold' }), 'blue', 'more headers');
  assert.equal(await served('headers-win'), 'red');
  assert.equal(await served('nobodys'), 404);
  assert.match(await conflict(BLUE, 'shared', 'RulesOverlap'), /^True: .*model both .*tge-living-red\/shared; fix: /);
  assert.match(await conflict(RED, 'shared', 'NoConflicts'), /^False: /);
});

it('of two routes with the same age, the first by name serves a model until it is removed', async () => {
  const tied = (namespace: string, team: string) => shared(namespace, rulesOf(team, [['tied']]), 'tied');
  const born = async (namespace: string) =>
    (await get('-n', namespace, 'aigatewayroute', 'tied')).metadata.creationTimestamp;
  const areTied = async () => {
    await apply([tied(RED, 'red'), tied(BLUE, 'blue')]);
    if ((await born(RED)) === (await born(BLUE))) {
      return true;
    }
    for (const namespace of [RED, BLUE]) {
      await kubectl('-n', namespace, 'delete', 'aigatewayroute', 'tied');
    }
    return false;
  };
  await waitFor('two routes of one age', areTied, 20_000);
  await waitUntilEnforcing(BLUE, 'tied');
  await waitFor('the first by name', async () => (await served('tied')) === 'blue', 10_000);
  assert.match(await conflict(RED, 'tied', 'RulesOverlap'), /^True: .*model tied .*tge-living-blue\/tied/);
  await kubectl('-n', BLUE, 'delete', 'aigatewayroute', 'tied');
  await waitFor('the other team', async () => (await served('tied')) === 'red', 10_000);
  await conflict(RED, 'tied', 'NoConflicts');
  changesEndedAtMs = performance.now();
});

it('the long stream is complete and counted, on its original listener', async () => {
  assert.equal(await listenerChanges(), listenersBefore);
  const { text, finishReason, outputTokens, startedAtMs, endedAtMs } = await within(120_000, 'the stream', stream);
  assert.ok(endedAtMs - startedAtMs >= 89_000, `${endedAtMs - startedAtMs} ms`);
  assert.ok(changesEndedAtMs !== undefined && changesEndedAtMs < endedAtMs, 'all of that was while it ran');
  assert.equal(text, wordsOf(STREAM.tokens));
  assert.equal(finishReason, 'stop');
  assert.equal(outputTokens, STREAM.tokens);
  const record = await waitFor(
    'access record of the stream',
    async () => {
      const records = (await sidecarLog(RED, 'ai')).split('\n').map(accessRecord);
      return records.find((each) => each?.keys.includes('long'));
    },
    10_000,
  );
  assert.equal(record.outputTokens, STREAM.tokens);
  assert.equal(record.source, 'provider');
});
