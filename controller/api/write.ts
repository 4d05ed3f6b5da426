/**
 * Applies desired objects that differ and removes managed objects that are no longer desired. A
 * failure does not stop the others.
 */

import { errorMessage } from '../../runtime/error-message.ts';
import type { Log } from '../../runtime/log.ts';
import { ApiError, type KubeClient } from './client.ts';
import { difference, isOurs, replacement, stamped } from './difference.ts';
import { type KubeObject, keyOf } from './object.ts';
import type { Resource } from './resource.ts';

/** Bounds the load on an API server that others use too. */
const WRITES_AT_ONCE = 8;

/**
 * The desired objects of one kind, and the existing ones with Tallygate's label, which others may
 * have set.
 */
export interface DesiredObjects {
  readonly resource: Resource;
  readonly objects: readonly KubeObject[];
  readonly actual: ReadonlyMap<string, KubeObject>;
}

export interface WriteResult {
  readonly writes: number;
  readonly failures: readonly WriteFailure[];
}

export interface WriteFailure {
  readonly kind: string;
  /** `NAMESPACE/NAME`. */
  readonly key: string;
  readonly message: string;
}

/** Writes in the order of `all`: an object exists before others refer to it. */
export async function applyAll(
  client: KubeClient,
  all: readonly DesiredObjects[],
  signal: AbortSignal,
  log: Log,
): Promise<WriteResult> {
  const written: WriteResult[] = [];
  for (const wanted of all) {
    written.push(await carryOut(applications(client, wanted, signal), signal, log));
  }
  return together(written);
}

/** Removes in the reverse order. */
export async function prune(
  client: KubeClient,
  all: readonly DesiredObjects[],
  signal: AbortSignal,
  log: Log,
): Promise<WriteResult> {
  const written: WriteResult[] = [];
  for (const wanted of all.toReversed()) {
    written.push(await carryOut(removals(client, wanted, signal), signal, log));
  }
  return together(written);
}

export function hasRemovals(all: readonly DesiredObjects[]): boolean {
  return all.some((wanted) => unwanted(wanted).length > 0);
}

function together(written: readonly WriteResult[]): WriteResult {
  return {
    writes: written.reduce((sum, { writes }) => sum + writes, 0),
    failures: written.flatMap(({ failures }) => failures),
  };
}

async function carryOut(steps: readonly WriteStep[], signal: AbortSignal, log: Log): Promise<WriteResult> {
  const failures: WriteFailure[] = [];
  let writes = 0;
  const queue = steps.values();
  const worker = async () => {
    for (const { kind, key, act, verb } of queue) {
      if (signal.aborted) {
        return;
      }
      try {
        await act();
        writes++;
        log.debug({ kind, object: key }, `object ${verb}`);
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        failures.push({ kind, key, message: errorMessage(error) });
        log.error({ kind, object: key, err: error }, 'object not written');
      }
    }
  };
  await Promise.all(Array.from({ length: WRITES_AT_ONCE }, worker));
  return { writes, failures };
}

interface WriteStep {
  readonly kind: string;
  readonly key: string;
  readonly verb: 'applied' | 'replaced' | 'removed';
  readonly act: () => Promise<unknown>;
}

function applications(
  client: KubeClient,
  { resource, objects, actual }: DesiredObjects,
  signal: AbortSignal,
): readonly WriteStep[] {
  return objects.flatMap((each): WriteStep[] => {
    const wanted = stamped(each);
    const key = keyOf(wanted.metadata);
    const existing = actual.get(key);
    const step = { kind: resource.kind, key };
    if (existing === undefined || !isOurs(existing)) {
      return [{ ...step, verb: 'applied', act: () => createOrAdopt(client, resource, wanted, signal) }];
    }
    const differs = difference(wanted, existing);
    if (differs === 'none') {
      return [];
    }
    if (differs === 'apply') {
      return [{ ...step, verb: 'applied', act: () => client.apply(resource, wanted, { signal }) }];
    }
    return [
      { ...step, verb: 'replaced', act: () => client.replace(resource, replacement(wanted, existing), { signal }) },
    ];
  });
}

/** Never overwrites an object that somebody else has written. */
async function createOrAdopt(
  client: KubeClient,
  resource: Resource,
  wanted: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name } = wanted.metadata;
  const existing = await client.get(resource, namespace, name, signal);
  if (existing !== undefined && !isOurs(existing)) {
    throw new ApiError(
      409,
      'Conflict',
      `${resource.kind} ${namespace}/${name} exists and was not created by Tallygate; rename or remove it`,
    );
  }
  await client.apply(resource, wanted, { signal });
}

function removals(client: KubeClient, wanted: DesiredObjects, signal: AbortSignal): readonly WriteStep[] {
  const { resource } = wanted;
  return unwanted(wanted).map(([key, object]) => {
    return { kind: resource.kind, key, verb: 'removed', act: () => client.remove(resource, object, signal) };
  });
}

function unwanted({ objects, actual }: DesiredObjects): readonly (readonly [string, KubeObject])[] {
  const wanted = new Set(objects.map(({ metadata }) => keyOf(metadata)));
  return [...actual].filter(
    ([key, object]) => !wanted.has(key) && isOurs(object) && object.metadata.deletionTimestamp === undefined,
  );
}
