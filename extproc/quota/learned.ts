/** What answers of a model on a route usually are: how long, for the first hold of a stream; how fast, for answers that nobody waited for. */

export interface LearnedOptions {
  /** The first hold of a stream is never smaller or larger, in tokens. */
  readonly minHoldTokens: number;
  readonly maxHoldTokens: number;
  /** Model × route; the key that was not used for longest is forgotten. */
  readonly maxKeys: number;
}

export const learnedDefaults: LearnedOptions = { minHoldTokens: 16, maxHoldTokens: 1_024, maxKeys: 1_000 };

/** What holds until a few answers have been seen. */
const firstHoldTokens = 256;
const firstTokensPerSecond = 60;
const fewAnswers = 5;

/** Cells of the histogram: two for each power of 2, up to 2^20 tokens. */
const cells = 41;

/** Past so much weight all weights are halved: the last few hundred answers count. */
const maxWeight = 256;

/** Weight of the newest answer in the mean rate. */
const newestShare = 0.1;

interface Habit {
  readonly weights: Float32Array;
  weight: number;
  /** Count of uses of all at its last use. */
  usedAt: number;
  tokensPerSecond: number;
}

export class Learned {
  readonly #options: LearnedOptions;
  /** Its order is not that of use: taking an entry out and in again, with each answer, costs V8 dearly (see server/stream-table.ts). */
  readonly #habits = new Map<string, Habit>();
  #uses = 0;

  constructor(options: LearnedOptions = learnedDefaults) {
    this.#options = options;
  }

  /** An answer was whole: so many tokens, in so many milliseconds from the first to the last (0: not known). */
  observe(model: string, route: string, outputTokens: number, durationMs: number): void {
    const habit = this.#habit(model, route);
    if (habit.weight >= maxWeight) {
      habit.weight = 0;
      for (let cell = 0; cell < cells; cell++) {
        const halved = (habit.weights[cell] ?? 0) / 2;
        habit.weights[cell] = halved;
        habit.weight += halved;
      }
    }
    const cell = cellOf(outputTokens);
    habit.weights[cell] = (habit.weights[cell] ?? 0) + 1;
    habit.weight++;
    if (durationMs > 0 && outputTokens > 0) {
      habit.tokensPerSecond += newestShare * ((outputTokens * 1000) / durationMs - habit.tokensPerSecond);
    }
  }

  /** At least what nine of ten answers need (p90), within the bounds. */
  holdTokens(model: string, route: string): number {
    const { minHoldTokens, maxHoldTokens } = this.#options;
    const habit = this.#habits.get(habitKey(model, route));
    if (habit === undefined || habit.weight < fewAnswers) {
      return Math.min(firstHoldTokens, maxHoldTokens);
    }
    let below = 0;
    let cell = 0;
    while (cell < cells - 1) {
      below += habit.weights[cell] ?? 0;
      if (below >= 0.9 * habit.weight) {
        break;
      }
      cell++;
    }
    return Math.min(maxHoldTokens, Math.max(minHoldTokens, topOf(cell)));
  }

  tokensPerSecond(model: string, route: string): number {
    return this.#habits.get(habitKey(model, route))?.tokensPerSecond ?? firstTokensPerSecond;
  }

  get keys(): number {
    return this.#habits.size;
  }

  #habit(model: string, route: string): Habit {
    const key = habitKey(model, route);
    let habit = this.#habits.get(key);
    if (habit === undefined) {
      habit = { weights: new Float32Array(cells), weight: 0, usedAt: 0, tokensPerSecond: firstTokensPerSecond };
      if (this.#habits.size >= this.#options.maxKeys) {
        this.#forgetOldest();
      }
      this.#habits.set(key, habit);
    }
    habit.usedAt = ++this.#uses;
    return habit;
  }

  #forgetOldest(): void {
    let oldest: string | undefined;
    let usedAt = Number.POSITIVE_INFINITY;
    for (const [key, habit] of this.#habits) {
      if (habit.usedAt < usedAt) {
        usedAt = habit.usedAt;
        oldest = key;
      }
    }
    if (oldest !== undefined) {
      this.#habits.delete(oldest);
    }
  }
}

/** A model's name comes from a client and may be long; the start tells models apart well enough for an estimate. */
function habitKey(model: string, route: string): string {
  return `${route} ${model.slice(0, 128)}`;
}

function cellOf(tokens: number): number {
  return tokens <= 1 ? 0 : Math.min(cells - 1, Math.ceil(2 * Math.log2(tokens)));
}

function topOf(cell: number): number {
  return Math.ceil(2 ** (cell / 2));
}
