/**
 * The service definition for grpc-js. Messages to sidecars are encoded before, once for all
 * sidecars.
 */
import { createHash } from 'node:crypto';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js';
import { type ContentPiece, changesBetween } from '../../contract/policy-changes.ts';
import type { PolicyVersion } from '../../contract/policy-version.ts';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';
import {
  type ConsoleQuestionSchema,
  type ContentPieceSchema,
  ControllerMessageSchema,
  type PolicySchema,
  type PolicyVersion as PolicyVersionMessage,
  type SidecarMessage,
  SidecarMessageSchema,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { MAX_TOKEN_CHARACTERS } from './limits.ts';

export type FollowCall = ServerDuplexStream<SidecarMessage, Uint8Array>;

/** One policy, encoded once for all sidecars. */
export interface Offer {
  readonly version: PolicyVersion;
  readonly whole: Uint8Array;
  /** For a sidecar that has this content in force. */
  readonly versionOnly: Uint8Array;
  /** For a sidecar that has the content of the offer before in force; undefined: too large. */
  readonly changes: { readonly base: string; readonly message: Uint8Array } | undefined;
  readonly content: Buffer;
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

/** `before`: the last offer to the same sidecars. */
export function newOffer(version: PolicyVersion, content: Buffer, before?: Offer): Offer {
  const whole = encode(version, { content });
  return {
    version,
    whole,
    versionOnly: encode(version, {}),
    changes: before && changesSince(before, version, content),
    // The last field of the message, so that the content is in memory once.
    content: Buffer.from(whole.buffer, whole.byteOffset + whole.length - content.length, content.length),
  };
}

/** `config` undefined: each sidecar counts for itself. */
export function sharedStoreMessage(epoch: number, config: SharedStoreConfig | undefined): Uint8Array {
  const value = {
    epoch: BigInt(epoch),
    ...(config && { config: Buffer.from(JSON.stringify(config)) }),
  };
  const message = create(ControllerMessageSchema, { message: { case: 'sharedStore', value } });
  return toBinary(ControllerMessageSchema, message);
}

/** `secrets`: values by id. */
export function detectorSecretsMessage(epoch: number, secrets: Readonly<Record<string, string>>): Uint8Array {
  const value = { epoch: BigInt(epoch), secrets: Buffer.from(JSON.stringify(secrets)) };
  const message = create(ControllerMessageSchema, { message: { case: 'detectorSecrets', value } });
  return toBinary(ControllerMessageSchema, message);
}

/** Asks a sidecar for what it knows of a request to the console. */
export function consoleQuestionMessage(question: MessageInitShape<typeof ConsoleQuestionSchema>): Uint8Array {
  const message = create(ControllerMessageSchema, { message: { case: 'consoleQuestion', value: question } });
  return toBinary(ControllerMessageSchema, message);
}

/** Tells a sidecar which of its alerts are stored. */
export function alertsKeptMessage(numbers: readonly bigint[]): Uint8Array {
  const value = { numbers: [...numbers] };
  return toBinary(ControllerMessageSchema, create(ControllerMessageSchema, { message: { case: 'alertsKept', value } }));
}

function changesSince(before: Offer, version: PolicyVersion, content: Buffer): Offer['changes'] {
  const pieces = changesBetween(before.content, content);
  const newBytes = pieces.reduce((sum, piece) => sum + (piece.type === 'New' ? piece.text.length : 0), 0);
  if (newBytes > content.length / 2) {
    return undefined;
  }
  const base = before.version.version;
  const digest = createHash('sha256').update(content).digest();
  return { base, message: encode(version, { changes: { base, digest, pieces: pieces.map(wirePiece) } }) };
}

function wirePiece(piece: ContentPiece): MessageInitShape<typeof ContentPieceSchema> {
  return piece.type === 'New'
    ? { piece: { case: 'text', value: piece.text } }
    : { piece: { case: 'kept', value: { first: piece.first, count: piece.count } } };
}

function encode(
  { epoch, counter, version }: PolicyVersion,
  more: Pick<MessageInitShape<typeof PolicySchema>, 'content' | 'changes'>,
): Uint8Array {
  const value = { ...more, version: { epoch: BigInt(epoch), counter: BigInt(counter), version } };
  return toBinary(ControllerMessageSchema, create(ControllerMessageSchema, { message: { case: 'policy', value } }));
}

export function plainVersion(message: PolicyVersionMessage | undefined): PolicyVersion | undefined {
  if (message === undefined) {
    return undefined;
  }
  return { epoch: Number(message.epoch), counter: Number(message.counter), version: message.version };
}

/** Returns the bearer token; undefined unless it has the form of a JWT. */
export function bearerOf(call: FollowCall): string | undefined {
  const value = call.metadata.get('authorization')[0];
  if (typeof value !== 'string' || value.length > MAX_TOKEN_CHARACTERS) {
    return undefined;
  }
  return /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/.exec(value)?.[1];
}
