/**
 * The service definition for grpc-js. Messages to sidecars are encoded before, once for all
 * sidecars.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js';
import type { PolicyVersion } from '../../contract/policy-version.ts';
import {
  ControllerMessageSchema,
  type PolicyVersion as PolicyVersionMessage,
  type SidecarMessage,
  SidecarMessageSchema,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';

export type FollowCall = ServerDuplexStream<SidecarMessage, Uint8Array>;

/** One policy, encoded once for all sidecars. */
export interface Offer {
  readonly version: PolicyVersion;
  readonly whole: Uint8Array;
  /** For a sidecar that has this content in force. */
  readonly versionOnly: Uint8Array;
}

export const followService: ServiceDefinition<{
  Follow: (call: FollowCall) => void;
}> = {
  Follow: {
    path: '/tallygate.policy.v1.PolicyService/Follow',
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: SidecarMessage) => Buffer.from(toBinary(SidecarMessageSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(SidecarMessageSchema, bytes),
    responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    responseDeserialize: (bytes: Buffer) => bytes,
  },
};

export function newOffer(version: PolicyVersion, content: Uint8Array): Offer {
  return { version, whole: encode(version, content), versionOnly: encode(version, undefined) };
}

function encode({ epoch, counter, version }: PolicyVersion, content: Uint8Array | undefined): Uint8Array {
  const value = {
    version: { epoch: BigInt(epoch), counter: BigInt(counter), version },
    ...(content === undefined ? {} : { content }),
  };
  return toBinary(ControllerMessageSchema, create(ControllerMessageSchema, { message: { case: 'policy', value } }));
}

export function plainVersion(message: PolicyVersionMessage | undefined): PolicyVersion | undefined {
  if (message === undefined) {
    return undefined;
  }
  return { epoch: Number(message.epoch), counter: Number(message.counter), version: message.version };
}
