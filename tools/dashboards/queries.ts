/** The parts of PromQL that several dashboards use. */
import { failure, failureCodes } from '../../extproc/errors.ts';
import type { FilterDescription } from './description.ts';

const REFUSALS = [401, 403, 429];

const codes = (matches: (status: number, code: string) => boolean) =>
  failureCodes.filter((code) => matches(failure(code, '').status, code)).join('|');

/** Values of `error_type` for which the gateway or the provider is to blame. */
export const FAILED = `5..|backend_broke_off|no_answer|${codes((status) => status >= 500)}`;
/** Values of `error_type` of requests that a budget, an access policy or a guardrail refused. */
export const REFUSED: string = codes((status, code) => REFUSALS.includes(status) || code === 'content_blocked');

export const filters = {
  route: {
    name: 'route',
    label: 'Route',
    description: 'Shows requests of these routes only.',
    metric: 'gen_ai_server_request_duration_count',
    of: 'tallygate_route',
  },
  model: {
    name: 'model',
    label: 'Model',
    description: 'Shows requests for these models only.',
    metric: 'gen_ai_server_request_duration_count',
    of: 'gen_ai_request_model',
  },
  backend: {
    name: 'backend',
    label: 'Backend',
    description: 'Shows requests that these backends served only.',
    metric: 'gen_ai_server_request_duration_count',
    of: 'tallygate_backend',
  },
  tenant: {
    name: 'tenant',
    label: 'Tenant',
    description: 'Shows these tenants only.',
    metric: 'tallygate_tenant_tokens_total',
    of: 'tallygate_tenant',
  },
  quota: {
    name: 'quota',
    label: 'Quota',
    description: 'Shows the budgets of these quotas only.',
    metric: 'tallygate_quota_keys_limit',
    of: 'tallygate_quota',
  },
  guardrail: {
    name: 'guardrail',
    label: 'Guardrail',
    description: 'Shows these guardrails only.',
    metric: 'tallygate_guardrail_findings_total',
    of: 'tallygate_guardrail',
  },
  instance: {
    name: 'instance',
    label: 'Replica',
    description: 'Shows these replicas of extproc only.',
    metric: 'tallygate_streams_open',
    of: 'instance',
  },
} as const satisfies Readonly<Record<string, FilterDescription>>;

/** The labels of the filters route, model and backend. */
export const OF_REQUEST = 'tallygate_route=~"$route", gen_ai_request_model=~"$model", tallygate_backend=~"$backend"';

const REQUESTS = 'gen_ai_server_request_duration_count';

/** Returns the rate of a counter, by the labels `by`. */
export function rate(metric: string, labels: string, by = ''): string {
  return `${sumBy(by)}(rate(${metric}{${labels}}[$__rate_interval]))`;
}

/** Returns the increase of a counter over the time range of the page, by the labels `by`. */
export function increase(metric: string, labels: string, by = ''): string {
  return `${sumBy(by)}(increase(${metric}{${labels}}[$__range]))`;
}

/** Returns the quantile of a histogram, by the labels `by`. */
export function quantile(share: number, metric: string, labels: string, by = ''): string {
  const all = by === '' ? 'le' : `le, ${by}`;
  return `histogram_quantile(${share}, sum by (${all}) (rate(${metric}_bucket{${labels}}[$__rate_interval])))`;
}

/** Returns the requests per second. `labels` are in addition to the filters. */
export function requests(labels = '', by = ''): string {
  return rate(REQUESTS, [OF_REQUEST, labels].filter((text) => text !== '').join(', '), by);
}

/** Returns the share of requests with one of these errors; `labels` as for `requests`. */
export function shareOfErrors(errors: string, by = '', labels = ''): string {
  const all = requests(labels, by);
  const failed = requests([labels, `error_type=~"${errors}"`].filter((text) => text !== '').join(', '), by);
  // Without an error there is no series of it.
  return `(${failed} or 0 * ${all}) / ${all}`;
}

/** Returns the share of the input tokens that providers read from their prompt caches. */
export function cachedShare(tokens: (labels: string) => string): string {
  const input = tokens(`${OF_REQUEST}, gen_ai_token_type="input"`);
  // Without cached tokens there is no series of them.
  return `(${tokens(`${OF_REQUEST}, gen_ai_token_type="cached_input"`)} or 0 * ${input}) / ${input}`;
}

function sumBy(labels: string): string {
  return labels === '' ? 'sum' : `sum by (${labels}) `;
}
