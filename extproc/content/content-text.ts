/** Texts of a request or its answer as they are collected: bounded, and not yet redacted. */
import type { GuardScope } from '../guard/text/fragment.ts';

export interface ContentText {
  readonly scope: GuardScope;
  /** The text is a JSON document, such as the arguments of a tool. */
  readonly isJson: boolean;
  text: string;
  /** The end of the text is missing. */
  isCut: boolean;
}

export interface CollectedTexts {
  /** In the order of the document or the stream. */
  readonly texts: readonly ContentText[];
  /** Whether text is missing. */
  readonly truncated: boolean;
}

/** Why content is not kept. */
export type ContentDropReason = 'unreadable' | 'too_long' | 'redaction';

/** Runs work in one go: the work is bounded. */
export function finished<Result>(work: Generator<number, Result>): Result {
  let step = work.next();
  while (!step.done) {
    step = work.next();
  }
  return step.value;
}
