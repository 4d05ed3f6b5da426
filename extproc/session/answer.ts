/**
 * The second half of a session: the provider's answer on its way to the client. Bytes pass as they come; text and usage are read beside them; a stream goes
 * no further than what is held for it. Enters: response events; leaves: actions, and at the end what the answer cost (`evidence`).
 */
import { PROVIDER_REQUEST_ID_HEADERS, REPLY_HEADER } from '../../contract/headers.ts';
import { envoyFailure, type Failure, failure } from '../errors.ts';
import type { Dialect, StreamReader, Usage, WholeReader } from '../providers/adapter.ts';
import type { BucketView, Hold } from '../quota/store.ts';
import { isInflatable } from '../stream/inflate.ts';
import type { Meter } from '../tokens/meter.ts';
import { type Broken, brokenOf } from './broken.ts';
import { estimated } from './charge.ts';
import { hideFromClient } from './hidden-headers.ts';
import type { Action, EventOf } from './protocol.ts';
import { idHeader, inEnvoysWords, limitHeaders, reworded } from './replies.ts';
import type { TextSample } from './sample.ts';
import { newStreamAnswer, type StreamAnswer } from './stream-answer.ts';

/** More is asked for at once while there is plenty: a grant costs a journal entry. */
const SMALLEST_EXTENSION_TOKENS = 64;
const LARGEST_EXTENSION_TOKENS = 4096;

export interface AnswerContext {
  readonly dialect: Dialect;
  readonly requestId: string | undefined;
  readonly views: readonly BucketView[];
  /** Absent: the answer passes uncounted (passthrough, `free` endpoints, Envoy's own replies). */
  readonly metered: MeteredContext | undefined;
}

export interface MeteredContext {
  readonly readers: { readonly whole: WholeReader; readonly stream: StreamReader };
  readonly meter: () => Meter;
  readonly sample: () => TextSample;
  /** Absent where no quota counts output as it comes: nothing to be cut for. */
  readonly lease: { readonly hold: Hold; readonly tokens: number } | undefined;
  readonly inputTokens: () => number;
}

export type AnswerEvent = EventOf<'response-body' | 'response-trailers' | 'inflated' | 'inflate-end' | 'extended'>;

export class Answer {
  status: number | undefined;
  firstTokenMs: number | undefined;
  bytes = 0;
  cut = false;
  /** The provider's answer came to its end, or we ended it. */
  ended = false;
  /** Waits for an extension: what comes meanwhile is kept, and the driver stops reading. */
  blocked = false;
  mode: 'unknown' | 'pass' | 'whole' | 'stream' = 'unknown';
  /** An answer in an encoding that we cannot read. */
  unreadable = false;
  failed: Failure | undefined;
  /** Envoy answered in the backend's place. */
  broken: Broken | undefined;
  providerRequestId: string | undefined;
  readonly #context: AnswerContext;
  #stream: StreamAnswer | undefined;
  #sample: TextSample | undefined;
  #inflating = false;
  #upstreamEnded = false;
  #trailers = false;
  #waiting: Uint8Array[] = [];
  #sent: Uint8Array[] = [];

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  /** All of a compressed whole answer has come, and not all of it is read. */
  get unpacking(): boolean {
    return this.mode === 'whole' && this.#inflating && this.#upstreamEnded;
  }

  get #readers() {
    return this.#context.metered!.readers;
  }

  handle(event: AnswerEvent, nowMs: number, out: Action[]): void {
    switch (event.type) {
      case 'response-body':
        this.#body(event.bytes, event.endOfStream, nowMs, out);
        break;
      case 'response-trailers':
        this.#responseTrailers(nowMs, out);
        break;
      case 'inflated':
        this.#inflated(event.bytes, nowMs, out);
        break;
      case 'inflate-end':
        this.#inflateEnd(event.error, nowMs, out);
        break;
      case 'extended':
        this.#extended(event.tokens, nowMs, out);
        break;
      default:
        throw new Error(`unknown event ${(event satisfies never as AnswerEvent).type}`);
    }
  }

  headers({ headers, endOfStream, codeDetails }: EventOf<'response-headers'>, nowMs: number, out: Action[]): void {
    const get = (wanted: string) => headers.find(([name]) => name === wanted)?.[1];
    this.status = Number(get(':status'));
    const { dialect, requestId, metered, views } = this.#context;
    const reply = this.status >= 500 ? get(REPLY_HEADER) : undefined;
    if (inEnvoysWords(codeDetails, this.status, get('content-type'))) {
      this.mode = 'pass';
      this.failed = envoyFailure(this.status);
      this.#ofEnvoy(`- ${codeDetails}`);
      out.push({ type: 'response-headers', mutation: reworded(dialect, this.failed, views, nowMs, requestId) });
      this.ended = true;
      return;
    }
    const counted = metered !== undefined && this.status >= 200 && this.status < 300;
    const streamed = counted && (get('content-type') ?? '').toLowerCase().startsWith('text/event-stream');
    this.mode = !counted ? 'pass' : streamed ? 'stream' : 'whole';
    const remove: string[] = [];
    if (reply !== undefined) {
      this.failed = envoyFailure(this.status);
      this.#ofEnvoy(reply);
    } else
      this.providerRequestId = headers.find(
        ([name, id]) => id !== '' && PROVIDER_REQUEST_ID_HEADERS.includes(name),
      )?.[1];
    const encoding = (get('content-encoding') ?? 'identity').trim().toLowerCase();
    if (counted && encoding !== 'identity' && encoding !== '') {
      if (isInflatable(encoding)) {
        this.#inflating = true;
        out.push({ type: 'inflate', encoding });
        // A stream may have to be cut or changed, so it goes on as plain text.
        if (streamed) remove.push('content-encoding');
      } else {
        this.unreadable = true;
        this.mode = 'pass';
      }
    }
    if (streamed) remove.push('content-length');
    const limits = limitHeaders(dialect, views, nowMs);
    hideFromClient(headers, limits, remove);
    const set = [...idHeader(requestId), ...limits];
    out.push({ type: 'response-headers', mutation: { set, remove } });
    if (this.mode === 'stream') this.#openStream();
    if (this.mode === 'whole') this.#sample = metered!.sample();
    if (endOfStream) this.ended = true;
  }

  #ofEnvoy(reply: string | undefined): void {
    if (this.status! >= 500 && reply !== undefined) this.broken = brokenOf(reply);
  }

  #openStream(): void {
    const { readers, meter, lease } = this.#context.metered!;
    this.#stream = newStreamAnswer(readers.stream, meter(), lease?.tokens ?? Number.POSITIVE_INFINITY, (bytes) =>
      this.#sent.push(bytes),
    );
  }

  #body(bytes: Uint8Array, endOfStream: boolean, nowMs: number, out: Action[]): void {
    if (this.ended) return;
    this.bytes += bytes.length;
    if (endOfStream) this.#upstreamEnded = true;
    if (this.mode === 'stream') {
      if (this.#inflating) this.#inflate(bytes, endOfStream, out);
      else this.#take(bytes, nowMs, out);
      return;
    }
    out.push({ type: 'response-body', bytes, endOfStream });
    if (this.mode === 'whole') {
      if (bytes.length > 0) this.firstTokenMs ??= nowMs;
      if (this.#inflating) this.#inflate(bytes, endOfStream, out);
      else this.#readers.whole.push(bytes, this.#sample!);
    }
    if (endOfStream && !(this.mode === 'whole' && this.#inflating)) this.ended = true;
  }

  #responseTrailers(nowMs: number, out: Action[]): void {
    if (this.ended && this.mode !== 'pass') return;
    this.#upstreamEnded = true;
    this.#trailers = true;
    if (this.mode === 'stream') {
      if (this.#inflating) out.push({ type: 'inflate-finish' });
      else this.#take(new Uint8Array(0), nowMs, out);
      return;
    }
    out.push({ type: 'response-trailers' });
    if (this.mode === 'whole' && this.#inflating) out.push({ type: 'inflate-finish' });
    else this.ended = true;
  }

  #inflate(bytes: Uint8Array, endOfStream: boolean, out: Action[]): void {
    if (bytes.length > 0) out.push({ type: 'inflate-push', bytes });
    if (endOfStream) out.push({ type: 'inflate-finish' });
  }

  #inflated(bytes: Uint8Array, nowMs: number, out: Action[]): void {
    if (this.ended) return;
    if (this.mode === 'whole') this.#readers.whole.push(bytes, this.#sample!);
    else this.#take(bytes, nowMs, out);
  }

  #inflateEnd(error: boolean, nowMs: number, out: Action[]): void {
    if (this.ended) return;
    this.#inflating = false;
    if (error) this.unreadable = true;
    if (this.mode === 'whole') {
      this.ended = this.#upstreamEnded;
      return;
    }
    this.#upstreamEnded = true;
    this.#take(new Uint8Array(0), nowMs, out);
  }

  /** Bytes of a stream: on to the client, or kept while an extension is awaited. */
  #take(bytes: Uint8Array, nowMs: number, out: Action[]): void {
    if (this.blocked) {
      if (bytes.length > 0) this.#waiting.push(Buffer.from(bytes));
      return;
    }
    const went = this.#stream!.push(bytes);
    if (this.#stream!.sawText && this.firstTokenMs === undefined) {
      this.firstTokenMs = nowMs;
      out.push({ type: 'stop-timer' });
    }
    this.#afterPush(went, out);
  }

  #afterPush(pushed: boolean, out: Action[]): void {
    const stream = this.#stream!;
    const last = this.#upstreamEnded && !this.#inflating && this.#waiting.length === 0;
    const went = pushed && (!last || stream.overflowed || stream.finish());
    if (!went) {
      this.#release(false, out);
      this.blocked = true;
      const want = Math.min(
        LARGEST_EXTENSION_TOKENS,
        Math.max(SMALLEST_EXTENSION_TOKENS, stream.needed, stream.leasedTokens),
      );
      out.push({
        type: 'extend',
        hold: this.#context.metered!.lease!.hold,
        output: { mode: 'lease', want: Math.max(want, stream.needed), least: stream.needed },
      });
      return;
    }
    if (stream.overflowed) {
      this.fail(failure('internal_error', 'An event of the provider is longer than this gateway keeps.'), out);
      return;
    }
    if (last) {
      this.#release(!this.#trailers, out);
      if (this.#trailers) out.push({ type: 'response-trailers' });
      this.ended = true;
    } else {
      this.#release(false, out);
    }
  }

  #extended(tokens: number, nowMs: number, out: Action[]): void {
    if (this.ended || !this.blocked) return;
    this.blocked = false;
    if (tokens <= 0) {
      this.#end(() => this.#stream!.cut((output) => this.#usageSoFar(output)), out);
      this.cut = true;
      return;
    }
    this.#afterPush(this.#stream!.extend(tokens), out);
    while (!this.blocked && !this.ended && this.#waiting.length > 0) this.#take(this.#waiting.shift()!, nowMs, out);
  }

  /** Ends the stream with an error event of the dialect. */
  fail(problem: Failure, out: Action[]): void {
    if (this.mode !== 'stream' || this.ended) return;
    this.failed = problem;
    this.#end(() => this.#sent.push(this.#readers.stream.fail(problem)), out);
  }

  /** `end_of_stream` while the provider still sends: the client sees a proper end, and Envoy closes the upstream connection at once (facts of Envoy 1.40). */
  #end(write: () => void, out: Action[]): void {
    write();
    this.#waiting = [];
    this.#release(true, out);
    this.ended = true;
  }

  #usageSoFar(output: number): Usage {
    const told = this.#readers.stream.usage;
    return told !== undefined && told.input > 0
      ? { ...told, output: Math.max(told.output, output) }
      : estimated(this.#context.metered!.inputTokens(), output);
  }

  #release(endOfStream: boolean, out: Action[]): void {
    const pieces = this.#sent;
    const last = pieces.length - 1;
    for (let index = 0; index <= last; index++) {
      out.push({ type: 'response-body', bytes: pieces[index]!, endOfStream: endOfStream && index === last });
    }
    if (last >= 0) this.#sent = [];
    else if (endOfStream) out.push({ type: 'response-body', bytes: new Uint8Array(0), endOfStream: true });
  }

  /** All is charged: what still comes is not read. */
  release(): void {
    this.ended = true;
    if (this.mode === 'whole') this.#readers.whole.release();
  }

  /** What the provider has told, for the charge. */
  get usage(): Usage | undefined {
    if (this.mode === 'stream') return this.#readers.stream.usage;
    return this.mode === 'whole' ? this.#readers.whole.usage : undefined;
  }

  get usageFinal(): boolean {
    if (this.mode === 'stream') return this.#readers.stream.usageFinal;
    return this.mode === 'whole' && this.#readers.whole.usage !== undefined;
  }

  get responseModel(): string | undefined {
    if (this.mode === 'stream') return this.#readers.stream.responseModel;
    return this.mode === 'whole' ? this.#readers.whole.responseModel : undefined;
  }

  /** Whether the stream came to the dialect's own end. */
  get finished(): boolean {
    return this.mode === 'stream' ? this.#readers.stream.state === 'finished' : this.ended;
  }

  /** Absent where nothing is leased. */
  get leasedTokens(): number | undefined {
    return this.#context.metered?.lease === undefined ? undefined : this.#stream?.leasedTokens;
  }

  /** Tokens of the text that came. */
  countOutput(): number {
    if (this.#stream !== undefined) return this.#stream.outputTokens();
    return this.#sample?.tokens() ?? 0;
  }

  /** The count of all text that came, for the drift between it and the provider's own number. Takes up to 3 ms; absent where it would not be exact. */
  countExactly(): number | undefined {
    const tokens = this.#stream === undefined ? this.#sample?.exactTokens() : this.#stream.exactTokens();
    // Nothing that we could have seen: a call of a tool that we do not know, hidden reasoning alone.
    return tokens === 0 ? undefined : tokens;
  }
}
