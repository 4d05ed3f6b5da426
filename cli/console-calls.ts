/** Serves the console over the quota socket: what one gateway process knows, as JSON. */
import type { IncomingHttpHeaders } from 'node:http';
import type {
  BackendRest,
  BackendState,
  Bounded,
  BudgetRow,
  Identification,
  RefusedRequest,
} from '../console/api/source.ts';
import { isVisible, isVisibleBudget, type Viewer } from '../console/api/viewer.ts';
import { isFailure } from '../extproc/errors.ts';
import type { Extproc } from '../extproc/main.ts';
import { budgets } from '../extproc/quota/operator.ts';
import type { UsageArchive } from '../extproc/quota/usage-archive.ts';
import { OTHER } from '../extproc/quota/usage-hours.ts';
import { type UsageGroup, type UsageSums, usageGroups } from '../extproc/quota/usage-report.ts';
import { type UsageSet, usageSets } from '../extproc/quota/usage-share.ts';
import type { Log } from '../runtime/log.ts';
import { LiveRequests } from './live-requests.ts';
import { ownerOf, type RefusedRequests } from './refused-requests.ts';

/** The gateway process behind the calls. */
export interface ConsoleGateway {
  readonly service: Pick<Extproc, 'store' | 'usage' | 'health' | 'requests' | 'identify'>;
  readonly refused: RefusedRequests;
  /** Whether callers must not learn what the operator has configured. */
  readonly plainErrors: boolean;
  readonly log: Log;
}

const MAX_USAGE_ROWS = 2_000;
/** Groups whose names the operator has chosen. */
const configuredGroups: readonly UsageGroup[] = ['served', 'route', 'backend'];
const MAX_BUDGETS = 500;
/** Clients choose ids, also the same one again and again. */
const MAX_REQUESTS = 20;
/** How far back the requests of a tenant tell which backends concern it. */
const BACKENDS_SINCE_MS = 24 * 3_600_000;

export class ConsoleCalls {
  readonly #gateway: ConsoleGateway;
  readonly #live: LiveRequests;

  constructor(gateway: ConsoleGateway) {
    this.#gateway = gateway;
    this.#live = new LiveRequests(gateway.service.requests);
  }

  /** Returns the answer to `GET /console/streams` and so on; undefined: there is no such call. */
  async answer(call: string, query: URLSearchParams, headers: IncomingHttpHeaders): Promise<object | undefined> {
    const { service, refused, plainErrors } = this.#gateway;
    const viewer = viewerOf(query);
    const plain = plainErrors && !viewer.operator;
    switch (call) {
      case 'GET /console/identify':
        return await identification(service, headers, query.get('among')?.split(','));
      case 'GET /console/usage':
        return await usageOf(service.usage, query, viewer, plain);
      case 'GET /console/budgets':
        return plain ? plainBudgets(await budgetsOf(service, viewer)) : await budgetsOf(service, viewer);
      case 'GET /console/streams':
        return await this.#live.list(viewer, plain);
      case 'GET /console/refusals':
        return refused.list(viewer, plain);
      case 'GET /console/requests':
        return await this.#requests(query, viewer, plain);
      case 'GET /console/backends':
        return plain ? { rows: [], total: 0 } : await backendsOf(service, viewer);
      case 'POST /console/stop':
        return { outcome: this.#stop(query.get('id') ?? '', query.get('by') ?? '') };
      default:
        return undefined;
    }
  }

  async #requests(query: URLSearchParams, viewer: Viewer, plain: boolean): Promise<Bounded<RefusedRequest>> {
    const requestId = query.get('id') ?? '';
    const of = setOf(query);
    const { service, refused } = this.#gateway;
    const refusals = of === 'shared' ? [] : refused.find(requestId);
    const all = [...refusals, ...((await service.usage?.explain(requestId, of)) ?? [])];
    const rows = all.filter((row) => isVisible(row, viewer)).slice(0, MAX_REQUESTS);
    return { rows: plain ? rows.map(plainRequest) : rows, total: rows.length, ...storeOf(service.usage, of) };
  }

  #stop(id: string, by: string): string {
    const { outcome, record } = this.#live.stop(id, by);
    if (record !== undefined) {
      const { requestId, model, route, access } = record;
      const request = { requestId, model, route, ...ownerOf(access?.caller) };
      this.#gateway.log.warn({ by, outcome, ...request }, 'operator stopped a request');
    }
    return outcome;
  }
}

function viewerOf(query: URLSearchParams): Viewer {
  const owner = Object.fromEntries(['tenant', 'user', 'key'].flatMap((name) => named(query, name)));
  return { operator: query.get('operator') === 'true', ...owner };
}

function named(query: URLSearchParams, name: string): readonly [string, string][] {
  const value = query.get(name);
  return value === null ? [] : [[name, value]];
}

async function identification(
  { identify }: Pick<Extproc, 'identify'>,
  headers: IncomingHttpHeaders,
  among: readonly string[] | undefined,
): Promise<Identification> {
  const credentials = ['authorization', 'x-api-key'].flatMap((name) => {
    const value = headers[name];
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  const found = await identify(credentials, among);
  if (isFailure(found)) {
    return { type: 'refused', status: found.status, message: found.message };
  }
  const { caller } = found;
  return caller === undefined ? { type: 'open' } : { type: 'caller', groups: caller.groups, ...ownerOf(caller) };
}

async function usageOf(
  usage: UsageArchive | undefined,
  query: URLSearchParams,
  viewer: Viewer,
  plain = false,
): Promise<Bounded<UsageSums>> {
  const only = ownUsage(viewer);
  if (usage === undefined || only === undefined) {
    return { rows: [], total: 0 };
  }
  const by = query
    .getAll('by')
    .filter((name): name is UsageGroup => Object.hasOwn(usageGroups, name))
    .filter((name) => !plain || !configuredGroups.includes(name));
  const times = { sinceMs: Number(query.get('since')), untilMs: Number(query.get('until')) };
  const of = setOf(query);
  const rows = await usage.report({ by, ...times, only }, of);
  return { rows: rows.slice(0, MAX_USAGE_ROWS), total: rows.length, ...storeOf(usage, of) };
}

function setOf(query: URLSearchParams): UsageSet | undefined {
  return usageSets.find((set) => set === query.get('of'));
}

/** Tells whoever asks for the rows of this gateway where the others are. */
function storeOf(usage: UsageArchive | undefined, of: UsageSet | undefined): { readonly sharesStore?: true } {
  return usage?.isShared && of !== undefined && of !== 'shared' ? { sharesStore: true } : {};
}

/**
 * Returns which usage belongs to a viewer, as `isVisible`; undefined: none. Nobody may be called as
 * the sums that many share.
 */
function ownUsage({ operator, tenant, user, key }: Viewer): Readonly<Partial<Record<UsageGroup, string>>> | undefined {
  if (operator) {
    return {};
  }
  if (tenant === OTHER || user === OTHER) {
    return undefined;
  }
  if (tenant) {
    return { tenant };
  }
  if (user) {
    return { tenant: '', user };
  }
  return key ? { tenant: '', key } : undefined;
}

/** Leaves out what the operator has configured. */
function plainRequest(request: RefusedRequest): RefusedRequest {
  const { route, backend, served, quota, limits, hold, overdrafts, message, ...others } = request;
  return others;
}

/** Leaves out the names of quotas. */
function plainBudgets({ rows, total }: Bounded<BudgetRow>): Bounded<BudgetRow> {
  return { rows: rows.map((row) => ({ ...row, quota: '' })), total };
}

async function budgetsOf({ store }: Pick<Extproc, 'store'>, viewer: Viewer): Promise<Bounded<BudgetRow>> {
  let fullest: BudgetRow[] = [];
  let total = 0;
  for await (const budget of budgets(store, {}, Date.now)) {
    if (isVisibleBudget(budget, viewer)) {
      total++;
      fullest.push(budget);
      fullest = fullest.length < 2 * MAX_BUDGETS ? fullest : firstOf(fullest);
    }
  }
  return { rows: firstOf(fullest), total };
}

function firstOf(rows: BudgetRow[]): BudgetRow[] {
  return rows.sort((one, other) => usedShare(other) - usedShare(one)).slice(0, MAX_BUDGETS);
}

function usedShare({ spent, held, limit }: BudgetRow): number {
  return (Number(spent) + Number(held)) / Number(limit);
}

async function backendsOf(
  { health, usage }: Pick<Extproc, 'health' | 'usage'>,
  viewer: Viewer,
): Promise<Bounded<BackendState>> {
  const rests = new Map<string, BackendRest[]>();
  for (const { backend, cause, untilMs, model, rule } of health.resting(Date.now())) {
    const until = new Date(untilMs).toISOString();
    const rest = { cause, until, ...(model !== undefined && { model }), ...(rule !== undefined && { rule }) };
    rests.set(backend, [...(rests.get(backend) ?? []), rest]);
  }
  const used = await usedBackends(usage, viewer);
  const names = [...health.backends].filter((name) => used?.has(name) ?? true).sort();
  const rows = names.slice(0, MAX_USAGE_ROWS).map((backend) => ({ backend, rests: rests.get(backend) ?? [] }));
  return { rows, total: names.length };
}

/** Returns the backends that served a viewer; undefined: all are visible. */
async function usedBackends(usage: UsageArchive | undefined, viewer: Viewer): Promise<Set<string> | undefined> {
  if (viewer.operator) {
    return undefined;
  }
  const times = { since: String(Date.now() - BACKENDS_SINCE_MS), until: String(Date.now()) };
  const { rows } = await usageOf(usage, new URLSearchParams({ by: 'backend', ...times }), viewer);
  return new Set(rows.map(({ group }) => group.backend ?? ''));
}
