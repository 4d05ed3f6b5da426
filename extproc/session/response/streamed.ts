/**
 * Reads a response of server-sent events. Where the client asked for a stream, events reach it only
 * as far as the lease goes; near the end the lease is extended, or the stream is truncated with the
 * ending that the client API defines. Where it did not, events are read beside the bytes and the
 * lease does not apply.
 */
import { type Failure, failure } from '../../errors.ts';
import { textUsage, type Usage } from '../../usage.ts';
import type { Action, EventOf } from '../protocol.ts';
import { ClientStream, type EventSink } from './client-stream.ts';
import { BYTES_PER_TOKEN, type ResponseEvidence } from './evidence.ts';
import type { MeteredContext, ResponseHandler } from './handler.ts';
import { LeasedStream } from './leased-stream.ts';
import { type IncomingBody, MeteredResponse, NO_BYTES } from './metered.ts';

/** Each grant costs a journal entry, so extensions grow with the stream while the budget lasts. */
const MIN_EXTENSION_TOKENS = 64;
const MAX_EXTENSION_TOKENS = 4096;

/**
 * A quota store that decides at once has decided by then, on a busy machine too; shorter waits are
 * not charged.
 */
const SHORTEST_WAIT_MS = 10;

/** For a stream that is only read: its bytes reach the client as they arrive. */
const NO_CLIENT: EventSink = { event() {}, flush() {} };

const eventTooLong = failure(
  'internal_error',
  'An event of the provider is broken or too long. Ask for shorter output.',
);

export class StreamedResponse extends MeteredResponse {
  readonly #stream: LeasedStream;
  /** Absent where the bytes pass as they arrive. */
  readonly #client: ClientStream | undefined;
  #truncated = false;
  /** Waits for an extension. */
  #isExtending = false;
  /** Waits for the last answers of guardrails: at the provider's end, or an earlier one. */
  #ending: 'provider' | 'early' | undefined;
  #blockedAtMs = 0;
  /** Total wait for extensions, and the last wait if it was in vain. */
  #waitedMs = 0;
  #waitedInVainMs = 0;
  /** Copies of bytes that arrived while an extension was pending. */
  #deferred: Uint8Array[] = [];

  constructor(context: MeteredContext, incoming: IncomingBody) {
    super(context, incoming);
    const { adapter, newMeter, lease, guard, content } = context;
    const { relayed } = incoming;
    const leasedTokens = (relayed ? lease?.tokens : undefined) ?? Number.POSITIVE_INFINITY;
    const client = relayed ? new ClientStream(adapter.writer, guard, content) : undefined;
    this.#client = client;
    this.#stream = new LeasedStream(adapter, newMeter(), leasedTokens, client ?? NO_CLIENT);
    if (relayed) {
      lease?.attach(this.#stream);
    }
  }

  read(bytes: Uint8Array, nowMs: number, out: Action[]): ResponseHandler {
    if (this.incoming.relayed) {
      this.#relay(bytes, nowMs, out);
      return this;
    }
    if (bytes.length > 0) {
      this.#stream.push(bytes);
      this.context.content?.stream(bytes);
    }
    if (this.incoming.complete) {
      this.#stream.finish();
      this.ended = true;
    }
    return this;
  }

  #relay(bytes: Uint8Array, nowMs: number, out: Action[]): void {
    if (this.#isExtending) {
      if (bytes.length > 0) {
        this.#deferred.push(Buffer.from(bytes));
      }
      return;
    }
    if (this.#ending !== undefined) {
      return;
    }
    this.#client!.guarded(nowMs);
    const withinLease = this.#stream.push(bytes);
    if (this.#stream.sawText && this.incoming.firstTokenMs === undefined) {
      this.incoming.firstTokenMs = nowMs;
      out.push({ type: 'stop-timer' });
    }
    this.#afterPush(withinLease, nowMs, out);
  }

  #afterPush(withinLease: boolean, nowMs: number, out: Action[]): void {
    const stream = this.#stream;
    const last = this.incoming.complete && this.#deferred.length === 0;
    const isCovered = withinLease && (!last || stream.overflowed || stream.finish());
    const problem = this.#client!.guarded(nowMs);
    if (problem !== undefined) {
      this.#stopped(problem, out);
    } else if (!isCovered) {
      this.#askForExtension(nowMs, out);
    } else if (stream.overflowed) {
      this.fail(eventTooLong, out);
    } else if (last) {
      this.#end(nowMs, out);
    } else {
      this.#release(false, out);
    }
  }

  #end(nowMs: number, out: Action[]): void {
    const client = this.#client!;
    client.end();
    const problem = client.guarded(nowMs);
    if (problem !== undefined) {
      this.#stopped(problem, out);
    } else if (client.isWaiting) {
      this.#ending = 'provider';
      this.#release(false, out);
    } else {
      this.#complete(out);
    }
  }

  #complete(out: Action[]): void {
    const { hasTrailers } = this.incoming;
    this.#release(!hasTrailers, out);
    if (hasTrailers) {
      out.push({ type: 'response-trailers' });
    }
    this.#close();
  }

  #askForExtension(nowMs: number, out: Action[]): void {
    const { needed, leasedTokens } = this.#stream;
    const lease = this.context.lease!;
    this.#isExtending = true;
    this.#release(false, out);
    lease.reclaimable = false;
    this.#blockedAtMs = nowMs;
    const usual = Math.min(MAX_EXTENSION_TOKENS, Math.max(MIN_EXTENSION_TOKENS, needed, leasedTokens));
    out.push({
      type: 'extend',
      hold: lease.hold,
      output: { mode: 'lease', want: Math.max(usual, needed), least: needed },
    });
  }

  protected override extended(tokens: number, nowMs: number, out: Action[]): void {
    if (!this.#isExtending) {
      return;
    }
    this.#isExtending = false;
    this.blocked = false;
    this.context.lease!.reclaimable = true;
    const waitedMs = nowMs - this.#blockedAtMs;
    this.#waitedMs += waitedMs;
    if (tokens < this.#stream.needed) {
      this.#waitedInVainMs = waitedMs;
      this.#truncate(tokens, nowMs, out);
      return;
    }
    this.#afterPush(this.#stream.extend(tokens), nowMs, out);
    while (!this.#isExtending && !this.ended && this.#deferred.length > 0) {
      this.#relay(this.#deferred.shift()!, nowMs, out);
    }
  }

  #truncate(tokens: number, nowMs: number, out: Action[]): void {
    const client = this.#client!;
    this.#stream.endLease(tokens);
    client.truncate(this.#usageSoFar(this.#stream.outputTokens()));
    const problem = client.guarded(nowMs);
    if (problem !== undefined) {
      this.#stopped(problem, out);
      return;
    }
    this.#truncated = true;
    if (client.isWaiting) {
      this.#ending = 'early';
      this.#deferred = [];
      this.#release(false, out);
    } else {
      this.#endEarly(out);
    }
  }

  override stop(_problem: Failure, nowMs: number, out: Action[]): boolean {
    if (this.ended || this.#client === undefined || this.#ending !== undefined) {
      return false;
    }
    if (this.#isExtending) {
      this.#isExtending = false;
      this.blocked = false;
      out.push({ type: 'cancel' });
    }
    this.#truncate(0, nowMs, out);
    return true;
  }

  protected override analyzed(event: EventOf<'analyzed'>, nowMs: number, out: Action[]): void {
    const client = this.#client;
    if (client === undefined) {
      return;
    }
    client.answer(event, nowMs);
    const problem = client.guarded(nowMs);
    if (problem !== undefined) {
      this.#stopped(problem, out);
    } else if (this.#ending === undefined || client.isWaiting) {
      this.#release(false, out);
    } else if (this.#ending === 'early') {
      this.#endEarly(out);
    } else {
      this.#complete(out);
    }
  }

  /** Guardrails end the stream: they block it, or it cannot be examined. */
  #stopped(problem: Failure, out: Action[]): void {
    if (this.context.guard?.guard.block === undefined) {
      this.fail(problem, out);
      return;
    }
    this.failure = problem;
    this.#client!.block(this.#usageSoFar(this.#stream.outputTokens()));
    this.#endEarly(out);
  }

  fail(problem: Failure, out: Action[]): void {
    if (this.ended || this.#client === undefined) {
      return;
    }
    this.failure = problem;
    this.#client.fail(problem);
    this.#endEarly(out);
  }

  /**
   * Sends `end_of_stream` while the provider still sends: the client sees a proper end, and Envoy
   * closes the upstream connection at once (Envoy 1.40).
   */
  #endEarly(out: Action[]): void {
    this.#deferred = [];
    this.#release(true, out);
    this.#close();
  }

  #close(): void {
    this.ended = true;
    if (this.context.lease !== undefined) {
      this.context.lease.reclaimable = false;
    }
  }

  #usageSoFar(output: number): Usage {
    const reported = this.context.adapter.reader.usage;
    return reported !== undefined && reported.input > 0
      ? { ...reported, output: Math.max(reported.output, output) }
      : textUsage(this.context.inputTokens(), output);
  }

  #release(endOfStream: boolean, out: Action[]): void {
    const client = this.#client!;
    const pieces = client.take();
    const last = pieces.length - 1;
    for (let index = 0; index <= last; index++) {
      out.push({ type: 'response-body', bytes: pieces[index]!, endOfStream: endOfStream && index === last });
    }
    if (last < 0 && endOfStream) {
      out.push({ type: 'response-body', bytes: NO_BYTES, endOfStream: true });
    }
    if (!endOfStream) {
      out.push(...client.questions());
      this.blocked = this.#isExtending || this.#ending === 'early' || client.isFull;
    }
  }

  /**
   * The client received an incomplete last event byte by byte where it asked for no stream: reads
   * it too.
   */
  override abandon(): void {
    if (!this.incoming.relayed && !this.ended) {
      this.#stream.finish();
    }
  }

  override release(): void {
    this.#close();
  }

  evidence(nowMs: number): ResponseEvidence {
    const stream = this.#stream;
    const { incoming } = this;
    const { reader } = this.context.adapter;
    const pendingMs = this.#isExtending ? nowMs - this.#blockedAtMs : 0;
    const unreadMs = this.#isExtending ? pendingMs : this.#waitedInVainMs;
    return {
      usage: reader.usage,
      usageFinal: reader.usageFinal,
      responseModel: reader.responseModel,
      serviceTier: reader.serviceTier,
      named: reader,
      finished: reader.state === 'finished',
      truncated: this.#truncated,
      unreadable: incoming.undecodable,
      partlyUnreadable: incoming.undecodable || reader.unreadable > 0,
      waitedMs: Math.floor(this.#waitedMs + pendingMs),
      unreadMs: unreadMs < SHORTEST_WAIT_MS ? 0 : unreadMs,
      countOutput: () => {
        const tokens = stream.outputTokens();
        return incoming.undecodable ? Math.max(tokens, Math.ceil(incoming.bytes / BYTES_PER_TOKEN)) : tokens;
      },
      countExactly: () => stream.exactTokens() || undefined,
    };
  }
}
