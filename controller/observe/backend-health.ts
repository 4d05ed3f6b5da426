/** Whether the proxies leave backends out, from what the sidecars report. Pure. */
import type { RestReport } from '../../contract/backend-rest.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { condition } from '../../crds/conditions.ts';

/** What one sidecar reports. */
export interface ReportedHealth {
  readonly policy: GatewayPolicy | undefined;
  readonly rests: readonly RestReport[];
}

/** The condition `Healthy` of a backend, without its generation. */
export interface BackendHealth {
  readonly reason: Parameters<typeof condition<'Healthy'>>[1];
  readonly message: string;
}

/** Named in one message; further ones are counted. */
const MAX_NAMED = 3;

const healthy: BackendHealth = { reason: 'Healthy', message: 'no proxy leaves the backend out' };

/** Returns the health of all backends that a policy has, by `NAMESPACE/NAME`. */
export function backendHealth(sidecars: readonly ReportedHealth[], nowMs: number): ReadonlyMap<string, BackendHealth> {
  const proxies = new Map<string, number>();
  for (const [policy, own] of Map.groupBy(sidecars, (each) => each.policy)) {
    for (const { name } of policy?.backends ?? []) {
      proxies.set(name, (proxies.get(name) ?? 0) + own.length);
    }
  }
  const resting = new Map<string, RestReport[][]>();
  for (const { policy, rests } of sidecars) {
    // A sidecar reports about its own policy only.
    const own = rests.length === 0 ? undefined : new Set(policy?.backends.map(({ name }) => name));
    const underway = rests.filter(({ backend, untilMs }) => own?.has(backend) && untilMs > nowMs);
    for (const [backend, ofBackend] of Map.groupBy(underway, (each) => each.backend)) {
      resting.set(backend, [...(resting.get(backend) ?? []), ofBackend]);
    }
  }
  return new Map(
    [...proxies].map(([backend, count]) => {
      const reports = resting.get(backend);
      return [backend, reports === undefined ? healthy : restingHealth(reports, count)];
    }),
  );
}

/** `reports`: the rests of each proxy that leaves the backend out. */
function restingHealth(reports: readonly (readonly RestReport[])[], proxies: number): BackendHealth {
  const last = new Map<string, RestReport>();
  for (const rest of reports.flat()) {
    const place = placeOf(rest);
    if (rest.untilMs > (last.get(place)?.untilMs ?? 0)) {
      last.set(place, rest);
    }
  }
  const texts = [...last].map(([place, { cause, untilMs }]) => `${place} until ${instant(untilMs)} (${cause})`).sort();
  const more = texts.length > MAX_NAMED ? `, and ${texts.length - MAX_NAMED} more` : '';
  const where = proxies === 1 ? '' : ` on ${reports.length} of ${proxies} proxies`;
  return { reason: 'Resting', message: `rests${where}: ${texts.slice(0, MAX_NAMED).join(', ')}${more}` };
}

/** Sorts what concerns every rule first. */
function placeOf({ model, rule }: RestReport): string {
  if (rule !== undefined) {
    return `rule ${rule}`;
  }
  return model === undefined ? 'all models' : `model ${model}`;
}

function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
