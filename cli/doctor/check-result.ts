/** What a check of `tallygate doctor` says about one thing. */

export const checkStates = ['ok', 'warning', 'problem', 'unknown', 'not checked'] as const;

/** `unknown`: the check could not be made; `not checked`: there is nothing to check. */
export type CheckState = (typeof checkStates)[number];

/** The sections of docs/guides/troubleshooting.md to which fixes refer. */
export const fixSections = [
  'it-does-not-start',
  'an-edit-has-no-effect',
  'the-gateway-does-not-answer',
  'the-state-folder',
  'the-shared-store',
  'backends-rest',
  'usage-is-not-exported',
  'services-of-guardrails-fail',
  'keys-and-tokens-cannot-be-fetched',
  'certificates-and-keys-expire',
  'an-installation-on-a-cluster',
  'a-variable-has-no-effect',
] as const;

export type FixSection = (typeof fixSections)[number];

export interface CheckOutcome {
  readonly state: CheckState;
  readonly text: string;
  /** One sentence; present for warnings and problems, and where a right is missing. */
  readonly fix?: string;
  readonly section?: FixSection;
}

export interface CheckResult extends CheckOutcome {
  /** What was checked, such as `journal`. */
  readonly check: string;
}

export interface Check {
  readonly name: string;
  readonly run: () => readonly CheckOutcome[] | Promise<readonly CheckOutcome[]>;
}

export function ok(text: string): CheckOutcome {
  return { state: 'ok', text };
}

export function notChecked(text: string): CheckOutcome {
  return { state: 'not checked', text };
}

export function unknown(text: string, fix?: string, section?: FixSection): CheckOutcome {
  return { state: 'unknown', text, ...(fix !== undefined && { fix }), ...(section !== undefined && { section }) };
}

export function warning(text: string, fix: string, section: FixSection): CheckOutcome {
  return { state: 'warning', text, fix, section };
}

export function problem(text: string, fix: string, section: FixSection): CheckOutcome {
  return { state: 'problem', text, fix, section };
}

/** Turns a message of the form `PROBLEM; FIX` into a problem. */
export function problemOf(message: string, section: FixSection): CheckOutcome {
  const end = message.indexOf('; ');
  return end === -1
    ? problem(message, 'see the section', section)
    : problem(message.slice(0, end), message.slice(end + 2).replace(/^fix: /, ''), section);
}
