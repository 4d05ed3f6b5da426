/**
 * Frames that the server sends unchanged. Their header blocks are literals without indexing, so
 * they depend on no state and are created once.
 */

import { END_HEADERS, END_STREAM, frame, HEADERS } from './frames.ts';

/** The gRPC status codes in use. */
export const OK = 0;
export const INVALID_ARGUMENT = 3;
export const UNIMPLEMENTED = 12;
export const INTERNAL = 13;

/**
 * HPACK: `:status: 200` is entry 8 of the static table, and entry 31 has the name `content-type`.
 */
const RESPONSE_BLOCK = Buffer.concat([Buffer.from([0x88, 0x0f, 31 - 15]), text('application/grpc')]);

/**
 * HPACK: sets the size of our unused dynamic table to 0. Required once, before a block, by peers
 * that announce a table smaller than the default.
 */
export const TABLE_SIZE_ZERO = 0x20;

/** Frames with stream id 0: copy them and set the id. */
export const RESPONSE_HEADERS: Buffer = frame(HEADERS, END_HEADERS, 0, RESPONSE_BLOCK);
export const TRAILERS_OK: Buffer = trailers(OK, '', false);
export const RESPONSE_AND_TRAILERS_OK: Buffer = trailers(OK, '', true);

/** The offset of the stream id in a frame. */
export const STREAM_ID_OFFSET = 5;

/** `grpc.health.v1.HealthCheckResponse` as a gRPC message: field 1, SERVING or NOT_SERVING. */
export const HEALTH_SERVING: Buffer = Buffer.from([0, 0, 0, 0, 2, 0x08, 1]);
export const HEALTH_NOT_SERVING: Buffer = Buffer.from([0, 0, 0, 0, 2, 0x08, 2]);

/**
 * Returns the frame that ends a call. `first`: no headers were sent before. `message` is plain
 * ASCII below 127 bytes.
 */
export function trailers(status: number, message: string, first: boolean): Buffer {
  const block = [literal('grpc-status', String(status))];
  if (first) {
    block.unshift(RESPONSE_BLOCK);
  }
  if (message !== '') {
    block.push(literal('grpc-message', message));
  }
  return frame(HEADERS, END_HEADERS | END_STREAM, 0, Buffer.concat(block));
}

function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
}
