/**
 * One stream to the controller over its own connection, so that each attempt may reach another
 * replica.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientOptions, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
  type ConsoleQuestion,
  type ConsoleReplySchema,
  type ControllerMessage,
  ControllerMessageSchema,
  type DetectorSecrets,
  type Policy,
  type SharedStore,
  type SidecarMessage,
  SidecarMessageSchema,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';

/** The name in the controller's certificate, independent of the address. */
const SERVER_NAME = 'tallygate-controller';
const METHOD = '/tallygate.policy.v1.PolicyService/Follow';
/** The maximum that the controller sends. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/**
 * For connection, TLS and token review. Short, because the address may be of a replica that just
 * died.
 */
const OPEN_TIMEOUT_MS = 5000;

const OPTIONS: ClientOptions = {
  'grpc.ssl_target_name_override': SERVER_NAME,
  'grpc.default_authority': SERVER_NAME,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  // A controller that vanished without closing is noticed after the sum of both.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** What a gateway answers to a question of a console. */
export type ConsoleReplyContent = Required<Pick<MessageInitShape<typeof ConsoleReplySchema>, 'status' | 'body'>>;

export interface PolicyStream {
  send(message: MessageInitShape<typeof SidecarMessageSchema>): void;
  close(): void;
}

export interface StreamOptions {
  readonly controller: string;
  readonly ca: Buffer;
  readonly token: string;
  /** The controller has accepted the token. */
  readonly opened: () => void;
  readonly heard: (policy: Policy) => void;
  readonly storeHeard: (store: SharedStore) => void;
  readonly secretsHeard: (secrets: DetectorSecrets) => void;
  /** The controller has stored these alerts. */
  readonly alertsKept: (numbers: readonly bigint[]) => void;
  readonly consoleAsked: (question: ConsoleQuestion) => void;
  /** Called exactly once. `reason` undefined: the stream ended in order. */
  readonly ended: (reason: string | undefined) => void;
}

export function openStream({ controller, ca, token, opened, ...hooks }: StreamOptions): PolicyStream {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const client = new Client(controller, credentials.createSsl(ca), OPTIONS);
  const call = client.makeBidiStreamRequest<SidecarMessage, ControllerMessage>(
    METHOD,
    (message) => Buffer.from(toBinary(SidecarMessageSchema, message)),
    (bytes) => fromBinary(ControllerMessageSchema, bytes),
    metadata,
  );
  let over = false;
  const finish = (reason: string | undefined) => {
    if (over) {
      return;
    }
    over = true;
    clearTimeout(opening);
    client.close();
    hooks.ended(reason);
  };
  const opening = setTimeout(() => {
    finish(`no answer within ${OPEN_TIMEOUT_MS} ms`);
    call.cancel();
  }, OPEN_TIMEOUT_MS);
  call.on('metadata', () => {
    clearTimeout(opening);
    if (!over) {
      opened();
    }
  });
  call.on('data', ({ message }: ControllerMessage) => {
    if (!over && message.case === 'policy') {
      hooks.heard(message.value);
    } else if (!over && message.case === 'sharedStore') {
      hooks.storeHeard(message.value);
    } else if (!over && message.case === 'detectorSecrets') {
      hooks.secretsHeard(message.value);
    } else if (!over && message.case === 'alertsKept') {
      hooks.alertsKept(message.value.numbers);
    } else if (!over && message.case === 'consoleQuestion') {
      hooks.consoleAsked(message.value);
    }
  });
  call.on('status', ({ code, details }) => finish(code === status.OK ? undefined : `${status[code]}: ${details}`));
  call.on('error', ({ code, details }: ServiceError) => finish(`${status[code]}: ${details}`));
  return {
    send(message) {
      if (!over) {
        call.write(create(SidecarMessageSchema, message));
      }
    },
    close() {
      call.end();
      setTimeout(() => {
        finish('closed');
        call.cancel();
      }, 500).unref();
    },
  };
}
