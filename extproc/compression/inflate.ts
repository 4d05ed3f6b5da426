/**
 * Decompresses answers on zlib's threads, within bounds of output and of its ratio to the input.
 */
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
  return new ZlibInflater(decoders[encoding.trim().toLowerCase()]?.(), options);
}

class ZlibInflater implements Inflater {
  /** Undefined: the encoding is unknown. */
  readonly #decoder: Transform | undefined;
  readonly #options: InflaterOptions;
  readonly #maxOutputBytes: number;
  readonly #maxRatio: number;
  #inputBytes = 0;
  #outputBytes = 0;
  /** The output has ended, or nobody reads it any more. */
  #over = false;
  #paused = false;
  /** Whether `#step` is scheduled. */
  #scheduled = false;
  /** The decoder failed. Output may still wait to be read. */
  #broken = false;

  constructor(decoder: Transform | undefined, options: InflaterOptions) {
    this.#decoder = decoder;
    this.#options = options;
    this.#maxOutputBytes = options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
    this.#maxRatio = options.maxRatio ?? MAX_RATIO;
    if (decoder === undefined) {
      setImmediate(() => this.#fail('the encoding is not known'));
    } else {
      this.#listen(decoder);
    }
  }

  push(bytes: Uint8Array): boolean {
    if (this.#over || this.#decoder === undefined) {
      return true;
    }
    this.#inputBytes += bytes.length;
    this.#decoder.write(Buffer.from(bytes));
    return this.#decoder.writableLength <= MAX_WAITING_BYTES;
  }

  finish(): void {
    if (!this.#over) {
      this.#decoder?.end();
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (this.#paused) {
      this.#paused = false;
      this.#schedule();
    }
  }

  close(): void {
    this.#over = true;
    this.#decoder?.destroy();
  }

  #listen(decoder: Transform): void {
    decoder.on('readable', () => this.#schedule());
    decoder.on('end', () => {
      if (!this.#over) {
        this.close();
        this.#options.onEnd();
      }
    });
    decoder.on('drain', () => {
      if (!this.#over) {
        this.#options.onDrain?.();
      }
    });
    decoder.on('error', () => {
      this.#broken = true;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (!this.#scheduled && !this.#paused && !this.#over && this.#decoder !== undefined) {
      this.#scheduled = true;
      this.#options.inSlices(this.#step);
    }
  }

  /** Reads one chunk. Returns its length, or 0 if none is available or reading is paused. */
  readonly #step = (): number => {
    const bytes = this.#over || this.#paused ? null : readChunk(this.#decoder!);
    if (bytes === null) {
      this.#scheduled = false;
      if (this.#broken && !this.#paused) {
        this.#fail('it is not what its encoding says');
      }
      return 0;
    }
    this.#outputBytes += bytes.length;
    if (this.#outputBytes > this.#maxOutputBytes) {
      this.#fail('it inflates to too much');
    } else if (this.#outputBytes > RATIO_FREE_BYTES && this.#outputBytes > this.#inputBytes * this.#maxRatio) {
      this.#fail('it inflates too many times over');
    } else {
      this.#options.onData(bytes);
    }
    return bytes.length;
  };

  #fail(reason: string): void {
    if (!this.#over) {
      this.close();
      this.#options.onError(reason);
    }
  }
}

/**
 * Bounds the chunk: `read` without a length returns all that waits, or requests more if nothing
 * does.
 */
function readChunk(decoder: Transform): Buffer | null {
  const waits = decoder.readableLength;
  return decoder.read(waits === 0 ? undefined : Math.min(waits, INFLATED_CHUNK_BYTES)) as Buffer | null;
}
