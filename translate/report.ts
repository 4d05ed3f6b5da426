/** Collects the problems of one translation. */
import type { Metadata } from '../crds/kinds.ts';
import { GATEWAY_GROUP, GROUP } from '../crds/schema.ts';
import { lineOf, type ObjectRef, type Problem, type Severity, type Source } from './problem.ts';

/** The object of a problem. */
export interface Subject {
  readonly ref: ObjectRef;
  readonly source?: Source;
}

export type Found = Pick<Problem, 'reason' | 'path' | 'message' | 'fix'>;

export interface Report {
  error(subject: Subject, found: Found): void;
  warning(subject: Subject, found: Found): void;
  /** Returns the problems of one object so far. */
  of(ref: ObjectRef): readonly Problem[];
  sorted(): readonly Problem[];
}

export function newReport(): Report {
  const problems: Problem[] = [];
  const byObject = new Map<string, Problem[]>();
  const add = (severity: Severity, { ref, source }: Subject, found: Found): void => {
    const line = source && lineOf(source, found.path);
    const problem: Problem = {
      severity,
      object: ref,
      ...found,
      ...(source && { file: source.file }),
      ...(line !== undefined && { line }),
    };
    problems.push(problem);
    const own = byObject.get(refKey(ref));
    if (own === undefined) {
      byObject.set(refKey(ref), [problem]);
    } else {
      own.push(problem);
    }
  };
  return {
    error: (subject, found) => add('Error', subject, found),
    warning: (subject, found) => add('Warning', subject, found),
    of: (ref) => byObject.get(refKey(ref)) ?? [],
    sorted: () => problems.toSorted(byPlace),
  };
}

function byPlace(left: Problem, right: Problem): number {
  return (
    compare(left.file ?? '', right.file ?? '') ||
    (left.line ?? 0) - (right.line ?? 0) ||
    compare(left.object ? refKey(left.object) : '', right.object ? refKey(right.object) : '') ||
    compare(left.path, right.path) ||
    compare(left.message, right.message)
  );
}

/** Compares by code units, so that the order is the same on every machine. */
export function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

export function refKey(ref: ObjectRef): string {
  return `${ref.group}/${ref.kind}/${ref.namespace}/${ref.name}`;
}

export function fullName(object: { readonly metadata: Metadata }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

export function subject(
  kind: 'Gateway' | 'AIGatewayRoute' | 'AIBackend' | 'AIQuotaPolicy',
  object: { readonly metadata: Metadata; readonly source?: Source },
): Subject {
  const group = kind === 'Gateway' ? GATEWAY_GROUP : GROUP;
  const { name, namespace } = object.metadata;
  return { ref: { group, kind, namespace, name }, ...(object.source && { source: object.source }) };
}

/** Orders by age, then by NAMESPACE/NAME. Objects without a timestamp (from files) count as oldest. */
export function byAge(left: { readonly metadata: Metadata }, right: { readonly metadata: Metadata }): number {
  return (
    compare(left.metadata.creationTimestamp ?? '', right.metadata.creationTimestamp ?? '') ||
    compare(fullName(left), fullName(right))
  );
}
