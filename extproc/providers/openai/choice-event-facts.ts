/** What an event of a stream of choices means for the client. */
import type { EventFacts } from '../adapter.ts';
import type { ChunkHead } from './chunk.ts';

/** Reused for each event of a stream. */
export class ChoiceEventFacts implements EventFacts {
  /** The range of `"usage":null`, from the start of the event; empty if there is none. */
  nullUsageStart = 0;
  nullUsageEnd = 0;
  /** The event is a chunk that only the request for usage brings. */
  addedUsage = false;
  /** Absent for most events: deltas of choices that have begun. */
  change: ChoiceChange | undefined;

  kept(): ChoiceEventFacts {
    return Object.assign(new ChoiceEventFacts(), this);
  }
}

export interface ChoiceChange {
  /** Of the first chunk that has an id. */
  readonly head?: ChunkHead | undefined;
  readonly begun: readonly number[];
  readonly finished: readonly number[];
  /** The chunk reports the usage of the whole stream. */
  readonly usage: boolean;
  /** Nothing follows the event. */
  readonly ended: boolean;
}
