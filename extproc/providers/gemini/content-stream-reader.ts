/**
 * Reads streams of generateContent. No event ends a stream of this API: a stream is complete when
 * all candidates say why they end.
 */
import { JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { EventFacts, RequestFacts, ResponseOptions } from '../adapter.ts';
import { withReason } from '../finish-reasons.ts';
import type { LongEvent } from '../long-event.ts';
import { TemplatedReader } from '../templated-reader.ts';
import { unknownEvent } from '../unknown-text.ts';
import { largerUsage } from '../usage.ts';
import { ContentEvent, candidateIndex, isReason } from './content-event.ts';
import { GEMINI_USAGE_SHAPE, geminiUsage, scannedGeminiTier, scannedGeminiUsage } from './usage.ts';

/** What an event changes for the end of the stream. */
export class ContentEventFacts implements EventFacts {
  /** Candidates that end with this event. */
  readonly finished: readonly number[];
  /** The names of response and model, of the first event. */
  readonly head: ContentHead | undefined;
  /** The stream ends here, whatever candidates are open. */
  readonly ends: boolean;

  constructor(finished: readonly number[], head: ContentHead | undefined, ends: boolean) {
    this.finished = finished;
    this.head = head;
    this.ends = ends;
  }

  kept(): ContentEventFacts {
    return this;
  }
}

export interface ContentHead {
  readonly responseId: string;
  readonly modelVersion: string;
}

const NO_FACTS = new ContentEventFacts([], undefined, false);

/** Events differ in usage and safety from each other, so none has a template. */
export class ContentStreamReader extends TemplatedReader<never, ContentEventFacts> {
  readonly #open: Set<number>;
  #hasHead = false;

  constructor({ choices }: RequestFacts, options: ResponseOptions) {
    super({ ...options, templates: false }, NO_FACTS, LONG_SHAPE);
    this.#open = new Set(Array.from({ length: choices }, (_, index) => index));
  }

  protected override readKnown(): ContentEventFacts {
    return NO_FACTS;
  }

  protected override readData(
    _bytes: Uint8Array,
    _start: number,
    _end: number,
    sink: TextSink,
  ): ContentEventFacts | undefined {
    const { data } = this;
    CURSOR.begin(data.bytes, data.start, data.end);
    if (!EVENT.read(CURSOR)) {
      return undefined;
    }
    if (isUnknown(EVENT)) {
      unknownEvent(CURSOR, data, sink);
      return NO_FACTS;
    }
    for (const { start, end, channel } of EVENT.holes) {
      if (end > start) {
        sink.text(channel, data.bytes, start, end);
      }
    }
    if (EVENT.usage !== undefined) {
      this.usage = largerUsage(this.usage, geminiUsage(EVENT.usage));
      this.serviceTier = EVENT.serviceTier ?? this.serviceTier;
    }
    return this.#take();
  }

  protected override readLong({ found, saysNothing }: LongEvent): ContentEventFacts {
    const usage = scannedGeminiUsage(found);
    const reasons = found.all('candidates[].finishReason').filter(({ value }) => isReason(value));
    if (saysNothing && usage === undefined && found.count('candidates') === 0) {
      this.unreadable++;
    }
    EVENT.clear();
    EVENT.failed = found.count('error', 'object') > 0;
    this.usage = largerUsage(this.usage, usage);
    this.serviceTier = scannedGeminiTier(found) ?? this.serviceTier;
    const indices = new Map(found.all('candidates[].index').map(({ element, value }) => [element, value]));
    EVENT.finished.push(...reasons.map(({ element }) => candidateIndex(indices.get(element))));
    EVENT.reasons.push(...reasons.map(({ value }) => String(value)));
    return this.#take();
  }

  #take(): ContentEventFacts {
    const { finished, blocked, failed } = EVENT;
    for (const index of finished) {
      this.#open.delete(index);
    }
    for (const reason of EVENT.reasons) {
      this.finishReasons = withReason(this.finishReasons, reason);
    }
    if (failed) {
      this.state = 'failed';
    } else if (this.state === 'open' && (this.#open.size === 0 || blocked)) {
      this.state = 'finished';
    }
    this.usageFinal = this.state === 'finished' && this.usage !== undefined;
    const head = this.#head();
    const ends = failed || blocked;
    return finished.length === 0 && head === undefined && !ends
      ? NO_FACTS
      : new ContentEventFacts([...finished], head, ends);
  }

  #head(): ContentHead | undefined {
    if (this.#hasHead || (EVENT.model === '' && EVENT.responseId === '')) {
      return undefined;
    }
    this.#hasHead = true;
    this.responseId = EVENT.responseId || undefined;
    this.responseModel = EVENT.model || undefined;
    return { responseId: EVENT.responseId, modelVersion: EVENT.model };
  }
}

/** Whether nothing of the API is in an event. */
function isUnknown({ holes, finished, usage, model, responseId, blocked, failed }: ContentEvent): boolean {
  const isKnown = holes.length > 0 || finished.length > 0 || usage !== undefined;
  return !isKnown && model === '' && responseId === '' && !blocked && !failed;
}

const VALUE: Shape = { value: true };
const TEXT: Shape = { text: true };

export const CONTENT_SHAPE: Shape = {
  object: {
    parts: {
      items: {
        object: {
          text: TEXT,
          functionCall: { object: { name: TEXT, args: { deepText: true } } },
          executableCode: { object: { code: TEXT } },
        },
      },
    },
  },
};

const LONG_SHAPE: Shape = {
  object: {
    candidates: { items: { object: { content: CONTENT_SHAPE, finishReason: VALUE, index: VALUE } } },
    usageMetadata: GEMINI_USAGE_SHAPE,
    error: {},
  },
};

// Scratch objects, shared by all streams: events are read one at a time, and nothing is kept
// between calls.
const CURSOR = new JsonCursor();
const EVENT = new ContentEvent();
