/**
 * The memory of large request bodies, in blocks that are used again. A buffer for each piece would
 * be garbage that V8 counts as old memory: at 100 prompts of 1 MB a second, collecting it took half
 * of the processor's time.
 */

/**
 * Two full frames. A block serves one request, so a larger one would waste more at the end of a
 * body.
 */
export const BLOCK_BYTES: number = 32 * 1024;

/** 16 MB stay with the process. */
const MAX_IDLE_BLOCKS = 512;

export class BodyBlocks {
  readonly #idle: ArrayBufferLike[] = [];

  /** Returns `bytes` bytes (at most a block), in a block of their own if they fill half of one. */
  take(bytes: number): Buffer {
    if (bytes * 2 < BLOCK_BYTES) {
      return Buffer.allocUnsafeSlow(bytes);
    }
    const block = this.#idle.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES).buffer;
    return Buffer.from(block, 0, bytes);
  }

  /** Returns the block that was taken for the bytes, if they are in one. */
  blockOf({ buffer }: Buffer): ArrayBufferLike | undefined {
    return buffer.byteLength === BLOCK_BYTES ? buffer : undefined;
  }

  /** Takes blocks back. Nothing may refer to them any more. */
  give(blocks: readonly ArrayBufferLike[]): void {
    for (const block of blocks) {
      if (this.#idle.length < MAX_IDLE_BLOCKS) {
        this.#idle.push(block);
      }
    }
  }
}
