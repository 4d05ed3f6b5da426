/**
 * The usage of a cluster: what the shared store has of all gateways, and what each sidecar has that
 * the store does not.
 */
import type { Sidecars } from '../controller/sidecars.ts';
import type { RecordedRequest } from '../extproc/quota/usage-records.ts';
import { NO_SHARED_STORE } from '../extproc/quota/usage-share.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { jsonLines } from './quota-client.ts';
import { runInSidecars, type SidecarOutput, type SidecarOutputs, sidecarPods } from './sidecar-commands.ts';

/** Sidecars that are asked for the shared store until one answers. */
const ASKED_FOR_STORE = 3;

/** The pod of an output that the shared store answered. */
const OF_STORE = 'shared store';

const HOUR_MS = 3_600_000;
const FIRST_SLICE_MS = 6 * HOUR_MS;
const SHORTEST_SLICE_MS = 60_000;
const LONGEST_SLICE_MS = 7 * 24 * HOUR_MS;
/** A slice with less output is followed by one of twice the length. */
const SMALL_OUTPUT_CHARACTERS = 4 * 1024 * 1024;

/**
 * Runs a command for the unshared usage of each sidecar, and then for that of the shared store: a
 * sidecar first sends what it has, so nothing counts twice.
 */
export async function usageOfSidecars(sidecars: Sidecars, args: readonly string[]): Promise<SidecarOutputs> {
  const pods = await sidecarPods(sidecars);
  const unshared = await runInSidecars(sidecars, pods, [...args, '--of', 'unshared']);
  const answering = unshared.outputs.map(({ pod }) => pod);
  const shared = await sharedUsage(sidecars, answering, [...args, '--of', 'shared']);
  return {
    outputs: [...unshared.outputs, ...shared.outputs],
    problems: [...unshared.problems, ...shared.problems],
  };
}

/** Asks one sidecar after the other for what the shared store has; none: there is no such store. */
export async function sharedUsage(
  sidecars: Sidecars,
  pods: readonly string[],
  args: readonly string[],
): Promise<SidecarOutputs> {
  const failed: string[] = [];
  for (const pod of pods.slice(0, ASKED_FOR_STORE)) {
    const { outputs, problems } = await runInSidecars(sidecars, [pod], args);
    if (outputs.length > 0) {
      return { outputs: outputs.map(({ stdout }) => ({ pod: OF_STORE, stdout })), problems: [] };
    }
    failed.push(...problems.filter((problem) => !problem.includes(NO_SHARED_STORE)));
  }
  return { outputs: [], problems: failed.slice(0, 1) };
}

/**
 * Calls `onRequest` with the single requests of a cluster in the order of time. Reads slices of
 * time, because the output of a command in a pod is bounded. Returns the problems.
 */
export async function readRecords(
  sidecars: Sidecars,
  { since, until }: { readonly since: number; readonly until: number },
  onRequest: (request: RecordedRequest) => void,
): Promise<readonly string[]> {
  const problems = new Set<string>();
  let lengthMs = FIRST_SLICE_MS;
  for (let at = since; at < until; ) {
    const end = Math.min(until, at + lengthMs);
    const times = ['--since', new Date(at).toISOString(), '--until', new Date(end).toISOString()];
    const slice = await usageOfSidecars(sidecars, ['usage', '--records', ...times]);
    if (slice.outputs.some(isCut)) {
      if (lengthMs <= SHORTEST_SLICE_MS) {
        throw new OperatorError(`a minute from ${times[1]} has too many requests to read; choose another --since`);
      }
      lengthMs /= 2;
      continue;
    }
    const requests = slice.outputs.flatMap(({ stdout }) => jsonLines<RecordedRequest>(stdout));
    for (const request of requests.sort((one, other) => one.timeMs - other.timeMs)) {
      onRequest(request);
    }
    for (const problem of slice.problems) {
      problems.add(problem);
    }
    if (slice.outputs.every(({ stdout }) => stdout.length < SMALL_OUTPUT_CHARACTERS)) {
      lengthMs = Math.min(LONGEST_SLICE_MS, lengthMs * 2);
    }
    at = end;
  }
  return [...problems].sort();
}

/** Output beyond the bound is left out. */
function isCut({ stdout }: SidecarOutput): boolean {
  return stdout !== '' && !stdout.endsWith('\n');
}
