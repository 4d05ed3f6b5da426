/**
 * Asks the services of guardrails about the texts of a request, after the detectors of the gateway
 * itself have masked them, and applies the answers. Pure: the caller asks the services.
 */
import type { Splice } from '../json/splice.ts';
import { type ExternalGuardRule, isExternal } from './compile.ts';
import { type Analysis, DetectorError } from './external/external-detector.ts';
import { outcomeOf } from './external-outcome.ts';
import type { GuardRule, Replacement, RequestGuard, RuleFinding } from './guard.ts';
import type { GuardScope } from './text/fragment.ts';
import { numberUnits } from './text/number-units.ts';
import { type RequestText, RequestTexts } from './text/requests/request-texts.ts';
import { spelledUnits } from './text/string-units.ts';
import { replaceText } from './text-edits.ts';
import { blockUnmaskable } from './unmaskable.ts';

/** UTF-16 units that a service gets at once, and how many of them it gets again with the next. */
const WINDOW_UNITS = 32 * 1024;
const OVERLAP_UNITS = 256;

/** Of one request; more would keep services busy for minutes. */
const MAX_ANALYSES = 2000;

/** Longer texts are hardly ever equal. */
const MAX_SHARED_UNITS = 1024;

/** Keys that name a member as programs do, which services need not read. */
const PLAIN_KEY = /^[\p{L}_$][\p{L}_$.-]*\d{0,2}$/u;

/** Numbers with fewer digits identify nobody. */
const LEAST_DIGITS = 7;

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
  /** The place of the question about a short text, by rule. */
  readonly #asked = new Map<ExternalGuardRule, Map<string, number>>();

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
      const rules = this.#guard.rulesFor('request', text.use.scope).filter(isExternal);
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
    const units = this.#unitsOf(text);
    if (units === undefined) {
      return;
    }
    const asked: AskedText = { text, units, windows: [] };
    const { scope } = text.use;
    for (const rule of rules) {
      for (let offset = 0; offset < units.length; offset += WINDOW_UNITS - OVERLAP_UNITS) {
        const isLast = offset + WINDOW_UNITS >= units.length;
        const question = { rule, scope, text: units.slice(offset, offset + WINDOW_UNITS), isLast };
        asked.windows.push({ question, offset, at: this.#place(question) });
        if (isLast) {
          break;
        }
      }
    }
    this.#texts.push(asked);
  }

  /** Returns what a service may have to read; undefined: nothing. */
  #unitsOf({ kind, start, end, spelling }: RequestText): string | undefined {
    if (kind === 'number') {
      const digits = numberUnits(this.#body, start, end);
      return digits.length < LEAST_DIGITS ? undefined : digits;
    }
    const units = spelledUnits(this.#body, start, end, spelling);
    return units.trim() === '' || (kind === 'key' && PLAIN_KEY.test(units)) ? undefined : units;
  }

  /** Returns the place of a question; short texts of one scope are asked about once. */
  #place(question: TextQuestion): number {
    const { rule, scope, text } = question;
    if (text.length > MAX_SHARED_UNITS) {
      return this.questions.push(question) - 1;
    }
    const asked = this.#asked.get(rule) ?? new Map<string, number>();
    this.#asked.set(rule, asked);
    const key = `${scope} ${text}`;
    const place = asked.get(key) ?? this.questions.push(question) - 1;
    asked.set(key, place);
    return place;
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
      if (outcome.isVerdict) {
        this.#guard.countVerdict(rule);
      }
      for (const finding of outcome.findings) {
        findings.push({ ...finding, start: finding.start + offset, end: finding.end + offset });
      }
      this.#guard.block ??= outcome.block;
      if (outcome.block === undefined && outcome.replacement !== undefined) {
        if (windows.some((other) => other.question.rule === rule && other.at !== at)) {
          this.failures.push({ rule, reason: 'too_long' });
        } else {
          whole = { start: 0, end: units.length, text: outcome.replacement, isShared: true };
          replacing = rule;
        }
      }
    }
    if (whole !== undefined && text.use.form === 'json' && isJson(units) && !isJson(whole.text)) {
      blockUnmaskable(this.#guard, [replacing]);
      whole = undefined;
    }
    const { replacements } = this.#guard.resolve('request', units, findings, true);
    const rules = [...findings.map((finding) => finding.rule), replacing];
    const found = { raw: this.#body, text, units, rules, guard: this.#guard };
    replaceText(found, whole === undefined ? replacements : [whole], out);
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
