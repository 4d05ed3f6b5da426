/** Tells the controller which backends rest, when that has changed. */
import type { RestReport } from '../../contract/backend-rest.ts';

export interface RestOutboxOptions {
  readonly resting: () => readonly RestReport[];
  readonly send: (rests: readonly string[]) => void;
  readonly intervalMs?: number;
}

/** However often backends begin and end to rest in between. */
const INTERVAL_MS = 1_000;
/** About 60 KB. Those that concern every rule come first. */
const MAX_RESTS = 200;

export class RestOutbox {
  readonly #options: RestOutboxOptions;
  readonly #timer: NodeJS.Timeout;
  #sent = '';

  constructor(options: RestOutboxOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#report(), options.intervalMs ?? INTERVAL_MS).unref();
  }

  /** Sends everything on a new stream, which begins with nothing resting. */
  opened(): void {
    this.#sent = '';
    this.#report();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #report(): void {
    const rests = this.#options
      .resting()
      .slice(0, MAX_RESTS)
      .map((each) => JSON.stringify(each));
    const all = rests.join('\n');
    if (all !== this.#sent) {
      this.#sent = all;
      this.#options.send(rests);
    }
  }
}
