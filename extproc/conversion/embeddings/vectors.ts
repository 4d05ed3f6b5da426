/** Reads embeddings out of parsed JSON of which nothing is known. */
import { listOf } from '../json-values.ts';

/** Returns undefined if the value is not a list of finite numbers. */
export function vectorOf(value: unknown): readonly number[] | undefined {
  const list = listOf(value);
  return list?.every((each) => typeof each === 'number') ? list : undefined;
}

/** Returns undefined unless every value is a vector and there are as many as texts. */
export function vectorsOf(
  values: readonly unknown[] | undefined,
  count: number,
): readonly (readonly number[])[] | undefined {
  const vectors = (values ?? []).map(vectorOf);
  const isWhole = (each: readonly number[] | undefined): each is readonly number[] => each !== undefined;
  return vectors.length === count && vectors.every(isWhole) ? vectors : undefined;
}
