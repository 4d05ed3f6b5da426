/**
 * Applies a plan without dropping a stream: make before break. First everything that the new policy
 * may name is added, then the policy is replaced, then the listeners, and last everything unused is
 * removed. If Envoy or extproc refuses a step, the previous state is restored.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { policyText } from '../contract/policy-text.ts';
import { writeAtomicallySync } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { ask } from '../runtime/unix-http.ts';
import { envoyFiles } from '../translate/envoy/files.ts';
import type { Plan } from '../translate/plan.ts';
import type { EnvoyFiles } from './envoy-files.ts';
import { OperatorError } from './operator-error.ts';
import { transition } from './transition.ts';

const POLICY_DEADLINE_MS = 10_000;
const POLL_MS = 5;

export interface ApplyDeps {
  readonly files: EnvoyFiles;
  readonly policyPath: string;
  readonly detectorSecretsPath: string;
  readonly extprocAdminSocket: string;
  readonly log: Log;
}

/** `before` undefined: the processes do not run yet, and the files are only written. */
export async function applyPlan(after: Plan, before: Plan | undefined, deps: ApplyDeps): Promise<void> {
  const { files } = deps;
  if (before === undefined) {
    await files.write(envoyFiles(after));
    writePolicy(after, deps);
    return;
  }
  try {
    await files.write(envoyFiles(between(before, after)));
    await replacePolicy(after, deps);
    await files.write(
      envoyFiles({ ...after, envoy: { ...between(before, after).envoy, listeners: after.envoy.listeners } }),
    );
    await files.write(envoyFiles(after));
    files.keepOnly(new Set(envoyFiles(after).map(({ name }) => name)));
  } catch (error) {
    await restore(before, deps);
    throw error;
  }
}

/** Keeps the secrets of both plans, because clusters and listeners of both name them. */
function between(before: Plan, after: Plan): Plan {
  const names = new Set(after.secrets.map(({ name }) => name));
  const secrets = [...after.secrets, ...before.secrets.filter(({ name }) => !names.has(name))];
  return { ...after, secrets, envoy: transition(before.envoy, after.envoy) };
}

async function restore(before: Plan, deps: ApplyDeps): Promise<void> {
  try {
    await deps.files.write(envoyFiles(before));
    writePolicy(before, deps);
  } catch (error) {
    deps.log.error({ err: error }, 'previous state not fully restored');
  }
}

/** Writes the secrets first, because the policy names them. */
function writePolicy({ policy, detectorSecrets }: Plan, { policyPath, detectorSecretsPath }: ApplyDeps): void {
  const secrets = Object.fromEntries(detectorSecrets.map(({ id, value }) => [id, value.reveal()]));
  writeAtomicallySync(detectorSecretsPath, JSON.stringify(secrets), 0o600);
  writeAtomicallySync(policyPath, policyText(policy), 0o600);
}

/** The response of extproc's `/readyz`. */
export interface ExtprocStatus {
  readonly ready: boolean;
  readonly policy?: string;
  /** `ok`, or why the journal cannot be written. */
  readonly journal?: string;
  /** `ok`, or why the shared quota store is lost; absent: none. */
  readonly quotaStore?: string;
  /** The version of a refused policy, and the reason. */
  readonly refused?: string;
  readonly refusal?: string;
}

async function replacePolicy(plan: Plan, deps: ApplyDeps): Promise<void> {
  writePolicy(plan, deps);
  const { version } = plan.policy;
  const until = performance.now() + POLICY_DEADLINE_MS;
  for (;;) {
    const status = await extprocStatus(deps.extprocAdminSocket);
    if (status?.policy === version) {
      return;
    }
    if (status?.refused === version) {
      throw new OperatorError(`extproc refused the policy: ${status.refusal}`);
    }
    if (performance.now() > until) {
      throw new Error('extproc did not acknowledge the policy in time');
    }
    await sleep(POLL_MS);
  }
}

/** Returns undefined if extproc does not respond. */
export async function extprocStatus(socketPath: string): Promise<ExtprocStatus | undefined> {
  try {
    const { body } = await ask(socketPath, 'GET', '/readyz', 1000);
    return JSON.parse(body) as ExtprocStatus;
  } catch {
    return undefined;
  }
}
