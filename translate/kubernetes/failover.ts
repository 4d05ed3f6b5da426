/**
 * Which rules fail over within a request: those whose patches Envoy Gateway has accepted. For the
 * others, the client's own retry reaches the next backend.
 */
import { type Condition, condition, type ReasonOf } from '../../crds/conditions.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { fullName } from '../object-names.ts';
import type { ObjectStatus } from '../plan.ts';
import type { RuleAttempts } from './attempts.ts';
import type { PatchPolicies } from './plan.ts';

type FailoverReason = ReasonOf<'tallygate.dev/FailoverWithinRequest'>;

interface FailoverVerdict {
  readonly reason: FailoverReason;
  readonly message: string;
}

/** Leaves out the attempts of rules whose patches are not in force. */
export function withPatchedRules(
  virtualHost: LinkedVirtualHost,
  attempts: readonly RuleAttempts[],
  patchPolicies: PatchPolicies,
): LinkedVirtualHost {
  const patched = new Set(
    attempts
      .filter((each) => each.virtualHost === virtualHost && verdictOf(each, patchPolicies).reason === 'Patched')
      .map(({ id }) => id),
  );
  return {
    ...virtualHost,
    rules: virtualHost.rules.map((each) => {
      const { attempts: ofRule, ...single } = each.rule;
      return ofRule === undefined || patched.has(ofRule.routes.route) ? each : { ...each, rule: single };
    }),
  };
}

/** Adds to the status of each route at a Gateway how its rules fail over. */
export function withFailover(
  statuses: readonly ObjectStatus[],
  virtualHosts: readonly LinkedVirtualHost[],
  attempts: readonly RuleAttempts[],
  patchPolicies: PatchPolicies,
): readonly ObjectStatus[] {
  /** Keys `ROUTE GATEWAY`. */
  const verdicts = new Map<string, FailoverVerdict>();
  for (const { route, gateway, verdict } of [
    ...attempts.map((each) => ({
      route: each.route,
      gateway: each.virtualHost.listener.gateway,
      verdict: verdictOf(each, patchPolicies),
    })),
    ...unavailable(virtualHosts, patchPolicies),
  ]) {
    const key = `${route} ${fullName(gateway)}`;
    const other = verdicts.get(key);
    if (other === undefined || order.indexOf(verdict.reason) < order.indexOf(other.reason)) {
      verdicts.set(key, verdict);
    }
  }
  if (verdicts.size === 0) {
    return statuses;
  }
  return statuses.map((status): ObjectStatus => {
    const { kind, namespace, name } = status.object;
    if (kind !== 'AIGatewayRoute' || status.parents === undefined) {
      return status;
    }
    return {
      ...status,
      parents: status.parents.map((parent) => {
        const { parentRef, conditions } = parent;
        const gateway = `${parentRef.namespace ?? namespace}/${parentRef.name}`;
        const verdict = verdicts.get(`${namespace}/${name} ${gateway}`);
        return verdict === undefined ? parent : { ...parent, conditions: [...conditions, told(verdict, conditions)] };
      }),
    };
  });
}

/** The reason of the rule that is worst off decides. */
const order: readonly FailoverReason[] = [
  'PatchesUnavailable',
  'PatchesDisabled',
  'PatchRefused',
  'Pending',
  'Patched',
];

const instead = "until then, a client's own retry reaches the next backend";

function verdictOf({ rule, patches }: RuleAttempts, { verdicts }: PatchPolicies): FailoverVerdict {
  const found = patches.map((patch) => ({ patch: fullName(patch), verdict: verdicts.get(fullName(patch)) }));
  const disabled = found.find(({ verdict }) => verdict?.reason === 'PatchesDisabled');
  if (disabled !== undefined) {
    const message = `Envoy Gateway does not allow EnvoyPatchPolicies; fix: set extensionApis.enableEnvoyPatchPolicy in its configuration; ${instead}`;
    return { reason: 'PatchesDisabled', message };
  }
  const refused = found.find(({ verdict }) => verdict?.reason === 'PatchRefused');
  if (refused?.verdict !== undefined) {
    const message = `rule ${rule}: Envoy Gateway reports for EnvoyPatchPolicy ${refused.patch}: ${refused.verdict.message}; ${instead}`;
    return { reason: 'PatchRefused', message };
  }
  const pending = found.find(({ verdict }) => verdict === undefined);
  if (pending !== undefined) {
    const message = `rule ${rule}: Envoy Gateway has not yet judged EnvoyPatchPolicy ${pending.patch}; it needs extensionApis.enableEnvoyPatchPolicy in its configuration; ${instead}`;
    return { reason: 'Pending', message };
  }
  return { reason: 'Patched', message: 'a request goes on to the next backend itself' };
}

/** Returns the routes whose rules would fail over within a request if the cluster allowed it. */
function unavailable(virtualHosts: readonly LinkedVirtualHost[], { unavailable: cause }: PatchPolicies) {
  if (cause === undefined) {
    return [];
  }
  const message =
    cause === 'NotInstalled'
      ? `the cluster does not have EnvoyPatchPolicy; fix: install the CRDs of Envoy Gateway; ${instead}`
      : `the controller may not list EnvoyPatchPolicies; fix: let its role permit envoypatchpolicies; ${instead}`;
  return virtualHosts.flatMap(({ listener, rules }) =>
    rules
      .filter(({ rule: { rule, targets } }) => rule.failover !== undefined && targets.length > 1)
      .map(({ route }) => ({
        route: route.name,
        gateway: listener.gateway,
        verdict: { reason: 'PatchesUnavailable' as const, message },
      })),
  );
}

function told({ reason, message }: FailoverVerdict, conditions: readonly Condition[]): Condition {
  const accepted = conditions.find(({ type }) => type === 'Accepted');
  return condition('tallygate.dev/FailoverWithinRequest', reason, message, accepted?.observedGeneration);
}
