/**
 * A user's mistake as a value: object, field, message and fix. Becomes a condition, or a line of
 * `tallygate check`.
 */
import type { ConditionReason } from '../crds/conditions.ts';

export interface ObjectRef {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * The position of an object. `lines` maps field paths (`spec.rules[0].name`) to lines; `''` is the
 * object itself.
 */
export interface Source {
  readonly file: string;
  readonly lines: ReadonlyMap<string, number>;
}

/** Why text is not a valid object. */
type ReadReason =
  | 'InvalidYaml'
  | 'UnknownKind'
  | 'UnknownField'
  | 'InvalidField'
  | 'Duplicate'
  | 'Replaced'
  | 'UnresolvedVariable'
  | 'NotServed';

/**
 * Faults of a Gateway. Standalone only: in a cluster, the Gateway's own controller reports them.
 */
type GatewayReason = 'InvalidCertificateRef' | 'PortConflict' | 'HostnameConflict' | 'ForeignClass' | 'NothingAttached';

/** `Error`: part of the configuration has no effect. `Note`: an object is ignored on purpose. */
export type Severity = 'Error' | 'Warning' | 'Note';

export interface Problem {
  readonly severity: Severity;
  readonly reason: ConditionReason | ReadReason | GatewayReason | 'Unpriced';
  /** Absent if the text is not an object. */
  readonly object?: ObjectRef;
  /** The field path; '' for the whole object. */
  readonly path: string;
  /** One line, without secret values. */
  readonly message: string;
  readonly fix: string;
  readonly file?: string;
  readonly line?: number;
}

/** A problem before its object and position are known. */
export type ProblemFields = Pick<Problem, 'reason' | 'path' | 'message' | 'fix'>;

/** Returns the line of a path, or of the nearest enclosing field with a known line. */
export function lineOf(source: Source, path: string): number | undefined {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('.'), at.lastIndexOf('[')))) {
    const line = source.lines.get(at);
    if (line !== undefined) {
      return line;
    }
  }
  return source.lines.get('');
}

/** Formats a problem as `FILE:LINE: KIND NAMESPACE/NAME field.path: message; fix: …`. */
export function problemText(problem: Problem): string {
  const where =
    problem.file === undefined ? '' : `${problem.file}${problem.line === undefined ? '' : `:${problem.line}`}: `;
  const { object } = problem;
  const what = [object && `${object.kind} ${object.namespace}/${object.name}`, problem.path].filter(Boolean).join(' ');
  return `${where}${what}${what === '' ? '' : ': '}${problem.message}; fix: ${problem.fix}`;
}

/** Formats a problem for the message of a condition. */
export function problemSentence({ path, message, fix }: Pick<Problem, 'path' | 'message' | 'fix'>): string {
  return `${path}: ${message}; fix: ${fix}`;
}

/** Returns the first problem with one of these reasons. */
export function firstWithReason<R extends Problem['reason']>(
  problems: readonly Problem[],
  reasons: readonly R[],
): { readonly reason: R; readonly problem: Problem } | undefined {
  for (const problem of problems) {
    const reason = reasons.find((each) => each === problem.reason);
    if (reason !== undefined) {
      return { reason, problem };
    }
  }
  return undefined;
}
