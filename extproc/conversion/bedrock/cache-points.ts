/**
 * Cache points, which Bedrock has as blocks after what they cache:
 * https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
 */
import type { CacheHint, JsonRecord } from '../conversation.ts';
import type { Losses } from '../losses.ts';
import type { ModelFamily } from './models.ts';

/** Of one request. */
const MAX_CACHE_POINTS = 4;

export class CachePoints {
  readonly #family: ModelFamily;
  readonly #losses: Losses;
  #left = MAX_CACHE_POINTS;

  constructor(family: ModelFamily, losses: Losses) {
    this.#family = family;
    this.#losses = losses;
  }

  /** Returns the blocks that follow a block with this hint: none or one. */
  after(hint: CacheHint | undefined): readonly JsonRecord[] {
    if (hint === undefined) {
      return [];
    }
    // Models without prompt caching refuse cache points.
    if (this.#family === 'other' || this.#left === 0) {
      this.#losses.hintOption('cache');
      return [];
    }
    this.#left--;
    const long = hint.lifetime === 'long' && this.#family === 'claude';
    return [{ cachePoint: { type: 'default', ...(long && { ttl: '1h' }) } }];
  }
}
