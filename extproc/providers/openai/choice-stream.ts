/**
 * Reads streams of chat completions and of completions, which differ only in the member that holds
 * a choice's text.
 */
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import { decodedString, JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerOptions, EventVerdict, RequestFacts, StreamReader } from '../adapter.ts';
import { EventData } from '../event.ts';
import { LongEvent } from '../long-event.ts';
import { EventTemplates } from '../template.ts';
import { below } from '../unary.ts';
import { foreignBytes, unknownEvent, unreadableData } from '../unknown-text.ts';
import { largerUsage, numbersOf, OPENAI_USAGE_SHAPE, openAiUsage } from '../usage.ts';
import { MESSAGE_SHAPE } from './choice-answer.ts';
import { ChoiceChunk, type ChoiceForm, type ChunkHead } from './chunk.ts';
import { closingChunks } from './closing-chunks.ts';
import { openAiError } from './errors.ts';

/**
 * The meaning of an event of a known form: the channel of each hole (-1: none), and the range to
 * remove.
 */
interface ChoiceDeltaFacts {
  readonly channels: readonly number[];
  /**
   * The byte range to remove, relative to the end of hole `cutHole` (-1: the start of the event).
   */
  readonly cutHole: number;
  readonly cutOffset: number;
  readonly cutLength: number;
}

const NOTHING = new Uint8Array(0);

const LONG_SHAPE: Shape = {
  object: {
    usage: OPENAI_USAGE_SHAPE,
    x_groq: { object: { usage: OPENAI_USAGE_SHAPE } },
    choices: { items: { object: { text: { text: true }, delta: MESSAGE_SHAPE, finish_reason: { value: true } } } },
  },
};
const UNKNOWN_HEAD: ChunkHead = { id: undefined, created: undefined, model: undefined, systemFingerprint: undefined };

export class ChoiceStream implements StreamReader {
  replacement: Uint8Array = NOTHING;
  usage: Usage | undefined;
  usageFinal = false;
  state: StreamReader['state'] = 'open';
  responseModel: string | undefined;
  unreadable = 0;
  readonly #form: ChoiceForm;
  readonly #request: RequestFacts;
  readonly #options: AnswerOptions;
  readonly #templates: EventTemplates<ChoiceDeltaFacts> | undefined;
  readonly #data = new EventData();
  readonly #finished = new Set<number>();
  readonly #begun = new Set<number>();
  #head: ChunkHead | undefined;
  #long: LongEvent | undefined;
  #usageSent = false;
  #ended = false;
  /**
   * What the last event changed. Applied when the next one is read, because a stream may be cut in
   * place of that event.
   */
  #pending: (() => void) | undefined;

  constructor(form: ChoiceForm, request: RequestFacts, options: AnswerOptions) {
    this.#form = form;
    this.#request = request;
    this.#options = options;
    this.#templates = options.templates === false ? undefined : new EventTemplates();
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): EventVerdict {
    if (this.#pending !== undefined) {
      this.#settle();
    }
    const facts = this.#templates?.match(bytes, start, end);
    if (facts !== undefined) {
      return this.#same(facts, bytes, start, end, sink);
    }
    if (!this.#data.find(bytes, start, end)) {
      if (foreignBytes(bytes, start, end, sink)) {
        this.unreadable++;
      }
      return 'pass';
    }
    if (this.#data.is('[DONE]')) {
      if (this.state === 'open') {
        this.state = 'finished';
      }
      this.usageFinal = this.usage !== undefined;
      this.#pending = () => {
        this.#ended = true;
      };
      return 'pass';
    }
    CURSOR.begin(this.#data.bytes, this.#data.start, this.#data.end);
    if (!CHUNK.read(CURSOR, this.#head === undefined)) {
      if (unreadableData(this.#data, sink)) {
        this.unreadable++;
      }
      return 'pass';
    }
    if (CHUNK.unknown) {
      unknownEvent(CURSOR, this.#data, sink);
    }
    return this.#take(bytes, start, end, sink);
  }

  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): void {
    if (this.#pending !== undefined) {
      this.#settle();
    }
    this.#long ??= new LongEvent(LONG_SHAPE);
    this.#long.push(bytes, start, end, sink);
    if (!ends) {
      return;
    }
    this.#takeLong(this.#long);
    this.#long.release();
    this.#long = undefined;
  }

  cut(usage: Usage, lastSent = false): Uint8Array {
    if (lastSent) {
      this.#settle();
    }
    if (this.#ended) {
      return NOTHING;
    }
    return closingChunks({
      form: this.#form,
      head: this.#head ?? UNKNOWN_HEAD,
      model: this.#options.model,
      open: this.#openChoices(),
      begun: this.#begun,
      usage: this.#request.usageAsked && !this.#usageSent ? usage : undefined,
    });
  }

  fail(failure: Failure): Uint8Array {
    return Buffer.from(`data: ${jsonText(openAiError(failure))}\n\ndata: [DONE]\n\n`);
  }

  #same(facts: ChoiceDeltaFacts, bytes: Uint8Array, start: number, end: number, sink: TextSink): EventVerdict {
    const { channels } = facts;
    const { holeStarts, holeEnds } = this.#templates as EventTemplates<ChoiceDeltaFacts>;
    for (let hole = 0; hole < channels.length; hole++) {
      const channel = channels[hole] as number;
      if (channel < 0) {
        continue;
      }
      const from = holeStarts[hole] as number;
      const to = holeEnds[hole] as number;
      if (to > from) {
        sink.text(channel, bytes, from, to);
      }
    }
    if (facts.cutLength === 0) {
      return 'pass';
    }
    const from = (facts.cutHole < 0 ? start : (holeEnds[facts.cutHole] as number)) + facts.cutOffset;
    this.#cutOut(bytes, start, from, from + facts.cutLength, end);
    return 'replace';
  }

  #take(bytes: Uint8Array, start: number, end: number, sink: TextSink): EventVerdict {
    const { holes } = CHUNK;
    if (this.#head === undefined) {
      this.#keepHead();
    }
    const { failed } = CHUNK;
    // Some servers report the usage so far in every chunk: a cut stream still needs its sum.
    const usageComes = CHUNK.usage !== undefined && (CHUNK.choices === 0 || CHUNK.finished.length > 0);
    const begun = [...CHUNK.begun];
    const finished = [...CHUNK.finished];
    this.#pending = () => {
      for (const choice of begun) {
        this.#begun.add(choice);
      }
      for (const choice of finished) {
        this.#finished.add(choice);
      }
      this.#usageSent ||= usageComes;
      this.#ended ||= failed;
    };
    for (const hole of holes) {
      if (hole.channel >= 0 && hole.end > hole.start) {
        sink.text(hole.channel, this.#data.bytes, hole.start, hole.end);
      }
    }
    if (CHUNK.failed) {
      this.state = 'failed';
    }
    if (CHUNK.usage !== undefined) {
      const isAdded = CHUNK.choices === 0 && (!CHUNK.ownUsage || this.usage !== undefined);
      this.usage = largerUsage(this.usage, CHUNK.usage);
      this.usageFinal = CHUNK.choices === 0 || CHUNK.finished.length > 0;
      // Removes only what our request for usage added: a chunk of its own, in the common form or
      // after the provider's own.
      if (this.#options.hideUsage && isAdded) {
        return 'drop';
      }
      return 'pass';
    }
    if (!this.#data.inPlace) {
      return 'pass';
    }
    const hides = this.#options.hideUsage && CHUNK.nullUsageStart >= 0;
    if (CHUNK.finished.length === 0 && !CHUNK.failed && !CHUNK.unknown) {
      this.#learn(bytes, start, end, hides);
    }
    if (!hides) {
      return 'pass';
    }
    this.#cutOut(bytes, start, CHUNK.nullUsageStart, CHUNK.nullUsageEnd, end);
    return 'replace';
  }

  #learn(bytes: Uint8Array, start: number, end: number, hides: boolean): void {
    const holes = CHUNK.holes;
    let cutHole = -1;
    while (hides && cutHole + 1 < holes.length && (holes[cutHole + 1]?.end as number) <= CHUNK.nullUsageStart) {
      cutHole++;
    }
    const origin = cutHole < 0 ? start : (holes[cutHole]?.end as number);
    this.#templates?.learn(bytes, start, end, holes, {
      channels: holes.map((hole) => hole.channel),
      cutHole,
      cutOffset: hides ? CHUNK.nullUsageStart - origin : 0,
      cutLength: hides ? CHUNK.nullUsageEnd - CHUNK.nullUsageStart : 0,
    });
  }

  #keepHead(): void {
    const { head } = CHUNK;
    // Azure's first chunk carries only filter results, under an empty id.
    if (head?.id === undefined || head.id.length <= 2) {
      return;
    }
    this.#head = head;
    const { model } = head;
    if (model !== undefined && model[0] === 0x22) {
      this.responseModel = decodedString(model, 1, model.length - 1) || undefined;
    }
  }

  #settle(): void {
    this.#pending?.();
    this.#pending = undefined;
  }

  #takeLong(long: LongEvent): void {
    const { found } = long;
    if (long.saysNothing) {
      this.unreadable++;
    }
    for (const at of ['usage', 'x_groq.usage']) {
      this.usage = largerUsage(this.usage, openAiUsage(below(numbersOf(found), at)));
    }
    for (const { element, kind } of found.all('choices[].finish_reason')) {
      if (kind === 'string') {
        this.#finished.add(element ?? 0);
      }
    }
  }

  #openChoices(): readonly number[] {
    const open: number[] = [];
    for (let choice = 0; choice < this.#request.choices; choice++) {
      if (!this.#finished.has(choice)) {
        open.push(choice);
      }
    }
    return open;
  }

  #cutOut(bytes: Uint8Array, start: number, from: number, to: number, end: number): void {
    const kept = Buffer.allocUnsafe(end - start - (to - from));
    kept.set(bytes.subarray(start, from), 0);
    kept.set(bytes.subarray(to, end), from - start);
    this.replacement = kept;
  }
}

// Scratch objects, shared by all streams: events are read one at a time, and nothing is kept
// between calls.
const CURSOR = new JsonCursor();
const CHUNK = new ChoiceChunk();
