/** The interface of detectors outside this process, which look at one text at a time. */
import type { Finding } from '../detectors/detector.ts';
import type { GuardScope } from '../text/fragment.ts';

/** What a detector learns about a text. */
export interface AnalyzeContext {
  readonly phase: 'request' | 'response';
  readonly scope: GuardScope;
  readonly model: string;
  /** `NAMESPACE/NAME`. */
  readonly route: string;
  readonly tenant?: string | undefined;
  readonly user?: string | undefined;
  readonly requestId?: string | undefined;
  /** False: more of the same text follows, as in a stream. */
  readonly final: boolean;
}

/** What a detector says about a text. */
export interface Analysis {
  readonly action: 'allow' | 'block' | 'modify';
  /** In order of their start; offsets in UTF-16 code units, as in built-in detectors. */
  readonly findings: readonly Finding[];
  /** With `modify`: what replaces the whole text; absent: the findings are to be masked. */
  readonly replacement?: string;
  /** Why the text is blocked, for the client. */
  readonly message?: string;
}

export interface ExternalDetector {
  /**
   * Analyzes a text in at most `timeoutMs`. Rejects with a `DetectorError` only; the `onFailure` of
   * the rule decides what a rejection means.
   */
  analyze(text: string, context: AnalyzeContext, timeoutMs: number, signal: AbortSignal): Promise<Analysis>;
}

/** Why there is no analysis. The names are values of metrics. */
export type DetectorFailure =
  /** No answer in time. */
  | 'timeout'
  /** No connection, or a status that says that the detector cannot answer now. */
  | 'unavailable'
  /** An answer that the contract does not allow. */
  | 'bad_response'
  /** Too many requests to the detector are in flight. */
  | 'busy'
  /** The detector failed repeatedly, and is not asked for a moment. */
  | 'circuit_open'
  /** The text is longer than a detector gets. */
  | 'too_long'
  /** The caller no longer wants the analysis. */
  | 'aborted';

/** A failure of a detector. The message contains no part of a text or an answer. */
export class DetectorError extends Error {
  readonly failure: DetectorFailure;

  constructor(failure: DetectorFailure, message: string) {
    super(message);
    this.name = 'DetectorError';
    this.failure = failure;
  }
}
