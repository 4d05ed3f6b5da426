/** What an event of a responses stream means for the client. */
import type { EventFacts } from '../adapter.ts';
import { TextFacts } from '../text-facts.ts';
import type { RawJson } from './response-event.ts';
import type { ItemPosition } from './response-items.ts';

/** Reused for each event of a stream. */
export class ResponseEventFacts extends TextFacts implements EventFacts {
  /** The event's sequence number; -1: none. */
  sequence = -1;
  /** Where the text belongs. The same object for all events of one form. */
  delta: DeltaPosition | undefined;
  change: ResponseChange | undefined;

  clear(): void {
    this.clearText();
    this.sequence = -1;
    this.delta = undefined;
    this.change = undefined;
  }

  kept(): ResponseEventFacts {
    return Object.assign(new ResponseEventFacts(), this);
  }
}

export interface DeltaPosition extends ItemPosition {
  readonly of: 'content' | 'summary' | 'input';
}

export type ResponseChange =
  | { readonly type: 'created'; readonly response: RawJson | undefined }
  | { readonly type: 'item-added' | 'item-done' | 'input-done'; readonly place: ItemPosition }
  | {
      readonly type: 'part-added' | 'part-done' | 'text-done';
      readonly place: ItemPosition;
      readonly summary: boolean;
    }
  | { readonly type: 'ended' };
