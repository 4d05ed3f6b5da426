/** Where a running extproc gets its policy: from a file that is exchanged, or from the controller. What cannot be used leaves the last good one in force, and is told on `/readyz`. */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Extproc } from '../extproc/main.ts';
import { newPolicyReader, PolicyError } from '../extproc/policy/read.ts';
import { startConfigVerifier } from '../extproc/sidecar/config-verifier.ts';
import { watchPaths } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { versionText } from './version.ts';

export interface PolicySource {
  details(): Readonly<Record<string, string>>;
  close(): Promise<void> | void;
}

export function followFile(path: string, service: Extproc, log: Log): PolicySource {
  const reader = newPolicyReader();
  let taken: Buffer = Buffer.alloc(0);
  let refused: Readonly<Record<string, string>> = {};
  const take = async () => {
    let version = '';
    try {
      const content = await readFile(path);
      if (content.equals(taken)) {
        return;
      }
      taken = content;
      const policy = await reader.read(content);
      version = policy.version;
      await service.apply(policy);
      refused = {};
    } catch (error) {
      if (error instanceof PolicyError) {
        version = error.version;
      }
      refused = { refused: version, refusal: error instanceof Error ? error.message : String(error) };
      log.error({ version, error }, 'the policy cannot be used; the last good one stays in force');
    }
  };
  /** One after the other: each reads what is there when its turn comes. */
  let taking: Promise<void> = Promise.resolve();
  const follow = () => {
    taking = taking.then(take);
  };
  const watch = watchPaths(follow, 0);
  watch.set([path]);
  follow();
  return {
    details: () => ({ policy: service.policyVersion ?? '', ...refused }),
    async close() {
      watch.close();
      await taking;
    },
  };
}

export interface ControllerFlags {
  readonly controller: string;
  readonly token: string;
  readonly ca: string;
  readonly envoyAdmin: { readonly host: string; readonly port: number } | undefined;
  readonly socket: string;
}

/** Loaded here only: standalone has no use for gRPC of this kind, and starts sooner without. */
export async function followControllerAt(flags: ControllerFlags, service: Extproc, log: Log): Promise<PolicySource> {
  const { followController } = await import('../extproc/sidecar/follow.ts');
  const prover =
    flags.envoyAdmin &&
    startConfigVerifier({
      admin: flags.envoyAdmin,
      socketPath: flags.socket,
      found: (configCheck) => source.reportConfigCheck(configCheck),
      log,
    });
  const source = followController({
    controller: flags.controller,
    tokenPath: flags.token,
    caPath: flags.ca,
    programVersion: versionText(),
    // The containers of the pod share it, and it outlives this one.
    folder: dirname(flags.socket),
    apply: service.apply,
    ...(prover && { routed: prover.routed }),
    applied: (version, routeNames) => prover?.expect(version, routeNames),
    log,
  });
  await source.begun;
  return {
    details: source.details,
    close() {
      prover?.close();
      return source.close();
    },
  };
}
