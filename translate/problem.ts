/** A user's mistake as a value. It names the object, the field, what is wrong and the fix; it becomes a condition or a line of `tallygate check`. */
import type { ConditionReason } from '../crds/conditions.ts';

export interface ObjectRef {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Where an object stands. `lines` leads from a field path (`spec.rules[0].name`) to its line; the object's own line is under `''`. */
export interface Source {
  readonly file: string;
  readonly lines: ReadonlyMap<string, number>;
}

/** Why text did not become an object. */
type ReadReason =
  | 'InvalidYaml'
  | 'UnknownKind'
  | 'UnknownField'
  | 'InvalidField'
  | 'Duplicate'
  | 'UnresolvedVariable'
  | 'NotServed';

/** What is wrong with a Gateway; in a cluster its own controller says that. */
type GatewayReason = 'InvalidCertificateRef' | 'PortConflict' | 'HostnameConflict' | 'ForeignClass' | 'NothingAttached';

/** `Error`: something that the user wrote is not in force. `Note`: it is ignored on purpose. */
export type Severity = 'Error' | 'Warning' | 'Note';

export interface Problem {
  readonly severity: Severity;
  readonly reason: ConditionReason | ReadReason | GatewayReason;
  /** Absent where the text is no object at all. */
  readonly object?: ObjectRef;
  /** Field path; '' for the object as a whole. */
  readonly path: string;
  /** What is wrong; no secret value, one line. */
  readonly message: string;
  readonly fix: string;
  readonly file?: string;
  readonly line?: number;
}

/** The nearest line that is known for a path: its own, or that of the member around it. */
export function lineOf(source: Source, path: string): number | undefined {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('.'), at.lastIndexOf('[')))) {
    const line = source.lines.get(at);
    if (line !== undefined) {
      return line;
    }
  }
  return source.lines.get('');
}

/** `FILE:LINE: KIND NAMESPACE/NAME field.path: what is wrong; fix: …`. */
export function problemText(problem: Problem): string {
  const where =
    problem.file === undefined ? '' : `${problem.file}${problem.line === undefined ? '' : `:${problem.line}`}: `;
  const { object } = problem;
  const what = [object && `${object.kind} ${object.namespace}/${object.name}`, problem.path].filter(Boolean).join(' ');
  return `${where}${what}${what === '' ? '' : ': '}${problem.message}; fix: ${problem.fix}`;
}
