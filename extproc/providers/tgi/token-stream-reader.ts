/** Reads streams of tokens from Text Generation Inference. */
import { JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { EventFacts, ResponseOptions } from '../adapter.ts';
import type { LongEvent } from '../long-event.ts';
import { TemplatedReader } from '../templated-reader.ts';
import { TextFacts } from '../text-facts.ts';
import { below } from '../unary.ts';
import { unknownEvent } from '../unknown-text.ts';
import { largerUsage, numbersOf } from '../usage.ts';
import { TokenEvent } from './token-event.ts';
import { generationUsage } from './usage.ts';

/** What an event means for the client. Reused for each event of a stream. */
export class TokenEventFacts extends TextFacts implements EventFacts {
  token = false;
  /** The range of the details, from the start of the event; empty if there are none. */
  detailsStart = 0;
  detailsEnd = 0;
  /** Nothing follows the event. */
  ended = false;

  clear(): void {
    this.clearText();
    this.token = false;
    this.detailsStart = 0;
    this.detailsEnd = 0;
    this.ended = false;
  }

  kept(): TokenEventFacts {
    return Object.assign(new TokenEventFacts(), this);
  }
}

/** What the events of single tokens have in common. */
interface TokenForm {
  readonly textHole: number;
  readonly special: boolean;
}

const NO_FACTS = new TokenEventFacts();

export class TokenStreamReader extends TemplatedReader<TokenForm, TokenEventFacts> {
  readonly #facts = new TokenEventFacts();
  #sawToken = false;

  constructor(options: ResponseOptions) {
    super(options, NO_FACTS, LONG_SHAPE);
  }

  protected override readKnown(form: TokenForm, bytes: Uint8Array, start: number, sink: TextSink): TokenEventFacts {
    const { holeStarts, holeEnds } = this.templates!;
    const facts = this.#facts;
    facts.clear();
    const from = holeStarts[form.textHole] as number;
    const to = holeEnds[form.textHole] as number;
    this.#token(facts, bytes, from, to, sink);
    if (!form.special) {
      facts.setText(from, to, start);
    }
    return facts;
  }

  protected override readData(
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: TextSink,
  ): TokenEventFacts | undefined {
    const { data } = this;
    CURSOR.begin(data.bytes, data.start, data.end);
    if (!EVENT.read(CURSOR)) {
      return undefined;
    }
    if (EVENT.unknown) {
      unknownEvent(CURSOR, data, sink);
      return NO_FACTS;
    }
    return this.#take(bytes, start, end, sink);
  }

  protected override readLong({ found, saysNothing }: LongEvent): TokenEventFacts {
    const facts = this.#facts;
    facts.clear();
    this.usage = largerUsage(this.usage, generationUsage(below(numbersOf(found), 'details')));
    this.usageFinal = this.usage !== undefined;
    if (found.count('generated_text', 'string') > 0) {
      this.state = 'finished';
      facts.ended = true;
    } else if (saysNothing) {
      this.unreadable++;
    }
    return facts;
  }

  #take(bytes: Uint8Array, start: number, end: number, sink: TextSink): TokenEventFacts {
    const { data } = this;
    const facts = this.#facts;
    facts.clear();
    const hole = EVENT.holes[EVENT.textHole];
    if (hole !== undefined) {
      this.#token(facts, data.bytes, hole.start, hole.end, sink);
      if (!EVENT.special) {
        facts.setTextOf(data, hole.start, hole.end, start);
      }
    }
    // A server that sends no single tokens has sent no text before.
    if (EVENT.whole && !this.#sawToken) {
      this.#token(facts, data.bytes, EVENT.wholeStart, EVENT.wholeEnd, sink);
    }
    facts.ended = EVENT.failed || EVENT.last;
    if (EVENT.last) {
      this.#last(facts, start);
    } else if (EVENT.failed) {
      this.state = 'failed';
    } else if (data.inPlace && hole !== undefined && EVENT.details === undefined) {
      this.templates?.learn(bytes, start, end, EVENT.holes, { textHole: EVENT.textHole, special: EVENT.special });
    }
    return facts;
  }

  #last(facts: TokenEventFacts, start: number): void {
    this.state = 'finished';
    if (EVENT.details === undefined) {
      return;
    }
    this.usage = largerUsage(this.usage, generationUsage(EVENT.details));
    this.usageFinal = this.usage !== undefined;
    if (this.data.inPlace) {
      facts.detailsStart = EVENT.detailsStart - start;
      facts.detailsEnd = EVENT.detailsEnd - start;
    }
  }

  #token(facts: TokenEventFacts, bytes: Uint8Array, start: number, end: number, sink: TextSink): void {
    this.#sawToken = true;
    facts.token = true;
    if (end > start) {
      sink.text(0, bytes, start, end);
    }
  }
}

const VALUE: Shape = { value: true };

/** The whole text is repeated with the last token. */
const LONG_SHAPE: Shape = {
  object: {
    token: { object: { text: { text: true } } },
    generated_text: {},
    details: { object: { generated_tokens: VALUE, input_length: VALUE } },
  },
};

// Scratch objects, shared by all streams: events are read one at a time, and nothing is kept
// between calls.
const CURSOR = new JsonCursor();
const EVENT = new TokenEvent();
