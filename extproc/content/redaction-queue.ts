/** The content that waits for its redaction in another thread. Its size is bounded. */
import { Worker } from 'node:worker_threads';
import type { UnredactedContent } from '../record.ts';
import type { RedactionReply } from './redaction-worker.ts';

/** The most UTF-16 units that wait: 500 requests with 16 KB of prompt and of answer. */
const MAX_UNITS = 16 * 1024 * 1024;
const MAX_HEAP_MB = 192;

interface WaitingContent {
  readonly units: number;
  readonly done: (reply: RedactionReply) => void;
}

export class RedactionQueue {
  readonly #waiting: WaitingContent[] = [];
  #units = 0;
  #worker: Worker | undefined;
  #onEmpty: (() => void) | undefined;

  /** Calls `done` later. Returns false where there is no room. */
  add(content: UnredactedContent, done: WaitingContent['done']): boolean {
    const { units } = content;
    if (this.#units + units > MAX_UNITS) {
      return false;
    }
    this.#worker ??= this.#start();
    this.#worker.postMessage(content.transfer());
    this.#waiting.push({ units, done });
    this.#units += units;
    return true;
  }

  /** Waits for what is left, until the deadline. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        this.#onEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL('./redaction-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    });
    worker.unref();
    worker.on('message', (reply: RedactionReply) => this.#reply(reply));
    worker.on('error', () => {
      // The exit follows.
    });
    worker.on('exit', () => {
      this.#worker = undefined;
      while (this.#waiting.length > 0) {
        this.#reply(undefined);
      }
    });
    return worker;
  }

  #reply(reply: RedactionReply): void {
    const next = this.#waiting.shift();
    this.#units -= next?.units ?? 0;
    next?.done(reply);
    if (this.#waiting.length === 0) {
      this.#onEmpty?.();
    }
  }
}
