/** A grpc-js client of the server with an independent codec: proto-loader on protos/. */

import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const protos = new URL('../../../protos', import.meta.url).pathname;
const definition = loadSync('envoy/service/ext_proc/v3/external_processor.proto', {
  includeDirs: [protos],
  keepCase: true,
  enums: String,
  defaults: false,
  oneofs: true,
});
const PROCESS = 'Process';
const service = definition['envoy.service.ext_proc.v3.ExternalProcessor'] as grpc.ServiceDefinition;
const method = service[PROCESS] as grpc.MethodDefinition<Message, Message>;

/** Messages in proto-loader's form: names of the .proto, bytes as Buffers. */
export type Message = Readonly<Record<string, unknown>>;
export type Call = grpc.ClientDuplexStream<Message, Message>;

export interface Client {
  process(): Call;
  close(): void;
}

/** `address`: a path, or `host:port`. */
export function grpcClient(address: string, options: grpc.ClientOptions = {}): Client {
  const target = address.startsWith('/') ? `unix:${address}` : address;
  const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    ...options,
  });
  return {
    process: () => client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize),
    close: () => client.close(),
  };
}

/** Collects messages of the call until there are enough, or the call ends. */
export async function receive(call: Call, count: number): Promise<Message[]> {
  const messages: Message[] = [];
  if (count === 0) {
    return messages;
  }
  await new Promise<void>((resolve, reject) => {
    call.on('data', (message: Message) => {
      messages.push(message);
      if (messages.length === count) {
        resolve();
      }
    });
    call.once('end', resolve);
    call.once('error', reject);
  });
  return messages;
}

export async function status(call: Call): Promise<grpc.StatusObject> {
  return new Promise((resolve) => {
    call.on('error', () => {});
    call.on('data', () => {});
    call.once('status', resolve);
  });
}
