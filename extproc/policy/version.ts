/** Versions of policies as messages of the policy push carry them. */
import type { PolicyVersion } from '../../contract/policy-version.ts';
import type { PolicyVersion as PolicyVersionMessage } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';

export function plainVersion(message: PolicyVersionMessage | undefined): PolicyVersion | undefined {
  if (message === undefined) {
    return undefined;
  }
  return { epoch: Number(message.epoch), counter: Number(message.counter), version: message.version };
}

export function wireVersion({ epoch, counter, version }: PolicyVersion) {
  return { epoch: BigInt(epoch), counter: BigInt(counter), version };
}
