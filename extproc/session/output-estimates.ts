/**
 * Estimates, from earlier responses of a model on a route, how long a response will be (for the
 * first hold of a stream) and how fast tokens are made (for responses that nobody read).
 */
import type { EstimateKey } from '../record.ts';

/** Estimates learned from earlier responses. */
export interface OutputEstimates {
  /** Returns the output tokens of the first hold of a stream. */
  holdTokens(...key: EstimateKey): number;
  /** Returns the usual speed of responses. */
  tokensPerSecond(...key: EstimateKey): number;
}

export interface EstimatorOptions {
  /** The bounds of the first hold of a stream, in tokens. */
  readonly minHoldTokens: number;
  readonly maxHoldTokens: number;
  /** Pairs of model and route; past it, the least recently used pair is dropped. */
  readonly maxKeys: number;
}

export const estimatorDefaults: EstimatorOptions = { minHoldTokens: 16, maxHoldTokens: 1_024, maxKeys: 1_000 };

/** The estimates until MIN_RESPONSES responses have been seen. */
const INITIAL_HOLD_TOKENS = 256;
const INITIAL_TOKENS_PER_SECOND = 60;
const MIN_RESPONSES = 5;

/** Cells of the histogram: two per power of 2, up to 2^20 tokens. */
const CELLS = 41;

/**
 * When the total reaches this weight, all weights are halved, so that the last few hundred
 * responses count.
 */
const MAX_WEIGHT = 256;

/**
 * The fastest rate that a response teaches. The fastest hosted models make about 3,000 tokens a
 * second; responses from a cache arrive at once, and their rate says nothing about what a model
 * makes.
 */
const MAX_TOKENS_PER_SECOND = 5_000;

/** The weight of the newest response in the mean rate. */
const NEWEST_WEIGHT = 0.1;

interface ModelStats {
  readonly weights: Float32Array;
  weight: number;
  /** The value of the use counter at the last use. */
  usedAt: number;
  tokensPerSecond: number;
}

export class OutputEstimator {
  readonly #options: EstimatorOptions;
  /**
   * Not in LRU order: deleting and reinserting on every response is expensive in V8 (see
   * runtime/integer-table.ts).
   */
  readonly #stats = new Map<string, ModelStats>();
  #uses = 0;

  constructor(options: EstimatorOptions = estimatorDefaults) {
    this.#options = options;
  }

  /**
   * Records a complete response; `durationMs` is the time from the first to the last token, 0 if
   * unknown.
   */
  observe(model: string, route: string, outputTokens: number, durationMs: number): void {
    const stats = this.#statsOf(model, route);
    if (stats.weight >= MAX_WEIGHT) {
      stats.weight = 0;
      for (let cell = 0; cell < CELLS; cell++) {
        const halved = (stats.weights[cell] ?? 0) / 2;
        stats.weights[cell] = halved;
        stats.weight += halved;
      }
    }
    const cell = cellOf(outputTokens);
    stats.weights[cell] = (stats.weights[cell] ?? 0) + 1;
    stats.weight++;
    if (durationMs > 0 && outputTokens > 0) {
      const rate = Math.min(MAX_TOKENS_PER_SECOND, (outputTokens * 1000) / durationMs);
      stats.tokensPerSecond += NEWEST_WEIGHT * (rate - stats.tokensPerSecond);
    }
  }

  /** Returns the length that 9 of 10 responses keep to (p90), within the bounds. */
  holdTokens(model: string, route: string): number {
    const { minHoldTokens, maxHoldTokens } = this.#options;
    const stats = this.#stats.get(statsKey(model, route));
    if (stats === undefined || stats.weight < MIN_RESPONSES) {
      return Math.min(INITIAL_HOLD_TOKENS, maxHoldTokens);
    }
    let below = 0;
    let cell = 0;
    while (cell < CELLS - 1) {
      below += stats.weights[cell] ?? 0;
      if (below >= 0.9 * stats.weight) {
        break;
      }
      cell++;
    }
    return Math.min(maxHoldTokens, Math.max(minHoldTokens, topOf(cell)));
  }

  tokensPerSecond(model: string, route: string): number {
    return this.#stats.get(statsKey(model, route))?.tokensPerSecond ?? INITIAL_TOKENS_PER_SECOND;
  }

  get keys(): number {
    return this.#stats.size;
  }

  #statsOf(model: string, route: string): ModelStats {
    const key = statsKey(model, route);
    let stats = this.#stats.get(key);
    if (stats === undefined) {
      stats = { weights: new Float32Array(CELLS), weight: 0, usedAt: 0, tokensPerSecond: INITIAL_TOKENS_PER_SECOND };
      if (this.#stats.size >= this.#options.maxKeys) {
        this.#dropLeastRecent();
      }
      this.#stats.set(key, stats);
    }
    stats.usedAt = ++this.#uses;
    return stats;
  }

  #dropLeastRecent(): void {
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

/**
 * Truncates the name, which comes from a client: its start distinguishes models well enough for an
 * estimate.
 */
function statsKey(model: string, route: string): string {
  return `${route} ${model.slice(0, 128)}`;
}

function cellOf(tokens: number): number {
  return tokens <= 1 ? 0 : Math.min(CELLS - 1, Math.ceil(2 * Math.log2(tokens)));
}

function topOf(cell: number): number {
  return Math.ceil(2 ** (cell / 2));
}
