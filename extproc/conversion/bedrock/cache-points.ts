/**
 * Cache points, which Bedrock has as blocks after what they cache:
 * https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
 */
import type { CacheHint, JsonRecord } from '../conversation.ts';
import { recordOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import type { ModelFamily } from './models.ts';

/** Of one request. */
const MAX_CACHE_POINTS = 4;

export class CachePoints {
  readonly #family: ModelFamily;
  readonly #losses: Losses;
  #left = MAX_CACHE_POINTS;
  #hasShort = false;

  constructor(family: ModelFamily, losses: Losses) {
    this.#family = family;
    this.#losses = losses;
  }

  /**
   * Returns the blocks that follow a block with this hint: none or one. Expects calls in the order
   * in which prompts are cached: tools, system, messages.
   */
  after(hint: CacheHint | undefined, block: JsonRecord | undefined): readonly JsonRecord[] {
    if (hint === undefined) {
      return [];
    }
    if (this.#left === 0 || !this.#mayFollow(block)) {
      this.#losses.hintOption('cache');
      return [];
    }
    this.#left--;
    // The API refuses a longer lifetime after a shorter one.
    const long = hint.lifetime === 'long' && this.#family === 'claude' && !this.#hasShort;
    this.#hasShort ||= !long;
    if (hint.lifetime === 'long' && !long) {
      this.#losses.hintOption('cache');
    }
    return [{ cachePoint: { type: 'default', ...(long && { ttl: '1h' }) } }];
  }

  /** Adds a cache point to the end of a prompt, unless one is there. */
  end(content: JsonRecord[], hint: CacheHint | undefined): void {
    const last = content.findLastIndex((block) => this.#mayFollow(block));
    const block = content[last];
    if (block === undefined || !('cachePoint' in block)) {
      content.splice(last + 1, 0, ...this.after(hint, block));
    }
  }

  /** Models without prompt caching refuse cache points; so does Claude after some documents. */
  #mayFollow(block: JsonRecord | undefined): boolean {
    if (block === undefined) {
      return false;
    }
    switch (this.#family) {
      case 'claude': {
        const format = recordOf(block['document'])?.['format'];
        return format === undefined || format === 'pdf';
      }
      case 'nova':
        return !('toolSpec' in block);
      default:
        return false;
    }
  }
}
