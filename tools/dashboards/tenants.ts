import type { DashboardDescription } from './description.ts';
import { cachedShare, filters, increase, OF_REQUEST, rate } from './queries.ts';

const OF_TENANT = 'tallygate_tenant=~"$tenant"';
const COST = 'tallygate_cost_total';
const TOKENS = 'tallygate_tokens_total';
const TENANT_COST = 'tallygate_tenant_cost_total';
const TENANT_TOKENS = 'tallygate_tenant_tokens_total';

export const tenants: DashboardDescription = {
  name: 'tenants',
  title: 'Tallygate / Tenants and cost',
  description:
    'Who spends how much on which models. Tenants are those that an AIAccessPolicy proves. For bills, use `tallygate usage`, which is exact.',
  from: 'now-7d',
  filters: [filters.tenant, filters.route, filters.model, filters.backend],
  rows: [
    {
      title: 'Tenants in this time range',
      panels: [
        {
          type: 'stat',
          title: 'Cost of tenants',
          description: 'By currency.',
          unit: 'short',
          width: 6,
          queries: [{ expr: increase(TENANT_COST, OF_TENANT, 'tallygate_currency'), legend: '{{tallygate_currency}}' }],
        },
        {
          type: 'stat',
          title: 'Tokens of tenants',
          description: 'Input and output tokens.',
          unit: 'short',
          width: 6,
          queries: [{ expr: increase(TENANT_TOKENS, OF_TENANT, 'gen_ai_token_type'), legend: '{{gen_ai_token_type}}' }],
        },
        {
          type: 'stat',
          title: 'Active tenants',
          description: 'Tenants that used tokens in the time range.',
          unit: 'none',
          width: 6,
          queries: [{ expr: `count(${increase(TENANT_TOKENS, OF_TENANT, 'tallygate_tenant')} > 0)` }],
        },
        {
          type: 'stat',
          title: 'Input from caches',
          description: 'Share of the input tokens of all requests that providers read from their prompt caches.',
          unit: 'percentunit',
          width: 6,
          queries: [
            {
              expr: cachedShare((labels) => increase(TOKENS, labels)),
            },
          ],
        },
        {
          type: 'ranking',
          title: 'Cost by tenant',
          description: 'The 20 tenants that cost most.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `sort_desc(topk(20, ${increase(TENANT_COST, OF_TENANT, 'tallygate_tenant, tallygate_currency')}))`,
              legend: '{{tallygate_tenant}} ({{tallygate_currency}})',
            },
          ],
        },
        {
          type: 'table',
          title: 'Tenants',
          description: 'Totals of the time range. The first event of a new series does not count.',
          unit: 'short',
          width: 12,
          columns: [
            { of: 'tallygate_tenant', title: 'Tenant' },
            { of: 0, title: 'Cost', unit: 'short', isSorted: true },
            { of: 'tallygate_currency', title: 'Currency' },
            { of: 1, title: 'Input tokens', unit: 'short' },
            { of: 2, title: 'Output tokens', unit: 'short' },
          ],
          queries: [
            { expr: increase(TENANT_COST, OF_TENANT, 'tallygate_tenant, tallygate_currency') },
            { expr: increase(TENANT_TOKENS, `${OF_TENANT}, gen_ai_token_type="input"`, 'tallygate_tenant') },
            { expr: increase(TENANT_TOKENS, `${OF_TENANT}, gen_ai_token_type="output"`, 'tallygate_tenant') },
          ],
        },
      ],
    },
    {
      title: 'Tenants over time',
      panels: [
        {
          type: 'areas',
          title: 'Cost an hour by tenant',
          description: 'At the prices of the models.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `${rate(TENANT_COST, OF_TENANT, 'tallygate_tenant, tallygate_currency')} * 3600`,
              legend: '{{tallygate_tenant}} ({{tallygate_currency}})',
            },
          ],
        },
        {
          type: 'areas',
          title: 'Tokens a minute by tenant',
          description: 'Input and output tokens.',
          unit: 'short',
          width: 12,
          queries: [
            { expr: `${rate(TENANT_TOKENS, OF_TENANT, 'tallygate_tenant')} * 60`, legend: '{{tallygate_tenant}}' },
          ],
        },
      ],
    },
    {
      title: 'Cost of all requests',
      panels: [
        {
          type: 'ranking',
          title: 'Cost by model',
          description: 'The 20 models that cost most in the time range.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sort_desc(topk(20, ${increase(COST, OF_REQUEST, 'gen_ai_request_model, tallygate_currency')}))`,
              legend: '{{gen_ai_request_model}} ({{tallygate_currency}})',
            },
          ],
        },
        {
          type: 'ranking',
          title: 'Cost by route',
          description: 'The 20 routes that cost most in the time range.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sort_desc(topk(20, ${increase(COST, OF_REQUEST, 'tallygate_route, tallygate_currency')}))`,
              legend: '{{tallygate_route}} ({{tallygate_currency}})',
            },
          ],
        },
        {
          type: 'ranking',
          title: 'Cost by backend',
          description: 'The 20 backends that cost most in the time range.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sort_desc(topk(20, ${increase(COST, OF_REQUEST, 'tallygate_backend, tallygate_currency')}))`,
              legend: '{{tallygate_backend}} ({{tallygate_currency}})',
            },
          ],
        },
        {
          type: 'bars',
          title: 'Cost of the last 24 hours',
          description: 'At each time, what the 24 hours before it cost, by currency.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `sum by (tallygate_currency) (increase(${COST}{${OF_REQUEST}}[1d]))`,
              legend: '{{tallygate_currency}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Cost of a million tokens',
          description: 'What a million input and output tokens of each model cost on average, caches included.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `1e6 * ${rate(COST, OF_REQUEST, 'gen_ai_request_model, tallygate_currency')} / on (gen_ai_request_model) group_left () ${rate(TOKENS, `${OF_REQUEST}, gen_ai_token_type=~"input|output"`, 'gen_ai_request_model')}`,
              legend: '{{gen_ai_request_model}} ({{tallygate_currency}})',
            },
          ],
        },
      ],
    },
    {
      title: 'Access',
      panels: [
        {
          type: 'areas',
          title: 'Decisions of access policies',
          description: 'By decision and kind of credential.',
          unit: 'reqps',
          width: 12,
          queries: [
            {
              expr: rate('tallygate_access_decisions_total', '', 'tallygate_decision, tallygate_access_method'),
              legend: '{{tallygate_decision}} {{tallygate_access_method}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Refusals of access policies',
          description: 'By code: no valid credential, no rule that admits the caller, or not to this model.',
          unit: 'reqps',
          width: 12,
          queries: [
            {
              expr: rate('tallygate_access_decisions_total', 'tallygate_decision="refused"', 'error_type'),
              legend: '{{error_type}}',
            },
          ],
        },
      ],
    },
  ],
};
