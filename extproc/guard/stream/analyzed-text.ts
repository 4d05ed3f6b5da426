/**
 * The text of one channel as services look at it: in windows that overlap, because a value may
 * reach from one into the next.
 */
import { type ExternalGuardRule, isExternal } from '../compile.ts';
import type { Analysis } from '../external/external-detector.ts';
import { outcomeOf } from '../external-outcome.ts';
import { clustersOf, type RequestGuard, type RuleFinding } from '../guard.ts';
import { blockUnmaskable } from '../unmaskable.ts';
import type { Analyses } from './analyses.ts';
import { type ChannelKind, EditedText } from './edited-text.ts';

/** New text of a window, so that services are not asked about each token. */
const LEAST_UNITS = 400;
const MOST_UNITS = 32 * 1024;

/** The end of a window that is looked at again with the next. */
const OVERLAP_UNITS = 200;

interface AskedWindow {
  /** Places in the text of the channel. */
  readonly from: number;
  readonly to: number;
  readonly isLast: boolean;
  readonly answers: (Analysis | undefined)[];
  missing: number;
}

export class AnalyzedText extends EditedText {
  /** Services decide about windows; where they have no answer, their timeout ends the wait. */
  readonly mayWithhold = false;
  readonly #rules: readonly ExternalGuardRule[];
  readonly #analyses: Analyses;
  #asked: AskedWindow | undefined;
  /** The end of the last window. */
  #askedTo = 0;
  #hasEnded = false;
  /** Text before this place is decided although more may follow. */
  #finalTo = 0;

  constructor(kind: ChannelKind, guard: RequestGuard, analyses: Analyses) {
    super(kind, guard);
    this.#rules = guard.rulesFor('response', kind.scope).filter(isExternal);
    this.#analyses = analyses;
  }

  /** Whether nothing has to be looked at. */
  get isFree(): boolean {
    return this.#rules.length === 0;
  }

  protected override grown(): void {
    this.#ask();
  }

  /** Asks about the rest: nothing follows. */
  end(): void {
    this.endSource();
    this.#hasEnded = true;
    this.#ask();
  }

  /** Asks about what there is, although more may follow. */
  release(): boolean {
    this.#finalTo = this.base + this.text.length;
    this.#ask();
    return true;
  }

  /** Asks about the next window, unless an answer is missing or the text is too short. */
  #ask(): void {
    const end = this.base + this.text.length;
    if (this.#asked !== undefined || this.released === end) {
      return;
    }
    const from = this.released;
    const isFinal = this.#hasEnded || this.#finalTo > from;
    if (!isFinal && end - this.#askedTo < LEAST_UNITS) {
      return;
    }
    const finalTo = this.#hasEnded ? end : this.#finalTo;
    const to = Math.min(isFinal ? finalTo : end, from + MOST_UNITS);
    const isLast = isFinal && to === finalTo;
    const asked: AskedWindow = { from, to, isLast, answers: [], missing: this.#rules.length };
    this.#asked = asked;
    this.#askedTo = to;
    const text = this.text.slice(from - this.base, to - this.base);
    for (const [place, rule] of this.#rules.entries()) {
      this.#analyses.ask({ rule, scope: this.kind.scope, text, isLast: asked.isLast }, (answer) => {
        asked.answers[place] = answer;
        asked.missing--;
        if (asked.missing === 0 && this.#asked === asked) {
          this.#asked = undefined;
          this.#decide(asked);
        }
      });
    }
  }

  #decide({ from, to, isLast, answers }: AskedWindow): void {
    if (this.guard.block !== undefined || this.isDecided) {
      return;
    }
    const findings: RuleFinding[] = [];
    let replacement: string | undefined;
    let replacing: ExternalGuardRule | undefined;
    for (const [place, answer] of answers.entries()) {
      if (answer === undefined) {
        continue;
      }
      const rule = this.#rules[place]!;
      const outcome = outcomeOf(rule, answer);
      this.guard.block ??= outcome.block;
      if (outcome.isVerdict && !this.kind.repeats) {
        this.guard.countVerdict(rule);
      }
      if (outcome.replacement !== undefined && replacing === undefined) {
        replacing = rule;
        replacement = outcome.replacement;
      }
      const shift = from - this.base;
      for (const finding of outcome.findings) {
        findings.push({ ...finding, start: finding.start + shift, end: finding.end + shift });
      }
    }
    const until = isLast || replacement !== undefined ? to : this.#until(findings, from, to);
    const decided = findings.filter(({ start }) => start < until - this.base);
    if (replacement !== undefined && this.#replace(from, to, replacement)) {
      this.guard.resolve('response', this.text, decided, !this.kind.repeats);
    } else {
      if (replacement !== undefined) {
        blockUnmaskable(this.guard, [replacing]);
      }
      this.resolve(decided);
    }
    if (this.guard.block === undefined) {
      this.released = until;
      this.letGo();
      this.forget(until);
      this.#ask();
    }
  }

  /**
   * Replaces a whole window. Returns false where this is not possible: a window of JSON is a part
   * of a document, of which the replacement is none, and keys could become equal.
   */
  #replace(from: number, to: number, text: string): boolean {
    const { isSigned, form } = this.kind;
    const whole = { start: from - this.base, end: to - this.base, text, isShared: true };
    return !isSigned && form !== 'json' && this.apply(whole);
  }

  /** Returns up to where a window is decided: the rest is looked at again. */
  #until(findings: readonly RuleFinding[], from: number, to: number): number {
    const until = Math.max(from, to - OVERLAP_UNITS);
    if (to - from === MOST_UNITS && findings.some(({ start, end }) => end - start >= OVERLAP_UNITS)) {
      return to;
    }
    const crossing = clustersOf(findings).find((cluster) => cluster.end + this.base > until);
    return crossing === undefined ? until : Math.max(from, Math.min(until, crossing.start + this.base));
  }
}
