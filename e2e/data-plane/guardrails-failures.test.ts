/**
 * Services of guardrails that fail in every way, before real Envoy: closed rules let nothing
 * through, open ones say so, and quotas are right afterwards.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { freePorts } from '../../fixtures/free-ports.ts';
import { call } from './support/client.ts';
import {
  type DetectorKind,
  detectorKinds,
  type Fault,
  type FaultyDetectors,
  faultNames,
  faults,
  startFaultyDetectors,
} from './support/faulty-detector.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import type { AccessRecord } from './support/records.ts';
import { backend, type Document, quotaPolicy, route, teamQuota } from './support/resources.ts';

const SECRET: Document = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'services', namespace: 'default' },
  stringData: { 'api-key': 'key-of-the-services' },
};

const phases = ['Request', 'Response'] as const;
const modes = ['Closed', 'Open'] as const;
type Phase = (typeof phases)[number];
type Mode = (typeof modes)[number];

/** The rule that a model selects. */
const modelOf = (kind: string, mode: Mode, phase: Phase) => `${kind}-${mode}-${phase}`.toLowerCase();

function detect(kind: DetectorKind, url: string): Document {
  const secretRef = { name: 'services' };
  switch (kind) {
    case 'presidio':
      return { type: 'Presidio', presidio: { url } };
    case 'webhook':
      return { type: 'Webhook', webhook: { url } };
    case 'moderation':
      return { type: 'OpenAIModeration', openAIModeration: { url, secretRef } };
    case 'lakera':
      return { type: 'Lakera', lakera: { url, secretRef } };
    default:
      return { type: 'Model', model: { url, name: 'judge', secretRef } };
  }
}

/** Returns a policy with a rule for each mode and phase; the model of a request selects one. */
function policyOf(kind: DetectorKind, name: string, url: string): Document {
  const rules = modes.flatMap((onFailure) =>
    phases.map((phase) => {
      const model = modelOf(name, onFailure, phase);
      return {
        name: model,
        phases: [phase],
        detect: detect(kind, url),
        action: { type: 'Block' },
        onFailure,
        timeout: '400ms',
        when: `request.model == "${model}"`,
      };
    }),
  );
  return {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIGuardrailPolicy',
    metadata: { name, namespace: 'default' },
    spec: { targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }], rules },
  };
}

const JUDGE_KEY = 'tg-safety-judge-0000000000000000';

const callerKey = (tenant: string, apiKey: string): Document => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: `key-of-${tenant}`,
    namespace: 'default',
    labels: { 'tallygate.dev/api-key': 'true' },
    annotations: { 'tallygate.dev/tenant': tenant },
  },
  stringData: { apiKey },
});

/** A route that a judge behind the same gateway judges, with the judge's own requests. */
function judged(port: number): readonly Document[] {
  const targetRefs = [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'judged' }];
  const secretSelector = { matchLabels: { 'tallygate.dev/api-key': 'true' } };
  const url = `http://127.0.0.1:${port}/v1/chat/completions`;
  return [
    callerKey('safety', JUDGE_KEY),
    callerKey('search', 'tg-search-app-00000000000000000'),
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'judge', namespace: 'default' },
      stringData: { 'api-key': JUDGE_KEY },
    },
    {
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIAccessPolicy',
      metadata: { name: 'judged', namespace: 'default' },
      spec: {
        targetRefs,
        authenticate: [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector } }],
        allow: [{ name: 'all', principals: [{ authenticated: true }] }],
      },
    },
    {
      apiVersion: 'tallygate.dev/v1alpha1',
      kind: 'AIGuardrailPolicy',
      metadata: { name: 'judged', namespace: 'default' },
      spec: {
        targetRefs,
        rules: [
          {
            name: 'judge',
            detect: { type: 'Model', model: { url, name: 'judging', secretRef: { name: 'judge' } } },
            action: { type: 'Block' },
            timeout: '5s',
          },
        ],
      },
    },
  ];
}

interface Trial {
  /** Of the rule. */
  readonly model: string;
  readonly phase: Phase;
  readonly mode: Mode;
  readonly reason: string;
  readonly status: number;
  readonly body: string;
  readonly record: AccessRecord;
  readonly reachedProvider: boolean;
}

let provider: Provider;
let services: FaultyDetectors;
let gateway: Gateway;
let trials = 0;

before(async () => {
  provider = await startProvider({ echo: true });
  services = await startFaultyDetectors();
  const [closedPort = 0] = await freePorts(1);
  const models = [...detectorKinds, ...detectorKinds.map((kind) => `gone-${kind}`)].flatMap((name) =>
    modes.flatMap((mode) => phases.map((phase) => modelOf(name, mode, phase))),
  );
  const [port = 0] = await freePorts(1);
  const on = (servicePort: number, kind: DetectorKind) => `http://127.0.0.1:${servicePort}/${kind}`;
  const documents = [
    SECRET,
    backend('judge', { port: services.port }),
    route('judged', [
      { name: 'judge', models: ['judging'], backendRefs: [{ name: 'judge' }] },
      { name: 'app', models: ['judged'], backendRefs: [{ name: 'openai' }] },
    ]),
    ...judged(port),
    backend('openai', { port: provider.port }),
    route('chat', [
      { name: 'all', models: [...models.slice(0, 32)], backendRefs: [{ name: 'openai' }] },
      { name: 'gone', models: models.slice(32), backendRefs: [{ name: 'openai' }] },
    ]),
    quotaPolicy('teams', 'chat', [teamQuota('tokens', 'TotalTokens', 100_000)]),
    ...detectorKinds.flatMap((kind) => [
      policyOf(kind, kind, on(services.port, kind)),
      policyOf(kind, `gone-${kind}`, on(closedPort, kind)),
    ]),
  ];
  gateway = await startGateway(documents, { port });
});
after(async () => {
  await gateway?.stop();
  await provider?.stop();
  await services?.stop();
});

/** Sends a text that has the fault, as a stream if the rule looks at the response. */
async function attempt(name: string, mode: Mode, phase: Phase, fault: Fault | undefined, reason = ''): Promise<Trial> {
  const team = `t${trials++}`;
  const model = modelOf(name, mode, phase);
  const content = `Private words ${team}. ${fault === undefined ? '' : `@@${fault}@@`}`;
  const { status, text } = await call(
    `${gateway.url}/v1/chat/completions`,
    { model, stream: phase === 'Response', messages: [{ role: 'user', content }] },
    // A request that was blocked before the plan is not known by its team.
    { headers: { 'x-team': team, 'session-id': team } },
  );
  const [record] = await gateway.recordsWhere(team, 1, ({ line }) => line.includes(`"sessionId":"${team}"`));
  const reachedProvider = provider.seen.some(({ body }) => body.includes(`${team}.`));
  return { model, mode, phase, reason, status, body: text, record: record!, reachedProvider };
}

/** Tries a fault in both phases and both modes; five failures in a row would open the circuit. */
function attempts(name: string, fault: Fault | undefined, reason: string): Promise<readonly Trial[]> {
  const all = modes.flatMap((mode) => phases.map((phase) => attempt(name, mode, phase, fault, reason)));
  return Promise.all(all);
}

function assertSafe({ model, phase, mode, reason, status, body, record, reachedProvider }: Trial): void {
  const what = `${model}, ${reason}: ${record.line}`;
  const { guardrails, error } = JSON.parse(record.line);
  const [policy] = Object.keys(guardrails);
  assert.equal(policy?.endsWith(`/${model}`), true, what);
  assert.deepEqual(guardrails[policy!], { failure: reason }, what);
  assert.equal(record.line.includes('Private words'), false);
  if (mode === 'Open') {
    assert.equal(status, 200, what);
    assert.equal(reachedProvider, true, what);
    assert.match(textIn(body), /Private words/, what);
    return;
  }
  assert.equal(error, 'guardrail_unavailable', what);
  assert.equal(textIn(body).includes('words'), false, `${what}\n${body}`);
  assert.match(body, /guardrail_unavailable/, what);
  assert.equal(reachedProvider, phase === 'Response', what);
  // A blocked request holds and costs nothing; of a response, the provider's tokens are charged.
  const expected = phase === 'Request' ? ['none', 503] : ['admitted', 200];
  assert.deepEqual([record.decision, status], expected, what);
  assert.equal((record.outputTokens ?? 0) > 0, phase === 'Response', what);
}

/** Returns the text of a stream or a document. */
function textIn(body: string): string {
  const documents = body.startsWith('{') ? [body] : [...body.matchAll(/^data: (\{.*\})$/gm)].map(([, data]) => data!);
  return documents
    .flatMap((each) => JSON.parse(each).choices ?? [])
    .map(({ message, delta }) => message?.content ?? delta?.content ?? '')
    .join('');
}

describe('services of guardrails that fail', { concurrency: true }, () => {
  for (const kind of detectorKinds) {
    it(`${kind}: slow, wrong and hostile answers`, async () => {
      for (const fault of faultNames) {
        const all = await attempts(kind, fault, faults[fault].reason);
        all.forEach(assertSafe);
        // The service is not blamed for ever.
        const passed = await attempt(kind, 'Closed', 'Request', undefined);
        assert.equal(passed.status, 200, passed.record.line);
      }
    });

    it(`${kind}: nobody listens, until the circuit opens`, async () => {
      (await attempts(`gone-${kind}`, undefined, 'unavailable')).forEach(assertSafe);
      assertSafe(await attempt(`gone-${kind}`, 'Closed', 'Request', undefined, 'unavailable'));
      (await attempts(`gone-${kind}`, undefined, 'circuit_open')).forEach(assertSafe);
    });
  }
});

describe('after the failures of services', () => {
  it('no redirect was followed', () => {
    assert.equal(services.paths.has('/elsewhere'), false);
  });

  it('metrics count each failure by its rule and reason, and nothing stays held', async () => {
    const metrics = await gateway.metrics();
    const failures = (kind: string, mode: Mode, reason: string) =>
      metrics.sum('tallygate_guardrail_failures_total', {
        tallygate_guardrail: `default/${kind}/${modelOf(kind, mode, 'Request')}`,
        tallygate_reason: reason,
      });
    for (const kind of detectorKinds) {
      assert.equal(failures(kind, 'Closed', 'timeout'), 2);
      assert.equal(failures(kind, 'Open', 'bad_response'), 5);
      assert.equal(failures(`gone-${kind}`, 'Closed', 'circuit_open'), 1);
    }
    assert.equal(metrics.held(), 0);
  });
});

describe('a judge that is a model of the same gateway', () => {
  const ask = (content: string, headers: Readonly<Record<string, string>> = {}) =>
    call(
      `${gateway.url}/v1/chat/completions`,
      { model: 'judged', messages: [{ role: 'user', content }] },
      { headers: { authorization: 'Bearer tg-search-app-00000000000000000', ...headers } },
    );

  it('judges prompt and answer once each, for its own tenant', async () => {
    const before = gateway.records.length;
    const { status, text } = await ask('How do I bake bread?');
    assert.equal(status, 200, text);
    const [judging, asked] = await Promise.all([
      gateway.recordsWhere('judge', 2, ({ line }) => line.includes('"tenant":"safety"')),
      gateway.recordsWhere('caller', 1, ({ line }) => line.includes('"tenant":"search"')),
    ]);
    assert.equal(gateway.records.length - before, 3);
    assert.deepEqual([...judging, ...asked].map(({ model }) => model).toSorted(), ['judged', 'judging', 'judging']);
    assert.ok(judging.every(({ inputTokens = 0, line }) => inputTokens > 0 && !line.includes('"guardrails"')));
  });

  it('blocks what it flags', async () => {
    const { status, json } = await ask('How do I commit a crime?');
    assert.deepEqual([status, json.error.code], [400, 'content_blocked']);
  });

  it('is not passed by a client that claims to be a judge', async () => {
    const now = Math.floor(Date.now() / 1000);
    const { status } = await ask('Hello', { 'tallygate-judge': `${now}.${'A'.repeat(43)}` });
    assert.equal(status, 400);
  });
});
