/**
 * Carries out the inspection of one exchange: its slices of the event loop, and the questions to
 * services.
 */
import type { ExternalDetectorSettings } from '../../contract/guardrails.ts';
import type { Exchange } from '../exchange.ts';
import { type Analysis, DetectorError, type ExternalDetector } from '../guard/external/external-detector.ts';
import type { ActionOf, EventOf, Inspection, SessionEvent } from './protocol.ts';

/**
 * Asks the service of a guardrail about a text. Rejects with a `DetectorError` if there is no
 * answer.
 */
export type AnalyzeText = (
  detector: ExternalDetectorSettings,
  ...question: Parameters<ExternalDetector['analyze']>
) => ReturnType<ExternalDetector['analyze']>;

/** Questions of one request that are asked at the same time; the others wait. */
const CONCURRENT_QUESTIONS = 16;

export class Inspections {
  readonly #exchange: Exchange;
  readonly #analyze: AnalyzeText;
  readonly #now: () => number;
  readonly #handle: (event: SessionEvent) => void;
  readonly #fail: (error: unknown) => void;
  #inspection: Inspection | undefined;
  #abort = new AbortController();
  readonly #waiting: ActionOf<'analyze'>[] = [];
  #asked = 0;

  constructor(
    exchange: Exchange,
    { analyze, now }: { readonly analyze: AnalyzeText; readonly now: () => number },
    handle: (event: SessionEvent) => void,
    fail: (error: unknown) => void,
  ) {
    this.#exchange = exchange;
    this.#analyze = analyze;
    this.#now = now;
    this.#handle = handle;
    this.#fail = fail;
  }

  act(action: ActionOf<'inspect' | 'analyze' | 'stop-inspection'>): void {
    switch (action.type) {
      case 'inspect':
        this.#inspect(action.inspection);
        break;
      case 'analyze':
        this.#waiting.push(action);
        this.#ask();
        break;
      case 'stop-inspection':
        this.stop();
        break;
      default:
        throw new Error(`unknown action ${(action satisfies never as { type: string }).type}`);
    }
  }

  stop(): void {
    this.#inspection = undefined;
    this.#waiting.length = 0;
    this.#asked = 0;
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  #inspect(inspection: Inspection): void {
    this.#inspection = inspection;
    this.#exchange.inSlices(() => {
      if (this.#inspection !== inspection) {
        return 0;
      }
      try {
        const bytes = inspection.step();
        if (bytes === 0) {
          this.#inspection = undefined;
          this.#handle({ type: 'inspected' });
        }
        return bytes;
      } catch (error) {
        this.stop();
        this.#fail(error);
        return 0;
      }
    });
  }

  #ask(): void {
    while (this.#asked < CONCURRENT_QUESTIONS) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        return;
      }
      this.#asked++;
      const { id, rule, text, context } = next;
      const { phase } = context;
      const { signal } = this.#abort;
      const askedMs = this.#now();
      const answered = (result: Analysis | DetectorError) =>
        this.#answered(signal, { type: 'analyzed', id, result, rule, phase, askedMs });
      this.#analyze(rule.external, text, context, rule.timeoutMs, signal).then(answered, (error) =>
        error instanceof DetectorError ? answered(error) : this.#fail(error),
      );
    }
  }

  #answered(signal: AbortSignal, event: EventOf<'analyzed'>): void {
    if (!signal.aborted) {
      this.#asked--;
      this.#ask();
      this.#handle(event);
    }
  }
}
