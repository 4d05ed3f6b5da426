/**
 * One request as the mock provider saw it, with what the provider generated: tests compare charges
 * with it.
 */
export interface Seen {
  readonly id: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connection: number;
  readonly startedAtMs: number;
  bodyBytes: number;
  /** The first megabyte of the body. */
  body: string;
  inputTokens: number;
  /** Visible tokens that were written to the socket. */
  outputTokens: number;
  hiddenTokens: number;
  bound: number | undefined;
  /** Bytes of the response before compression. */
  answer: string;
  endedAtMs: number | undefined;
  /** The reader left before the end of the response. */
  abortedAtMs: number | undefined;
}
