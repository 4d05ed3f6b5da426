import type { DashboardDescription } from './description.ts';
import {
  cachedShare,
  FAILED,
  filters,
  increase,
  OF_REQUEST,
  quantile,
  rate,
  requests,
  shareOfErrors,
} from './queries.ts';

const TOKENS = 'tallygate_tokens_total';
const FIRST_TOKEN = 'gen_ai_server_time_to_first_token';
const PER_TOKEN = 'gen_ai_server_time_per_output_token';
const DURATION = 'gen_ai_server_request_duration';
const USAGE = 'gen_ai_client_token_usage';
const CALL = 'gen_ai_client_operation_duration';
const FIRST_CHUNK = 'gen_ai_client_operation_time_to_first_chunk';
/** Requests that were refused before have no backend. */
const SERVED = 'tallygate_backend!=""';

export const models: DashboardDescription = {
  name: 'models',
  title: 'Tallygate / Models and providers',
  description: 'How fast and how reliably backends answer, and what models are used for.',
  from: 'now-6h',
  filters: [filters.route, filters.model, filters.backend],
  rows: [
    {
      title: 'Backends',
      panels: [
        {
          type: 'areas',
          title: 'Requests by backend',
          description: 'By the backend that served the request, or that failed last.',
          unit: 'reqps',
          width: 12,
          queries: [{ expr: requests(SERVED, 'tallygate_backend'), legend: '{{tallygate_backend}}' }],
        },
        {
          type: 'lines',
          title: 'Failed requests by backend',
          description: 'Share of the requests. Alert: TallygateErrorRatio.',
          unit: 'percentunit',
          width: 12,
          bad: { red: 0.05 },
          queries: [{ expr: shareOfErrors(FAILED, 'tallygate_backend', SERVED), legend: '{{tallygate_backend}}' }],
        },
        {
          type: 'lines',
          title: 'Rate limits of providers',
          description: 'Share of the requests that a provider answered with 429. Alert: TallygateProviderRateLimits.',
          unit: 'percentunit',
          width: 12,
          bad: { red: 0.05 },
          queries: [{ expr: shareOfErrors('429', 'tallygate_backend', SERVED), legend: '{{tallygate_backend}}' }],
        },
        {
          type: 'lines',
          title: 'Backends without a response',
          description: 'Requests that a backend did not answer completely, by cause.',
          unit: 'reqps',
          width: 12,
          queries: [
            {
              expr: rate(
                'tallygate_backend_failures_total',
                'tallygate_backend=~"$backend"',
                'tallygate_backend, tallygate_failure',
              ),
              legend: '{{tallygate_backend}} {{tallygate_failure}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Attempts that failed over',
          description: 'Attempts after which the same request went to another backend, by cause.',
          unit: 'ops',
          width: 12,
          queries: [
            {
              expr: rate(
                'tallygate_backend_attempts_total',
                'tallygate_backend=~"$backend", tallygate_failover_cause!=""',
                'tallygate_backend, tallygate_failover_cause',
              ),
              legend: '{{tallygate_backend}} {{tallygate_failover_cause}}',
            },
          ],
        },
        {
          type: 'states',
          title: 'Resting backends',
          description: 'When backends were left out after failures. Alert: TallygateBackendResting.',
          unit: 'none',
          width: 12,
          bad: { red: 1 },
          texts: { 0: { text: 'in use', color: 'green' }, 1: { text: 'resting', color: 'red' } },
          queries: [
            {
              expr: 'max by (tallygate_backend) (tallygate_backend_resting{tallygate_backend=~"$backend"})',
              legend: '{{tallygate_backend}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Load of backends now',
      panels: (
        [
          ['Requests in flight', 'tallygate_backend_requests', 'Requests that a backend serves or will serve.'],
          [
            'Requests that wait',
            'tallygate_backend_requests_waiting',
            'For the holds of other requests, before they go to the backend.',
          ],
          [
            'Tokens in flight',
            'tallygate_backend_tokens',
            'What the requests that a backend serves hold of quotas on tokens or cost: prompts, and answers as far as they are held.',
          ],
        ] as const
      ).map(([title, metric, description]) => ({
        type: 'areas',
        title,
        description,
        unit: 'short',
        width: 8,
        queries: [
          {
            expr: `sum by (tallygate_backend) (${metric}{tallygate_backend=~"$backend"})`,
            legend: '{{tallygate_backend}}',
          },
        ],
      })),
    },
    {
      title: 'Speed',
      panels: [
        {
          type: 'lines',
          title: 'Time to the first token (p95)',
          description: 'By model and backend. Alert: TallygateFirstTokenSlow.',
          unit: 's',
          width: 12,
          bad: { red: 5 },
          queries: [
            {
              expr: quantile(0.95, FIRST_TOKEN, OF_REQUEST, 'gen_ai_request_model, tallygate_backend'),
              legend: '{{gen_ai_request_model}} ({{tallygate_backend}})',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Time per output token (median)',
          description: 'After the first token, of complete streams.',
          unit: 's',
          width: 12,
          queries: [
            {
              expr: quantile(0.5, PER_TOKEN, OF_REQUEST, 'gen_ai_request_model, tallygate_backend'),
              legend: '{{gen_ai_request_model}} ({{tallygate_backend}})',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Duration of requests (p95)',
          description: 'Until the end of the response, by model.',
          unit: 's',
          width: 12,
          queries: [
            { expr: quantile(0.95, DURATION, OF_REQUEST, 'gen_ai_request_model'), legend: '{{gen_ai_request_model}}' },
          ],
        },
        {
          type: 'lines',
          title: 'Output tokens a second',
          description: 'What all streams and responses of a backend produce together.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: rate(TOKENS, `${OF_REQUEST}, gen_ai_token_type="output"`, 'tallygate_backend'),
              legend: '{{tallygate_backend}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Duration of calls of backends (p95)',
          description: 'Without what the gateway adds: access, guardrails, waiting for budgets. Each attempt counts.',
          unit: 's',
          width: 12,
          queries: [{ expr: quantile(0.95, CALL, OF_REQUEST, 'tallygate_backend'), legend: '{{tallygate_backend}}' }],
        },
        {
          type: 'lines',
          title: 'First token of calls of backends (p95)',
          description: 'From the call of the backend. The rest of the time to the first token is spent in the gateway.',
          unit: 's',
          width: 12,
          queries: [
            { expr: quantile(0.95, FIRST_CHUNK, OF_REQUEST, 'tallygate_backend'), legend: '{{tallygate_backend}}' },
          ],
        },
      ],
    },
    {
      title: 'Tokens',
      panels: [
        {
          type: 'areas',
          title: 'Tokens a minute by kind',
          description:
            'Cached, cache-write and audio input are parts of input; reasoning and audio output are parts of output.',
          unit: 'short',
          width: 12,
          queries: [{ expr: `${rate(TOKENS, OF_REQUEST, 'gen_ai_token_type')} * 60`, legend: '{{gen_ai_token_type}}' }],
        },
        {
          type: 'lines',
          title: 'Tokens of a request',
          description: 'Median and 95th percentile.',
          unit: 'short',
          width: 12,
          queries: [0.5, 0.95].map((share) => ({
            expr: quantile(share, USAGE, OF_REQUEST, 'gen_ai_token_type'),
            legend: `{{gen_ai_token_type}} p${share * 100}`,
          })),
        },
        {
          type: 'lines',
          title: 'Input from caches by model',
          description: 'Share of the input tokens that the provider read from its prompt cache.',
          unit: 'percentunit',
          width: 12,
          queries: [
            {
              expr: cachedShare((labels) => rate(TOKENS, labels, 'gen_ai_request_model')),
              legend: '{{gen_ai_request_model}}',
            },
          ],
        },
        {
          type: 'table',
          title: 'Models',
          description: 'Totals of the time range, by the model in the request and in the response of the provider.',
          unit: 'short',
          width: 12,
          columns: [
            { of: 'gen_ai_provider_name', title: 'Provider' },
            { of: 'gen_ai_request_model', title: 'Model' },
            { of: 'gen_ai_response_model', title: 'Model of the response' },
            { of: 0, title: 'Requests', unit: 'short', isSorted: true },
            { of: 1, title: 'Input tokens', unit: 'short' },
            { of: 2, title: 'Output tokens', unit: 'short' },
          ],
          queries: [`${DURATION}_count`, 'input', 'output'].map((of) => {
            const by = 'gen_ai_provider_name, gen_ai_request_model, gen_ai_response_model';
            const tokens = `${OF_REQUEST}, gen_ai_token_type="${of}"`;
            return { expr: of.includes('_') ? increase(of, OF_REQUEST, by) : increase(TOKENS, tokens, by) };
          }),
        },
      ],
    },
    {
      title: 'Counting',
      panels: [
        {
          type: 'areas',
          title: 'Output tokens by who counted them',
          description: 'The provider, the tokenizer of the gateway, or some of each.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `${rate(TOKENS, `${OF_REQUEST}, gen_ai_token_type="output"`, 'tallygate_source')} * 60`,
              legend: '{{tallygate_source}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Difference of the counts',
          description:
            'How far the count of the gateway is from that of the provider, in percent: 5th percentile, median and 95th.',
          unit: 'percent',
          width: 8,
          queries: [0.05, 0.5, 0.95].map((share) => ({
            expr: quantile(share, 'tallygate_tokens_drift', OF_REQUEST),
            legend: `p${share * 100}`,
          })),
        },
        {
          type: 'lines',
          title: 'Requests with unknown tokens',
          description:
            'No usage was reported and nothing could be counted, so the hold is charged. Alert: TallygateRequestsUnmetered.',
          unit: 'reqps',
          width: 8,
          queries: [
            {
              expr: rate('tallygate_requests_unmetered_total', OF_REQUEST, 'gen_ai_operation_name'),
              legend: '{{gen_ai_operation_name}}',
            },
          ],
        },
      ],
    },
  ],
};
