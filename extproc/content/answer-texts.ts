/** Collects the text of an answer as the client gets it: of a stream, or of a whole document. */
import { ResponseTexts } from '../guard/text/responses/response-texts.ts';
import { unitsOf } from '../guard/text/string-units.ts';
import { EventData } from '../providers/event.ts';
import { EventTemplates } from '../providers/template.ts';
import { type EventSplitter, newEventSplitter } from '../sse/events.ts';
import { type AnswerForm, type AnswerText, answerForm } from './answer-form.ts';
import { type CollectedTexts, type ContentDropReason, type ContentText, finished } from './content-text.ts';

/** What a document may have beside the text that is kept. */
const OTHER_BYTES = 256 * 1024;

/** A hostile stream may name any number of channels, and send any number of texts. */
const MAX_TEXTS = 1024;

// Nothing waits while these are read.
const eventData = new EventData();
const eventTexts = new ResponseTexts(true);
const documentTexts = new ResponseTexts(false);

export class AnswerTexts {
  /** Present once nothing of the answer can be kept. */
  fault: ContentDropReason | undefined;
  readonly #maxBytes: number;
  #left: number;
  #truncated = false;
  readonly #texts: ContentText[] = [];
  /** The texts of a stream that go on. */
  readonly #open = new Map<string, ContentText>();
  #splitter: EventSplitter | undefined;
  #templates: EventTemplates<AnswerForm> | undefined;
  /** The document so far. */
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#left = maxBytes;
  }

  /** Takes a part of a stream of events. */
  stream(bytes: Uint8Array): void {
    if (this.#left <= 0 || this.fault !== undefined) {
      this.#truncated ||= bytes.length > 0;
      return;
    }
    this.#splitter ??= newEventSplitter();
    const splitter = this.#splitter;
    splitter.push(bytes);
    while (this.#left > 0 && splitter.next()) {
      if (splitter.part === 'none') {
        this.#read(splitter.bytes, splitter.start, splitter.end);
      } else {
        this.#truncated = true;
      }
    }
    if (splitter.overflowed) {
      this.fault = 'too_long';
    }
    if (this.#left <= 0) {
      // The rest of the piece is about to change, and is not kept.
      this.#splitter = undefined;
    }
  }

  /** Takes a part of a document. */
  document(bytes: Uint8Array): void {
    this.#pieceBytes += bytes.length;
    if (this.#pieceBytes > this.#maxBytes + OTHER_BYTES) {
      this.fault = 'too_long';
      this.#pieces = [];
    } else if (bytes.length > 0) {
      this.#pieces.push(Buffer.from(bytes));
    }
  }

  /**
   * Returns what was collected; undefined: nothing can be kept, see `fault`. `isComplete`: the
   * client got the whole answer.
   */
  end(isComplete: boolean): CollectedTexts | undefined {
    if (this.fault === undefined && this.#pieceBytes > 0) {
      this.#readDocument();
    }
    this.#splitter = undefined;
    this.#pieces = [];
    if (!isComplete || this.#truncated) {
      for (const text of this.#open.values()) {
        text.isCut = true;
      }
    }
    return this.fault === undefined ? { texts: this.#texts, truncated: this.#truncated } : undefined;
  }

  #readDocument(): void {
    const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
    if (finished(documentTexts.read(bytes, 0, bytes.length, 0))) {
      this.#take(bytes, documentTexts);
    } else {
      this.fault = 'unreadable';
    }
  }

  #read(bytes: Uint8Array, start: number, end: number): void {
    this.#templates ??= new EventTemplates();
    const templates = this.#templates;
    const known = templates.match(bytes, start, end);
    if (known !== undefined) {
      for (const { hole, text } of known.texts) {
        this.#takeText(bytes, templates.holeStarts[hole]!, templates.holeEnds[hole]!, text);
      }
      return;
    }
    const data = eventData;
    if (data.find(bytes, start, end) && finished(eventTexts.read(data.bytes, data.start, data.end, 0))) {
      this.#take(data.bytes, eventTexts);
      const learned = data.inPlace ? answerForm(bytes, start, end, eventTexts.texts) : undefined;
      if (learned !== undefined) {
        templates.learn(bytes, start, end, learned.holes, learned.form);
      }
    }
  }

  #take(bytes: Uint8Array, { texts }: ResponseTexts): void {
    for (const text of texts) {
      if (!text.repeats && text.form !== 'number') {
        this.#takeText(bytes, text.start, text.end, text);
      }
    }
  }

  #takeText(bytes: Uint8Array, start: number, end: number, { scope, form, channel, whole }: AnswerText): void {
    if (end === start) {
      return;
    }
    if (this.#left <= 0) {
      this.#truncated = true;
      return;
    }
    const units = unitsOf(bytes, start, end);
    const taken = units.length <= this.#left ? units : units.slice(0, this.#left);
    this.#left -= taken.length;
    const isCut = taken.length < units.length;
    this.#truncated ||= isCut;
    this.#add(scope, form === 'json', taken, isCut, whole ? undefined : channel);
  }

  #add(scope: ContentText['scope'], isJson: boolean, units: string, isCut: boolean, channel: string | undefined): void {
    const known = channel === undefined ? undefined : this.#open.get(channel);
    if (known !== undefined) {
      known.text += units;
      known.isCut = isCut;
      return;
    }
    if (this.#texts.length === MAX_TEXTS) {
      this.#left = 0;
      this.#truncated = true;
      return;
    }
    const text = { scope, isJson, text: units, isCut };
    this.#texts.push(text);
    if (channel !== undefined) {
      this.#open.set(channel, text);
    }
  }
}
