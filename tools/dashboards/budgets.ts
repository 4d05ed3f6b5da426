import type { DashboardDescription } from './description.ts';
import { filters, increase, rate } from './queries.ts';

const OF_QUOTA = 'tallygate_quota=~"$quota"';
/** Budgets in `Shadow` mode stop nobody, so no number that asks for action counts them. */
const ENFORCED = `${OF_QUOTA}, tallygate_quota_mode!="shadow"`;
const BY_KEY = 'tallygate_quota, tallygate_quota_key';
const BY_BUDGET = `${BY_KEY}, tallygate_quota_mode`;
const bucket = (metric: string, { by = BY_KEY, labels = OF_QUOTA } = {}) => `max by (${by}) (${metric}{${labels}})`;
const spentShare = ({ by = BY_KEY, labels = OF_QUOTA } = {}) =>
  `max by (${by}) (tallygate_quota_spent{${labels}} / (tallygate_quota_limit{${labels}} > 0))`;

export const budgets: DashboardDescription = {
  name: 'budgets',
  title: 'Tallygate / Budgets',
  description:
    'What is spent and held of budgets, when they end, and what quotas refused. Each replica shows its 200 fullest budgets; of replicas without a shared store, the fullest one counts.',
  from: 'now-24h',
  filters: [filters.quota],
  rows: [
    {
      title: 'In this time range',
      panels: [
        {
          type: 'stat',
          title: 'Nearly spent',
          description:
            'Budgets of which at least 90% is spent now, without those in Shadow mode. Alert: TallygateBudgetNearlySpent.',
          unit: 'none',
          width: 4,
          bad: { orange: 1 },
          queries: [{ expr: `count(${spentShare({ labels: ENFORCED })} >= 0.9) or vector(0)` }],
        },
        {
          type: 'stat',
          title: 'Will not last',
          description:
            'Budgets that are spent before their window ends, at its average rate so far, without those in Shadow mode. Alert: TallygateBudgetBurn.',
          unit: 'none',
          width: 4,
          bad: { orange: 1 },
          queries: [{ expr: `count(${bucket('tallygate_quota_exhausted_at', { labels: ENFORCED })}) or vector(0)` }],
        },
        {
          type: 'stat',
          title: 'Refused',
          description: 'Requests that quotas refused.',
          unit: 'short',
          width: 4,
          queries: [{ expr: increase('tallygate_quota_decisions_total', `tallygate_decision="refused", ${OF_QUOTA}`) }],
        },
        {
          type: 'stat',
          title: 'Streams cut',
          description: 'Streams that ended because their budget ended.',
          unit: 'short',
          width: 4,
          queries: [{ expr: increase('tallygate_streams_cut_total', '') }],
        },
        {
          type: 'stat',
          title: 'Thresholds reached',
          description: 'How often what was spent of a key reached a threshold of `alertAt`.',
          unit: 'short',
          width: 4,
          queries: [{ expr: increase('tallygate_quota_alerts_total', OF_QUOTA) }],
        },
        {
          type: 'stat',
          title: 'Wait for budgets (p95)',
          description: 'How long requests waited for the holds of others, of those that waited.',
          unit: 's',
          width: 4,
          queries: [
            { expr: 'histogram_quantile(0.95, sum by (le) (increase(tallygate_quota_wait_bucket[$__range])))' },
          ],
        },
      ],
    },
    {
      title: 'Budgets',
      panels: [
        {
          type: 'ranking',
          title: 'Fullest budgets',
          description: 'Share of the limit that is spent now.',
          unit: 'percentunit',
          width: 10,
          bad: { orange: 0.8, red: 0.9 },
          queries: [
            { expr: `sort_desc(topk(20, ${spentShare()}))`, legend: '{{tallygate_quota}} {{tallygate_quota_key}}' },
          ],
        },
        {
          type: 'table',
          title: 'State of budgets',
          description: 'In tokens, requests or a currency, by the type of the limit.',
          unit: 'short',
          width: 14,
          columns: [
            { of: 'tallygate_quota', title: 'Quota' },
            { of: 'tallygate_quota_key', title: 'Key' },
            { of: 'tallygate_quota_mode', title: 'Mode' },
            { of: 0, title: 'Spent', unit: 'short' },
            { of: 1, title: 'Held', unit: 'short' },
            { of: 2, title: 'Limit', unit: 'short' },
            { of: 3, title: 'Share', unit: 'percentunit', isShare: true, isSorted: true },
            { of: 4, title: 'Ends', unit: 'dateTimeFromNow' },
          ],
          queries: [
            ...['spent', 'held', 'limit'].map((of) => ({ expr: bucket(`tallygate_quota_${of}`, { by: BY_BUDGET }) })),
            { expr: spentShare({ by: BY_BUDGET }) },
            { expr: `min by (${BY_BUDGET}) (tallygate_quota_exhausted_at{${OF_QUOTA}}) * 1000` },
          ],
        },
        {
          type: 'lines',
          title: 'Spent of the fullest budgets',
          description: 'Share of the limit over time; a fall is the beginning of a window.',
          unit: 'percentunit',
          width: 12,
          bad: { red: 1 },
          queries: [{ expr: `topk(10, ${spentShare()})`, legend: '{{tallygate_quota}} {{tallygate_quota_key}}' }],
        },
        {
          type: 'lines',
          title: 'Held by requests in flight',
          description: 'Share of the limit that requests in flight hold.',
          unit: 'percentunit',
          width: 12,
          queries: [
            {
              expr: `topk(10, sum by (${BY_KEY}) (tallygate_quota_held{${OF_QUOTA}}) / (${bucket('tallygate_quota_limit')} > 0))`,
              legend: '{{tallygate_quota}} {{tallygate_quota_key}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Decisions',
      panels: [
        {
          type: 'areas',
          title: 'Decisions of quotas',
          description: 'Requests by decision; a cut is a stream that ended with its budget.',
          unit: 'reqps',
          width: 8,
          queries: [
            {
              expr: rate('tallygate_quota_decisions_total', '', 'tallygate_decision'),
              legend: '{{tallygate_decision}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Refusals by quota and reason',
          description: '`spent`: nothing left; `held`: others hold it; `size`: never fits; `keys`: too many keys.',
          unit: 'reqps',
          width: 8,
          queries: [
            {
              expr: rate(
                'tallygate_quota_decisions_total',
                `tallygate_decision="refused", ${OF_QUOTA}`,
                'tallygate_quota, tallygate_reason',
              ),
              legend: '{{tallygate_quota}} {{tallygate_reason}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Streams cut by route',
          description: 'Streams that ended because their budget ended.',
          unit: 'ops',
          width: 8,
          queries: [
            { expr: rate('tallygate_streams_cut_total', '', 'tallygate_route'), legend: '{{tallygate_route}}' },
          ],
        },
        {
          type: 'lines',
          title: 'Requests that waited',
          description: 'Per second, for the holds of others.',
          unit: 'reqps',
          width: 8,
          queries: [{ expr: 'sum(rate(tallygate_quota_wait_count[$__rate_interval]))', legend: 'waited' }],
        },
        {
          type: 'lines',
          title: 'Would have been refused',
          description: 'Requests that quotas in Shadow mode would have refused.',
          unit: 'reqps',
          width: 8,
          queries: [
            {
              expr: rate('tallygate_quota_shadow_refused_total', OF_QUOTA, 'tallygate_quota'),
              legend: '{{tallygate_quota}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Keys of quotas',
          description:
            'Share of the keys that a quota may have. At 1, requests with new keys are refused. Alert: TallygateQuotaKeysNearlyFull.',
          unit: 'percentunit',
          width: 8,
          bad: { red: 0.9 },
          queries: [
            {
              expr: `max by (tallygate_quota) (tallygate_quota_keys{${OF_QUOTA}} / tallygate_quota_keys_limit{${OF_QUOTA}})`,
              legend: '{{tallygate_quota}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Overdrafts',
      panels: [
        {
          type: 'bars',
          title: 'Tokens past a limit by cause',
          description: 'Charged in an hour although they passed a limit. Alert: TallygateOverdraft.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sum by (tallygate_overdraft_cause) (increase(tallygate_overdraft_tokens_total{${OF_QUOTA}}[1h]))`,
              legend: '{{tallygate_overdraft_cause}}',
            },
          ],
        },
        {
          type: 'bars',
          title: 'Cost past a limit by cause',
          description: 'Charged in an hour although it passed a limit. Alert: TallygateOverdraft.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sum by (tallygate_quota, tallygate_overdraft_cause) (increase(tallygate_overdraft_cost_total{${OF_QUOTA}}[1h]))`,
              legend: '{{tallygate_quota}} {{tallygate_overdraft_cause}}',
            },
          ],
        },
        {
          type: 'ranking',
          title: 'Budgets past their limit',
          description: 'Spent past the limit now, in tokens, requests or a currency, without budgets in Shadow mode.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sort_desc(topk(20, ${bucket('tallygate_quota_overdraft', { labels: ENFORCED })}))`,
              legend: '{{tallygate_quota}} {{tallygate_quota_key}}',
            },
          ],
        },
      ],
    },
  ],
};
