/**
 * Writes conditions into users' objects: only changes, with transition times, and beside other
 * controllers' entries.
 */
import type { Condition } from '../crds/conditions.ts';
import type { Log } from '../runtime/log.ts';
import type { BudgetStatus, ObjectStatus } from '../translate/plan.ts';
import { ApiError, type KubeClient } from './api/client.ts';
import { type KubeObject, keyOf } from './api/object.ts';
import type { Resource } from './api/resource.ts';

const OBSERVED: ReadonlySet<string> = new Set(['Programmed', 'Enforcing', 'Healthy']);

const WRITES_AT_ONCE = 8;

/** The bounds of crds/status.ts: the API server would refuse a longer status whole. */
const MAX_PARENTS = 32;
const MAX_ANCESTORS = 16;

export const CONTROLLER_NAME = 'tallygate.dev/controller';

interface WrittenCondition extends Condition {
  readonly lastTransitionTime: string;
}

interface ControllerStatus {
  readonly controllerName?: string;
  readonly conditions?: readonly WrittenCondition[];
  readonly [reference: string]: unknown;
}

interface WrittenStatus {
  readonly parents?: readonly ControllerStatus[];
  readonly ancestors?: readonly ControllerStatus[];
  readonly conditions?: readonly WrittenCondition[];
  readonly budgets?: readonly BudgetStatus[];
}

export interface StatusWrites {
  readonly writes: number;
  readonly failed: number;
  /** The conditions that changed, with their objects. */
  readonly transitions: readonly { readonly object: KubeObject; readonly condition: Condition }[];
}

export async function writeStatuses(
  client: KubeClient,
  resource: Resource,
  objects: Iterable<KubeObject>,
  wanted: ReadonlyMap<string, ObjectStatus>,
  now: string,
  signal: AbortSignal,
  log: Log,
): Promise<StatusWrites> {
  let writes = 0;
  let failed = 0;
  const transitions: { object: KubeObject; condition: Condition }[] = [];
  const one = async (object: KubeObject): Promise<void> => {
    const key = keyOf(object.metadata);
    const before = (object['status'] ?? {}) as WrittenStatus;
    const after = merged(before, wanted.get(key), now);
    if (same(before, after)) {
      return;
    }
    try {
      const { apiVersion, kind } = resource;
      const { managedFields: _, ...metadata } = object.metadata;
      await client.replace(
        resource,
        { ...object, apiVersion, kind, metadata, status: after },
        { subresource: 'status', signal },
      );
      writes++;
      for (const condition of conditionsOf(after)) {
        if (condition.lastTransitionTime === now) {
          transitions.push({ object, condition });
        }
      }
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      // The object was changed or removed in the meantime: its watch asks for another run.
      if (error instanceof ApiError && (error.code === 409 || error.code === 404)) {
        return;
      }
      failed++;
      log.warn({ kind: resource.kind, object: key, err: error }, 'status not written');
    }
  };
  const queue = [...objects].values();
  const worker = async () => {
    for (const object of queue) {
      if (!signal.aborted) {
        await one(object);
      }
    }
  };
  await Promise.all(Array.from({ length: WRITES_AT_ONCE }, worker));
  return { writes, failed, transitions };
}

/** Returns the status to write. `wanted` undefined: Tallygate's entries are removed. Pure. */
export function merged(before: WrittenStatus, wanted: ObjectStatus | undefined, now: string): WrittenStatus {
  const ownEntries = (places: readonly ControllerStatus[] | undefined) =>
    (places ?? []).filter((each) => each.controllerName === CONTROLLER_NAME);
  const others = (places: readonly ControllerStatus[] | undefined) =>
    (places ?? []).filter((each) => each.controllerName !== CONTROLLER_NAME);
  const place = (
    reference: Readonly<Record<string, unknown>>,
    name: string,
    old: readonly ControllerStatus[] | undefined,
    conditions: readonly Condition[],
  ): ControllerStatus => {
    const existing = ownEntries(old).find((each) => same(each[name], reference));
    return {
      [name]: reference,
      controllerName: CONTROLLER_NAME,
      conditions: timed(existing?.conditions, conditions, now),
    };
  };
  const parents = [
    ...others(before.parents),
    ...(wanted?.parents ?? []).map((each) =>
      place({ ...each.parentRef }, 'parentRef', before.parents, each.conditions),
    ),
  ].slice(0, MAX_PARENTS);
  const ancestors = [
    ...others(before.ancestors),
    ...(wanted?.ancestors ?? []).map((each) =>
      place({ ...each.ancestorRef }, 'ancestorRef', before.ancestors, each.conditions),
    ),
  ].slice(0, MAX_ANCESTORS);
  const budgets = wanted === undefined ? undefined : (wanted.budgets ?? before.budgets);
  return {
    ...((parents.length > 0 || before.parents) && { parents }),
    ...((ancestors.length > 0 || before.ancestors) && { ancestors }),
    ...(wanted?.conditions && { conditions: timed(before.conditions, wanted.conditions, now) }),
    ...(budgets !== undefined && budgets.length > 0 && { budgets }),
  };
}

function timed(
  before: readonly WrittenCondition[] | undefined,
  wanted: readonly Condition[],
  now: string,
): readonly WrittenCondition[] {
  // A condition that is not known yet (`settling` in observe/) keeps its last value.
  const accepted = wanted.some(({ type, status }) => type === 'Accepted' && status === 'True');
  const kept = accepted
    ? (before ?? []).filter(({ type }) => OBSERVED.has(type) && !wanted.some((each) => each.type === type))
    : [];
  const current = wanted.map((condition) => {
    const old = before?.find(({ type }) => type === condition.type);
    return { ...condition, lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime : now };
  });
  return [...current, ...kept];
}

function conditionsOf({ parents, ancestors, conditions }: WrittenStatus): readonly WrittenCondition[] {
  return [
    ...(conditions ?? []),
    ...[...(parents ?? []), ...(ancestors ?? [])].flatMap((each) => each.conditions ?? []),
  ];
}

/**
 * Whether two values are the same as JSON: members in any order, undefined as absent. Allocates
 * little, because most statuses are the same in most runs. `isDeepStrictEqual` would tell undefined
 * from absent.
 */
export function same(left: unknown, right: unknown): boolean {
  if (left === right) {
    return true;
  }
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) {
    return false;
  }
  if (Array.isArray(left) || Array.isArray(right)) {
    return (
      Array.isArray(left) &&
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((each, index) => same(each, right[index]))
    );
  }
  const [ours, theirs] = [left as JsonMembers, right as JsonMembers];
  const has = (one: JsonMembers, name: string) => Object.hasOwn(one, name) && one[name] !== undefined;
  return (
    Object.keys(ours).every((name) => (has(theirs, name) ? same(ours[name], theirs[name]) : !has(ours, name))) &&
    Object.keys(theirs).every((name) => has(ours, name) || !has(theirs, name))
  );
}

type JsonMembers = Readonly<Record<string, unknown>>;
