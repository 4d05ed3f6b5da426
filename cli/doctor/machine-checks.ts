/** The checks of a gateway on this machine. */
import type { Address, Environment } from '../../runtime/environment.ts';
import type { EnvoyPaths } from '../../standalone/find-envoy.ts';
import type { InstancePaths } from '../../standalone/state.ts';
import type { Settings } from '../environment.ts';
import { sharedStoreOf } from '../shared-store.ts';
import { isOperatorError } from '../verb.ts';
import { type Check, type CheckOutcome, notChecked, problemOf } from './check-result.ts';
import { certificateExpiries, expiriesOf, expiryOutcomes } from './expiry-checks.ts';
import { type CheckedFiles, checkFiles, portOutcomes } from './file-checks.ts';
import {
  addressOutcomes,
  backendOutcomes,
  gatewayOutcomes,
  guardrailOutcomes,
  issuerOutcomes,
  journalOutcomes,
  policyOutcomes,
  quotaSocketOutcomes,
  storeOfGatewayOutcomes,
  usageOutcomes,
} from './gateway-checks.ts';
import { type Instance, observeInstance } from './instance.ts';
import { envoyOutcomes, programOutcomes, variableOutcomes } from './program-checks.ts';
import { journalFileOutcomes, readStateFolder, stateOutcomes } from './state-checks.ts';
import { readStoreClock, storeOutcomes } from './store-checks.ts';

export interface Machine {
  readonly version: string;
  readonly files: readonly string[];
  readonly environment: Environment;
  readonly settings: Settings;
  readonly paths: InstancePaths;
  readonly envoyPaths: EnvoyPaths;
  readonly metricsAddress: Address;
  readonly listenAddress: string;
}

/** The checks share what they read; each source is read once. */
export function machineChecks(machine: Machine): readonly Check[] {
  const files = machine.files.length === 0 ? undefined : checkFiles(machine.files, machine.environment);
  const folder = once(() => readStateFolder(machine.paths.folder));
  const instance = once(() => observeInstance(machine.metricsAddress, machine.paths));
  const ofInstance = (name: string, outcomes: (instance: Instance) => readonly CheckOutcome[]): Check => ({
    name,
    run: async () => outcomes(await instance()),
  });
  return [
    { name: 'program', run: () => programOutcomes(machine.version, process.versions.node) },
    { name: 'Envoy', run: () => envoyOutcomes(machine.envoyPaths) },
    {
      name: 'variables',
      run: () => variableOutcomes(Object.keys(machine.environment), files?.variables ?? new Set()),
    },
    { name: 'files', run: () => files?.outcomes ?? [notChecked('no file is given')] },
    { name: 'expiry', run: () => expiry(machine, files) },
    {
      name: 'ports',
      run: async () => await portOutcomes(machine.listenAddress, files?.ports ?? [], await instance()),
    },
    { name: 'state', run: async () => stateOutcomes(await folder(), process.getuid?.() ?? 0) },
    { name: 'journal files', run: async () => journalFileOutcomes(await folder()) },
    { name: 'shared store', run: () => store(machine.settings) },
    ofInstance('gateway', gatewayOutcomes),
    ofInstance('address', addressOutcomes),
    ofInstance('quota socket', quotaSocketOutcomes),
    ofInstance('policy', policyOutcomes),
    ofInstance('journal', journalOutcomes),
    ofInstance('store in use', storeOfGatewayOutcomes),
    ofInstance('usage', usageOutcomes),
    ofInstance('backends', backendOutcomes),
    ofInstance('guardrails', guardrailOutcomes),
    ofInstance('credentials', issuerOutcomes),
  ];
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= read();
    return result;
  };
}

function expiry({ settings }: Machine, files: CheckedFiles | undefined): readonly CheckOutcome[] {
  const caPem = ignoreOperatorErrors(() => sharedStoreOf(settings)?.tls?.caPem);
  const expiries = [
    ...(files === undefined ? [] : expiriesOf(files.world)),
    ...(caPem === undefined ? [] : certificateExpiries('TALLYGATE_QUOTA_STORE_CA_FILE', caPem, false)),
  ];
  return files === undefined && expiries.length === 0
    ? [notChecked('no file is given')]
    : expiryOutcomes(expiries, Date.now());
}

/** The check of the store reports them. */
function ignoreOperatorErrors<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isOperatorError(error)) {
      return undefined;
    }
    throw error;
  }
}

async function store(settings: Settings): Promise<readonly CheckOutcome[]> {
  try {
    const config = sharedStoreOf(settings);
    return config === undefined
      ? [notChecked('TALLYGATE_QUOTA_STORE_URL is not set')]
      : await storeOutcomes(config.addresses.join(','), () => readStoreClock(config));
  } catch (error) {
    if (isOperatorError(error)) {
      return [problemOf(error.message, 'the-shared-store')];
    }
    throw error;
  }
}
