import type { RestCause } from '../../contract/backend-rest.ts';

export interface Rest {
  readonly forMs: number;
  readonly untilMs: number;
  readonly cause: RestCause;
}

/** What rests, by key, and until when. The policy bounds the number of keys. */
export class RestTable {
  readonly #rests = new Map<string, Rest>();

  /** Begins a rest, unless one that ends later has begun. */
  begin(key: string, forMs: number, nowMs: number, cause: RestCause): void {
    const untilMs = nowMs + forMs;
    if (untilMs > (this.#rests.get(key)?.untilMs ?? 0)) {
      this.#rests.set(key, { forMs, untilMs, cause });
    }
  }

  get isEmpty(): boolean {
    return this.#rests.size === 0;
  }

  of(key: string, nowMs: number): Rest | undefined {
    const rest = this.#rests.get(key);
    if (rest === undefined || isUnderway(rest, nowMs)) {
      return rest;
    }
    this.#rests.delete(key);
    return undefined;
  }

  /** Returns all rests that have not ended, with their keys. */
  all(nowMs: number): readonly (readonly [key: string, rest: Rest])[] {
    return [...this.#rests].filter(([, rest]) => isUnderway(rest, nowMs));
  }

  keepOnly(isKept: (key: string) => boolean): void {
    for (const key of this.#rests.keys()) {
      if (!isKept(key)) {
        this.#rests.delete(key);
      }
    }
  }
}

/** If the clock was ahead, the end is too far in the future to be true. */
export function isUnderway({ forMs, untilMs }: Pick<Rest, 'forMs' | 'untilMs'>, nowMs: number): boolean {
  return untilMs > nowMs && untilMs <= nowMs + forMs;
}
