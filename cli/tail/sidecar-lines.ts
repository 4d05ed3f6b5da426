/** The access lines of all sidecars of a cluster, from the logs of their pods. */
import { ApiError } from '../../controller/api/client.ts';
import type { Sidecars } from '../../controller/sidecars.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { OperatorError } from '../../standalone/operator-error.ts';
import { reportProblems, sidecarPods } from '../sidecar-commands.ts';
import { linesOfStream } from './lines.ts';

/** Calls `show` with the lines until all logs have ended. Names the pods whose log does. */
export async function linesOfSidecars(
  sidecars: Sidecars,
  lines: number,
  show: (line: string) => Promise<void>,
): Promise<number> {
  const pods = await sidecarPods(sidecars);
  const codes = await Promise.all(
    pods.map(async (pod) => {
      try {
        for await (const line of linesOfStream(await sidecars.log(pod, lines, new AbortController().signal))) {
          await show(line);
        }
        return reportProblems([`the log of pod ${pod} has ended`]);
      } catch (error) {
        if (error instanceof ApiError && error.code === 403) {
          throw new OperatorError(
            `${errorMessage(error)}; ask for a Role in ${sidecars.namespace} with get on pods/log`,
          );
        }
        return reportProblems([`the log of pod ${pod} cannot be read: ${errorMessage(error)}`]);
      }
    }),
  );
  return Math.max(...codes);
}
