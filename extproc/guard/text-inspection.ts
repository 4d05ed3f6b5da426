/** One long text of a request, which passes the detectors of the gateway in windows. */
import type { Splice } from '../json/splice.ts';
import { CONTEXT_LENGTH, type Finding } from './detectors/detector.ts';
import type { GuardRule, Replacement, RequestGuard, RuleFinding } from './guard.ts';
import { blockSigned } from './signed-text.ts';
import type { RequestText } from './text/requests/request-texts.ts';
import { escapedUnits, offsetOfUnit, spelledUnits, windowEnd } from './text/string-units.ts';

export class TextInspection {
  readonly #raw: Uint8Array;
  readonly #text: RequestText;
  readonly #rules: readonly GuardRule[];
  readonly #guard: RequestGuard;
  readonly #splices: Splice[];
  /** The window: context that is decided, and text that is not. */
  #window = '';
  /** The units of the window before this index are decided. */
  #from = 0;
  /** Units before the window. */
  #base = 0;
  /** Units of the whole text up to which findings are replaced. */
  #replacedTo = 0;
  /** A place in the raw text, and the unit there. */
  #rawAt: number;
  #unitAt = 0;

  constructor(raw: Uint8Array, text: RequestText, rules: readonly GuardRule[], guard: RequestGuard, splices: Splice[]) {
    this.#raw = raw;
    this.#text = text;
    this.#rules = rules;
    this.#guard = guard;
    this.#splices = splices;
    this.#rawAt = text.start;
  }

  /** Yields the bytes of each window. */
  *run(windowBytes: number): Generator<number> {
    const { start, end, spelling } = this.#text;
    for (let at = start; at < end && this.#guard.block === undefined; ) {
      const until = windowEnd(this.#raw, at, end, windowBytes);
      this.#window += spelledUnits(this.#raw, at, until, spelling);
      this.#decide(until === end);
      yield until - at;
      at = until;
    }
  }

  #decide(isLast: boolean): void {
    const text = this.#window;
    let to = text.length;
    if (!isLast) {
      for (const { detector } of this.#rules) {
        to = Math.min(to, detector.openFrom(text));
      }
    }
    to = Math.max(to, this.#from);
    const findings: RuleFinding[] = [];
    const found: Finding[] = [];
    for (const rule of this.#rules) {
      rule.detector.find(text, this.#from, to, found);
      for (const finding of found) {
        this.#add(findings, { ...finding, rule });
      }
      found.length = 0;
    }
    if (findings.length > 0) {
      this.#replace(this.#guard.resolve('request', text, findings, true).replacements, findings);
    }
    const drop = Math.max(0, to - CONTEXT_LENGTH);
    this.#window = text.slice(drop);
    this.#from = to - drop;
    this.#base += drop;
  }

  /** Adds a finding, without the part that an earlier window has replaced. */
  #add(findings: RuleFinding[], finding: RuleFinding): void {
    const start = Math.max(finding.start, this.#replacedTo - this.#base);
    if (start < finding.end) {
      findings.push({ ...finding, start });
    }
  }

  #replace(replacements: readonly Replacement[], findings: readonly RuleFinding[]): void {
    if (this.#text.use.isSigned) {
      const rules = findings.map((finding) => finding.rule);
      blockSigned(this.#guard, rules);
      return;
    }
    for (const { start, end, text } of replacements) {
      const from = this.#offsetOf(this.#base + start);
      const until = this.#offsetOf(this.#base + end);
      this.#splices.push({ start: from, end: until, bytes: Buffer.from(escapedUnits(text)) });
      this.#replacedTo = this.#base + end;
    }
  }

  #offsetOf(unit: number): number {
    const { start, end, spelling } = this.#text;
    const ahead = unit - this.#unitAt;
    this.#rawAt = spelling === 'ascii' ? start + unit : offsetOfUnit(this.#raw, this.#rawAt, end, ahead);
    this.#unitAt = unit;
    return this.#rawAt;
  }
}
