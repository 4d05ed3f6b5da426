/**
 * `tallygate sidecar-patch`: prints the patch for a user's EnvoyProxy, from the file that the chart
 * also uses.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate sidecar-patch [OPTION]…

Prints a patch that adds the sidecar to your own EnvoyProxy. Merge it completely.

  --image IMAGE            image of the sidecar (tallygate:VERSION)
  --controller HOST:PORT   Service of the controller
                           (tallygate-controller.tallygate-system.svc:9443)
  --daemonset              for proxies in a DaemonSet
  --drain-timeout SECONDS  seconds for open streams to end when a proxy pod ends (600)
`;

const options = {
  image: { type: 'string' },
  controller: { type: 'string', default: 'tallygate-controller.tallygate-system.svc:9443' },
  daemonset: { type: 'boolean', default: false },
  'drain-timeout': { type: 'string' },
} as const;

/** The chart's default values. */
interface ChartValues {
  readonly image: { readonly repository: string; readonly pullPolicy: string };
  readonly proxy: { readonly drainTimeoutSeconds: number };
  readonly sidecar: { readonly logLevel: string; readonly stateSize: string; readonly resources: object };
}

export const sidecarPatch: Verb = async ({ args }) => {
  const parsed = readOptions('sidecar-patch', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { image, controller, daemonset, 'drain-timeout': drainText } = parsed.values;
  if (parsed.positionals.length > 0) {
    return wrongUse('sidecar-patch', `${parsed.positionals[0]} is not an option`, usage);
  }
  if (image !== undefined && !/^[\w./:@-]+$/.test(image)) {
    return wrongUse('sidecar-patch', '--image must be an image name', usage);
  }
  if (!/^(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}$/.test(controller)) {
    return wrongUse('sidecar-patch', '--controller must be HOST:PORT', usage);
  }
  const values = parse(chartFile('values.yaml')) as ChartValues;
  const { appVersion } = parse(chartFile('Chart.yaml')) as { readonly appVersion: string };
  const drainSeconds = drainText === undefined ? values.proxy.drainTimeoutSeconds : Number(drainText);
  if (!Number.isInteger(drainSeconds) || drainSeconds < 1 || drainSeconds > 86_400) {
    return wrongUse('sidecar-patch', '--drain-timeout must be a whole number of seconds, from 1 to 86400', usage);
  }
  const replacements: Readonly<Record<string, string>> = {
    WORKLOAD: daemonset ? 'envoyDaemonSet' : 'envoyDeployment',
    DRAIN_TIMEOUT: `${drainSeconds}s`,
    GRACE_SECONDS: String(drainSeconds + 60),
    IMAGE: JSON.stringify(image ?? `${values.image.repository}:${appVersion}`),
    IMAGE_PULL_POLICY: values.image.pullPolicy,
    CONTROLLER: controller,
    ENVIRONMENT: JSON.stringify([{ name: 'TALLYGATE_LOG_LEVEL', value: values.sidecar.logLevel }]),
    STATE_SIZE: JSON.stringify(values.sidecar.stateSize),
    RESOURCES: JSON.stringify(values.sidecar.resources),
  };
  const patch = chartFile('files/envoy-proxy.yaml').replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const replacement = replacements[name];
    if (replacement === undefined) {
      throw new Error(`files/envoy-proxy.yaml has an unknown variable ${name}`);
    }
    return replacement;
  });
  const heading = 'apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyProxy\nspec:\n';
  process.stdout.write(heading + patch.replaceAll(/^(?=.)/gm, '  '));
  return 0;
};

function chartFile(path: string): string {
  return readFileSync(new URL(`../charts/tallygate/${path}`, import.meta.url), 'utf8');
}
