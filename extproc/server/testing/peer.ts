/** A peer that sends raw HTTP/2 frames, valid or not, and decodes the answers with protobuf-es. */

import { connect, type Socket } from 'node:net';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  ProcessingRequestSchema,
  type ProcessingResponse,
  ProcessingResponseSchema,
} from '../../../protos/gen/envoy/service/ext_proc/v3/external_processor_pb.ts';
import * as h2 from '../frames.ts';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export interface PeerOptions {
  /** What streams may send before we send more credit. */
  readonly windowBytes?: number;
  /** Sends neither preface nor SETTINGS: the test sends everything. */
  readonly closedForWriting?: boolean;
}

export type RequestInit = NonNullable<
  Extract<MessageInitShape<typeof ProcessingRequestSchema>, { $typeName?: never }>['request']
>;

export class Peer {
  readonly frames: Frame[] = [];
  readonly socket: Socket;
  closed = false;
  #rest = Buffer.alloc(0);
  readonly #waiting = new Set<() => void>();

  constructor(address: string, options: PeerOptions = {}) {
    const separator = address.lastIndexOf(':');
    this.socket = address.startsWith('/')
      ? connect(address)
      : connect(Number(address.slice(separator + 1)), address.slice(0, separator));
    this.socket.on('data', (bytes) => this.#receive(bytes));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
      this.#notify();
    });
    if (options.closedForWriting === true) {
      return;
    }
    const window = options.windowBytes ?? h2.MAX_WINDOW_BYTES;
    this.send(
      h2.PREFACE,
      h2.frame(h2.SETTINGS, 0, 0, h2.settingsPayload([[h2.SETTINGS_INITIAL_WINDOW_SIZE, window]])),
      credit(0, h2.MAX_WINDOW_BYTES - h2.DEFAULT_WINDOW_BYTES),
    );
  }

  send(...frames: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** Waits until `condition` is true. Checked again after any input. */
  async until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) {
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited in vain: ${what}`)), 8000);
      const look = (): void => {
        if (!condition()) {
          return;
        }
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  /**
   * Sends a PING and waits for its acknowledgement: the server has then read everything sent
   * before.
   */
  async settle(): Promise<void> {
    const seen = this.frames.filter(isPong).length;
    this.send(h2.frame(h2.PING, 0, 0, Buffer.alloc(8)));
    await this.until(() => this.frames.filter(isPong).length > seen || this.closed, 'the answer to a PING');
  }

  dataBytes(streamId: number): number {
    return this.of(streamId, h2.DATA).reduce((sum, frame) => sum + frame.payload.length, 0);
  }

  of(streamId: number, type: number): Frame[] {
    return this.frames.filter((frame) => frame.streamId === streamId && frame.type === type);
  }

  /** Returns the server's messages on that stream so far. */
  answers(streamId: number): ProcessingResponse[] {
    const bytes = Buffer.concat(this.of(streamId, h2.DATA).map((frame) => frame.payload));
    const answers: ProcessingResponse[] = [];
    let at = 0;
    while (bytes.length - at >= 5) {
      const end = at + 5 + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) {
        break;
      }
      answers.push(fromBinary(ProcessingResponseSchema, bytes.subarray(at + 5, end)));
      at = end;
    }
    return answers;
  }

  /** Whether the stream has its trailers. */
  ended(streamId: number): boolean {
    return this.of(streamId, h2.HEADERS).some((frame) => (frame.flags & h2.END_STREAM) !== 0);
  }

  /** Returns the status of the call, a plain literal in the server's last header block. */
  grpcStatus(streamId: number): number | undefined {
    const block = this.of(streamId, h2.HEADERS).at(-1)?.payload ?? Buffer.alloc(0);
    const at = block.indexOf('grpc-status');
    if (at < 0) {
      return undefined;
    }
    const value = at + 'grpc-status'.length;
    return Number(block.toString('latin1', value + 1, value + 1 + block[value]!));
  }

  wasReset(streamId: number): boolean {
    return this.of(streamId, h2.RST_STREAM).length > 0;
  }

  /** Returns the code of the server's GOAWAY. */
  get goAwayCode(): number | undefined {
    return this.frames.find((frame) => frame.type === h2.GOAWAY)?.payload.readUInt32BE(4);
  }

  destroy(): void {
    this.socket.destroy();
  }

  #receive(bytes: Buffer): void {
    let buffer = Buffer.concat([this.#rest, bytes]);
    while (buffer.length >= 9 && buffer.length >= 9 + buffer.readUIntBE(0, 3)) {
      const end = 9 + buffer.readUIntBE(0, 3);
      const streamId = buffer.readUInt32BE(5);
      this.frames.push({ type: buffer[3]!, flags: buffer[4]!, streamId, payload: buffer.subarray(9, end) });
      buffer = buffer.subarray(end);
    }
    this.#rest = buffer;
    this.#notify();
  }

  #notify(): void {
    for (const look of [...this.#waiting]) {
      look();
    }
  }
}

function isPong(frame: Frame): boolean {
  return frame.type === h2.PING && (frame.flags & h2.ACK) !== 0;
}

export function open(
  streamId: number,
  path = '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
  flags = 0,
): Buffer {
  const name = Buffer.from([0x04, path.length]);
  const block = Buffer.concat([Buffer.from([0x83, 0x86]), name, Buffer.from(path)]);
  return h2.frame(h2.HEADERS, h2.END_HEADERS | flags, streamId, block);
}

/** Returns a gRPC message in one or more DATA frames. */
export function message(streamId: number, request: RequestInit): Buffer {
  const bytes = grpcBytes(toBinary(ProcessingRequestSchema, create(ProcessingRequestSchema, { request })));
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += h2.DEFAULT_FRAME_BYTES) {
    frames.push(h2.frame(h2.DATA, 0, streamId, bytes.subarray(at, at + h2.DEFAULT_FRAME_BYTES)));
  }
  return Buffer.concat(frames);
}

export function grpcBytes(payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + payload.length);
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, 5);
  return bytes;
}

export function responseBody(streamId: number, body: Uint8Array, endOfStream = false): Buffer {
  return message(streamId, { case: 'responseBody', value: { body, endOfStream } });
}

export function requestHeaders(streamId: number, path = '/'): Buffer {
  const headers = [{ key: ':path', rawValue: Buffer.from(path) }];
  return message(streamId, { case: 'requestHeaders', value: { headers: { headers } } });
}

export function halfClose(streamId: number): Buffer {
  return h2.frame(h2.DATA, h2.END_STREAM, streamId, new Uint8Array());
}

export function credit(streamId: number, bytes: number): Buffer {
  return number(h2.WINDOW_UPDATE, streamId, bytes);
}

export function reset(streamId: number): Buffer {
  return number(h2.RST_STREAM, streamId, h2.CANCEL);
}

function number(type: number, streamId: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return h2.frame(type, 0, streamId, payload);
}
