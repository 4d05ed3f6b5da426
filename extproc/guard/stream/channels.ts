/** The channels of a response: which texts are still open, and what happens once a rule blocks. */
import type { RequestGuard } from '../guard.ts';
import type { ResponseText, ResponseTexts } from '../text/responses/response-texts.ts';
import type { ChannelKind, EditedText } from './edited-text.ts';
import type { HeldText } from './held-text.ts';
import { textRemoved } from './without-text.ts';

/** A text that something looks at, and decides at once or later. */
export interface GuardedText extends EditedText {
  /** Whether nothing has to be looked at. */
  readonly isFree: boolean;
  /** Decides the rest: nothing follows. */
  end(): void;
  /** Whether what is not decided may be taken out of its event. */
  readonly mayWithhold: boolean;
  /** Decides what there is, although more may follow; false where a closed rule forbids it. */
  release(): boolean;
}

export type NewText = (kind: ChannelKind) => GuardedText;

interface OpenChannel {
  readonly channel: GuardedText;
  readonly choice: string;
  /** The text went on after it had been released as if it was over. */
  resumed: boolean;
  released: boolean;
}

/** A response has a few channels a choice; a hostile one may name any number. */
const MAX_CHANNELS = 4096;

export class Channels {
  readonly #guard: RequestGuard;
  readonly #newText: NewText;
  readonly #open = new Map<string, OpenChannel>();
  /** Texts that are complete and not decided, because an answer is missing. */
  #ended: GuardedText[] = [];
  /** Events for text that has no other any more; whoever sends them empties the list. */
  readonly carriers: HeldText[] = [];

  constructor(guard: RequestGuard, newText: NewText) {
    this.#guard = guard;
    this.#newText = newText;
  }

  /** Adds the texts of an event or a document. Yields the units of each step. */
  *take(held: HeldText, texts: ResponseTexts): Generator<number, void> {
    for (const [place, text] of texts.texts.entries()) {
      yield* text.whole ? this.#takeWhole(held, text) : this.#takePart(held, text);
      if (this.#guard.block !== undefined) {
        held.edits.push(...textRemoved(texts.texts.slice(place + 1)));
        return;
      }
    }
    this.#end(texts);
  }

  /** Decides everything: nothing follows. */
  end(): void {
    for (const [name, { channel }] of this.#open) {
      this.#carryOn(channel);
      this.#endText(channel);
      this.#open.delete(name);
    }
  }

  /** Removes all text that is not decided. */
  drop(): void {
    for (const { channel } of this.#open.values()) {
      channel.drop();
    }
    this.#open.clear();
    for (const text of this.#ended) {
      text.drop();
    }
    this.#ended = [];
  }

  #carryOn(text: GuardedText): void {
    const carrier = this.#guard.block === undefined ? text.carryOn() : undefined;
    if (carrier !== undefined) {
      this.carriers.push(carrier);
    }
  }

  #endText(text: GuardedText): void {
    if (this.#guard.block === undefined) {
      text.end();
    }
    if (!text.isDecided) {
      this.#ended = [...this.#ended.filter(({ isDecided }) => !isDecided), text];
    }
  }

  /** Lets go of an event that may wait no longer. Returns false where a closed rule forbids it. */
  release(held: HeldText): boolean {
    let isReleased = true;
    for (const { channel } of this.#open.values()) {
      if (this.#guard.block === undefined && channel.holds(held)) {
        isReleased = ((channel.mayWithhold && channel.withhold(held)) || channel.release()) && isReleased;
      }
    }
    return isReleased;
  }

  *#takeWhole(held: HeldText, text: ResponseText): Generator<number, void> {
    const channel = this.#newText(text);
    if (!channel.isFree) {
      yield* channel.append(held, text);
      this.#endText(channel);
    }
  }

  *#takePart(held: HeldText, text: ResponseText): Generator<number, void> {
    let open = this.#open.get(text.channel);
    if (open === undefined) {
      if (this.#open.size >= MAX_CHANNELS) {
        yield* this.#takeWhole(held, text);
        return;
      }
      open = { channel: this.#newText(text), choice: text.choice, resumed: false, released: false };
      this.#open.set(text.channel, open);
    }
    if (open.channel.isFree) {
      return;
    }
    open.resumed ||= open.released;
    this.#releaseOthers(text);
    yield* open.channel.append(held, text);
  }

  /**
   * A model that begins to write for another purpose has finished what it wrote before, but not all
   * APIs say so. What goes on nevertheless is not released early again.
   */
  #releaseOthers({ choice, scope }: ResponseText): void {
    for (const open of this.#open.values()) {
      const { channel } = open;
      if (open.choice === choice && channel.kind.scope !== scope && !channel.isDecided && !open.resumed) {
        open.released = true;
        channel.release();
      }
    }
  }

  #end({ endedChannel, endedChoices, begunBlock, endsAll }: ResponseTexts): void {
    if (endedChannel === undefined && endedChoices.length === 0 && begunBlock === undefined && !endsAll) {
      return;
    }
    for (const [name, open] of this.#open) {
      const isOver = begunBlock !== undefined && !(begunBlock === 'text' && open.channel.kind.scope === 'assistant');
      if (endsAll || isOver || name === endedChannel || endedChoices.includes(open.choice)) {
        this.#carryOn(open.channel);
        this.#endText(open.channel);
        this.#open.delete(name);
      }
    }
  }
}
