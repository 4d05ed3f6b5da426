import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistogramCell, SumCell } from '../../runtime/metric-table.ts';
import { failure } from '../errors.ts';
import type { RequestRecord } from '../record.ts';
import { newCounters } from '../server/server-context.ts';
import { RequestTrace } from '../trace-context.ts';
import { accessLine } from './access-line.ts';
import { newRecorder } from './recorder.ts';
import { bucket, outcomeOfStream } from './testing.ts';

const noTimes = { isShared: false, startMs: undefined, endMs: undefined };

function recorderOf(outcomes: readonly RequestRecord[]) {
  const recorder = newRecorder({ nowMs: 0 });
  for (const outcome of outcomes) {
    recorder.record(outcome, []);
  }
  const cells = (name: string) => recorder.table.collect().find((one) => one.description.name === name)?.cells ?? [];
  return {
    recorder,
    histogram: (name: string) => cells(name) as readonly HistogramCell[],
    sums: (name: string) => cells(name) as readonly SumCell[],
  };
}

test('an access line is one line of JSON with tenant, models, tokens and durations', () => {
  const line = accessLine(outcomeOfStream, [{ bucket, amount: 7, cause: 'input_estimate' }]);
  assert.match(line, /^\{.*\}\n$/);
  assert.deepEqual(JSON.parse(line), {
    time: '2026-11-22T12:00:01.250Z',
    requestId: 'r1',
    method: 'POST',
    path: '/v1/chat/completions',
    route: 'default/chat',
    rule: 'small',
    backend: 'default/openai',
    operation: 'chat',
    model: 'small',
    responseModel: 'small-2026',
    tenant: { 'x-team': 'red' },
    stream: true,
    status: 200,
    durationMs: 1250,
    firstTokenMs: 250,
    tokens: outcomeOfStream.usage,
    source: 'provider',
    estimatedOutputTokens: 50,
    decision: 'admitted',
    overdrafts: [{ quota: 'default/teams/hour', tokens: 7, cause: 'input_estimate' }],
    requestBytes: 500,
    responseBytes: 9000,
  });
});

test('text that a client chooses stays in one bounded line', () => {
  const line = accessLine(
    { ...outcomeOfStream, model: `a"\n\u2028\u009b\u007f\ud800${'x'.repeat(10_000)}`, buckets: [] },
    [],
  );
  assert.doesNotMatch(line.trimEnd(), /[\p{Cc}\u2028\u2029\p{Cs}]/u);
  assert.equal(line.indexOf('\n'), line.length - 1);
  assert.ok(line.length < 1500);
  assert.equal(JSON.parse(line).tenant, undefined);
});

test('metrics follow the names, types and boundaries of the GenAI conventions', () => {
  const { histogram } = recorderOf([outcomeOfStream]);
  const [input, output] = histogram('gen_ai.client.token.usage');
  assert.deepEqual(input?.attributes, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'small',
    'gen_ai.response.model': 'small-2026',
    'tallygate.route': 'default/chat',
    'tallygate.rule': 'small',
    'tallygate.backend': 'default/openai',
    'gen_ai.token.type': 'input',
  });
  assert.equal(input.sum, 100);
  assert.equal(output?.sum, 51);
  assert.equal(output.counts[output.boundaries.indexOf(64)], 1);
  assert.equal(histogram('gen_ai.server.time_to_first_token')[0]?.sum, 0.25);
  assert.ok(Math.abs(histogram('gen_ai.server.time_per_output_token')[0]!.sum - 1.00004 / 50) < 1e-6);
  const [duration] = histogram('gen_ai.server.request.duration');
  assert.equal(duration?.attributes['error.type'], undefined);
  assert.equal(duration?.count, 1);
  assert.ok(Math.abs(histogram('tallygate.tokens.drift')[0]!.sum - -100 / 51) < 1e-6);
});

test('the provider of a request that the gateway answers itself is the gateway', () => {
  const { histogram } = recorderOf([{ ...outcomeOfStream, schema: undefined, backend: undefined }]);
  const [duration] = histogram('gen_ai.server.request.duration');
  assert.equal(duration?.attributes['gen_ai.provider.name'], 'tallygate');
});

test('the latest traced request of a bucket is its exemplar', () => {
  const recorder = newRecorder({ nowMs: 0, isTraced: ({ requestId }) => requestId !== 'untraced' });
  const ids: string[] = [];
  for (const requestId of ['one', 'two', 'untraced']) {
    const trace = new RequestTrace([], {
      sampler: () => true,
      drawId: (bytes) => String(ids.push('')).padStart(bytes * 2, '0'),
    });
    trace.beginAttempt(outcomeOfStream.startMs, undefined);
    recorder.record({ ...outcomeOfStream, requestId, trace }, []);
  }
  const exemplars = (name: string) => {
    const metric = recorder.table.collect().find(({ description }) => description.name === name);
    const cell = metric?.cells[0] as HistogramCell;
    return cell.exemplars?.filter((one) => one !== undefined) ?? [];
  };
  const [duration, ...others] = exemplars('gen_ai.server.request.duration');
  assert.deepEqual(others, []);
  assert.equal(duration?.spanId, '5'.padStart(16, '0'));
  assert.equal(duration.traceId, '4'.padStart(32, '0'));
  assert.equal(duration.timeMs, outcomeOfStream.endMs);
  // The attempt is the span that calls the model.
  assert.equal(exemplars('gen_ai.client.token.usage')[0]?.spanId, '6'.padStart(16, '0'));
  assert.equal(exemplars('tallygate.tokens.drift').length, 0);
});

test('an access line shows waits and undelivered tokens', () => {
  const decision = { type: 'cut', queuedMs: 12.34, shadowRefused: [] } as const;
  const line = JSON.parse(accessLine({ ...outcomeOfStream, decision, undeliveredTokens: 40 }, []));
  assert.deepEqual([line.queuedMs, line.undeliveredTokens], [12.3, 40]);
});

test('costs are decimal numbers in access lines and units of the currency in metrics', () => {
  const limit = { type: 'Cost', amount: 10, currency: 'USD', unpriced: 'Refuse' } as const;
  const costBucket = { ...bucket, quota: { ...bucket.quota, limit } };
  const outcome: RequestRecord = {
    ...outcomeOfStream,
    cost: { nanos: 1_250_000_000, currency: 'USD', catalog: 'genai-prices 0.1.8' },
  };
  const line = JSON.parse(accessLine(outcome, [{ bucket: costBucket, amount: 1, cause: 'in_flight' }]));
  assert.deepEqual([line.cost, line.currency, line.catalog], ['1.25', 'USD', 'genai-prices 0.1.8']);
  assert.deepEqual(line.overdrafts, [{ quota: 'default/teams/hour', cost: '0.000000001', cause: 'in_flight' }]);
  const { recorder, sums } = recorderOf([outcome, outcome]);
  const [cell] = sums('tallygate.cost');
  assert.deepEqual([cell?.value, cell?.attributes['tallygate.currency']], [2.5, 'USD']);
  recorder.record(outcome, [{ bucket: costBucket, amount: 500_000_000, cause: 'in_flight' }]);
  assert.equal(sums('tallygate.overdraft.cost')[0]?.value, 0.5);
  recorder.overdraft({ bucket: costBucket, amount: 250_000_000, cause: 'in_flight' });
  assert.equal(sums('tallygate.overdraft.cost')[0]?.value, 0.75);
  assert.deepEqual(sums('tallygate.overdraft.tokens'), []);
});

test('failures have a type, and no time per token', () => {
  const { histogram } = recorderOf([
    { ...outcomeOfStream, status: 429, failure: failure('quota_exceeded', 'no'), usage: undefined },
    { ...outcomeOfStream, status: 500 },
    { ...outcomeOfStream, clientLeft: true },
  ]);
  const types = histogram('gen_ai.server.request.duration').map(({ attributes }) => attributes['error.type']);
  assert.deepEqual(types, ['quota_exceeded', '500', 'client_left']);
  assert.equal(histogram('gen_ai.server.time_per_output_token')[0]?.count, 1);
});

test('a failed backend is counted, and recorded with Envoy’s details', () => {
  const broken = {
    flags: 'UF',
    details: 'upstream_reset_before_response_started{connection_failure}',
    transportFailure: '',
  };
  const outcome: RequestRecord = { ...outcomeOfStream, broken, providerRequestId: 'req_1' };
  const line = JSON.parse(accessLine(outcome, []));
  assert.equal(line.providerRequestId, 'req_1');
  assert.equal(line.backendFailure, 'connect');
  assert.equal(line.flags, 'UF');
  assert.equal(line.details, broken.details);
  assert.equal(line.transportFailure, undefined);
  const { sums, histogram } = recorderOf([outcome, outcome]);
  assert.deepEqual(sums('tallygate.backend.failures'), [
    { attributes: { 'tallygate.backend': 'default/openai', 'tallygate.failure': 'connect' }, value: 2 },
  ]);
  assert.equal(histogram('gen_ai.server.request.duration')[0]?.attributes['error.type'], 'backend_broke_off');
});

test('attempts of a failover count by backend and cause', () => {
  const attempts = [
    { backend: 'default/one', status: 503, cause: '5xx', durationMs: 5 },
    { backend: 'default/two', status: 200, cause: undefined, durationMs: 5 },
  ] as const;
  const { sums } = recorderOf([{ ...outcomeOfStream, attempts }, { ...outcomeOfStream, attempts }, outcomeOfStream]);
  assert.deepEqual(sums('tallygate.backend.attempts'), [
    { attributes: { 'tallygate.backend': 'default/one', 'tallygate.failover.cause': '5xx' }, value: 2 },
    { attributes: { 'tallygate.backend': 'default/two' }, value: 2 },
  ]);
});

test('a unary response has no first token', () => {
  const whole = { ...outcomeOfStream, stream: false };
  assert.equal(recorderOf([whole]).histogram('gen_ai.server.time_to_first_token').length, 0);
  assert.equal(JSON.parse(accessLine(whole, [])).firstTokenMs, undefined);
});

test('metrics count tokens by kind, decisions, cuts, shadow refusals, overdrafts and unmetered requests', () => {
  const { recorder, sums } = recorderOf([
    { ...outcomeOfStream, decision: { type: 'cut', queuedMs: 5, shadowRefused: ['default/a/b'] } },
    { ...outcomeOfStream, decision: { type: 'refused', quota: 'default/teams/hour', reason: 'spent' } },
    { ...outcomeOfStream, source: 'estimated', unmetered: true },
  ]);
  recorder.record(outcomeOfStream, [{ bucket, amount: 7, cause: 'in_flight' }]);
  const cached = sums('tallygate.tokens').filter((one) => one.attributes['gen_ai.token.type'] === 'cached_input');
  assert.deepEqual(
    cached.map(({ attributes, value }) => [attributes['tallygate.source'], value]),
    [
      ['provider', 180],
      ['estimated', 60],
    ],
  );
  assert.deepEqual(
    sums('tallygate.quota.decisions').map(({ attributes, value }) => [attributes['tallygate.decision'], value]),
    [
      ['cut', 1],
      ['refused', 1],
      ['admitted', 2],
    ],
  );
  assert.equal(sums('tallygate.streams.cut')[0]?.value, 1);
  assert.equal(sums('tallygate.quota.shadow_refused')[0]?.attributes['tallygate.quota'], 'default/a/b');
  assert.equal(sums('tallygate.requests.unmetered')[0]?.value, 1);
  assert.deepEqual(sums('tallygate.overdraft.tokens')[0], {
    attributes: { 'tallygate.quota': 'default/teams/hour', 'tallygate.overdraft.cause': 'in_flight' },
    value: 7,
  });
});

test('a model that matches a glob is a label once a response names it', () => {
  const glob = { ...outcomeOfStream, modelIsKnown: false };
  const failed = { status: 404, responseModel: undefined };
  const { histogram } = recorderOf([
    { ...glob, ...failed, model: 'gpt-4o' },
    { ...glob, model: 'gpt-4o', responseModel: 'gpt-4o-2024-08-06' },
    { ...glob, ...failed, model: 'gpt-4o' },
    { ...glob, model: 'o3', responseModel: 'o3' },
    { ...glob, model: 'g', responseModel: 'gpt-4o-2024-08-06' },
    { ...glob, ...failed, model: 'gpt-none' },
  ]);
  const counts = new Map<string, number>();
  for (const { attributes, count } of histogram('gen_ai.server.request.duration')) {
    const model = String(attributes['gen_ai.request.model']);
    counts.set(model, (counts.get(model) ?? 0) + count);
  }
  assert.deepEqual(Object.fromEntries(counts), { other: 3, 'gpt-4o': 2, o3: 1 });
});

test('names that only clients or providers know are no labels, and the number of labels is bounded', () => {
  const outcomes = Array.from({ length: 500 }, (_, i) => ({
    ...outcomeOfStream,
    model: `free-${i}`,
    modelIsKnown: false,
    responseModel: `answer-${i}`,
  }));
  const { histogram } = recorderOf(outcomes);
  const durations = histogram('gen_ai.server.request.duration');
  assert.deepEqual([...new Set(durations.map(({ attributes }) => attributes['gen_ai.request.model']))], ['other']);
  assert.equal(durations.length, 201);
  const echoed = outcomes.map((each) => ({ ...each, responseModel: each.model }));
  assert.equal(recorderOf(echoed).histogram('gen_ai.server.request.duration').length, 201);
  const many = Array.from({ length: 3000 }, (_, i) => ({ ...outcomeOfStream, rule: `rule-${i}` }));
  const bounded = recorderOf(many).histogram('gen_ai.server.request.duration');
  assert.equal(bounded.length, 1001);
  assert.equal(bounded.at(-1)?.count, 2000);
});

test('gauges show the buckets with the least left, read once per scrape', () => {
  const { recorder, sums } = recorderOf([]);
  const other = { ...bucket, quota: { ...bucket.quota, mode: 'Shadow' as const }, values: ['blue', 'small'] };
  let asked = 0;
  const hour = { isShared: false, startMs: 0, endMs: 3_600_000 };
  recorder.observe({
    now: () => 1_800_000,
    openStreams: () => 3,
    requests: () => [
      { backend: 'app/openai', waits: false, heldTokens: 300 },
      { backend: 'app/openai', waits: true, heldTokens: 0 },
      { backend: 'app/gone', waits: false, heldTokens: 7 },
    ],
    serverCounters: () => ({ ...newCounters(), streams: 7, streamsEvicted: 2, handlerErrors: 1, bytesSent: 900 }),
    unsentBytes: () => 60,
    journalFails: () => true,
    usageLost: () => 3,
    usageExports: () => [],
    content: { exported: 0, dropped: new Map() },
    policyRefused: () => true,
    backends: () => ['app/openai', 'app/azure'],
    restingBackends: () => ['app/azure', 'app/azure'],
    keys: () => [{ quota: 'default/teams/hour', keys: 8, most: 10 }],
    buckets: (count) => {
      asked++;
      return [
        { bucket, limit: 1000, spent: 1100, held: 5, overdraft: 100, ...hour },
        { bucket: other, limit: 1000, spent: 800, held: 0, overdraft: 0, ...hour },
      ].slice(0, count);
    },
  });
  assert.equal(sums('tallygate.streams.open')[0]?.value, 3);
  assert.equal(sums('tallygate.journal.failing')[0]?.value, 1);
  assert.equal(sums('tallygate.policy.refused')[0]?.value, 1);
  assert.deepEqual(
    sums('tallygate.backend.resting').map(({ attributes, value }) => [attributes['tallygate.backend'], value]),
    [
      ['app/azure', 1],
      ['app/openai', 0],
    ],
  );
  for (const [name, ofOpenAi] of [
    ['tallygate.backend.requests', 2],
    ['tallygate.backend.requests.waiting', 1],
    ['tallygate.backend.tokens', 300],
  ] as const) {
    assert.deepEqual(
      sums(name).map(({ attributes, value }) => [attributes['tallygate.backend'], value]),
      [
        ['app/azure', 0],
        ['app/openai', ofOpenAi],
      ],
    );
  }
  assert.deepEqual(sums('tallygate.quota.keys')[0], {
    attributes: { 'tallygate.quota': 'default/teams/hour' },
    value: 8,
  });
  assert.equal(sums('tallygate.quota.keys.limit')[0]?.value, 10);
  assert.deepEqual(sums('tallygate.quota.spent')[0], {
    attributes: {
      'tallygate.quota': 'default/teams/hour',
      'tallygate.quota.key': 'red,small',
      'tallygate.quota.mode': 'enforce',
    },
    value: 1100,
  });
  assert.equal(sums('tallygate.quota.overdraft')[0]?.value, 100);
  // 800 in 30 minutes of an hour: 1000 after 37.5 minutes.
  assert.deepEqual(sums('tallygate.quota.exhausted_at'), [
    {
      attributes: {
        'tallygate.quota': 'default/teams/hour',
        'tallygate.quota.key': 'blue,small',
        'tallygate.quota.mode': 'shadow',
      },
      value: 2250,
    },
  ]);
  assert.equal(asked, 1);
  assert.equal(sums('tallygate.ext_proc.streams')[0]?.value, 7);
  assert.equal(sums('tallygate.ext_proc.unsent_bytes')[0]?.value, 60);
  const broken = sums('tallygate.ext_proc.streams.broken');
  assert.deepEqual(
    broken.map(({ attributes, value }) => [attributes['tallygate.reason'], value]),
    [
      ['reset', 0],
      ['evicted', 2],
      ['malformed', 0],
      ['exception', 1],
    ],
  );
  assert.deepEqual(sums('tallygate.ext_proc.bytes')[1], {
    attributes: { 'network.io.direction': 'transmit' },
    value: 900,
  });
});

test('metrics show values of quota keys in plain text or as hashes', () => {
  for (const [hashesKeys, expected] of [
    [false, /^red,small$/],
    [true, /^sha256:[\w-]{43}$/],
  ] as const) {
    const recorder = newRecorder({ nowMs: 0, hashesKeys });
    recorder.observe({
      now: () => 0,
      buckets: () => [{ bucket, spent: 1, held: 0, limit: 9, overdraft: 0, ...noTimes }],
      openStreams: () => 0,
      requests: () => [],
      serverCounters: newCounters,
      unsentBytes: () => 0,
      journalFails: () => false,
      usageLost: () => 0,
      usageExports: () => [],
      content: { exported: 0, dropped: new Map() },
      policyRefused: () => false,
      backends: () => [],
      restingBackends: () => [],
      keys: () => [],
    });
    const [cell] = (recorder.table.collect().find(({ description }) => description.name === 'tallygate.quota.spent')
      ?.cells ?? []) as readonly SumCell[];
    assert.match(String(cell?.attributes['tallygate.quota.key']), expected);
    assert.equal(cell?.attributes['tallygate.quota'], bucket.quota.id);
  }
});
