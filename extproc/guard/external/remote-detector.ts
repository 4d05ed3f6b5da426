/**
 * Asks a detector over HTTP within a deadline: once again where it is unavailable and time remains,
 * not at all while it fails repeatedly, and within bounds of the memory that its slowness may cost.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Finding } from '../detectors/detector.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { DetectorEndpoint } from './detector-endpoint.ts';
import { type Analysis, type AnalyzeContext, DetectorError, type ExternalDetector } from './external-detector.ts';

/** The API of a detector: returns what to send for a text. */
export type DetectorApi = (text: string, context: AnalyzeContext) => DetectorCall;

export interface DetectorCall {
  readonly body: object;
  /** For the body as JSON. */
  readonly headers?: (body: string) => Readonly<Record<string, string>>;
  /** Throws a `DetectorError` if the answer is not valid. */
  read(answer: unknown): Analysis;
}

export interface RemoteDetectorOptions {
  readonly api: DetectorApi;
  readonly endpoint: DetectorEndpoint;
  /** Milliseconds. */
  readonly now: () => number;
}

/** So that no step with the text of one call takes milliseconds. In UTF-16 code units. */
export const MAX_TEXT_LENGTH = 256 * 1024;
/** Requests that are sent or wait for a connection. */
const MAX_PENDING = 256;
/** Their texts together, in UTF-16 code units. */
const MAX_PENDING_LENGTH = 8 * 1024 * 1024;
const RETRY_DELAY_MS = 20;
/** An answer may replace the text, with escapes, and has findings. */
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_ANSWER_BYTES_A_CHARACTER = 6;

/**
 * Names of findings are values of metrics and access lines, which a service must not fill. Presidio
 * knows about 60 entities.
 */
const MAX_TYPES = 100;
const OTHER_TYPE = 'Other';

const allowed: Analysis = { action: 'allow', findings: [] };

export class RemoteDetector implements ExternalDetector {
  readonly #api: DetectorApi;
  readonly #endpoint: DetectorEndpoint;
  readonly #now: () => number;
  readonly #breaker: CircuitBreaker;
  readonly #types = new Set<string>();
  #pending = 0;
  #pendingLength = 0;

  constructor({ api, endpoint, now }: RemoteDetectorOptions) {
    this.#api = api;
    this.#endpoint = endpoint;
    this.#now = now;
    this.#breaker = new CircuitBreaker(now);
  }

  async analyze(text: string, context: AnalyzeContext, timeoutMs: number, signal: AbortSignal): Promise<Analysis> {
    if (text === '') {
      return allowed;
    }
    if (text.length > MAX_TEXT_LENGTH) {
      throw new DetectorError('too_long', `the text is longer than ${MAX_TEXT_LENGTH} characters`);
    }
    if (this.#pending >= MAX_PENDING || this.#pendingLength + text.length > MAX_PENDING_LENGTH) {
      throw new DetectorError('busy', 'too many requests to the detector are in flight');
    }
    const admission = this.#breaker.admit();
    if (admission === undefined) {
      throw new DetectorError('circuit_open', 'the detector failed repeatedly and is not asked for a moment');
    }
    this.#pending++;
    this.#pendingLength += text.length;
    const deadline = newDeadline(timeoutMs, signal);
    try {
      const analysis = await this.#ask(text, context, this.#now() + timeoutMs, deadline.signal);
      this.#breaker.succeeded();
      return analysis.findings.length === 0
        ? analysis
        : { ...analysis, findings: analysis.findings.map((finding) => this.#withKnownType(finding)) };
    } catch (error) {
      if (signal.aborted) {
        this.#breaker.left(admission);
      } else {
        this.#breaker.failed(admission);
      }
      throw error;
    } finally {
      deadline.clear();
      this.#pending--;
      this.#pendingLength -= text.length;
    }
  }

  #withKnownType(finding: Finding): Finding {
    if (this.#types.size < MAX_TYPES) {
      this.#types.add(finding.type);
    }
    return this.#types.has(finding.type) ? finding : { ...finding, type: OTHER_TYPE };
  }

  close(): void {
    this.#endpoint.close();
  }

  async #ask(text: string, context: AnalyzeContext, untilMs: number, signal: AbortSignal): Promise<Analysis> {
    try {
      return await this.#askOnce(text, context, signal);
    } catch (error) {
      const mayRepeat = error instanceof DetectorError && error.failure === 'unavailable';
      if (!mayRepeat || signal.aborted || untilMs - this.#now() <= RETRY_DELAY_MS) {
        throw error;
      }
    }
    await delay(RETRY_DELAY_MS, undefined, { signal }).catch(() => {
      throw signal.reason;
    });
    return this.#askOnce(text, context, signal);
  }

  async #askOnce(text: string, context: AnalyzeContext, signal: AbortSignal): Promise<Analysis> {
    const call = this.#api(text, context);
    const body = JSON.stringify(call.body);
    const maxAnswerBytes = MAX_ANSWER_BYTES + MAX_ANSWER_BYTES_A_CHARACTER * text.length;
    const headers = call.headers?.(body) ?? {};
    const answer = await this.#endpoint.post({ body, headers, maxAnswerBytes }, signal);
    return call.read(answer);
  }
}

/** Returns a signal that aborts at the deadline or with the caller's, whose reason is an error. */
function newDeadline(timeoutMs: number, signal: AbortSignal): { readonly signal: AbortSignal; clear(): void } {
  const controller = new AbortController();
  const leave = () => controller.abort(new DetectorError('aborted', 'the caller no longer wants the analysis'));
  const timer = setTimeout(
    () => controller.abort(new DetectorError('timeout', `the detector does not answer within ${timeoutMs} ms`)),
    timeoutMs,
  );
  if (signal.aborted) {
    leave();
  } else {
    signal.addEventListener('abort', leave, { once: true });
  }
  return {
    signal: controller.signal,
    clear() {
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
    },
  };
}

/** Returns the header of an API key. */
export function bearer(key: string | undefined): () => Readonly<Record<string, string>> {
  return () => (key === undefined ? {} : { authorization: `Bearer ${key}` });
}
