/**
 * The admissions and extensions that wait for answers of the shared store. Admissions wait in the
 * order of their arrival, each in the line of one window. An answer looks at the head only, until
 * one does not fit, so that a burst costs each admission O(1).
 */
import type { Cancel } from '../store.ts';
import type { AttemptLine, Short, Shortage, StoreAttempt } from './attempt.ts';

/** How often what waits asks again while the shared store has too little. */
const POLL_MS = 25;

export interface AttemptOptions {
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
  readonly maxWaiting: number;
  /** Receives what the callback of a waiting session threw. */
  readonly onError: (error: unknown) => void;
}

export class AttemptQueues {
  readonly #options: AttemptOptions;
  #waiting = 0;
  /** Lines with attempts. */
  readonly #lines = new Set<AttemptLine>();

  constructor(options: AttemptOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#waiting >= this.#options.maxWaiting;
  }

  /** Queues an admission, which is decided after `waitMs` at the latest. */
  wait(attempt: StoreAttempt, place: Short, waitMs: number): void {
    this.#begin(attempt, waitMs);
    this.#put(attempt, place);
  }

  /** Lets an extension wait for the next answer for any of the windows. */
  waitToExtend(attempt: StoreAttempt, places: readonly Short[], waitMs: number): void {
    this.#begin(attempt, waitMs);
    this.#putExtension(attempt, places);
  }

  cancel(attempt: StoreAttempt): void {
    const line = attempt.place?.line;
    if (!attempt.isOver) {
      this.#end(attempt);
      if (line !== undefined) {
        this.#advance(line);
      }
    }
  }

  /** Decides what can be decided now that a window has an answer. */
  answered(line: AttemptLine): void {
    const { extensions } = line;
    line.extensions = [];
    for (const attempt of extensions) {
      if (attempt.isOver) {
        continue;
      }
      const shortage = attempt.look();
      if (Array.isArray(shortage)) {
        this.#putExtension(attempt, shortage);
      } else {
        this.#decide(attempt, shortage);
      }
    }
    this.#advance(line);
  }

  /** Decides everything that waits, with what there is. */
  decideAll(): void {
    for (const line of [...this.#lines]) {
      line.isAdvancing = true;
      for (const attempt of line.extensions) {
        this.#decide(attempt, 'decide');
      }
      for (let { first } = line.queue; first !== undefined; first = line.queue.first) {
        this.#decide(first, 'decide');
      }
      this.#forget(line);
    }
  }

  close(): void {
    for (const line of this.#lines) {
      for (const attempt of line.extensions) {
        attempt.cancelTimer?.();
      }
      for (let { first } = line.queue; first !== undefined; first = first.next) {
        first.cancelTimer?.();
      }
      this.#forget(line);
    }
  }

  #begin(attempt: StoreAttempt, waitMs: number): void {
    this.#waiting++;
    attempt.cancelTimer = this.#options.schedule(waitMs, () => {
      const line = attempt.place?.line;
      this.#decide(attempt, 'decide');
      if (line !== undefined) {
        this.#advance(line);
      }
    });
  }

  #put(attempt: StoreAttempt, place: Short): void {
    attempt.place = place;
    place.line.queue.put(attempt);
    place.line.queuedUnits += place.units;
    this.#watch(place.line);
  }

  #putExtension(attempt: StoreAttempt, places: readonly Short[]): void {
    for (const { line } of places) {
      if (!line.extensions.includes(attempt)) {
        line.extensions.push(attempt);
      }
      this.#watch(line);
    }
  }

  /** Answers the heads of a queue until one does not fit. */
  #advance(line: AttemptLine): void {
    if (line.isAdvancing) {
      return;
    }
    line.isAdvancing = true;
    for (let { first } = line.queue; first !== undefined; first = line.queue.first) {
      const shortage = first.look();
      if (!Array.isArray(shortage)) {
        this.#decide(first, shortage);
        continue;
      }
      const places: readonly Short[] = shortage;
      if (places.some((place) => place.line === line)) {
        break;
      }
      this.#take(first);
      this.#put(first, places[0]!);
    }
    line.isAdvancing = false;
    if (line.isEmpty) {
      this.#forget(line);
    }
  }

  #watch(line: AttemptLine): void {
    this.#lines.add(line);
    line.cancelPoll ??= this.#options.schedule(POLL_MS, () => {
      line.cancelPoll = undefined;
      this.answered(line);
      if (!line.isEmpty) {
        this.#watch(line);
      }
    });
  }

  #forget(line: AttemptLine): void {
    this.#lines.delete(line);
    line.cancelPoll?.();
    line.cancelPoll = undefined;
  }

  #decide(attempt: StoreAttempt, shortage: Shortage): void {
    if (attempt.isOver) {
      return;
    }
    this.#end(attempt);
    try {
      attempt.decide(shortage);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #end(attempt: StoreAttempt): void {
    attempt.isOver = true;
    attempt.cancelTimer?.();
    this.#waiting--;
    this.#take(attempt);
  }

  /** Removes an admission from its queue. */
  #take(attempt: StoreAttempt): void {
    const { place } = attempt;
    if (place !== undefined) {
      place.line.queue.remove(attempt);
      place.line.queuedUnits -= place.units;
      attempt.place = undefined;
    }
  }
}
