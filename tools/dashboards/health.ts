import type { DashboardDescription, PanelDescription, ValueTexts } from './description.ts';
import { filters } from './queries.ts';

const OF_INSTANCE = 'instance=~"$instance"';
const REPLICA = '{{pod}} {{instance}}';
const SECONDS = '[$__rate_interval]';
const byReplica = (metric: string, labels = '') =>
  `sum by (pod, instance) (rate(${metric}{${[OF_INSTANCE, labels].filter(Boolean).join(', ')}}${SECONDS}))`;
const of = (metric: string, labels = '') => `${metric}{${[OF_INSTANCE, labels].filter(Boolean).join(', ')}}`;

const good = (text: string) => ({ text, color: 'green' }) as const;
const bad = (text: string) => ({ text, color: 'red' }) as const;

interface StateDescription {
  readonly title: string;
  readonly description: string;
  readonly expr: string;
  readonly texts: ValueTexts;
}

const state = ({ title, description, expr, texts }: StateDescription): PanelDescription => ({
  type: 'stat',
  title,
  description,
  unit: 'none',
  width: 4,
  texts,
  queries: [{ expr }],
});

const states: readonly PanelDescription[] = [
  {
    type: 'stat',
    title: 'Replicas',
    description: 'Of extproc, as Prometheus reads them. Alert: TallygateSidecarDown.',
    unit: 'none',
    width: 4,
    queries: [{ expr: `count(${of('tallygate_streams_open')})` }],
  },
  state({
    title: 'Policy',
    description: 'Whether a replica refuses the newest policy. Alert: TallygatePolicyRefused.',
    expr: `max(${of('tallygate_policy_refused')})`,
    texts: { 0: good('newest'), 1: bad('refused') },
  }),
  state({
    title: 'Quota journal',
    description: 'Whether a replica cannot write it. Alert: TallygateJournalNotWritable.',
    expr: `max(${of('tallygate_journal_failing')})`,
    texts: { 0: good('written'), 1: bad('failing') },
  }),
  state({
    title: 'Shared quota store',
    description: 'Whether a replica has lost it. Alert: TallygateQuotaStoreLost.',
    expr: `max(${of('tallygate_quota_store_lost')}) or vector(-1)`,
    texts: { '-1': { text: 'none', color: 'blue' }, 0: good('available'), 1: bad('lost') },
  }),
  {
    type: 'stat',
    title: 'Usage records lost',
    description:
      'In the time range, not kept or dropped from exports, so that sums are too low. Alert: TallygateUsageLost.',
    unit: 'short',
    width: 4,
    bad: { red: 1 },
    queries: [
      {
        expr: `sum(increase(${of('tallygate_usage_lost_total')}[$__range])) + sum(increase(${of('tallygate_usage_exports_dropped_total')}[$__range]))`,
      },
    ],
  },
  {
    type: 'stat',
    title: 'Access lines dropped',
    description: 'In the time range, because nothing read them. Alert: TallygateAccessLinesDropped.',
    unit: 'short',
    width: 4,
    bad: { orange: 1 },
    queries: [{ expr: `sum(delta(${of('tallygate_records_dropped')}[$__range])) or vector(0)` }],
  },
];

const load: readonly PanelDescription[] = [
  {
    type: 'lines',
    title: 'Requests in flight',
    description: 'By replica.',
    unit: 'none',
    width: 8,
    queries: [{ expr: of('tallygate_streams_open'), legend: REPLICA }],
  },
  {
    type: 'lines',
    title: 'Requests from Envoy',
    description: 'Streams that Envoy opened, one per request and one per further attempt.',
    unit: 'reqps',
    width: 8,
    queries: [{ expr: byReplica('tallygate_ext_proc_streams_total'), legend: REPLICA }],
  },
  {
    type: 'lines',
    title: 'Event loop held',
    description:
      'How long other requests waited at most for one piece of work. extproc is overloaded if the 99th percentile stays above 200 ms. Alert: TallygateEventLoopHeld.',
    unit: 's',
    width: 8,
    bad: { red: 0.2 },
    queries: [
      { expr: `max by (statistic) (${of('nodejs_eventloop_delay')})`, legend: '{{statistic}}' },
      {
        expr: `max(${of('nodejs_gc_pause', 'statistic="max"')})`,
        legend: 'longest garbage collection',
      },
    ],
  },
  {
    type: 'lines',
    title: 'Memory',
    description: 'Resident memory of extproc.',
    unit: 'bytes',
    width: 8,
    queries: [{ expr: of('process_memory_usage'), legend: REPLICA }],
  },
  {
    type: 'lines',
    title: 'Bytes from and to Envoy',
    description: 'Requests and responses pass extproc twice: in and out.',
    unit: 'Bps',
    width: 8,
    queries: [
      {
        expr: `sum by (network_io_direction) (rate(${of('tallygate_ext_proc_bytes_total')}${SECONDS}))`,
        legend: '{{network_io_direction}}',
      },
      { expr: `sum(${of('tallygate_ext_proc_unsent_bytes')})`, legend: 'waiting now' },
    ],
  },
  {
    type: 'lines',
    title: 'Messages from and to Envoy',
    description: 'Several for each request, and one for each part of a body.',
    unit: 'ops',
    width: 8,
    queries: [
      {
        expr: `sum by (network_io_direction) (rate(${of('tallygate_ext_proc_messages_total')}${SECONDS}))`,
        legend: '{{network_io_direction}}',
      },
    ],
  },
];

const trouble: readonly PanelDescription[] = [
  {
    type: 'lines',
    title: 'Streams that did not end in order',
    description:
      '`reset`: by Envoy, often because the client left. `exception` is a bug. Alert: TallygateExtProcException.',
    unit: 'ops',
    width: 8,
    queries: [
      {
        expr: `sum by (tallygate_reason) (rate(${of('tallygate_ext_proc_streams_broken_total')}${SECONDS}))`,
        legend: '{{tallygate_reason}}',
      },
    ],
  },
  {
    type: 'lines',
    title: 'Connections of Envoy',
    description: 'Opened, and closed after a protocol error.',
    unit: 'ops',
    width: 8,
    queries: [
      { expr: `sum(rate(${of('tallygate_ext_proc_connections_total')}${SECONDS}))`, legend: 'opened' },
      { expr: `sum(rate(${of('tallygate_ext_proc_connection_errors_total')}${SECONDS}))`, legend: 'failed' },
    ],
  },
  {
    type: 'lines',
    title: 'Failing exports of usage',
    description: 'Targets that do not accept usage. Alert: TallygateUsageExportFailing.',
    unit: 'none',
    width: 8,
    bad: { red: 1 },
    queries: [{ expr: of('tallygate_usage_exports_failing'), legend: REPLICA }],
  },
  {
    type: 'lines',
    title: 'Spans of traces',
    description:
      'Those that the collector accepted, and those that were dropped; absent without traces. Alert: TallygateSpansDropped.',
    unit: 'ops',
    width: 12,
    queries: ['exported', 'dropped'].map((end) => ({
      expr: `sum(rate(${of(`tallygate_spans_${end}_total`)}${SECONDS}))`,
      legend: end,
    })),
  },
  {
    type: 'lines',
    title: 'Content of prompts and answers',
    description:
      'What content policies keep: records that destinations accepted, and what was dropped, by reason. Alert: TallygateContentDropped.',
    unit: 'ops',
    width: 12,
    queries: [
      { expr: `sum(rate(${of('tallygate_content_exported_total')}${SECONDS}))`, legend: 'exported' },
      {
        expr: `sum by (tallygate_reason) (rate(${of('tallygate_content_dropped_total')}${SECONDS}))`,
        legend: 'dropped: {{tallygate_reason}}',
      },
    ],
  },
];

/** Empty without a shared store. */
const store: readonly PanelDescription[] = [
  {
    type: 'areas',
    title: 'Exchanges with the shared store',
    description: 'Most requests need none.',
    unit: 'ops',
    width: 8,
    queries: [
      {
        expr: `sum by (tallygate_outcome) (rate(${of('tallygate_quota_store_exchanges_total')}${SECONDS}))`,
        legend: '{{tallygate_outcome}}',
      },
    ],
  },
  {
    type: 'lines',
    title: 'Time of an exchange',
    description: 'Until the shared store answered. Alert: TallygateQuotaStoreDegraded.',
    unit: 's',
    width: 8,
    queries: [0.5, 0.95].map((share) => ({
      expr: `histogram_quantile(${share}, sum by (le) (rate(${of('tallygate_quota_store_exchange_duration_bucket')}${SECONDS})))`,
      legend: `p${share * 100}`,
    })),
  },
  {
    type: 'lines',
    title: 'Losses of the shared store',
    description: 'How often a replica lost it in the last hour. Alert: TallygateQuotaStoreLost.',
    unit: 'none',
    width: 8,
    queries: [{ expr: `increase(${of('tallygate_quota_store_losses_total')}[1h])`, legend: REPLICA }],
  },
];

const controller: readonly PanelDescription[] = [
  state({
    title: 'Leader',
    description: 'Replicas of the controller that lead; none on one machine. Alert: TallygateNoLeader.',
    expr: 'sum(tallygate_controller_leading) or vector(-1)',
    texts: { '-1': { text: 'no controller', color: 'blue' }, 0: bad('none'), 1: good('1') },
  }),
  {
    type: 'stat',
    title: 'Sidecars without store',
    description:
      'Sidecars that do not reach the shared store, as the controller knows. Alert: TallygateQuotaStoreLost.',
    unit: 'none',
    width: 4,
    bad: { red: 1 },
    queries: [{ expr: 'max(tallygate_controller_sidecars_without_store) or vector(0)' }],
  },
  {
    type: 'stat',
    title: 'Issuers without keys',
    description: 'Issuers whose public keys could not be fetched. Alert: TallygateIssuerKeysFailing.',
    unit: 'none',
    width: 4,
    bad: { orange: 1 },
    queries: [{ expr: 'max(tallygate_issuers_failing) or vector(0)' }],
  },
  {
    type: 'stat',
    title: 'Backends without token',
    description: 'Backends without a valid token of their cloud. Alert: TallygateCloudTokenMissing.',
    unit: 'none',
    width: 4,
    bad: { red: 1 },
    queries: [{ expr: 'max(tallygate_cloud_tokens_missing) or vector(0)' }],
  },
  {
    type: 'stat',
    title: 'Failing webhooks',
    description: 'Webhooks whose last attempt failed. Alert: TallygateWebhookFailing.',
    unit: 'none',
    width: 4,
    bad: { orange: 1 },
    queries: [{ expr: 'max(tallygate_alert_webhooks_failing) or vector(0)' }],
  },
  {
    type: 'stat',
    title: 'Alerts not yet sent',
    description: 'Events about budgets that no webhook has accepted yet.',
    unit: 'none',
    width: 4,
    bad: { orange: 1 },
    queries: [{ expr: 'max(tallygate_alert_events_pending) or vector(0)' }],
  },
  {
    type: 'lines',
    title: 'Policies not taken',
    description:
      'For how long a sidecar of a Gateway has not acknowledged the newest policy. Alert: TallygateConfigurationStuck.',
    unit: 's',
    width: 12,
    bad: { red: 300 },
    queries: [
      {
        expr: 'max by (tallygate_gateway) (tallygate_controller_policy_lag)',
        legend: '{{tallygate_gateway}}',
      },
    ],
  },
  {
    type: 'table',
    title: 'Certificates of the controller',
    description:
      'Of the push of policies, and the authority of the shared quota store. Alert: TallygateCertificateExpiring.',
    unit: 'none',
    width: 12,
    columns: [
      { of: 'tallygate_certificate', title: 'Certificate' },
      { of: 0, title: 'Expires', unit: 'dateTimeFromNow' },
    ],
    queries: [{ expr: 'min by (tallygate_certificate) (tallygate_certificate_expires_at) * 1000' }],
  },
  {
    type: 'lines',
    title: 'Work of the controller',
    description: 'Runs that compare all objects, objects that it wrote or removed, and statuses.',
    unit: 'ops',
    width: 12,
    queries: [
      { expr: `sum(rate(tallygate_controller_runs_total${SECONDS}))`, legend: 'runs' },
      { expr: `sum(rate(tallygate_controller_writes_total${SECONDS}))`, legend: 'objects' },
      { expr: `sum(rate(tallygate_controller_status_writes_total${SECONDS}))`, legend: 'statuses' },
    ],
  },
  {
    type: 'lines',
    title: 'Alerts about budgets',
    description: 'Events that webhooks accepted, and events that were given up.',
    unit: 'ops',
    width: 12,
    queries: [
      { expr: `sum(rate(tallygate_alert_events_sent_total${SECONDS}))`, legend: 'sent' },
      { expr: `sum(rate(tallygate_alert_events_dropped_total${SECONDS}))`, legend: 'given up' },
    ],
  },
];

export const health: DashboardDescription = {
  name: 'health',
  title: 'Tallygate / Gateway health',
  description: 'The state of extproc, the quota journal, the shared store and the controller.',
  from: 'now-6h',
  filters: [filters.instance],
  rows: [
    { title: 'State', panels: states },
    { title: 'Load', panels: load },
    { title: 'Trouble', panels: trouble },
    { title: 'Shared quota store (where there is one)', panels: store },
    { title: 'Controller (on a cluster)', panels: controller },
  ],
};
