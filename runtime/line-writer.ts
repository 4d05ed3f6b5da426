/**
 * Writes lines in batches: cheap at thousands of lines a second, and what nobody takes is counted,
 * not kept.
 */
import type { Output } from './output.ts';

export interface LineWriter {
  /** `line` ends in a newline. */
  write(line: string): void;
  /** Lines that were lost because nobody took them in time. */
  readonly dropped: number;
  close(): void;
}

/** Long enough to gather a batch at high rates, short enough for an eye that follows. */
const BATCH_MS = 20;
const BATCH_BYTES = 64 * 1024;
/** In UTF-8, of one unit of a string. */
const MOST_BYTES_A_CHARACTER = 3;

export function createLineWriter(output: Pick<Output, 'write'>): LineWriter {
  /**
   * Lines as bytes at once: strings that grow by thousands of lines are dear to put together and to
   * measure.
   */
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
