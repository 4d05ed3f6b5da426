/** Everything that grows in the server, with its bound and the reason for it. */

export interface Limits {
  /** Streams of one connection. Each open HTTP request holds one, and Envoy opens few connections: it must never be what stops traffic. */
  readonly maxConcurrentStreams: number;
  /** One gRPC message. Envoy puts what it has read into one; 4 MB is gRPC's own habit, and some is left for the envelope. */
  readonly maxMessageBytes: number;
  /** What the peer may send on a stream that we do not read: with 200 paused streams 25 MB. Larger windows measured no faster. */
  readonly streamWindowBytes: number;
  /** Credited at once on arrival, so that paused streams never stop others; large, so that it takes few updates. */
  readonly connectionWindowBytes: number;
  /** The headers of one gRPC call, which Envoy makes and no client. */
  readonly maxHeaderBlockBytes: number;
  /** Of all streams together: past it the stream with the most is reset. With the process's own 80 MB it keeps memory below 200 MB. */
  readonly maxUnsentBytes: number;
  /** How long messages are handed on before the event loop runs again. */
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

/** The largest piece of a body that a handler gets. */
export const PIECE_BYTES = 64 * 1024;

/** The largest piece of an answer in a large message: the clock is read after each, and 16 KB of small events with 128 choices held the event loop for 12 ms. */
export const PASSED_PIECE_BYTES = 8 * 1024;

/** A stream that had more unsent than the first is told when it has less than the second. */
export const HIGH_MARK_BYTES = 64 * 1024;
export const LOW_MARK_BYTES = 16 * 1024;

/** What one flush gives to the socket: about what the kernel takes at once. The rest waits in its stream, where a reset can still drop it. */
export const FLUSH_BYTES = 256 * 1024;

/** With that much unsent in the process a connection whose peer is behind with reading is not read. */
export const BACKPRESSURE_BYTES: number = 2 * 1024 * 1024;

/** Acknowledgements and resets that a peer causes and does not read: past it the connection is closed. */
export const MAX_CONTROL_BYTES = 1024 * 1024;

/** A header block in more frames than that is an attack: with 16 KB each it would long be too large. */
export const MAX_CONTINUATIONS = 64;

/** After an error of the connection the peer has this long to read what it is told. */
export const LINGER_MS = 2000;
