/** Which access lines a person wants to see. */
import type { AccessEntry } from './access-entry.ts';

export interface FilterFlags {
  readonly tenant?: string;
  readonly user?: string;
  readonly model?: string;
  readonly route?: string;
  readonly backend?: string;
  readonly status?: string;
  readonly errors: boolean;
  readonly slow?: string;
}

export type EntryFilter = (entry: AccessEntry) => boolean;

const UNITS_MS = { ms: 1, s: 1000, m: 60_000 } as const;

/** Returns what is wrong with the flags, or whether an entry has all that they name. */
export function filterOf(flags: FilterFlags): EntryFilter | string {
  const statuses = flags.status?.split(',') ?? [];
  const wrong = statuses.find((status) => !/^[1-5](\d\d|xx)$/.test(status));
  if (wrong !== undefined) {
    return `--status ${wrong} is neither a status such as 429 nor a class such as 4xx`;
  }
  const slowMs = flags.slow === undefined ? Number.NEGATIVE_INFINITY : spanMs(flags.slow);
  if (slowMs === undefined) {
    return `--slow ${flags.slow} is no span such as 500ms, 5s or 1m`;
  }
  const { tenant, user, model, route, backend } = flags;
  return (entry) =>
    entry.durationMs >= slowMs &&
    (!flags.errors || isError(entry)) &&
    (statuses.length === 0 || statuses.some((status) => hasStatus(entry, status))) &&
    (tenant === undefined || entry.tenants.includes(tenant)) &&
    (user === undefined || entry.user === user) &&
    (model === undefined || entry.model === model || entry.responseModel === model) &&
    (route === undefined || entry.route === route) &&
    (backend === undefined || entry.backend === backend);
}

/** Whether something failed, other than by a budget. */
export function isError({ status = 0, error, backendFailure }: AccessEntry): boolean {
  return status >= 400 || error !== undefined || backendFailure !== undefined;
}

function hasStatus({ status }: AccessEntry, wanted: string): boolean {
  return wanted.endsWith('xx') ? Math.floor((status ?? 0) / 100) === Number(wanted[0]) : status === Number(wanted);
}

/** Returns undefined for a text such as `5`. */
export function spanMs(text: string): number | undefined {
  const span = /^(\d{1,7}(?:\.\d{1,3})?)(ms|s|m)$/.exec(text);
  return span === null ? undefined : Number(span[1]) * UNITS_MS[span[2] as keyof typeof UNITS_MS];
}
