/** What a request can ask of the mock provider (header `x-mock`, JSON), and what the provider remembers of it. Data only. */

import type { MixedAnswer } from './hostile/answers.ts';

export type FailureMode = 'reset' | 'silent' | 'close';

export interface Behaviour {
  /** Answers with this status and an error body in the dialect. */
  readonly status?: number;
  /** Visible tokens that it would make if no bound stopped it (each choice). */
  readonly tokens?: number;
  /** Tokens that are billed and never shown; they come first, as reasoning does. */
  readonly hiddenTokens?: number;
  /** False: makes all its tokens, whatever bound was sent. */
  readonly keepsBounds?: boolean;
  readonly tokensAChunk?: number;
  /** Bytes beside the text of each chunk (OpenAI's `obfuscation`): they fill buffers and cost no tokens. */
  readonly paddingBytes?: number;
  /** Between chunks of a stream; 0 writes as fast as the reader takes. */
  readonly paceMs?: number;
  /** Before the answer begins. */
  readonly delayMs?: number;
  /** `Asked`: only where `stream_options.include_usage` says so (OpenAI); others always tell. `Never` leaves it out everywhere. */
  readonly usage?: 'Asked' | 'Always' | 'Never';
  /** Input that the provider bills on top of what the client sent. */
  readonly extraInputTokens?: number;
  /** Breaks off: before the headers, in the stream after so many chunks, or after the last event and before the end of the transfer. */
  readonly fail?: { readonly when: 'before' | 'in' | 'after'; readonly how: FailureMode; readonly chunks?: number };
  /** Compresses, whatever `accept-encoding` says. */
  readonly encoding?: 'gzip' | 'br' | 'zstd';
  /** Answers with a call of the first tool of the request. */
  readonly tool?: boolean;
  /** Bodies that no honest provider sends. */
  readonly hostile?: 'endless-line' | 'megabyte-event' | 'compressed-bomb' | MixedAnswer;
  /** Of `hostile` answers that differ each time. */
  readonly seed?: number;
  /** Headers on top. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request as the provider saw it, and what it really made: the truth that a charge is held against. */
export interface Seen {
  readonly id: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connection: number;
  readonly startedAtMs: number;
  bodyBytes: number;
  /** The first megabyte. */
  body: string;
  inputTokens: number;
  /** Visible tokens that were given to the socket. */
  outputTokens: number;
  hiddenTokens: number;
  bound: number | undefined;
  /** Bytes of the answer, before compression. */
  answer: string;
  endedAtMs: number | undefined;
  /** The reader went away before the answer's end. */
  abortedAtMs: number | undefined;
}
