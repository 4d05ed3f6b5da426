/** `tallygate doctor`: says what is wrong with an installation, and how to fix it. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KubeClient } from '../controller/api/client.ts';
import { kubeconfigCredentials } from '../controller/api/credentials.ts';
import { parseAddress } from '../runtime/environment.ts';
import { errorMessage } from '../runtime/error-message.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { instancePathsOf } from '../standalone/state.ts';
import type { Check, CheckResult, CheckState } from './doctor/check-result.ts';
import { clusterChecks } from './doctor/cluster-checks.ts';
import { machineChecks } from './doctor/machine-checks.ts';
import { resultLines, resultReport } from './doctor/report.ts';
import { runChecks } from './doctor/run-checks.ts';
import { type Settings, stateHome } from './environment.ts';
import { type ClusterFlags, clusterOptions } from './sidecar-commands.ts';
import { hasColors } from './terminal/text.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';
import { versionText } from './version.ts';

const usage = `Usage: tallygate doctor [FILE|FOLDER]… [OPTION]…
       tallygate doctor --cluster [OPTION]…

Checks the gateway on this machine, running or not: its program and Envoy, variables, ports, state
folder, shared store, and what the running gateway reports of its policy, journal, exports, backends
and guardrails. With files, also reports what tallygate check reports, ports that are in use, and
certificates and API keys that expire within 14 days. Prints one line per check, and for each
problem its fix. Use the environment and options of tallygate run. Changes nothing, and never
prints secrets.

With --cluster, checks an installation on a cluster instead: versions, the fields of CRDs, Envoy
Gateway and its settings, controller, sidecars, Gateways with their class and certificates, and
conditions that are False.

  --name NAME          name of the instance (default)
  --address ADDRESS    address of the listeners (127.0.0.1, TALLYGATE_ADDRESS)
  --metrics HOST:PORT  address of the console, /metrics and /readyz
                       (127.0.0.1:9464, TALLYGATE_METRICS_ADDRESS)
  --envoy PATH         Envoy to run (TALLYGATE_ENVOY)
  --json               print one JSON object per line
  --cluster            check a cluster; needs the right to get and list what it checks
  --namespace NAME     namespace of Envoy Gateway and the proxies (envoy-gateway-system)
  --kubeconfig FILE    the kubeconfig (KUBECONFIG, then ~/.kube/config)
  --context NAME       the context in the kubeconfig (its current context)

Exit codes: 0 no problem, 1 a problem, 2 wrong usage, 3 no problem found, but a check could not be
made (unknown).
`;

const options = {
  name: { type: 'string', default: 'default' },
  address: { type: 'string' },
  metrics: { type: 'string' },
  envoy: { type: 'string' },
  json: { type: 'boolean', default: false },
  ...clusterOptions,
} as const;

const DEADLINE_MS = 3_000;

export const doctor: Verb = async ({ args, settings }) => {
  const parsed = readOptions('doctor', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  if (values.cluster && positionals.length > 0) {
    return wrongUse('doctor', '--cluster takes no files', usage);
  }
  const checks = values.cluster ? await openClusterChecks(values) : localChecks(values, positionals, settings);
  if (checks === undefined) {
    return wrongUse('doctor', '--metrics must be HOST:PORT, :PORT or unix:PATH', usage);
  }
  const results = await runChecks(checks, DEADLINE_MS);
  const isColoured = hasColors(process.stdout);
  process.stdout.write(values.json ? resultLines(results) : resultReport(results, isColoured));
  // What a late check waits for must not keep the process.
  process.exit(exitCodeOf(results));
};

function exitCodeOf(results: readonly CheckResult[]): number {
  const has = (wanted: CheckState) => results.some(({ state }) => state === wanted);
  return has('problem') ? 1 : has('unknown') ? 3 : 0;
}

interface MachineFlags {
  readonly name: string;
  readonly address?: string;
  readonly metrics?: string;
  readonly envoy?: string;
}

/** Returns undefined for a wrong address. */
function localChecks(values: MachineFlags, files: readonly string[], settings: Settings): readonly Check[] | undefined {
  const metricsAddress =
    values.metrics === undefined ? settings.TALLYGATE_METRICS_ADDRESS : parseAddress(values.metrics);
  if (metricsAddress === undefined) {
    return undefined;
  }
  const root = fileURLToPath(new URL('..', import.meta.url));
  return machineChecks({
    version: versionText(),
    files,
    environment: process.env,
    settings,
    paths: instancePathsOf({
      stateHome: stateHome(settings, homedir()),
      runtimeHome: settings.XDG_RUNTIME_DIR,
      name: values.name,
    }),
    envoyPaths: {
      named: values.envoy ?? settings.TALLYGATE_ENVOY,
      toolsFolder: join(root, '.tools/bin'),
      searchPath: settings.PATH,
    },
    metricsAddress,
    listenAddress: values.address ?? settings.TALLYGATE_ADDRESS,
  });
}

async function openClusterChecks({ kubeconfig, context, namespace }: ClusterFlags): Promise<readonly Check[]> {
  try {
    const credentials = await kubeconfigCredentials({ file: kubeconfig, context });
    const client = new KubeClient(credentials);
    return clusterChecks({
      version: versionText(),
      server: credentials.server.host,
      namespace,
      read: (path) => client.call(path),
      now: Date.now,
    });
  } catch (error) {
    throw new OperatorError(`${errorMessage(error)}; correct --kubeconfig or --context`);
  }
}
