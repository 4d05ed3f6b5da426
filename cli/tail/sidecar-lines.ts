/** The access lines of all sidecars of a cluster, from the logs of their pods. */
import { setTimeout as after } from 'node:timers/promises';
import { ApiError } from '../../controller/api/client.ts';
import type { LogQuery, SidecarPod, Sidecars } from '../../controller/sidecars.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { OperatorError } from '../../standalone/operator-error.ts';
import { noSidecars } from '../sidecar-commands.ts';
import { linesOfStream } from './lines.ts';
import { LogPosition } from './log-position.ts';

export interface SidecarFollowing {
  readonly sidecars: Sidecars;
  /** Of the pods that run already; a later pod is read from its beginning. */
  readonly first: LogQuery;
  readonly pollMs: number;
  readonly show: (line: string, pod: string) => Promise<void>;
  /** Reports pods that come and go, and logs that cannot be read. */
  readonly tell: (text: string) => void;
}

/** Calls `show` with all lines, also those of pods that start later. Ends only by an error. */
export async function followSidecars(following: SidecarFollowing): Promise<never> {
  const { sidecars, first, pollMs, tell } = following;
  let pods = await sidecars.pods();
  if (pods.length === 0) {
    throw noSidecars(sidecars);
  }
  const failed = Promise.withResolvers<never>();
  const ended = new AbortController();
  const followed = new Set<string>();
  const follow = (pod: SidecarPod, query: LogQuery) => {
    followed.add(pod.uid);
    const isThere = () => pods.some(({ uid }) => uid === pod.uid);
    followPod(following, pod, query, { isThere, signal: ended.signal }).catch(failed.reject);
  };
  for (const pod of pods) {
    follow(pod, first);
  }
  const listing = async (): Promise<never> => {
    const report = new ChangeReport(tell);
    for (;;) {
      await after(pollMs, undefined, { signal: ended.signal });
      try {
        pods = await sidecars.pods();
        report.set(undefined);
      } catch (error) {
        report.set(`the pods cannot be listed: ${errorMessage(error)}`);
      }
      for (const pod of pods.filter(({ uid }) => !followed.has(uid))) {
        tell(`pod ${pod.name} has started`);
        follow(pod, {});
      }
    }
  };
  try {
    return await Promise.race([failed.promise, listing()]);
  } finally {
    ended.abort();
  }
}

/** Reads the log until the pod is gone, on from its last line after each break. */
async function followPod(
  { sidecars, pollMs, show, tell }: SidecarFollowing,
  { name }: SidecarPod,
  first: LogQuery,
  { isThere, signal }: { readonly isThere: () => boolean; readonly signal: AbortSignal },
): Promise<void> {
  const position = new LogPosition();
  const report = new ChangeReport(tell);
  while (isThere()) {
    const { sinceMs } = position;
    position.readOn();
    try {
      const query = sinceMs === undefined ? first : { sinceMs };
      const log = await sidecars.log(name, query, signal);
      report.set(undefined);
      for await (const line of linesOfStream(log)) {
        const text = position.read(line);
        if (text !== undefined) {
          await show(text, name);
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ApiError && error.code === 403) {
        const right = `a Role in ${sidecars.namespace} with get on pods/log`;
        throw new OperatorError(`${errorMessage(error)}; ask for ${right}`);
      }
      if (!(error instanceof ApiError && error.code === 404)) {
        report.set(`the log of pod ${name} cannot be read: ${errorMessage(error)}`);
      }
    }
    await after(pollMs, undefined, { signal });
  }
  tell(`pod ${name} has ended`);
}

/** Tells each problem once, and when it has gone. */
class ChangeReport {
  readonly #tell: (text: string) => void;
  #problem: string | undefined;

  constructor(tell: (text: string) => void) {
    this.#tell = tell;
  }

  set(problem: string | undefined): void {
    if (problem !== undefined && problem !== this.#problem) {
      this.#tell(`${problem}; trying again`);
    }
    this.#problem = problem;
  }
}
