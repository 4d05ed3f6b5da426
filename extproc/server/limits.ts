/** The bounds of everything that grows in the server, with their reasons. */

export interface Limits {
  /**
   * Streams per connection. Each open HTTP request holds one, and Envoy opens few connections, so
   * this limit must never be what stops traffic.
   */
  readonly maxConcurrentStreams: number;
  /**
   * One gRPC message. Envoy puts everything it has read into one; 4 MB is the usual gRPC limit, the
   * rest is for the envelope.
   */
  readonly maxMessageBytes: number;
  /**
   * What a peer may send on a stream that is not read: 25 MB with 200 paused streams. Larger
   * windows were no faster.
   */
  readonly streamWindowBytes: number;
  /**
   * Credited on arrival, so that paused streams never stop others; large, so that few updates are
   * needed.
   */
  readonly connectionWindowBytes: number;
  /** The headers of one gRPC call, which come from Envoy and not from clients. */
  readonly maxHeaderBlockBytes: number;
  /**
   * For all streams together. Past it the stream with the most unsent bytes is reset. With the
   * process's own 80 MB, memory stays below 200 MB.
   */
  readonly maxUnsentBytes: number;
  /** How long messages are dispatched before the event loop runs again. */
  readonly sliceMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxConcurrentStreams: 100_000,
  maxMessageBytes: 4 * 1024 * 1024 + 64 * 1024,
  streamWindowBytes: 128 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  maxHeaderBlockBytes: 64 * 1024,
  maxUnsentBytes: 96 * 1024 * 1024,
  sliceMs: 1,
};

/** The largest piece of a body that a handler receives. */
export const PIECE_BYTES = 64 * 1024;

/**
 * The largest piece of a response body in a large message. The clock is read after each piece: 16
 * KB of small events with 128 choices held the event loop for 12 ms.
 */
export const PASSED_PIECE_BYTES = 8 * 1024;

/** A stream that had more unsent bytes than the high mark is notified below the low mark. */
export const HIGH_MARK_BYTES = 64 * 1024;
export const LOW_MARK_BYTES = 16 * 1024;

/**
 * What one flush gives to the socket: about what the kernel accepts at once. The rest waits in its
 * stream, where a reset can still drop it.
 */
export const FLUSH_BYTES = 256 * 1024;

/**
 * Past this many unsent bytes in the process, connections whose peer reads too slowly are not read.
 */
export const BACKPRESSURE_BYTES: number = 2 * 1024 * 1024;

/**
 * Acknowledgements and resets that a peer causes and does not read. Past it the connection is
 * closed.
 */
export const MAX_CONTROL_BYTES = 1024 * 1024;

/**
 * More CONTINUATION frames than this are an attack: at 16 KB each the block is already too large.
 */
export const MAX_CONTINUATIONS = 64;

/** How long a peer may take to read GOAWAY after a connection error. */
export const LINGER_MS = 2000;
