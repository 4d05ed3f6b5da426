/**
 * Keeps a unary response from its headers to its end, so that a failure can take its place. A
 * stream is let go at its first bytes.
 */
import type { Failure } from '../../errors.ts';
import type { Action } from '../protocol.ts';
import type { ResponseEvidence } from './evidence.ts';
import type { ResponseBodyEvent, ResponseHandler } from './handler.ts';
import type { IncomingBody } from './metered.ts';
import type { ResponseStage } from './stage.ts';
import { StreamedResponse } from './streamed.ts';

export class BufferedResponse implements ResponseHandler {
  ended = false;
  refused: Failure | undefined;
  readonly #stage: ResponseStage;
  readonly #incoming: IncomingBody;
  /** Reads the response as if it passed; what it sends is kept here. */
  #reader: ResponseHandler;
  #kept: Action[];
  #keptBytes = 0;

  constructor(stage: ResponseStage, reader: ResponseHandler, incoming: IncomingBody, headers: Action) {
    this.#stage = stage;
    this.#incoming = incoming;
    this.#reader = reader;
    this.#kept = [headers];
  }

  get blocked(): boolean {
    return this.#reader.blocked;
  }

  /** The client has nothing before the whole response was read. */
  get inflating(): boolean {
    return false;
  }

  get bytes(): number {
    return this.#reader.bytes;
  }

  get firstTokenMs(): number | undefined {
    return this.#reader.firstTokenMs;
  }

  get failure(): Failure | undefined {
    return this.#reader.failure;
  }

  handle(event: ResponseBodyEvent, nowMs: number, out: Action[]): ResponseHandler {
    if (this.ended || this.refused !== undefined) {
      return this;
    }
    const actions: Action[] = [];
    this.#reader = this.#reader.handle(event, nowMs, actions);
    for (const action of actions) {
      this.#keep(action, out);
    }
    const { withoutVerdict, limits } = this.#stage;
    const tooLong = this.#keptBytes > limits.bufferedBytes;
    const isStream = this.#incoming.relayed && this.#reader instanceof StreamedResponse;
    if (isStream || (tooLong && withoutVerdict === 'release')) {
      this.#release(out);
      return this.#reader;
    }
    if (tooLong) {
      this.refused = withoutVerdict as Failure;
    } else if (this.#reader.ended) {
      this.#end(nowMs, out);
    }
    return this;
  }

  #keep(action: Action, out: Action[]): void {
    if (action.type === 'response-body') {
      this.#keptBytes += action.bytes.length;
      this.#kept.push({ ...action, bytes: Buffer.from(action.bytes) });
    } else if (action.type === 'response-trailers') {
      this.#kept.push(action);
    } else {
      out.push(action);
    }
  }

  #end(nowMs: number, out: Action[]): void {
    const { withoutVerdict } = this.#stage;
    const unread = withoutVerdict !== 'release' && this.#reader.evidence(nowMs).unreadable;
    this.refused =
      this.#reader.refused ?? this.#reader.failure ?? this.#stage.end() ?? (unread ? withoutVerdict : undefined);
    if (this.refused === undefined) {
      this.#release(out);
      this.ended = true;
    }
  }

  #release(out: Action[]): void {
    out.push(...this.#kept);
    this.#kept = [];
  }

  fail(problem: Failure): void {
    this.refused ??= problem;
  }

  abandon(): void {
    this.#reader.abandon();
  }

  release(): void {
    this.ended = true;
    this.#kept = [];
    this.#reader.release();
  }

  evidence(nowMs: number): ResponseEvidence {
    return this.#reader.evidence(nowMs);
  }
}
