/** The behaviour that a request can ask of the mock provider (header `x-mock`, JSON). Data only. */

import type { MixedAnswer } from './hostile/answers.ts';

export type FailureMode = 'reset' | 'silent' | 'close';

export interface Behaviour {
  /** Responds with this status and an error body of the API. */
  readonly status?: number;
  /** Visible tokens per choice that it would generate without a bound. */
  readonly tokens?: number;
  /** Tokens that are billed and never shown; they come first, as reasoning does. */
  readonly hiddenTokens?: number;
  /** If false, generates all tokens, whatever the bound. */
  readonly keepsBounds?: boolean;
  readonly tokensAChunk?: number;
  /**
   * Bytes beside the text of each chunk (OpenAI's `obfuscation`), which fill buffers and cost no
   * tokens.
   */
  readonly paddingBytes?: number;
  /** Time between chunks of a stream; 0 writes as fast as the reader reads. */
  readonly paceMs?: number;
  /** Time before the response begins. */
  readonly delayMs?: number;
  /**
   * `Asked`: only with `stream_options.include_usage` (OpenAI); other APIs always report usage.
   * `Never`: no usage.
   */
  readonly usage?: 'Asked' | 'Always' | 'Never';
  /** Input that the provider bills in addition to what the client sent. */
  readonly extraInputTokens?: number;
  /**
   * Breaks off: before the headers, after this number of chunks, or after the last event and before
   * the end of the transfer.
   */
  readonly fail?: { readonly when: 'before' | 'in' | 'after'; readonly how: FailureMode; readonly chunks?: number };
  /** Compresses, whatever `accept-encoding` says. */
  readonly encoding?: 'gzip' | 'br' | 'zstd';
  /** Responds with the longest text of the prompt, in pieces of three characters. */
  readonly echo?: boolean;
  /** Responds with a call of the first tool of the request. */
  readonly tool?: boolean;
  /** Bodies that no honest provider sends. */
  readonly hostile?: 'endless-line' | 'megabyte-event' | 'compressed-bomb' | MixedAnswer;
  /** Seeds `hostile` responses, which differ each time. */
  readonly seed?: number;
  /** The service tier that answers of chat completions name. */
  readonly serviceTier?: string;
  /** Additional headers. */
  readonly headers?: Readonly<Record<string, string>>;
}
