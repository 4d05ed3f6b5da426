/**
 * Writes lines in batches, which is cheap at thousands of lines a second. Counts lines that nothing
 * reads in time, and does not keep them.
 */
import type { Output } from './output.ts';

export interface LineWriter {
  /** `line` ends in a newline. */
  write(line: string): void;
  /** Lines that were dropped because nothing read them in time. */
  readonly dropped: number;
  close(): void;
}

/** Long enough for a batch at high rates, short enough for a person who follows the output. */
const BATCH_MS = 20;
const BATCH_BYTES = 64 * 1024;
/** The most bytes of UTF-8 for one UTF-16 code unit. */
const MOST_BYTES_A_CHARACTER = 3;

export function createLineWriter(output: Pick<Output, 'write'>): LineWriter {
  /** Encodes each line at once: long concatenated strings are expensive to join and to measure. */
  const batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  let bytes = 0;
  let lines = 0;
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    if (timer) {
      clearTimeout(timer);
    }
    timer = undefined;
    if (lines > 0 && !output.write(Buffer.from(batch.subarray(0, bytes)))) {
      dropped += lines;
    }
    bytes = 0;
    lines = 0;
  };
  return {
    write(line) {
      const most = line.length * MOST_BYTES_A_CHARACTER;
      if (bytes + most > BATCH_BYTES) {
        flush();
      }
      if (most > BATCH_BYTES) {
        if (!output.write(Buffer.from(line))) {
          dropped++;
        }
        return;
      }
      bytes += batch.write(line, bytes);
      lines++;
      timer ??= setTimeout(flush, BATCH_MS);
    },
    get dropped() {
      return dropped;
    },
    close: flush,
  };
}
