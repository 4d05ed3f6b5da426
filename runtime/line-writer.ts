/** Writes lines in batches: cheap at thousands of lines a second, and what nobody takes is counted, not kept. */
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
const BATCH_CHARACTERS = 64 * 1024;

export function createLineWriter(output: Pick<Output, 'write'>): LineWriter {
  let batch = '';
  let lines = 0;
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    if (timer) clearTimeout(timer);
    timer = undefined;
    if (lines > 0 && !output.write(batch)) dropped += lines;
    batch = '';
    lines = 0;
  };
  return {
    write(line) {
      batch += line;
      lines++;
      if (batch.length >= BATCH_CHARACTERS) flush();
      else timer ??= setTimeout(flush, BATCH_MS);
    },
    get dropped() {
      return dropped;
    },
    close: flush,
  };
}
