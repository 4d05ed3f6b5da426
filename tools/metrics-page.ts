/** Generates docs/reference/metrics.md from a scrape after requests of every kind. */
import { failure } from '../extproc/errors.ts';
import type { RequestRecord } from '../extproc/record.ts';
import { newCounters } from '../extproc/server/server-context.ts';
import { metric } from '../extproc/telemetry/names.ts';
import { newRecorder } from '../extproc/telemetry/recorder.ts';
import { bucket, outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { observeProcess, watchLoopDelay } from '../runtime/loop-delay.ts';
import { startOpenTelemetry } from '../runtime/open-telemetry.ts';
import { notice, page, row, table } from './markdown.ts';

/** The labels that need an explanation, with their values. */
const labelRows = [
  row(
    '`gen_ai_operation_name`',
    [
      '`chat`, `text_completion`, `embeddings`, `generate_content`, `rerank`, `image_generation`, `speech`,',
      '`transcription`, `moderation`, `count_tokens`, `list_models`, `read_quota`, `read_sign_in`',
    ].join(' '),
  ),
  row(
    '`gen_ai_provider_name`',
    '`openai`, `anthropic`, `huggingface`: by the schema of the backend; `tallygate` where the gateway answered before it chose a backend',
  ),
  row(
    '`gen_ai_request_model`',
    'The model in the request; `other` if no rule, backend or response names it, so that clients cannot create series',
  ),
  row('`gen_ai_response_model`', 'The model in the provider’s response; `other` after 200 different names'),
  row(
    '`gen_ai_token_type`',
    '`input`, `output`; in `tallygate_tokens_total` also `cached_input`, `cache_write_input`, `cache_write_1h_input`, `audio_input` (parts of input) and `reasoning_output`, `audio_output` (parts of output)',
  ),
  row(
    '`error_type`',
    'A [code](errors.md), a status of the provider, `client_left`, `backend_broke_off` or `no_answer`; absent on success',
  ),
  row('`tallygate_route`, `tallygate_backend`', '`NAMESPACE/NAME`'),
  row('`tallygate_rule`', 'The name of the rule'),
  row('`tallygate_source`', '`provider`, `estimated`, `mixed`: who counted'),
  row(
    '`tallygate_failure`',
    '`address`, `connect`, `tls`, `reset`, `timeout`, `protocol`, `other`: see [access lines](../guides/observing.md#access-lines)',
  ),
  row(
    '`tallygate_failover_cause`',
    '`ConnectFailure`, `5xx`, `RateLimited`, `FirstTokenTimeout`: see [failover](../guides/routes.md#failover); absent for the attempt that served, or that nothing followed',
  ),
  row('`tallygate_decision`', '`admitted`, `refused`, `cut`'),
  row(
    '`tallygate_reason`',
    'In `tallygate_content_dropped_total` see [content](../guides/content.md#what-is-dropped). The reason of a refusal: `spent`, `held`, `size`, `keys`, `journal`, `store`; in `tallygate_ext_proc_streams_broken_total` `reset` (by Envoy, for example because the client left), `evicted` (the slowest stream when too many bytes wait), `malformed` (an invalid message) or `exception` (a bug)',
  ),
  row('`tallygate_access_method`', '`api_key`, `jwt`, `client_certificate`; absent without a valid credential'),
  row('`tallygate_guardrail`', '`NAMESPACE/POLICY/RULE`'),
  row('`tallygate_guardrail_finding`', 'The type of a finding, such as `CreditCard`; services have types of their own'),
  row('`tallygate_guardrail_action`', '`mask`, `block`, `monitor`'),
  row(
    '`tallygate_tenant`',
    'The tenant of the caller, as an AIAccessPolicy proves it; as SHA-256 with `TALLYGATE_METRIC_KEYS=hashed`, or if longer than 128 characters',
  ),
  row('`tallygate_quota`', '`NAMESPACE/POLICY/QUOTA`'),
  row(
    '`tallygate_quota_key`',
    'The values of the key, joined by commas; credentials and values over 256 characters as SHA-256; all of them with `TALLYGATE_METRIC_KEYS=hashed`',
  ),
  row('`tallygate_quota_mode`', '`enforce`, `shadow`: the mode of the quota'),
  row('`tallygate_outcome`', '`answered`, `failed`'),
  row('`tallygate_currency`', 'The currency of the prices (ISO 4217)'),
  row('`network_io_direction`', '`receive` (from Envoy), `transmit` (to Envoy)'),
  row('`tallygate_quota_threshold`', 'A percentage of [`alertAt`](../guides/quotas.md#alerts)'),
  row('`tallygate_overdraft_cause`', 'See [overdraft](../guides/quotas.md#overdraft)'),
];

export async function metricsPage(): Promise<string> {
  const found = familiesOf(await exampleText());
  for (const { name } of Object.values(metric)) {
    const prometheus = name.replaceAll('.', '_');
    if (!found.some((each) => each.name === prometheus || each.name === `${prometheus}_total`)) {
      throw new Error(`metric ${name} is not in the scrape; add a request to tools/metrics-page.ts that records it`);
    }
  }
  const rows = found.map(({ name, type, unit, help, labels }) =>
    row(`\`${name}\``, type, unit, labels.map((label) => `\`${label}\``).join(' '), help),
  );
  const histograms = found.filter(({ type }) => type === 'histogram');
  return page(
    notice('extproc/telemetry and runtime/loop-delay.ts'),
    '# Metrics',
    'The metrics address (`127.0.0.1:9464`) serves these metrics at `/metrics` in the Prometheus text format. Names, labels and units are public API. `gen_ai_*` are OpenTelemetry’s names for generative AI with underscores instead of dots. A series appears with its first value.',
    table(['Metric', 'Type', 'Unit', 'Labels', 'Meaning'], rows),
    '## Histogram boundaries',
    table(
      ['Metric', 'Upper bounds'],
      histograms.map(({ name, bounds }) => row(`\`${name}\``, bounds.join(', '))),
    ),
    '## Labels',
    table(['Label', 'Values'], labelRows),
    'Of all quota buckets, the 200 nearest to their limit are shown. After 1,000 tuples of names, requests count in one series with `otel_metric_overflow="true"`.',
  );
}

const exampleCaller = { tenant: 'search', user: 'ada', groups: [], apiKey: undefined, claim: () => undefined };

const refusedByAccess = {
  access: { decision: 'refused', method: undefined, caller: undefined, group: undefined },
  failure: failure('unauthenticated', ''),
} as const;

const exampleGuard = {
  rules: [{ rule: 'default/company/identifiers', action: 'mask', findings: { Email: 1 } }],
  failures: [{ rule: 'default/company/names', reason: 'timeout' }],
  calls: undefined,
} as const;

const exampleAttempts = [
  { backend: 'default/openai', status: 503, cause: '5xx', durationMs: 5 },
  { backend: 'default/claude', status: 200, cause: undefined, durationMs: 5 },
] as const;

async function exampleText(): Promise<string> {
  const recorder = newRecorder({ lines: { write: () => {}, dropped: 0 }, nowMs: 0 });
  const usage = {
    ...outcomeOfStream.usage!,
    cacheWriteInput: 1,
    cacheWrite1hInput: 1,
    reasoningOutput: 1,
    audioInput: 1,
    audioOutput: 1,
    imageInput: 1,
    imageOutput: 1,
  };
  const cost = { nanos: 1, currency: 'USD', catalog: undefined };
  const outcomes: readonly RequestRecord[] = [
    { ...outcomeOfStream, usage, decision: { type: 'cut', queuedMs: 5, shadowRefused: ['default/teams/trial'] } },
    { ...outcomeOfStream, unmetered: true, clientLeft: true, cost },
    {
      ...outcomeOfStream,
      cost,
      access: { decision: 'admitted', method: 'jwt', caller: exampleCaller, group: undefined },
    },
    { ...outcomeOfStream, ...refusedByAccess },
    { ...outcomeOfStream, guard: exampleGuard },
    { ...outcomeOfStream, attempts: exampleAttempts },
    { ...outcomeOfStream, broken: { flags: 'UC', details: 'upstream_reset', transportFailure: '' } },
    { ...outcomeOfStream, decision: { type: 'refused', reason: 'spent', quota: 'default/teams/hour' } },
  ];
  const limit = { type: 'Cost', amount: 10, currency: 'USD', unpriced: 'Refuse' } as const;
  const costBucket = { ...bucket, quota: { ...bucket.quota, limit } };
  for (const outcome of outcomes) {
    recorder.record(
      outcome,
      [bucket, costBucket].map((passed) => ({ bucket: passed, amount: 1, cause: 'input_estimate' })),
    );
  }
  const noTimes = { startMs: undefined, endMs: undefined };
  recorder.alert({ bucket, percent: 80, spent: 8, held: 0, limit: 10, atMs: 0, ...noTimes });
  recorder.store.changed('available');
  recorder.store.asked('answered', 1);
  const hour = { startMs: 0, endMs: 3_600_000 };
  recorder.observe({
    now: () => 1_800_000,
    buckets: () => [{ bucket, limit: 10, spent: 8, held: 1, overdraft: 0, isShared: false, ...hour }],
    openStreams: () => 1,
    requests: () => [],
    serverCounters: newCounters,
    unsentBytes: () => 0,
    spans: { exported: 1, dropped: 0 },
    journalFails: () => false,
    usageLost: () => 0,
    usageExports: () => [],
    content: { exported: 1, dropped: new Map([['queue_full', 1]]) },
    policyRefused: () => false,
    backends: () => ['default/openai'],
    restingBackends: () => [],
    keys: () => [{ quota: bucket.quota.id, keys: 1, most: 10 }],
  });
  const telemetry = await startOpenTelemetry({ serviceName: 'tallygate', otlp: undefined, tables: [recorder.table] });
  const delay = watchLoopDelay();
  observeProcess(telemetry.meterProvider.getMeter('tallygate'), delay);
  const text = await telemetry.prometheusText();
  delay.close();
  await telemetry.shutdown(1000);
  return text;
}

interface Family {
  readonly name: string;
  readonly type: string;
  readonly unit: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly bounds: readonly string[];
}

function familiesOf(text: string): readonly Family[] {
  return text
    .split(/^(?=# HELP )/m)
    .filter((part) => part.startsWith('# HELP '))
    .map((part) => {
      const [, name = '', help = ''] = /^# HELP (\S+) (.*)$/m.exec(part) ?? [];
      const samples = part.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      const pairs = samples.flatMap((line) => [...line.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]);
      const labels = new Set(pairs.map(([, label]) => label!).filter((label) => label !== 'le'));
      const bounds = new Set(pairs.filter(([, label]) => label === 'le').map(([, , value]) => value!));
      return {
        name,
        help,
        type: /^# TYPE \S+ (\S+)$/m.exec(part)?.[1] ?? '',
        unit: /^# UNIT \S+ (\S+)$/m.exec(part)?.[1] ?? '',
        labels: [...labels],
        bounds: [...bounds],
      };
    });
}
