/** Installs the chart as a user does, with the image of the checkout. */
import path from 'node:path';
import { command, kubectl, repository } from './kubectl.ts';

export const RELEASE = 'tallygate';
export const SYSTEM = 'tallygate-system';
export const CHART: string = path.join(repository, 'charts/tallygate');
/** Without a cluster, Helm assumes an old version. */
const KUBERNETES = '1.34.0';

export function helm(...args: readonly string[]): Promise<string> {
  return command('helm', args);
}

/** Renders the chart as YAML. */
export function template(...args: readonly string[]): Promise<string> {
  return helm('template', RELEASE, CHART, '-n', SYSTEM, '--kube-version', KUBERNETES, ...args);
}

export interface InstallOptions {
  readonly chart?: string;
  readonly image?: string;
  readonly values?: readonly string[];
}

/**
 * Installs or upgrades the chart, and waits for the controller. The release adopts CRDs that were
 * applied by hand.
 */
export async function install({ chart = CHART, image, values = [] }: InstallOptions = {}): Promise<void> {
  const [repositoryOfImage = '', tag = ''] = (image ?? process.env['E2E_IMAGE'] ?? 'tallygate:dev').split(
    /:(?=[^:/]+$)/,
  );
  const own = process.env['E2E_VALUES']?.split(' ') ?? [];
  const sets = [`image.repository=${repositoryOfImage}`, `image.tag=${tag}`, ...own, ...values];
  const flags = ['--create-namespace', '--take-ownership', '--reset-values'];
  await helm(
    'upgrade',
    '--install',
    RELEASE,
    chart,
    '-n',
    SYSTEM,
    ...flags,
    ...sets.flatMap((each) => ['--set', each]),
  );
  // A ready controller has read everything that it watches, so its rights suffice.
  await kubectl('-n', SYSTEM, 'rollout', 'status', 'deployment/tallygate-controller', '--timeout=60s');
}
