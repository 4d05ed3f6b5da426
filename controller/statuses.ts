/** Writes conditions into users' objects: only what changed, with the time of the last transition, and beside what others wrote there. */
import type { Condition } from '../crds/conditions.ts';
import type { Log } from '../runtime/log.ts';
import type { ObjectStatus } from '../translate/plan.ts';
import { ApiError, type Client } from './api/client.ts';
import { type KubeObject, keyOf } from './api/object.ts';
import type { Resource } from './api/resource.ts';

const OBSERVED: ReadonlySet<string> = new Set(['Programmed', 'Enforcing']);

const WRITES_AT_ONCE = 8;

/** As the kinds allow (crds/status.ts): a status that is too long would be refused as a whole, again and again. */
const MAX_PARENTS = 32;
const MAX_ANCESTORS = 16;

export const CONTROLLER_NAME = 'tallygate.dev/controller';

interface WrittenCondition extends Condition {
  readonly lastTransitionTime: string;
}

interface Place {
  readonly controllerName?: string;
  readonly conditions?: readonly WrittenCondition[];
  readonly [reference: string]: unknown;
}

interface Status {
  readonly parents?: readonly Place[];
  readonly ancestors?: readonly Place[];
  readonly conditions?: readonly WrittenCondition[];
}

export interface StatusWrites {
  readonly writes: number;
  readonly failed: number;
  /** Objects whose conditions have changed, with those that are new. */
  readonly transitions: readonly { readonly object: KubeObject; readonly condition: Condition }[];
}

export async function writeStatuses(
  client: Client,
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
    const before = (object['status'] ?? {}) as Status;
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
      // It has been changed or removed meanwhile: its watch asks for another run.
      if (error instanceof ApiError && (error.code === 409 || error.code === 404)) {
        return;
      }
      failed++;
      log.warn({ kind: resource.kind, object: key, error: String(error) }, 'a status could not be written');
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

/** Pure. `wanted` absent: nothing of ours is left there. */
export function merged(before: Status, wanted: ObjectStatus | undefined, now: string): Status {
  const ours = (places: readonly Place[] | undefined) =>
    (places ?? []).filter((each) => each.controllerName === CONTROLLER_NAME);
  const others = (places: readonly Place[] | undefined) =>
    (places ?? []).filter((each) => each.controllerName !== CONTROLLER_NAME);
  const place = (
    reference: Readonly<Record<string, unknown>>,
    name: string,
    old: readonly Place[] | undefined,
    conditions: readonly Condition[],
  ): Place => {
    const there = ours(old).find((each) => same(each[name], reference));
    return {
      [name]: reference,
      controllerName: CONTROLLER_NAME,
      conditions: timed(there?.conditions, conditions, now),
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
  return {
    ...((parents.length > 0 || before.parents) && { parents }),
    ...((ancestors.length > 0 || before.ancestors) && { ancestors }),
    ...(wanted?.conditions && { conditions: timed(before.conditions, wanted.conditions, now) }),
  };
}

function timed(
  before: readonly WrittenCondition[] | undefined,
  wanted: readonly Condition[],
  now: string,
): readonly WrittenCondition[] {
  // What is not known yet (`settling` in observe/) stays as it was told last.
  const accepted = wanted.some(({ type, status }) => type === 'Accepted' && status === 'True');
  const told = accepted
    ? (before ?? []).filter(({ type }) => OBSERVED.has(type) && !wanted.some((each) => each.type === type))
    : [];
  const current = wanted.map((condition) => {
    const old = before?.find(({ type }) => type === condition.type);
    return { ...condition, lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime : now };
  });
  return [...current, ...told];
}

function conditionsOf({ parents, ancestors, conditions }: Status): readonly WrittenCondition[] {
  return [
    ...(conditions ?? []),
    ...[...(parents ?? []), ...(ancestors ?? [])].flatMap((each) => each.conditions ?? []),
  ];
}

/** As JSON: members in any order, and one that is undefined is none. Most statuses of most runs are, so nothing is made for it. */
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
  const [ours, theirs] = [left as Fields, right as Fields];
  const has = (one: Fields, name: string) => Object.hasOwn(one, name) && one[name] !== undefined;
  return (
    Object.keys(ours).every((name) => (has(theirs, name) ? same(ours[name], theirs[name]) : !has(ours, name))) &&
    Object.keys(theirs).every((name) => has(ours, name) || !has(theirs, name))
  );
}

type Fields = Readonly<Record<string, unknown>>;
