/** Follows a file that grows, and that a rotation may truncate or replace. */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout as after } from 'node:timers/promises';
import { LineReader } from './lines.ts';

export interface FileFollowing {
  /** How many of the lines that the file has come first; undefined: all. */
  readonly lines: number | undefined;
  readonly pollMs: number;
  /** Ends the lines at the end of the file. */
  readonly signal?: AbortSignal;
}

const BLOCK_BYTES = 64 * 1024;
/** Lines further from the end of the file are not searched. */
const MAX_TAIL_BYTES = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Yields the last lines of the file, and then those that are added. Throws if it is missing. */
export async function* followFile(path: string, options: FileFollowing): AsyncGenerator<string> {
  const block = Buffer.alloc(BLOCK_BYTES);
  let reader = new LineReader();
  let file = await open(path);
  try {
    let position = options.lines === undefined ? 0 : await startOfLast(file, options.lines, block);
    for (;;) {
      const { bytesRead } = await file.read(block, 0, block.length, position);
      if (bytesRead > 0) {
        position += bytesRead;
        yield* reader.read(block.subarray(0, bytesRead));
        continue;
      }
      const next = await change(path, file, position);
      if (next !== undefined) {
        yield* reader.end();
        reader = new LineReader();
        position = 0;
        if (next !== file) {
          await file.close();
          file = next;
        }
      } else if (options.signal?.aborted) {
        yield* reader.end();
        return;
      } else {
        await after(options.pollMs, undefined, { signal: options.signal }).catch(() => undefined);
      }
    }
  } finally {
    await file.close();
  }
}

/** Returns the file to read from its beginning: this one if it is shorter now, or its successor. */
async function change(path: string, file: FileHandle, position: number): Promise<FileHandle | undefined> {
  const current = await file.stat();
  if (current.size < position) {
    return file;
  }
  // The writer may use the old file until it has written to the new one.
  const there = await stat(path).catch(() => undefined);
  const isReplaced = there !== undefined && (there.ino !== current.ino || there.dev !== current.dev);
  return isReplaced && there.size > 0 && (await file.stat()).size === position ? await open(path) : undefined;
}

/** Returns where the last lines start. */
async function startOfLast(file: FileHandle, lines: number, block: Buffer): Promise<number> {
  const { size } = await file.stat();
  const first = Math.max(0, size - MAX_TAIL_BYTES);
  let found = 0;
  for (let end = lines === 0 ? first : size; end > first; ) {
    const start = Math.max(first, end - block.length);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    for (let at = bytesRead - 1; at >= 0; at--) {
      // The last newline of the file ends a line, and starts none.
      if (block[at] === NEWLINE && start + at < size - 1 && ++found === lines) {
        return start + at + 1;
      }
    }
    end = start;
  }
  return lines === 0 ? size : first;
}
