/** A stage that refuses a word, for tests. */
import { type Failure, failure } from '../../errors.ts';
import type { ResponseStage, StageLimits } from './stage.ts';

export interface WordStageOptions {
  /** A response with this word is refused. */
  readonly word?: string;
  /** How many of the latest events wait. */
  readonly waiting?: number;
  /** The word is looked for once nothing follows. */
  readonly onlyAtEnd?: boolean;
  readonly limits?: Partial<StageLimits>;
  readonly withoutVerdict?: ResponseStage['withoutVerdict'];
}

export const WORD_REFUSED = failure('internal_error', 'The response contains the word.');
export const NO_VERDICT = failure('unreadable_answer', 'The response could not be checked.');

export class WordStage implements ResponseStage {
  readonly limits: StageLimits;
  readonly withoutVerdict: ResponseStage['withoutVerdict'];
  waiting: number;
  seen = '';
  readonly #word: string | undefined;
  readonly #onlyAtEnd: boolean;

  constructor({ word, waiting = 0, onlyAtEnd = false, limits, withoutVerdict = NO_VERDICT }: WordStageOptions) {
    this.#word = word;
    this.#onlyAtEnd = onlyAtEnd;
    this.waiting = waiting;
    this.limits = { heldEvents: 64, heldBytes: 65_536, bufferedBytes: 65_536, ...limits };
    this.withoutVerdict = withoutVerdict;
  }

  text(_channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.seen += Buffer.from(bytes.subarray(start, end)).toString();
  }

  event(): number | Failure {
    return (this.#onlyAtEnd ? undefined : this.end()) ?? this.waiting;
  }

  end(): Failure | undefined {
    return this.#word !== undefined && this.seen.includes(this.#word) ? WORD_REFUSED : undefined;
  }
}
