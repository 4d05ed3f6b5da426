/**
 * The second half of a session: the provider's answer on its way to the client. Bytes pass as they come; text and usage are read beside them; a stream goes
 * no further than what is held for it. Enters: response events; leaves: actions, and at the end what the answer cost (`evidence`).
 */
import { PROVIDER_REQUEST_ID_HEADERS, REPLY_HEADER } from '../../contract/headers.ts';
import { isInflatable } from '../compression/inflate.ts';
import { envoyFailure, type Failure, failure } from '../errors.ts';
import { type Interruption, interruptionOf } from '../interruption.ts';
import type { Dialect, StreamReader, UnaryReader } from '../providers/adapter.ts';
import type { BucketSnapshot, CountingWork, Hold, Holder } from '../quota/store.ts';
import type { Meter } from '../tokens/meter.ts';
import type { Usage } from '../usage.ts';
import {
  type AnswerForm,
  brokenEncoding,
  encodingOf,
  formOf,
  isEventStream,
  unreadableEncoding,
} from './answer-form.ts';
import { estimated } from './charge.ts';
import { hideFromClient } from './hidden-headers.ts';
import type { Action, EventOf } from './protocol.ts';
import { idHeader, isLocalReply, limitHeaders, localReplyMutation } from './replies.ts';
import type { TextSample } from './sample.ts';
import { BYTES_A_TOKEN, newStreamAnswer, type StreamAnswer } from './stream-answer.ts';

/** More is asked for at once while there is plenty: a grant costs a journal entry. */
const SMALLEST_EXTENSION_TOKENS = 64;
const LARGEST_EXTENSION_TOKENS = 4096;

/** A ledger that answers at once has answered by then, on a busy machine too: nothing is made for nobody. */
const SHORTEST_WAIT_MS = 10;

export interface AnswerContext {
  readonly dialect: Dialect;
  readonly requestId: string | undefined;
  readonly snapshots: readonly BucketSnapshot[];
  /** Absent: the answer passes uncounted (passthrough, `free` endpoints, Envoy's own replies). */
  readonly metered: MeteredContext | undefined;
}

export interface MeteredContext {
  readonly readers: { readonly unary: UnaryReader; readonly stream: StreamReader };
  readonly meter: () => Meter;
  readonly sample: () => TextSample;
  /** Absent where no quota counts output as it comes: nothing to be cut for. */
  readonly lease: { readonly hold: Hold; tokens: number } | undefined;
  readonly inputTokens: () => number;
  readonly countedInput: () => number | undefined;
  readonly hasOutput: boolean;
  /** The client asked for a stream. */
  readonly streamed: boolean;
  /** Whether an answer in this encoding, which cannot be read, may pass. */
  readonly mayPassUnread: (encoding: string) => boolean;
}

export type AnswerEvent = EventOf<'response-body' | 'response-trailers' | 'inflated' | 'inflate-end' | 'extended'>;

export class Answer implements Holder {
  status: number | undefined;
  firstTokenMs: number | undefined;
  bytes = 0;
  cut = false;
  /** The provider's answer came to its end, or we ended it. */
  ended = false;
  /** Waits for an extension: what comes meanwhile is kept, and the driver stops reading. */
  blocked = false;
  /** How it is read: first as the client asked for it, from its first bytes on as what it is. */
  mode: 'unknown' | 'pass' | AnswerForm = 'unknown';
  failed: Failure | undefined;
  /** Envoy answered in the backend's place. */
  broken: Interruption | undefined;
  providerRequestId: string | undefined;
  readonly #context: AnswerContext;
  #stream: StreamAnswer | undefined;
  #sample: TextSample | undefined;
  #inflating = false;
  /** What came could not be decoded. */
  #undecoded = false;
  /** The bytes go to the client by way of the reader, so the answer can be cut and changed; else it is read beside them. */
  #through = false;
  #formIsKnown = false;
  #upstreamEnded = false;
  #trailers = false;
  #blockedAtMs = 0;
  /** How long it has waited for extensions, and for the last of them in vain. */
  #waitedMs = 0;
  #waitedInVainMs = 0;
  #waiting: Uint8Array[] = [];
  #sent: Uint8Array[] = [];

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  /** All of a compressed whole answer has come, and not all of it is read. */
  get unpacking(): boolean {
    return !this.#through && this.#inflating && this.#upstreamEnded;
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
        this.#read(event.bytes, nowMs, out);
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

  /** The failure is to be answered in place of the provider's answer. */
  headers(event: EventOf<'response-headers'>, nowMs: number, out: Action[]): Failure | undefined {
    const { headers, endOfStream, codeDetails } = event;
    const all = (wanted: string) => headers.filter(([name]) => name === wanted).map(([, value]) => value);
    const contentType = all('content-type')[0];
    this.status = Number(all(':status')[0]);
    const { dialect, requestId, metered, snapshots } = this.#context;
    const reply = this.status >= 500 ? all(REPLY_HEADER)[0] : undefined;
    if (isLocalReply(codeDetails, this.status, contentType)) {
      this.mode = 'pass';
      this.failed = envoyFailure(this.status);
      this.#ofEnvoy(`- ${codeDetails}`);
      out.push({
        type: 'response-headers',
        mutation: localReplyMutation(dialect, this.failed, snapshots, nowMs, requestId),
      });
      this.ended = true;
      return undefined;
    }
    if (reply !== undefined) {
      this.failed = envoyFailure(this.status);
      this.#ofEnvoy(reply);
    } else {
      this.providerRequestId = headers.find(
        ([name, id]) => id !== '' && PROVIDER_REQUEST_ID_HEADERS.includes(name),
      )?.[1];
    }
    const counted = metered !== undefined && this.status >= 200 && this.status < 300;
    const encoding = counted ? encodingOf(all('content-encoding')) : '';
    this.#undecoded = encoding !== '' && !isInflatable(encoding);
    if (this.#undecoded && !metered!.mayPassUnread(encoding)) {
      this.ended = true;
      return unreadableEncoding(encoding);
    }
    const readable = counted && !this.#undecoded;
    const streamed = readable && (metered.streamed || isEventStream(contentType));
    this.#through = streamed;
    this.mode = !readable ? 'pass' : streamed ? 'stream' : 'whole';
    this.#inflating = readable && encoding !== '';
    if (this.#inflating) {
      out.push({ type: 'inflate', encoding });
    }
    // What goes through the reader leaves as plain text, and may become longer or shorter.
    const remove: string[] = streamed ? ['content-length'] : [];
    if (streamed && this.#inflating) {
      remove.push('content-encoding');
    }
    const limits = limitHeaders(dialect, snapshots, nowMs);
    hideFromClient(headers, limits, remove);
    const set = [...idHeader(requestId), ...limits];
    out.push({ type: 'response-headers', mutation: { set, remove } });
    if (endOfStream) {
      this.ended = true;
    }
    return undefined;
  }

  #ofEnvoy(reply: string | undefined): void {
    if (this.status! >= 500 && reply !== undefined) {
      this.broken = interruptionOf(reply);
    }
  }

  #body(bytes: Uint8Array, endOfStream: boolean, nowMs: number, out: Action[]): void {
    if (this.ended) {
      return;
    }
    this.bytes += bytes.length;
    if (endOfStream) {
      this.#upstreamEnded = true;
    }
    if (!this.#through) {
      out.push({ type: 'response-body', bytes, endOfStream });
      if (this.mode !== 'pass' && bytes.length > 0) {
        this.firstTokenMs ??= nowMs;
      }
    }
    if (this.mode !== 'pass' && this.#inflating) {
      if (bytes.length > 0) {
        out.push({ type: 'inflate-push', bytes });
      }
      if (endOfStream) {
        out.push({ type: 'inflate-finish' });
      }
    } else {
      this.#read(bytes, nowMs, out);
    }
  }

  #responseTrailers(nowMs: number, out: Action[]): void {
    if (this.ended && this.mode !== 'pass') {
      return;
    }
    this.#upstreamEnded = true;
    this.#trailers = true;
    if (!this.#through) {
      out.push({ type: 'response-trailers' });
    }
    if (this.mode !== 'pass' && this.#inflating) {
      out.push({ type: 'inflate-finish' });
    } else {
      this.#read(new Uint8Array(0), nowMs, out);
    }
  }

  #inflateEnd(error: boolean, nowMs: number, out: Action[]): void {
    if (this.ended) {
      return;
    }
    this.#inflating = false;
    this.#undecoded ||= error;
    if (error && this.#through) {
      this.#upstreamEnded = true;
      this.fail(brokenEncoding, out);
    } else {
      this.#upstreamEnded ||= this.#through;
      this.#read(new Uint8Array(0), nowMs, out);
    }
  }

  /** Bytes of the answer as the provider meant them, or its end. */
  #read(bytes: Uint8Array, nowMs: number, out: Action[]): void {
    if (this.ended) {
      return;
    }
    const last = this.#upstreamEnded && !this.#inflating;
    if (this.mode !== 'pass' && !this.#formIsKnown) {
      const form = formOf(bytes, this.mode as AnswerForm);
      if (form === undefined && !last) {
        if (this.#through && bytes.length > 0) {
          out.push({ type: 'response-body', bytes, endOfStream: false });
        }
        return;
      }
      this.#open(form ?? (this.mode as AnswerForm));
    }
    if (this.#through && this.mode === 'stream') {
      this.#take(bytes, nowMs, out);
      return;
    }
    if (bytes.length > 0) {
      if (this.mode === 'whole') {
        this.#readers.unary.push(bytes, this.#sample!);
      } else if (this.mode === 'stream') {
        this.#stream!.push(bytes);
      }
    }
    if (this.#through) {
      this.#pass(bytes, last, nowMs, out);
    }
    if (!last) {
      return;
    }
    if (this.mode === 'stream') {
      this.#stream!.finish();
    }
    this.ended = true;
  }

  /** A whole answer to a client that asked for a stream. */
  #pass(bytes: Uint8Array, last: boolean, nowMs: number, out: Action[]): void {
    if (bytes.length > 0 && this.firstTokenMs === undefined) {
      this.firstTokenMs = nowMs;
      out.push({ type: 'stop-timer' });
    }
    const endOfStream = last && !this.#trailers;
    if (bytes.length > 0 || endOfStream) {
      out.push({ type: 'response-body', bytes, endOfStream });
    }
    if (last && this.#trailers) {
      out.push({ type: 'response-trailers' });
    }
  }

  #open(form: AnswerForm): void {
    this.#formIsKnown = true;
    this.mode = form;
    const { readers, meter, lease, sample } = this.#context.metered!;
    if (form === 'whole') {
      this.#sample = sample();
    } else {
      const leased = this.#through ? lease?.tokens : undefined;
      this.#stream = newStreamAnswer(readers.stream, meter(), leased ?? Number.POSITIVE_INFINITY, (bytes) => {
        if (this.#through) {
          this.#sent.push(bytes);
        }
      });
    }
  }

  /** Bytes of a stream: on to the client, or kept while an extension is awaited. */
  #take(bytes: Uint8Array, nowMs: number, out: Action[]): void {
    if (this.blocked) {
      if (bytes.length > 0) {
        this.#waiting.push(Buffer.from(bytes));
      }
      return;
    }
    const went = this.#stream!.push(bytes);
    if (this.#stream!.sawText && this.firstTokenMs === undefined) {
      this.firstTokenMs = nowMs;
      out.push({ type: 'stop-timer' });
    }
    this.#afterPush(went, nowMs, out);
  }

  #afterPush(pushed: boolean, nowMs: number, out: Action[]): void {
    const stream = this.#stream!;
    const last = this.#upstreamEnded && !this.#inflating && this.#waiting.length === 0;
    const went = pushed && (!last || stream.overflowed || stream.finish());
    if (!went) {
      this.#release(false, out);
      this.blocked = true;
      this.#blockedAtMs = nowMs;
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
      this.fail(failure('internal_error', 'An event of the provider is longer than any that is known.'), out);
      return;
    }
    if (last) {
      this.#release(!this.#trailers, out);
      if (this.#trailers) {
        out.push({ type: 'response-trailers' });
      }
      this.ended = true;
    } else {
      this.#release(false, out);
    }
  }

  #extended(tokens: number, nowMs: number, out: Action[]): void {
    if (this.ended || !this.blocked) {
      return;
    }
    this.blocked = false;
    const waitedMs = nowMs - this.#blockedAtMs;
    this.#waitedMs += waitedMs;
    const stream = this.#stream!;
    if (tokens < stream.needed) {
      this.#waitedInVainMs = waitedMs;
      this.#end(() => stream.cut(tokens, (output) => this.#usageSoFar(output)), out);
      this.cut = true;
      return;
    }
    this.#afterPush(stream.extend(tokens), nowMs, out);
    while (!this.blocked && !this.ended && this.#waiting.length > 0) {
      this.#take(this.#waiting.shift()!, nowMs, out);
    }
  }

  /** Ends the stream with an error event of the dialect. */
  fail(problem: Failure, out: Action[]): void {
    if (!this.#through || this.mode !== 'stream' || this.ended) {
      return;
    }
    this.failed = problem;
    this.#end(() => {
      this.#stream?.breakOff();
      this.#sent.push(this.#readers.stream.fail(problem));
    }, out);
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
    if (last >= 0) {
      this.#sent = [];
    } else if (endOfStream) {
      out.push({ type: 'response-body', bytes: new Uint8Array(0), endOfStream: true });
    }
  }

  /**
   * Reads the beginning of an event that never became whole. Events that pass unread to a client that
   * asked for no stream are delivered byte by byte, so their text is charged that way, too.
   */
  breakOff(): void {
    if (!this.#through && this.mode === 'stream' && !this.ended) {
      this.#stream!.finish();
    }
  }

  /** All is charged: what still comes is not read. */
  release(): void {
    this.ended = true;
    if (this.mode === 'whole') {
      this.#readers.unary.release();
    }
  }

  /** What came cannot be read, so its tokens are not known. */
  get unreadable(): boolean {
    return this.#undecoded || (this.mode === 'whole' && this.#formIsKnown && this.#saysNothing);
  }

  get #saysNothing(): boolean {
    const { unary } = this.#readers;
    const silent = this.#upstreamEnded && this.#context.metered!.hasOutput && this.#sample!.bytes === 0;
    return unary.broken || (silent && unary.usage === undefined);
  }

  get partlyUnreadable(): boolean {
    return this.unreadable || (this.mode === 'stream' && this.#readers.stream.unreadable > 0);
  }

  /** What the provider has told, for the charge. */
  get usage(): Usage | undefined {
    if (this.mode === 'stream') {
      return this.#readers.stream.usage;
    }
    return this.mode === 'whole' ? this.#readers.unary.usage : undefined;
  }

  get usageFinal(): boolean {
    if (this.mode === 'stream') {
      return this.#readers.stream.usageFinal;
    }
    return this.mode === 'whole' && this.#readers.unary.usage !== undefined;
  }

  get responseModel(): string | undefined {
    if (this.mode === 'stream') {
      return this.#readers.stream.responseModel;
    }
    return this.mode === 'whole' ? this.#readers.unary.responseModel : undefined;
  }

  /** Whether the stream came to the dialect's own end. */
  get finished(): boolean {
    return this.mode === 'stream' ? this.#readers.stream.state === 'finished' : this.ended;
  }

  /** Absent where nothing is leased. */
  get leasedTokens(): number | undefined {
    const lease = this.#context.metered?.lease;
    return lease === undefined ? undefined : ((this.#through ? this.#stream?.leasedTokens : undefined) ?? lease.tokens);
  }

  /** How long it has waited for extensions. */
  waitedMs(nowMs: number): number {
    return Math.floor(this.#waitedMs + (this.blocked ? nowMs - this.#blockedAtMs : 0));
  }

  /** For so long the provider went on at the end, and nobody read it, because more budget was awaited. */
  unreadMs(nowMs: number): number {
    const waitedMs = this.blocked ? nowMs - this.#blockedAtMs : this.#waitedInVainMs;
    return waitedMs < SHORTEST_WAIT_MS ? 0 : waitedMs;
  }

  unused(kept: number, work: CountingWork): number {
    // An answer that came whole, against what was asked for, goes on without regard to its lease.
    if (this.ended || this.blocked || (this.mode !== 'unknown' && this.mode !== 'stream')) {
      return 0;
    }
    return this.#stream?.unused(kept, work) ?? Math.max(0, this.#context.metered!.lease!.tokens - kept);
  }

  giveBack(tokens: number): void {
    if (this.#stream === undefined) {
      this.#context.metered!.lease!.tokens -= tokens;
    } else {
      this.#stream.giveBack(tokens);
    }
  }

  countedInput(): number | undefined {
    return this.#context.metered!.countedInput();
  }

  /** Tokens of the text that came; of what cannot be read, by its bytes. */
  countOutput(): number {
    const tokens = this.#stream?.outputTokens() ?? this.#sample?.tokens() ?? 0;
    return this.unreadable ? Math.max(tokens, Math.ceil(this.bytes / BYTES_A_TOKEN)) : tokens;
  }

  /** The count of all text that came, for the drift between it and the provider's own number. Takes up to 3 ms; absent where it would not be exact. */
  countExactly(): number | undefined {
    const tokens = this.#stream === undefined ? this.#sample?.exactTokens() : this.#stream.exactTokens();
    // Nothing that we could have seen: a call of a tool that we do not know, hidden reasoning alone.
    return tokens === 0 ? undefined : tokens;
  }
}
