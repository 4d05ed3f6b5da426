/** Brings the objects of ours to what they should be: writes what differs, removes what is not wanted any more. One object's failure stops no other. */
import type { Log } from '../../runtime/log.ts';
import { ApiError, type Client } from './client.ts';
import { difference, isOurs, replacement, stamped } from './difference.ts';
import { type KubeObject, keyOf } from './object.ts';
import type { Resource } from './resource.ts';

/** A burst for a server that others need, too. */
const WRITES_AT_ONCE = 8;

/** Objects of one kind: those that should be, and those with our label that are; they need not be ours. */
export interface Wanted {
  readonly resource: Resource;
  readonly objects: readonly KubeObject[];
  readonly actual: ReadonlyMap<string, KubeObject>;
}

export interface Written {
  readonly writes: number;
  readonly failures: readonly Failure[];
}

export interface Failure {
  readonly kind: string;
  /** `NAMESPACE/NAME`. */
  readonly key: string;
  readonly message: string;
}

/** In the order of `all`: what is referred to is there before what refers to it. */
export async function applyAll(
  client: Client,
  all: readonly Wanted[],
  signal: AbortSignal,
  log: Log,
): Promise<Written> {
  const written: Written[] = [];
  for (const wanted of all) {
    written.push(await carryOut(applications(client, wanted, signal), signal, log));
  }
  return together(written);
}

/** In the other order. */
export async function prune(client: Client, all: readonly Wanted[], signal: AbortSignal, log: Log): Promise<Written> {
  const written: Written[] = [];
  for (const wanted of all.toReversed()) {
    written.push(await carryOut(removals(client, wanted, signal), signal, log));
  }
  return together(written);
}

export function hasRemovals(all: readonly Wanted[]): boolean {
  return all.some((wanted) => unwanted(wanted).length > 0);
}

function together(written: readonly Written[]): Written {
  return {
    writes: written.reduce((sum, { writes }) => sum + writes, 0),
    failures: written.flatMap(({ failures }) => failures),
  };
}

async function carryOut(steps: readonly Step[], signal: AbortSignal, log: Log): Promise<Written> {
  const failures: Failure[] = [];
  let writes = 0;
  const queue = steps.values();
  const worker = async () => {
    for (const { kind, key, act, what } of queue) {
      if (signal.aborted) {
        return;
      }
      try {
        await act();
        writes++;
        log.debug({ kind, object: key }, what);
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        const message = error instanceof Error ? error.message : String(error);
        failures.push({ kind, key, message });
        log.error({ kind, object: key, error: message }, 'an object could not be written');
      }
    }
  };
  await Promise.all(Array.from({ length: WRITES_AT_ONCE }, worker));
  return { writes, failures };
}

interface Step {
  readonly kind: string;
  readonly key: string;
  readonly what: 'applied' | 'replaced' | 'removed';
  readonly act: () => Promise<unknown>;
}

function applications(client: Client, { resource, objects, actual }: Wanted, signal: AbortSignal): readonly Step[] {
  return objects.flatMap((each): Step[] => {
    const wanted = stamped(each);
    const key = keyOf(wanted.metadata);
    const there = actual.get(key);
    const step = { kind: resource.kind, key };
    if (there === undefined || !isOurs(there)) {
      return [{ ...step, what: 'applied', act: () => createOrAdopt(client, resource, wanted, signal) }];
    }
    const differs = difference(wanted, there);
    if (differs === 'none') {
      return [];
    }
    if (differs === 'apply') {
      return [{ ...step, what: 'applied', act: () => client.apply(resource, wanted, { signal }) }];
    }
    return [{ ...step, what: 'replaced', act: () => client.replace(resource, replacement(wanted, there), { signal }) }];
  });
}

/** What is not ours is never overwritten, whatever its name. */
async function createOrAdopt(
  client: Client,
  resource: Resource,
  wanted: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name } = wanted.metadata;
  const there = await client.get(resource, namespace, name, signal);
  if (there !== undefined && !isOurs(there)) {
    throw new ApiError(
      409,
      'Conflict',
      `${resource.kind} ${namespace}/${name} is there and not ours; rename or remove it`,
    );
  }
  await client.apply(resource, wanted, { signal });
}

function removals(client: Client, wanted: Wanted, signal: AbortSignal): readonly Step[] {
  const { resource } = wanted;
  return unwanted(wanted).map(([key, object]) => {
    return { kind: resource.kind, key, what: 'removed', act: () => client.remove(resource, object, signal) };
  });
}

function unwanted({ objects, actual }: Wanted): readonly (readonly [string, KubeObject])[] {
  const wanted = new Set(objects.map(({ metadata }) => keyOf(metadata)));
  return [...actual].filter(
    ([key, object]) => !wanted.has(key) && isOurs(object) && object.metadata.deletionTimestamp === undefined,
  );
}
