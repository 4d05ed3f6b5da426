/**
 * Follows a policy file that is replaced whole. A policy that cannot be used leaves the last good
 * one in force.
 */
import { readFile } from 'node:fs/promises';
import type { ThresholdReport } from '../../contract/budget-report.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { watchPaths } from '../../runtime/files.ts';
import type { Log } from '../../runtime/log.ts';
import { boundedKeyRequests } from './key-requests.ts';
import { newPolicyReader, PolicyError } from './read.ts';
import type { PolicySink, PolicySource } from './source.ts';

export interface FileSourceOptions {
  readonly path: string;
  /** Asks the writer of the file to fetch keys again; see `PolicySource.requestKeys`. */
  readonly requestKeys: (url: string) => void;
  readonly reportAlert: (alert: ThresholdReport) => void;
}

export function followFile(
  { path, requestKeys, reportAlert }: FileSourceOptions,
  sink: PolicySink,
  log: Log,
): PolicySource {
  const reader = newPolicyReader();
  let lastContent: Buffer = Buffer.alloc(0);
  let policies = 0;
  let refused: Readonly<Record<string, string>> = {};
  const take = async () => {
    let version = '';
    try {
      const content = await readFile(path);
      if (content.equals(lastContent)) {
        return;
      }
      lastContent = content;
      const policy = await reader.read(content);
      version = policy.version;
      await sink.apply(policy, { epoch: 0, counter: ++policies });
      refused = {};
    } catch (error) {
      if (error instanceof PolicyError) {
        version = error.version;
      }
      refused = { refused: version, refusal: errorMessage(error) };
      log.error({ version, err: error }, 'policy refused; the last good policy stays in force');
    }
  };
  /** One at a time: each reads the file as it is when its turn comes. */
  let taking: Promise<void> = Promise.resolve();
  const follow = () => {
    taking = taking.then(take);
  };
  const watch = watchPaths(follow, 0);
  watch.set([path]);
  follow();
  return {
    details: () => ({ policy: sink.policyVersion ?? '', ...refused }),
    requestKeys: boundedKeyRequests(requestKeys),
    reportAlert,
    async close() {
      watch.close();
      await taking;
    },
  };
}
