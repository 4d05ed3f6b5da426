/** What answers of a model on a route usually are: how long, for the first hold of a stream; how fast, for answers that nobody waited for. */

export interface EstimatorOptions {
  /** The first hold of a stream is never smaller or larger, in tokens. */
  readonly minHoldTokens: number;
  readonly maxHoldTokens: number;
  /** Model × route; the key that was not used for longest is forgotten. */
  readonly maxKeys: number;
}

export const estimatorDefaults: EstimatorOptions = { minHoldTokens: 16, maxHoldTokens: 1_024, maxKeys: 1_000 };

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

interface ModelStats {
  readonly weights: Float32Array;
  weight: number;
  /** Count of uses of all at its last use. */
  usedAt: number;
  tokensPerSecond: number;
}

export class OutputEstimator {
  readonly #options: EstimatorOptions;
  /** Its order is not that of use: taking an entry out and in again, with each answer, costs V8 dearly (see server/stream-table.ts). */
  readonly #stats = new Map<string, ModelStats>();
  #uses = 0;

  constructor(options: EstimatorOptions = estimatorDefaults) {
    this.#options = options;
  }

  /** An answer was whole: so many tokens, in so many milliseconds from the first to the last (0: not known). */
  observe(model: string, route: string, outputTokens: number, durationMs: number): void {
    const stats = this.#statsOf(model, route);
    if (stats.weight >= maxWeight) {
      stats.weight = 0;
      for (let cell = 0; cell < cells; cell++) {
        const halved = (stats.weights[cell] ?? 0) / 2;
        stats.weights[cell] = halved;
        stats.weight += halved;
      }
    }
    const cell = cellOf(outputTokens);
    stats.weights[cell] = (stats.weights[cell] ?? 0) + 1;
    stats.weight++;
    if (durationMs > 0 && outputTokens > 0) {
      stats.tokensPerSecond += newestShare * ((outputTokens * 1000) / durationMs - stats.tokensPerSecond);
    }
  }

  /** At least what nine of ten answers need (p90), within the bounds. */
  holdTokens(model: string, route: string): number {
    const { minHoldTokens, maxHoldTokens } = this.#options;
    const stats = this.#stats.get(statsKey(model, route));
    if (stats === undefined || stats.weight < fewAnswers) {
      return Math.min(firstHoldTokens, maxHoldTokens);
    }
    let below = 0;
    let cell = 0;
    while (cell < cells - 1) {
      below += stats.weights[cell] ?? 0;
      if (below >= 0.9 * stats.weight) {
        break;
      }
      cell++;
    }
    return Math.min(maxHoldTokens, Math.max(minHoldTokens, topOf(cell)));
  }

  tokensPerSecond(model: string, route: string): number {
    return this.#stats.get(statsKey(model, route))?.tokensPerSecond ?? firstTokensPerSecond;
  }

  get keys(): number {
    return this.#stats.size;
  }

  #statsOf(model: string, route: string): ModelStats {
    const key = statsKey(model, route);
    let stats = this.#stats.get(key);
    if (stats === undefined) {
      stats = { weights: new Float32Array(cells), weight: 0, usedAt: 0, tokensPerSecond: firstTokensPerSecond };
      if (this.#stats.size >= this.#options.maxKeys) {
        this.#forgetOldest();
      }
      this.#stats.set(key, stats);
    }
    stats.usedAt = ++this.#uses;
    return stats;
  }

  #forgetOldest(): void {
    let oldest: string | undefined;
    let usedAt = Number.POSITIVE_INFINITY;
    for (const [key, stats] of this.#stats) {
      if (stats.usedAt < usedAt) {
        usedAt = stats.usedAt;
        oldest = key;
      }
    }
    if (oldest !== undefined) {
      this.#stats.delete(oldest);
    }
  }
}

/** A model's name comes from a client and may be long; the start tells models apart well enough for an estimate. */
function statsKey(model: string, route: string): string {
  return `${route} ${model.slice(0, 128)}`;
}

function cellOf(tokens: number): number {
  return tokens <= 1 ? 0 : Math.min(cells - 1, Math.ceil(2 * Math.log2(tokens)));
}

function topOf(cell: number): number {
  return Math.ceil(2 ** (cell / 2));
}
