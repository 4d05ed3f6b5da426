/** The metrics of access policies: their decisions, and the tokens and cost of each tenant. */
import { hash } from 'node:crypto';
import { currencyUnits } from '../../contract/money.ts';
import type { MetricTable } from '../../runtime/metric-table.ts';
import type { RequestRecord } from '../record.ts';
import { boundedCells } from './bounded-cells.ts';
import { attribute, metric } from './names.ts';

/** Longer names of tenants are hashed. */
const MAX_TENANT_CHARACTERS = 128;

/** `hashesTenants`: labels have the names of tenants as SHA-256 only. */
export function newAccessMetrics(table: MetricTable, hashesTenants: boolean): (record: RequestRecord) => void {
  const decisions = boundedCells(table.sum(metric.accessDecisions));
  const tenantTokens = boundedCells(table.sum(metric.tenantTokens));
  const tenantCost = boundedCells(table.sum(metric.tenantCost));
  return ({ access, failure, usage, cost }) => {
    if (access === undefined) {
      return;
    }
    const { decision, method, caller } = access;
    const code = decision === 'refused' ? failure?.code : undefined;
    decisions(`${decision}\n${method}\n${code}`, () => ({
      [attribute.decision]: decision,
      ...(method !== undefined && { [attribute.accessMethod]: method }),
      ...(code !== undefined && { [attribute.errorType]: code }),
    }));
    const tenant = caller?.tenant;
    if (tenant === undefined) {
      return;
    }
    if (cost !== undefined) {
      const { nanos, currency } = cost;
      tenantCost(
        `${currency}\n${tenant}`,
        () => ({ [attribute.tenant]: tenantLabel(tenant, hashesTenants), [attribute.currency]: currency }),
        currencyUnits(nanos),
      );
    }
    if (usage === undefined) {
      return;
    }
    for (const type of ['input', 'output'] as const) {
      tenantTokens(
        `${type}\n${tenant}`,
        () => ({ [attribute.tenant]: tenantLabel(tenant, hashesTenants), [attribute.tokenType]: type }),
        usage[type],
      );
    }
  };
}

/** Returns the name, or its SHA-256. */
export function tenantLabel(tenant: string, hashes: boolean): string {
  return hashes || tenant.length > MAX_TENANT_CHARACTERS ? `sha256:${hash('sha256', tenant, 'base64url')}` : tenant;
}
