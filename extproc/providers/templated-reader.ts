/**
 * What the readers of all streams share: events of a known form are read by their template, others
 * by a parser, and events that are too long to be kept by a scanner.
 */
import type { Shape } from '../json/shape.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { Usage } from '../usage.ts';
import type { EventFacts, EventReader, ResponseOptions, StreamState } from './adapter.ts';
import { EventData } from './event.ts';
import { LongEvent } from './long-event.ts';
import { EventTemplates } from './template.ts';
import { foreignBytes, unreadableData } from './unknown-text.ts';

/** `Form`: what events of one form have in common, kept with their template. */
export abstract class TemplatedReader<Form, Facts extends EventFacts> implements EventReader<Facts> {
  usage: Usage | undefined;
  usageFinal = false;
  state: StreamState = 'open';
  responseModel: string | undefined;
  serviceTier: string | undefined;
  responseId: string | undefined;
  finishReasons: readonly string[] | undefined;
  unreadable = 0;
  /** The form of the event that was read last; undefined: it was read by a parser. */
  form: Form | undefined;
  protected readonly templates: EventTemplates<Form> | undefined;
  protected readonly data = new EventData();
  readonly #noFacts: Facts;
  readonly #longShape: Shape;
  #long: LongEvent | undefined;

  /** `noFacts` are those of an event without meaning for the client; they never change. */
  constructor(options: ResponseOptions, noFacts: Facts, longShape: Shape) {
    this.templates = options.templates === false ? undefined : new EventTemplates();
    this.#noFacts = noFacts;
    this.#longShape = longShape;
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): Facts {
    const form = this.templates?.match(bytes, start, end);
    this.form = form;
    if (form !== undefined) {
      return this.readKnown(form, bytes, start, sink);
    }
    if (!this.data.find(bytes, start, end)) {
      if (foreignBytes(bytes, start, end, sink)) {
        this.unreadable++;
      }
      return this.#noFacts;
    }
    const facts = this.readData(bytes, start, end, sink);
    if (facts !== undefined) {
      return facts;
    }
    if (unreadableData(this.data, sink)) {
      this.unreadable++;
    }
    return this.#noFacts;
  }

  /** Returns the hole with the only text of a form; -1: there is no such hole. */
  textHole(_form: Form): number {
    return -1;
  }

  /** Where a hole of the event that was read last begins and ends. */
  holeStart(hole: number): number {
    return this.templates!.holeStarts[hole]!;
  }

  holeEnd(hole: number): number {
    return this.templates!.holeEnds[hole]!;
  }

  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): Facts {
    this.#long ??= new LongEvent(this.#longShape);
    this.#long.push(bytes, start, end, sink);
    if (!ends) {
      return this.#noFacts;
    }
    const facts = this.readLong(this.#long, sink);
    this.#long.release();
    this.#long = undefined;
    return facts;
  }

  /** Reads an event of a known form; `templates` has its holes. */
  protected abstract readKnown(form: Form, bytes: Uint8Array, start: number, sink: TextSink): Facts;

  /** Reads the event in `data`. Returns undefined if it is not JSON. */
  protected abstract readData(bytes: Uint8Array, start: number, end: number, sink: TextSink): Facts | undefined;

  /** Reads what the scanner has found in a long event, whose text has gone to `sink`. */
  protected abstract readLong(long: LongEvent, sink: TextSink): Facts;
}
