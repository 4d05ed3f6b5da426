/**
 * Brings a plan into force without dropping a stream: make before break. First everything that the new policy may name comes beside the old, then the
 * policy, then the listeners, and only then goes what nobody names any more. What is refused leaves the state before.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { policyText } from '../contract/policy-text.ts';
import { writeAtomicallySync } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { envoyFiles } from '../translate/envoy/files.ts';
import type { Plan } from '../translate/plan.ts';
import type { EnvoyFiles } from './envoy-files.ts';
import { OperatorError } from './operator-error.ts';
import { transition } from './transition.ts';
import { ask } from './unix-http.ts';

const POLICY_DEADLINE_MS = 10_000;
const POLL_MS = 5;

export interface ApplyDeps {
  readonly files: EnvoyFiles;
  readonly policyPath: string;
  readonly extprocAdminSocket: string;
  readonly log: Log;
}

/** Before the processes run: `before` is undefined, and all is only written. */
export async function applyPlan(after: Plan, before: Plan | undefined, deps: ApplyDeps): Promise<void> {
  const { files } = deps;
  if (before === undefined) {
    await files.write(envoyFiles(after));
    writePolicy(after, deps);
    return;
  }
  try {
    await files.write(envoyFiles(between(before, after)));
    await bringPolicy(after, deps);
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

/** Secrets are named by clusters and listeners, so the union has both. */
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
    deps.log.error({ error: String(error) }, 'the state before could not be restored whole');
  }
}

function writePolicy({ policy }: Plan, { policyPath }: ApplyDeps): void {
  writeAtomicallySync(policyPath, policyText(policy), 0o600);
}

/** What extproc tells on `/readyz`. */
export interface ExtprocStatus {
  readonly ready: boolean;
  readonly policy?: string;
  /** `ok`, or why it cannot be written. */
  readonly journal?: string;
  /** The version of a policy that it could not use, and why. */
  readonly refused?: string;
  readonly refusal?: string;
}

async function bringPolicy(plan: Plan, deps: ApplyDeps): Promise<void> {
  writePolicy(plan, deps);
  const { version } = plan.policy;
  const until = performance.now() + POLICY_DEADLINE_MS;
  for (;;) {
    const status = await extprocStatus(deps.extprocAdminSocket);
    if (status?.policy === version) {
      return;
    }
    if (status?.refused === version) {
      throw new OperatorError(`extproc refuses the policy: ${status.refusal}`);
    }
    if (performance.now() > until) {
      throw new Error('extproc does not acknowledge the policy');
    }
    await sleep(POLL_MS);
  }
}

/** Undefined: nobody answers. */
export async function extprocStatus(socketPath: string): Promise<ExtprocStatus | undefined> {
  try {
    const { body } = await ask(socketPath, 'GET', '/readyz', 1000);
    return JSON.parse(body) as ExtprocStatus;
  } catch {
    return undefined;
  }
}
