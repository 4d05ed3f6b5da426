/** One long text of a request, which passes the detectors of the gateway in steps. */
import type { Splice } from '../json/splice.ts';
import { CONTEXT_LENGTH, type Detector, type Finding } from './detectors/detector.ts';
import type { GuardRule, Replacement, RequestGuard, RuleFinding } from './guard.ts';
import type { RequestText } from './text/requests/request-texts.ts';
import { escapedUnits, offsetOfUnit, spelledUnits, windowEnd } from './text/string-units.ts';
import { blockUnmaskable } from './unmaskable.ts';

/** Units that the detectors look at in one step. */
const STEP_UNITS = 8 * 1024;

/** Bytes that are decoded in one step. */
const DECODED_BYTES = 32 * 1024;

/**
 * Such parts are in memory as text at once: 1 MB. Where a text is longer, the detectors must say
 * from where on more text could change their findings; this costs as much as to look at the end
 * again.
 */
const SECTION_PARTS = 32;

/** No detector has a longer match, in units: what begins before is decided. */
const LONGEST_MATCH = 64 * 1024;

export class TextInspection {
  readonly #raw: Uint8Array;
  readonly #text: RequestText;
  readonly #rules: readonly GuardRule[];
  readonly #guard: RequestGuard;
  readonly #splices: Splice[];
  /** The section: context that is decided, and text that is not. */
  #section = '';
  /** The units of the section before this index are decided. */
  #from = 0;
  /** Units before the section. */
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

  /** Yields the bytes or units of each step. */
  *run(): Generator<number> {
    const { start, end } = this.#text;
    for (let at = start; at < end && this.#guard.block === undefined; ) {
      at = yield* this.#decode(at);
      const to = at === end ? this.#section.length : Math.max(this.#from, this.#openFrom());
      yield* this.#inspect(to);
      this.#forget();
    }
  }

  /** Adds a section of the text. Returns where in the raw text the next one begins. */
  *#decode(start: number): Generator<number, number> {
    const { end, spelling } = this.#text;
    let at = start;
    for (let part = 0; part < SECTION_PARTS && at < end; part++) {
      const until = windowEnd(this.#raw, at, end, DECODED_BYTES);
      this.#section += spelledUnits(this.#raw, at, until, spelling);
      // Decoding is fast, so a few of these make one turn of the event loop.
      yield (until - at) >> 3;
      at = until;
    }
    return at;
  }

  /** Returns where in the section a finding may depend on the next one. */
  #openFrom(): number {
    const section = this.#section;
    const before = Math.max(0, section.length - LONGEST_MATCH);
    const end = section.slice(before);
    return before + Math.min(end.length, ...this.#rules.map(({ detector }) => detector.openFrom(end)));
  }

  /** Looks at the section up to an index. */
  *#inspect(end: number): Generator<number> {
    const section = this.#section;
    while (this.#from < end && this.#guard.block === undefined) {
      const from = this.#from;
      const to = Math.min(end, from + STEP_UNITS);
      const findings: RuleFinding[] = [];
      for (const rule of this.#rules) {
        this.#find(rule.detector, rule, to, findings);
      }
      if (findings.length > 0) {
        this.#replace(this.#guard.resolve('request', section, findings, true).replacements, findings);
      }
      this.#from = to;
      yield to - from;
    }
  }

  /** Adds findings, without the parts that an earlier step has replaced. */
  #find(detector: Detector, rule: GuardRule, to: number, out: RuleFinding[]): void {
    const found: Finding[] = [];
    detector.find(this.#section, this.#from, to, found);
    for (const { type, start, end, score } of found) {
      const from = Math.max(start, this.#replacedTo - this.#base);
      if (from < end) {
        out.push({ type, start: from, end, score, rule });
      }
    }
  }

  #replace(replacements: readonly Replacement[], findings: readonly RuleFinding[]): void {
    if (this.#text.use.isSigned) {
      const rules = findings.map((finding) => finding.rule);
      blockUnmaskable(this.#guard, rules);
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

  /** Drops text that is no longer needed as context. */
  #forget(): void {
    const drop = Math.max(0, this.#from - CONTEXT_LENGTH);
    this.#section = this.#section.slice(drop);
    this.#from -= drop;
    this.#base += drop;
  }
}
