/** Reads streams of tokens from Text Generation Inference. */
import type { Failure } from '../../errors.ts';
import { JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerOptions, EventVerdict, StreamReader } from '../adapter.ts';
import { EventData } from '../event.ts';
import { KeptBudget, KeptText } from '../kept-text.ts';
import { LongEvent } from '../long-event.ts';
import { EventTemplates } from '../template.ts';
import { below } from '../unary.ts';
import { foreignBytes, unknownEvent, unreadableData } from '../unknown-text.ts';
import { largerUsage, numbersOf } from '../usage.ts';
import { tgiError } from './errors.ts';
import { TokenEvent } from './token-event.ts';
import { generationUsage } from './usage.ts';

interface TokenFacts {
  readonly textHole: number;
  readonly special: boolean;
}

export class TokenStream implements StreamReader {
  replacement: Uint8Array = NOTHING;
  usage: Usage | undefined;
  usageFinal = false;
  state: StreamReader['state'] = 'open';
  readonly responseModel = undefined;
  unreadable = 0;
  readonly #hideUsage: boolean;
  readonly #templates: EventTemplates<TokenFacts> | undefined;
  readonly #data = new EventData();
  readonly #text = new KeptText(new KeptBudget());
  #tokens = 0;
  #long: LongEvent | undefined;
  /** Length of the text before the last event: a stream may be cut in place of it. */
  #textLengthBefore = 0;

  constructor(options: AnswerOptions) {
    this.#hideUsage = options.hideUsage;
    this.#templates = options.templates === false ? undefined : new EventTemplates();
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): EventVerdict {
    this.#textLengthBefore = this.#text.length;
    const templates = this.#templates;
    const facts = templates?.match(bytes, start, end);
    if (facts !== undefined && templates !== undefined) {
      const from = templates.holeStarts[facts.textHole] as number;
      this.#token(bytes, from, templates.holeEnds[facts.textHole] as number, facts.special, sink);
      return 'pass';
    }
    if (!this.#data.find(bytes, start, end)) {
      if (foreignBytes(bytes, start, end, sink)) {
        this.unreadable++;
      }
      return 'pass';
    }
    CURSOR.begin(this.#data.bytes, this.#data.start, this.#data.end);
    if (!EVENT.read(CURSOR)) {
      if (unreadableData(this.#data, sink)) {
        this.unreadable++;
      }
      return 'pass';
    }
    if (!EVENT.unknown) {
      return this.#take(bytes, start, end, sink);
    }
    unknownEvent(CURSOR, this.#data, sink);
    return 'pass';
  }

  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): void {
    this.#textLengthBefore = this.#text.length;
    this.#long ??= new LongEvent(LONG_SHAPE);
    this.#long.push(bytes, start, end, sink);
    if (!ends) {
      return;
    }
    const { found, saysNothing } = this.#long;
    this.usage = largerUsage(this.usage, generationUsage(below(numbersOf(found), 'details')));
    this.usageFinal = this.usage !== undefined;
    if (found.count('generated_text', 'string') > 0) {
      this.state = 'finished';
    } else if (saysNothing) {
      this.unreadable++;
    }
    this.#long.release();
    this.#long = undefined;
  }

  cut(usage: Usage, lastSent = false): Uint8Array {
    if (!lastSent) {
      this.#text.truncate(this.#textLengthBefore);
    }
    if (this.state !== 'open' && lastSent) {
      return NOTHING;
    }
    return event({
      index: Math.max(1, this.#tokens + (lastSent ? 1 : 0)),
      // Clients do not show special tokens, and every event must have a token.
      token: { id: 0, text: '', logprob: 0, special: true },
      generated_text: this.#text.toString(),
      details: { finish_reason: 'length', generated_tokens: usage.output, seed: null, input_length: usage.input },
    });
  }

  fail(failure: Failure): Uint8Array {
    return event(tgiError(failure));
  }

  #take(bytes: Uint8Array, start: number, end: number, sink: TextSink): EventVerdict {
    const { inPlace } = this.#data;
    const hole = EVENT.holes[EVENT.textHole];
    if (hole !== undefined) {
      this.#token(this.#data.bytes, hole.start, hole.end, EVENT.special, sink);
    }
    // A server that sends no single tokens has sent no text before.
    if (EVENT.whole && this.#tokens === 0) {
      this.#token(this.#data.bytes, EVENT.wholeStart, EVENT.wholeEnd, true, sink);
    }
    if (EVENT.failed) {
      this.state = 'failed';
    }
    if (!EVENT.last) {
      if (inPlace && hole !== undefined && !EVENT.failed && EVENT.details === undefined) {
        this.#templates?.learn(bytes, start, end, EVENT.holes, { textHole: EVENT.textHole, special: EVENT.special });
      }
      return 'pass';
    }
    this.state = 'finished';
    if (EVENT.details === undefined) {
      return 'pass';
    }
    this.usage = largerUsage(this.usage, generationUsage(EVENT.details));
    this.usageFinal = this.usage !== undefined;
    if (!this.#hideUsage || !inPlace) {
      return 'pass';
    }
    this.replacement = Buffer.concat([
      bytes.subarray(start, EVENT.detailsStart),
      NULL,
      bytes.subarray(EVENT.detailsEnd, end),
    ]);
    return 'replace';
  }

  #token(bytes: Uint8Array, start: number, end: number, special: boolean, sink: TextSink): void {
    this.#tokens++;
    if (end === start) {
      return;
    }
    sink.text(0, bytes, start, end);
    if (!special) {
      this.#text.add(bytes, start, end);
    }
  }
}

const NOTHING = new Uint8Array(0);

const VALUE: Shape = { value: true };

/** The whole text is repeated with the last token. */
const LONG_SHAPE: Shape = {
  object: {
    token: { object: { text: { text: true } } },
    generated_text: {},
    details: { object: { generated_tokens: VALUE, input_length: VALUE } },
  },
};
const NULL = Buffer.from('null');

// Scratch objects, shared by all streams: events are read one at a time, and nothing is kept
// between calls.
const CURSOR = new JsonCursor();
const EVENT = new TokenEvent();

function event(data: object): Uint8Array {
  return Buffer.from(`data:${JSON.stringify(data)}\n\n`);
}
