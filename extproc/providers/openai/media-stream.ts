/**
 * Streams of images, speech and transcripts. Their last event has the usage; events with images
 * have several megabytes.
 */

import type { Failure } from '../../errors.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { Usage } from '../../usage.ts';
import type { EventFacts, EventReader, EventVerdict, StreamState, StreamWriter } from '../adapter.ts';
import { LongEvent } from '../long-event.ts';
import { below } from '../unary.ts';
import { largerUsage, numbersOf, type UsageNumbers } from '../usage.ts';
import { openAiError } from './errors.ts';

const NOTHING = new Uint8Array(0);
const NO_FACTS: EventFacts = { kept: () => NO_FACTS };

/** The types of the events that end a stream. */
const END = /\.(completed|done)$/;

export interface MediaStreamForm {
  readonly usageShape: Shape;
  readonly usage: (numbers: UsageNumbers) => Usage | undefined;
}

export class MediaStreamReader implements EventReader {
  usage: Usage | undefined;
  state: StreamState = 'open';
  readonly responseModel = undefined;
  readonly serviceTier = undefined;
  unreadable = 0;
  readonly #form: MediaStreamForm;
  readonly #shape: Shape;
  #event: LongEvent | undefined;

  constructor(form: MediaStreamForm, shape: Shape) {
    this.#form = form;
    this.#shape = shape;
  }

  get usageFinal(): boolean {
    return this.usage !== undefined && this.state === 'finished';
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): EventFacts {
    return this.readPart(bytes, start, end, true, sink);
  }

  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): EventFacts {
    this.#event ??= new LongEvent(this.#shape);
    this.#event.push(bytes, start, end, sink);
    if (ends) {
      this.#take(this.#event);
      this.#event.release();
      this.#event = undefined;
    }
    return NO_FACTS;
  }

  #take({ found }: LongEvent): void {
    const type = found.one('type')?.value;
    this.usage = largerUsage(this.usage, this.#form.usage(below(numbersOf(found), 'usage')));
    if (type === 'error' || found.count('error', 'object') > 0) {
      this.state = 'failed';
    } else if (typeof type === 'string' && END.test(type) && this.state === 'open') {
      this.state = 'finished';
    }
  }
}

/** Returns the shape of a form's events. Shapes are compiled once, so each form keeps its own. */
export function mediaEventShape({ usageShape }: MediaStreamForm): Shape {
  return { object: { type: { value: true }, usage: usageShape, error: { value: true } } };
}

/** Passes every event: such streams hold all that they may cost, so no budget ends them. */
export class MediaStreamWriter implements StreamWriter {
  readonly replacement = NOTHING;

  write(): EventVerdict {
    return 'pass';
  }

  truncate(): Uint8Array {
    return NOTHING;
  }

  fail(failure: Failure): Uint8Array {
    return Buffer.from(`event: error\ndata: ${JSON.stringify({ type: 'error', ...openAiError(failure) })}\n\n`);
  }
}
