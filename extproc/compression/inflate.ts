import type { Transform } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';

/**
 * The largest chunk of output. The clock is read after each, and counting the tokens of 8 KB takes
 * about a millisecond.
 */
export const INFLATED_CHUNK_BYTES: number = 8 * 1024;

/** The decoder produces two chunks, then waits until one is read. */
const CHUNKS = { chunkSize: INFLATED_CHUNK_BYTES, readableHighWaterMark: 2 * INFLATED_CHUNK_BYTES };

/** Encodings that can be decoded, except `identity`. */
const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip({ ...CHUNKS, finishFlush: constants.Z_SYNC_FLUSH }),
  'x-gzip': () => createGunzip({ ...CHUNKS, finishFlush: constants.Z_SYNC_FLUSH }),
  deflate: () => createInflate({ ...CHUNKS, finishFlush: constants.Z_SYNC_FLUSH }),
  br: () => createBrotliDecompress(CHUNKS),
  // RFC 8878 asks decoders for a window of 8 MiB, which browsers enforce: larger windows are
  // refused.
  zstd: () => createZstdDecompress({ ...CHUNKS, params: { [constants.ZSTD_d_windowLogMax]: 23 } }),
};

/**
 * The bound of a decoded answer. The client gets the compressed bytes unchanged: past the bound
 * only the count is lost.
 */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/**
 * JSON deflates to a tenth. Deflate reaches at most a factor of 1000, and only for zeros. Checked
 * past `RATIO_FREE_BYTES`.
 */
const MAX_RATIO = 200;
const RATIO_FREE_BYTES = 1024 * 1024;

/** Compressed bytes that wait for the decoder. Past it `push` returns false. */
const MAX_WAITING_BYTES = 256 * 1024;

export interface Inflater {
  /**
   * Copies the bytes. Returns false if too much is waiting already: push no more before `onDrain`.
   */
  push(bytes: Uint8Array): boolean;
  /** Ends the compressed input. */
  finish(): void;
  /** Holds the output back. The decoder continues until two chunks wait. */
  pause(): void;
  resume(): void;
  /** Releases everything. No callback runs afterwards. */
  close(): void;
}

export interface InflaterOptions {
  /**
   * Calls `step` in time slices of the event loop until it returns 0; else it returns the bytes it
   * read.
   */
  readonly inSlices: (step: () => number) => void;
  /** Receives at most `INFLATED_CHUNK_BYTES`, and only within a call of `step`. */
  readonly onData: (bytes: Uint8Array) => void;
  /** Exactly one of these two ends the output. */
  readonly onEnd: () => void;
  readonly onError: (reason: string) => void;
  readonly onDrain?: () => void;
  readonly maxOutputBytes?: number;
  readonly maxRatio?: number;
}

export function isInflatable(encoding: string): boolean {
  return Object.hasOwn(decoders, encoding.trim().toLowerCase());
}

/**
 * Decodes a compressed answer on zlib's threads. An unknown encoding is an error in the next tick.
 */
export function newInflater(encoding: string, options: InflaterOptions): Inflater {
  const { inSlices, onData, onEnd, onError, onDrain } = options;
  const maxOutputBytes = options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
  const maxRatio = options.maxRatio ?? MAX_RATIO;
  const decoder = decoders[encoding.trim().toLowerCase()]?.();
  let input = 0;
  let output = 0;
  let over = false;
  let paused = false;
  /** `step` is scheduled. */
  let listed = false;
  /** The decoder failed. Output may still wait to be read. */
  let broken = false;

  const fail = (reason: string): void => {
    if (over) {
      return;
    }
    over = true;
    decoder?.destroy();
    onError(reason);
  };

  const schedule = (): void => {
    if (!listed && !paused && !over) {
      listed = true;
      inSlices(step);
    }
  };

  /** Reads one chunk. Returns its length, or 0 if none is available or reading is paused. */
  const step = (): number => {
    const bytes = over || paused ? null : readChunk(decoder!);
    if (bytes === null) {
      listed = false;
      if (broken && !paused) {
        fail('it is not what its encoding says');
      }
      return 0;
    }
    output += bytes.length;
    if (output > maxOutputBytes) {
      fail('it inflates to too much');
    } else if (output > RATIO_FREE_BYTES && output > input * maxRatio) {
      fail('it inflates too many times over');
    } else {
      onData(bytes);
    }
    return bytes.length;
  };

  if (decoder === undefined) {
    setImmediate(fail, 'the encoding is not known');
  } else {
    decoder.on('readable', schedule);
    decoder.on('end', () => {
      if (over) {
        return;
      }
      over = true;
      decoder.destroy();
      onEnd();
    });
    decoder.on('drain', () => {
      if (!over) {
        onDrain?.();
      }
    });
    decoder.on('error', () => {
      broken = true;
      schedule();
    });
  }

  return {
    push(bytes) {
      if (over || decoder === undefined) {
        return true;
      }
      input += bytes.length;
      decoder.write(Buffer.from(bytes));
      return decoder.writableLength <= MAX_WAITING_BYTES;
    },
    finish() {
      if (!over) {
        decoder?.end();
      }
    },
    pause() {
      paused = true;
    },
    resume() {
      if (paused) {
        paused = false;
        if (decoder !== undefined) {
          schedule();
        }
      }
    },
    close() {
      over = true;
      decoder?.destroy();
    },
  };
}

/**
 * Bounds the chunk: `read` without a length returns all that waits, or requests more if nothing
 * does.
 */
function readChunk(decoder: Transform): Buffer | null {
  const waits = decoder.readableLength;
  return decoder.read(waits === 0 ? undefined : Math.min(waits, INFLATED_CHUNK_BYTES)) as Buffer | null;
}
