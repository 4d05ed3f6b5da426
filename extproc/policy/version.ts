/** Versions of policies, ordered as the controller published them. */
import type { PolicyVersion as PolicyVersionMessage } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';

export interface PolicyVersion {
  /** The term of a leader; a later leader has a higher one. */
  readonly epoch: number;
  readonly counter: number;
  /** The digest of the content, as written in the policy. */
  readonly version: string;
}

export function isOlder(one: PolicyVersion, other: PolicyVersion): boolean {
  return one.epoch < other.epoch || (one.epoch === other.epoch && one.counter < other.counter);
}

export function plainVersion(message: PolicyVersionMessage | undefined): PolicyVersion | undefined {
  if (message === undefined) {
    return undefined;
  }
  return { epoch: Number(message.epoch), counter: Number(message.counter), version: message.version };
}

export function wireVersion({ epoch, counter, version }: PolicyVersion) {
  return { epoch: BigInt(epoch), counter: BigInt(counter), version };
}
