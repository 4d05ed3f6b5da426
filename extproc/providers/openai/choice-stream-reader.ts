/**
 * Reads streams of chat completions and of completions, which differ only in the member that holds
 * a choice's text.
 */
import { decodedString, JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { ResponseOptions } from '../adapter.ts';
import { withReason } from '../finish-reasons.ts';
import type { LongEvent } from '../long-event.ts';
import { onlyTextHole } from '../template.ts';
import { TemplatedReader } from '../templated-reader.ts';
import { below } from '../unary.ts';
import { unknownEvent } from '../unknown-text.ts';
import { largerUsage, numbersOf, OPENAI_USAGE_SHAPE, openAiUsage } from '../usage.ts';
import { MESSAGE_SHAPE } from './choice-document.ts';
import { type ChoiceChange, ChoiceEventFacts } from './choice-event-facts.ts';
import { ChoiceChunk, type ChunkHead } from './chunk.ts';

/** The channel of each hole (-1: none), and the range of `"usage":null`. */
interface ChoiceDeltaForm {
  readonly channels: readonly number[];
  /** The range begins this far behind the end of `hole` (-1: behind the start of the event). */
  readonly nullUsageHole: number;
  readonly nullUsageOffset: number;
  readonly nullUsageLength: number;
}

const LONG_SHAPE: Shape = {
  object: {
    usage: OPENAI_USAGE_SHAPE,
    x_groq: { object: { usage: OPENAI_USAGE_SHAPE } },
    choices: { items: { object: { text: { text: true }, delta: MESSAGE_SHAPE, finish_reason: { value: true } } } },
  },
};

const NO_FACTS = new ChoiceEventFacts();

/** `[DONE]`. */
const DONE: ChoiceChange = { begun: [], finished: [], usage: false, ended: true };

export class ChoiceStreamReader extends TemplatedReader<ChoiceDeltaForm, ChoiceEventFacts> {
  readonly #facts = new ChoiceEventFacts();
  #headSeen = false;

  constructor(options: ResponseOptions) {
    super(options, NO_FACTS, LONG_SHAPE);
  }

  override textHole({ channels }: ChoiceDeltaForm): number {
    return onlyTextHole(channels);
  }

  protected override readKnown(
    form: ChoiceDeltaForm,
    bytes: Uint8Array,
    start: number,
    sink: TextSink,
  ): ChoiceEventFacts {
    const { channels } = form;
    const { holeStarts, holeEnds } = this.templates!;
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
    if (form.nullUsageLength === 0) {
      return NO_FACTS;
    }
    const before = form.nullUsageHole < 0 ? 0 : (holeEnds[form.nullUsageHole] as number) - start;
    const nullUsageStart = before + form.nullUsageOffset;
    return this.#write(nullUsageStart, nullUsageStart + form.nullUsageLength, false, undefined);
  }

  protected override readData(
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: TextSink,
  ): ChoiceEventFacts | undefined {
    const { data } = this;
    if (data.is('[DONE]')) {
      if (this.state === 'open') {
        this.state = 'finished';
      }
      this.usageFinal = this.usage !== undefined;
      return this.#write(0, 0, false, DONE);
    }
    CURSOR.begin(data.bytes, data.start, data.end);
    if (!CHUNK.read(CURSOR, !this.#headSeen)) {
      return undefined;
    }
    if (CHUNK.unknown) {
      unknownEvent(CURSOR, data, sink);
    }
    return this.#readChunk(bytes, start, end, sink);
  }

  #readChunk(bytes: Uint8Array, start: number, end: number, sink: TextSink): ChoiceEventFacts {
    const change: ChoiceChange = {
      head: this.#headSeen ? undefined : this.#head(),
      begun: [...CHUNK.begun],
      finished: [...CHUNK.finished],
      // Some servers report the usage so far in every chunk: a truncated stream still needs its
      // sum.
      usage: CHUNK.usage !== undefined && (CHUNK.choices === 0 || CHUNK.finished.length > 0),
      ended: CHUNK.failed,
    };
    for (const hole of CHUNK.holes) {
      if (hole.channel >= 0 && hole.end > hole.start) {
        sink.text(hole.channel, this.data.bytes, hole.start, hole.end);
      }
    }
    this.serviceTier = CHUNK.serviceTier || this.serviceTier;
    for (const reason of CHUNK.reasons) {
      this.finishReasons = withReason(this.finishReasons, reason);
    }
    if (CHUNK.failed) {
      this.state = 'failed';
    }
    if (CHUNK.usage !== undefined) {
      // A chunk of its own, in the common form or after the provider's own.
      const added = CHUNK.choices === 0 && (!CHUNK.ownUsage || this.usage !== undefined);
      this.usage = largerUsage(this.usage, CHUNK.usage);
      this.usageFinal = CHUNK.choices === 0 || CHUNK.finished.length > 0;
      return this.#write(0, 0, added, change);
    }
    if (!this.data.inPlace) {
      return this.#write(0, 0, false, change);
    }
    if (CHUNK.finished.length === 0 && !CHUNK.failed && !CHUNK.unknown) {
      this.#learn(bytes, start, end);
    }
    return CHUNK.nullUsageStart < 0
      ? this.#write(0, 0, false, change)
      : this.#write(CHUNK.nullUsageStart - start, CHUNK.nullUsageEnd - start, false, change);
  }

  #write(
    nullUsageStart: number,
    nullUsageEnd: number,
    addedUsage: boolean,
    change: ChoiceChange | undefined,
  ): ChoiceEventFacts {
    const facts = this.#facts;
    facts.nullUsageStart = nullUsageStart;
    facts.nullUsageEnd = nullUsageEnd;
    facts.addedUsage = addedUsage;
    facts.change = change;
    return facts;
  }

  #learn(bytes: Uint8Array, start: number, end: number): void {
    const { holes, nullUsageStart, nullUsageEnd } = CHUNK;
    const found = nullUsageStart >= 0;
    let hole = -1;
    while (found && hole + 1 < holes.length && (holes[hole + 1]?.end as number) <= nullUsageStart) {
      hole++;
    }
    const origin = hole < 0 ? start : (holes[hole]?.end as number);
    this.templates?.learn(bytes, start, end, holes, {
      channels: holes.map(({ channel }) => channel),
      nullUsageHole: hole,
      nullUsageOffset: found ? nullUsageStart - origin : 0,
      nullUsageLength: found ? nullUsageEnd - nullUsageStart : 0,
    });
  }

  #head(): ChunkHead | undefined {
    const { head } = CHUNK;
    // Azure's first chunk carries only filter results, under an empty id.
    if (head?.id === undefined || head.id.length <= 2) {
      return undefined;
    }
    this.#headSeen = true;
    const { id, model } = head;
    this.responseId = decodedString(id, 1, id.length - 1) || undefined;
    if (model !== undefined && model[0] === 0x22) {
      this.responseModel = decodedString(model, 1, model.length - 1) || undefined;
    }
    return head;
  }

  protected override readLong({ found, saysNothing }: LongEvent): ChoiceEventFacts {
    if (saysNothing) {
      this.unreadable++;
    }
    for (const at of ['usage', 'x_groq.usage']) {
      this.usage = largerUsage(this.usage, openAiUsage(below(numbersOf(found), at)));
    }
    const finished: number[] = [];
    for (const { element, kind, value } of found.all('choices[].finish_reason')) {
      if (kind === 'string') {
        finished.push(element ?? 0);
        this.finishReasons = withReason(this.finishReasons, value);
      }
    }
    return this.#write(0, 0, false, { begun: [], finished, usage: false, ended: false });
  }
}

// Scratch objects, shared by all streams: events are read one at a time, and nothing is kept
// between calls.
const CURSOR = new JsonCursor();
const CHUNK = new ChoiceChunk();
