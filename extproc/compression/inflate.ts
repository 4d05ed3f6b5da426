import type { Transform } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';

/** Encodings that can be decoded, except `identity`. */
const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip({ finishFlush: constants.Z_SYNC_FLUSH }),
  'x-gzip': () => createGunzip({ finishFlush: constants.Z_SYNC_FLUSH }),
  deflate: () => createInflate({ finishFlush: constants.Z_SYNC_FLUSH }),
  br: () => createBrotliDecompress(),
  // RFC 8878 asks decoders for a window of 8 MiB, which browsers enforce: larger windows are
  // refused.
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } }),
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
  /** Holds the output back. At most one more buffer of output is decoded. */
  pause(): void;
  resume(): void;
  /** Releases everything. No callback runs afterwards. */
  close(): void;
}

export interface InflaterOptions {
  /** Callbacks never run within a call of these methods. */
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
  const { onData, onEnd, onError, onDrain } = options;
  const maxOutputBytes = options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
  const maxRatio = options.maxRatio ?? MAX_RATIO;
  const decoder = decoders[encoding.trim().toLowerCase()]?.();
  let input = 0;
  let output = 0;
  let over = false;

  const fail = (reason: string): void => {
    if (over) {
      return;
    }
    over = true;
    decoder?.destroy();
    onError(reason);
  };

  if (decoder === undefined) {
    setImmediate(fail, 'the encoding is not known');
  } else {
    decoder.on('data', (bytes: Uint8Array) => {
      if (over) {
        return;
      }
      output += bytes.length;
      if (output > maxOutputBytes) {
        fail('it inflates to too much');
      } else if (output > RATIO_FREE_BYTES && output > input * maxRatio) {
        fail('it inflates too many times over');
      } else {
        onData(bytes);
      }
    });
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
    decoder.on('error', () => fail('it is not what its encoding says'));
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
      decoder?.pause();
    },
    resume() {
      decoder?.resume();
    },
    close() {
      over = true;
      decoder?.destroy();
    },
  };
}
