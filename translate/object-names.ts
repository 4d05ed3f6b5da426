/** Names and orders of objects. */
import type { Metadata } from '../crds/kinds.ts';
import type { ObjectRef } from './problem.ts';

/** Compares by code units, so that the order is the same on every machine. */
export function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Returns `GROUP/KIND/NAMESPACE/NAME`. */
export function refKey(ref: ObjectRef): string {
  return `${ref.group}/${ref.kind}/${ref.namespace}/${ref.name}`;
}

/** Returns `NAMESPACE/NAME`. */
export function fullName(object: { readonly metadata: Metadata }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

/** Orders by `NAMESPACE/NAME`. */
export function byName(left: { readonly metadata: Metadata }, right: { readonly metadata: Metadata }): number {
  return compare(fullName(left), fullName(right));
}

/**
 * Orders by age, then by `NAMESPACE/NAME`. Objects without a timestamp (from files) count as
 * oldest.
 */
export function byAge(left: { readonly metadata: Metadata }, right: { readonly metadata: Metadata }): number {
  return compare(left.metadata.creationTimestamp ?? '', right.metadata.creationTimestamp ?? '') || byName(left, right);
}
