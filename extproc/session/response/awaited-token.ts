/**
 * Keeps the beginning of a stream, with its headers, until its first token, so that a provider that
 * accepts a request and then sends nothing can still fail over: the client gets an error that asks
 * for a retry in place of the response.
 */
import type { Failure } from '../../errors.ts';
import type { Action } from '../protocol.ts';
import type { ResponseEvidence } from './evidence.ts';
import type { ResponseBodyEvent, ResponseHandler } from './handler.ts';

/** More than any provider sends before its first token. */
const MAX_KEPT_BYTES = 64 * 1024;

export class AwaitedToken implements ResponseHandler {
  ended = false;
  refused: Failure | undefined;
  /** Reads the response as if it passed; what it sends is kept here. */
  #reader: ResponseHandler;
  #kept: Action[];
  #keptBytes = 0;

  constructor(reader: ResponseHandler, headers: Action) {
    this.#reader = reader;
    this.#kept = [headers];
  }

  get blocked(): boolean {
    return this.#reader.blocked;
  }

  /** A stream reaches the client decompressed. */
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
    const reader = this.#reader;
    this.refused = reader.refused;
    if (reader.refused === undefined && this.#isOver) {
      out.push(...this.#kept);
      this.#kept = [];
      return reader;
    }
    return this;
  }

  get #isOver(): boolean {
    return this.#reader.firstTokenMs !== undefined || this.#reader.ended || this.#keptBytes > MAX_KEPT_BYTES;
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

  fail(problem: Failure): void {
    this.refused ??= problem;
  }

  stop(problem: Failure): boolean {
    this.fail(problem);
    return true;
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
