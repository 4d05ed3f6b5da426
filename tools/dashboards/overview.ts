import type { DashboardDescription } from './description.ts';
import { FAILED, filters, increase, OF_REQUEST, quantile, REFUSED, rate, requests, shareOfErrors } from './queries.ts';

const TOKENS = 'tallygate_tokens_total';
const COST = 'tallygate_cost_total';
const FIRST_TOKEN = 'gen_ai_server_time_to_first_token';
const DURATION = 'gen_ai_server_request_duration';
const TOTALS = 'gen_ai_token_type=~"input|output"';

/** The columns of a table by a label, of the queries in `totalsBy`. */
const totals = (label: string, title: string) =>
  [
    { of: label, title },
    { of: 0, title: 'Requests', unit: 'short', isSorted: true },
    { of: 1, title: 'Tokens', unit: 'short' },
    { of: 2, title: 'Cost', unit: 'short' },
    { of: 'tallygate_currency', title: 'Currency' },
    { of: 3, title: 'Failed', unit: 'percentunit' },
  ] as const;

const totalsBy = (label: string) => {
  const all = increase(`${DURATION}_count`, OF_REQUEST, label);
  const failed = increase(`${DURATION}_count`, `${OF_REQUEST}, error_type=~"${FAILED}"`, label);
  return [
    { expr: all },
    { expr: increase(TOKENS, `${OF_REQUEST}, ${TOTALS}`, label) },
    { expr: increase(COST, OF_REQUEST, `${label}, tallygate_currency`) },
    { expr: `(${failed} or 0 * ${all}) / ${all}` },
  ];
};

export const overview: DashboardDescription = {
  name: 'overview',
  title: 'Tallygate / Overview',
  description: 'Requests, tokens, cost and speed of the gateway, by route and model.',
  from: 'now-6h',
  filters: [filters.route, filters.model, filters.backend],
  rows: [
    {
      title: 'Now',
      panels: [
        {
          type: 'stat',
          title: 'Requests',
          description: 'Requests per second, whatever their result.',
          unit: 'reqps',
          width: 3,
          queries: [{ expr: requests() }],
        },
        {
          type: 'stat',
          title: 'Failed',
          description:
            'Share of the requests that failed in the gateway or at the provider. Alert: TallygateErrorRatio.',
          unit: 'percentunit',
          width: 3,
          bad: { orange: 0.01, red: 0.05 },
          queries: [{ expr: shareOfErrors(FAILED) }],
        },
        {
          type: 'stat',
          title: 'Refused',
          description: 'Share of the requests that a budget, an access policy or a guardrail refused.',
          unit: 'percentunit',
          width: 3,
          queries: [{ expr: shareOfErrors(REFUSED) }],
        },
        {
          type: 'stat',
          title: 'Tokens a minute',
          description: 'Input and output tokens.',
          unit: 'short',
          width: 3,
          queries: [{ expr: `${rate(TOKENS, `${OF_REQUEST}, ${TOTALS}`)} * 60` }],
        },
        {
          type: 'stat',
          title: 'Cost an hour',
          description: 'At the prices of the models, by currency; models without prices do not count.',
          unit: 'short',
          width: 3,
          queries: [
            { expr: `${rate(COST, OF_REQUEST, 'tallygate_currency')} * 3600`, legend: '{{tallygate_currency}}' },
          ],
        },
        {
          type: 'stat',
          title: 'First token (p95)',
          description: 'Within this time, 95 of 100 streams got their first token. Alert: TallygateFirstTokenSlow.',
          unit: 's',
          width: 3,
          bad: { orange: 2, red: 5 },
          queries: [{ expr: quantile(0.95, FIRST_TOKEN, OF_REQUEST) }],
        },
        {
          type: 'stat',
          title: 'In flight',
          description: 'Requests in flight, of all routes.',
          unit: 'none',
          width: 3,
          queries: [{ expr: 'sum(tallygate_streams_open)' }],
        },
        {
          type: 'stat',
          title: 'Backends resting',
          description: 'Backends that are left out after failures. Alert: TallygateBackendResting.',
          unit: 'none',
          width: 3,
          bad: { orange: 1 },
          queries: [{ expr: 'sum(max by (tallygate_backend) (tallygate_backend_resting))' }],
        },
      ],
    },
    {
      title: 'Traffic',
      panels: [
        {
          type: 'areas',
          title: 'Requests by result',
          description: 'Other errors are those of clients: invalid requests, unknown models, clients that left.',
          unit: 'reqps',
          width: 12,
          queries: [
            { expr: requests('error_type=""'), legend: 'success' },
            { expr: requests(`error_type=~"${FAILED}"`), legend: 'failed' },
            { expr: requests(`error_type=~"${REFUSED}"`), legend: 'refused' },
            { expr: requests(`error_type!~"|${FAILED}|${REFUSED}"`), legend: 'other error' },
          ],
        },
        {
          type: 'lines',
          title: 'Errors by type',
          description: 'Codes of the gateway, and statuses of providers.',
          unit: 'reqps',
          width: 12,
          queries: [{ expr: requests('error_type!=""', 'error_type'), legend: '{{error_type}}' }],
        },
        {
          type: 'areas',
          title: 'Tokens a minute by model',
          description: 'Input and output tokens.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `${rate(TOKENS, `${OF_REQUEST}, ${TOTALS}`, 'gen_ai_request_model')} * 60`,
              legend: '{{gen_ai_request_model}}',
            },
          ],
        },
        {
          type: 'areas',
          title: 'Cost an hour by model',
          description: 'At the prices of the models; models without prices are missing. Alert: TallygateCostSpike.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `${rate(COST, OF_REQUEST, 'gen_ai_request_model, tallygate_currency')} * 3600`,
              legend: '{{gen_ai_request_model}} ({{tallygate_currency}})',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Time to the first token',
          description: 'Of streams, from the headers of the request.',
          unit: 's',
          width: 12,
          queries: [0.5, 0.95, 0.99].map((share) => ({
            expr: quantile(share, FIRST_TOKEN, OF_REQUEST),
            legend: `p${share * 100}`,
          })),
        },
        {
          type: 'lines',
          title: 'Duration of requests',
          description: 'Until the end of the response.',
          unit: 's',
          width: 12,
          queries: [0.5, 0.95, 0.99].map((share) => ({
            expr: quantile(share, DURATION, OF_REQUEST),
            legend: `p${share * 100}`,
          })),
        },
      ],
    },
    {
      title: 'In this time range',
      panels: [
        {
          type: 'table',
          title: 'Routes',
          description: 'Totals of the time range. The first event of a new series does not count.',
          unit: 'short',
          width: 12,
          columns: totals('tallygate_route', 'Route'),
          queries: totalsBy('tallygate_route'),
        },
        {
          type: 'table',
          title: 'Models',
          description: 'Totals of the time range. The first event of a new series does not count.',
          unit: 'short',
          width: 12,
          columns: totals('gen_ai_request_model', 'Model'),
          queries: totalsBy('gen_ai_request_model'),
        },
      ],
    },
  ],
};
