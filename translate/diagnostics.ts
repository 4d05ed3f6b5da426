/** Collects the problems of one translation. */
import type { Metadata } from '../crds/kinds.ts';
import { GATEWAY_GROUP, GROUP } from '../crds/schema.ts';
import { compare, refKey } from './object-names.ts';
import { lineOf, type ObjectRef, type Problem, type ProblemFields, type Severity, type Source } from './problem.ts';

/** The object of a problem. */
export interface Subject {
  readonly ref: ObjectRef;
  readonly source?: Source;
}

export interface Diagnostics {
  error(subject: Subject, details: ProblemFields): void;
  warning(subject: Subject, details: ProblemFields): void;
  /** Returns the problems of one object so far. */
  of(ref: ObjectRef): readonly Problem[];
  sorted(): readonly Problem[];
}

export function newDiagnostics(): Diagnostics {
  const problems: Problem[] = [];
  const byObject = new Map<string, Problem[]>();
  const add = (severity: Severity, { ref, source }: Subject, details: ProblemFields): void => {
    const line = source && lineOf(source, details.path);
    const problem: Problem = {
      severity,
      object: ref,
      ...details,
      ...(source && { file: source.file }),
      ...(line !== undefined && { line }),
    };
    problems.push(problem);
    const ofObject = byObject.get(refKey(ref));
    if (ofObject === undefined) {
      byObject.set(refKey(ref), [problem]);
    } else {
      ofObject.push(problem);
    }
  };
  return {
    error: (subject, details) => add('Error', subject, details),
    warning: (subject, details) => add('Warning', subject, details),
    of: (ref) => byObject.get(refKey(ref)) ?? [],
    sorted: () => problems.toSorted(byPosition),
  };
}

function byPosition(left: Problem, right: Problem): number {
  return (
    compare(left.file ?? '', right.file ?? '') ||
    (left.line ?? 0) - (right.line ?? 0) ||
    compare(left.object ? refKey(left.object) : '', right.object ? refKey(right.object) : '') ||
    compare(left.path, right.path) ||
    compare(left.message, right.message)
  );
}

/** Returns the subject for an object of Gateway API or of Tallygate's API. */
export function subject(kind: string, object: { readonly metadata: Metadata; readonly source?: Source }): Subject {
  const group = kind === 'Gateway' ? GATEWAY_GROUP : GROUP;
  const { name, namespace } = object.metadata;
  return { ref: { group, kind, namespace, name }, ...(object.source && { source: object.source }) };
}
