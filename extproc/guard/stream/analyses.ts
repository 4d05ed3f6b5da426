/** The questions of one response to the services of guardrails, and their answers. */
import type { ExternalGuardRule } from '../compile.ts';
import { type Analysis, DetectorError } from '../external/external-detector.ts';
import type { GuardScope } from '../text/fragment.ts';

/** A question that is to be asked now. */
export interface ResponseQuestion {
  readonly id: number;
  readonly rule: ExternalGuardRule;
  readonly scope: GuardScope;
  readonly text: string;
  /** False: more of the same text follows. */
  readonly isLast: boolean;
}

/** Undefined: there is no answer, and the rule lets the text pass. */
type TakeAnswer = (answer: Analysis | undefined) => void;

interface AskedQuestion {
  readonly rule: ExternalGuardRule;
  readonly takes: TakeAnswer[];
  /** `undefined` in it: there is none. */
  answer: { readonly given: Analysis | undefined } | undefined;
}

/** A service that could not look at a text, and why. */
export interface ServiceFailure {
  readonly rule: ExternalGuardRule;
  readonly reason: string;
}

/** More would keep services busy for minutes. */
const MAX_QUESTIONS = 2000;

export class Analyses {
  /** The questions that are to be asked now; whoever asks them empties the list. */
  readonly questions: ResponseQuestion[] = [];
  readonly failures: ServiceFailure[] = [];
  /** By rule and text: the events of a response repeat its text. */
  readonly #known = new Map<string, AskedQuestion>();
  readonly #asked: AskedQuestion[] = [];
  #waiting = 0;

  get isWaiting(): boolean {
    return this.#waiting > 0;
  }

  /** Asks a service. `take` gets the answer; never, if there is none and the rule is closed. */
  ask({ rule, scope, text, isLast }: Omit<ResponseQuestion, 'id'>, take: TakeAnswer): void {
    const key = `${rule.policy}/${rule.name}\n${text}`;
    const known = this.#known.get(key);
    if (known?.answer !== undefined) {
      give(known, [take]);
      return;
    }
    if (known !== undefined) {
      known.takes.push(take);
      return;
    }
    if (this.#asked.length === MAX_QUESTIONS) {
      this.failures.push({ rule, reason: 'too_many_texts' });
      give({ rule, takes: [], answer: { given: undefined } }, [take]);
      return;
    }
    const asked: AskedQuestion = { rule, takes: [take], answer: undefined };
    this.#known.set(key, asked);
    this.#waiting++;
    this.questions.push({ id: this.#asked.push(asked) - 1, rule, scope, text, isLast });
  }

  answer(id: number, result: Analysis | DetectorError): void {
    const asked = this.#asked[id];
    if (asked === undefined || asked.answer !== undefined) {
      return;
    }
    this.#waiting--;
    if (result instanceof DetectorError) {
      this.failures.push({ rule: asked.rule, reason: result.failure });
      asked.answer = { given: undefined };
    } else {
      asked.answer = { given: result };
    }
    give(asked, asked.takes);
  }
}

function give({ rule, answer }: AskedQuestion, takes: readonly TakeAnswer[]): void {
  const given = answer?.given;
  if (given !== undefined || rule.onFailure === 'Open') {
    for (const take of takes) {
      take(given);
    }
  }
}
