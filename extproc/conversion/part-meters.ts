/**
 * Meters a response by its answer parts, for a provider API that no client speaks: its decoder
 * gives the usage, too.
 */
import type { TextSink } from '../json/text-sink.ts';
import type { StreamState, UnaryReader } from '../providers/adapter.ts';
import { withReason } from '../providers/finish-reasons.ts';
import { largerUsage } from '../providers/usage.ts';
import type { Usage } from '../usage.ts';
import type { AnswerPart } from './answer.ts';
import type { AnswerDecoder } from './conversion.ts';
import { AnswerReader } from './decoding-reader.ts';
import { parsedJson } from './json-values.ts';

/** Longer documents are not converted, and not read. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

const channels = { text: 0, refusal: 0, reasoning: 1, arguments: 2, 'tool-call': 2 } as const;

/** What the parts of a response say about its cost. */
class PartTotals {
  usage: Usage | undefined;
  responseModel: string | undefined;
  serviceTier: string | undefined;
  responseId: string | undefined;
  finishReasons: readonly string[] | undefined;
  state: StreamState = 'open';

  take(parts: readonly AnswerPart[], sink: TextSink | undefined): void {
    for (const part of parts) {
      switch (part.type) {
        case 'start':
          this.responseModel ??= part.model;
          this.responseId ??= part.id;
          break;
        case 'finish':
          this.finishReasons = withReason(this.finishReasons, part.reason);
          break;
        case 'usage':
          this.usage = largerUsage(this.usage, part.usage);
          this.serviceTier = part.serviceTier ?? this.serviceTier;
          break;
        case 'end':
          this.state = this.state === 'open' ? 'finished' : this.state;
          break;
        case 'error':
          this.state = 'failed';
          break;
        case 'text':
        case 'refusal':
        case 'reasoning':
        case 'arguments':
          tell(sink, channels[part.type], part.text);
          break;
        case 'tool-call':
          tell(sink, channels[part.type], part.name);
          break;
        default:
      }
    }
  }
}

/** A sink takes the contents of JSON strings as they are written. */
function tell(sink: TextSink | undefined, channel: number, text: string): void {
  if (sink !== undefined && text !== '') {
    const bytes = Buffer.from(JSON.stringify(text));
    sink.text(channel, bytes, 1, bytes.length - 1);
  }
}

export class PartReader extends AnswerReader {
  readonly unreadable = 0;
  readonly #totals = new PartTotals();

  get usage(): Usage | undefined {
    return this.#totals.usage;
  }

  get usageFinal(): boolean {
    return this.#totals.usage !== undefined && this.#totals.state === 'finished';
  }

  get state(): StreamState {
    return this.#totals.state;
  }

  get serviceTier(): string | undefined {
    return this.#totals.serviceTier;
  }

  get responseModel(): string | undefined {
    return this.#totals.responseModel;
  }

  get responseId(): string | undefined {
    return this.#totals.responseId;
  }

  get finishReasons(): readonly string[] | undefined {
    return this.#totals.finishReasons;
  }

  protected override told(parts: readonly AnswerPart[], sink: TextSink): readonly AnswerPart[] {
    this.#totals.take(parts, sink);
    return parts;
  }
}

/** Keeps a document, and decodes it when it is asked for its usage. */
export class PartUnaryReader implements UnaryReader {
  readonly #decoder: AnswerDecoder;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #sink: TextSink | undefined;
  #totals: PartTotals | undefined;

  constructor(decoder: AnswerDecoder) {
    this.#decoder = decoder;
  }

  push(bytes: Uint8Array, sink: TextSink): void {
    this.#sink = sink;
    this.#keptBytes += bytes.length;
    if (this.#keptBytes <= MAX_DOCUMENT_BYTES) {
      this.#kept.push(Buffer.from(bytes));
    }
  }

  release(): void {
    this.#kept = [];
  }

  get usage(): Usage | undefined {
    return this.#read().usage;
  }

  get serviceTier(): string | undefined {
    return this.#read().serviceTier;
  }

  get responseModel(): string | undefined {
    return this.#read().responseModel;
  }

  get responseId(): string | undefined {
    return this.#read().responseId;
  }

  get finishReasons(): readonly string[] | undefined {
    return this.#read().finishReasons;
  }

  get broken(): boolean {
    return this.#read().state === 'failed';
  }

  #read(): PartTotals {
    if (this.#totals === undefined) {
      this.#totals = new PartTotals();
      const whole = Buffer.concat(this.#kept).toString();
      this.#kept = [];
      this.#totals.take(this.#decoder.document(parsedJson(whole)), this.#sink);
    }
    return this.#totals;
  }
}
