/**
 * Asks the services of guardrails about the texts of a request, after the detectors of the gateway
 * itself have masked them, and applies the answers. Pure: the caller asks the services.
 */
import type { Splice } from '../json/splice.ts';
import { type ExternalGuardRule, isExternal } from './compile.ts';
import { type Analysis, DetectorError } from './external/external-detector.ts';
import { outcomeOf } from './external-outcome.ts';
import type { GuardRule, Replacement, RequestGuard, RuleFinding } from './guard.ts';
import { blockSigned } from './signed-text.ts';
import type { GuardScope } from './text/fragment.ts';
import { type RequestText, RequestTexts } from './text/requests/request-texts.ts';
import { escapedUnits, offsetOfUnit, unitsOf } from './text/string-units.ts';

/** UTF-16 units that a service gets at once, and how many of them it gets again with the next. */
const WINDOW_UNITS = 32 * 1024;
const OVERLAP_UNITS = 256;

/** Of one request; more would keep services busy for minutes. */
const MAX_ANALYSES = 2000;

/** A text, or a window of one, for one rule. */
export interface TextQuestion {
  readonly rule: ExternalGuardRule;
  readonly scope: GuardScope;
  readonly text: string;
  /** The last window of its text. */
  readonly isLast: boolean;
}

interface AskedText {
  readonly text: RequestText;
  readonly units: string;
  readonly windows: { readonly question: TextQuestion; readonly offset: number; readonly at: number }[];
}

/** A rule that could not look at a text, and why. */
export interface AnalysisFailure {
  readonly rule: GuardRule;
  readonly reason: string;
}

export class RequestAnalysis {
  readonly questions: TextQuestion[] = [];
  readonly failures: AnalysisFailure[] = [];
  readonly #body: Uint8Array;
  readonly #guard: RequestGuard;
  readonly #texts: AskedText[] = [];

  constructor(body: Uint8Array, guard: RequestGuard) {
    this.#body = body;
    this.#guard = guard;
  }

  /** Collects the questions in steps. */
  *collect(): Generator<number> {
    const texts = new RequestTexts();
    yield* texts.read(this.#body);
    for (let place = 0; place < texts.count; place++) {
      const text = texts.textAt(place);
      if (text === undefined) {
        continue;
      }
      const rules = this.#guard.rulesFor('request', text.scope).filter(isExternal);
      if (rules.length > 0 && this.questions.length < MAX_ANALYSES) {
        this.#ask(text, rules);
        yield text.end - text.start;
      }
    }
    if (this.questions.length >= MAX_ANALYSES) {
      for (const rule of new Set(this.questions.map((question) => question.rule))) {
        this.failures.push({ rule, reason: 'too_many_texts' });
      }
      this.questions.length = 0;
    }
  }

  #ask(text: RequestText, rules: readonly ExternalGuardRule[]): void {
    const units = unitsOf(this.#body, text.start, text.end);
    if (units.trim() === '') {
      return;
    }
    const asked: AskedText = { text, units, windows: [] };
    for (const rule of rules) {
      for (let offset = 0; offset < units.length; offset += WINDOW_UNITS - OVERLAP_UNITS) {
        const isLast = offset + WINDOW_UNITS >= units.length;
        const question = { rule, scope: text.scope, text: units.slice(offset, offset + WINDOW_UNITS), isLast };
        asked.windows.push({ question, offset, at: this.questions.push(question) - 1 });
        if (isLast) {
          break;
        }
      }
    }
    this.#texts.push(asked);
  }

  /** Applies the answers, in the order of the questions. Returns the edits; sets `guard.block`. */
  apply(answers: readonly (Analysis | DetectorError)[]): readonly Splice[] {
    const splices: Splice[] = [];
    for (const asked of this.questions.length === 0 ? [] : this.#texts) {
      this.#applyTo(asked, answers, splices);
    }
    return splices;
  }

  #applyTo({ text, units, windows }: AskedText, answers: readonly (Analysis | DetectorError)[], out: Splice[]): void {
    const findings: RuleFinding[] = [];
    let whole: Replacement | undefined;
    let replacing: GuardRule | undefined;
    for (const { question, offset, at } of windows) {
      const { rule } = question;
      const answer = answers[at]!;
      if (answer instanceof DetectorError) {
        this.failures.push({ rule, reason: answer.failure });
        continue;
      }
      const outcome = outcomeOf(rule, answer);
      for (const finding of outcome.findings) {
        findings.push({ ...finding, start: finding.start + offset, end: finding.end + offset });
      }
      this.#guard.block ??= outcome.block;
      if (outcome.block === undefined && outcome.replacement !== undefined) {
        if (windows.some((other) => other.question.rule === rule && other.at !== at)) {
          this.failures.push({ rule, reason: 'too_long' });
        } else {
          whole = { start: 0, end: units.length, text: outcome.replacement };
          replacing = rule;
        }
      }
    }
    const { replacements } = this.#guard.resolve('request', units, findings, true);
    const edits = whole === undefined ? replacements : [whole];
    if (text.isSigned) {
      blockSigned(this.#guard, [...findings.map((finding) => finding.rule), replacing]);
    } else {
      out.push(...unitSplices(this.#body, text, edits));
    }
  }
}

function unitSplices(raw: Uint8Array, { start, end }: RequestText, edits: readonly Replacement[]): readonly Splice[] {
  let at = start;
  let unit = 0;
  const offsetOf = (index: number): number => {
    at = offsetOfUnit(raw, at, end, index - unit);
    unit = index;
    return at;
  };
  return edits.map((edit) => ({
    start: offsetOf(edit.start),
    end: offsetOf(edit.end),
    bytes: Buffer.from(escapedUnits(edit.text)),
  }));
}
