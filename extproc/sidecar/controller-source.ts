/**
 * Follows the controller, and checks that the Envoy of the same pod is configured for the policy in
 * force.
 */
import { dirname } from 'node:path';
import type { RestReport } from '../../contract/backend-rest.ts';
import type { BudgetReport } from '../../contract/budget-report.ts';
import type { Log } from '../../runtime/log.ts';
import { boundedKeyRequests } from '../policy/key-requests.ts';
import type { PolicySink, PolicySource } from '../policy/source.ts';
import type { AdminAddress } from './admin.ts';
import { startConfigVerifier } from './config-verifier.ts';
import { type FollowOptions, followController } from './follow.ts';

export interface ControllerSourceOptions {
  /** `HOST:PORT`. */
  readonly controller: string;
  readonly tokenPath: string;
  readonly caPath: string;
  /**
   * Where the shared store, with its password, and secrets of guardrails are kept: on a volume that
   * Envoy does not mount.
   */
  readonly storeFolder: string | undefined;
  readonly envoyAdmin: AdminAddress | undefined;
  /** The socket that Envoy must send its requests to. */
  readonly socketPath: string;
  /** Puts the secrets for services of guardrails into force: values by id. */
  readonly useDetectorSecrets: (secrets: Readonly<Record<string, string>>) => void;
  readonly programVersion: string;
  readonly contentDestinations: readonly string[];
  readonly fullestBudgets: () => readonly BudgetReport[];
  readonly resting: () => readonly RestReport[];
  readonly answerConsole: FollowOptions['answerConsole'];
}

/** Resolves when the policy that was kept on disk, if any, is in force. */
export async function followControllerAt(
  options: ControllerSourceOptions,
  sink: PolicySink,
  log: Log,
): Promise<PolicySource> {
  const { controller, tokenPath, caPath, storeFolder, envoyAdmin, socketPath, programVersion } = options;
  const verifier =
    envoyAdmin &&
    startConfigVerifier({
      admin: envoyAdmin,
      socketPath,
      found: (check) => source.reportConfigCheck(check),
      log,
    });
  const source = followController({
    controller,
    tokenPath,
    caPath,
    programVersion,
    contentDestinations: options.contentDestinations,
    fullestBudgets: options.fullestBudgets,
    resting: options.resting,
    answerConsole: options.answerConsole,
    // The containers of the pod share this folder, and it outlives a container.
    folder: dirname(socketPath),
    storeFolder,
    useDetectorSecrets: options.useDetectorSecrets,
    useSharedStore: (config) => sink.useSharedStore(config),
    apply: (policy, revision) => sink.apply(policy, revision),
    waitFor: verifier === undefined ? undefined : (pending) => verifier.waitFor(pending),
    applied: (version, routeNames) => verifier?.expect(version, routeNames),
    log,
  });
  await source.begun;
  return {
    details: () => source.details(),
    requestKeys: boundedKeyRequests((url) => source.requestKeys(url)),
    reportSharedStore: (state) => source.reportSharedStore(state),
    reportAlert: (alert) => source.reportAlert(alert),
    close() {
      verifier?.close();
      return source.close();
    },
  };
}
