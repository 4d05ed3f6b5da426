/** Runs a command in every sidecar of a cluster, and names those that do not answer. */
import { ApiError } from '../controller/api/client.ts';
import { openSidecars, type Sidecars } from '../controller/sidecars.ts';
import { errorMessage } from '../runtime/error-message.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { writeError } from './terminal/errors.ts';

/** The options of commands that can ask a cluster. */
export const clusterOptions = {
  cluster: { type: 'boolean', default: false },
  namespace: { type: 'string', default: 'envoy-gateway-system' },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
} as const;

/** The lines of these options for the usage. */
export const clusterUsage = `  --cluster            ask all sidecars of a cluster; needs the right to list and exec into their pods
  --namespace NAME     namespace of the proxy pods (envoy-gateway-system)
  --kubeconfig FILE    the kubeconfig (KUBECONFIG, then ~/.kube/config)
  --context NAME       the context in the kubeconfig (its current context)
`;

export interface ClusterFlags {
  readonly namespace: string;
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** What the sidecar of a pod printed on stdout. */
export interface SidecarOutput {
  readonly pod: string;
  readonly stdout: string;
}

export interface SidecarOutputs {
  readonly outputs: readonly SidecarOutput[];
  /** One line for each sidecar that did not answer, or could not do what was asked. */
  readonly problems: readonly string[];
}

const AT_ONCE = 8;

/** Runs the work with the sidecars of the cluster. Throws an OperatorError that names the fix. */
export async function withSidecars<T>(flags: ClusterFlags, work: (sidecars: Sidecars) => Promise<T>): Promise<T> {
  let sidecars: Sidecars | undefined;
  try {
    sidecars = await openSidecars({ file: flags.kubeconfig, context: flags.context }, flags.namespace);
    return await work(sidecars);
  } catch (error) {
    if (error instanceof OperatorError) {
      throw error;
    }
    const isForbidden = error instanceof ApiError && (error.code === 401 || error.code === 403);
    const fix = isForbidden
      ? `ask for a Role in ${flags.namespace} with list on pods, and create and get on pods/exec`
      : 'correct --kubeconfig or --context';
    const place = sidecars === undefined ? '' : `cluster ${sidecars.server.host}: `;
    throw new OperatorError(`${place}${errorMessage(error)}; ${fix}`);
  } finally {
    sidecars?.close();
  }
}

/** Returns the pods that do not end; throws where there is none. */
export async function sidecarPods(sidecars: Sidecars): Promise<readonly string[]> {
  const pods = await sidecars.pods();
  const names = pods.filter(({ isEnding }) => !isEnding).map(({ name }) => name);
  if (names.length === 0) {
    throw noSidecars(sidecars);
  }
  return names;
}

export function noSidecars({ namespace }: Sidecars): OperatorError {
  return new OperatorError(
    `no proxy pod with a sidecar runs in the namespace ${namespace}; select another one with --namespace`,
  );
}

/** Runs a command in these pods, several at once. */
export async function runInSidecars(
  sidecars: Sidecars,
  pods: readonly string[],
  args: readonly string[],
): Promise<SidecarOutputs> {
  const outputs: SidecarOutput[] = [];
  const problems: string[] = [];
  const waiting = [...pods];
  const worker = async () => {
    for (let pod = waiting.shift(); pod !== undefined; pod = waiting.shift()) {
      try {
        const { code, stdout, stderr } = await sidecars.run(pod, args);
        if (code === 0) {
          outputs.push({ pod, stdout });
        } else {
          problems.push(`pod ${pod}: ${stderr.trim().replace(/^tallygate: /, '') || `exit code ${code}`}`);
        }
      } catch (error) {
        problems.push(`pod ${pod} does not answer: ${errorMessage(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  outputs.sort((one, other) => (one.pod < other.pod ? -1 : 1));
  return { outputs, problems: problems.sort() };
}

/** Returns why nothing is shown where not everything could be read; prints the problems. */
export function unreadError(what: string, { outputs, problems }: SidecarOutputs): OperatorError {
  reportProblems(problems);
  const where =
    outputs.length === 0
      ? 'could not be read from any gateway'
      : 'could be read from some gateways only, which have none to show';
  return new OperatorError(`${what} ${where}; correct the problems above`);
}

/** Prints the problems, and returns the exit code. */
export function reportProblems(problems: readonly string[]): number {
  for (const problem of problems) {
    writeError(problem);
  }
  return problems.length === 0 ? 0 : 1;
}
