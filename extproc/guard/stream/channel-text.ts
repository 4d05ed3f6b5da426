/**
 * The text of one channel as the detectors of the gateway itself look at it: a value may be split
 * at any place over any events.
 */
import { CONTEXT_LENGTH, type Detector, type Finding } from '../detectors/detector.ts';
import { clustersOf, type GuardRule, type RequestGuard, type RuleFinding } from '../guard.ts';
import { type ChannelKind, EditedText } from './edited-text.ts';

/** Units of a whole text that are looked at in one step. */
const STEP_UNITS = 8 * 1024;

/** More than the longest match of a detector. A longer undecided text is decided as it is. */
const MAX_UNDECIDED_UNITS = 64 * 1024;

/**
 * Findings that overlap are one, but a hostile text may overlap without end: a longer chain is
 * divided, and its parts have placeholders of their own.
 */
const MAX_CHAIN_UNITS = 512;

/** What to look for: what rules find, and placeholders that are to be restored. */
export interface DetectionStage {
  readonly rules: boolean;
  readonly placeholders: boolean;
}

const NO_RULES: readonly GuardRule[] = [];

export class ChannelText extends EditedText {
  readonly mayWithhold = true;
  readonly #rules: readonly GuardRule[];
  readonly #placeholders: Detector | undefined;
  /** Findings that begin before this place are decided. */
  #scanned = 0;

  constructor(kind: ChannelKind, guard: RequestGuard, stage: DetectionStage) {
    super(kind, guard);
    this.#rules = stage.rules ? guard.rulesFor('response', kind.scope) : NO_RULES;
    this.#placeholders = stage.placeholders && !kind.isSigned ? guard.placeholders : undefined;
  }

  /** Whether nothing has to be looked at. */
  get isFree(): boolean {
    return this.#rules.length === 0 && this.#placeholders === undefined;
  }

  protected override grown(): void {
    this.#decide(false);
  }

  /**
   * Decides a text of which nothing is missing, so that no detector has to say where more text
   * would change its findings.
   */
  protected override *complete(): Generator<number> {
    const { text } = this;
    let step = STEP_UNITS;
    let from = this.#scanned - this.base;
    while (from < text.length && this.guard.block === undefined) {
      const { findings, until } = this.#find(from, Math.min(text.length, from + step));
      if (findings.length > 0) {
        this.resolve(findings);
      }
      // A long finding may need more than one step.
      step = until === from ? 2 * step : STEP_UNITS;
      from = until;
      this.released = this.base + until;
      this.#scanned = this.released;
      this.letGo();
      yield step;
    }
  }

  /** Decides the rest as it is: nothing follows. */
  end(): void {
    this.endSource();
    if (this.#scanned < this.base + this.text.length) {
      this.#decide(true);
    }
    this.#scanned = this.released;
    this.letGo();
  }

  /**
   * Releases what waits, although a value may go on later, which is then masked from there on.
   * Not where a rule is closed, because the beginning of a value would pass.
   */
  release(): boolean {
    const isOpen = this.#rules.every(({ onFailure }) => onFailure === 'Open');
    if (isOpen) {
      this.#decide(true);
    }
    return isOpen;
  }

  /** Decides as much as is possible; `final`: everything. */
  #decide(final: boolean): void {
    const text = this.text;
    const from = this.#scanned - this.base;
    const isFull = text.length - from > MAX_UNDECIDED_UNITS;
    const open = isFull ? text.length : Math.max(from, this.wholeUntil(this.#openFrom(text)));
    const { findings, until } = this.#find(from, final ? text.length : open);
    if (findings.length > 0) {
      this.resolve(findings);
    }
    this.released = Math.max(this.released, this.base + until);
    this.#scanned = this.base + Math.min(until, open);
    this.letGo();
    this.#forget();
  }

  #openFrom(text: string): number {
    let open = this.#placeholders?.openFrom(text) ?? text.length;
    for (const { detector } of this.#rules) {
      open = Math.min(open, detector.openFrom(text));
    }
    return open;
  }

  /** Returns the findings that begin in the window before `to`, up to where all of them end. */
  #find(from: number, to: number): { readonly findings: readonly RuleFinding[]; readonly until: number } {
    const text = this.text;
    const all: RuleFinding[] = [];
    const some: Finding[] = [];
    const replacedTo = this.replacedTo - this.base;
    const add = (detector: Detector, rule: GuardRule | undefined) => {
      some.length = 0;
      detector.find(text, from, to, some);
      for (const { type, start, end, score } of some) {
        if (end > replacedTo) {
          all.push({ type, start: Math.max(start, replacedTo), end, score, rule });
        }
      }
    };
    for (const rule of this.#rules) {
      add(rule.detector, rule);
    }
    if (this.#placeholders !== undefined) {
      add(this.#placeholders, undefined);
    }
    if (all.length === 0) {
      return { findings: all, until: to };
    }
    const crossing = clustersOf(all).find((cluster) => cluster.end > to);
    if (crossing === undefined || (crossing.findings.length > 1 && to - crossing.start > MAX_CHAIN_UNITS)) {
      return { findings: all, until: to };
    }
    const until = Math.max(from, this.wholeUntil(Math.min(to, crossing.start)));
    return { findings: all.filter(({ start }) => start < until), until };
  }

  /** Drops text that is no longer needed as context. */
  #forget(): void {
    const place = Math.min(this.#scanned, this.released) - CONTEXT_LENGTH;
    // Rarely, because each time copies the window.
    if (place - this.base >= CONTEXT_LENGTH) {
      this.forget(place);
    }
  }
}
